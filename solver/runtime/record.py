"""The run directory: what a run writes down as it goes, enough to resume it, replay its votes and report on it.

Knows nothing of models or schedules. Laws: lines are only ever appended; a line that was torn by a crash or changed
afterwards is dropped and counted, never believed; one process at a time writes to a directory.

    submission.json        the answers
    submission.run/
      challenges.json      the run's tasks, in Kaggle's format, without any test output
      record.jsonl         one JSON object a line, its last member `crc` over the bytes before it
      worker.log           what the workers' libraries printed
      adapters/            those that tasks share
      lock                 held while a process works on the directory

Kinds of line: `run` (first: fingerprint, code, data, weights, settings), `result` (one task in one round), `shared` (an
adapter of several tasks), `failure` (a turn that failed, and why), `event` (a line for people), `end` (exit status).
`at` is seconds since the process's start. A result's `engine` is what the engine did in its turn, for all tasks of the
turn together (`counters`). Rounds: -1 programs that a code model writes (since version 3), 0 ones that are searched for
(since version 2), 1 the base model's quick answers, 2 shared adapters, 3 an adapter a task, 4 and on another adapter
and other views for tasks whose vote is split. A program's candidate has its `program` in the place of a view and nats.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from solver.types import BadInput

RECORD, CHALLENGES, WORKER_LOG, LOCK = "record.jsonl", "challenges.json", "worker.log", "lock"
ADAPTERS = "adapters"
VERSION = 3  # of the record; 1 had no programs, 2 none of a code model: read as runs without them


def directory_of(output: Path) -> Path:
    """The run directory that belongs to an answer file."""
    return output.with_suffix(".run")


def to_line(message: Mapping[str, Any]) -> str:
    """The message as one line with its checksum, newline included."""
    body = json.dumps(message, separators=(",", ":"))[:-1]
    return f'{body},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'


def from_line(line: bytes) -> dict[str, Any] | None:
    """The message of a line; None where it is torn or was changed."""
    body, found, rest = line.rpartition(b',"crc":"')
    if not found or rest.rstrip(b"\n") != f'{zlib.crc32(body):08x}"}}'.encode():
        return None
    message = json.loads(body + b"}")
    return message if isinstance(message, dict) else None


@dataclass(frozen=True)
class Recorded:
    """What a record holds: whole messages in the order written, and how many lines were dropped as torn."""

    messages: tuple[dict[str, Any], ...]
    dropped: int

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The messages of one kind."""
        return [m for m in self.messages if m.get("kind") == kind]


def read(directory: Path) -> Recorded:
    """Read a run directory's record, even while it is written. Raises `BadInput` where there is none."""
    path = directory / RECORD
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}): expected the directory of a run") from None
    messages = [from_line(line) for line in lines]
    return Recorded(tuple(m for m in messages if m is not None), messages.count(None))


class Recorder:
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
        else:
            _mend(path)
        self._file, self._given_up = path.open("ab", buffering=0), False

    def write(self, message: Mapping[str, Any]) -> None:
        """Append one message; on disk when this returns. Raises `OSError`, and then nothing of it stays.

        After `make_room` nothing is written any more.
        """
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

    def close(self) -> None:
        """Let go of the directory."""
        self._file.close()
        self._lock.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _mend(path: Path) -> None:
    """Cut off a torn last line, so that what is appended starts on a line of its own."""
    if not path.exists():
        return
    whole = path.read_bytes()
    end = whole.rfind(b"\n") + 1
    if end != len(whole):
        os.truncate(path, end)
