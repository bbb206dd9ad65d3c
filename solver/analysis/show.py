"""`python -m solver show TASK…`: tasks as pictures: in the terminal, as SVG for pages and papers, as PNG.

Law: a picture shows every cell of every grid of a task, test outputs only where they are asked for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from solver.analysis.page import filled
from solver.analysis.solutions import read_solutions
from solver.data.splits import SPLITS
from solver.data.tasks import load_challenges, load_split, select
from solver.types import COLOURS, BadInput, Grid, Task

if TYPE_CHECKING:
    from PIL import Image

PALETTE = (  # the colours people know from the ARC pages, by number
    *("#000000", "#0074D9", "#FF4136", "#2ECC40", "#FFDC00"),
    *("#AAAAAA", "#F012BE", "#FF851B", "#7FDBFF", "#870C25"),
)
LIGHT = (3, 4, 5, 6, 7, 8)  # colours on which dark digits read better than light ones
CELL = 16  # pixels of a cell's side in a picture
GAP = 24  # pixels between two grids
LABEL = 20  # pixels of a line of text
LINE = "#555555"  # between cells
DEFAULT_SPLITS = tuple(name for name, split in SPLITS.items() if not split.ids)  # where a bare id is looked for


@dataclass(frozen=True, eq=False)
class Panel:
    """A grid in its place, all in pixels of the picture, with a word above it; what that takes is included."""

    label: str
    grid: Grid
    left: int
    top: int

    @property
    def width(self) -> int:
        return max(int(self.grid.shape[1]) * CELL, 7 * len(self.label))

    @property
    def height(self) -> int:
        return LABEL + int(self.grid.shape[0]) * CELL


@dataclass(frozen=True, eq=False)
class Picture:
    """Panels on a page of `width` × `height` pixels; `titles`: (text, top)."""

    panels: Sequence[Panel]
    titles: Sequence[tuple[str, int]]
    width: int
    height: int


def rows_of(task: Task, answers: Sequence[Grid] = ()) -> list[list[tuple[str, Grid]]]:
    """A task's grids in rows, each with its name: a row a pair, then a row a test input (with its answer, if given)."""
    rows = [[(f"input {n}", p.input), (f"output {n}", p.output)] for n, p in enumerate(task.demonstrations, 1)]
    for n, grid in enumerate(task.tests, 1):
        rows.append([(f"test input {n}", grid), *((f"test output {n}", g) for g in answers[n - 1 : n])])
    return rows


def layout(tasks: Iterable[tuple[Task, Sequence[Grid]]]) -> Picture:
    """Tasks below each other, their pairs next to each other."""
    panels: list[Panel] = []
    titles: list[tuple[str, int]] = []
    top = width = GAP
    for task, answers in tasks:
        titles.append((task.id, top))
        top, left, deepest = top + LABEL + GAP // 2, GAP, top
        for row in rows_of(task, answers):
            below, widest = top, 0
            for label, grid in row:
                panels.append(Panel(label, grid, left, below))
                below += panels[-1].height + GAP // 2
                widest = max(widest, panels[-1].width)
            left, deepest = left + widest + GAP, max(deepest, below)
        top, width = deepest + GAP, max(width, left)
    return Picture(panels, titles, width, top)


# ---- SVG -------------------------------------------------------------------------------------------------------------


def path_of(grid: Grid, colour: int, side: int = 1) -> str:
    """Every cell of one colour as one SVG path of horizontal runs; '' where the colour is not in the grid."""
    runs = []
    for r, row in enumerate(grid):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], row == colour, [0]))))
        for start, stop in edges.reshape(-1, 2).tolist():
            runs.append(f"M{start * side} {r * side}h{(stop - start) * side}v{side}H{start * side}z")
    return "".join(runs)


def svg(picture: Picture, digits: bool = False) -> str:
    """The picture as SVG."""
    look = {"palette": PALETTE, "light": LIGHT, "path": path_of, "cell": CELL, "label": LABEL, "line": LINE}
    return filled("grids.svg", picture=picture, digits=digits, **look)


# ---- PNG -------------------------------------------------------------------------------------------------------------


