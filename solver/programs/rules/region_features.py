"""What is known of each cell from the region it is in: the region's size, shape and colours, its place in its box."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.programs.primitives import pieces, regions
from solver.programs.primitives.regions import Region
from solver.programs.primitives.shapes import SQUARE, grown
from solver.programs.rules.feature import NONE, Feature, Values, feature
from solver.types import Grid, key

MANY = 80  # regions in a grid beyond which nothing is said of them
KINDS: Mapping[str, Callable[[Grid], tuple[Region, ...]]] = {
    "one_4": regions.of_colour, "one_8": regions.of_colour_diagonal, "any_8": regions.of_any_diagonal,
    "background": regions.of_background, "lattice": pieces.rectangles,
}  # fmt: skip
LARGEST = {"size": 20, "filled": 20, "height": 12, "width": 12, "colours": 10}  # numbers say no more, others 9
IN_BOX = ("box_row", "box_column", "box_ring", "box_row_up", "box_column_left", "box_sum")


def region_features(grid: Grid) -> Iterator[Feature]:
    """The features of all kinds of regions."""
    for kind, regions_of in KINDS.items():
        every = regions_of(grid)
        yield from _of_kind(grid, kind, every if len(every) <= MANY else ())


def _of_kind(grid: Grid, kind: str, every: Sequence[Region]) -> Iterator[Feature]:
    owner = np.full(grid.shape, -1)  # the region's index for each cell; -1, the tables' last entry: in none
    for n, region in enumerate(every):
        owner[region.box][region.mask] = n
    numbers, flags = _facts(every, grid)
    for of, facts, none in (("number", numbers, -1), ("flag", flags, 0)):
        table = np.full((len(facts), len(every) + 1), none, np.int16)
        table[:, :-1] = list(facts.values())
        for name, values in zip(facts, table[:, owner], strict=True):
            yield feature(of, f"{kind}_{name}", values, 1.1)
    if kind != "background":
        yield from _of_boxes(grid, kind, every, owner)


def _shape(region: Region) -> tuple[int, int, bytes]:
    return key(region.mask.astype(np.uint8))


def _facts(every: Sequence[Region], grid: Grid) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
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


def _of_boxes(grid: Grid, kind: str, every: Sequence[Region], owner: NDArray[np.int64]) -> Iterator[Feature]:
    """What the smallest box around a cell says of it: where in the box it is, and the colours of the box's region."""
    numbers = {name: np.full(grid.shape, -1, np.int16) for name in IN_BOX}
    colour, other, inside = np.full(grid.shape, NONE), np.full(grid.shape, NONE), np.zeros(grid.shape, bool)
    for region in sorted(every, key=lambda r: -r.mask.size):
        rows, columns = region.mask.shape
        box = region.box
        i, j = np.indices((rows, columns))
        places = (i, j, regions.ring(rows, columns), rows - 1 - i, columns - 1 - j, (i + j) % 2)
        for name, values in zip(IN_BOX, places, strict=True):
            numbers[name][box] = np.minimum(values, 9)
        colour[box], inside[box] = region.colour, True
        present = np.bincount(region.cells[region.mask], minlength=10)
        present[region.colour] = 0
        other[box] = present.argmax() if present.any() else NONE
    for name, values in numbers.items():
        yield feature("number", f"{kind}_{name}", values, 1.4)
    yield feature("colour", f"{kind}_touched", _touched(grid, len(every), owner)[owner], 1.1)
    yield feature("colour", f"{kind}_twin", _twin_colours(every)[owner], 1.1)
    yield feature("colour", f"{kind}_box_colour", colour, 1.1)
    yield feature("flag", f"{kind}_in_box", inside, 1.0)
    if kind == "any_8":
        yield feature("colour", "thing_other_colour", other, 1.1)


def _twin_colours(every: Sequence[Region]) -> Values:
    """For each region the colour of another one of its shape in another colour, else `NONE`; last: no region."""
    hues: dict[tuple[int, int, bytes], list[int]] = {}
    for region in every:
        hues.setdefault(_shape(region), []).append(region.colour)
    table = [next((c for c in hues[_shape(r)] if c != r.colour), NONE) for r in every]
    return np.array([*table, NONE], np.int16)


def _touched(grid: Grid, number: int, owner: NDArray[np.int64]) -> Values:
    """For each region the most frequent other colour next to it, else `NONE`; last: no region."""
    table = np.full(number + 1, NONE, np.int16)
    for n in range(number):
        own = owner == n
        around = np.bincount(grid[grown(own, SQUARE) & ~own], minlength=10)
        around[0] = 0
        table[n] = around.argmax() if around.any() else NONE
    return table
