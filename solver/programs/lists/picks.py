"""From list to a part of it by a property of its grids: the one with most, all with least, all others, in order.

Every function here has one form: it reads the `count` items from `start`, writes items from `dst` on and gives their
number, 0 where it does not apply.
"""

from solver.programs.compiled import inner
from solver.programs.lists.geometry import turned
from solver.programs.lists.layout import (
    AREA,
    AT,
    COLUMNS,
    Cells,
    H,
    Items,
    Scratch,
    W,
    X,
    Y,
    counts,
    label,
    share,
)  # fmt: skip

PROPERTIES = (
    "area", "cells", "colours", "regions", "height", "width", "row", "column", "empty cells", "symmetries",
    "equal shapes", "equal grids", "holes", "colour", "cells of the rarest colour", "longer side", "equal sizes",
    "density",
)  # fmt: skip
VALUES = 4 * AREA  # where the values of the properties begin in the scratch
MOST = 64  # items of a list that has properties


@inner
def colour_facts(cells: Cells, at: int, size: int, what: int, tmp: Scratch) -> int:
    """Of these cells: 1: how many are not 0; 2: their colours; 13: the commonest; 14: how many the rarest has."""
    common = counts(cells, at, size, tmp)
    filled, colours, rare = 0, 0, size
    for c in range(1, 10):
        filled += tmp[c]
        colours += 1 if tmp[c] > 0 else 0
        if tmp[c] > 0:
            rare = min(rare, tmp[c])
    if what == 1:
        return filled
    if what == 8:
        return size - filled
    if what == 17:
        return filled * 1000 // size
    return colours if what == 2 else common if what == 13 else rare


@inner
def symmetries(cells: Cells, items: Items, src: int) -> int:
    """By how many of the seven turns and mirrors the grid stays as it is."""
    h, w, at = items[src, H], items[src, W], items[src, AT]
    number = 0
    for turn in range(1, 8):
        same = turn < 4 or h == w
        r = 0
        while same and r < h:
            for c in range(w):
                y, x = turned(turn, r, c, h, w)
                same = same and cells[at + r * w + c] == cells[at + y * w + x]
            r += 1
        number += 1 if same else 0
    return number


@inner
def alike(cells: Cells, items: Items, one: int, other: int, what: int) -> bool:
    """Whether two grids are of one size (16), of one shape whatever the colours (10), equal (11)."""
    if items[one, H] != items[other, H] or items[one, W] != items[other, W]:
        return False
    if what == 16:
        return True
    first, second = items[one, AT], items[other, AT]
    for k in range(items[one, H] * items[one, W]):
        a, b = cells[first + k], cells[second + k]
        if (what == 11 and a != b) or (a == 0) != (b == 0):
            return False
    return True


@inner
def regions_or_holes(cells: Cells, items: Items, src: int, what: int, tmp: Scratch) -> int:
    """Regions over corners (3), or empty regions that do not reach the rim (12)."""
    h, w, at = items[src, H], items[src, W], items[src, AT]
    number = label(cells, at, (h, w), 1 if what == 3 else 4, tmp)
    if what == 12:
        for n in range(number + 1):
            tmp[AREA + n] = 0
        for k in range(h * w):
            r, c = k // w, k % w
            if tmp[k] > 0 and (r == 0 or c == 0 or r == h - 1 or c == w - 1):
                tmp[AREA + tmp[k]] = 1
        for n in range(1, number + 1):
            number -= tmp[AREA + n]
    return number


@inner
def values(cells: Cells, items: Items, start: int, count: int, what: int, tmp: Scratch) -> None:
    """The property `what` (its place in PROPERTIES) of each item, into `tmp` from VALUES on."""
    for n in range(count):
        src = start + n
        h, w, at = items[src, H], items[src, W], items[src, AT]
        value = 0
        if what == 0:
            value = h * w
        elif what == 3 or what == 12:
            value = regions_or_holes(cells, items, src, what, tmp)
        elif what == 4:
            value = h
        elif what == 5:
            value = w
        elif what == 6:
            value = items[src, Y]
        elif what == 7:
            value = items[src, X]
        elif what == 9:
            value = symmetries(cells, items, src)
        elif what == 10 or what == 11 or what == 16:
            for m in range(count):
                value += 1 if alike(cells, items, src, start + m, what) else 0
        elif what == 15:
            value = max(h, w)
        else:
            value = colour_facts(cells, at, h * w, what, tmp)
        tmp[VALUES + n] = value


@inner
def pick(cells: Cells, items: Items, start: int, count: int, dst: int, arg: int, tmp: Scratch) -> int:
    """Of the property arg // 8: in arg % 8: 0, 1: the first with most, least; 2, 3: all with most, least;

    4, 5: all but those; 6, 7: all, the most first, the least first.
    """
    if count < 2 or count > MOST:
        return 0
    values(cells, items, start, count, arg // 8, tmp)
    how = arg % 8
    sign = 1 if how % 2 == 0 else -1
    best, equal = 0, 0
    for n in range(count):
        if sign * (tmp[VALUES + n] - tmp[VALUES + best]) > 0:
            best = n
    for n in range(count):
        equal += 1 if tmp[VALUES + n] == tmp[VALUES + best] else 0
    if equal == count:
        return 0
    if how < 2:
        share(items, start + best, dst)
        return 1
    if how >= 6:
        return ordered(items, start, count, dst, sign, tmp)
    number = 0
    for n in range(count):
        if (tmp[VALUES + n] == tmp[VALUES + best]) == (how < 4):
            share(items, start + n, dst + number)
            number += 1
    return number


@inner
def ordered(items: Items, start: int, count: int, dst: int, sign: int, tmp: Scratch) -> int:
    """All items by the values in `tmp`; equal ones in the order they had. Their number."""
    free = items[dst, AT]
    for n in range(count):
        rank = 0
        for m in range(count):
            difference = sign * (tmp[VALUES + m] - tmp[VALUES + n])
            rank += 1 if difference > 0 or (difference == 0 and m < n) else 0
        for k in range(COLUMNS):
            items[dst + rank, k] = items[start + n, k]
    items[dst + count, AT] = free
    return count


@inner
def at_place(items: Items, start: int, count: int, dst: int, arg: int) -> int:
    """0: the first; 1: the last; 2: the middle one; 3: all but the first; 4: all but the last; 5: in reverse; 6: the
    second."""
    if count < 2 or (arg == 2 and count % 2 == 0):
        return 0
    if arg == 5:
        for n in range(count):
            share(items, start + count - 1 - n, dst + n)
        return count
    if arg == 3 or arg == 4:
        for n in range(count - 1):
            share(items, start + n + (1 if arg == 3 else 0), dst + n)
        return count - 1
    share(items, start + (0 if arg == 0 else 1 if arg == 6 else count - 1 if arg == 1 else count // 2), dst)
    return 1
