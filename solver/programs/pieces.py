"""Primitives that take a grid apart, and those that choose one of the parts or put them together.

Knows nothing of tasks. Law: as in `registry`; colour 0 is the background; of equals the first in reading order is
chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from solver.core import Grid, key
from solver.programs import regions
from solver.programs.regions import Region
from solver.programs.registry import JOINS, SPLITS, UNARY, Parts, register

MANY = 60  # parts beyond which a grid is not taken apart


def _some(parts: Sequence[Grid]) -> Parts | None:
    return tuple(np.ascontiguousarray(p) for p in parts) if 1 <= len(parts) <= MANY else None


# ---- grid → parts ----------------------------------------------------------------------------------------------------


@register(SPLITS)
def regions_of_colour(grid: Grid) -> Parts | None:
    """Regions of one colour, connected by sides, without what else is in their boxes."""
    return _some([r.alone for r in regions.of_colour(grid)])


@register(SPLITS)
def regions_of_colour_diagonal(grid: Grid) -> Parts | None:
    """Regions of one colour, connected by sides or corners, without what else is in their boxes."""
    return _some([r.alone for r in regions.of_colour_diagonal(grid)])


@register(SPLITS)
def boxes_of_colour(grid: Grid) -> Parts | None:
    """The boxes around regions of one colour, with all that is in them."""
    return _some([r.cells for r in regions.of_colour_diagonal(grid)])


@register(SPLITS)
def things(grid: Grid) -> Parts | None:
    """Regions of any colours, connected by sides or corners."""
    return _some([r.alone for r in regions.of_any_diagonal(grid)])


@register(SPLITS)
def things_by_sides(grid: Grid) -> Parts | None:
    """Regions of any colours, connected by sides."""
    return _some([r.alone for r in regions.of_any(grid)])


@register(SPLITS)
def colours(grid: Grid) -> Parts | None:
    """All cells of a colour, cropped, for each colour but the background."""
    return _some([r.alone for r in regions.by_colour(grid)])


@register(SPLITS)
def boxes_by_colour(grid: Grid) -> Parts | None:
    """The box around all cells of a colour with all that is in it, for each colour but the background."""
    return _some([r.cells for r in regions.by_colour(grid)])


@register(SPLITS)
def layers(grid: Grid) -> Parts | None:
    """The whole grid once for each colour but the background, with that colour alone."""
    return _some([np.where(grid == c, grid, 0) for c in np.flatnonzero(regions.counts(grid)[1:]) + 1])


def _framed(region: Region) -> bool:
    """Whether all outermost cells of the box are of the region, and there is something inside."""
    mask = region.mask
    return min(mask.shape) > 2 and bool(mask[0].all() and mask[-1].all() and mask[:, 0].all() and mask[:, -1].all())


@register(SPLITS)
def framed(grid: Grid) -> Parts | None:
    """The boxes whose outermost cells are all one region of one colour, with all that is in them."""
    return _some([r.cells for r in regions.of_colour(grid) if _framed(r)])


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


def lattice(grid: Grid) -> tuple[list[slice], list[slice]] | None:
    """Rows and columns between full lines of one colour, the same for all lines; None where there are none."""
    best: tuple[list[slice], list[slice]] | None = None
    for colour in np.flatnonzero(regions.counts(grid)):
        rows, columns = _runs(~(grid == colour).all(1)), _runs(~(grid == colour).all(0))
        number = len(rows) * len(columns)
        if number > 1 and (best is None or number > len(best[0]) * len(best[1])) and (colour or number == 2):
            best = rows, columns
    return best


@regions.remembered
def rectangles(grid: Grid) -> tuple[Region, ...]:
    """The rectangles between full rows and columns of one colour as regions; () where there are none."""
    found = lattice(grid)
    if found is None:
        return ()
    made = []
    for r in found[0]:
        for c in found[1]:
            part = grid[r, c]
            made.append(Region(r.start, c.start, np.ones(part.shape, bool), part, regions.commonest(part)))
    return tuple(made)


@register(UNARY)
def colours_of_lattice(grid: Grid) -> Grid | None:
    """One cell for each rectangle between full lines, in its most frequent colour but the background."""
    found = lattice(grid)
    if found is None:
        return None
    return np.array([[regions.commonest(grid[r, c]) for c in found[1]] for r in found[0]], np.uint8)


@register(UNARY)
def full_of_lattice(grid: Grid) -> Grid | None:
    """One cell for each rectangle between full lines that has a single colour, in this colour; else background."""
    found = lattice(grid)
    if found is None:
        return None
    parts = [[grid[r, c] for c in found[1]] for r in found[0]]
    return np.array([[p[0, 0] if (p == p[0, 0]).all() else 0 for p in line] for line in parts], np.uint8)


@register(UNARY)
def counts_of_lattice(grid: Grid) -> Grid | None:
    """One cell for each rectangle between full lines: the number of its cells that are not background, at most 9."""
    found = lattice(grid)
    if found is None:
        return None
    return np.array([[min((grid[r, c] != 0).sum(), 9) for c in found[1]] for r in found[0]], np.uint8)


@register(UNARY)
def lattice_filled(grid: Grid) -> Grid | None:
    """Every rectangle between full lines in its most frequent colour but the background."""
    if lattice(grid) is None:
        return None
    made = grid.copy()
    for r in rectangles(grid):
        made[r.top : r.top + r.mask.shape[0], r.left : r.left + r.mask.shape[1]] = r.colour
    return made


@register(UNARY)
def lattice_overlaid(grid: Grid) -> Grid | None:
    """Every rectangle between full lines with what is in all of them of its shape, laid over each other."""
    found = rectangles(grid)
    shapes = {r.cells.shape for r in found}
    if len(found) < 2 or len(shapes) != 1:
        return None
    made, total = grid.copy(), np.max([r.cells for r in found], axis=0)
    for r in found:
        part = made[r.top : r.top + r.mask.shape[0], r.left : r.left + r.mask.shape[1]]
        part[part == 0] = total[part == 0]
    return made


@register(SPLITS)
def cells_of_lattice(grid: Grid) -> Parts | None:
    """The rectangles between full rows and columns of one colour."""
    found = lattice(grid)
    return _some([grid[r, c] for r in found[0] for c in found[1]]) if found else None


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
def thirds_across(grid: Grid) -> Parts | None:
    """Three equal parts side by side."""
    return _equal(grid, 1, 3)


@register(SPLITS)
def thirds_down(grid: Grid) -> Parts | None:
    """Three equal parts one above the other."""
    return _equal(grid, 3, 1)


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
    if grid.shape[0] % 3 or grid.shape[1] % 3:
        return None
    return _equal(grid, grid.shape[0] // 3, grid.shape[1] // 3)


@register(SPLITS)
def rows(grid: Grid) -> Parts | None:
    """The rows."""
    return _some(list(grid[:, None]))


@register(SPLITS)
def columns(grid: Grid) -> Parts | None:
    """The columns."""
    return _some([grid[:, j : j + 1] for j in range(grid.shape[1])])


# ---- parts → grid ----------------------------------------------------------------------------------------------------

Score = Callable[[Grid], float]


def _same_shapes(parts: Parts) -> bool:
    return len(parts) > 1 and all(p.shape == parts[0].shape for p in parts)


def _asymmetry(part: Grid) -> float:
    return -float((part == part[:, ::-1]).all()) - float((part == part[::-1]).all())


def _others(part: Grid) -> float:
    return float(((part != 0) & (part != regions.commonest(part))).sum())


SCORES: dict[str, Score] = {
    "cells": lambda p: float((p != 0).sum()),
    "area": lambda p: float(p.size),
    "colours": lambda p: float((regions.counts(p)[1:] > 0).sum()),
    "height": lambda p: float(p.shape[0]),
    "width": lambda p: float(p.shape[1]),
    "empty": lambda p: float((p == 0).sum()),
    "density": lambda p: float((p != 0).mean()),
    "holes": lambda p: float(regions.holes(p != 0)),
    "regions": lambda p: float(len(regions.of_colour_diagonal(p))),
    "asymmetry": _asymmetry,
    "other_colours": _others,
    "colour": lambda p: float(regions.commonest(p)),
}


def _chooser(score: Score, most: bool) -> Callable[[Parts], Grid | None]:
    def choose(parts: Parts) -> Grid | None:
        values = [score(p) if most else -score(p) for p in parts]
        best = max(values)
        return parts[values.index(best)] if len(parts) > 1 and min(values) < best else None

    choose.__doc__ = "The part with the highest score." if most else "The part with the lowest score."
    return choose


for _name, _score in SCORES.items():
    for _most in (True, False):
        _choose = _chooser(_score, _most)
        _choose.__name__ = f"{'most' if _most else 'least'}_{_name}"
        register(JOINS)(_choose)


def _frequency(parts: Parts, kind: Callable[[Grid], object], rare: bool) -> Grid | None:
    kinds = [kind(p) for p in parts]
    number = [kinds.count(k) for k in kinds]
    best = min(number) if rare else max(number)
    if len(parts) < 3 or min(number) == max(number):
        return None
    return parts[number.index(best)]


def _shape(part: Grid) -> object:
    return key((part != 0).astype(np.uint8))


@register(JOINS)
def odd_one_out(parts: Parts) -> Grid | None:
    """The part that is there least often."""
    return _frequency(parts, key, rare=True)


@register(JOINS)
def most_often(parts: Parts) -> Grid | None:
    """The part that is there most often."""
    return _frequency(parts, key, rare=False)


@register(JOINS)
def odd_shape(parts: Parts) -> Grid | None:
    """The part whose cells, whatever their colours, are there least often."""
    return _frequency(parts, _shape, rare=True)


@register(JOINS)
def usual_shape(parts: Parts) -> Grid | None:
    """The part whose cells, whatever their colours, are there most often."""
    return _frequency(parts, _shape, rare=False)


@register(JOINS)
def odd_colour(parts: Parts) -> Grid | None:
    """The part whose most frequent colour is that of the fewest parts."""
    return _frequency(parts, regions.commonest, rare=True)


@register(JOINS)
def usual_colour(parts: Parts) -> Grid | None:
    """The part whose most frequent colour is that of the most parts."""
    return _frequency(parts, regions.commonest, rare=False)


@register(JOINS)
def first_part(parts: Parts) -> Grid | None:
    """The first part."""
    return parts[0] if len(parts) > 1 else None


@register(JOINS)
def last_part(parts: Parts) -> Grid | None:
    """The last part."""
    return parts[-1] if len(parts) > 1 else None


@register(JOINS)
def middle_part(parts: Parts) -> Grid | None:
    """The part in the middle of an odd number."""
    return parts[len(parts) // 2] if len(parts) > 2 and len(parts) % 2 else None


@register(JOINS)
def only_part(parts: Parts) -> Grid | None:
    """The part, where there is just one."""
    return parts[0] if len(parts) == 1 else None


@register(JOINS)
def overlay(parts: Parts) -> Grid | None:
    """Parts of one shape on top of each other, the first on top."""
    if not _same_shapes(parts):
        return None
    made = parts[-1]
    for part in parts[-2::-1]:
        made = np.where(part != 0, part, made)
    return made


@register(JOINS)
def overlay_reversed(parts: Parts) -> Grid | None:
    """Parts of one shape on top of each other, the last on top."""
    return overlay(parts[::-1])


@register(JOINS)
def in_all(parts: Parts) -> Grid | None:
    """The first part's cells where no part of the same shape is background."""
    if not _same_shapes(parts):
        return None
    return np.where(np.all([p != 0 for p in parts], axis=0), parts[0], 0)


