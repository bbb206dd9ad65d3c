"""What is known of a grid as a whole, and of the cells of an empty grid of another shape."""

from __future__ import annotations

import numpy as np

from solver.programs.primitives import regions
from solver.programs.rules.cell_features import place_features
from solver.programs.rules.feature import Feature, feature
from solver.types import Grid


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
