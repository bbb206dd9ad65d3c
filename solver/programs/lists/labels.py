"""From grid to grid of labels: what each cell is, or is part of, as a number from 1 to 9 in place of its colour.

A label is no picture but something to tell cells apart by: it is made of single grids of the answer's size alone,
nothing is made of it but tables, and it is an answer where it equals every output. The form of a function is that of
`geometry.py`.
"""

from solver.programs.compiled import inner
from solver.programs.lists.layout import (
    AREA,
    AT,
    COLOURS,
    Cells,
    H,
    Items,
    Scratch,
    W,
    blank,
    bounds,
    counts,
    label,
    label_boxes,
    same_place,
)  # fmt: skip

MOST = 200  # regions that are labelled
BOXES, SIZES, VALUES = AREA, 2 * AREA, 2 * AREA + 256  # where they begin in the scratch; boxes as in `label_boxes`
COUNTED = VALUES + MOST + 1  # there cells of each of the ten colours
WAYS = 4  # the value, its rank from the largest, whether it is the largest, whether the smallest
MEASURES = (
    "size",
    "holes",
    "height",
    "width",
    "rows from its top on",
    "columns from its left on",
    "equal shapes",
    "colours",
)
FLAGS = ("at the rim", "full box", "mirrored columns", "mirrored rows", "longer way", "odd size", "commonest colour",
         "rarest colour", "place in its box", "whole box", "colour beside it")  # fmt: skip
FIRST_FLAG = 100  # the variant of the first of FLAGS
PLACE_IN_BOX, WHOLE_BOX = FIRST_FLAG + FLAGS.index("place in its box"), FIRST_FLAG + FLAGS.index("whole box")


@inner
def measured(shape: tuple[int, int], number: int, tmp: Scratch) -> None:
    """Size and box (first row, column, last row, column) of each region that `label` numbered in `tmp`."""
    label_boxes(tmp, shape, number)
    for n in range(number + 1):
        tmp[SIZES + n] = 0
    for k in range(shape[0] * shape[1]):
        tmp[SIZES + tmp[k]] += 1


@inner
def holes(w: int, n: int, corners: bool, tmp: Scratch) -> int:
    """Holes of region n: 1 less its Euler number. Source: Gray, "Local properties of binary images" (1971)."""
    box = BOXES + 4 * n
    one, three, two = 0, 0, 0
    for r in range(tmp[box] - 1, tmp[box + 2] + 1):
        for c in range(tmp[box + 1] - 1, tmp[box + 3] + 1):
            quad = 0
            for k in range(4):
                y, x = r + k // 2, c + k % 2
                if tmp[box] <= y <= tmp[box + 2] and tmp[box + 1] <= x <= tmp[box + 3] and tmp[y * w + x] == n:
                    quad += 1 << k
            one += quad == 1 or quad == 2 or quad == 4 or quad == 8
            three += quad == 7 or quad == 11 or quad == 13 or quad == 14
            two += quad == 6 or quad == 9
    euler = (one - three + (-2 * two if corners else 2 * two)) // 4
    return 1 - int(euler)


@inner
def same_shape(w: int, one: int, other: int, tmp: Scratch) -> bool:
    """Whether two regions are of one shape."""
    a, b = BOXES + 4 * one, BOXES + 4 * other
    high, wide = tmp[a + 2] - tmp[a] + 1, tmp[a + 3] - tmp[a + 1] + 1
    if tmp[SIZES + one] != tmp[SIZES + other] or tmp[b + 2] - tmp[b] + 1 != high or tmp[b + 3] - tmp[b + 1] + 1 != wide:
        return False
    for k in range(high * wide):
        r, c = k // wide, k % wide
        first = tmp[(tmp[a] + r) * w + tmp[a + 1] + c] == one
        if first != (tmp[(tmp[b] + r) * w + tmp[b + 1] + c] == other):
            return False
    return True


@inner
def mirrored(w: int, n: int, down: bool, tmp: Scratch) -> bool:
    """Whether a region is its own mirror image."""
    box = BOXES + 4 * n
    top, left, bottom, right = tmp[box], tmp[box + 1], tmp[box + 2], tmp[box + 3]
    for r in range(top, bottom + 1):
        for c in range(left, right + 1):
            y, x = (top + bottom - r, c) if down else (r, left + right - c)
            if (tmp[r * w + c] == n) != (tmp[y * w + x] == n):
                return False
    return True


@inner
def colour_of(cells: Cells, at: int, w: int, n: int, what: int, tmp: Scratch) -> int:
    """Of region n: 0: how many colours it has; 1: its commonest colour; 2: its rarest."""
    box = BOXES + 4 * n
    for colour in range(COLOURS):
        tmp[COUNTED + colour] = 0
    for r in range(tmp[box], tmp[box + 2] + 1):
        for c in range(tmp[box + 1], tmp[box + 3] + 1):
            if tmp[r * w + c] == n:
                tmp[COUNTED + int(cells[at + r * w + c])] += 1
    best, least, colours = 0, 0, 0
    for colour in range(1, COLOURS):
        number = tmp[COUNTED + colour]
        if number > 0:
            colours += 1
            best = colour if best == 0 or number > tmp[COUNTED + best] else best
            least = colour if least == 0 or number < tmp[COUNTED + least] else least
    return colours if what == 0 else best if what == 1 else least


