"""What is known of each cell from the region it is in: the region's size, shape and colours, its place in its box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

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
NUMBERS = ("size", "height", "width", "holes", "colours", "twins", "size_rank", "size_rank_up", "filled", "row",
           "column")  # fmt: skip
FLAGS = ("largest", "smallest", "edge", "square", "full_box", "symmetric", "symmetric_across", "symmetric_down",
         "only_colour", "only_size", "tall", "wide", "top_most", "bottom_most", "left_most", "right_most",
         "most_colours", "most_often", "most_filled", "least_filled")  # fmt: skip
IN_BOX = ("box_row", "box_column", "box_ring", "box_row_up", "box_column_left", "box_sum")


def region_features(grid: Grid) -> Iterator[Feature]:
    """The features of all kinds of regions."""
    for kind, regions_of in KINDS.items():
        every = regions_of(grid)
        yield from _of_kind(grid, kind, every if len(every) <= MANY else ())


def _of_kind(grid: Grid, kind: str, every: Sequence[Region]) -> Iterator[Feature]:
    facts = _facts(every, grid)
    owner = np.full(grid.shape, -1)  # the region's index for each cell; -1, the tables' last entry: in none
    for n, region in enumerate(every):
        owner[region.box][region.mask] = n
    for name in NUMBERS:
        yield feature("number", f"{kind}_{name}", np.array([*(f[name] for f in facts), -1])[owner], 1.1)
    for name in FLAGS:
        yield feature("flag", f"{kind}_{name}", np.array([*(f[name] for f in facts), 0])[owner], 1.1)
    if kind != "background":
        yield from _of_boxes(grid, kind, every, owner)


def _shape(region: Region) -> tuple[int, int, bytes]:
    return key(region.mask.astype(np.uint8))


def _facts(every: Sequence[Region], grid: Grid) -> list[dict[str, int]]:
    """Numbers and flags of every region, by name."""
    sizes = [r.size for r in every]
    distinct = sorted(set(sizes), reverse=True)
    shapes, hues = Counter(map(_shape, every)), Counter(r.colour for r in every)
    various = [len(np.unique(r.cells[r.mask])) for r in every]
    filled = [int((r.cells != 0).sum()) for r in every]
    boxes = [r.box for r in every]
    tops, lefts = sorted({rows.start for rows, _ in boxes}), sorted({columns.start for _, columns in boxes})
    bottom, right = max((rows.stop for rows, _ in boxes), default=0), max((c.stop for _, c in boxes), default=0)
    facts = []
    for n, (r, (rows, columns)) in enumerate(zip(every, boxes, strict=True)):
        height, width = r.mask.shape
        own = r.alone
        across, down = bool((own == own[:, ::-1]).all()), bool((own == own[::-1]).all())
        twins, rank = shapes[_shape(r)], distinct.index(sizes[n])
        facts.append({
            "size": min(sizes[n], 20), "height": min(height, 12), "width": min(width, 12),
            "holes": min(regions.holes(r.mask), 9), "colours": various[n], "twins": min(twins, 9),
            "size_rank": min(rank, 9), "size_rank_up": min(len(distinct) - 1 - rank, 9),
            "largest": sizes[n] == distinct[0], "smallest": sizes[n] == distinct[-1],
            "edge": 0 in (r.top, r.left) or rows.stop == grid.shape[0] or columns.stop == grid.shape[1],
            "square": height == width, "full_box": sizes[n] == height * width, "symmetric": across or down,
            "symmetric_across": across, "symmetric_down": down, "only_colour": hues[r.colour] == 1,
            "only_size": sizes.count(sizes[n]) == 1, "tall": height > width, "wide": width > height,
            "top_most": r.top == tops[0], "bottom_most": rows.stop == bottom,
            "left_most": r.left == lefts[0], "right_most": columns.stop == right,
            "most_colours": various[n] == max(various), "most_often": twins == max(shapes.values()),
            "most_filled": filled[n] == max(filled), "least_filled": filled[n] == min(filled),
            "filled": min(filled[n], 20), "row": min(tops.index(r.top), 9), "column": min(lefts.index(r.left), 9),
        })  # fmt: skip
    return facts


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