def png(picture: Picture, digits: bool = False) -> Image.Image:
    """The picture as pixels, twice as fine as its measures."""
    from PIL import Image, ImageDraw, ImageFont

    fine = 2
    image = Image.new("RGB", (picture.width * fine, picture.height * fine), "white")
    draw = ImageDraw.Draw(image)
    small, large = ImageFont.load_default(11 * fine), ImageFont.load_default(15 * fine)
    for text, top in picture.titles:
        draw.text((GAP * fine, top * fine), text, fill="black", font=large)
    side = CELL * fine
    for panel in picture.panels:
        draw.text((panel.left * fine, panel.top * fine), panel.label, fill="#444444", font=small)
        for (r, c), colour in np.ndenumerate(panel.grid):
            left, top = panel.left * fine + c * side, (panel.top + LABEL) * fine + r * side
            draw.rectangle((left, top, left + side, top + side), fill=PALETTE[colour], outline=LINE)
            if digits:
                ink = "black" if colour in LIGHT else "white"
                draw.text((left + side / 2, top + side / 2), str(colour), fill=ink, font=small, anchor="mm")
    return image


# ---- the terminal ----------------------------------------------------------------------------------------------------


def ansi(grid: Grid, colour: bool, digits: bool) -> list[str]:
    """A grid's rows for a terminal, two characters a cell; plain digits where there is no colour."""
    cells = [f"{cell} " for cell in range(COLOURS)]
    if colour:
        for cell, (red, green, blue) in enumerate(bytes.fromhex(name[1:]) for name in PALETTE):
            ink = "30" if cell in LIGHT else "97"
            cells[cell] = f"\x1b[48;2;{red};{green};{blue};{ink}m{cell if digits else ' '} \x1b[0m"
    return ["".join(cells[cell] for cell in row) for row in grid.tolist()]


def text(task: Task, answers: Sequence[Grid], colour: bool, digits: bool) -> str:
    """A task for a terminal: each row of grids side by side."""
    lines = [f"task {task.id}"]
    for row in rows_of(task, answers):
        height, blocks = max(len(grid) for _, grid in row), []
        for label, grid in row:
            width = max(2 * grid.shape[1], len(label))  # characters
            cells = [line + " " * (width - 2 * grid.shape[1]) for line in ansi(grid, colour, digits)]
            blocks.append([label.ljust(width), *cells, *[" " * width] * (height - len(cells))])
        lines += ["", *map("   ".join, zip(*blocks, strict=True))]
    return "\n".join(line.rstrip(" ") for line in lines)


def _task_at(given: argparse.Namespace) -> tuple[list[Task], Mapping[str, Sequence[Grid]]]:
    """The tasks asked for, in that order, and their test outputs if they were asked for. Raises `BadInput`."""
    if given.answers and given.challenges:
        raise BadInput("--answers came with --challenges: a challenges file has none; pass --split instead")
    split = given.split
    if not given.challenges and not split:  # the first that has all these tasks, or the last
        has_all = (name for name in DEFAULT_SPLITS if load_split(name).tests.keys() >= set(given.tasks))
        split = next(has_all, DEFAULT_SPLITS[-1])
    task_set = load_split(split) if split else load_challenges(given.challenges)
    chosen = {task.id: task for task in select(task_set, given.tasks, None).tasks}
    lost = [task_id for task_id in given.tasks if task_id not in chosen]
    if lost:
        raise BadInput(f"task {lost[0]} of {task_set.name} is malformed and cannot be shown; name another")
    return [chosen[i] for i in given.tasks], read_solutions(split) if split and given.answers else {}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Exit status 0: shown; 2: no such task, or a file that cannot be read or written."""
    parser = argparse.ArgumentParser(prog="python -m solver show", description="Show tasks as pictures.")
    parser.add_argument("tasks", nargs="+", metavar="TASK", help="task ids")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--challenges", type=Path, metavar="PATH", help="where they are: a JSON file or folder")
    source.add_argument("--split", metavar="NAME", help="where they are: an embedded set (default: all of them)")
    parser.add_argument("--answers", action="store_true", help="show the test outputs too (embedded sets)")
    parser.add_argument("--digits", action="store_true", help="write each cell's number in it")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write an SVG file")
    parser.add_argument("--png", type=Path, metavar="FILE", help="write a PNG file")
    parser.add_argument("--no-colour", action="store_true", help="digits alone, as when printing to a file")
    given = parser.parse_args(argv)
    try:
        tasks, answers = _task_at(given)
        picture = layout((task, answers.get(task.id, ())) for task in tasks)
        if given.svg:
            given.svg.write_text(svg(picture, given.digits), encoding="utf-8")
        if given.png:
            png(picture, given.digits).save(given.png, format="PNG", optimize=True)
    except (BadInput, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for path in filter(None, (given.svg, given.png)):
        print(path)
    if not given.svg and not given.png:
        coloured = sys.stdout.isatty() and not given.no_colour
        print("\n\n".join(text(task, answers.get(task.id, ()), coloured, given.digits) for task in tasks))
    return 0
