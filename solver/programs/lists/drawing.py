"""From grid to grid by what is drawn around or inside things, or completed; and its colours in order.

The form of a function is that of `geometry.py`; regions lie in the scratch as in `labels.py`.
"""

from solver.programs.compiled import inner
from solver.programs.lists.labels import BOXES, COUNTED, MOST, VALUES, adjacent_colour, colour_of, measured
from solver.programs.lists.layout import (
    AREA,
    AT,
    SIDE,
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
)  # fmt: skip
from solver.programs.lists.shapes import WHOLE, copy, only_added

ODD = 64  # added to the directions of dotted lines: the cells between the dots


@inner
def dotted(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """From each cell a line over empty cells, every other cell of it; directions in bits as in `rays`; see ODD."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    at, odd = copy(cells, items, src, dst), (1 if arg >= ODD else 0)
    for way in range(4):
        if arg & (1 << way) == 0:
            continue
        dr, dc = direction(way + (4 if arg & 32 else 0))
        for k in range(h * w):
            y, x, step = k // w + dr, k % w + dc, 1
            while cells[source + k] != 0 and 0 <= y < h and 0 <= x < w and cells[source + y * w + x] == 0:
                if step % 2 == odd:
                    cells[at + y * w + x] = cells[source + k]
                y, x, step = y + dr, x + dc, step + 1
    return only_added(cells, items, src, dst, WHOLE if odd else 0)


@inner
def filled_at(cells: Cells, at: int, shape: tuple[int, int], r: int, c: int) -> bool:
    """Whether there is a cell that is not 0."""
    return 0 <= r < shape[0] and 0 <= c < shape[1] and cells[at + r * shape[1] + c] != 0


@inner
def extended(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """Lines of two or more cells, one wide, go on over empty cells; in bits: 1: rows; 2: columns; 4: diagonals."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    at = copy(cells, items, src, dst)
    for way in range(8):
        dr, dc = direction(way)
        if arg % WHOLE & (4 if way >= 4 else 1 if way < 2 else 2) == 0:
            continue
        for k in range(h * w):
            r, c = k // w, k % w
            if cells[source + k] == 0 or not filled_at(cells, source, (h, w), r - dr, c - dc):
                continue
            if filled_at(cells, source, (h, w), r + dc, c - dr) or filled_at(cells, source, (h, w), r - dc, c + dr):
                continue
            if way >= 4 and (
                filled_at(cells, source, (h, w), r - dr, c) or filled_at(cells, source, (h, w), r, c - dc)
            ):
                continue
            y, x = r + dr, c + dc
            while 0 <= y < h and 0 <= x < w and cells[source + y * w + x] == 0:
                cells[at + y * w + x] = cells[source + k]
                y, x = y + dr, x + dc
    return only_added(cells, items, src, dst, arg)


@inner
def leaked(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Empty cells in the box of each region of one colour, alone, in its colour.

    `arg`: 1: also straight on out of the gaps in the box's rim, over empty cells; 2: and aslant.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    number = label(cells, source, (h, w), 2, tmp)
    if number == 0 or number > MOST:
        return False
    measured((h, w), number, tmp)
    at, any_cell = blank(cells, items, dst, h, w), False
    same_place(items, src, dst)
    for n in range(1, number + 1):
        box = BOXES + 4 * n
        top, left, bottom, right = int(tmp[box]), int(tmp[box + 1]), int(tmp[box + 2]), int(tmp[box + 3])
        if bottom - top < 2 or right - left < 2:
            continue
        colour = colour_of(cells, source, w, n, 1, tmp)
        for r in range(top, bottom + 1):
            for c in range(left, right + 1):
                if cells[source + r * w + c] != 0:
                    continue
                any_cell = True
                cells[at + r * w + c] = colour
                for way in range(8 if arg == 2 else 4 if arg == 1 else 0):
                    dr, dc = direction(way)
                    across = (dr < 0 and r == top) or (dr > 0 and r == bottom)
                    outward = across or (dc < 0 and c == left) or (dc > 0 and c == right)
                    y, x = (r, c + dc) if across else (r + dr, c)
                    if way >= 4:  # from the ends of a gap alone
                        outward = outward and 0 <= y < h and 0 <= x < w and tmp[y * w + x] == n
                    y, x = r + dr, c + dc
                    while outward and 0 <= y < h and 0 <= x < w and cells[source + y * w + x] == 0:
                        cells[at + y * w + x] = colour
                        y, x = y + dr, x + dc
    return any_cell


@inner
def boxed(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Empty cells take the commonest colour of a region: 0: those in its box; 1: on the box's rim; 2: around the box.

    With 4 regions are of one colour by sides, else of any over corners; WHOLE as everywhere.
    """
    h, w, source, what = items[src, H], items[src, W], items[src, AT], arg % 4
    number = label(cells, source, (h, w), 2 if arg & 4 else 1, tmp)
    if number == 0 or number > MOST:
        return False
    measured((h, w), number, tmp)
    at, out = copy(cells, items, src, dst), (1 if what == 2 else 0)
    for n in range(1, number + 1):
        box, colour = BOXES + 4 * n, colour_of(cells, source, w, n, 1, tmp)
        top, left, bottom, right = tmp[box] - out, tmp[box + 1] - out, tmp[box + 2] + out, tmp[box + 3] + out
        for r in range(max(top, 0), min(bottom, h - 1) + 1):
            for c in range(max(left, 0), min(right, w - 1) + 1):
                rim = r in (top, bottom) or c in (left, right)
                if (rim or what == 0) and cells[source + r * w + c] == 0:
                    cells[at + r * w + c] = colour
    return only_added(cells, items, src, dst, arg)


@inner
def flooded(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Empty regions in a colour beside them.

    `arg`: 0: the commonest, where the rim is not reached; 1: the rarest of several; 2: both.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    number = label(cells, source, (h, w), 4, tmp)
    if number == 0 or number > MOST:
        return False
    measured((h, w), number, tmp)
    at = copy(cells, items, src, dst)
    for n in range(1, number + 1):
        box = BOXES + 4 * n
        inside = tmp[box] > 0 and tmp[box + 1] > 0 and tmp[box + 2] < h - 1 and tmp[box + 3] < w - 1
        best = adjacent_colour(cells, source, (h, w), n, tmp)
        tmp[VALUES + n] = best if arg == 0 and inside else 0
        if arg > 0 and (inside or arg == 1):
            rarest = best
            for c in range(1, 10):
                if tmp[COUNTED + c] > 0 and tmp[COUNTED + c] < tmp[COUNTED + rarest]:
                    rarest = c
            tmp[VALUES + n] = rarest if rarest != best else 0
    for k in range(h * w):
        if tmp[k] > 0:
            cells[at + k] = tmp[VALUES + tmp[k]]
    return only_added(cells, items, src, dst, 0)


@inner
def palette(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Its colours in order: in fours, by what: the most cells first, the fewest, from the top, from the left.

    In ones: as a row, a column, a row or a column without the commonest; from 16 on as bars, as long as they have
    cells: rows, columns, both with the shortest first.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    common = counts(cells, source, h * w, tmp)
    by, form = arg // 4, arg % 4
    bars = by == 4
    if bars:
        by = form // 2
    drop, down, number, longest = form >= 2 and not bars, form % 2 == (0 if bars else 1), 0, 1
    for c in range(1, 10):
        tmp[20 + c] = 999
    for k in range(h * w):
        place = k if by == 2 else k % w * h + k // w
        v = cells[source + k]
        tmp[20 + v] = min(tmp[20 + v], place)
    for c in range(1, 10):
        if tmp[c] == 0 or (drop and c == common):
            continue
        rank, own = 0, (-tmp[c] if by == 0 else tmp[c] if by == 1 else tmp[20 + c])
        for other in range(1, 10):
            value = -tmp[other] if by == 0 else tmp[other] if by == 1 else tmp[20 + other]
            if tmp[other] > 0 and other != c and not (drop and other == common):
                rank += 1 if value < own or (value == own and other < c) else 0
        tmp[40 + rank] = c
        number, longest = number + 1, max(longest, tmp[c])
    if number < 2 or (bars and longest > SIDE):
        return False
    longest = longest if bars else 1
    at = blank(cells, items, dst, number if down else longest, longest if down else number)
    for n in range(number):
        for i in range(tmp[tmp[40 + n]] if bars else 1):
            cells[at + (n * longest + i if down else i * number + n)] = tmp[40 + n]
    return True


@inner
def run_lengths(cells: Cells, at: int, shape: tuple[int, int], empty: bool, tmp: Scratch) -> None:
    """For each cell how many like it stand in the row from it on to the right, 0 where it is of the other kind."""
    h, w = shape
    for k in range(h * w - 1, -1, -1):
        v = cells[at + k]
        if (v == 0) != empty:
            tmp[k] = 0
        else:
            tmp[k] = 1 + (tmp[k + 1] if k % w < w - 1 and cells[at + k + 1] == v else 0)


@inner
def largest(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """The largest rectangles (0) or squares (1) of empty cells, alone, in the commonest colour; 2, 3: of one colour."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    colour = counts(cells, source, h * w, tmp)
    run_lengths(cells, source, (h, w), arg < 2, tmp)
    most, number, room = 1, 0, AREA
    for k in range(h * w):
        wide, r = tmp[k], 0
        while tmp[k] > 0 and k + r * w < h * w:
            below = k + r * w
            if tmp[below] == 0 or cells[source + below] != cells[source + k]:
                break
            wide = min(wide, tmp[below])
            r += 1
            size = wide * r
            if arg % 2:
                size = r * r if wide >= r else 0
            if size > most:
                most, number = size, 0
            if size == most and number < 500:
                tmp[room + 3 * number], tmp[room + 3 * number + 1] = k, r
                tmp[room + 3 * number + 2] = r if arg % 2 else wide
                number += 1
    if number == 0 or colour == 0 or most == h * w or most < 4:
        return False
    at = blank(cells, items, dst, h, w)
    same_place(items, src, dst)
    for n in range(number):
        k, rows, columns = tmp[room + 3 * n], tmp[room + 3 * n + 1], tmp[room + 3 * n + 2]
        for i in range(rows * columns):
            place = k + i // columns * w + i % columns
            cells[at + place] = colour if arg < 2 else cells[source + place]
    return True


@inner
def mode(tmp: Scratch, first: int) -> int:
    """Which of the ten numbers from there on is the largest, the first of them."""
    best = 0
    for c in range(1, 10):
        best = c if tmp[first + c] > tmp[first + best] else best
    return best


@inner
def smoothed(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Cells in the commonest colour of their surroundings.

    `arg`: 0: of their row, or of their column, whichever changes fewer cells; 1: of the nine cells about them; 2: the
    same where none about them is like them.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    at = copy(cells, items, src, dst)
    changed = 99999
    for way in range(2 if arg == 0 else 0):
        other = 0
        for n in range(w if way else h):
            for c in range(10):
                tmp[1000 + c] = 0
            length = h if way else w
            for i in range(length):
                tmp[1000 + int(cells[source + (i * w + n if way else n * w + i)])] += 1
            tmp[100 * (way + 1) + n] = mode(tmp, 1000)
            other += length - tmp[1000 + mode(tmp, 1000)]
        if other < changed:
            changed = other
            for k in range(h * w):
                cells[at + k] = tmp[200 + k % w] if way else tmp[100 + k // w]
    for k in range(h * w if arg > 0 else 0):
        for c in range(10):
            tmp[c] = 0
        for i in range(9):
            y, x = k // w + i // 3 - 1, k % w + i % 3 - 1
            if 0 <= y < h and 0 <= x < w and (i != 4 or arg == 1):
                tmp[cells[source + y * w + x]] += 1
        if arg == 1 or tmp[cells[source + k]] == 0:
            cells[at + k] = mode(tmp, 0)
    return only_added(cells, items, src, dst, 0)
