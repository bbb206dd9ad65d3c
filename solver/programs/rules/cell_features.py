"""What is known of each cell of a grid: its colour, its surroundings, the region it is in, what lies in its row.

Knows nothing of tasks or rules. Law: the same planes in the same order for every grid, each of the grid's shape.
Kinds: a "colour" is 0–9, or `NONE`; a "number" is a small integer; a "flag" is 0 or 1.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from solver.programs.primitives import pieces, regions
from solver.programs.primitives.lines import between_diagonally, last_seen, seen_diagonally
from solver.programs.primitives.regions import Region, label, remembered
from solver.programs.primitives.shapes import SQUARE, grown
from solver.types import Grid

NONE = 10  # in a plane of colours: there is no such cell
SHIFTS = {
    "up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1),
    "up_left": (-1, -1), "up_right": (-1, 1), "down_left": (1, -1), "down_right": (1, 1),
}  # fmt: skip

Values = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Plane:
    """One thing known of every cell: `values` int16 [rows, columns]; `cost` is what a rule pays to use it."""

    name: str
    kind: str
    values: Values
    cost: float


class _Book:
    """Collects planes."""

    def __init__(self) -> None:
        self.planes: list[Plane] = []

    def add(self, kind: str, name: str, values: NDArray[np.generic], cost: float) -> None:
        self.planes.append(Plane(name, kind, np.asarray(values, np.int16), cost))


def shifted(grid: NDArray[np.generic], down: int, right: int, fill: int = NONE) -> Values:
    """What lies `down` rows below and `right` columns to the right of each cell; `fill` outside the grid."""
    rows, columns = grid.shape
    wide = np.pad(grid.astype(np.int16), ((abs(down),) * 2, (abs(right),) * 2), constant_values=fill)
    return wide[abs(down) + down : abs(down) + down + rows, abs(right) + right : abs(right) + right + columns]


def _rays(grid: Grid) -> dict[str, Grid]:
    """The first colour seen from each cell, itself left out, to the four sides."""
    found = {}
    for turns, name in enumerate(("left", "up", "right", "down")):
        turned = np.rot90(grid, turns)
        before = np.zeros_like(turned)
        before[:, 1:] = last_seen(turned)[:, :-1]
        found[name] = np.rot90(before, -turns)
    return found


def _diagonal_rays(grid: Grid) -> dict[str, Grid]:
    return {n: seen_diagonally(grid, *SHIFTS[n]) for n in ("up_left", "up_right", "down_left", "down_right")}


def _of_places(book: _Book, grid: Grid) -> None:
    rows, columns = grid.shape
    i, j = np.indices(grid.shape)
    for name, values, cost in (
        ("row", i, 1.5), ("column", j, 1.5), ("row_from_bottom", rows - 1 - i, 1.7),
        ("column_from_right", columns - 1 - j, 1.7), ("row_mod_2", i % 2, 1.0), ("column_mod_2", j % 2, 1.0),
        ("row_mod_3", i % 3, 1.3), ("column_mod_3", j % 3, 1.3), ("sum_mod_3", (i + j) % 3, 1.6),
        ("bottom_mod_2", (rows - 1 - i) % 2, 1.4), ("right_mod_2", (columns - 1 - j) % 2, 1.4),
        ("ring", np.minimum(np.minimum(i, rows - 1 - i), np.minimum(j, columns - 1 - j)), 1.2),
        ("diagonal", i - j, 1.6), ("diagonal_other", i - (columns - 1 - j), 1.6),
    ):  # fmt: skip
        book.add("number", name, np.clip(values, -10, 10), cost)
    book.add("flag", "sum_odd", (i + j) % 2, 0.9)
    book.add("flag", "middle_row", i * 2 == rows - 1, 1.5)
    book.add("flag", "middle_column", j * 2 == columns - 1, 1.5)


def _of_surroundings(book: _Book, grid: Grid) -> None:
    for name, (down, right) in SHIFTS.items():
        book.add("colour", f"{name}", shifted(grid, down, right), 1.2 if "_" in name else 1.0)
    for name, (down, right) in list(SHIFTS.items())[:4]:
        book.add("colour", f"{name}_2", shifted(grid, 2 * down, 2 * right), 1.6)
    some = (grid != 0).astype(np.uint8)
    padded = np.pad(some, 1)
    eight = cv2.filter2D(padded, cv2.CV_16S, SQUARE, borderType=cv2.BORDER_CONSTANT)[1:-1, 1:-1] - some
    four = sum(shifted(some, *SHIFTS[s], fill=0) for s in ("up", "down", "left", "right"))
    alike = sum((shifted(grid, *SHIFTS[s]) == grid).astype(np.int16) for s in ("up", "down", "left", "right"))
    alike_8 = sum((shifted(grid, *s) == grid).astype(np.int16) for s in SHIFTS.values())
    book.add("number", "neighbours_8", eight, 1.0)
    book.add("number", "neighbours_4", np.asarray(four), 1.0)
    book.add("number", "alike_4", np.asarray(alike), 1.0)
    book.add("number", "alike_8", np.asarray(alike_8), 1.0)
    around = np.pad(grid, 1)
    stack = np.stack([around[1 + d : 1 + d + grid.shape[0], 1 + r : 1 + r + grid.shape[1]] for d, r in SHIFTS.values()])
    votes = np.stack([(stack == c).sum(0) for c in range(1, 10)])
    book.add("colour", "commonest_around", np.where(votes.max(0) > 0, votes.argmax(0) + 1, 0), 1.1)
    for colour in range(10):
        near = cv2.dilate((grid == colour).astype(np.uint8), SQUARE)
        book.add("flag", f"near_{colour}", near, 1.1)


def _of_rays(book: _Book, grid: Grid) -> None:
    rays = _rays(grid)
    for name, values in rays.items():
        book.add("colour", f"ray_{name}", values, 1.0)
    diagonal = _diagonal_rays(grid)
    for name, values in diagonal.items():
        book.add("colour", f"ray_{name}", values, 1.2)
    across = np.where(rays["left"] == rays["right"], rays["left"], 0)
    down = np.where(rays["up"] == rays["down"], rays["up"], 0)
    book.add("colour", "between_across", across, 0.9)
    book.add("colour", "between_down", down, 0.9)
    book.add("colour", "between_either", np.where(down != 0, down, across), 0.9)
    book.add("colour", "between_diagonally", between_diagonally(grid), 0.9)
    seen = np.stack(list(rays.values()))
    book.add("colour", "ray_any", seen.max(0), 1.0)
    book.add("colour", "ray_any_diagonal", np.stack(list(diagonal.values())).max(0), 1.1)
    book.add("number", "rays_4", (seen != 0).sum(0), 1.0)
    book.add("number", "rays_diagonal", (np.stack(list(diagonal.values())) != 0).sum(0), 1.1)
    distance = cv2.distanceTransform(np.pad((grid == 0).astype(np.uint8), 0), cv2.DIST_C, 3) if grid.any() else grid
    book.add("number", "distance", np.minimum(np.rint(distance), 9), 1.2)


def _of_lines(book: _Book, grid: Grid) -> None:
    for axis, name in ((1, "row"), (0, "column")):
        votes = np.stack([(grid == c).sum(axis) for c in range(10)])
        shape = (-1, 1) if axis == 1 else (1, -1)
        spread = np.ones(grid.shape, np.int16)
        top = np.where(votes[1:].max(0) > 0, votes[1:].argmax(0) + 1, 0)
        book.add("colour", f"{name}_commonest", top.reshape(shape) * spread, 1.0)
        number = votes[1:].sum(0)
        book.add("number", f"{name}_cells", np.minimum(number, 12).reshape(shape) * spread, 1.2)
        book.add("flag", f"{name}_most_cells", (number == number.max()).reshape(shape) * spread, 1.2)
        book.add("flag", f"{name}_plain", (votes.max(0) == grid.shape[axis]).reshape(shape) * spread, 1.0)
        book.add("flag", f"{name}_symmetric", _symmetric_lines(grid, axis).reshape(shape) * spread, 1.5)
        for colour in range(10):
            book.add("flag", f"{name}_has_{colour}", (votes[colour] > 0).reshape(shape) * spread, 1.2)
    for name, line in (("top", grid[:1]), ("bottom", grid[-1:]), ("first", grid[:, :1]), ("last", grid[:, -1:])):
        book.add("colour", f"{name}_of_line", np.broadcast_to(line, grid.shape), 1.2)


def _symmetric_lines(grid: Grid, axis: int) -> NDArray[np.bool_]:
    return np.asarray((grid == (grid[:, ::-1] if axis == 1 else grid[::-1])).all(axis))


def _of_mirrors(book: _Book, grid: Grid) -> None:
    for name, values in (("left_right", grid[:, ::-1]), ("up_down", grid[::-1]), ("turned_180", grid[::-1, ::-1])):
        book.add("colour", f"mirror_{name}", values, 1.1)
    square = grid.shape[0] == grid.shape[1]
    for name, values in (("transposed", grid.T), ("turned_90", np.rot90(grid)), ("turned_270", np.rot90(grid, 3))):
        book.add("colour", f"mirror_{name}", values if square else np.full(grid.shape, NONE), 1.2)


def _of_whole(book: _Book, grid: Grid) -> None:
    of = regions.counts(grid)
    order = sorted((c for c in range(1, 10) if of[c]), key=lambda c: (-of[c], c))
    for rank in range(3):
        colour = order[rank] if rank < len(order) else NONE
        book.add("colour", f"grid_colour_{rank}", np.full(grid.shape, colour), 1.0 + 0.1 * rank)
    book.add("colour", "grid_rarest", np.full(grid.shape, order[-1] if order else NONE), 1.0)
    place = np.full(10, 9, np.int16)
    for rank, colour in enumerate(order):
        place[colour] = rank
    book.add("number", "colour_rank", place[grid], 1.0)
    book.add("flag", "colour_rarest", grid == (order[-1] if order else NONE), 1.0)
    book.add("number", "grid_colours", np.full(grid.shape, len(order)), 1.5)
    for name, colour in (("corner_top_left", grid[0, 0]), ("corner_bottom_right", grid[-1, -1]),
                         ("corner_top_right", grid[0, -1]), ("corner_bottom_left", grid[-1, 0])):  # fmt: skip
        book.add("colour", name, np.full(grid.shape, colour), 1.5)


KINDS = {"one_4": regions.of_colour, "one_8": regions.of_colour_diagonal, "any_8": regions.of_any_diagonal,
         "background": regions.of_background, "lattice": pieces.rectangles}  # fmt: skip
NUMBERS = (
    "size",
    "height",
    "width",
    "holes",
    "colours",
    "twins",
    "size_rank",
    "size_rank_up",
    "filled",
    "row",
    "column",
)
FLAGS = ("largest", "smallest", "edge", "square", "full_box", "symmetric", "symmetric_across", "symmetric_down",
         "only_colour", "only_size", "tall", "wide", "top_most", "bottom_most", "left_most", "right_most",
         "most_colours", "most_often", "most_filled", "least_filled")  # fmt: skip


def _shape_key(region: Region) -> bytes:
    return bytes([*region.mask.shape]) + region.mask.tobytes()


def _facts(found: tuple[Region, ...], grid: Grid) -> list[dict[str, int]]:
    """Numbers and flags of every region, by name."""
    sizes = [r.size for r in found]
    distinct = sorted(set(sizes), reverse=True)
    shapes = Counter(map(_shape_key, found))
    hues = Counter(r.colour for r in found)
    various = [len(np.unique(r.cells[r.mask])) for r in found]
    bottoms, rights = [r.top + r.mask.shape[0] for r in found], [r.left + r.mask.shape[1] for r in found]
    filled = [int((r.cells != 0).sum()) for r in found]
    tops, lefts = sorted({r.top for r in found}), sorted({r.left for r in found})
    facts = []
    for n, r in enumerate(found):
        height, width = r.mask.shape
        own = r.alone
        across, down = bool((own == own[:, ::-1]).all()), bool((own == own[::-1]).all())
        twins = shapes[_shape_key(r)]
        facts.append({
            "size": min(sizes[n], 20), "height": min(height, 12), "width": min(width, 12),
            "holes": min(regions.holes(r.mask), 9), "colours": various[n], "twins": min(twins, 9),
            "size_rank": min(distinct.index(sizes[n]), 9),
            "size_rank_up": min(len(distinct) - 1 - distinct.index(sizes[n]), 9),
            "largest": sizes[n] == distinct[0], "smallest": sizes[n] == distinct[-1],
            "edge": r.top == 0 or r.left == 0 or bottoms[n] == grid.shape[0] or rights[n] == grid.shape[1],
            "square": height == width, "full_box": sizes[n] == height * width, "symmetric": across or down,
            "symmetric_across": across, "symmetric_down": down, "only_colour": hues[r.colour] == 1,
            "only_size": sizes.count(sizes[n]) == 1, "tall": height > width, "wide": width > height,
            "top_most": r.top == min(q.top for q in found), "bottom_most": bottoms[n] == max(bottoms),
            "left_most": r.left == min(q.left for q in found), "right_most": rights[n] == max(rights),
            "most_colours": various[n] == max(various), "most_often": twins == max(shapes.values()),
            "most_filled": filled[n] == max(filled), "least_filled": filled[n] == min(filled),
            "filled": min(filled[n], 20), "row": min(tops.index(r.top), 9), "column": min(lefts.index(r.left), 9),
        })  # fmt: skip
    return facts


def _of_regions(book: _Book, grid: Grid, kind: str) -> None:
    found = KINDS[kind](grid)
    facts = _facts(found, grid) if len(found) <= 80 else []
    owner = np.full(grid.shape, -1)
    for n, r in enumerate(found if facts else ()):
        rows, columns = r.mask.shape
        owner[r.top : r.top + rows, r.left : r.left + columns][r.mask] = n
    for name in (*NUMBERS, *FLAGS):
        table = np.array([f[name] for f in facts] + [-1 if name in NUMBERS else 0], np.int16)
        book.add("number" if name in NUMBERS else "flag", f"{kind}_{name}", table[owner], 1.1)
    if kind not in ("background",):
        _of_boxes(book, grid, kind, found if facts else (), owner)


def _of_boxes(book: _Book, grid: Grid, kind: str, found: tuple[Region, ...], owner: NDArray[np.int64]) -> None:
    """The nearest things a region says of cells in its bounding box: where in it they are, and its colours."""
    names = ("box_row", "box_column", "box_ring", "box_row_up", "box_column_left", "box_sum")
    numbers = {name: np.full(grid.shape, -1, np.int16) for name in names}
    colour, other, inside = np.full(grid.shape, NONE), np.full(grid.shape, NONE), np.zeros(grid.shape, bool)
    for r in sorted(found, key=lambda r: -r.mask.size):
        rows, columns = r.mask.shape
        box = slice(r.top, r.top + rows), slice(r.left, r.left + columns)
        i, j = np.indices((rows, columns))
        ring = np.minimum(np.minimum(i, rows - 1 - i), np.minimum(j, columns - 1 - j))
        for name, values in zip(names, (i, j, ring, rows - 1 - i, columns - 1 - j, (i + j) % 2), strict=True):
            numbers[name][box] = np.minimum(values, 9)
        colour[box], inside[box] = r.colour, True
        present = np.bincount(r.cells[r.mask], minlength=10)
        present[r.colour] = 0
        other[box] = present.argmax() if present.any() else NONE
    for name, values in numbers.items():
        book.add("number", f"{kind}_{name}", values, 1.4)
    book.add("colour", f"{kind}_touched", _touched(grid, found, owner), 1.1)
    book.add("colour", f"{kind}_twin", _twin_colours(found)[owner], 1.1)
    book.add("colour", f"{kind}_box_colour", colour, 1.1)
    book.add("flag", f"{kind}_in_box", inside, 1.0)
    if kind == "any_8":
        book.add("colour", "thing_other_colour", other, 1.1)


def _twin_colours(found: tuple[Region, ...]) -> Values:
    """For each region the colour of another one of its shape in another colour, else `NONE`; last: no region."""
    hues: dict[bytes, list[int]] = {}
    for r in found:
        hues.setdefault(_shape_key(r), []).append(r.colour)
    table = [next((c for c in hues[_shape_key(r)] if c != r.colour), NONE) for r in found]
    return np.array([*table, NONE], np.int16)


def _touched(grid: Grid, found: tuple[Region, ...], owner: NDArray[np.int64]) -> Values:
    """For cells of a region the most frequent other colour next to it, `NONE` where it touches background alone."""
    table = np.full(len(found) + 1, NONE, np.int16)
    for n in range(len(found)):
        own = owner == n
        around = np.bincount(grid[grown(own, SQUARE) & ~own], minlength=10)
        around[0] = 0
        table[n] = around.argmax() if around.any() else NONE
    return table[owner]


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
        "symmetric_across": bool((grid == grid[:, ::-1]).all()), "symmetric_down": bool((grid == grid[::-1]).all()),
        "symmetric_diagonal": grid.shape[0] == grid.shape[1] and bool((grid == grid.T).all()),
    }  # fmt: skip
    found = [("number", f"whole_{name}", min(value, 100)) for name, value in numbers.items()]
    found += [("flag", f"whole_{name}", int(value)) for name, value in flags.items()]
    found += [("flag", f"whole_has_{c}", int(of[c] > 0)) for c in range(10)]
    corners = {
        "top_left": grid[0, 0],
        "top_right": grid[0, -1],
        "bottom_left": grid[-1, 0],
        "bottom_right": grid[-1, -1],
    }
    found += [("colour", f"whole_{name}", int(colour)) for name, colour in corners.items()]
    found.append(("colour", "whole_commonest", regions.commonest(grid)))
    return [*found, ("colour", "whole_rarest", regions.rarest(grid))]


def canvas(grid: Grid, rows: int, columns: int) -> list[Plane]:
    """Planes of an empty grid of this shape that knows where its cells are and what the given grid is as a whole."""
    book, shape = _Book(), (rows, columns)
    book.add("colour", "colour", np.zeros(shape), 0.5)
    _of_places(book, np.zeros(shape, np.uint8))
    return [*book.planes, *whole(grid, rows, columns)]


def whole(grid: Grid, rows: int, columns: int) -> list[Plane]:
    """The facts of a grid as planes of another shape."""
    return [Plane(n, k, np.full((rows, columns), v, np.int16), 1.2) for k, n, v in facts_of_grid(grid)]


def _of_enclosure(book: _Book, grid: Grid) -> None:
    enclosed = regions.enclosed(grid)
    book.add("flag", "enclosed", enclosed, 0.8)
    _, labels = label(grid == 0, diagonal=True)
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    book.add("flag", "enclosed_corners", (labels > 0) & ~np.isin(labels, edge), 1.0)
    found = regions.box(grid != 0)
    inside = np.zeros(grid.shape, bool)
    if found:
        inside[found] = True
    book.add("flag", "in_box_of_all", inside, 1.0)
    square = np.zeros(grid.shape, np.uint8)
    for colour in range(10):
        mask = np.pad((grid == colour).astype(np.uint8), 1)
        kernel = np.ones((2, 2), np.uint8)
        opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)[1:-1, 1:-1]
        three = cv2.morphologyEx(mask, cv2.MORPH_OPEN, SQUARE)[1:-1, 1:-1]
        square = np.maximum(square, np.maximum(opened, 2 * three))
    book.add("number", "in_square", square, 1.0)
    book.add("flag", "largest_empty_box", _largest_box(grid == 0), 1.0)
    book.add("flag", "largest_empty_square", _largest_square(grid == 0), 1.2)


def _largest_box(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The cells of the largest rectangles that are all in the mask."""
    best = 0
    boxes: list[tuple[int, int, int, int]] = []
    heights = np.zeros(mask.shape[1], np.int64)
    for bottom, row in enumerate(mask):
        heights = np.where(row, heights + 1, 0)
        for height in np.unique(heights[heights > 0]):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], heights >= height, [0]])))
            for left, right in zip(edges[::2], edges[1::2], strict=True):
                area = int(height * (right - left))
                boxes = boxes if area < best else [] if area > best else boxes
                if area >= best:
                    best = area
                    boxes.append((bottom + 1 - int(height), bottom + 1, int(left), int(right)))
    made = np.zeros(mask.shape, bool)
    for top, bottom, left, right in boxes if best > 1 else ():
        made[top:bottom, left:right] = True
    return made


def _largest_square(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The cells of the largest squares that are all in the mask."""
    made: NDArray[np.generic] = np.zeros(mask.shape, np.uint8)
    wide = mask.astype(np.uint8)
    for side in range(1, min(mask.shape) + 1):
        kernel = np.ones((side, side), np.uint8)
        kept = cv2.erode(wide, kernel, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        if not kept.any():
            break
        made = cv2.dilate(kept, kernel, anchor=(side - 1, side - 1))
    return np.asarray(made, bool)


@remembered
def planes(grid: Grid) -> tuple[Plane, ...]:
    """All planes of a grid, always in the same order."""
    book = _Book()
    book.add("colour", "colour", grid, 0.5)
    _of_surroundings(book, grid)
    _of_rays(book, grid)
    _of_lines(book, grid)
    _of_mirrors(book, grid)
    _of_whole(book, grid)
    _of_places(book, grid)
    _of_enclosure(book, grid)
    for kind in KINDS:
        _of_regions(book, grid, kind)
    return tuple(book.planes)
