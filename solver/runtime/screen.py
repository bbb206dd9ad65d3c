"""The live view on a terminal, drawn with rich: the whole screen while the run goes on, gone without a trace after it.

Knows nothing of what a run is beyond `live`. Laws: it fits the terminal, however small, and follows it when its size
changes; nothing is told by colour alone; texts are shown as they are, never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live as Refreshed
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from solver.runtime.live import Answer, Live, Row, Worker, printable, programs_found, span
from solver.types import by_programs, round_name

ENCODING = "utf-8"  # of the terminals it is shown on
PAUSE = 0.2  # seconds between two pictures at least; one takes about 5 ms
ROOMY = 18  # lines from which sections have titles
WIDE = 64  # columns from which rows tell everything
WIDEST = 100  # columns from which workers' steps and losses are told
BAR = 8  # columns of a worker's bar
LONG = 600.0  # seconds of a turn from which it is told in minutes
WARNED = 3  # warnings in sight where there is room, else the latest
FEWEST = 3  # lines kept for answers before workers get more than one line
SIGNS = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "dim")}  # whether a task is solved


def shows(stream: TextIO) -> bool:
    """Whether a live view can be drawn there: a terminal that knows UTF-8 and can move its cursor."""
    return (stream.encoding or ENCODING).lower().replace("-", "") == "utf8" and Console(file=stream).is_interactive


class Screen:
    """Shows a `Live` on a terminal from its making until `close`. Raises `OSError` where that can't be written to."""

    def __init__(self, live: Live, stream: TextIO) -> None:
        self._live, self._drawn = live, live.about.deadline.read()
        console = Console(file=stream, highlight=False)
        self._shown = Refreshed(
            Frame(live), console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._told = self._telling()
        self._shown.start(refresh=True)

    def draw(self) -> None:
        """Bring the picture up to date, if there is anything new to show, and not too often."""
        now, telling = self._live.about.deadline.read(), self._telling()
        if now - self._drawn >= PAUSE and telling != self._told:
            self._drawn, self._told = now, telling
            self._shown.refresh()

    def _telling(self) -> tuple[object, ...]:
        """What pictures differ in: what has happened, the second, the terminal's size."""
        return self._live.changes, int(self._live.about.deadline.read()), self._shown.console.size

    def close(self) -> None:
        """Give the terminal back as it was before."""
        self._shown.stop()


class Frame:
    """One picture of the state, in the lines and columns there are."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield picture(self._live, options.max_width, options.height or console.height)


@dataclass(frozen=True)
class Room:
    """How the lines of a terminal are shared out: whether sections have titles, and rows of each section at most."""

    titled: bool
    warnings: int
    workers: int
    answers: int


def shared_out(live: Live, height: int) -> Room:
    """Header and rounds get what they need, then warnings and workers, both leaving a few lines; answers the rest."""
    titled = height >= ROOMY
    left = height - len(live.rounds) - 3 - (3 if titled else 0)  # header, clock and tally; the titles there always are
    warnings = min(len(live.warnings), WARNED if titled else 1, max(1, left - FEWEST))
    left -= warnings + (titled and warnings > 0)
    workers = min(len(live.workers), max(2, left - FEWEST))  # one, and how many more there are
    return Room(titled, warnings, workers, max(0, left - workers))


def picture(live: Live, width: int, height: int) -> Group:
    """All sections, one below the other."""
    wide, room = width >= WIDE, shared_out(live, height)
    latest = list(live.latest)[: -room.answers - 1 : -1]
    sections: list[tuple[str, Sequence[RenderableType]]] = [
        ("Rounds", [_rounds(live.rounds, wide), _tally(live)]),
        ("Workers", _workers(live, room.workers, width)),
        (f"Warnings: {live.warned}", [_line(f"! {text}", "yellow") for text in list(live.warnings)[-room.warnings :]]),
        ("Latest answers", [_answers(latest, wide)]),
    ]
    parts: list[RenderableType] = [_header(live), _clock(live, wide)]
    for title, rows in sections:
        parts += [_title(title), *rows] if room.titled and rows else rows
    return Group(*parts)


def _header(live: Live) -> Text:
    about = live.about
    told = [f"{live.total} tasks", *([f"seed {about.seed}"] if about.seed is not None else [])]
    told += [f"weights {printable(about.weights, ENCODING)}"] if about.weights else []
    name = [(printable(about.name, ENCODING), "bold"), (" · ", "dim")] if about.name else []
    return _line(Text.assemble(*name, " · ".join(told)))


def _clock(live: Live, wide: bool) -> RenderableType:
    """The seconds used and left, and what is expected of them."""
    if live.about.limit == float("inf"):
        return _line("no time limit", "dim")
    used, limit = live.about.limit - live.remaining, live.about.limit
    if not wide:
        return _line(f"{span(live.remaining)} left, done in {span(live.expected())}")
    row = _grid(None, 1, None)
    soon = f"{span(live.remaining)} left, done in about {span(live.expected())}"
    row.add_row(f"{span(used)} of {span(limit)}", _bar(used, limit, finished="yellow"), soon)
    return row


def _rounds(rounds: Sequence[Row], wide: bool) -> Table:
    table = _grid(None, 1, None)
    for row in rounds:
        table.add_row(row.name if wide else _short(row.name), _bar(row.done, row.due), f"{row.done} of {row.due}")
    return table


def _tally(live: Live) -> Text:
    solved = "" if live.solved is None else f", {live.solved} solved so far"
    return _line(f"{live.answered} of {live.total} tasks answered{solved}", "bold")


def _workers(live: Live, lines: int, width: int) -> list[RenderableType]:
    """A row a worker; where there are not enough lines for all, the last says how many more there are."""
    shown = live.workers if len(live.workers) <= lines else live.workers[: lines - 1]
    table = _grid(None, None, 1, None, None, None)
    for worker in shown:
        table.add_row(*_worker(worker, live.since(worker), width))
    hidden = len(live.workers) - len(shown)
    return [*([table] if shown else []), *([_line(f"{hidden} workers more", "dim")] if hidden else [])]


def _worker(worker: Worker, used: float, width: int) -> tuple[RenderableType, ...]:
    """Its turn's round, how many of its adapters are trained, its tasks, and how much of its seconds is used."""
    name = Text(worker.name, "cyan")
    if not worker.task_ids:
        return name, Text(worker.state, "dim"), "", "", "", span(used) if worker.busy else ""
    bar = _bar(used, worker.seconds, width=BAR, finished="yellow") if width >= WIDE else ""
    loss = f"{worker.steps} steps, loss {worker.loss:.2f}" if worker.loss is not None and width >= WIDEST else ""
    tasks, spent = Text(printable(" ".join(worker.task_ids), ENCODING)), _of(used, worker.seconds)
    return name, _turn(worker, width), tasks, Text(loss, "dim"), bar, spent


def _turn(worker: Worker, width: int) -> str:
    """'adapter 2/4 trained'."""
    many = f" {worker.trained}/{len(worker.task_ids)}" if worker.trained else ""
    return f"{_short(round_name(worker.round))}{many}{' trained' if many and width >= WIDEST else ''}"


def _of(used: float, seconds: float) -> str:
    """'17 of 41 s', '12 of 60 min'."""
    if seconds < LONG:
        return f"{used:.0f} of {seconds:.0f} s"
    return f"{used / 60:.0f} of {seconds / 60:.0f} min"


def _short(name: str) -> str:
    """A round's name where there is little room."""
    return name.removesuffix(" model").replace("further adapter", "further").replace("shared adapter", "shared")


def _answers(answers: Iterable[Answer], wide: bool) -> Table:
    """The latest first."""
    table = _grid(None, None, None, 1, None) if wide else _grid(None, None, 1)
    for answer in answers:
        sign, style = SIGNS[answer.right]
        row = [Text(sign, style), Text(printable(answer.task_id, ENCODING))]
        if wide:
            loss = f", loss {answer.loss:.2f}" if answer.loss is not None else ""
            steps = f", {answer.steps} steps{loss}" if answer.steps else ""
            row += [Text(_said(answer)), Text(f"{round_name(answer.round)}{steps}", "dim")]
            table.add_row(*row, f"{answer.seconds:.1f} s")
        else:
            table.add_row(*row, Text(_said(answer)))
    return table


def _said(answer: Answer) -> str:
    """'votes 5 of 8 and 8 of 8', '2 answers of programs'."""
    if by_programs(answer.round):
        return programs_found(answer.programs)
    return "votes " + " and ".join(f"{first} of {total}" for first, total in answer.votes)


def _grid(*columns: int | None) -> Table:
    """A table without lines, each row one line of the terminal, the last column to the right.

    A column's number is its share of the width that the others leave.
    """
    table = Table.grid(padding=(0, 1), expand=True)
    for n, ratio in enumerate(columns, 1):
        right = n == len(columns) and not ratio
        table.add_column(ratio=ratio, no_wrap=True, overflow="ellipsis", justify="right" if right else "left")
    return table


def _bar(done: float, total: float, width: int | None = None, finished: str = "green") -> ProgressBar:
    most = max(total, 1e-9)  # nothing due is nothing done
    return ProgressBar(most, min(done, total), width=width, complete_style="cyan", finished_style=finished)


def _line(text: str | Text, style: str = "") -> Text:
    line = Text(printable(text, ENCODING), style) if isinstance(text, str) else text
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _title(text: str) -> Rule:
    return Rule(Text(text, "dim"), align="left", style="dim")