@register(JOINS)
def in_one(parts: Parts) -> Grid | None:
    """Cells that are not background in exactly one of the parts of one shape."""
    if not _same_shapes(parts):
        return None
    alone = np.sum([p != 0 for p in parts], axis=0) == 1
    return np.where(alone, np.max(parts, axis=0), 0)


@register(JOINS)
def in_none(parts: Parts) -> Grid | None:
    """The most frequent colour where all parts of one shape are background."""
    if not _same_shapes(parts):
        return None
    colour = regions.commonest(np.vstack(parts))
    return np.where(np.any([p != 0 for p in parts], axis=0), 0, colour)


@register(JOINS)
def by_majority(parts: Parts) -> Grid | None:
    """For each cell the colour that most parts of one shape have there."""
    if not _same_shapes(parts):
        return None
    stack = np.array(parts)
    return np.asarray(np.array([(stack == c).sum(0) for c in range(10)]).argmax(0).astype(np.uint8), np.uint8)


def _multiplied(where: Grid, what: Grid) -> Grid | None:
    small = where.shape[0] * what.shape[0] <= 30 and where.shape[1] * what.shape[1] <= 30
    return np.kron((where != 0).astype(np.uint8), what) if small else None


@register(JOINS)
def second_at_first(parts: Parts) -> Grid | None:
    """Of two parts the second in place of every cell of the first that is not background."""
    return _multiplied(parts[0], parts[1]) if len(parts) == 2 else None


