"""From grid to grid by whole regions: kept or left out by a property, moved until they touch, copied to marked places.

The form of a function is that of `geometry.py`; regions lie in the scratch as in `labels.py`.
"""

from solver.programs.compiled import inner
from solver.programs.lists.geometry import turned
from solver.programs.lists.labels import (
    BOXES,
    MOST,
    SIZES,
    VALUES,
    adjacent_colour,
    colour_of,
    flag,
    holes,
    measured,
    mirrored,
    same_shape,
)
from solver.programs.lists.layout import AT, Cells, H, Items, Scratch, W, blank, direction, label, same_place
from solver.programs.lists.shapes import copy, only_added

KINDS = ("largest", "smallest", "at the rim", "full boxes", "mirrored", "with holes", "of repeated shape", "tall",
         "single cells", "of several colours or touching")  # fmt: skip
LEFT_OUT = 16  # added to a kind: all but those
OF_COLOUR = 32  # added to a variant: regions of one colour by sides, rather than of any over corners
STAY, ALONE, DRAWN = range(3)
ANCHORS = 4  # the largest regions, the commonest colour, the rarest colours, a larger region of the own colour
REMOVED = 4  # added to a variant of `stamped`


@inner
def regions_of(cells: Cells, items: Items, src: int, way: int, tmp: Scratch) -> int:
    """Number and measure the regions; 0 where there are fewer than two or too many."""
    h, w = items[src, H], items[src, W]
    number = label(cells, items[src, AT], (h, w), way, tmp)
    if number < 2 or number > MOST:
        return 0
    measured((h, w), number, tmp)
    return number


@inner
def most_cells(number: int, sign: int, tmp: Scratch) -> int:
    """The size of the largest region, with `sign` -1 of the smallest."""
    best = tmp[SIZES + 1]
    for n in range(2, number + 1):
        if sign * (tmp[SIZES + n] - best) > 0:
            best = tmp[SIZES + n]
    return int(best)


@inner
def is_of_kind(cells: Cells, at: int, shape: tuple[int, int], n: int, what: int, way: int, tmp: Scratch) -> bool:
    """Whether region n is of the kind `what` from 2 on, its place in KINDS, but for repeated shapes."""
    w, box = shape[1], BOXES + 4 * n
    if what == 2 or what == 3:
        return flag(cells, at, shape, n, what - 2, tmp) == 2
    if what == 4:
        return mirrored(w, n, False, tmp) or mirrored(w, n, True, tmp)
    if what == 5:
        return holes(w, n, way == 1, tmp) > 0
    if what == 7:
        return bool(tmp[box + 2] - tmp[box] > tmp[box + 3] - tmp[box + 1])
    if what == 8:
        return bool(tmp[SIZES + n] == 1)
    return colour_of(cells, at, w, n, 0, tmp) > 1 if way == 1 else adjacent_colour(cells, at, shape, n, tmp) > 0


