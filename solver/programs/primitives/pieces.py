"""Primitives that take a grid apart; parts come in reading order."""

from collections.abc import Callable, Sequence

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Box, Region
from solver.programs.primitives.registry import SPLITS, UNARY, Parts, in_directions, register, variants
from solver.types import Grid

MANY = 60  # parts beyond which a grid is not taken apart


def _some(parts: Sequence[Grid]) -> Parts | None:
    return tuple(np.ascontiguousarray(p) for p in parts) if 1 <= len(parts) <= MANY else None


@variants(
    SPLITS,
    boxes_of_colour=(regions.of_colour_diagonal, "The boxes around regions of one colour, with all that is in them."),
    boxes_by_colour=(
        regions.by_colour,
        "The box around all cells of a colour with all that is in it, for each colour but the background.",
    ),
    background_boxes=(regions.of_background, "The boxes around regions of background, with all that is in them."),
)
def _boxes(grid: Grid, regions_of: Callable[[Grid], Sequence[Region]]) -> Parts | None:
    return _some([r.cells for r in regions_of(grid)])


@register(SPLITS)
def inside_frames(grid: Grid) -> Parts | None:
    """What is inside boxes whose outermost cells are all one region of one colour."""
    framed = [
        r for r in regions.of_colour(grid) if min(r.mask.shape) > 2 and r.mask[regions.ring(*r.mask.shape) == 0].all()
    ]
    return _some([r.cells[1:-1, 1:-1] for r in framed])


def _runs(wanted: np.ndarray) -> list[slice]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def lattice(grid: Grid) -> list[list[Box]]:
    """The boxes between full rows and columns of one colour, the same for all of them, by rows; [] without any."""
    rows, columns = list[slice](), list[slice]()
    for colour in np.flatnonzero(regions.counts(grid)):
        across, down = _runs(~(grid == colour).all(1)), _runs(~(grid == colour).all(0))
        number = len(across) * len(down)
        if number > max(1, len(rows) * len(columns)) and (colour or number == 2):
            rows, columns = across, down
    return [[(r, c) for c in columns] for r in rows]


@regions.remembered
def rectangles(grid: Grid) -> tuple[Region, ...]:
    """The rectangles between full rows and columns of one colour as regions; () where there are none."""
    parts = [(rows.start, columns.start, grid[rows, columns]) for line in lattice(grid) for rows, columns in line]
    return tuple(Region(top, left, np.ones(p.shape, bool), p, regions.commonest(p)) for top, left, p in parts)


@variants(
    colours_of_lattice=(
        regions.commonest,
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
