"""From grid to grid without regard to shapes: turned, cut, mirrored, scaled, shifted, lines of it dropped or ordered.

Every function here has one form: it reads item `src`, writes item `dst`, whose place in the arena is set, and says
whether it applies; `arg` chooses among its variants, as `functions.py` names them.
"""

from solver.programs.compiled import inner
from solver.programs.lists.layout import (
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
    bounds,
    counts,
    part,
    same_place,
)  # fmt: skip


@inner
def turned(arg: int, r: int, c: int, h: int, w: int) -> tuple[int, int]:
    """Where the cell (r, c) of a grid turned by `arg` comes from in the grid of h rows and w columns before.

    `arg`: 1: columns reversed; 2: rows reversed; 4: transposed first; 0 to 7.
    """
    if arg & 4:
        y, x = c, r
    else:
        y, x = r, c
    if arg & 1:
        x = w - 1 - x
    if arg & 2:
        y = h - 1 - y
    return y, x


@inner
def rigid(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """The grid turned or mirrored."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    rows, columns = (w, h) if arg & 4 else (h, w)
    at = blank(cells, items, dst, rows, columns)
    for r in range(rows):
        for c in range(columns):
            y, x = turned(arg, r, c, h, w)
            cells[at + r * columns + c] = cells[source + y * w + x]
    same_place(items, src, dst)
    return True


@inner
def crop(cells: Cells, items: Items, src: int, dst: int) -> bool:
    """The smallest box with all cells that are not 0."""
    box = bounds(cells, items[src, AT], items[src, H], items[src, W])
    return box[2] > 0 and part(cells, items, src, dst, box) >= 0


@inner
def section(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """A half (0 to 3: left, right, top, bottom), a quarter (4 to 7), a third (8 to 13), all but the rim (14).

    The middle line of an odd number of lines is left out of halves and quarters; thirds leave up to 2 lines between.
    """
    h, w = items[src, H], items[src, W]
    if arg == 14:
        return h > 2 and w > 2 and part(cells, items, src, dst, (1, 1, h - 2, w - 2)) >= 0
    if arg >= 8:
        k, length = (arg - 8) % 3, (w if arg < 11 else h)
        size = length // 3
        step = (length - size) // 2
        if size == 0 or step * 2 + size != length:
            return False
        box = (0, k * step, h, size) if arg < 11 else (k * step, 0, size, w)
        return part(cells, items, src, dst, box) >= 0
    rows, columns = h, w
    if arg >= 2:
        rows = h // 2
    if arg < 2 or arg >= 4:
        columns = w // 2
    lower = arg == 3 or arg == 6 or arg == 7
    right = arg == 1 or arg == 5 or arg == 7
    y, x = (h - rows if lower else 0), (w - columns if right else 0)
    return rows > 0 and columns > 0 and part(cells, items, src, dst, (y, x, rows, columns)) >= 0


@inner
def composite(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """The grid beside copies of itself, turned.

    0, 1: mirrored to the right, to the left; 2, 3: downwards, upwards; 4, 5: both ways, the grid at the top left, at
    the bottom right; 6: four copies; 7, 8: two copies beside, below each other; 9: turned about the middle; 10, 11:
    mirrored at the last row, at the last column, which stand once.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    wide = arg != 2 and arg != 3 and arg != 8 and arg != 10
    high = arg != 0 and arg != 1 and arg != 7 and arg != 11
    once = 1 if arg >= 10 else 0
    if arg == 9 and h != w:
        return False
    rows, columns = (2 * h - once if high else h), (2 * w - once if wide else w)
    at = blank(cells, items, dst, rows, columns)
    if at < 0:
        return False
    first = arg == 1 or arg == 3 or arg == 5
    for r in range(rows):
        for c in range(columns):
            turn = 0
            if arg < 6:
                turn = (1 if (c >= w) != first and wide else 0) + (2 if (r >= h) != first and high else 0)
            elif arg == 9:
                turn = (0 if c < w else 5) if r < h else (6 if c < w else 3)
            y, x = turned(turn, r % h, c % w, h, w)
            if once:
                y, x = min(r, 2 * h - 2 - r), min(c, 2 * w - 2 - c)
            cells[at + r * columns + c] = cells[source + y * w + x]
    return True


@inner
def scale(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Each cell as a block: 2, 3, 4: of that side; 0: of its own shape; 1: as large as it has colours."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    high, wide = arg, arg
    if arg == 0:
        high, wide = h, w
    elif arg == 1:
        counts(cells, source, h * w, tmp)
        high = 0
        for c in range(1, COLOURS):
            high += tmp[c] > 0
        wide = high
    if high * wide < 2:
        return False
    at = blank(cells, items, dst, h * high, w * wide)
    if at < 0:
        return False
    for r in range(h * high):
        for c in range(w * wide):
            cells[at + r * w * wide + c] = cells[source + r // high * w + c // wide]
    return True


@inner
def shrink(cells: Cells, items: Items, src: int, dst: int) -> bool:
    """The grid whose scaling up this is, by the largest factor."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    for k in range(max(h, w), 1, -1):
        if h % k or w % k:
            continue
        same = True
        for r in range(h):
            for c in range(w):
                if cells[source + r * w + c] != cells[source + r // k * k * w + c // k * k]:
                    same = False
                    break
            if not same:
                break
        if same:
            at = blank(cells, items, dst, h // k, w // k)
            for r in range(h // k):
                for c in range(w // k):
                    cells[at + r * (w // k) + c] = cells[source + r * k * w + c * k]
            return True
    return False


@inner
def shift(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """All cells one step on: 0 to 3: right, left, down, up, with 0 coming in; 4 to 7: what leaves comes in again."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    step, down = (1 if arg % 2 == 0 else -1), arg % 4 >= 2
    at = blank(cells, items, dst, h, w)
    for r in range(h):
        for c in range(w):
            y, x = (r - step, c) if down else (r, c - step)
            if arg >= 4:
                y, x = (y + h) % h, (x + w) % w
            if 0 <= y < h and 0 <= x < w:
                cells[at + r * w + c] = cells[source + y * w + x]
    same_place(items, src, dst)
    return True


@inner
def widen(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """One line more on every side: 0: empty; 1: what the rim shows; 2: of the colour of the first cell inside."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    at = blank(cells, items, dst, h + 2, w + 2)
    if at < 0:
        return False
    for r in range(h + 2):
        for c in range(w + 2):
            y, x = min(max(r - 1, 0), h - 1), min(max(c - 1, 0), w - 1)
            if (y == r - 1 and x == c - 1) or arg == 1:
                cells[at + r * (w + 2) + c] = cells[source + y * w + x]
            elif arg == 2:
                cells[at + r * (w + 2) + c] = cells[source]
    items[dst, Y], items[dst, X] = items[src, Y] - 1, items[src, X] - 1
    return True


@inner
def kept_lines(cells: Cells, items: Items, src: int, arg: int, tmp: Scratch) -> tuple[int, int]:
    """Rows (from 100) and columns (from 200) of `tmp` that stay when lines are dropped, and how many of each."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    rows, columns = 0, 0
    for r in range(h):
        keep = arg == 1 and r == 0
        for c in range(w):
            k = source + r * w + c
            keep = keep or (cells[k] != 0 if arg == 0 else cells[k] != cells[k - w] if arg == 1 else False)
            keep = keep or (arg == 2 and cells[k] != cells[source + r * w])
        if keep:
            tmp[100 + rows] = r
            rows += 1
    for c in range(w):
        keep = arg == 1 and c == 0
        for r in range(h):
            k = source + r * w + c
            keep = keep or (cells[k] != 0 if arg == 0 else cells[k] != cells[k - 1] if arg == 1 else False)
            keep = keep or (arg == 2 and cells[k] != cells[source + c])
        if keep:
            tmp[200 + columns] = c
            columns += 1
    return rows, columns


@inner
def squeeze(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Without some rows and columns: 0: empty ones; 1: those that repeat the one before; 2: those of one colour."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    rows, columns = kept_lines(cells, items, src, arg, tmp)
    if rows == 0 or columns == 0 or (rows == h and columns == w):
        return False
    at = blank(cells, items, dst, rows, columns)
    for r in range(rows):
        for c in range(columns):
            cells[at + r * columns + c] = cells[source + tmp[100 + r] * w + tmp[200 + c]]
    return True


@inner
def line_order(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Rows (0, 1) or columns (2, 3) by their number of cells that are not 0, the fewest first or last."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    lines, length = (h, w) if arg < 2 else (w, h)
    for n in range(lines):
        tmp[n] = 0
        for k in range(length):
            tmp[n] += cells[source + (n * w + k if arg < 2 else k * w + n)] != 0
        if arg % 2:
            tmp[n] = -tmp[n]
    at = blank(cells, items, dst, h, w)
    for n in range(lines):
        rank = 0
        for m in range(lines):
            rank += tmp[m] < tmp[n] or (tmp[m] == tmp[n] and m < n)
        for k in range(length):
            cells[at + (rank * w + k if arg < 2 else k * w + rank)] = cells[
                source + (n * w + k if arg < 2 else k * w + n)
            ]
    return True
