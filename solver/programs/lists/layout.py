"""Where grids lie: one arena of cells for all grids, one table of items that point into it.

An item is a row of int32: where its cells begin (a multiple of 8, so that eight cells are hashed at once), rows,
columns, and the row and column of its top left corner in the grid it was cut from. Cells after the last up to the next
multiple of 8 are 0.
"""

import numpy as np
from numpy.typing import NDArray

from solver.programs.compiled import inner

AT, H, W, Y, X = 0, 1, 2, 3, 4
COLUMNS = 5
SIDE = 30  # of a grid, at most
AREA = 900
COLOURS = 10
SIDES = ("right", "left", "down", "up")  # what the first four directions are called
SCRATCH = 4 * AREA + 128  # int32: what a function may use while it runs
SIZE = SCRATCH - 2  # there in it: the answer's deduced rows and columns, 0 where not known

GEOMETRY, SHAPES, PATTERNS, MOVES, DRAWING, LABELS, SPLITS, PARTS, JOINS = range(9)
"""Units, compiled each by itself. The first five go from grid to grid (or each grid of a list), then from a grid of
the answer's size to labels, grid to list, list to a part of it, list to a grid or list made anew."""

Cells = NDArray[np.uint8]
Items = NDArray[np.int32]
Scratch = NDArray[np.int32]


@inner
def direction(way: int) -> tuple[int, int]:
    """Rows and columns of a step. `way`: right, left, down, up, down right, up left, down left, up right."""
    rows = 0 if way < 2 else 1 if way % 2 == 0 else -1
    columns = 0 if way == 2 or way == 3 else 1 if way == 0 or way == 4 or way == 7 else -1
    return rows, columns


@inner
def blank(cells: Cells, items: Items, dst: int, h: int, w: int) -> int:
    """Give item `dst` this size and empty cells at the place it begins; where they begin, or -1: no such size."""
    if h < 1 or w < 1 or h > SIDE or w > SIDE:
        return -1
    at: int = items[dst, AT]
    cells[at : at + ((h * w + 7) & ~7)] = 0
    items[dst, H], items[dst, W], items[dst, Y], items[dst, X] = h, w, 0, 0
    return at


@inner
def same_place(items: Items, src: int, dst: int) -> None:
    """Item `dst` begins where `src` does."""
    items[dst, Y], items[dst, X] = items[src, Y], items[src, X]


@inner
def follow(items: Items, dst: int) -> None:
    """Item `dst + 1` lies in the arena after item `dst`."""
    items[dst + 1, AT] = items[dst, AT] + ((items[dst, H] * items[dst, W] + 7) & ~7)


@inner
def share(items: Items, src: int, dst: int) -> None:
    """Item `dst` is item `src` once more, with the same cells in the arena; what follows lies where `dst` would."""
    items[dst + 1, AT] = items[dst, AT]
    for k in range(COLUMNS):
        items[dst, k] = items[src, k]


@inner
def part(cells: Cells, items: Items, src: int, dst: int, box: tuple[int, int, int, int]) -> int:
    """Item `dst` is the part of `src` in the box (row, column, rows, columns); -1 where it has no cells."""
    y, x, h, w = box
    source, width = items[src, AT], items[src, W]
    at = blank(cells, items, dst, h, w)
    if at < 0:
        return -1
    for r in range(h):
        begin = source + (y + r) * width + x
        for c in range(w):
            cells[at + r * w + c] = cells[begin + c]
    items[dst, Y], items[dst, X] = items[src, Y] + y, items[src, X] + x
    return at


@inner
def counts(cells: Cells, at: int, size: int, tmp: Scratch) -> int:
    """How often each colour stands, into the first ten of `tmp`; the commonest colour that is not 0, or 0."""
    for c in range(COLOURS):
        tmp[c] = 0
    for k in range(size):
        tmp[cells[at + k]] += 1
    best = 0
    for c in range(1, COLOURS):
        if tmp[c] > 0 and (best == 0 or tmp[c] > tmp[best]):
            best = c
    return best


@inner
def bounds(cells: Cells, at: int, h: int, w: int) -> tuple[int, int, int, int]:
    """The box (row, column, rows, columns) of all cells that are not 0; without rows where there are none."""
    top, left, bottom, right = h, w, -1, -1
    for r in range(h):
        for c in range(w):
            if cells[at + r * w + c] != 0:
                top, bottom = min(top, r), r
                left, right = min(left, c), max(right, c)
    if bottom < 0:
        return 0, 0, 0, 0
    return top, left, bottom - top + 1, right - left + 1


@inner
def label(cells: Cells, at: int, shape: tuple[int, int], way: int, tmp: Scratch) -> int:
    """Number the connected regions from 1 into the first AREA of `tmp` (0: none); how many.

    `way`: 1: also over corners; 2: of one colour; 4: of cells that are 0 rather than those that are not.
    """
    h, w = shape
    size = h * w
    for k in range(size):
        tmp[k] = 0
    number = 0
    for start in range(size):
        if tmp[start] != 0 or (cells[at + start] == 0) != (way & 4 != 0):
            continue
        number += 1
        tmp[start] = number
        head, tail = AREA, AREA + 1
        tmp[head] = start
        while head < tail:
            k = tmp[head]
            head += 1
            r, c = k // w, k % w
            for dr in range(-1, 2):
                for dc in range(-1, 2):
                    if (dr != 0 and dc != 0 and way & 1 == 0) or r + dr < 0 or r + dr >= h or c + dc < 0 or c + dc >= w:
                        continue
                    n = k + dr * w + dc
                    if tmp[n] != 0 or (cells[at + n] == 0) != (way & 4 != 0):
                        continue
                    if way & 2 != 0 and cells[at + n] != cells[at + k]:
                        continue
                    tmp[n] = number
                    tmp[tail] = n
                    tail += 1
    return number


@inner
def label_boxes(tmp: Scratch, shape: tuple[int, int], number: int) -> None:
    """First row and column, last row and column of region n that `label` numbered, at 4n after AREA in `tmp`."""
    h, w = shape
    for n in range(1, number + 1):
        box = AREA + 4 * n
        tmp[box], tmp[box + 1], tmp[box + 2], tmp[box + 3] = h, w, -1, -1
    for k in range(h * w):
        if tmp[k] > 0:
            r, c, box = k // w, k % w, AREA + 4 * tmp[k]
            tmp[box], tmp[box + 1] = min(tmp[box], r), min(tmp[box + 1], c)
            tmp[box + 2], tmp[box + 3] = max(tmp[box + 2], r), max(tmp[box + 3], c)
