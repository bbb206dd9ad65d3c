"""Primitives that draw lines and let things fall."""

from collections.abc import Callable, Sequence

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Region
from solver.programs.primitives.registry import OUTPUT_COLOURED, UNARY, in_directions, register, variants
from solver.programs.primitives.shapes import place, slid
from solver.types import Grid


@in_directions(
    rays_right=(0, "Every cell drawn out to the right until something is in the way."),
    rays_left=(2, "Every cell drawn out to the left until something is in the way."),
    rays_down=(1, "Every cell drawn out downwards until something is in the way."),
    rays_up=(3, "Every cell drawn out upwards until something is in the way."),
)
def last_seen(grid: Grid) -> Grid:
    """For every cell the nearest colour at or to the left of it, 0 where there is none."""
    index = np.where(grid != 0, np.arange(grid.shape[1]), 0)
    return np.take_along_axis(grid, np.maximum.accumulate(index, 1), 1)


@in_directions(
    lines_across=(0, "Each row is filled with its only colour."),
    lines_down=(4, "Each column is filled with its only colour."),
)
def _lines_across(grid: Grid) -> Grid:
    low, high = np.where(grid == 0, 10, grid).min(1, keepdims=True), grid.max(1, keepdims=True)
    return np.where((grid == 0) & (low == high), high, grid)


@register(UNARY)
def lines_both(grid: Grid) -> Grid:
    """Rows and columns filled with their only colour, rows on top."""
    across = _lines_across(grid)
    return np.where(across != 0, across, _lines_across(grid.T).T)


@in_directions(
    rays_down_right=(0, "Every cell drawn out down and to the right until something is in the way."),
    rays_down_left=(1, "Every cell drawn out down and to the left until something is in the way."),
    rays_up_right=(3, "Every cell drawn out up and to the right until something is in the way."),
    rays_up_left=(2, "Every cell drawn out up and to the left until something is in the way."),
)
def _diagonal_rays(grid: Grid) -> Grid:
    drawn, moving = grid.copy(), grid.copy()
    for _ in range(max(grid.shape)):
        moved = np.zeros_like(moving)
        moved[1:, 1:] = moving[:-1, :-1]
        moving = np.where(drawn == 0, moved, 0)
        if not moving.any():
            break
        drawn = np.where(moving != 0, moving, drawn)
    return drawn


@register(UNARY)
def diagonals(grid: Grid) -> Grid:
    """Every cell drawn out along both diagonals."""
    drawn = grid
    for turns in (0, 1, 3, 2):
        rays = np.rot90(_diagonal_rays(np.rot90(grid, turns)), -turns)
        drawn = np.where(drawn != 0, drawn, rays)
    return drawn


def _between(grid: Grid) -> Grid:
    left, right = last_seen(grid), last_seen(grid[:, ::-1])[:, ::-1]
    return np.where((grid == 0) & (left == right), left, 0)


def _between_down(grid: Grid) -> Grid:
    return _between(grid.T).T


def _between_either(grid: Grid) -> Grid:
    down = _between_down(grid)
    return np.where(down != 0, down, _between(grid))


def seen_diagonally(grid: Grid, down: int, right: int) -> Grid:
    """For every cell the first colour along a diagonal, the cell itself left out; 0 where there is none."""
    rows, columns = grid.shape
    seen, far = np.zeros_like(grid), max(rows, columns)
    wide = np.pad(grid, far)
    for step in range(1, far):
        i, j = far + down * step, far + right * step
        seen = np.where(seen == 0, wide[i : i + rows, j : j + columns], seen)
    return seen


def between_diagonally(grid: Grid) -> Grid:
    """The colour of background between two cells of one colour on a diagonal, 0 elsewhere."""
    one, other = seen_diagonally(grid, -1, -1), seen_diagonally(grid, -1, 1)
    one = np.where(one == seen_diagonally(grid, 1, 1), one, 0)
    other = np.where(other == seen_diagonally(grid, 1, -1), other, 0)
    return np.where(grid == 0, np.where(one != 0, one, other), 0)


@variants(
    connect_across=(_between, "Background between two cells of a colour in a row in that colour."),
    connect_both=(
        _between_either,
        "Background between two cells of a colour in a row or column in that colour, columns on top.",
    ),
    connect_diagonally=(between_diagonally, "Background between two cells of a colour on a diagonal in that colour."),
)
def _connected(grid: Grid, between: Callable[[Grid], Grid]) -> Grid:
    return np.where(grid == 0, between(grid), grid)


@variants(
    OUTPUT_COLOURED,
    connect_across_with=(_between, "Background between two cells of a colour in a row in the colour given."),
    connect_down_with=(_between_down, "Background between two cells of a colour in a column in the colour given."),
    connect_both_with=(
        _between_either,
        "Background between two cells of a colour in a row or column in the colour given.",
    ),
)
def _connected_with(grid: Grid, colour: int, between: Callable[[Grid], Grid]) -> Grid:
    return np.where(between(grid) != 0, colour, grid)


@register(OUTPUT_COLOURED)
def fill_empty_lines(grid: Grid, colour: int) -> Grid:
    """Rows and columns that are all background in this colour."""
    empty = ~(grid != 0).any(1, keepdims=True) | ~(grid != 0).any(0, keepdims=True)
    return np.where(empty, colour, grid)


@in_directions(
    fall_right=(0, "All cells fall to the right, each for itself."),
    fall_left=(2, "All cells fall to the left, each for itself."),
    fall_down=(1, "All cells fall down, each for itself."),
    fall_up=(3, "All cells fall up, each for itself."),
)
def _slide(grid: Grid) -> Grid:
    order = np.argsort(grid != 0, axis=1, kind="stable")
    return np.take_along_axis(grid, order, 1)


def _drop(grid: Grid, falling: Sequence[Region]) -> Grid:
    dropped = np.zeros_like(grid)
    for region in sorted(falling, key=lambda r: -r.box[0].stop):
        dropped = place(dropped, [slid(dropped, region, (1, 0))])
    return dropped


@in_directions(
    drop_up=(2, "Regions of any colours fall up as they are."),
    drop_left=(1, "Regions of any colours fall to the left as they are."),
)
def _drop_things(grid: Grid) -> Grid:
    return _drop(grid, regions.of_any_diagonal(grid))


@in_directions(
    drop_colours_down=(0, "Regions of one colour fall down as they are."),
    drop_colours_right=(3, "Regions of one colour fall to the right as they are."),
)
def _drop_regions(grid: Grid) -> Grid:
    return _drop(grid, regions.of_colour_diagonal(grid))


@in_directions(
    sort_rows=(0, "Rows ordered by their cells that are not background, fewest at the top."),
    sort_columns=(1, "Columns ordered by their cells that are not background, most at the left."),
)
def _sorted(grid: Grid) -> Grid:
    return grid[np.argsort((grid != 0).sum(1), kind="stable")]
