"""The live view on a terminal, drawn with rich: the whole screen while the run goes on, gone without a trace after it.

Laws: it fits the terminal, however small, and follows it when its size changes; nothing is told by colour alone; texts
are shown as they are, never read as markup.
By hand, as rich does not: sharing few lines out, and when to draw (rich's own thread could not tell what broke).
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from solver.runtime.live import Live, StageAnswer, Worker, printable, span
from solver.types import by_programs, stage_name

ENCODING = "utf-8"  # of the terminals it is shown on
PAUSE, SECOND = 0.2, 1.0  # seconds between two pictures at least, and at most; one takes about 5 ms
ROOMY = 18  # lines from which sections have titles
WIDE = 64  # columns from which workers have bars
BAR = 8  # columns of a worker's bar
WARNED = 3  # warnings in sight where there is room, else the latest
FEWEST = 3  # lines kept for answers before workers get more than one line
SIGNS = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "dim")}  # whether a task is solved


def shows(stream: TextIO) -> bool:
    """Whether a live view can be drawn there: a terminal that knows UTF-8 and can move its cursor."""
    return (stream.encoding or ENCODING).lower().replace("-", "") == "utf8" and Console(file=stream).is_interactive


class Screen:
    """Shows a `Live` on a terminal from its making until `close`. Raises `OSError` where that can't be written to."""

    def __init__(self, live: Live, stream: TextIO) -> None:
        self._read, self._console = live.about.deadline.read, Console(file=stream, highlight=False)
        self._shown = RichLive(
            get_renderable=lambda: picture(live, *self._console.size),
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._drawn, self._size, self._new = self._read(), self._console.size, False
        self._shown.start(refresh=True)

    def draw(self, new: bool = True) -> None:
        """Bring the picture up to date, not too often; where nothing is `new` and the size the same, once a second."""
        now, size = self._read(), self._console.size
        self._new |= new or size != self._size
        if now - self._drawn >= (PAUSE if self._new else SECOND):
            self._drawn, self._size, self._new = now, size, False
            self._shown.refresh()

    def close(self) -> None:
        """Give the terminal back as it was before."""
        self._shown.stop()


def picture(live: Live, width: int, height: int) -> Group:
    """All sections, one below the other.

    Header and stages get what they need, then warnings and workers, both leaving a few lines; answers the rest. Where
    there are not enough lines for all workers, their last one says how many more there are.
    """
    titled = height >= ROOMY
    room = height - len(live.stages) - 3 - (3 if titled else 0)  # header, time and tally; the titles there always are
    warned = min(len(live.warnings), WARNED if titled else 1, max(1, room - FEWEST))
    room -= warned + (titled and warned > 0)
    lines = min(len(live.workers), max(2, room - FEWEST))
    workers = live.workers[: lines if lines == len(live.workers) else lines - 1]
    hidden, solved = len(live.workers) - len(workers), "" if live.solved is None else f", {live.solved} solved so far"
    about, weights = live.about, live.about.weights and f"weights {live.about.weights}"
    seed = None if about.seed is None else f"seed {about.seed}"
    header = " · ".join(filter(None, (about.name, f"{live.total} tasks", seed, weights)))
    stages = ((name, _bar(done, due), f"{done} of {due}") for name, done, due in live.stages)
    sections: dict[str, list[RenderableType]] = {
        "Stages": [_table(stages, 1), _text(f"{live.answered} of {live.total} tasks answered{solved}", "bold")],
        "Workers": [_table((_worker(worker, live.since(worker), width) for worker in workers), 1)] if workers else [],
        f"Warnings: {live.warned}": [_text(f"! {text}", "yellow") for text in [*live.warnings][-warned:]],
        "Latest answers": [_table(map(_answer, islice(reversed(live.latest), max(0, room - lines))), 2)],
    }
    sections["Workers"] += [_text(f"{hidden} workers more", "dim")] if hidden else []
    parts = [_text(header, "bold"), _time(live)]
    for title, rows in sections.items():
        parts += [*([Rule(_text(title, "dim"), align="left", style="dim")] if titled and rows else []), *rows]
    return Group(*parts)


def _time(live: Live) -> RenderableType:
    """The seconds used and left, and what is expected of them."""
    limit, left = live.about.limit, live.about.deadline.remaining()
    if limit == float("inf"):
        return _text("no time limit", "dim")
    soon = f"{span(left)} left, done in {span(live.expected())}, of {span(limit)}"
    return _table([(_bar(limit - left, limit, finished="yellow"), soon)], 0)


def _worker(worker: Worker, used: float, width: int) -> Sequence[RenderableType]:
    """Its batch's stage, how many of its adapters are trained ('adapter 2/4'), its tasks, and the seconds used."""
    name = _text(worker.name, "cyan")
    if not worker.task_ids:
        return name, _text(worker.state, "dim"), *([""] * (width >= WIDE)), span(used) if worker.busy else ""
    many = f" {worker.trained}/{len(worker.task_ids)}" if worker.trained else ""
    last = "" if worker.loss is None else f", {worker.steps} steps, loss {worker.loss:.2f}"
    doing = f"{stage_name(worker.stage)}{many} {' '.join(worker.task_ids)}{last}"
    bars = [_bar(used, worker.seconds, BAR, "yellow")] if width >= WIDE else []
    return name, doing, *bars, f"{span(used)} of {span(worker.seconds)}"


def _answer(answer: StageAnswer) -> Sequence[RenderableType]:
    """Whether it is right, what it came to, and how."""
    how = "" if by_programs(answer.stage) else f", {stage_name(answer.stage)}"
    how += f", {answer.steps} steps" if answer.steps else ""
    how += f", loss {answer.loss:.2f}" if answer.loss is not None else ""
    return _text(*SIGNS[answer.right]), answer.task_id, f"{answer.text}{how}", f"{answer.seconds:.1f} s"


def _table(rows: Iterable[Sequence[RenderableType]], flexible: int) -> Table:
    """A table without lines, each row one line of the terminal; the flexible column takes what the others leave."""
    table = Table.grid(padding=(0, 1), expand=True)
    for row in rows:
        while len(table.columns) < len(row):
            at = len(table.columns)
            last = at > flexible and at == len(row) - 1
            ratio = 1 if at == flexible else None
            table.add_column(ratio=ratio, no_wrap=True, overflow="ellipsis", justify="right" if last else "left")
        table.add_row(*(_text(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def _bar(done: float, total: float, width: int | None = None, finished: str = "green") -> ProgressBar:
    most = max(total, 1e-9)  # nothing due is nothing done
    return ProgressBar(most, min(done, total), width=width, complete_style="cyan", finished_style=finished)


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text, ENCODING), style, no_wrap=True, overflow="ellipsis")
