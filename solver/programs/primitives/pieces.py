"""Primitives that take a grid apart, into parts in reading order; that choose one of these, or put them together."""

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Box, Region, commonest, under
from solver.programs.primitives.registry import JOINS, SPLITS, UNARY, Parts, define, in_directions, register, variants
from solver.types import COLOURS, Grid, key

MANY = 60  # parts beyond which a grid is not taken apart
Stack = NDArray[np.uint8]  # parts of one shape, [parts, rows, columns]


def _some(parts: Sequence[Grid]) -> Parts | None:
    return tuple(np.ascontiguousarray(p) for p in parts) if 1 <= len(parts) <= MANY else None


@register(SPLITS)
def inside_frames(grid: Grid) -> Parts | None:
    """What is inside boxes whose outermost cells are all one region of one colour."""
    framed = [
        r for r in regions.of_colour(grid) if min(r.mask.shape) > 2 and r.mask[regions.ring(*r.mask.shape) == 0].all()
    ]
    return _some([r.cells[1:-1, 1:-1] for r in framed])


def lattice(grid: Grid) -> list[list[Box]]:
    """The boxes between full rows and columns of one colour, the same for all of them, by rows; [] without any."""
    rows, columns = list[slice](), list[slice]()
    for colour in np.flatnonzero(regions.counts(grid)):
        across, down = regions.runs(~(grid == colour).all(1)), regions.runs(~(grid == colour).all(0))
        number = len(across) * len(down)
        if number > max(1, len(rows) * len(columns)) and (colour or number == 2):
            rows, columns = across, down
    return [[(r, c) for c in columns] for r in rows]


@regions.remembered
def rectangles(grid: Grid) -> tuple[Region, ...]:
    """The rectangles between full rows and columns of one colour as regions; () where there are none."""
    parts = [(rows.start, columns.start, grid[rows, columns]) for line in lattice(grid) for rows, columns in line]
    return tuple(Region(top, left, np.ones(p.shape, bool), p, commonest(p)) for top, left, p in parts)


@variants(
    SPLITS,
    boxes_of_colour=(regions.of_colour_diagonal, "The boxes around regions of one colour, with all that is in them."),
    boxes_by_colour=(
        regions.by_colour,
        "The box around all cells of a colour with all that is in it, for each colour but the background.",
    ),
    background_boxes=(regions.of_background, "The boxes around regions of background, with all that is in them."),
    cells_of_lattice=(rectangles, "The rectangles between full rows and columns of one colour."),
)
def _boxes(grid: Grid, regions_of: Callable[[Grid], Sequence[Region]]) -> Parts | None:
    return _some([r.cells for r in regions_of(grid)])


@variants(
    colours_of_lattice=(
        commonest,
        "One cell for each rectangle between full lines, in its most frequent colour but the background.",
    ),
    counts_of_lattice=(
        lambda part: min(int((part != 0).sum()), 9),
        "One cell for each rectangle between full lines: the number of its cells that are not background, at most 9.",
    ),
)
def _on_lattice(grid: Grid, cell: Callable[[Grid], int]) -> Grid | None:
    boxes = lattice(grid)
    return np.array([[cell(grid[box]) for box in line] for line in boxes], np.uint8) if boxes else None


@register(UNARY)
def lattice_overlaid(grid: Grid) -> Grid | None:
    """Every rectangle between full lines with what is in all of them of its shape, laid over each other."""
    parts = rectangles(grid)
    if len({part.mask.shape for part in parts}) != 1:
        return None
    overlaid, total = grid.copy(), np.max([part.cells for part in parts], axis=0)
    for part in parts:
        overlaid[part.box] = under(part.cells, total)
    return overlaid


@in_directions(
    SPLITS,
    halves_down=(0, "The upper and the lower half; a middle row is left out."),
    halves_across=(4, "The left and the right half; a middle column is left out."),
)
def _halves(grid: Grid) -> Parts | None:
    half = len(grid) // 2
    return (grid[:half], grid[-half:]) if half else None


def _blocks(grid: Grid, height: int, width: int) -> Parts | None:
    """The grid cut into blocks of this shape; None where it is not made of whole ones."""
    rows, columns = grid.shape
    if rows % height or columns % width:
        return None
    return _some(
        [grid[i : i + height, j : j + width] for i in range(0, rows, height) for j in range(0, columns, width)]
    )


