"""One function of the lists' search on one list of grids, as the search applies it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solver.programs import compiled
from solver.programs.lists.functions import GENERAL, VARIANTS, Function
from solver.programs.lists.layout import AT, COLUMNS, SCRATCH, SIZE, H, W, X, Y
from solver.programs.lists.units import UNITS
from solver.types import Grid

NAMED = {f.name: f for f in GENERAL}


def run(function: Function | str, grids: Sequence[Grid], size: tuple[int, int] = (0, 0)) -> list[Grid]:
    """What the function makes of the grids; [] where it does not apply. `size`: the answer's, where it is deduced."""
    return [grid for grid, _ in run_placed(function, [(g, (0, 0)) for g in grids], size)]


def run_placed(
    function: Function | str, placed: Sequence[tuple[Grid, tuple[int, int]]], size: tuple[int, int] = (0, 0)
) -> list[tuple[Grid, tuple[int, int]]]:
    """The same with each grid's place (row, column)."""
    compiled.ready()
    one = NAMED[function] if isinstance(function, str) else function
    cells, items, scratch = (
        np.full(1 << 20, 77, np.uint8),
        np.zeros((512, COLUMNS), np.int32),
        np.zeros(SCRATCH, np.int32),
    )
    scratch[[SIZE, SIZE + 1]] = size
    at = 0
    for n, (grid, place) in enumerate(placed):
        items[n] = at, *grid.shape, *place
        end = at + grid.size + 7 & ~7
        cells[at:end] = 0
        cells[at : at + grid.size] = grid.ravel()
        at = end
    items[len(placed), AT] = at
    before = cells[:at].copy()
    which = one.number * VARIANTS + one.arg
    number = int(UNITS[one.unit](cells, items, 0, len(placed), len(placed), which, scratch))
    assert (cells[:at] == before).all(), "the cells that are read stay as they are"
    result = []
    for row in items[len(placed) : len(placed) + number]:
        area = int(row[H] * row[W])
        assert (cells[row[AT] + area : row[AT] + (area + 7 & ~7)] == 0).all(), "what fills up the last eight is 0"
        grid = cells[row[AT] : row[AT] + area].reshape(row[H], row[W]).copy()
        result.append((grid, (int(row[Y]), int(row[X]))))
    return result
