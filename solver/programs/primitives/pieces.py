"""Primitives that take a grid apart; parts come in reading order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Box, Region
from solver.programs.primitives.registry import SPLITS, UNARY, Parts, register
from solver.types import Grid

MANY = 60  # parts beyond which a grid is not taken apart


def _some(parts: Sequence[Grid]) -> Parts | None:
    return tuple(np.ascontiguousarray(p) for p in parts) if 1 <= len(parts) <= MANY else None


@register(SPLITS)
def boxes_of_colour(grid: Grid) -> Parts | None:
    """The boxes around regions of one colour, with all that is in them."""
    return _some([r.cells for r in regions.of_colour_diagonal(grid)])


@register(SPLITS)
def boxes_by_colour(grid: Grid) -> Parts | None:
    """The box around all cells of a colour with all that is in it, for each colour but the background."""
    return _some([r.cells for r in regions.by_colour(grid)])


def _framed(region: Region) -> bool:
    """Whether all outermost cells of the box are of the region, and there is something inside."""
    mask = region.mask
    return min(mask.shape) > 2 and bool(mask[0].all() and mask[-1].all() and mask[:, 0].all() and mask[:, -1].all())


@register(SPLITS)
def inside_frames(grid: Grid) -> Parts | None:
    """What is inside boxes whose outermost cells are all one region of one colour."""
    return _some([r.cells[1:-1, 1:-1] for r in regions.of_colour(grid) if _framed(r)])


@register(SPLITS)
def background_boxes(grid: Grid) -> Parts | None:
    """The boxes around regions of background, with all that is in them."""
    return _some([r.cells for r in regions.of_background(grid)])


def _runs(wanted: np.ndarray) -> list[slice]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def lattice(grid: Grid) -> list[list[Box]]:
    """The boxes between full rows and columns of one colour, the same for all of them, by rows; [] without any."""
    rows: list[slice] = []
    columns: list[slice] = []
    for colour in np.flatnonzero(regions.counts(grid)):
        across, down = _runs(~(grid == colour).all(1)), _runs(~(grid == colour).all(0))
        number = len(across) * len(down)
        if number > max(1, len(rows) * len(columns)) and (colour or number == 2):
            rows, columns = across, down
    return [[(r, c) for c in columns] for r in rows]


def _on_lattice(grid: Grid, cell: Callable[[Grid], int]) -> Grid | None:
    """A grid of one cell for each box of the lattice."""
    boxes = lattice(grid)
    return np.array([[cell(grid[box]) for box in line] for line in boxes], np.uint8) if boxes else None


@regions.remembered
def rectangles(grid: Grid) -> tuple[Region, ...]:
    """The rectangles between full rows and columns of one colour as regions; () where there are none."""
    return tuple(_rectangle(grid, box) for line in lattice(grid) for box in line)


def _rectangle(grid: Grid, box: Box) -> Region:
    part = grid[box]
    return Region(box[0].start, box[1].start, np.ones(part.shape, bool), part, regions.commonest(part))


@register(UNARY)
def colours_of_lattice(grid: Grid) -> Grid | None:
    """One cell for each rectangle between full lines, in its most frequent colour but the background."""
    return _on_lattice(grid, regions.commonest)


@register(UNARY)
def counts_of_lattice(grid: Grid) -> Grid | None:
    """One cell for each rectangle between full lines: the number of its cells that are not background, at most 9."""
    return _on_lattice(grid, lambda part: min(int((part != 0).sum()), 9))


@register(UNARY)
def lattice_overlaid(grid: Grid) -> Grid | None:
    """Every rectangle between full lines with what is in all of them of its shape, laid over each other."""
    boxes = [box for line in lattice(grid) for box in line]
    if not boxes or len({grid[box].shape for box in boxes}) > 1:
        return None
    overlaid, total = grid.copy(), np.max([grid[box] for box in boxes], axis=0)
    for box in boxes:
        overlaid[box] = np.where(grid[box] == 0, total, grid[box])
    return overlaid


@register(SPLITS)
def cells_of_lattice(grid: Grid) -> Parts | None:
    """The rectangles between full rows and columns of one colour."""
    return _some([grid[box] for line in lattice(grid) for box in line])


@register(SPLITS)
def halves_across(grid: Grid) -> Parts | None:
    """The left and the right half; a middle column is left out."""
    half = grid.shape[1] // 2
    return (grid[:, :half].copy(), grid[:, -half:].copy()) if half else None


@register(SPLITS)
def halves_down(grid: Grid) -> Parts | None:
    """The upper and the lower half; a middle row is left out."""
    half = grid.shape[0] // 2
    return (grid[:half].copy(), grid[-half:].copy()) if half else None


def _equal(grid: Grid, down: int, across: int) -> Parts | None:
    rows, columns = grid.shape
    if rows % down or columns % across:
        return None
    h, w = rows // down, columns // across
    return _some([grid[i * h : i * h + h, j * w : j * w + w] for i in range(down) for j in range(across)])


@register(SPLITS)
def quarters(grid: Grid) -> Parts | None:
    """Four equal parts."""
    return _equal(grid, 2, 2)


@register(SPLITS)
def squares_in_line(grid: Grid) -> Parts | None:
    """A long grid cut into squares."""
    small, long = sorted(grid.shape)
    if long == small or long % small:
        return None
    return _equal(grid, grid.shape[0] // small, grid.shape[1] // small)


@register(SPLITS)
def blocks_3x3(grid: Grid) -> Parts | None:
    """Squares of 3 × 3 cells."""
    rows, columns = grid.shape
    return None if rows % 3 or columns % 3 else _equal(grid, rows // 3, columns // 3)
