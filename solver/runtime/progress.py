"""The run's progress for people: a live view on a terminal, one plain line an event elsewhere, and the closing summary.

Knows nothing of tasks' contents, solutions, clocks or what is written to disk: numbers and texts are passed in.
Laws: one event is one line, whatever its text holds; the lines a live view stands in for are printed when it closes;
a stream that can no longer be written to never stops a run (`Progress.lost` holds the error then).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from solver.runtime.live import About, Answer, Live, Worker, printable, span

if TYPE_CHECKING:
    from solver.runtime.screen import Screen

NAMED = 5  # task ids a reason names in the summary before it says how many more there are


@dataclass(frozen=True)
class Outcome:
    """One answer (test input `test` of a task) and where it came from.

    `from_model`: how many of its two attempts the model gave, 0 to 2; `from_programs`: how many programs alone did.
    `reason`: why it is a placeholder, if it is.
    """

    task_id: str
    test: int
    from_model: int
    reason: str = ""
    from_programs: int = 0

    @property
    def given(self) -> int:
        """Attempts that are no placeholders."""
        return self.from_model + self.from_programs


class Progress:
    """Tells people how far the run is. Usable as a context manager; `close` may be called twice."""

    def __init__(
        self, total: int, deadline_remaining: Callable[[], float], stream: TextIO, about: About | None = None
    ) -> None:
        """Start telling of `total` tasks on `stream`; `deadline_remaining` gives the seconds left.

        The live view needs a terminal that knows UTF-8 and can move its cursor, and `rich`; else there are plain lines.
        """
        self.total, self.done = total, 0
        self.solved: int | None = None
        self.lost: OSError | None = None
        self._remaining, self._stream = deadline_remaining, stream
        self._live = Live(about or About(), total, deadline_remaining)
        self._held: list[str] = []  # lines that wait for the live view to close
        self._screen = self._open() if stream.isatty() else None

    def task(
        self, task_id: str, info: str = "", solved: int | None = None, new: bool = True, answer: Answer | None = None
    ) -> None:
        """A task has answers, `new`: its first. `info`: what is to be said of it. `solved`: so far, where known.

        `answer`: the same for the live view.
        """
        self.done += new
        self.solved = self.solved if solved is None else solved
        self._live.solved = self.solved
        if answer is not None:
            self._live.answer(answer)
        parts = [f"[{self.done:>{len(str(self.total))}}/{self.total}] {task_id}", info]
        self._say(", ".join(part for part in [*parts, *self._solved(), left(self._remaining())] if part))

    def note(self, text: str) -> None:
        """Say something that is not about one task being done: a stage of the run."""
        self._say(text)

    def warn(self, text: str) -> None:
        """Say what went wrong; the live view keeps it in sight."""
        self._live.warn(text)
        self._say(text)

    def shared(self, task_ids: Sequence[str], text: str) -> None:
        """Tasks have got an adapter that they share; what is to be said of it."""
        self._live.shared(task_ids)
        self._say(text)

    def watch(self, workers: Sequence[Worker]) -> None:
        """Show what the workers do now, on a live view; to be called a few times a second, it is quickly done."""
        screen = self._screen
        if screen is not None:
            self._live.watch(workers)
            self._draw(screen)

    def close(self) -> None:
        """Close the live view, if there is one, and print the lines it stood in for."""
        screen, self._screen = self._screen, None
        if screen is not None:
            self._guarded(screen.close)
        held, self._held = self._held, []
        for line in held:
            self._print(line)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _solved(self) -> list[str]:
        return [] if self.solved is None else [f"solved {self.solved}"]

    def _open(self) -> Screen | None:
        try:
            from solver.runtime.screen import Screen, shows
        except ImportError:
            return None
        try:
            return Screen(self._live, self._stream) if shows(self._stream) else None
        except OSError as error:
            self.lost = error
            return None

    def _say(self, text: str) -> None:
        line, screen = printable(text, self._stream.encoding), self._screen
        if screen is None:
            return self._print(line)
        self._held.append(line)
        self._draw(screen)

    def _draw(self, screen: Screen) -> None:
        try:
            self._guarded(screen.draw)
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


def left(seconds: float) -> str:
    """Seconds left as people read them: '45 s left', '12 min 05 s left', '3 h 07 min left'."""
    return "no time limit" if seconds == float("inf") else f"{span(seconds)} left"


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many answers the model gave, how many are placeholders, and why: a line a reason, the commonest first."""
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.given == 0:
            reasons[outcome.reason or "no reason given"].append(outcome.task_id)
    placeholders = sum(len(ids) for ids in reasons.values())
    half = sum(outcome.from_model > 0 and outcome.given == 1 for outcome in outcomes)
    programs = sum(outcome.from_model == 0 < outcome.from_programs for outcome in outcomes)
    model = f"{len(outcomes) - placeholders - programs} from the model"
    model += f" ({half} with a placeholder as second attempt)" if half else ""
    model += f", {programs} from programs alone" if programs else ""
    tasks = len({outcome.task_id for outcome in outcomes})
    lines = [f"{_count(len(outcomes), 'answer')} to {_count(tasks, 'task')}: {model}, "]
    lines[0] += _count(placeholders, "placeholder") + (":" if reasons else ".")
    ordered = sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))
    lines += ["  " + printable(f"{len(ids)} x {reason} ({_named(ids)})", None) for reason, ids in ordered]
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _named(task_ids: Sequence[str]) -> str:
    """The first few ids, each once, and how many more there are."""
    ids = list(dict.fromkeys(task_ids))
    more = [f"and {len(ids) - NAMED} more"] if len(ids) > NAMED else []
    return ", ".join([*ids[:NAMED], *more])
