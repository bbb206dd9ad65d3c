"""From grid to grid by colours and shapes: filtered, recoloured, filled, outlined, let fall, counted.

The form of a function is that of `geometry.py`.
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
    counts,
    label,
    same_place,
)  # fmt: skip

WHOLE = 16  # added to the variant of a function that shows what it adds: all but the grid itself is left out


@inner
def copy(cells: Cells, items: Items, src: int, dst: int) -> int:
    """The grid itself; where its cells begin."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    at = blank(cells, items, dst, h, w)
    for k in range(h * w):
        cells[at + k] = cells[source + k]
    same_place(items, src, dst)
    return at


@inner
def only_added(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """Take the grid itself out of what was made of it, where the variant says so; whether anything was added."""
    size, source, at = items[src, H] * items[src, W], items[src, AT], items[dst, AT]
    added = False
    for k in range(size):
        if cells[source + k] != cells[at + k]:
            added = True
        elif arg >= WHOLE:
            cells[at + k] = 0
    return added


@inner
def paint(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Colours changed cell by cell: in tens, what; in ones, the colour c.

    0: only cells of c; 1: all but those; 2: all that is not 0 in c; 3: 0 in c; 4 (c: a variant): 0 and the rest
    exchanged, in the commonest colour (0), two colours exchanged (1), the commonest (2) or the rarest (3) alone, all in
    the commonest (4) or the rarest (5), all but the commonest (6).
    """
    size, source = items[src, H] * items[src, W], items[src, AT]
    what, c = arg // 10, arg % 10
    common = counts(cells, source, size, tmp)
    rare = common
    colours = 0
    for k in range(1, COLOURS):
        colours += tmp[k] > 0
        if k != common and tmp[k] > 0 and (rare == common or tmp[k] < tmp[rare]):
            rare = k
    if (colours == 0 and what != 3) or (what == 4 and c > 0 and colours < 2) or (what == 4 and c == 1 and colours != 2):
        return False
    at = copy(cells, items, src, dst)
    for k in range(at, at + size):
        v = int(cells[k])
        if what < 2:
            keep = (v == c) == (what == 0)
            cells[k] = v if keep else 0
        elif what == 2:
            cells[k] = c if v else 0
        elif what == 3:
            cells[k] = v if v else c
        elif c == 0:
            cells[k] = 0 if v else common
        elif c == 1:
            cells[k] = 0 if v == 0 else common + rare - v
        elif c < 4:
            cells[k] = v if v == (common if c == 2 else rare) else 0
        elif c < 6:
            cells[k] = 0 if v == 0 else common if c == 4 else rare
        else:
            cells[k] = v if v != common else 0
    return True


@inner
def frame(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """The box of the grid: 0: its rim in the commonest colour; 1: all of it; 2, 3: what is there on the rim, inside.

    4: one cell of the commonest colour of all; 5: of the commonest that is not 0; 6: of the rarest; 7: the whole grid
    in the commonest of all; 8: one cell of the first cell's colour; 9, 10: what is in the middle column, row.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    common = counts(cells, source, h * w, tmp)
    most, rare = common, common
    for k in range(COLOURS):
        if tmp[k] > tmp[most] or (k == 0 and tmp[0] >= tmp[most]):
            most = k
        if k > 0 and tmp[k] > 0 and tmp[k] < tmp[rare]:
            rare = k
    if (common == 0 and arg != 8) or (arg == 3 and (h < 3 or w < 3)):
        return False
    small = arg == 4 or arg == 5 or arg == 6 or arg == 8
    at = blank(cells, items, dst, 1 if small else h, 1 if small else w)
    same_place(items, src, dst)
    if small:
        cells[at] = most if arg == 4 else common if arg == 5 else rare if arg == 6 else cells[source]
        return True
    for r in range(h):
        for c in range(w):
            rim = r == 0 or c == 0 or r == h - 1 or c == w - 1
            k = r * w + c
            if arg == 7:
                cells[at + k] = most
            elif arg >= 9:
                middle = 2 * c == w - 1 if arg == 9 else 2 * r == h - 1
                cells[at + k] = cells[source + k] if middle else 0
            elif arg == 1 or (arg == 0 and rim):
                cells[at + k] = common
            elif arg > 1 and rim == (arg == 2):
                cells[at + k] = cells[source + k]
    return True


@inner
def fill(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Empty regions coloured: 0, 1: those that do not reach the rim; 2, 3: those that do.

    In the commonest colour; 0, 2: neighbours by sides; 1, 3: over corners, too.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    colour = counts(cells, source, h * w, tmp)
    what = arg % WHOLE
    if colour == 0:
        return False
    regions = label(cells, source, (h, w), 4 + what % 2, tmp)
    outside = AREA
    for k in range(regions + 1):
        tmp[outside + k] = 0
    for r in range(h):
        for c in range(w):
            if r == 0 or c == 0 or r == h - 1 or c == w - 1:
                tmp[outside + tmp[r * w + c]] = 1
    at = copy(cells, items, src, dst)
    for k in range(h * w):
        if tmp[k] > 0 and (tmp[outside + tmp[k]] == 1) == (what >= 2):
            cells[at + k] = colour
    return only_added(cells, items, src, dst, arg)


@inner
def grow(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """Empty cells beside others take the colour of the first: 0: by sides; 1: over corners, too; 2: corners alone."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    what = arg % WHOLE
    at = copy(cells, items, src, dst)
    for r in range(h):
        for c in range(w):
            if cells[source + r * w + c] != 0:
                continue
            for n in range(9):
                y, x = r + n // 3 - 1, c + n % 3 - 1
                if y < 0 or x < 0 or y >= h or x >= w or (what == 0 and n % 2 == 0) or (what == 2 and n % 2 == 1):
                    continue
                if cells[source + y * w + x] != 0:
                    cells[at + r * w + c] = cells[source + y * w + x]
                    break
    return only_added(cells, items, src, dst, arg)


@inner
def peel(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """Cells by what surrounds them: 0: with an empty cell beside (or beyond the rim); 1: the others.

    2: those with no neighbour, also over corners, out; 3: those alone; 4: those of a 2×2 block of cells alone.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    at = copy(cells, items, src, dst)
    changed, left = False, False
    for r in range(h):
        for c in range(w):
            k = r * w + c
            if cells[source + k] == 0:
                continue
            filled, sides = 0, 0
            for n in range(9):
                y, x = r + n // 3 - 1, c + n % 3 - 1
                if n != 4 and 0 <= y < h and 0 <= x < w and cells[source + y * w + x] != 0:
                    filled |= 1 << n
                    sides += n % 2
            keep = (sides < 4) == (arg == 0)
            if arg == 2 or arg == 3:
                keep = (filled == 0) == (arg == 3)
            elif arg == 4:
                keep = filled & 11 == 11 or filled & 38 == 38 or filled & 200 == 200 or filled & 416 == 416
            if not keep:
                cells[at + k] = 0
            changed, left = changed or not keep, left or keep
    return changed and left


@inner
def fall(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """All cells fall as far as they can: 0 to 3: right, left, down, up."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    at = blank(cells, items, dst, h, w)
    same_place(items, src, dst)
    lines, length = (h, w) if arg < 2 else (w, h)
    for n in range(lines):
        end = 0
        for k in range(length):
            j = k if arg % 2 else length - 1 - k
            v = cells[source + (n * w + j if arg < 2 else j * w + n)]
            if v != 0:
                e = end if arg % 2 else length - 1 - end
                cells[at + (n * w + e if arg < 2 else e * w + n)] = v
                end += 1
    return True


@inner
def tally(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """A number as a grid; in ones, of what: 0: cells; 1: colours; 2: regions; 3: the same over corners; 4: empty ones.

    In tens, drawn as: 0: a row; 1: a column; 2: a square; 3: a diagonal; of the commonest colour.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    colour = counts(cells, source, h * w, tmp)
    what, drawn, number = arg % 10, arg // 10, 0
    if what < 2:
        for c in range(1, COLOURS):
            number += tmp[c] if what == 0 else tmp[c] > 0
    else:
        number = label(cells, source, (h, w), 4 if what == 4 else what - 2, tmp)
    at = blank(cells, items, dst, 1 if drawn == 0 else number, 1 if drawn == 1 else number) if colour else -1
    if at < 0:
        return False
    for r in range(items[dst, H]):
        for c in range(items[dst, W]):
            if drawn < 3 or r == c:
                cells[at + r * items[dst, W] + c] = colour
    return True