@inner
def adjacent_colour(cells: Cells, at: int, shape: tuple[int, int], n: int, tmp: Scratch) -> int:
    """The commonest colour of cells beside region n that are not 0; 0 where there are none."""
    h, w = shape
    box, best = BOXES + 4 * n, 0
    for colour in range(1, 10):
        tmp[COUNTED + colour] = 0
    for r in range(max(tmp[box] - 1, 0), min(tmp[box + 2] + 2, h)):
        for c in range(max(tmp[box + 1] - 1, 0), min(tmp[box + 3] + 2, w)):
            colour = int(cells[at + r * w + c])
            if colour == 0 or tmp[r * w + c] == n:
                continue
            near = (r > 0 and tmp[(r - 1) * w + c] == n) or (r < h - 1 and tmp[(r + 1) * w + c] == n)
            if near or (c > 0 and tmp[r * w + c - 1] == n) or (c < w - 1 and tmp[r * w + c + 1] == n):
                tmp[COUNTED + colour] += 1
    for colour in range(1, 10):
        number = tmp[COUNTED + colour]
        if number > 0 and (best == 0 or number > tmp[COUNTED + best]):
            best = colour
    return best


@inner
def measure(cells: Cells, at: int, shape: tuple[int, int], n: int, what: int, tmp: Scratch) -> int:
    """The measure `what` (its place in MEASURES) of region n."""
    h, w = shape
    box = BOXES + 4 * n
    if what == 2 or what == 3:
        return int(tmp[box + what] - tmp[box + what - 2] + 1)
    if what == 4 or what == 5:
        return int(h - tmp[box] if what == 4 else w - tmp[box + 1])
    return colour_of(cells, at, w, n, 0, tmp) if what == 7 else int(tmp[SIZES + n])


@inner
def flag(cells: Cells, at: int, shape: tuple[int, int], n: int, what: int, tmp: Scratch) -> int:
    """The flag `what` (its place in FLAGS) of region n: 1 or 2, 3 for a box that is square, or a colour."""
    h, w = shape
    box = BOXES + 4 * n
    high, wide = tmp[box + 2] - tmp[box] + 1, tmp[box + 3] - tmp[box + 1] + 1
    if what == 0:
        inside = tmp[box] > 0 and tmp[box + 1] > 0 and tmp[box + 2] < h - 1 and tmp[box + 3] < w - 1
        return 1 if inside else 2
    if what == 1:
        return 2 if high * wide == tmp[SIZES + n] else 1
    if what == 2 or what == 3:
        return 2 if mirrored(w, n, what == 3, tmp) else 1
    if what == 4:
        return 3 if high == wide else 1 if high > wide else 2
    if what >= 9:
        return adjacent_colour(cells, at, shape, n, tmp) if what == 10 else colour_of(cells, at, w, n, 1, tmp)
    return 1 + int(tmp[SIZES + n] % 2) if what == 5 else colour_of(cells, at, w, n, what - 5, tmp)


@inner
def ranked(number: int, way: int, tmp: Scratch) -> None:
    """Each region's value in `tmp`, from VALUES on, changed to what the way says of it; see WAYS."""
    most, least = tmp[VALUES + 1], tmp[VALUES + 1]
    for n in range(1, number + 1):
        most, least = max(most, tmp[VALUES + n]), min(least, tmp[VALUES + n])
    if way >= 2:
        extreme = most if way == 2 else least
        for n in range(1, number + 1):
            tmp[VALUES + n] = 1 if tmp[VALUES + n] == extreme else 2
        return
    own, rank = most, 1
    while rank < 10:
        following = least - 1
        for n in range(1, number + 1):
            if tmp[VALUES + n] == own:
                tmp[VALUES + n] = -rank
            elif 0 < tmp[VALUES + n] < own:
                following = max(following, tmp[VALUES + n])
        if following < least:
            break
        own, rank = following, rank + 1
    for n in range(1, number + 1):
        tmp[VALUES + n] = 9 if tmp[VALUES + n] > 0 else -tmp[VALUES + n]


@inner
def fill_boxes(cells: Cells, at: int, w: int, number: int, tmp: Scratch) -> None:
    """Every region's box in the region's value."""
    for n in range(1, number + 1):
        box = BOXES + 4 * n
        for r in range(tmp[box], tmp[box + 2] + 1):
            for c in range(tmp[box + 1], tmp[box + 3] + 1):
                cells[at + r * w + c] = tmp[VALUES + n]


