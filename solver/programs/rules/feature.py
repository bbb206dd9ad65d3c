"""A cell feature: one thing known of every cell of a grid; those that only say where a cell is, or are of a whole grid.

Kinds: a "colour" is 0–9, or `NONE`; a "number" is a small integer; a "flag" is 0 or 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.programs.primitives import regions
from solver.types import Grid

NONE = 10  # of a colour: there is no such cell

Values = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Feature:
    """One thing known of every cell: `values` int16 [rows, columns]; `cost` is what a rule pays to use it."""

    name: str
    kind: str
    values: Values
    cost: float


def feature(kind: str, name: str, values: NDArray[np.generic], cost: float) -> Feature:
    """A feature from values of any type that fit into int16."""
    return Feature(name, kind, np.asarray(values, np.int16), cost)


def place_features(rows: int, columns: int) -> Iterator[Feature]:
    """Where each cell of a grid of this shape is."""
    i, j = np.indices((rows, columns))
    for name, values, cost in (
        ("row", i, 1.5), ("column", j, 1.5), ("row_from_bottom", rows - 1 - i, 1.7),
        ("column_from_right", columns - 1 - j, 1.7), ("row_mod_2", i % 2, 1.0), ("column_mod_2", j % 2, 1.0),
        ("row_mod_3", i % 3, 1.3), ("column_mod_3", j % 3, 1.3), ("sum_mod_3", (i + j) % 3, 1.6),
        ("bottom_mod_2", (rows - 1 - i) % 2, 1.4), ("right_mod_2", (columns - 1 - j) % 2, 1.4),
        ("ring", regions.ring(rows, columns), 1.2),
        ("diagonal", i - j, 1.6), ("diagonal_other", i - (columns - 1 - j), 1.6),
    ):  # fmt: skip
        yield feature("number", name, np.clip(values, -10, 10), cost)
    yield feature("flag", "sum_odd", (i + j) % 2, 0.9)
    yield feature("flag", "middle_row", i * 2 == rows - 1, 1.5)
    yield feature("flag", "middle_column", j * 2 == columns - 1, 1.5)


def facts_of_grid(grid: Grid) -> list[tuple[str, str, int]]:
    """What is known of the grid as a whole: (kind, name, value)."""
    of = regions.counts(grid)
    numbers = {
        "things": len(regions.of_any_diagonal(grid)), "regions": len(regions.of_colour_diagonal(grid)),
        "regions_by_sides": len(regions.of_colour(grid)), "colours": int((of[1:] > 0).sum()),
        "cells": int((grid != 0).sum()), "enclosed_cells": int(regions.enclosed(grid).sum()),
        "rows": grid.shape[0], "columns": grid.shape[1],
    }  # fmt: skip
    flags = {
        "symmetric_across": (grid == grid[:, ::-1]).all(), "symmetric_down": (grid == grid[::-1]).all(),
        "symmetric_diagonal": grid.shape[0] == grid.shape[1] and (grid == grid.T).all(),
        **{f"has_{c}": of[c] > 0 for c in range(10)},
    }  # fmt: skip
    colours = {
        "top_left": grid[0, 0], "top_right": grid[0, -1], "bottom_left": grid[-1, 0], "bottom_right": grid[-1, -1],
        "commonest": regions.commonest(grid), "rarest": regions.rarest(grid),
    }  # fmt: skip
    return [
        *(("number", f"whole_{name}", min(value, 100)) for name, value in numbers.items()),
        *(("flag", f"whole_{name}", int(value)) for name, value in flags.items()),
        *(("colour", f"whole_{name}", int(value)) for name, value in colours.items()),
    ]


def spread(grid: Grid, rows: int, columns: int) -> list[Feature]:
    """The facts of a grid as features of all cells of another shape."""
    return [feature(kind, name, np.full((rows, columns), v), 1.2) for kind, name, v in facts_of_grid(grid)]


def canvas(grid: Grid, rows: int, columns: int) -> list[Feature]:
    """Features of an empty grid of this shape that knows where its cells are and what the given grid is as a whole."""
    empty = feature("colour", "colour", np.zeros((rows, columns)), 0.5)
    return [empty, *place_features(rows, columns), *spread(grid, rows, columns)]
