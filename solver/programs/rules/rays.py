"""Rules of rays: which cells send out a line, in which direction and colour, from what is known of them.

Each direction is looked at as if it were the same one, by turning the grid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product, zip_longest

import numpy as np
from numpy.typing import NDArray

from solver.programs.rules import cells
from solver.programs.rules.cell_features import features_at
from solver.programs.rules.cells import FittedRule
from solver.programs.rules.decision_tree import TimeLeft
from solver.programs.search import reproduces
from solver.types import Grid

DEPTH = 3  # tests in a rule of rays at most
CASES = 400  # cells that could send out a line, in a grid, beyond which there is no rule
STEPS = {"straight": (0, 1), "diagonal": (1, 1)}
Line = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Ray:
    """A cell that could send out a line, in a grid turned `turns` times: its place there, and the line's cells."""

    turns: int
    place: tuple[int, int]
    line: Line

    def colour(self, output: Grid) -> int | None:
        """The colour of the line in the output, 0 where there is none; None where it cannot be told."""
        colours = np.rot90(output, self.turns)[self.line]
        return int(colours[0]) if colours[0] == 0 or (colours == colours[0]).all() else None


def _line(grid: Grid, place: tuple[int, int], step: tuple[int, int], through: bool) -> Line:
    """Background cells from the place on, in a direction, to the edge or to what is in the way."""
    length = max(grid.shape)
    i, j = place[0] + step[0] * np.arange(1, length), place[1] + step[1] * np.arange(1, length)
    inside = (i < grid.shape[0]) & (j < grid.shape[1])
    i, j = i[inside], j[inside]
    free = grid[i, j] == 0
    if not through and not free.all():
        free = np.arange(len(free)) < free.argmin()
    return i[free], j[free]


def _cases(grid: Grid, kind: str, through: bool) -> list[Ray]:
    """All cells with background next to them, in each of four directions."""
    cases = []
    down, right = STEPS[kind]
    for turns in range(4):
        turned = np.rot90(grid, turns)
        rows, columns = turned.shape
        starts = turned[: rows - down, : columns - right] != 0
        for i, j in np.argwhere(starts & (turned[down:, right:] == 0)):
            place = int(i), int(j)
            cases.append(Ray(turns, place, _line(turned, place, STEPS[kind], through)))
    return cases


def _drawn(grid: Grid, cases: Sequence[Ray], colours: Sequence[int], last: int) -> Grid:
    """The grid with all lines; those of the directions `last` and its opposite on top."""
    drawn = grid.copy()
    for case, colour in sorted(zip(cases, colours, strict=True), key=lambda c: c[0].turns % 2 == last):
        if colour:
            np.rot90(drawn, case.turns)[case.line] = colour
    return drawn


def _cases_of_all(grids: Sequence[Grid], outputs: Sequence[Grid], kind: str, through: bool) -> list[list[Ray]]:
    """The cases of every grid; [] where lines cannot be all that changes."""
    every = []
    for grid, output in zip_longest(grids, outputs):
        cases = _cases(grid, kind, through)
        if not 1 <= len(cases) <= CASES:
            return []
        if output is not None:
            drawn = _drawn(grid, cases, [c.colour(output) or 0 for c in cases], 0)
            if not np.array_equal(drawn != 0, output != 0):
                return []
        every.append(cases)
    return every


def rays(grids: Sequence[Grid], outputs: Sequence[Grid], time_left: TimeLeft) -> Iterator[FittedRule]:
    """The grids, of the outputs' shapes, with lines from some cells to the edge or to what is in the way."""
    changed = [g != o for g, o in zip(grids, outputs, strict=False)]
    if not all(c.any() for c in changed) or any((g[c] != 0).any() for g, c in zip(grids, changed, strict=False)):
        return
    for kind, through in product(STEPS, (False, True)):
        cases = _cases_of_all(grids, outputs, kind, through)
        if cases and time_left():
            yield from _fitted(grids, outputs, cases, kind + (" through" if through else ""), time_left)


def _fitted(
    grids: Sequence[Grid], outputs: Sequence[Grid], cases: Sequence[Sequence[Ray]], name: str, time_left: TimeLeft
) -> Iterator[FittedRule]:
    shown = len(outputs)
    colours = [[c.colour(o) for c in row] for row, o in zip(cases, outputs, strict=False)]
    clear = [np.array([c is not None for c in row]) for row in colours]
    clear += [np.ones(len(row), bool) for row in cases[shown:]]
    described = [
        [replace(f, values=f.values[:, known]) for f in features_at(grid, [(c.turns, c.place) for c in row])]
        for grid, row, known in zip(grids, cases, clear, strict=True)
    ]
    wanted = [np.array([[c for c in row if c is not None]], np.uint8) for row in colours]
    for rule in cells.rules(described, wanted, time_left, DEPTH):
        decided = [np.zeros(len(row), np.uint8) for row in cases]
        for row, known, line_colours in zip(decided, clear, rule.grids, strict=True):
            row[known] = line_colours[0]
        for last in (0, 1):
            drawn = [_drawn(g, row, d.tolist(), last) for g, row, d in zip(grids, cases, decided, strict=True)]
            if reproduces(drawn, outputs):
                yield FittedRule(tuple(drawn), f"{name} {rule.text}", rule.cost)
                break
