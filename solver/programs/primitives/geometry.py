"""Primitives that move, repeat, scale and cut whole grids."""

from collections.abc import Callable, Sized

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Mask, box, by_frequency, commonest, commonest_of_all, rarest
from solver.programs.primitives.registry import UNARY, define, register, to_each_side, variants
from solver.types import Grid

define(UNARY, "rotate_90", "A quarter turn against the clock.", lambda grid: np.rot90(grid), 0.8)
define(UNARY, "rotate_180", "Half a turn.", lambda grid: np.rot90(grid, 2), 0.8)
define(UNARY, "rotate_270", "A quarter turn with the clock.", lambda grid: np.rot90(grid, 3), 0.8)
define(UNARY, "flip_left_right", "The mirror image, left and right exchanged.", lambda grid: grid[:, ::-1], 0.8)
define(UNARY, "flip_up_down", "The mirror image, top and bottom exchanged.", lambda grid: grid[::-1], 0.8)
define(UNARY, "transpose", "Rows become columns.", lambda grid: grid.T, 0.8)
define(UNARY, "transpose_other", "Mirrored along the other diagonal.", lambda grid: grid[::-1, ::-1].T)


@to_each_side("mirror", "The grid continued {} by its mirror image.")
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


@variants(
    fractal=(lambda g: g != 0, "A copy of the grid in place of every cell that is not background."),
    fractal_of_commonest=(
        lambda g: g == commonest_of_all(g),
        "A copy in place of every cell of the most frequent colour.",
    ),
)
def _copied(grid: Grid, mask: Callable[[Grid], Mask]) -> Grid:
    return np.kron(mask(grid).astype(np.uint8), grid)


@variants(
    crop=(lambda g: g != 0, "The smallest box around everything that is not background."),
    crop_rarest=(lambda g: g == rarest(g), "The smallest box around the least frequent colour."),
    crop_commonest=(lambda g: g == commonest(g), "The smallest box around the most frequent colour but background."),
)
def _cropped(grid: Grid, mask: Callable[[Grid], Mask]) -> Grid | None:
    around = box(mask(grid))
    return grid[around] if around else None


@register(UNARY)
def drop_repeats(grid: Grid) -> Grid:
    """Without rows and columns that equal the one before."""
    for _ in range(2):
        grid = grid[np.concatenate([[True], (grid[1:] != grid[:-1]).any(1)])].T
    return grid


@register(UNARY)
def drop_plain(grid: Grid) -> Grid:
    """Without rows and columns of a single colour."""
    rows, columns = (grid != grid[:, :1]).any(1), (grid != grid[:1]).any(0)
    return np.asarray(grid[rows][:, columns], np.uint8)


@register(UNARY)
def smallest_tile(grid: Grid) -> Grid:
    """The smallest rectangle in the top left corner whose repetition makes the grid."""
    return grid[: regions.period(grid.tolist()), : regions.period(grid.T.tolist())]


@to_each_side("roll", "Moved one cell {}, around the edge.")
def _rolled(grid: Grid) -> Grid:
    return np.roll(grid, 1, 1)


@to_each_side("shift", "Moved one cell {}; background comes in.")
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
    inwards = (min(grid.shape) - 1) // 2 - regions.ring(*grid.shape)
    return np.asarray(grid[inwards, inwards], np.uint8)
