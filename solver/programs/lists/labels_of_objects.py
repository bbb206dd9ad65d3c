"""More labels: what a cell sees and how far from things it is, its place in a region's box, what is around a region.

As in `labels.py`: numbers from 1 to 9, 0 for none, that tables tell cells apart by. The form of a function is that of
`geometry.py`.
"""

from solver.programs.compiled import inner
from solver.programs.lists.geometry import turned
from solver.programs.lists.labels import BOXES, MOST, SIZES, VALUES, colour_of, measured
from solver.programs.lists.layout import (
    AREA,
    AT,
    SIDES,
    Cells,
    H,
    Items,
    Scratch,
    W,
    blank,
    counts,
    direction,
    label,
    same_place,
)

WIDE = 3 * AREA  # in the scratch: the region in whose box each cell lies, or for each region its shape, then its colour
FAR = 99
VIEWS = (
    *(f"colour seen {way}" for way in (*SIDES, "down right", "up left", "down left", "up right")),
    *(f"other colour seen {way}" for way in SIDES),
    *(f"steps to what is seen {way}" for way in SIDES),
    *(f"steps in twos to what is seen {way}" for way in SIDES),
    *(f"one colour seen both ways in its {line}" for line in ("row", "column", "falling line", "rising line")),
    *(f"how often it sees any by {how}" for how in ("sides", "diagonals", "all ways")),
    "the one other colour seen by sides", "the one other colour seen", "the nearest other colour seen by sides",
    "way to the nearest other colour seen",
)  # fmt: skip
PLACES = ("row from the top", "row from the bottom", "column from the left", "column from the right", "ring",
          "ring in twos", "row in twos", "column in twos", "chessboard", "upper or lower half", "left or right half",
          "on its diagonals", "on its middle lines")  # fmt: skip
RELATIONS = (
    "solid shape", "colour around it", "regions in its box", "touching others", "regions of its colour",
    "nearest other's colour", "way to the nearest other", "in line with others", "colour of an equal shape",
    "shape, first", "shape, second", "shape turned, first", "shape turned, second", "colour within its box",
    "extreme of its colour", "sides of the rim", "order from the left in twos", "order from the left in threes",
    "order from the top in twos", "order from the top in threes",
)  # fmt: skip


@inner
def look(cells: Cells, at: int, shape: tuple[int, int], place: int, way: int, past: bool) -> tuple[int, int]:
    """The first filled cell in a direction, with `past` of another colour than its own: its colour, and how far.

    `way`: as in `direction`. Colour 0: the rim.
    """
    h, w = shape
    dr, dc = direction(way)
    r, c, far = place // w + dr, place % w + dc, 1
    own = cells[at + place]
    while 0 <= r < h and 0 <= c < w:
        v = cells[at + r * w + c]
        if v != 0 and (v != own or not past):
            return int(v), far
        r, c, far = r + dr, c + dc, far + 1
    return 0, far


@inner
def between(cells: Cells, at: int, shape: tuple[int, int], place: int, line: int) -> int:
    """The colour that a cell sees on both sides, in its row (0), column (1), diagonals (2, 3); 0: not the same."""
    one, _ = look(cells, at, shape, place, 2 * line, False)
    other, _ = look(cells, at, shape, place, 2 * line + 1, False)
    return one if one == other else 0


@inner
def seen_around(cells: Cells, at: int, shape: tuple[int, int], place: int, what: int) -> int:
    """Of the ways that a cell looks: 0, 1, 2: on how many of the sides, the diagonals, all it sees any, one more;

    3, 4: the one colour but its own that it sees by sides, all ways, 0 where there are several; 5, 6: the nearest of
    those by sides, and which way that is.
    """
    number, one, best, nearest, way = 0, 0, FAR, 0, 0
    first = 4 if what == 1 else 0
    last = 4 if what == 0 or what == 3 or what >= 5 else 8
    for k in range(first, last):
        colour, far = look(cells, at, shape, place, k, False)
        if colour == 0:
            continue
        number += 1
        if colour == cells[at + place]:
            continue
        one = colour if one == 0 or one == colour else -1
        if far < best:
            best, nearest, way = far, colour, k + 1
    if what < 3:
        return number + 1
    return max(one, 0) if what < 5 else nearest if what == 5 else way