@register(SPLITS)
def quarters(grid: Grid) -> Parts | None:
    """Four equal parts."""
    rows, columns = grid.shape
    return None if rows % 2 or columns % 2 else _blocks(grid, rows // 2, columns // 2)


@register(SPLITS)
def squares_in_line(grid: Grid) -> Parts | None:
    """A long grid cut into squares."""
    side = min(grid.shape)
    return _blocks(grid, side, side) if side < max(grid.shape) else None


@register(SPLITS)
def blocks_3x3(grid: Grid) -> Parts | None:
    """Squares of 3 × 3 cells."""
    return _blocks(grid, 3, 3)


SCORES: dict[str, Callable[[Grid], float]] = {
    "cells": lambda p: float((p != 0).sum()),
    "area": lambda p: float(p.size),
    "colours": lambda p: float((regions.counts(p)[1:] > 0).sum()),
    "height": lambda p: float(p.shape[0]),
    "width": lambda p: float(p.shape[1]),
    "empty": lambda p: float((p == 0).sum()),
    "density": lambda p: float((p != 0).mean()),
    "holes": lambda p: float(regions.holes(p != 0)),
    "regions": lambda p: float(len(regions.of_colour_diagonal(p))),
    "asymmetry": lambda p: -float((p == p[:, ::-1]).all()) - float((p == p[::-1]).all()),
    "other_colours": lambda p: float(((p != 0) & (p != commonest(p))).sum()),
    "colour": lambda p: float(commonest(p)),
}


@variants(
    JOINS,
    most_cells=("cells", 1, "The part with the highest score for cells."),
    most_area=("area", 1, "The part with the highest score for area."),
    most_colours=("colours", 1, "The part with the highest score for colours."),
    most_other_colours=("other_colours", 1, "The part with the highest score for other colours."),
    least_density=("density", -1, "The part with the lowest score for density."),
    least_asymmetry=("asymmetry", -1, "The part with the lowest score for asymmetry."),
)
def _chosen(parts: Parts, by: str, sign: int) -> Grid | None:
    values = [sign * SCORES[by](p) for p in parts]
    best = max(values)
    return parts[values.index(best)] if len(parts) > 1 and min(values) < best else None


@register(JOINS)
def odd_one_out(parts: Parts) -> Grid | None:
    """The part that is there least often."""
    kinds = [key(p) for p in parts]
    number = [kinds.count(k) for k in kinds]
    if len(parts) < 3 or min(number) == max(number):
        return None
    return parts[number.index(min(number))]


define(JOINS, "only_part", "The part, where there is just one.", lambda parts: parts[0] if len(parts) == 1 else None)


@variants(
    JOINS,
    overlay=(lambda s: reduce(under, s), "Parts of one shape on top of each other, the first on top."),
    overlay_reversed=(lambda s: reduce(under, s[::-1]), "Parts of one shape on top of each other, the last on top."),
    in_one=(
        lambda s: np.where(np.count_nonzero(s, 0) == 1, s.max(0), 0),
        "Cells that are not background in exactly one of the parts of one shape.",
    ),
    in_none=(
        lambda s: np.where(s.any(0), 0, commonest(s)),
        "The most frequent colour where all parts of one shape are background.",
    ),
    by_majority=(
        lambda s: np.array([(s == c).sum(0) for c in range(COLOURS)]).argmax(0),
        "For each cell the colour that most parts of one shape have there.",
    ),
)
def _of_one_shape(parts: Parts, put: Callable[[Stack], Grid]) -> Grid | None:
    alike = len(parts) > 1 and all(p.shape == parts[0].shape for p in parts)
    return put(np.array(parts)) if alike else None


@register(JOINS)
def larger_in_colours_of_smaller(parts: Parts) -> Grid | None:
    """The largest part, its cells in the colours the smallest with any, scaled up to its shape, has there."""
    some = sorted((p for p in parts if p.any()), key=lambda p: p.size)
    if not 2 <= len(some) <= 4 or some[0].size == some[-1].size:
        return None
    colours, shape = some[0], some[-1]
    down, right = shape.shape[0] / colours.shape[0], shape.shape[1] / colours.shape[1]
    if down % 1 or right % 1:
        return None
    return np.where(shape != 0, np.kron(colours, np.ones((int(down), int(right)), np.uint8)), 0)


@register(JOINS)
def shape_in_each_colour(parts: Parts) -> Grid | None:
    """Of two parts the one with fewer colours, painted in the colour of each cell of the other in its place."""
    if len(parts) != 2:
        return None
    shape, cells = sorted(parts, key=lambda p: int((regions.counts(p)[1:] > 0).sum()))
    small = shape.shape[0] * cells.shape[0] <= 30 and shape.shape[1] * cells.shape[1] <= 30
    return np.kron(cells, (shape != 0).astype(np.uint8)) if small else None