@inner
def of_regions(cells: Cells, items: Items, src: int, dst: int, way: int, arg: int, tmp: Scratch) -> bool:
    """Every region's cells in one number: a measure or a flag.

    `way` as in `label`; `arg`: WAYS times the measure's place and which of them, from FIRST_FLAG on the flag's place.
    Numbers above 9 count as 9.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    number = label(cells, source, (h, w), way, tmp)
    if number == 0 or number > MOST or (number == 1 and arg < FIRST_FLAG and arg % WAYS > 0):
        return False
    measured((h, w), number, tmp)
    what = arg // WAYS
    for n in range(1, number + 1):
        if arg == PLACE_IN_BOX:
            value = 1
        elif arg >= FIRST_FLAG:
            value = flag(cells, source, (h, w), n, arg - FIRST_FLAG, tmp)
        elif what == 1:
            value = 1 + holes(w, n, way & 1 == 1, tmp)
        elif what == 6:
            value = 0
            for m in range(1, number + 1):
                value += same_shape(w, n, m, tmp)
        else:
            value = measure(cells, source, (h, w), n, what, tmp)
        tmp[VALUES + n] = value
    if arg < FIRST_FLAG and arg % WAYS > 0:
        ranked(number, arg % WAYS, tmp)
    at = blank(cells, items, dst, h, w)
    for k in range(h * w):
        n = tmp[k]
        if n > 0 and arg == PLACE_IN_BOX:
            box, r, c = BOXES + 4 * n, k // w, k % w
            rim = 1 if r == tmp[box] or r == tmp[box + 2] else 0
            rim += 1 if c == tmp[box + 1] or c == tmp[box + 3] else 0
            cells[at + k] = 1 + rim
        elif n > 0:
            cells[at + k] = min(tmp[VALUES + n], 9)
    if arg == WHOLE_BOX:
        fill_boxes(cells, at, w, number, tmp)
    same_place(items, src, dst)
    return True


@inner
def neighbours(cells: Cells, at: int, shape: tuple[int, int], place: int, what: int) -> int:
    """Cells around one: 0: filled ones beside it; 1: over corners, too; 2, 3: the same of its own colour."""
    h, w = shape
    number, r, c = 0, place // w, place % w
    for n in range(9):
        y, x = r + n // 3 - 1, c + n % 3 - 1
        if n == 4 or y < 0 or x < 0 or y >= h or x >= w or (what % 2 == 0 and n % 2 == 0):
            continue
        v = cells[at + y * w + x]
        number += (v != 0) if what < 2 else (v == cells[at + place])
    return number


@inner
def line_value(cells: Cells, at: int, shape: tuple[int, int], line: int, what: int, tmp: Scratch) -> int:
    """Of a row (`what` even) or column: 0, 1: its commonest colour; 2, 3: filled cells, one more; 4, 5: colours."""
    h, w = shape
    for c in range(10):
        tmp[c] = 0
    for k in range(w if what % 2 == 0 else h):
        tmp[cells[at + (line * w + k if what % 2 == 0 else k * w + line)]] += 1
    best, filled, colours = 0, 0, 0
    for c in range(1, 10):
        filled += tmp[c]
        colours += tmp[c] > 0
        if tmp[c] > 0 and (best == 0 or tmp[c] > tmp[best]):
            best = c
    return best if what < 2 else filled + 1 if what < 4 else colours + 1


@inner
def of_lines(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Every row's or column's cells in one number: as in `line_value`; 6, 7: whether it has most filled cells."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    lines, length = (h, w) if arg % 2 == 0 else (w, h)
    at = blank(cells, items, dst, h, w)
    most = 0
    for n in range(lines):
        tmp[VALUES + n] = line_value(cells, source, (h, w), n, arg if arg < 6 else arg - 4, tmp)
        most = max(most, tmp[VALUES + n])
    for n in range(lines):
        value = tmp[VALUES + n] if arg < 6 else 1 if tmp[VALUES + n] == most else 2
        for k in range(length):
            cells[at + (n * w + k if arg % 2 == 0 else k * w + n)] = min(value, 9)
    same_place(items, src, dst)
    return True


@inner
def of_cells(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Every cell by its place: 0, 1: row, column in twos; 2: chessboard; 3, 4: row, column in threes; 5: from the rim;

    6, 7: row, column, at most 9; 8: within the box of what is filled; 9: of all colours the rank, the commonest first.
    From 10 on: one more than its `neighbours`.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    top, left, high, wide = bounds(cells, source, h, w) if arg == 8 else (0, 0, 0, 0)
    if arg == 9:
        counts(cells, source, h * w, tmp)
    at = blank(cells, items, dst, h, w)
    for k in range(h * w):
        r, c = k // w, k % w
        value = r if arg == 6 else c if arg == 7 else min(r, c, h - 1 - r, w - 1 - c)
        if arg < 3:
            value = (r if arg != 1 else 0) + (c if arg != 0 else 0)
            value %= 2
        elif arg < 5:
            value = (r if arg == 3 else c) % 3
        elif arg == 8:
            value = 1 if top <= r < top + high and left <= c < left + wide else 0
        elif arg == 9:
            value, own = 0, tmp[cells[source + k]]
            for colour in range(10):
                value += 1 if tmp[colour] > own else 0
        elif arg >= 10:
            value = neighbours(cells, source, (h, w), k, arg - 10)
        cells[at + k] = min(value + 1, 9)
    same_place(items, src, dst)
    return True
