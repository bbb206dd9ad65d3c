"""From list to grid: laid over each other, beside each other, cell by cell combined, arranged, counted; recoloured.

Every function here has one form: it reads the `count` items from `start`, writes items from `dst` on and gives their
number, 0 where it does not apply.
"""

from solver.programs.compiled import inner
from solver.programs.lists.layout import (
    AREA,
    AT,
    COLOURS,
    SIDE,
    SIZE,
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
)  # fmt: skip


@inner
def by_cells(cells: Cells, items: Items, start: int, count: int, tmp: Scratch) -> None:
    """The order of the items from the most cells that are not 0 to the fewest: numbers 0 to count - 1, in `tmp`."""
    for n in range(count):
        at, filled = items[start + n, AT], 0
        for k in range(items[start + n, H] * items[start + n, W]):
            filled += 1 if cells[at + k] != 0 else 0
        tmp[AREA + n] = filled
    for n in range(count):
        rank = 0
        for m in range(count):
            more = tmp[AREA + m] - tmp[AREA + n]
            rank += 1 if more > 0 or (more == 0 and m < n) else 0
        tmp[rank] = n


@inner
def overlay(cells: Cells, items: Items, start: int, count: int, dst: int, arg: int, tmp: Scratch) -> int:
    """All laid over each other where they were cut from: 0: the last on top; 1: the first; 2: the smallest.

    3: all with the top left corners together, the last on top; 4: the same, the smallest on top.
    """
    if count < 2 or count > AREA:
        return 0
    if arg == 2 or arg == 4:
        by_cells(cells, items, start, count, tmp)
    top, left, bottom, right = 9999, 9999, -9999, -9999
    for src in range(start, start + count):
        y, x = (items[src, Y], items[src, X]) if arg < 3 else (0, 0)
        top, left = min(top, y), min(left, x)
        bottom, right = max(bottom, y + items[src, H]), max(right, x + items[src, W])
    at, width = blank(cells, items, dst, bottom - top, right - left), right - left
    if at < 0:
        return 0
    for n in range(count):
        src = start + (tmp[n] if arg == 2 or arg == 4 else count - 1 - n if arg == 1 else n)
        h, w, source = items[src, H], items[src, W], items[src, AT]
        y, x = (items[src, Y] - top, items[src, X] - left) if arg < 3 else (0, 0)
        for r in range(h):
            for c in range(w):
                if cells[source + r * w + c] != 0:
                    cells[at + (y + r) * width + x + c] = cells[source + r * w + c]
    if arg < 3:
        items[dst, Y], items[dst, X] = top, left
    follow(items, dst)
    return 1


@inner
def row_of(cells: Cells, items: Items, start: int, count: int, dst: int, arg: int) -> int:
    """Beside each other (0), below each other (1), with an empty line between (2, 3), each twice as far down (4)."""
    if count < 2 or count > SIDE:
        return 0
    gap, down = (1 if arg >= 2 else 0), arg % 2 == 1
    length, across = -gap, 0
    for src in range(start, start + count):
        length += gap + int(items[src, H] if down else items[src, W])
        across = max(across, int(items[src, W] if down else items[src, H]))
    at = blank(cells, items, dst, length if down else across, across if down else length)
    if at < 0:
        return 0
    width, begin = items[dst, W], 0
    for src in range(start, start + count):
        h, w, source = items[src, H], items[src, W], items[src, AT]
        corner = at + (begin * width if down else begin)
        for r in range(h):
            for c in range(w):
                cells[corner + r * width + c] = cells[source + r * w + c]
        begin += gap + (h if down else w)
    follow(items, dst)
    return 1


@inner
def logic(cells: Cells, items: Items, start: int, count: int, dst: int, arg: int, tmp: Scratch) -> int:
    """Cell by cell, all of one size, in the colour of the first that has one: 0: filled in all; 1: in one alone;

    2: in the first and not all; 3: in the last and not all; 4: empty in all (in the commonest colour); 5: in an odd
    number; 6: what most show; 7: in the first and the last both; 8: in any.
    """
    if count < 2 or count > AREA:
        return 0
    h, w = items[start, H], items[start, W]
    for src in range(start, start + count):
        if items[src, H] != h or items[src, W] != w:
            return 0
    common = counts(cells, items[start, AT], h * w, tmp)
    at, last = blank(cells, items, dst, h, w), items[start + count - 1, AT]
    for k in range(h * w):
        filled, colour = 0, 0
        for c in range(COLOURS):
            tmp[c] = 0
        for src in range(start, start + count):
            v = int(cells[items[src, AT] + k])
            tmp[v] += 1
            if v != 0:
                filled += 1
                colour = v if colour == 0 else colour
        first, final = cells[items[start, AT] + k] != 0, cells[last + k] != 0
        keep = (arg == 0 and filled == count) or (arg == 1 and filled == 1) or (arg == 5 and filled % 2 == 1)
        keep = keep or (arg == 2 and first and filled < count) or (arg == 3 and final and filled < count)
        keep = keep or (arg == 7 and first and final) or (arg == 8 and filled > 0)
        if arg == 4:
            colour, keep = common, filled == 0
        elif arg == 6:
            colour, keep = 0, True
            for c in range(COLOURS):
                colour = c if tmp[c] > tmp[colour] else colour
        if keep:
            cells[at + k] = colour
    follow(items, dst)
    return 1


