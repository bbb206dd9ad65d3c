"""The only module that reads the clock. Law: seconds never run backwards, whatever is done to the wall clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


def now() -> float:
    """Monotonic seconds, comparable between the processes of one machine."""
    return time.monotonic()


@dataclass(frozen=True)
class Deadline:
    """A moment in monotonic seconds after which work must have stopped."""

    at: float
    read: Callable[[], float] = field(default=now, compare=False)

    @classmethod
    def after(cls, seconds: float, read: Callable[[], float] = now) -> Deadline:
        """The moment `seconds` from now."""
        return cls(read() + seconds, read)

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - self.read())

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and `seconds` from now."""
        return Deadline(min(self.at, self.read() + seconds), self.read)
