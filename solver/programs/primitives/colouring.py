"""Primitives that exchange and count colours."""

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.regions import by_frequency, commonest, commonest_of_all, counts
from solver.programs.primitives.registry import INPUT_COLOURED, UNARY, in_directions, register
from solver.programs.primitives.shapes import exchanged
from solver.types import Grid


@register(INPUT_COLOURED, 0.8)
def remove_colour(grid: Grid, colour: int) -> Grid:
    """The cells of this colour made background."""
    return np.where(grid == colour, 0, grid)


@register(UNARY)
def exchange_background(grid: Grid) -> Grid:
    """Background becomes the most frequent other colour and the reverse."""
    return exchanged(grid, 0, commonest(grid))


@register(UNARY)
def commonest_cell(grid: Grid) -> Grid:
    """A single cell of the most frequent colour but the background."""
    return np.full((1, 1), commonest(grid), np.uint8)


@register(UNARY)
def plain_commonest(grid: Grid) -> Grid:
    """The whole grid in the most frequent colour of all."""
    return np.full(grid.shape, commonest_of_all(grid), np.uint8)


@register(UNARY)
def one_region_colour(grid: Grid) -> Grid | None:
    """A single cell of the colour that forms the most regions."""
    colours = [region.colour for region in regions.of_colour_diagonal(grid)]
    return np.full((1, 1), np.bincount(colours).argmax(), np.uint8) if colours else None


@register(UNARY)
def colours_down(grid: Grid) -> Grid | None:
    """A column of the colours but the background, the most frequent first."""
    return np.array(by_frequency(grid), np.uint8).reshape(-1, 1) if grid.any() else None


@register(UNARY)
def histogram(grid: Grid) -> Grid | None:
    """A column for each colour but the background, as high as it has cells, the most frequent first."""
    order, of = by_frequency(grid), counts(grid)
    if not order or of[order[0]] > 30:
        return None
    chart = np.zeros((of[order[0]], len(order)), np.uint8)
    for column, colour in enumerate(order):
        chart[: of[colour], column] = colour
    return chart


@register(UNARY)
def count_cells(grid: Grid) -> Grid | None:
    """A row of as many cells as the grid has cells but background, in the most frequent of their colours."""
    cells = int((grid != 0).sum())
    return np.full((1, cells), commonest(grid), np.uint8) if 0 < cells <= 30 else None


@register(UNARY)
def count_things(grid: Grid) -> Grid | None:
    """A square with as many cells on its diagonal as there are regions of any colours."""
    number = len(regions.of_any_diagonal(grid))
    return np.eye(number, dtype=np.uint8) * commonest(grid) if 0 < number <= 30 else None


@in_directions(
    column_colours_down=(0, "Every column in the colour of its top cell."),
    row_colours_across=(4, "Every row in the colour of its leftmost cell."),
)
def _first_row_down(grid: Grid) -> Grid:
    return np.broadcast_to(grid[:1], grid.shape)
