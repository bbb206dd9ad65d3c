"""Primitives that draw lines and let things fall."""

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Mask, Region, under
from solver.programs.primitives.registry import OUTPUT_COLOURED, UNARY, in_directions, register, to_each_side, variants
from solver.programs.primitives.shapes import painted, place, slid
from solver.types import Grid


@to_each_side("rays", "Every cell drawn out {} until something is in the way.")
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
    return under(_lines_across(grid), _lines_across(grid.T).T)


@in_directions(
    rays_down_right=(0, "Every cell drawn out down and to the right until something is in the way."),
    rays_down_left=(1, "Every cell drawn out down and to the left until something is in the way."),
    rays_up_right=(3, "Every cell drawn out up and to the right until something is in the way."),
    rays_up_left=(2, "Every cell drawn out up and to the left until something is in the way."),
)
def _diagonal_rays(grid: Grid) -> Grid:
    return under(grid, seen_diagonally(grid, -1, -1))


@register(UNARY)
def diagonals(grid: Grid) -> Grid:
    """Every cell drawn out along both diagonals."""
    return reduce(under, (seen_diagonally(grid, *step) for step in product((-1, 1), repeat=2)), grid)


def _between(grid: Grid) -> Grid:
    left, right = last_seen(grid), last_seen(grid[:, ::-1])[:, ::-1]
    return np.where((grid == 0) & (left == right), left, 0)


def _between_down(grid: Grid) -> Grid:
    return _between(grid.T).T


def _between_either(grid: Grid) -> Grid:
    return under(_between_down(grid), _between(grid))


def seen_diagonally(grid: Grid, down: int, right: int) -> Grid:
    """For every cell the first colour along a diagonal, the cell itself left out; 0 where there is none."""
    rows, columns = grid.shape
    seen, far = np.zeros_like(grid), max(rows, columns)
    wide = np.pad(grid, far)
    for step in range(1, far):
        i, j = far + down * step, far + right * step
        seen = under(seen, wide[i : i + rows, j : j + columns])
    return seen


def between_diagonally(grid: Grid) -> Grid:
    """The colour of background between two cells of one colour on a diagonal, 0 elsewhere."""
    one, other = seen_diagonally(grid, -1, -1), seen_diagonally(grid, -1, 1)
    one = np.where(one == seen_diagonally(grid, 1, 1), one, 0)
    other = np.where(other == seen_diagonally(grid, 1, -1), other, 0)
    return np.where(grid == 0, under(one, other), 0)


@variants(
    connect_across=(_between, "Background between two cells of a colour in a row in that colour."),
    connect_both=(
        _between_either,
        "Background between two cells of a colour in a row or column in that colour, columns on top.",
    ),
    connect_diagonally=(between_diagonally, "Background between two cells of a colour on a diagonal in that colour."),
)
def _connected(grid: Grid, between: Callable[[Grid], Grid]) -> Grid:
    return under(grid, between(grid))


def _empty_lines(grid: Grid) -> Mask:
    return np.asarray(~grid.any(1, keepdims=True) | ~grid.any(0, keepdims=True))


variants(
    OUTPUT_COLOURED,
    connect_across_with=(_between, "Background between two cells of a colour in a row in the colour given."),
    connect_down_with=(_between_down, "Background between two cells of a colour in a column in the colour given."),
    connect_both_with=(
        _between_either,
        "Background between two cells of a colour in a row or column in the colour given.",
    ),
    fill_empty_lines=(_empty_lines, "Rows and columns that are all background in this colour."),
)(painted)


@to_each_side("fall", "All cells fall {}, each for itself.")
def _slide(grid: Grid) -> Grid:
    order = np.argsort(grid != 0, axis=1, kind="stable")
    return np.take_along_axis(grid, order, 1)


@in_directions(
    drop_up=(2, regions.of_any_diagonal, "Regions of any colours fall up as they are."),
    drop_left=(1, regions.of_any_diagonal, "Regions of any colours fall to the left as they are."),
    drop_colours_down=(0, regions.of_colour_diagonal, "Regions of one colour fall down as they are."),
    drop_colours_right=(3, regions.of_colour_diagonal, "Regions of one colour fall to the right as they are."),
)
def _dropped(grid: Grid, regions_of: Callable[[Grid], Sequence[Region]]) -> Grid:
    dropped = np.zeros_like(grid)
    for region in sorted(regions_of(grid), key=lambda r: -r.box[0].stop):
        dropped = place(dropped, [slid(dropped, region, (1, 0))])
    return dropped


@in_directions(
    sort_rows=(0, "Rows ordered by their cells that are not background, fewest at the top."),
    sort_columns=(1, "Columns ordered by their cells that are not background, most at the left."),
)
def _sorted(grid: Grid) -> Grid:
    return grid[np.argsort((grid != 0).sum(1), kind="stable")]
