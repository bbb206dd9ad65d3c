"""Primitives that move, repeat, scale and cut whole grids."""

from collections.abc import Callable, Sized

import numpy as np

from solver.programs.primitives.regions import Mask, box, by_frequency, commonest, commonest_of_all, rarest, ring
from solver.programs.primitives.registry import UNARY, define, in_directions, register, variants
from solver.types import Grid

define(UNARY, "rotate_90", "A quarter turn against the clock.", lambda grid: np.rot90(grid), 0.8)
define(UNARY, "rotate_180", "Half a turn.", lambda grid: np.rot90(grid, 2), 0.8)
define(UNARY, "rotate_270", "A quarter turn with the clock.", lambda grid: np.rot90(grid, 3), 0.8)
define(UNARY, "flip_left_right", "The mirror image, left and right exchanged.", lambda grid: grid[:, ::-1], 0.8)
define(UNARY, "flip_up_down", "The mirror image, top and bottom exchanged.", lambda grid: grid[::-1], 0.8)
define(UNARY, "transpose", "Rows become columns.", lambda grid: grid.T, 0.8)
define(UNARY, "transpose_other", "Mirrored along the other diagonal.", lambda grid: grid[::-1, ::-1].T)


@in_directions(
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


@variants(
    scale_by_colours=(by_frequency, "Every cell as n × n cells, n the number of colours but the background."),
    scale_by_cells=(np.flatnonzero, "Every cell as n × n cells, n the number of cells that are not background."),
)
def _scaled(grid: Grid, counted: Callable[[Grid], Sized]) -> Grid | None:
    by = len(counted(grid))
    return np.kron(grid, np.ones((by, by), np.uint8)) if 1 <= by <= 30 // max(grid.shape) else None


define(UNARY, "trim", "Without the outermost cells on all four sides.", lambda grid: grid[1:-1, 1:-1])


def _cells(grid: Grid, colour: Callable[[Grid], int] | None) -> Mask:
    """The cells of a colour; None: all but the background."""
    return np.asarray(grid != 0 if colour is None else grid == colour(grid))


@variants(
    fractal=(None, "A copy of the grid in place of every cell that is not background."),
    fractal_of_commonest=(commonest_of_all, "A copy of the grid in place of every cell of its most frequent colour."),
)
def _copied(grid: Grid, colour: Callable[[Grid], int] | None) -> Grid:
    return np.kron(_cells(grid, colour).astype(np.uint8), grid)


@variants(
    crop=(None, "The smallest box around everything that is not background."),
    crop_rarest=(rarest, "The smallest box around the least frequent colour."),
    crop_commonest=(commonest, "The smallest box around the most frequent colour but the background."),
)
def _cropped(grid: Grid, colour: Callable[[Grid], int] | None) -> Grid | None:
    around = box(_cells(grid, colour))
    return grid[around] if around else None


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
    roll_right=(0, "Moved one cell to the right, around the edge."),
    roll_left=(2, "Moved one cell to the left, around the edge."),
    roll_down=(1, "Moved one cell down, around the edge."),
    roll_up=(3, "Moved one cell up, around the edge."),
)
def _rolled(grid: Grid) -> Grid:
    return np.roll(grid, 1, 1)


@in_directions(
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