@register(JOINS)
def first_at_second(parts: Parts) -> Grid | None:
    """Of two parts the first in place of every cell of the second that is not background."""
    return _multiplied(parts[1], parts[0]) if len(parts) == 2 else None


def _stamped(where: Grid, colours_: Grid) -> Grid | None:
    if where.shape[0] % colours_.shape[0] or where.shape[1] % colours_.shape[1]:
        return None
    by = where.shape[0] // colours_.shape[0], where.shape[1] // colours_.shape[1]
    return np.where(where != 0, np.kron(colours_, np.ones(by, np.uint8)), 0)


@register(JOINS)
def larger_in_colours_of_smaller(parts: Parts) -> Grid | None:
    """The largest part, its cells in the colours the smallest with any, scaled up to its shape, has there."""
    some = sorted((p for p in parts if p.any()), key=lambda p: p.size)
    return _stamped(some[-1], some[0]) if 2 <= len(some) <= 4 and some[0].size < some[-1].size else None


@register(JOINS)
def shape_in_each_colour(parts: Parts) -> Grid | None:
    """Of two parts the one with fewer colours, painted in the colour of each cell of the other in its place."""
    if len(parts) != 2:
        return None
    shape, cells = sorted(parts, key=lambda p: int((regions.counts(p)[1:] > 0).sum()))
    small = shape.shape[0] * cells.shape[0] <= 30 and shape.shape[1] * cells.shape[1] <= 30
    return np.kron(cells, (shape != 0).astype(np.uint8)) if small else None


@register(JOINS)
def side_by_side(parts: Parts) -> Grid | None:
    """Parts of one height side by side."""
    if len(parts) < 2 or len({p.shape[0] for p in parts}) > 1:
        return None
    return np.hstack(parts)


@register(JOINS)
def one_above_the_other(parts: Parts) -> Grid | None:
    """Parts of one width one above the other."""
    if len(parts) < 2 or len({p.shape[1] for p in parts}) > 1:
        return None
    return np.vstack(parts)


@register(JOINS)
def by_size_across(parts: Parts) -> Grid | None:
    """Parts of one height side by side, those with the fewest cells first."""
    return side_by_side(tuple(sorted(parts, key=lambda p: int((p != 0).sum()))))


@register(JOINS)
def by_size_down(parts: Parts) -> Grid | None:
    """Parts of one width one above the other, those with the most cells first."""
    return one_above_the_other(tuple(sorted(parts, key=lambda p: -int((p != 0).sum()))))
