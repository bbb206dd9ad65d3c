"""A cell feature: one thing known of every cell; those of its place, of the whole grid, and of the region it is in.

Kinds: a "colour" is 0–9, or `NONE`; a "number" is a small integer; a "flag" is 0 or 1.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.programs.primitives import pieces, regions
from solver.programs.primitives.shapes import around
from solver.types import Grid, key

NONE = 10  # of a colour: there is no such cell
MANY = 80  # regions in a grid beyond which nothing is said of them
KINDS: Mapping[str, Callable[[Grid], tuple[regions.Region, ...]]] = {
    "one_4": regions.of_colour, "one_8": regions.of_colour_diagonal, "any_8": regions.of_any_diagonal,
    "background": regions.of_background, "lattice": pieces.rectangles,
}  # fmt: skip
LARGEST = {"size": 20, "filled": 20, "height": 12, "width": 12, "colours": 10}  # numbers say no more, others 9
IN_BOX = ("box_row", "box_column", "box_ring", "box_row_up", "box_column_left", "box_sum")
Values = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Feature:
    """One thing known of every cell: `values` int16 [rows, columns]; `cost` is what a rule pays to use it."""

    kind: str
    name: str
    values: NDArray[Any]
    cost: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, np.int16))


def place_features(rows: int, columns: int) -> Iterator[Feature]:
    """Where each cell of a grid of this shape is."""
    i, j = np.indices((rows, columns))
    for name, values, cost in (
        ("row", i, 1.5), ("column", j, 1.5), ("row_from_bottom", rows - 1 - i, 1.7),
        ("column_from_right", columns - 1 - j, 1.7), ("row_mod_2", i % 2, 1.0), ("column_mod_2", j % 2, 1.0),
        ("row_mod_3", i % 3, 1.3), ("column_mod_3", j % 3, 1.3), ("sum_mod_3", (i + j) % 3, 1.6),
        ("bottom_mod_2", (rows - 1 - i) % 2, 1.4), ("right_mod_2", (columns - 1 - j) % 2, 1.4),
        ("ring", regions.ring(rows, columns), 1.2),
        ("diagonal", i - j, 1.6), ("diagonal_other", i - (columns - 1 - j), 1.6),
    ):  # fmt: skip
        yield Feature("number", name, np.clip(values, -10, 10), cost)
    yield Feature("flag", "sum_odd", (i + j) % 2, 0.9)
    yield Feature("flag", "middle_row", i * 2 == rows - 1, 1.5)
    yield Feature("flag", "middle_column", j * 2 == columns - 1, 1.5)


def facts_of_grid(grid: Grid) -> list[tuple[str, str, int]]:
    """What is known of the grid as a whole: (kind, name, value)."""
    of = regions.counts(grid)
    numbers = {
        "things": len(regions.of_any_diagonal(grid)), "regions": len(regions.of_colour_diagonal(grid)),
        "regions_by_sides": len(regions.of_colour(grid)), "colours": int((of[1:] > 0).sum()),
        "cells": int((grid != 0).sum()), "enclosed_cells": int(regions.enclosed(grid).sum()),
        "rows": grid.shape[0], "columns": grid.shape[1],
    }  # fmt: skip
    flags = {
        "symmetric_across": (grid == grid[:, ::-1]).all(), "symmetric_down": (grid == grid[::-1]).all(),
        "symmetric_diagonal": grid.shape[0] == grid.shape[1] and (grid == grid.T).all(),
        **{f"has_{c}": of[c] > 0 for c in range(10)},
    }  # fmt: skip
    colours = {
        "top_left": grid[0, 0], "top_right": grid[0, -1], "bottom_left": grid[-1, 0], "bottom_right": grid[-1, -1],
        "commonest": regions.commonest(grid), "rarest": regions.rarest(grid),
    }  # fmt: skip
    return [
        *(("number", f"whole_{name}", min(value, 100)) for name, value in numbers.items()),
        *(("flag", f"whole_{name}", int(value)) for name, value in flags.items()),
        *(("colour", f"whole_{name}", int(value)) for name, value in colours.items()),
    ]


def spread(grid: Grid, rows: int, columns: int) -> list[Feature]:
    """The facts of a grid as features of all cells of another shape."""
    return [Feature(kind, name, np.full((rows, columns), v), 1.2) for kind, name, v in facts_of_grid(grid)]


def region_features(grid: Grid) -> Iterator[Feature]:
    """The features of all kinds of regions."""
    for kind, regions_of in KINDS.items():
        every = regions_of(grid) if len(regions_of(grid)) <= MANY else ()
        owner = np.full(grid.shape, -1)  # the region's index for each cell; -1, the tables' last entry: in none
        for n, region in enumerate(every):
            owner[region.box][region.mask] = n
        numbers, flags = _facts(every, grid)
        for of, facts, none in (("number", numbers, -1), ("flag", flags, 0)):
            table = np.full((len(facts), len(every) + 1), none, np.int16)
            table[:, :-1] = list(facts.values())
            for name, values in zip(facts, table[:, owner], strict=True):
                yield Feature(of, f"{kind}_{name}", values, 1.1)
        if kind != "background":
            yield from _of_boxes(grid, kind, every, owner)


def _shape(region: regions.Region) -> tuple[int, int, bytes]:
    return key(region.mask.astype(np.uint8))


def _facts(every: Sequence[regions.Region], grid: Grid) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Numbers and flags by name, of every region, [regions]."""
    shapes, hues = Counter(map(_shape, every)), Counter(r.colour for r in every)
    known = [
        (*r.mask.shape, r.top, r.left, r.size, regions.holes(r.mask), len(np.unique(r.cells[r.mask])),
         shapes[_shape(r)], hues[r.colour], (r.cells != 0).sum(), r.at_edge(grid.shape),
         (own == own[:, ::-1]).all(), (own == own[::-1]).all())
        for r, own in ((r, r.alone) for r in every)
    ]  # fmt: skip
    columns = np.array(known, np.int64).reshape(-1, 13).T
    height, width, top, left, size, holes, colours, twins, alike, filled, edge, across, down = columns
    size_rank_up, row, column = (np.unique(by, return_inverse=True)[1] for by in (size, top, left))
    size_rank = size_rank_up.max(initial=0) - size_rank_up
    numbers = {
        "size": size, "height": height, "width": width, "holes": holes, "colours": colours, "twins": twins,
        "size_rank": size_rank, "size_rank_up": size_rank_up, "filled": filled, "row": row, "column": column,
    }  # fmt: skip
    numbers = {name: np.minimum(values, LARGEST.get(name, 9)) for name, values in numbers.items()}
    flags = {
        "largest": size_rank == 0, "smallest": size_rank_up == 0, "edge": edge, "square": height == width,
        "full_box": size == height * width, "symmetric": across | down, "symmetric_across": across,
        "symmetric_down": down, "only_colour": alike == 1,
        "only_size": (size == size[:, None]).sum(0) == 1, "tall": height > width, "wide": width > height,
        "top_most": row == 0, "bottom_most": _most(top + height), "left_most": column == 0,
        "right_most": _most(left + width), "most_colours": _most(colours), "most_often": _most(twins),
        "most_filled": _most(filled), "least_filled": _most(-filled),
    }  # fmt: skip
    return numbers, flags


