"""The run's progress for people: a live view on a terminal, one plain line an event elsewhere.

Laws: one event is one line, whatever its text holds; the lines a live view stands in for are printed when it closes;
a stream that can no longer be written to never stops a run (`Progress.lost` holds the error then).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TextIO

from solver.runtime.live import About, Live, StageAnswer, Worker, printable, span

if TYPE_CHECKING:
    from solver.runtime.screen import Screen


class Progress(AbstractContextManager["Progress"]):
    """Tells people how far the run is. `close` may be called twice."""

    def __init__(self, total: int, seconds_left: Callable[[], float], stream: TextIO, about: About | None = None):
        """Start telling of `total` tasks on `stream`; `seconds_left`: to the run's expected end."""
        self.total, self.done = total, 0
        self.lost: OSError | None = None
        self._left, self._stream = seconds_left, stream
        self._live = Live(about or About(), total, seconds_left)
        self._held: list[str] = []  # lines that wait for the live view to close
        self._screen: Screen | None = None
        if stream.isatty():
            self._guarded(self._open)

    def task(
        self,
        task_id: str,
        info: str = "",
        solved: int | None = None,
        new: bool = True,
        answer: StageAnswer | None = None,
    ) -> None:
        """A task has answers, `new`: its first; `info` and, for the live view, `answer` say which. `solved`: so far."""
        self.done += new
        self._live.solved = solved = self._live.solved if solved is None else solved
        if answer is not None:
            self._live.answer(answer)
        count = f"[{self.done:>{len(str(self.total))}}/{self.total}] {task_id}"
        seconds = self._left()
        left = f"{span(seconds)} left" if seconds < float("inf") else "no time limit"
        self.note(", ".join(filter(None, [count, info, "" if solved is None else f"solved {solved}", left])))

    def note(self, text: str) -> None:
        """Say something that is not about one task being done: a stage of the run."""
        line = printable(text, self._stream.encoding)
        if self._screen is None:
            self._print(line)
        else:
            self._held.append(line)
            self._draw(self._screen)

    def warn(self, text: str) -> None:
        """Say what went wrong; the live view keeps it in sight."""
        self._live.warn(text)
        self.note(text)

    def shared(self, task_ids: Sequence[str], text: str) -> None:
        self._live.shared(task_ids)
        self.note(text)

    def watch(self, workers: Sequence[Worker]) -> None:
        """Show what the workers do now, on a live view; to be called a few times a second, it is quickly done."""
        if self._screen is not None:
            self._draw(self._screen, self._live.watch(workers))

    def close(self) -> None:
        """Close the live view, if there is one, and print the lines it stood in for."""
        screen, self._screen = self._screen, None
        if screen is not None:
            self._guarded(screen.close)
        while self._held:
            self._print(self._held.pop(0))

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        try:
            from solver.runtime.screen import Screen, shows
        except ImportError:
            return
        self._screen = Screen(self._live, self._stream) if shows(self._stream) else None

    def _draw(self, screen: Screen, new: bool = True) -> None:
        try:
            self._guarded(lambda: screen.draw(new))
        except Exception as error:  # whatever is wrong with the view, the run is not: plain lines from here on
            self.close()
            self.warn(f"warning: no live view any more: {type(error).__name__}: {error}")

    def _print(self, line: str) -> None:
        self._guarded(lambda: print(line, file=self._stream, flush=True))

    def _guarded(self, write: Callable[[], object]) -> None:
        """Write, unless the stream was lost before."""
        if self.lost is None:
            try:
                write()
            except OSError as error:  # a closed pipe, a full disk: the run is worth more than its progress
                self.lost = error
