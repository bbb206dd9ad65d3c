"""Primitives that move, repeat, scale and cut whole grids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from solver.programs.primitives.regions import Mask, box, commonest, counts, rarest, ring
from solver.programs.primitives.registry import UNARY, Unary, define, in_directions, register
from solver.types import Grid

define(UNARY, "rotate_90", "A quarter turn against the clock.", lambda grid: np.rot90(grid), 0.8)
define(UNARY, "rotate_180", "Half a turn.", lambda grid: np.rot90(grid, 2), 0.8)
define(UNARY, "rotate_270", "A quarter turn with the clock.", lambda grid: np.rot90(grid, 3), 0.8)
define(UNARY, "flip_left_right", "The mirror image, left and right exchanged.", lambda grid: grid[:, ::-1], 0.8)
define(UNARY, "flip_up_down", "The mirror image, top and bottom exchanged.", lambda grid: grid[::-1], 0.8)
define(UNARY, "transpose", "Rows become columns.", lambda grid: grid.T, 0.8)
define(UNARY, "transpose_other", "Mirrored along the other diagonal.", lambda grid: grid[::-1, ::-1].T)


@in_directions(
    UNARY,
    mirror_right=(0, "The grid, to its right its mirror image."),
    mirror_left=(2, "The grid, to its left its mirror image."),
    mirror_down=(1, "The grid, below it its mirror image."),
    mirror_up=(3, "The grid, above it its mirror image."),
)
def _mirrored(grid: Grid) -> Grid:
    return np.hstack([grid, grid[:, ::-1]])


@register(UNARY)
def four_turns(grid: Grid) -> Grid | None:
    """A square grid and its three turns around the middle."""
    if grid.shape[0] != grid.shape[1]:
        return None
    return np.block([[grid, np.rot90(grid, 3)], [np.rot90(grid), np.rot90(grid, 2)]])


def _scaled(grid: Grid, by: int) -> Grid | None:
    if not 1 <= by <= 30 // max(grid.shape):
        return None
    return np.kron(grid, np.ones((by, by), np.uint8))


@register(UNARY)
def scale_by_colours(grid: Grid) -> Grid | None:
    """Every cell as n × n cells, n the number of colours but the background."""
    return _scaled(grid, int((counts(grid)[1:] > 0).sum()))


@register(UNARY)
def scale_by_cells(grid: Grid) -> Grid | None:
    """Every cell as n × n cells, n the number of cells that are not background."""
    return _scaled(grid, int((grid != 0).sum()))


@register(UNARY)
def fractal(grid: Grid) -> Grid:
    """A copy of the grid in place of every cell that is not background."""
    return np.kron((grid != 0).astype(np.uint8), grid)


@register(UNARY)
def fractal_of_commonest(grid: Grid) -> Grid:
    """A copy of the grid in place of every cell of its most frequent colour."""
    return np.kron((grid == counts(grid).argmax()).astype(np.uint8), grid)


define(UNARY, "trim", "Without the outermost cells on all four sides.", lambda grid: grid[1:-1, 1:-1])


def _cropped(mask: Callable[[Grid], Mask]) -> Unary:
    def run(grid: Grid) -> Grid | None:
        around = box(mask(grid))
        return grid[around] if around else None

    return run


define(UNARY, "crop", "The smallest box around everything that is not background.", _cropped(lambda g: g != 0))
define(UNARY, "crop_rarest", "The smallest box around the least frequent colour.", _cropped(lambda g: g == rarest(g)))
define(
    UNARY,
    "crop_commonest",
    "The smallest box around the most frequent colour but the background.",
    _cropped(lambda g: g == commonest(g)),
)


@register(UNARY)
def drop_repeats(grid: Grid) -> Grid:
    """Without rows and columns that equal the one before."""
    rows = np.concatenate([[True], (grid[1:] != grid[:-1]).any(1)])
    grid = grid[rows]
    return grid[:, np.concatenate([[True], (grid[:, 1:] != grid[:, :-1]).any(0)])]


@register(UNARY)
def drop_plain(grid: Grid) -> Grid:
    """Without rows and columns of a single colour."""
    rows, columns = (grid != grid[:, :1]).any(1), (grid != grid[:1]).any(0)
    return np.asarray(grid[rows][:, columns], np.uint8)


@register(UNARY)
def smallest_tile(grid: Grid) -> Grid | None:
    """The smallest rectangle in the top left corner whose repetition makes the grid."""
    rows, columns = grid.shape
    height = next(h for h in range(1, rows + 1) if (grid[h:] == grid[: rows - h]).all())
    width = next(w for w in range(1, columns + 1) if (grid[:, w:] == grid[:, : columns - w]).all())
    return grid[:height, :width]


@in_directions(
    UNARY,
    roll_right=(0, "Moved one cell to the right, around the edge."),
    roll_left=(2, "Moved one cell to the left, around the edge."),
    roll_down=(1, "Moved one cell down, around the edge."),
    roll_up=(3, "Moved one cell up, around the edge."),
)
def _rolled(grid: Grid) -> Grid:
    return np.roll(grid, 1, 1)


@in_directions(
    UNARY,
    shift_right=(0, "Moved one cell to the right; background comes in."),
    shift_down=(1, "Moved one cell down; background comes in."),
    shift_left=(2, "Moved one cell to the left; background comes in."),
    shift_up=(3, "Moved one cell up; background comes in."),
)
def _shifted(grid: Grid) -> Grid:
    return np.pad(grid, ((0, 0), (1, 0)))[:, :-1]


@register(UNARY)
def pad_with_edge(grid: Grid) -> Grid:
    """The outermost cells once more on all four sides, background in the corners."""
    wider = np.pad(grid, 1, mode="edge")
    wider[[0, 0, -1, -1], [0, -1, 0, -1]] = 0
    return wider


@register(UNARY)
def reverse_rings(grid: Grid) -> Grid:
    """The colours of concentric rings in reverse order, each ring's colour taken at its top left cell."""
    inwards = (min(grid.shape) - 1) // 2 - ring(*grid.shape)
    return np.asarray(grid[inwards, inwards], np.uint8)
