"""From grid to grid by lines, repetition and symmetry: connected, drawn on, spread, completed, repeated, embedded.

The form of a function is that of `geometry.py`.
"""

from solver.programs.compiled import inner
from solver.programs.lists.geometry import turned
from solver.programs.lists.layout import (
    AT,
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
    same_place,
)  # fmt: skip
from solver.programs.lists.shapes import WHOLE, copy, only_added


@inner
def connect(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """Empty cells between two of one colour in a line take it; in bits: 1: rows; 2: columns; 4: diagonals.

    With 8 between any two colours.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    at = copy(cells, items, src, dst)
    for way in range(4):
        if arg & (4 if way > 1 else 1 << way) == 0:
            continue
        dr, dc = (0 if way == 0 else 1), (0 if way == 1 else -1 if way == 3 else 1)
        for r in range(h):
            for c in range(w):
                colour = cells[source + r * w + c]
                y, x = r + dr, c + dc
                while colour != 0 and 0 <= y < h and 0 <= x < w and cells[source + y * w + x] == 0:
                    y, x = y + dr, x + dc
                if colour == 0 or not (0 <= y < h and 0 <= x < w):
                    continue
                if arg & 8 == 0 and cells[source + y * w + x] != colour:
                    continue
                y, x = y - dr, x - dc
                while y != r or x != c:
                    cells[at + y * w + x] = colour
                    y, x = y - dr, x - dc
    return only_added(cells, items, src, dst, arg)


@inner
def rays(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """From each cell a line over empty cells: in bits the directions: 1: right; 2: left; 4: down; 8: up.

    With 32 the bits are the diagonals: 1: down right; 2: down left; 4: up right; 8: up left; with 64 the line goes over
    other cells, too, which stay.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    at = copy(cells, items, src, dst)
    for way in range(4):
        if arg & (1 << way) == 0:
            continue
        if arg & 32:
            dr, dc = (1 if way < 2 else -1), (1 if way % 2 == 0 else -1)
        else:
            dr, dc = (0 if way < 2 else 1 if way == 2 else -1), (0 if way >= 2 else 1 if way == 0 else -1)
        for r in range(h):
            for c in range(w):
                colour = cells[source + r * w + c]
                y, x = r + dr, c + dc
                while colour != 0 and 0 <= y < h and 0 <= x < w:
                    if cells[source + y * w + x] == 0:
                        cells[at + y * w + x] = colour
                    elif arg & 64 == 0:
                        break
                    y, x = y + dr, x + dc
    return only_added(cells, items, src, dst, arg & WHOLE)


@inner
def spread(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Every empty cell takes the colour of the nearest other: 0: by sides; 1: over corners, too."""
    h, w = items[src, H], items[src, W]
    at = copy(cells, items, src, dst)
    tail = 0
    for k in range(h * w):
        if cells[at + k] != 0:
            tmp[tail] = k
            tail += 1
    if tail == 0 or tail == h * w:
        return False
    head = 0
    while head < tail:
        k = tmp[head]
        head += 1
        for n in range(9):
            y, x = k // w + n // 3 - 1, k % w + n % 3 - 1
            if y < 0 or x < 0 or y >= h or x >= w or (arg == 0 and n % 2 == 0) or cells[at + y * w + x] != 0:
                continue
            cells[at + y * w + x] = cells[at + k]
            tmp[tail] = y * w + x
            tail += 1
    return True


@inner
def overlaid(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """Empty cells take what the grid shows when it is turned; 1 to 7 as in `turned`, 8: by all mirrors and turns."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    if arg >= 4 and h != w:
        return False
    at = copy(cells, items, src, dst)
    for turn in range(1, 8):
        if arg != turn and arg != 8:
            continue
        for r in range(h):
            for c in range(w):
                y, x = turned(turn, r, c, h, w)
                if cells[at + r * w + c] == 0:
                    cells[at + r * w + c] = cells[source + y * w + x]
    return only_added(cells, items, src, dst, 0)


@inner
def mirror_fits(cells: Cells, at: int, shape: tuple[int, int], axis: int, down: bool) -> int:
    """Cells that agree with their mirror image about line `axis` / 2, where none contradicts; -1 where one does."""
    h, w = shape
    agree = 0
    for r in range(h):
        for c in range(w):
            y, x = (axis - r, c) if down else (r, axis - c)
            if 0 <= y < h and 0 <= x < w:
                a, b = cells[at + r * w + c], cells[at + y * w + x]
                if a != b and a != 0 and b != 0:
                    return -1
                agree += a == b and a != 0
    return agree


@inner
def symmetric(cells: Cells, items: Items, src: int, dst: int) -> bool:
    """Empty cells filled from mirror images about the best row line and column line that nothing contradicts."""
    h, w = items[src, H], items[src, W]
    at = copy(cells, items, src, dst)
    for down in (True, False):
        length = h if down else w
        best, line = 0, -1
        for axis in range(length // 2, length + length // 2 + 1):
            agree = mirror_fits(cells, at, (h, w), axis, down)
            if agree > best:
                best, line = agree, axis
        if line < 0:
            continue
        for r in range(h):
            for c in range(w):
                y, x = (line - r, c) if down else (r, line - c)
                if 0 <= y < h and 0 <= x < w and cells[at + r * w + c] == 0:
                    cells[at + r * w + c] = cells[at + y * w + x]
    return only_added(cells, items, src, dst, 0)


@inner
def period(cells: Cells, at: int, shape: tuple[int, int], step: tuple[int, int], tmp: Scratch) -> bool:
    """Whether the grid repeats after these rows and columns, empty cells apart; the tile it repeats is in `tmp`."""
    h, w = shape
    rows, columns = step
    for k in range(rows * columns):
        tmp[k] = 0
    for r in range(h):
        for c in range(w):
            v = cells[at + r * w + c]
            k = r % rows * columns + c % columns
            if v != 0 and tmp[k] != 0 and tmp[k] != v:
                return False
            if v != 0:
                tmp[k] = v
    empty = 0
    for k in range(rows * columns):
        empty += 1 if tmp[k] == 0 else 0
    return empty == 0


@inner
def tile(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """The smallest tile that the grid repeats: 0: the grid with empty cells filled by it; 1: the tile itself.

    2: columns alone repeat, 3: rows alone do, with empty cells filled.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    for size in range(2, h + w):
        for rows in range(max(1, size - w), min(h, size - 1) + 1):
            columns = size - rows
            if (arg == 2 and rows != h) or (arg == 3 and columns != w) or (arg == 1 and (h % rows or w % columns)):
                continue
            if rows * columns * 2 > h * w or not period(cells, source, (h, w), (rows, columns), tmp):
                continue
            high, wide = (rows, columns) if arg == 1 else (h, w)
            at = blank(cells, items, dst, high, wide)
            for r in range(high):
                for c in range(wide):
                    cells[at + r * wide + c] = tmp[r % rows * columns + c % columns]
            same_place(items, src, dst)
            return True
    return False


@inner
def fractal(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """The grid for each of its own cells: 0: that is not 0; 1: that is 0; 2: of the commonest colour; 3: of the rarest.

    4: in place of each cell the cells of the whole in that cell's colour.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    common = counts(cells, source, h * w, tmp)
    rare = common
    for c in range(1, 10):
        if tmp[c] > 0 and tmp[c] < tmp[rare]:
            rare = c
    at = blank(cells, items, dst, h * h, w * w) if common else -1
    if at < 0:
        return False
    for r in range(h * h):
        for c in range(w * w):
            v = cells[source + r // h * w + c // w]
            put = (v != 0) == (arg != 1) if arg < 2 or arg == 4 else v == (common if arg == 2 else rare)
            inner_cell = cells[source + r % h * w + c % w]
            if put and inner_cell != 0:
                cells[at + r * w * w + c] = v if arg == 4 else inner_cell
    return True


@inner
def blocks(cells: Cells, items: Items, src: int, dst: int, tmp: Scratch) -> bool:
    """Each cell of a canvas of the answer's deduced size in the commonest colour of its block of the grid."""
    h, w, source, rows, columns = items[src, H], items[src, W], items[src, AT], tmp[SIZE], tmp[SIZE + 1]
    if h % rows or w % columns or h * w == rows * columns:
        return False
    at, high, wide = blank(cells, items, dst, rows, columns), h // rows, w // columns
    for r in range(rows):
        for c in range(columns):
            for k in range(10):
                tmp[k] = 0
            for k in range(high * wide):
                tmp[cells[source + (r * high + k // wide) * w + c * wide + k % wide]] += 1
            best = 0
            for k in range(1, 10):
                best = k if tmp[k] > tmp[best] else best
            cells[at + r * columns + c] = best
    return True


@inner
def embed(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """The grid on an empty canvas of the answer's deduced size.

    0: where it was cut from; 1: in the middle; 2: at the top left; 3: repeated; 4: repeated mirrored; 5: scaled;
    6: every other cell of the canvas apart; 7: repeated from the place it was cut from; 8: for each cell the commonest
    colour of its block of the grid.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    rows, columns = int(tmp[SIZE]), int(tmp[SIZE + 1])
    if rows == 0 or (rows == h and columns == w and (arg != 0 or (items[src, Y] == 0 and items[src, X] == 0))):
        return False
    if arg == 8:
        return blocks(cells, items, src, dst, tmp)
    if arg == 5 and (rows % h or columns % w):
        return False
    y0, x0 = 0, 0
    if arg == 0 or arg == 7:
        y0, x0 = items[src, Y], items[src, X]
    elif arg == 1:
        y0, x0 = (rows - h) // 2, (columns - w) // 2
    if arg == 1 and ((rows - h) % 2 or (columns - w) % 2):
        return False
    at = blank(cells, items, dst, rows, columns)
    for r in range(rows):
        for c in range(columns):
            y, x = r - y0, c - x0
            if arg == 3 or arg == 7:
                y, x = y % h, x % w
            elif arg == 4:
                y = r % h if r // h % 2 == 0 else h - 1 - r % h
                x = c % w if c // w % 2 == 0 else w - 1 - c % w
            elif arg == 5:
                y, x = r * h // rows, c * w // columns
            elif arg == 6:
                y, x = (r // 2 if r % 2 == 0 else -1), (c // 2 if c % 2 == 0 else -1)
            if 0 <= y < h and 0 <= x < w:
                cells[at + r * columns + c] = cells[source + y * w + x]
    return True
