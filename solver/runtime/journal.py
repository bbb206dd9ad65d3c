"""Tells people and the record what happens in a run.

Law: a record that can't be written costs the record, not the run: the answers are worth more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solver.clock import Deadline
from solver.runtime.progress import Progress
from solver.runtime.recorder import Recorder


class Journal:
    """The record of a run and its progress. `limit`: seconds of the whole run, from which the record's clock counts."""

    def __init__(self, recorder: Recorder, progress: Progress, deadline: Deadline, limit: float):
        self.recorder, self.progress, self._deadline, self._limit = recorder, progress, deadline, limit

    def note(self, text: str) -> None:
        """A line for people."""
        self.progress.note(text)
        self.write({"kind": "event", "text": text})

    def warn(self, text: str) -> None:
        """A line on what went wrong."""
        self.progress.warn(text)
        self.write({"kind": "event", "text": text})

    def write(self, message: Mapping[str, Any], what: str = "a line") -> None:
        """Record a message; `what` it is, for people, where it can't be."""
        at = {"at": round(self._limit - self._deadline.remaining(), 2)}
        try:
            self.recorder.write({"kind": message["kind"]} | at | dict(message))
        except OSError as error:
            self.progress.warn(f"warning: the record lacks {what}: {error}")
