"""Primitives that draw lines and let things fall.

Knows nothing of tasks. Law: as in `registry`; colour 0 is the background. Directions are made from one by turning the
grid, working, and turning it back.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Region
from solver.programs.primitives.registry import OUTPUT_COLOURED, UNARY, register
from solver.programs.primitives.shapes import place
from solver.types import Grid


def _turned(work: Callable[[Grid], Grid], grid: Grid, turns: int) -> Grid:
    return np.rot90(work(np.ascontiguousarray(np.rot90(grid, turns))), -turns)


def last_seen(grid: Grid) -> Grid:
    """For every cell the nearest colour at or to the left of it, 0 where there is none."""
    index = np.where(grid != 0, np.arange(grid.shape[1]), 0)
    return np.take_along_axis(grid, np.maximum.accumulate(index, 1), 1)


def _slide(grid: Grid) -> Grid:
    order = np.argsort(grid != 0, axis=1, kind="stable")
    return np.take_along_axis(grid, order, 1)


@register(UNARY)
def rays_right(grid: Grid) -> Grid:
    """Every cell drawn out to the right until something is in the way."""
    return last_seen(grid)


@register(UNARY)
def rays_left(grid: Grid) -> Grid:
    """Every cell drawn out to the left until something is in the way."""
    return _turned(last_seen, grid, 2)


@register(UNARY)
def rays_down(grid: Grid) -> Grid:
    """Every cell drawn out downwards until something is in the way."""
    return _turned(last_seen, grid, 1)


@register(UNARY)
def rays_up(grid: Grid) -> Grid:
    """Every cell drawn out upwards until something is in the way."""
    return _turned(last_seen, grid, 3)


def _lines_across(grid: Grid) -> Grid:
    low = np.where(grid == 0, 10, grid).min(1, keepdims=True)
    high = grid.max(1, keepdims=True)
    return np.where((grid == 0) & (low == high), high, grid)


@register(UNARY)
def lines_across(grid: Grid) -> Grid:
    """Each row is filled with its only colour."""
    return _lines_across(grid)


@register(UNARY)
def lines_down(grid: Grid) -> Grid:
    """Each column is filled with its only colour."""
    return _lines_across(grid.T).T


@register(UNARY)
def lines_both(grid: Grid) -> Grid:
    """Rows and columns filled with their only colour, rows on top."""
    across = _lines_across(grid)
    return np.where(across != 0, across, _lines_across(grid.T).T)


def _diagonal_rays(grid: Grid, down: int, right: int) -> Grid:
    made, moving = grid.copy(), grid.copy()
    for _ in range(max(grid.shape)):
        moved = np.zeros_like(moving)
        rows, columns = grid.shape
        moved[max(down, 0) : rows + min(down, 0), max(right, 0) : columns + min(right, 0)] = moving[
            max(-down, 0) : rows + min(-down, 0), max(-right, 0) : columns + min(-right, 0)
        ]
        moving = np.where(made == 0, moved, 0)
        if not moving.any():
            break
        made = np.where(moving != 0, moving, made)
    return made


@register(UNARY)
def rays_down_right(grid: Grid) -> Grid:
    """Every cell drawn out down and to the right until something is in the way."""
    return _diagonal_rays(grid, 1, 1)


@register(UNARY)
def rays_down_left(grid: Grid) -> Grid:
    """Every cell drawn out down and to the left until something is in the way."""
    return _diagonal_rays(grid, 1, -1)


@register(UNARY)
def rays_up_right(grid: Grid) -> Grid:
    """Every cell drawn out up and to the right until something is in the way."""
    return _diagonal_rays(grid, -1, 1)


@register(UNARY)
def rays_up_left(grid: Grid) -> Grid:
    """Every cell drawn out up and to the left until something is in the way."""
    return _diagonal_rays(grid, -1, -1)


@register(UNARY)
def diagonals(grid: Grid) -> Grid:
    """Every cell drawn out along both diagonals."""
    made = grid
    for down, right in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        drawn = _diagonal_rays(grid, down, right)
        made = np.where(made != 0, made, drawn)
    return made


def _between(grid: Grid) -> Grid:
    left, right = last_seen(grid), last_seen(grid[:, ::-1])[:, ::-1]
    return np.where((grid == 0) & (left == right), left, 0)


@register(UNARY)
def connect_across(grid: Grid) -> Grid:
    """Background between two cells of a colour in a row in that colour."""
    return np.where(grid == 0, _between(grid), grid)


@register(UNARY)
def connect_both(grid: Grid) -> Grid:
    """Background between two cells of a colour in a row or column in that colour, columns on top."""
    down = _between(grid.T).T
    return np.where(grid != 0, grid, np.where(down != 0, down, _between(grid)))


def seen_diagonally(grid: Grid, down: int, right: int) -> Grid:
    """For every cell the first colour along a diagonal, the cell itself left out; 0 where there is none."""
    rows, columns = grid.shape
    made, far = np.zeros_like(grid), max(rows, columns)
    wide = np.pad(grid, far)
    for step in range(1, far):
        i, j = far + down * step, far + right * step
        made = np.where(made == 0, wide[i : i + rows, j : j + columns], made)
    return made


def between_diagonally(grid: Grid) -> Grid:
    """The colour of background between two cells of one colour on a diagonal, 0 elsewhere."""
    one, other = seen_diagonally(grid, -1, -1), seen_diagonally(grid, -1, 1)
    one = np.where(one == seen_diagonally(grid, 1, 1), one, 0)
    other = np.where(other == seen_diagonally(grid, 1, -1), other, 0)
    return np.where(grid == 0, np.where(one != 0, one, other), 0)


@register(UNARY)
def connect_diagonally(grid: Grid) -> Grid:
    """Background between two cells of a colour on a diagonal in that colour."""
    return np.where(grid == 0, between_diagonally(grid), grid)


@register(OUTPUT_COLOURED)
def connect_across_with(grid: Grid, colour: int) -> Grid:
    """Background between two cells of a colour in a row in the colour given."""
    return np.where(_between(grid) != 0, colour, grid)


@register(OUTPUT_COLOURED)
def connect_down_with(grid: Grid, colour: int) -> Grid:
    """Background between two cells of a colour in a column in the colour given."""
    return np.where(_between(grid.T).T != 0, colour, grid)


@register(OUTPUT_COLOURED)
def connect_both_with(grid: Grid, colour: int) -> Grid:
    """Background between two cells of a colour in a row or column in the colour given."""
    return np.where((_between(grid) != 0) | (_between(grid.T).T != 0), colour, grid)


@register(OUTPUT_COLOURED)
def fill_empty_lines(grid: Grid, colour: int) -> Grid:
    """Rows and columns that are all background in this colour."""
    empty = ~(grid != 0).any(1, keepdims=True) | ~(grid != 0).any(0, keepdims=True)
    return np.where(empty, colour, grid)


@register(UNARY)
def fall_right(grid: Grid) -> Grid:
    """All cells fall to the right, each for itself."""
    return _slide(grid)


@register(UNARY)
def fall_left(grid: Grid) -> Grid:
    """All cells fall to the left, each for itself."""
    return _turned(_slide, grid, 2)


@register(UNARY)
def fall_down(grid: Grid) -> Grid:
    """All cells fall down, each for itself."""
    return _turned(_slide, grid, 1)


@register(UNARY)
def fall_up(grid: Grid) -> Grid:
    """All cells fall up, each for itself."""
    return _turned(_slide, grid, 3)


def _drop(grid: Grid, found: tuple[Region, ...]) -> Grid:
    made = np.zeros_like(grid)
    for r in sorted(found, key=lambda r: -(r.top + r.mask.shape[0])):
        rows, columns = r.mask.shape
        top = r.top
        while top + rows < len(grid) and not made[top + 1 : top + 1 + rows, r.left : r.left + columns][r.mask].any():
            top += 1
        made = place(made, [Region(top, r.left, r.mask, r.cells, r.colour)])
    return made


def _drop_things(grid: Grid) -> Grid:
    return _drop(grid, regions.of_any_diagonal(grid))


def _drop_regions(grid: Grid) -> Grid:
    return _drop(grid, regions.of_colour_diagonal(grid))


@register(UNARY)
def drop_up(grid: Grid) -> Grid:
    """Regions of any colours fall up as they are."""
    return _turned(_drop_things, grid, 2)


@register(UNARY)
def drop_left(grid: Grid) -> Grid:
    """Regions of any colours fall to the left as they are."""
    return _turned(_drop_things, grid, 1)


@register(UNARY)
def drop_colours_down(grid: Grid) -> Grid:
    """Regions of one colour fall down as they are."""
    return _drop_regions(grid)


@register(UNARY)
def drop_colours_right(grid: Grid) -> Grid:
    """Regions of one colour fall to the right as they are."""
    return _turned(_drop_regions, grid, 3)


@register(UNARY)
def sort_rows(grid: Grid) -> Grid:
    """Rows ordered by their cells that are not background, fewest at the top."""
    return grid[np.argsort((grid != 0).sum(1), kind="stable")]


@register(UNARY)
def sort_columns(grid: Grid) -> Grid:
    """Columns ordered by their cells that are not background, most at the left."""
    return grid[:, np.argsort(-(grid != 0).sum(0), kind="stable")]
