"""The run's progress for people: a bar on a terminal, one plain line a task elsewhere, and the closing summary.

Knows nothing of tasks' contents, solutions, clocks or what is written to disk: numbers and texts are passed in.
Law: one event is one line, whatever its text holds; a stream that can no longer be written to never stops a run
(`Progress.lost` holds the error then).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn

NAMED = 5  # task ids a reason names in the summary before it says how many more there are


@dataclass(frozen=True)
class Outcome:
    """One answer (test input `test` of a task) and where it came from.

    `from_model`: how many of its two attempts the model gave, 0 to 2. `reason`: why it is a placeholder, if it is.
    """

    task_id: str
    test: int
    from_model: int
    reason: str = ""


class Progress:
    """Tells people how far the run is. Usable as a context manager; `close` may be called twice."""

    def __init__(self, total: int, deadline_remaining: Callable[[], float], stream: TextIO) -> None:
        """Start telling of `total` tasks on `stream`; `deadline_remaining` gives the seconds left.

        The bar needs a terminal and `rich`; without either there are plain lines.
        """
        self.total, self.done = total, 0
        self.solved: int | None = None
        self.lost: OSError | None = None
        self._remaining, self._stream = deadline_remaining, stream
        self._bar = self._open() if stream.isatty() else None

    def task(self, task_id: str, info: str = "", solved: int | None = None, new: bool = True) -> None:
        """A task has answers, `new`: its first. `info`: what is to be said of it. `solved`: so far, where known."""
        self.done += new
        self.solved = self.solved if solved is None else solved
        parts = [f"[{self.done:>{len(str(self.total))}}/{self.total}] {task_id}", info]
        if self._bar is None:
            parts += [*self._solved(), left(self._remaining())]
        self._say(", ".join(part for part in parts if part))
        self._advance(new)

    def note(self, text: str) -> None:
        """Say something that is not about one task being done: a warning, a stage of the run."""
        self._say(text)

    def close(self) -> None:
        """Stop the bar, if there is one, and leave the cursor on a line of its own."""
        if self._bar is not None:
            self._guarded(self._bar.stop)
        self._bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _solved(self) -> list[str]:
        return [] if self.solved is None else [f"solved {self.solved}"]

    def _open(self) -> Bar | None:
        try:
            bar = _bar(self._stream, self._remaining)
        except ImportError:
            return None
        bar.add_task("tasks", total=self.total, solved="")
        return bar if self._guarded(bar.start) else None

    def _advance(self, new: bool) -> None:
        bar = self._bar
        if bar is not None:
            self._guarded(lambda: bar.update(bar.task_ids[0], advance=int(new), solved=", ".join(self._solved())))

    def _say(self, text: str) -> None:
        line, bar = printable(text, self._stream.encoding), self._bar
        if bar is not None:
            self._guarded(lambda: bar.console.print(line, markup=False, highlight=False, soft_wrap=True))
        else:
            self._guarded(lambda: print(line, file=self._stream, flush=True))

    def _guarded(self, write: Callable[[], object]) -> bool:
        """Write, unless the stream was lost before; whether that worked."""
        if self.lost is None:
            try:
                write()
            except OSError as error:  # a closed pipe, a full disk: the run is worth more than its progress
                self.lost = error
        return self.lost is None


def left(seconds: float) -> str:
    """Seconds left as people read them: '45 s left', '12 min 05 s left', '3 h 07 min left'."""
    if seconds == float("inf"):
        return "no time limit"
    minutes, rest = divmod(int(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min left"
    return f"{minutes} min {rest:02} s left" if minutes else f"{rest} s left"


def printable(text: str, encoding: str | None) -> str:
    """The text on one line, with what the stream's encoding lacks written as backslash escapes."""
    line = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in " ".join(text.split()))
    return line.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many answers the model gave, how many are placeholders, and why: a line a reason, the commonest first."""
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.from_model == 0:
            reasons[outcome.reason or "no reason given"].append(outcome.task_id)
    placeholders = sum(len(ids) for ids in reasons.values())
    half = sum(outcome.from_model == 1 for outcome in outcomes)
    model = f"{len(outcomes) - placeholders} from the model"
    model += f" ({half} with a placeholder as second attempt)" if half else ""
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


def _bar(stream: TextIO, remaining: Callable[[], float]) -> Bar:
    """A rich bar, not yet started. ImportError: rich is not installed."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[solved]}", markup=False),
        _seconds_left(remaining),
        console=Console(file=stream),
    )


def _seconds_left(remaining: Callable[[], float]) -> ProgressColumn:
    """A column that asks for the seconds left each time it is drawn."""
    from rich.progress import ProgressColumn
    from rich.progress import Task as Row
    from rich.text import Text

    class SecondsLeft(ProgressColumn):
        """The seconds left to the deadline."""

        def render(self, task: Row) -> Text:  # noqa: ARG002 - the signature is rich's
            return Text(left(remaining()))

    return SecondsLeft()