def _most(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(values == values.max(initial=-900))


def _of_boxes(grid: Grid, kind: str, every: Sequence[regions.Region], owner: NDArray[np.int64]) -> Iterator[Feature]:
    """What the smallest box around a cell says of it: where in the box it is, and the colours of the box's region."""
    numbers = {name: np.full(grid.shape, -1, np.int16) for name in IN_BOX}
    colour, other, inside = np.full(grid.shape, NONE), np.full(grid.shape, NONE), np.zeros(grid.shape, bool)
    for region in sorted(every, key=lambda r: -r.mask.size):
        box, (rows, columns) = region.box, region.mask.shape
        i, j = np.indices((rows, columns))
        places = (i, j, regions.ring(rows, columns), rows - 1 - i, columns - 1 - j, (i + j) % 2)
        for name, values in zip(IN_BOX, places, strict=True):
            numbers[name][box] = np.minimum(values, 9)
        colour[box], inside[box] = region.colour, True
        present = np.bincount(region.cells[region.mask], minlength=10)
        present[region.colour] = 0
        other[box] = present.argmax() if present.any() else NONE
    for name, values in numbers.items():
        yield Feature("number", f"{kind}_{name}", values, 1.4)
    yield Feature("colour", f"{kind}_touched", _touched(grid, len(every), owner)[owner], 1.1)
    yield Feature("colour", f"{kind}_twin", _twin_colours(every)[owner], 1.1)
    yield Feature("colour", f"{kind}_box_colour", colour, 1.1)
    yield Feature("flag", f"{kind}_in_box", inside, 1.0)
    if kind == "any_8":
        yield Feature("colour", "thing_other_colour", other, 1.1)


def _twin_colours(every: Sequence[regions.Region]) -> Values:
    """For each region the colour of another one of its shape in another colour, else `NONE`; last: no region."""
    hues: dict[tuple[int, int, bytes], list[int]] = {}
    for region in every:
        hues.setdefault(_shape(region), []).append(region.colour)
    table = [next((c for c in hues[_shape(r)] if c != r.colour), NONE) for r in every]
    return np.array([*table, NONE], np.int16)


def _touched(grid: Grid, number: int, owner: NDArray[np.int64]) -> Values:
    """For each region the most frequent other colour next to it, else `NONE`; last: no region."""
    table = [regions.commonest(grid[around(owner == n)]) or NONE for n in range(number)]
    return np.array([*table, NONE], np.int16)
