"""From grid to list: regions, colours, what lines separate, rows and columns, halves and thirds, windows.

Every function here has one form: it reads item `src`, writes items from `dst` on and gives their number, 0 where it
does not apply. Parts keep the place they were cut from.
"""

from solver.programs.compiled import inner
from solver.programs.lists.geometry import section
from solver.programs.lists.layout import (
    AREA,
    AT,
    COLOURS,
    Cells,
    H,
    Items,
    Scratch,
    W,
    X,
    Y,
    blank,
    counts,
    follow,
    label,
    label_boxes,
    part,
)  # fmt: skip

MOST = 64  # parts of one grid, at most


@inner
def regions(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> int:
    """Connected regions, each in its box; `arg` as in `label`; empty ones take the grid's commonest colour."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    colour = counts(cells, source, h * w, tmp)
    number = label(cells, source, (h, w), arg, tmp)
    if number == 0 or number > MOST or (arg & 4 and colour == 0):
        return 0
    label_boxes(tmp, (h, w), number)
    for n in range(1, number + 1):
        d, box = dst + n - 1, AREA + 4 * n
        top, left, width = tmp[box], tmp[box + 1], tmp[box + 3] - tmp[box + 1] + 1
        at = blank(cells, items, d, tmp[box + 2] - top + 1, width)
        for r in range(top, tmp[box + 2] + 1):
            for c in range(left, left + width):
                if tmp[r * w + c] == n:
                    v = cells[source + r * w + c]
                    cells[at + (r - top) * width + c - left] = colour if arg & 4 else v
        items[d, Y], items[d, X] = items[src, Y] + top, items[src, X] + left
        follow(items, d)
    return number


@inner
def boxes(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> int:
    """What the grid shows in the box of each region, other regions' cells, too; `arg` as in `label`."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    number = label(cells, source, (h, w), arg, tmp)
    if number == 0 or number > MOST:
        return 0
    label_boxes(tmp, (h, w), number)
    for n in range(1, number + 1):
        box = AREA + 4 * n
        top, left = tmp[box], tmp[box + 1]
        part(cells, items, src, dst + n - 1, (top, left, tmp[box + 2] - top + 1, tmp[box + 3] - left + 1))
        follow(items, dst + n - 1)
    return number


@inner
def framed(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> int:
    """What lies in each rectangular frame of one colour: 0: without it; 1: with it."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    number, kept = label(cells, source, (h, w), 2, tmp), 0
    if number > MOST:
        return 0
    label_boxes(tmp, (h, w), number)
    for n in range(1, number + 1):
        box = AREA + 4 * n
        top, left, bottom, right = int(tmp[box]), int(tmp[box + 1]), int(tmp[box + 2]), int(tmp[box + 3])
        whole = bottom - top > 1 and right - left > 1
        for r in range(top, bottom + 1):
            whole = whole and tmp[r * w + left] == n and tmp[r * w + right] == n
        for c in range(left, right + 1):
            whole = whole and tmp[top * w + c] == n and tmp[bottom * w + c] == n
        solid = True
        for r in range(top + 1, bottom):
            for c in range(left + 1, right):
                solid = solid and tmp[r * w + c] == n
        if whole and not solid:
            rim = 1 - arg
            size = (top + rim, left + rim, bottom - top + 1 - 2 * rim, right - left + 1 - 2 * rim)
            part(cells, items, src, dst + kept, size)
            follow(items, dst + kept)
            kept += 1
    return kept


@inner
def colours(cells: Cells, items: Items, src: int, dst: int, tmp: Scratch) -> int:
    """For each colour a grid of the same size with the cells of that colour."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    counts(cells, source, h * w, tmp)
    number = 0
    for colour in range(1, COLOURS):
        if tmp[colour] == 0:
            continue
        at = blank(cells, items, dst + number, h, w)
        for k in range(h * w):
            if cells[source + k] == colour:
                cells[at + k] = colour
        items[dst + number, Y], items[dst + number, X] = items[src, Y], items[src, X]
        follow(items, dst + number)
        number += 1
    return number


@inner
def separators(cells: Cells, items: Items, src: int, arg: int, tmp: Scratch) -> tuple[int, int, int]:
    """How many rows and columns are of one colour, marked with 1 in `tmp` from 100 and from 200; that colour.

    `arg`: 0: a colour that is not 0 (of those, that of the first such line); 1: empty lines.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    colour, rows, columns = (-1 if arg == 0 else 0), 0, 0
    for r in range(h):
        first = int(cells[source + r * w])
        whole = (first != 0) == (arg == 0) and (colour < 0 or colour == first)
        for c in range(w):
            whole = whole and cells[source + r * w + c] == first
        tmp[100 + r] = 1 if whole else 0
        if whole:
            colour, rows = first, rows + 1
    for c in range(w):
        first = int(cells[source + c])
        whole = (first != 0) == (arg == 0) and (colour < 0 or colour == first)
        for r in range(h):
            whole = whole and cells[source + r * w + c] == first
        tmp[200 + c] = 1 if whole else 0
        if whole:
            colour, columns = first, columns + 1
    return rows, columns, colour


@inner
def panels(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> int:
    """The parts between whole rows and columns of one colour, in reading order; `arg` as in `separators`."""
    h, w = items[src, H], items[src, W]
    rows, columns, _ = separators(cells, items, src, arg, tmp)
    if rows + columns == 0 or rows == h or columns == w:
        return 0
    number, top = 0, 0
    while top < h:
        if tmp[100 + top]:
            top += 1
            continue
        bottom = top
        while bottom < h and not tmp[100 + bottom]:
            bottom += 1
        left = 0
        while left < w:
            if tmp[200 + left]:
                left += 1
                continue
            right = left
            while right < w and not tmp[200 + right]:
                right += 1
            if number == MOST:
                return 0
            part(cells, items, src, dst + number, (top, left, bottom - top, right - left))
            follow(items, dst + number)
            number += 1
            left = right
        top = bottom
    return number if number > 1 else 0


@inner
def lines(cells: Cells, items: Items, src: int, dst: int, arg: int) -> int:
    """Its rows (0) or columns (1)."""
    h, w = items[src, H], items[src, W]
    number: int = h if arg == 0 else w
    for n in range(number):
        part(cells, items, src, dst + n, (n, 0, 1, w) if arg == 0 else (0, n, h, 1))
        follow(items, dst + n)
    return number


@inner
def sections(cells: Cells, items: Items, src: int, dst: int, arg: int) -> int:
    """Halves side by side (0), one above the other (1), quarters (2), thirds side by side (3), one above the other (4).

    5: squares side by side, as many as there are; 6: one above the other.
    """
    h, w = items[src, H], items[src, W]
    if arg >= 5:
        size, length = (h, w) if arg == 5 else (w, h)
        if length % size or length == size:
            return 0
        for n in range(length // size):
            part(cells, items, src, dst + n, (0, n * size, size, size) if arg == 5 else (n * size, 0, size, size))
            follow(items, dst + n)
        return int(length // size)
    first = 0 if arg == 0 else 2 if arg == 1 else 4 if arg == 2 else 8 if arg == 3 else 11
    number = 2 if arg < 2 else 4 if arg == 2 else 3
    for n in range(number):
        if not section(cells, items, src, dst + n, first + n):
            return 0
        follow(items, dst + n)
    return number


@inner
def windows(cells: Cells, items: Items, src: int, dst: int, size: tuple[int, int]) -> int:
    """All parts of the answer's deduced size that have no empty line at the rim, where there are not too many."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    rows, columns = size
    if rows == 0 or rows > h or columns > w or (rows == h and columns == w) or rows * columns < 4:
        return 0
    number = 0
    for y in range(h - rows + 1):
        for x in range(w - columns + 1):
            top, bottom, left, right = 0, 0, 0, 0
            for c in range(x, x + columns):
                top += cells[source + y * w + c] != 0
                bottom += cells[source + (y + rows - 1) * w + c] != 0
            for r in range(y, y + rows):
                left += cells[source + r * w + x] != 0
                right += cells[source + r * w + x + columns - 1] != 0
            if top * bottom * left * right == 0:
                continue
            if number == MOST:
                return 0
            part(cells, items, src, dst + number, (y, x, rows, columns))
            follow(items, dst + number)
            number += 1
    return number
