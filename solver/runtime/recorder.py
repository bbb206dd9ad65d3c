"""Writes a run's record, a line at a time, alone on its directory; and tells people and the record what happens.

The log is hand-made because it must survive what a run does not: a line is on disk when it is written, and one that the
disk refused leaves nothing of itself. Law: one process at a time writes to a directory.
"""

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from solver.clock import Deadline
from solver.runtime.progress import Progress
from solver.runtime.record import RECORD, to_line
from solver.types import BadInput

LOCK = "lock"  # held while a process works on the directory


class Recorder(contextlib.AbstractContextManager["Recorder"]):
    """Appends to a run directory's record, alone: a second process is refused while this one lives."""

    def __init__(self, directory: Path, fresh: bool):
        """Take the directory; `fresh`: forget what an earlier run wrote. Raises `BadInput` where another has it."""
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock: IO[str] = (directory / LOCK).open("a")
        except OSError as error:
            raise BadInput(f"{directory} cannot be written ({error.strerror}): expected a writable folder") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise BadInput(f"another process is working on {directory}: wait for it, or use another --output") from None
        path = directory / RECORD
        if fresh:
            path.unlink(missing_ok=True)
        elif path.exists():  # a torn last line is cut off, so that what is appended starts on a line of its own
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
        self._file, self._given_up = path.open("ab", buffering=0), False

    def write(self, message: Mapping[str, Any]) -> None:
        """Append one message; on disk when this returns. Raises `OSError`, and then nothing of it stays."""
        if self._given_up:
            return
        line, before = to_line(message).encode(), self._file.tell()
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(0, "the disk took only part of the line")
            os.fsync(self._file.fileno())
        except OSError:
            os.ftruncate(self._file.fileno(), before)
            raise

    def make_room(self) -> None:
        """Give the disk back what the record takes, and write no more of it."""
        self._given_up = True
        with contextlib.suppress(OSError):
            os.ftruncate(self._file.fileno(), 0)

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._lock.close()


class Journal:
    """The record of a run and its progress. `limit`: seconds of the whole run, from which the record's clock counts.

    Law: a record that can't be written costs the record, not the run: the answers are worth more.
    """

    def __init__(self, recorder: Recorder, progress: Progress, deadline: Deadline, limit: float):
        self.recorder, self.progress, self._deadline, self._limit = recorder, progress, deadline, limit

    def note(self, text: str) -> None:
        self.progress.note(text)
        self.write({"kind": "event", "text": text})

    def warn(self, text: str) -> None:
        self.progress.warn(text)
        self.write({"kind": "event", "text": text})

    def write(self, message: Mapping[str, Any], what: str = "a line") -> None:
        """Record a message; `what` it is, for people, where it can't be."""
        at = {"at": round(self._limit - self._deadline.remaining(), 2)}
        try:
            self.recorder.write({"kind": message["kind"]} | at | dict(message))
        except OSError as error:
            self.progress.warn(f"warning: the record lacks {what}: {error}")