@inner
def of_views(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """Every cell by what it sees.

    0 to 7: the colour of the first filled cell that way, as in `look`; 8 to 11: the same past its own colour; 12 to
    15: how far that is by sides; 16 to 19: the same in twos; 20 to 23: `between`; from 24 on: `seen_around`.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    at = blank(cells, items, dst, h, w)
    some = False
    for k in range(h * w):
        if arg < 20:
            way = arg if arg < 8 else arg % 4
            colour, far = look(cells, source, (h, w), k, way, 8 <= arg < 12)
            value = colour if arg < 12 else 0 if colour == 0 else far if arg < 16 else 1 + far % 2
        elif arg < 24:
            value = between(cells, source, (h, w), k, arg - 20)
        else:
            value = seen_around(cells, source, (h, w), k, arg - 24)
        some = some or value != 0
        cells[at + k] = min(value, 9)
    same_place(items, src, dst)
    return some


@inner
def of_distances(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Every cell by how far it is from the nearest filled cell, from 6 on empty cell, from 12 on of the rarest colour.

    In sixes, by sides, from 3 on over corners, too; in threes, up to 9, in twos, in threes. 1: it is one itself.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    what, corners, form = arg // 6, arg % 6 >= 3, arg % 3
    rare = counts(cells, source, h * w, tmp)
    for c in range(1, 10):
        rare = c if tmp[c] > 0 and tmp[c] < tmp[rare] else rare
    if rare == 0:
        return False
    some = False
    for k in range(h * w):
        v = cells[source + k]
        here = v == rare if what == 2 else (v != 0) == (what == 0)
        some = some or here
        tmp[k] = 0 if here else FAR
    if not some:
        return False
    for back in range(2):
        for n in range(h * w):
            k = h * w - 1 - n if back else n
            for m in range(4):
                if not corners and (m == 0 or m == 2):
                    continue
                dr, dc = (0 if m == 3 else -1), (-1 if m == 3 else m - 1)
                y, x = (k // w - dr, k % w - dc) if back else (k // w + dr, k % w + dc)
                if 0 <= y < h and 0 <= x < w:
                    tmp[k] = min(tmp[k], tmp[y * w + x] + 1)
    at = blank(cells, items, dst, h, w)
    for k in range(h * w):
        cells[at + k] = min(tmp[k] + 1, 9) if form == 0 else 1 + tmp[k] % (form + 1)
    same_place(items, src, dst)
    return True


@inner
def place_value(r: int, c: int, high: int, wide: int, arg: int) -> int:
    """A cell's place in a box; see `of_boxes`."""
    ring = min(r, c, high - 1 - r, wide - 1 - c)
    if arg < 4:
        return 1 + (r if arg == 0 else high - 1 - r if arg == 1 else c if arg == 2 else wide - 1 - c)
    if arg < 6:
        return 1 + (ring if arg == 4 else ring % 2)
    if arg < 9:
        return 1 + ((r if arg != 7 else 0) + (c if arg != 6 else 0)) % 2
    if arg < 11:
        twice = 2 * r - high + 1 if arg == 9 else 2 * c - wide + 1
        return 1 if twice < 0 else 2 if twice == 0 else 3
    if arg == 11:
        return 1 + (1 if r == c else 0) + (2 if r + c == wide - 1 else 0)
    return 1 + (1 if abs(2 * r - high + 1) < 2 else 0) + (2 if abs(2 * c - wide + 1) < 2 else 0)


@inner
def of_boxes(cells: Cells, items: Items, src: int, dst: int, way: int, arg: int, tmp: Scratch) -> bool:
    """Every cell by its place in its region's box, or where it is in none, in the smallest box that it lies in.

    0 to 3: row from the top, the bottom, column from the left, the right; 4: from the rim; 5: the same in twos; 6, 7:
    row, column in twos; 8: chessboard; 9, 10: upper, middle, lower; left, middle, right; 11: on the diagonals; 12: on
    the middle lines.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    number = label(cells, source, (h, w), way, tmp)
    if number == 0 or number > MOST:
        return False
    measured((h, w), number, tmp)
    for k in range(h * w):
        tmp[WIDE + k] = tmp[k]
    for n in range(1, number + 1):
        box = BOXES + 4 * n
        area = (tmp[box + 2] - tmp[box] + 1) * (tmp[box + 3] - tmp[box + 1] + 1)
        for r in range(tmp[box], tmp[box + 2] + 1):
            for c in range(tmp[box + 1], tmp[box + 3] + 1):
                k = r * w + c
                m = BOXES + 4 * tmp[WIDE + k]
                if tmp[k] == 0 and (
                    tmp[WIDE + k] == 0 or (tmp[m + 2] - tmp[m] + 1) * (tmp[m + 3] - tmp[m + 1] + 1) > area
                ):
                    tmp[WIDE + k] = n
    at = blank(cells, items, dst, h, w)
    for k in range(h * w):
        if tmp[WIDE + k] > 0:
            m = BOXES + 4 * tmp[WIDE + k]
            high, wide = tmp[m + 2] - tmp[m] + 1, tmp[m + 3] - tmp[m + 1] + 1
            cells[at + k] = min(place_value(k // w - tmp[m], k % w - tmp[m + 1], high, wide, arg), 9)
    same_place(items, src, dst)
    return True


@inner
def of_region_lines(cells: Cells, items: Items, src: int, dst: int, way: int, arg: int, tmp: Scratch) -> bool:
    """Every cell by whether its row or column goes through a region: 1: neither; 2: row; 3: column; 4: both.

    `arg`: 0: through any part; 1: through the middle of its box; 2: through its first or last line.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    number = label(cells, source, (h, w), way, tmp)
    if number == 0 or number > MOST:
        return False
    measured((h, w), number, tmp)
    for k in range(h + w):
        tmp[WIDE + k] = 0
    for n in range(1, number + 1):
        for down in range(2):
            first, last = tmp[BOXES + 4 * n + 1 - down], tmp[BOXES + 4 * n + 3 - down]
            for k in range(first, last + 1):
                middle = abs(2 * k - first - last) < 2
                if arg == 0 or (arg == 1 and middle) or (arg == 2 and not first < k < last):
                    tmp[WIDE + (k if down else h + k)] = 1
    at = blank(cells, items, dst, h, w)
    for k in range(h * w):
        cells[at + k] = 1 + tmp[WIDE + k // w] + 2 * tmp[WIDE + h + k % w]
    same_place(items, src, dst)
    return True


@inner
def shape_number(w: int, n: int, turns: int, salt: int, tmp: Scratch) -> int:
    """A hash of 23 bits of region n's shape, the least of those of its `turns` first turns and mirrors."""
    box, best = BOXES + 4 * n, -1
    high, wide = tmp[box + 2] - tmp[box] + 1, tmp[box + 3] - tmp[box + 1] + 1
    for turn in range(turns):
        rows, columns = (wide, high) if turn & 4 else (high, wide)
        value = rows * 32 + columns + salt
        for r in range(rows):
            for c in range(columns):
                y, x = turned(turn, r, c, high, wide)
                filled = tmp[(tmp[box] + y) * w + tmp[box + 1] + x] == n
                value = (value * 1103515245 + (12345 if filled else 54321)) & 0x7FFFFFFF
        best = value if best < 0 or value < best else best
    return best >> 8


@inner
def gap(one: int, other: int, tmp: Scratch) -> tuple[int, int]:
    """Rows and columns from one box to the other, 1: adjacent, below 0: above or to its left, 0: they share some."""
    a, b = BOXES + 4 * one, BOXES + 4 * other
    down = tmp[b] - tmp[a + 2] if tmp[b] > tmp[a + 2] else tmp[b + 2] - tmp[a] if tmp[b + 2] < tmp[a] else 0
    across = tmp[b + 1] - tmp[a + 3] if tmp[b + 1] > tmp[a + 3] else 0
    if tmp[b + 3] < tmp[a + 1]:
        across = tmp[b + 3] - tmp[a + 1]
    return int(down), int(across)


@inner
def around(number: int, n: int, what: int, tmp: Scratch) -> int:
    """Of region n among the others by their boxes: see RELATIONS, 1 to 7; colours are at WIDE + 256."""
    best, nearest, way, within, touching, rows, columns = FAR, 0, 0, 1, 1, 0, 0
    smallest, outer, of_colour = AREA + 1, 0, 0
    own, colours = BOXES + 4 * n, WIDE + 256
    for m in range(1, number + 1):
        of_colour += tmp[colours + m] == tmp[colours + n]
        if m == n:
            continue
        down, across = gap(n, m, tmp)
        other = BOXES + 4 * m
        far = max(abs(down), abs(across))
        touching = 2 if far <= 1 else touching
        rows, columns = max(rows, 1 if down == 0 else 0), max(columns, 1 if across == 0 else 0)
        if far < best:
            best, nearest = far, tmp[colours + m]
            way = (1 if across > 0 else 2) if abs(across) > abs(down) else 3 if down > 0 else 4
        if far > 0:
            continue
        if tmp[own] <= tmp[other] and tmp[own + 1] <= tmp[other + 1]:
            within += tmp[own + 2] >= tmp[other + 2] and tmp[own + 3] >= tmp[other + 3]
        if tmp[own] >= tmp[other] and tmp[own + 1] >= tmp[other + 1] and tmp[own + 2] <= tmp[other + 2]:
            area = (tmp[other + 2] - tmp[other] + 1) * (tmp[other + 3] - tmp[other + 1] + 1)
            if tmp[own + 3] <= tmp[other + 3] and area < smallest:
                smallest, outer = area, tmp[colours + m]
    if what < 4:
        return int(outer) if what == 1 else int(within) if what == 2 else touching
    if what < 6:
        return int(of_colour) if what == 4 else int(nearest)
    return way if what == 6 else 1 + rows + 2 * columns


@inner
def within_box(cells: Cells, at: int, w: int, n: int, own: int, tmp: Scratch) -> int:
    """The first colour in region n's box that is neither 0 nor the region's."""
    box = BOXES + 4 * n
    for r in range(tmp[box], tmp[box + 2] + 1):
        for c in range(tmp[box + 1], tmp[box + 3] + 1):
            v = cells[at + r * w + c]
            if v != 0 and v != own and tmp[r * w + c] != n:
                return int(v)
    return 0


@inner
def alone(shape: tuple[int, int], number: int, n: int, what: int, tmp: Scratch) -> int:
    """Of region n: see RELATIONS: 0, 8 to 12, 14 to 19; numbers for shapes are at WIDE, colours at WIDE + 256."""
    h, w = shape
    box = BOXES + 4 * n
    high, wide = tmp[box + 2] - tmp[box] + 1, tmp[box + 3] - tmp[box + 1] + 1
    if what == 0:
        solid = high * wide == tmp[SIZES + n]
        return 1 if not solid else 2 if high == wide else 3 if high > wide else 4
    if what == 8:
        for m in range(1, number + 1):
            if tmp[WIDE + m] == tmp[WIDE + n] and tmp[WIDE + 256 + m] != tmp[WIDE + 256 + n]:
                return int(tmp[WIDE + 256 + m])
        return 0
    if what < 13:
        return 1 + int(tmp[WIDE + n]) % 9
    if what == 14:
        most, least = True, True
        for m in range(1, number + 1):
            if tmp[WIDE + 256 + m] == tmp[WIDE + 256 + n]:
                most, least = most and tmp[SIZES + m] <= tmp[SIZES + n], least and tmp[SIZES + m] >= tmp[SIZES + n]
        return 1 + (1 if most else 0) + (2 if least else 0)
    if what > 15:
        before, edge = 0, 1 if what < 18 else 0
        for m in range(1, number + 1):
            before += tmp[BOXES + 4 * m + edge] < tmp[box + edge]
        return 1 + before % (2 + what % 2)
    across = (1 if tmp[box + 1] == 0 else 0) + (2 if tmp[box + 3] == w - 1 else 0)
    down = (1 if tmp[box] == 0 else 0) + (2 if tmp[box + 2] == h - 1 else 0)
    return 1 + across if down == 0 else 4 + down if across == 0 else 8 if across == down else 9


@inner
def of_relations(cells: Cells, items: Items, src: int, dst: int, way: int, arg: int, tmp: Scratch) -> bool:
    """Every region's cells in one number, of RELATIONS; regions `way` as in `label`."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    number = label(cells, source, (h, w), way, tmp)
    if number == 0 or number > MOST:
        return False
    measured((h, w), number, tmp)
    for n in range(1, number + 1):
        tmp[WIDE + 256 + n] = colour_of(cells, source, w, n, 1, tmp)
        if 8 <= arg <= 12:
            turns = 8 if arg == 8 or arg >= 11 else 1
            tmp[WIDE + n] = shape_number(w, n, turns, 0 if arg % 2 else 977, tmp)
    some = False
    for n in range(1, number + 1):
        if arg == 13:
            value = within_box(cells, source, w, n, int(tmp[WIDE + 256 + n]), tmp)
        elif 1 <= arg < 8:
            value = around(number, n, arg, tmp)
        else:
            value = alone((h, w), number, n, arg, tmp)
        tmp[VALUES + n] = min(value, 9)
        some = some or value != 0
    at = blank(cells, items, dst, h, w)
    for k in range(h * w):
        if tmp[k] > 0:
            cells[at + k] = tmp[VALUES + tmp[k]]
    same_place(items, src, dst)
    return some