@inner
def arranged(cells: Cells, items: Items, start: int, count: int, dst: int, tmp: Scratch) -> int:
    """Grids of one size put together as they lie, without what is between them: rows and columns of grids."""
    if count < 2 or count > SIDE * SIDE:
        return 0
    h, w = items[start, H], items[start, W]
    for n in range(SIDE * 4):
        tmp[n] = 0
    for src in range(start, start + count):
        y, x = items[src, Y], items[src, X]
        if items[src, H] != h or items[src, W] != w or y < 0 or x < 0 or y >= SIDE or x >= SIDE:
            return 0
        tmp[y], tmp[SIDE + x] = 1, 1
    rows, columns = 0, 0
    for n in range(SIDE):
        tmp[2 * SIDE + n], tmp[3 * SIDE + n] = rows, columns
        rows, columns = rows + tmp[n], columns + tmp[SIDE + n]
    at = blank(cells, items, dst, rows * h, columns * w)
    if at < 0:
        return 0
    for src in range(start, start + count):
        source = items[src, AT]
        y, x = int(tmp[2 * SIDE + items[src, Y]]) * h, int(tmp[3 * SIDE + items[src, X]]) * w
        for r in range(h):
            for c in range(w):
                cells[at + (y + r) * columns * w + x + c] = cells[source + r * w + c]
    follow(items, dst)
    return 1


@inner
def length(cells: Cells, items: Items, start: int, count: int, dst: int, arg: int, tmp: Scratch) -> int:
    """The number of items as a row (0), a column (1), a square (2), a diagonal (3) of the first's commonest colour."""
    colour = counts(cells, items[start, AT], items[start, H] * items[start, W], tmp)
    at = blank(cells, items, dst, 1 if arg == 0 else count, 1 if arg == 1 else count) if colour else -1
    if at < 0:
        return 0
    for r in range(items[dst, H]):
        for c in range(items[dst, W]):
            if arg < 3 or r == c:
                cells[at + r * items[dst, W] + c] = colour
    follow(items, dst)
    return 1


@inner
def recoloured(cells: Cells, items: Items, start: int, count: int, dst: int, arg: int, tmp: Scratch) -> int:
    """A list again, each grid in one colour: 0: 1, 2, 3 … by its place; 1: its own commonest; 2: 1, 2, 3 … by its

    number of cells, equal ones the same; 3: 1 and 2 in turn.
    """
    if count < 2 or (count > 9 and arg != 1 and arg != 3) or count > AREA:
        return 0
    for n in range(count):
        src, colour = start + n, n + 1
        h, w, source = items[src, H], items[src, W], items[src, AT]
        if arg == 1:
            colour = counts(cells, source, h * w, tmp)
        elif arg == 3:
            colour = n % 2 + 1
        elif arg == 2:
            colour = larger(cells, items, start, count, n) + 1
        at = blank(cells, items, dst + n, h, w)
        items[dst + n, Y], items[dst + n, X] = items[src, Y], items[src, X]
        for k in range(h * w):
            cells[at + k] = colour if cells[source + k] else 0
        follow(items, dst + n)
    return count


@inner
def filled_cells(cells: Cells, items: Items, src: int) -> int:
    """How many cells are not 0."""
    number = 0
    for k in range(items[src, AT], items[src, AT] + items[src, H] * items[src, W]):
        number += 1 if cells[k] != 0 else 0
    return number


@inner
def larger(cells: Cells, items: Items, start: int, count: int, n: int) -> int:
    """How many different numbers of cells the items have that are larger than that of item n."""
    own, number = filled_cells(cells, items, start + n), 0
    for m in range(count):
        size = filled_cells(cells, items, start + m)
        if size <= own:
            continue
        first = True
        for k in range(m):
            first = first and filled_cells(cells, items, start + k) != size
        number += 1 if first else 0
    return number


@inner
def placed(cells: Cells, items: Items, start: int, count: int, dst: int, arg: int, tmp: Scratch) -> int:
    """From list to grid: all laid on one canvas.

    `arg`: 0, 1: where they were cut from, on an empty canvas of the answer's deduced size (`tmp` from SIZE on), the
    last or the first on top; 2, 3: middles together on the largest, the first or the last on top.
    """
    rows, columns = int(tmp[SIZE]), int(tmp[SIZE + 1])
    if arg >= 2:
        rows, columns = 0, 0
        for src in range(start, start + count):
            rows, columns = max(rows, items[src, H]), max(columns, items[src, W])
    if count < 2 or rows == 0:
        return 0
    at = blank(cells, items, dst, rows, columns)
    for n in range(count):
        src = start + (n if arg == 0 or arg == 3 else count - 1 - n)
        h, w, source, y, x = items[src, H], items[src, W], items[src, AT], items[src, Y], items[src, X]
        if arg >= 2:
            if (rows - h) % 2 or (columns - w) % 2:
                return 0
            y, x = (rows - h) // 2, (columns - w) // 2
        for k in range(h * w):
            r, c = y + k // w, x + k % w
            if cells[source + k] != 0 and 0 <= r < rows and 0 <= c < columns:
                cells[at + r * columns + c] = cells[source + k]
    follow(items, dst)
    return 1