@inner
def kept(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """The regions of a kind, where they lie, without the others; with LEFT_OUT the others; some, not all."""
    h, w, source, way = items[src, H], items[src, W], items[src, AT], (2 if arg >= OF_COLOUR else 1)
    what, number, chosen = arg % LEFT_OUT, regions_of(cells, items, src, way, tmp), 0
    if number == 0:
        return False
    extreme = most_cells(number, 1 - 2 * what, tmp) if what < 2 else 0
    for n in range(1, number + 1):
        if what < 2:
            holds = tmp[SIZES + n] == extreme
        elif what == 6:
            holds = False
            for m in range(1, number + 1):
                holds = holds or (m != n and same_shape(w, n, m, tmp))
        else:
            holds = is_of_kind(cells, source, (h, w), n, what, way, tmp)
        keep = holds != (arg // LEFT_OUT % 2 == 1)
        tmp[VALUES + n] = 1 if keep else 0
        chosen += 1 if keep else 0
    if chosen == 0 or chosen == number:
        return False
    at = blank(cells, items, dst, h, w)
    for k in range(h * w):
        if tmp[k] > 0 and tmp[VALUES + tmp[k]] > 0:
            cells[at + k] = cells[source + k]
    same_place(items, src, dst)
    return True


@inner
def steps_to(shape: tuple[int, int], place: int, way: int, tmp: Scratch) -> tuple[int, int]:
    """Empty cells from a place on in a `direction`, and the region after them, 0: rim."""
    h, w = shape
    dr, dc = direction(way)
    y, x, steps = place // w + dr, place % w + dc, 0
    while 0 <= y < h and 0 <= x < w:
        if tmp[y * w + x] > 0:
            return steps, int(tmp[y * w + x])
        y, x, steps = y + dr, x + dc, steps + 1
    return steps, 0


@inner
def slide(cells: Cells, at: int, shape: tuple[int, int], number: int, tmp: Scratch) -> bool:
    """Move every region n in its direction tmp[VALUES + n] (-1: none) until it touches another or the rim.

    Regions that are in the way move first. Whether any moved.
    """
    w = shape[1]
    moved, again = False, True
    while again:
        again = False
        for n in range(1, number + 1):
            way, box, free = tmp[VALUES + n], BOXES + 4 * n, 99
            if way < 0:
                continue
            top, left, bottom, right = int(tmp[box]), int(tmp[box + 1]), int(tmp[box + 2]), int(tmp[box + 3])
            high, wide = bottom - top + 1, right - left + 1
            for i in range(high * wide):
                k = (top + i // wide) * w + left + i % wide
                if tmp[k] == n:
                    steps, ahead = steps_to(shape, k, way, tmp)
                    free = free if ahead == n else min(free, steps)
            if free == 0:
                continue
            moved, again = True, True
            dr, dc = direction(way)
            dr, dc = dr * free, dc * free
            for i in range(high * wide):
                r, c = (
                    (bottom - i // wide if dr > 0 else top + i // wide),
                    (right - i % wide if dc > 0 else left + i % wide),
                )
                k = r * w + c
                if tmp[k] == n:
                    to = k + dr * w + dc
                    v = cells[at + k]
                    tmp[k], cells[at + k] = 0, 0
                    tmp[to], cells[at + to] = n, v
            tmp[box], tmp[box + 2], tmp[box + 1], tmp[box + 3] = top + dr, bottom + dr, left + dc, right + dc
    return moved


@inner
def slid(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Every region moved as a whole (0 to 3: right, left, down, up) until it touches another or the rim."""
    number = label(cells, items[src, AT], (items[src, H], items[src, W]), 2 if arg >= OF_COLOUR else 1, tmp)
    if number == 0 or number > MOST:
        return False
    measured((items[src, H], items[src, W]), number, tmp)
    at = copy(cells, items, src, dst)
    for n in range(1, number + 1):
        tmp[VALUES + n] = arg % 4
    return slide(cells, at, (items[src, H], items[src, W]), number, tmp)


@inner
def is_anchor(anchor: int, one: int, other: int, tmp: Scratch) -> bool:
    """Whether region `other` is one that region `one` is drawn to; its colour is tmp[VALUES + other] then."""
    if anchor == 3:
        return bool(tmp[VALUES + one] == tmp[VALUES + other] and tmp[SIZES + other] > tmp[SIZES + one])
    return bool(tmp[VALUES + other] >= 16 and tmp[VALUES + one] < 16)


@inner
def mark_anchors(cells: Cells, at: int, shape: tuple[int, int], number: int, anchor: int, tmp: Scratch) -> None:
    """Colour of each region n into tmp[VALUES + n], 16 more for anchors. Ten counts are kept after them."""
    h, w = shape
    count = VALUES + MOST + 1
    for c in range(10):
        tmp[count + c] = 0
    for k in range(h * w):
        tmp[count + int(cells[at + k])] += 1
        if tmp[k] > 0:
            tmp[VALUES + tmp[k]] = cells[at + k]
    most, least = 1, 1
    for c in range(1, 10):
        if tmp[count + c] > tmp[count + most]:
            most = c
        if tmp[count + c] > 0 and (tmp[count + least] == 0 or tmp[count + c] < tmp[count + least]):
            least = c
    extreme = most_cells(number, 1, tmp)
    for n in range(1, number + 1):
        c = tmp[VALUES + n]
        if anchor == 0:
            fixed = tmp[SIZES + n] == extreme
        else:
            fixed = tmp[count + c] == tmp[count + (most if anchor == 1 else least)]
        if fixed and anchor < 3:
            tmp[VALUES + n] = c + 16


@inner
def toward(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Every region of one colour goes straight to the nearest anchor that it faces, until it touches; see ANCHORS.

    In fours, how: STAY: those that face none stay; ALONE: they vanish (where anchors are by colour the smallest of
    them); DRAWN: lines of the own colour are drawn instead from each cell over empty cells to one.
    """
    h, w, source, how, anchor = items[src, H], items[src, W], items[src, AT], arg // ANCHORS, arg % ANCHORS
    number = regions_of(cells, items, src, 2, tmp)
    if number == 0:
        return False
    mark_anchors(cells, source, (h, w), number, anchor, tmp)
    at, nearest, ways = copy(cells, items, src, dst), VALUES + 256, VALUES + 512
    for n in range(1, number + 1):
        tmp[nearest + n], tmp[ways + n] = 99, -1
    for k in range(h * w):
        n = int(tmp[k])
        for way in range(4 if n > 0 else 0):
            steps, other = steps_to((h, w), k, way, tmp)
            down, across = direction(way)
            step = down * w + across
            while how != DRAWN and other > 0 and not is_anchor(anchor, n, other, tmp):  # what is between moves on first
                more, other = steps_to((h, w), k + (steps + 1) * step, way, tmp)
                steps += more + 1
            if other == 0 or other == n or not is_anchor(anchor, n, other, tmp):
                continue
            if steps < tmp[nearest + n]:
                tmp[nearest + n], tmp[ways + n] = steps, way
            for i in range(1, steps + 1 if how == DRAWN else 0):
                cells[at + k + i * step] = cells[source + k]
    if how == DRAWN:
        return only_added(cells, items, src, dst, 0)
    least, vanished = most_cells(number, -1, tmp), False
    for k in range(h * w if how == ALONE else 0):
        n = int(tmp[k])
        if n > 0 and tmp[ways + n] < 0 and (tmp[SIZES + n] == least if anchor == 3 else tmp[VALUES + n] < 16):
            cells[at + k], tmp[k], vanished = 0, 0, True
    for n in range(1, number + 1):
        tmp[VALUES + n] = tmp[ways + n]
    return slide(cells, at, (h, w), number, tmp) or vanished


@inner
def template(cells: Cells, at: int, w: int, number: int, tmp: Scratch) -> int:
    """The region of the most colours, of those the largest, the first."""
    best, colours = 1, 0
    for n in range(1, number + 1):
        own = colour_of(cells, at, w, n, 0, tmp)
        if own > colours or (own == colours and tmp[SIZES + n] > tmp[SIZES + best]):
            best, colours = n, own
    return best


@inner
def cells_of_box(n: int, tmp: Scratch) -> int:
    """How many cells region n's box has."""
    box = BOXES + 4 * n
    return int((tmp[box + 2] - tmp[box] + 1) * (tmp[box + 3] - tmp[box + 1] + 1))


@inner
def landing(w: int, n: int, i: int, turn: int, corner: tuple[int, int], tmp: Scratch) -> tuple[int, int, int]:
    """Of cell i of region n's box as it lies turned: where it comes from, and the row and column where it goes."""
    box = BOXES + 4 * n
    high, wide = tmp[box + 2] - tmp[box] + 1, tmp[box + 3] - tmp[box + 1] + 1
    columns = high if turn & 4 else wide
    y, x = turned(turn, i // columns, i % columns, high, wide)
    return (tmp[box] + y) * w + tmp[box + 1] + x, corner[0] + i // columns, corner[1] + i % columns


@inner
def fits(
    cells: Cells, at: int, shape: tuple[int, int], n: int, turn: int, corner: tuple[int, int], tmp: Scratch
) -> int:
    """Cells that region n, turned, with this corner, has in common with the grid; -1: not so, or it lies on itself."""
    h, w = shape
    same = 0
    for i in range(cells_of_box(n, tmp)):
        k, r, c = landing(w, n, i, turn, corner, tmp)
        if tmp[k] != n or r < 0 or c < 0 or r >= h or c >= w:
            continue
        v = cells[at + r * w + c]
        if tmp[r * w + c] == n or (v != 0 and v != cells[at + k]):
            return -1
        same += v != 0
    return same


@inner
def put(
    cells: Cells,
    grids: tuple[int, int],
    shape: tuple[int, int],
    n: int,
    turn: int,
    corner: tuple[int, int],
    tmp: Scratch,
) -> None:
    """Draw region n of the first grid into the second, by where they begin, turned, with this corner."""
    h, w = shape
    source, at = grids
    for i in range(cells_of_box(n, tmp)):
        k, r, c = landing(w, n, i, turn, corner, tmp)
        if tmp[k] == n and 0 <= r < h and 0 <= c < w:
            cells[at + r * w + c] = cells[source + k]


@inner
def best_fit(cells: Cells, source: int, shape: tuple[int, int], one: int, n: int, turns: int, tmp: Scratch) -> int:
    """How region `one` lies over region n's first cell and has most cells in common: turn, row and column of the
    corner as one number; -1 where it does not."""
    w, own, box, first = shape[1], BOXES + 4 * one, BOXES + 4 * n, -1
    high, wide = tmp[own + 2] - tmp[own] + 1, tmp[own + 3] - tmp[own + 1] + 1
    for c in range(tmp[box + 1], tmp[box + 3] + 1):
        if first < 0 and tmp[tmp[box] * w + c] == n:
            first = tmp[box] * w + c
    most, best = tmp[SIZES + n] - 1, -1
    for turn in range(turns):
        rows, columns = (wide, high) if turn & 4 else (high, wide)
        for i in range(rows * columns):
            y, x = turned(turn, i // columns, i % columns, high, wide)
            k = (tmp[own] + y) * w + tmp[own + 1] + x
            if tmp[k] != one or cells[source + k] != cells[source + first]:
                continue
            r, c = first // w - i // columns, first % w - i % columns
            same = fits(cells, source, shape, one, turn, (r, c), tmp)
            if same > most:
                most, best = same, (turn * 128 + r + 32) * 128 + c + 32
    return best


@inner
def stamped(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """The region of most colours copied. With REMOVED it goes itself.

    `arg`: 0: about each single cell; 1: over each other region with a box as large; 2: over each region that shows some
    of its cells; 3: the same turned and mirrored.
    """
    h, w, source, what = items[src, H], items[src, W], items[src, AT], arg % REMOVED
    number = regions_of(cells, items, src, 1, tmp)
    if number == 0 or number > 40:
        return False
    one, at, copies = template(cells, source, w, number, tmp), copy(cells, items, src, dst), 0
    own = BOXES + 4 * one
    high, wide = tmp[own + 2] - tmp[own] + 1, tmp[own + 3] - tmp[own + 1] + 1
    if tmp[SIZES + one] < 3 or tmp[SIZES + one] > 64:
        return False
    for k in range(h * w):
        if arg >= REMOVED and tmp[k] == one:
            cells[at + k] = 0
    for n in range(1, number + 1):
        box, turn = BOXES + 4 * n, 0
        r, c = tmp[box], tmp[box + 1]
        if n == one or (what == 0 and tmp[SIZES + n] > 1):
            continue
        if what == 0:
            r, c = r - (high - 1) // 2, c - (wide - 1) // 2
        elif what == 1:
            if tmp[box + 2] - r + 1 != high or tmp[box + 3] - c + 1 != wide:
                continue
            for i in range(high * wide):
                k = (r + i // wide) * w + c + i % wide
                cells[at + k] = 0 if tmp[k] == n else cells[at + k]
        else:
            found = best_fit(cells, source, (h, w), one, n, 8 if what == 3 else 1, tmp)
            if found < 0:
                continue
            turn, r, c = found // 16384, found // 128 % 128 - 32, found % 128 - 32
        put(cells, (source, at), (h, w), one, turn, (r, c), tmp)
        copies += 1
    return copies > 0
