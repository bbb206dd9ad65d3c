"""Rules of rays: which cells send out a line, in which direction and colour, from what is known of them.

Knows nothing of how states were found. Each direction is looked at as if it were the same one, by turning the grid.
Law: what is returned reproduces every demonstration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.programs.rules import cells
from solver.programs.rules.cell_features import Plane, planes
from solver.programs.rules.cells import Learned
from solver.programs.search import aligned
from solver.programs.values import State
from solver.types import Grid, same

DEPTH = 3  # tests in a rule of rays at most
CASES = 400  # cells that could send out a line, in a grid, beyond which there is no rule
STEPS = {"straight": (0, 1), "diagonal": (1, 1)}
Line = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Case:
    """A cell that could send out a line, in a grid turned `turns` times: its place there, and the line's cells."""

    turns: int
    place: tuple[int, int]
    line: Line


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


def cases(grid: Grid, kind: str, through: bool) -> list[Case]:
    """All cells with background next to them, in each of four directions."""
    found = []
    down, right = STEPS[kind]
    for turns in range(4):
        turned = np.rot90(grid, turns)
        rows, columns = turned.shape
        starts = turned[: rows - down, : columns - right] != 0
        for i, j in np.argwhere(starts & (turned[down:, right:] == 0)):
            place = int(i), int(j)
            found.append(Case(turns, place, _line(turned, place, STEPS[kind], through)))
    return found


def _wanted(case: Case, output: Grid) -> int | None:
    """The colour of the line in the output, 0 where there is none; None where it cannot be told."""
    seen = np.rot90(output, case.turns)[case.line]
    if seen[0] == 0 or (seen == seen[0]).all():
        return int(seen[0])
    return None


def _drawn(grid: Grid, found: Sequence[Case], colours: Sequence[int], last: int) -> Grid:
    """The grid with all lines; those of the directions `last` and its opposite on top."""
    made = grid.copy()
    for case, colour in sorted(zip(found, colours, strict=True), key=lambda c: c[0].turns % 2 == last):
        if colour:
            np.rot90(made, case.turns)[case.line] = colour
    return made


def _described(grid: Grid, found: Sequence[Case]) -> list[Plane]:
    """What is known of the cells, as planes of one row."""
    every = [planes(np.ascontiguousarray(np.rot90(grid, turns))) for turns in range(4)]
    rows = [[c.place for c in found if c.turns == turns] for turns in range(4)]
    index = [tuple(np.array(r, np.int64).reshape(-1, 2).T) for r in rows]
    joined = []
    for number, plane in enumerate(every[0]):
        values = np.concatenate([e[number].values[i] for e, i in zip(every, index, strict=True)])
        joined.append(Plane(plane.name, plane.kind, values[None], plane.cost))
    return joined


def _told(grids: Sequence[Grid], outputs: Sequence[Grid], kind: str, through: bool) -> list[list[Case]] | None:
    """The cases of every grid, if lines in the outputs could be all that changes."""
    found = []
    for n, grid in enumerate(grids):
        mine = cases(grid, kind, through)
        if not 1 <= len(mine) <= CASES:
            return None
        found.append(mine)
        if n < len(outputs):
            best = _drawn(grid, mine, [_wanted(c, outputs[n]) or 0 for c in mine], 0)
            if not np.array_equal(best != 0, outputs[n] != 0):
                return None
    return found


def rays(state: State, outputs: Sequence[Grid], more: Callable[[], bool]) -> Iterator[Learned]:
    """The state with lines from some of its cells, straight or diagonal, to the edge or to what is in the way."""
    if not aligned(state, outputs):
        return
    changed = [g != o for g, o in zip(state.grids, outputs, strict=False)]
    if not all(c.any() for c in changed) or any((g[c] != 0).any() for g, c in zip(state.grids, changed, strict=False)):
        return
    for kind in STEPS:
        for through in (False, True):
            found = _told(state.grids, outputs, kind, through)
            if found is None or not more():
                continue
            yield from _learned(state.grids, outputs, found, kind + (" through" if through else ""), more)


def _learned(
    grids: Sequence[Grid], outputs: Sequence[Grid], found: Sequence[Sequence[Case]], name: str, more: Callable[[], bool]
) -> Iterator[Learned]:
    shown = len(outputs)
    described, wanted = [], []
    for n, (grid, mine) in enumerate(zip(grids, found, strict=True)):
        every = [_wanted(c, outputs[n]) for c in mine] if n < shown else [0] * len(mine)
        clear = [k for k, colour in enumerate(every) if colour is not None]
        table = _described(grid, mine)
        described.append([Plane(p.name, p.kind, p.values[:, clear], p.cost) for p in table])
        if n < shown:
            wanted.append(np.array([[every[k] for k in clear]], np.uint8))
    for rule in cells.rules(described, wanted, DEPTH, more):
        told = [np.zeros(len(mine), np.uint8) for mine in found]
        for n, mine in enumerate(found):
            clear = [k for k, c in enumerate(mine) if n >= shown or _wanted(c, outputs[n]) is not None]
            told[n][clear] = rule.grids[n][0]
        for last in (0, 1):
            made = [_drawn(g, mine, t.tolist(), last) for g, mine, t in zip(grids, found, told, strict=True)]
            if all(same(m, o) for m, o in zip(made, outputs, strict=False)):
                yield Learned(tuple(made), f"{name} {rule.text}", rule.cost)
                break
