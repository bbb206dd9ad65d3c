"""Primitives that move, repeat, scale and cut whole grids.

Knows nothing of tasks. Law: as in `registry`; colour 0 is the background.
"""

from __future__ import annotations

import numpy as np

from solver.programs.primitives.regions import box, commonest, counts, rarest
from solver.programs.primitives.registry import UNARY, register
from solver.types import Grid


@register(UNARY, 0.8)
def rotate_90(grid: Grid) -> Grid:
    """A quarter turn against the clock."""
    return np.rot90(grid)


@register(UNARY, 0.8)
def rotate_180(grid: Grid) -> Grid:
    """Half a turn."""
    return np.rot90(grid, 2)


@register(UNARY, 0.8)
def rotate_270(grid: Grid) -> Grid:
    """A quarter turn with the clock."""
    return np.rot90(grid, 3)


@register(UNARY, 0.8)
def flip_left_right(grid: Grid) -> Grid:
    """The mirror image, left and right exchanged."""
    return grid[:, ::-1]


@register(UNARY, 0.8)
def flip_up_down(grid: Grid) -> Grid:
    """The mirror image, top and bottom exchanged."""
    return grid[::-1]


@register(UNARY, 0.8)
def transpose(grid: Grid) -> Grid:
    """Rows become columns."""
    return grid.T


@register(UNARY)
def transpose_other(grid: Grid) -> Grid:
    """Mirrored along the other diagonal."""
    return grid[::-1, ::-1].T


@register(UNARY)
def mirror_right(grid: Grid) -> Grid:
    """The grid, to its right its mirror image."""
    return np.hstack([grid, grid[:, ::-1]])


@register(UNARY)
def mirror_left(grid: Grid) -> Grid:
    """The grid, to its left its mirror image."""
    return np.hstack([grid[:, ::-1], grid])


@register(UNARY)
def mirror_down(grid: Grid) -> Grid:
    """The grid, below it its mirror image."""
    return np.vstack([grid, grid[::-1]])


@register(UNARY)
def mirror_up(grid: Grid) -> Grid:
    """The grid, above it its mirror image."""
    return np.vstack([grid[::-1], grid])


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


@register(UNARY)
def trim(grid: Grid) -> Grid:
    """Without the outermost cells on all four sides."""
    return grid[1:-1, 1:-1]


@register(UNARY)
def crop(grid: Grid) -> Grid | None:
    """The smallest box around everything that is not background."""
    found = box(grid != 0)
    return grid[found] if found else None


@register(UNARY)
def crop_rarest(grid: Grid) -> Grid | None:
    """The smallest box around the least frequent colour."""
    found = box(grid == rarest(grid))
    return grid[found] if found else None


@register(UNARY)
def crop_commonest(grid: Grid) -> Grid | None:
    """The smallest box around the most frequent colour but the background."""
    found = box(grid == commonest(grid))
    return grid[found] if found else None


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


@register(UNARY)
def roll_right(grid: Grid) -> Grid:
    """Moved one cell to the right, around the edge."""
    return np.roll(grid, 1, 1)


@register(UNARY)
def roll_left(grid: Grid) -> Grid:
    """Moved one cell to the left, around the edge."""
    return np.roll(grid, -1, 1)


@register(UNARY)
def roll_down(grid: Grid) -> Grid:
    """Moved one cell down, around the edge."""
    return np.roll(grid, 1, 0)


@register(UNARY)
def roll_up(grid: Grid) -> Grid:
    """Moved one cell up, around the edge."""
    return np.roll(grid, -1, 0)


@register(UNARY)
def shift_right(grid: Grid) -> Grid:
    """Moved one cell to the right; background comes in."""
    return np.pad(grid, ((0, 0), (1, 0)))[:, :-1]


@register(UNARY)
def shift_down(grid: Grid) -> Grid:
    """Moved one cell down; background comes in."""
    return np.pad(grid, ((1, 0), (0, 0)))[:-1]


@register(UNARY)
def shift_left(grid: Grid) -> Grid:
    """Moved one cell to the left; background comes in."""
    return np.pad(grid, ((0, 0), (0, 1)))[:, 1:]


@register(UNARY)
def shift_up(grid: Grid) -> Grid:
    """Moved one cell up; background comes in."""
    return np.pad(grid, ((0, 1), (0, 0)))[1:]


@register(UNARY)
def pad_with_edge(grid: Grid) -> Grid:
    """The outermost cells once more on all four sides, background in the corners."""
    wider = np.pad(grid, 1, mode="edge")
    wider[[0, 0, -1, -1], [0, -1, 0, -1]] = 0
    return wider


@register(UNARY)
def reverse_rings(grid: Grid) -> Grid:
    """The colours of concentric rings in reverse order, each ring's colour taken at its top left cell."""
    rows, columns = grid.shape
    rings = (min(rows, columns) + 1) // 2
    i, j = np.indices(grid.shape)
    ring = np.minimum(np.minimum(i, rows - 1 - i), np.minimum(j, columns - 1 - j))
    return np.asarray(grid[rings - 1 - ring, rings - 1 - ring], np.uint8)
