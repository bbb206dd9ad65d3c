"""More labels: which of the panels between lines a cell is in, where in it, and what others show at the same place.

As in `labels.py`: numbers from 1 to 9, 0 for none, that tables tell cells apart by; what lies on the lines has none.
The form of a function is that of `geometry.py`.
"""

from solver.programs.compiled import inner
from solver.programs.lists.layout import AT, Cells, H, Items, Scratch, W, blank, same_place
from solver.programs.lists.splits import separators

MOST = 64  # panels
ROWS, PLACES = 300, 364  # in the scratch: for each row, then each column, its panel's and its own in it; -1: a line
FILLED, COLOURED = 500, 600  # there for each panel its filled cells; cells of each of the ten colours
BEGINS = 1300  # there for each panel row, and 32 further on for each panel column, where it begins
PANELS = (
    "panel", "row of panels", "column of panels", "row in its panel", "column in its panel",
    "filled cells of its panel",
    "most filled panel", "least filled panel", "commonest of its panel", "rarest of its panel", "colours of its panel",
    "panels equal to its own", "same place of the first panel", "same place of the last panel",
    "same place of the most filled panel", "same place of the least filled panel", "same place of any panel",
    "panels filled at its place", "same place in its row of panels", "same place in its column of panels",
    "its panel's cell of the first panel", "its panel's cell of the most filled panel",
    "its panel's cell of the least filled panel",
)  # fmt: skip


@inner
def find_panels(cells: Cells, items: Items, src: int, arg: int, tmp: Scratch) -> tuple[int, int]:
    """Panels down and across, (0, 0) where there are none; fills the scratch from ROWS on. `arg`: see `separators`."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    rows, columns, _ = separators(cells, items, src, arg, tmp)
    if rows + columns == 0 or rows == h or columns == w:
        return 0, 0
    high, wide = 0, 0
    for across in range(2):
        number, begin = 0, 0
        for k in range(w if across else h):
            if tmp[100 * (1 + across) + k]:
                tmp[ROWS + 32 * across + k] = -1
                continue
            if k == 0 or tmp[ROWS + 32 * across + k - 1] < 0:
                number, begin = number + 1, k
                if number <= 30:
                    tmp[BEGINS + 32 * across + number - 1] = k
            tmp[ROWS + 32 * across + k] = number - 1
            tmp[PLACES + 32 * across + k] = k - begin
        if across:
            wide = number
        else:
            high = number
    if high * wide < 2 or high * wide > MOST:
        return 0, 0
    for p in range(high * wide):
        tmp[FILLED + p] = 0
        for c in range(10):
            tmp[COLOURED + 10 * p + c] = 0
    for k in range(h * w):
        down, across, v = tmp[ROWS + k // w], tmp[ROWS + 32 + k % w], cells[source + k]
        if down >= 0 and across >= 0:
            tmp[FILLED + down * wide + across] += v != 0
            tmp[COLOURED + 10 * (down * wide + across) + v] += 1
    return high, wide


@inner
def cell_of(cells: Cells, items: Items, src: int, panel: tuple[int, int], place: tuple[int, int], tmp: Scratch) -> int:
    """What a panel, its row and column among them, shows at a row and column of its own; -1: it ends before."""
    r, c = tmp[BEGINS + panel[0]] + place[0], tmp[BEGINS + 32 + panel[1]] + place[1]
    if r >= items[src, H] or c >= items[src, W] or tmp[ROWS + r] != panel[0] or tmp[ROWS + 32 + c] != panel[1]:
        return -1
    return int(cells[items[src, AT] + r * items[src, W] + c])


@inner
def of_panel(p: int, number: int, arg: int, tmp: Scratch) -> int:
    """Of panel p: see PANELS, 5 to 10."""
    filled = tmp[FILLED + p]
    if arg == 5:
        return int(filled) + 1
    if arg < 8:
        for q in range(number):
            if (tmp[FILLED + q] > filled and arg == 6) or (tmp[FILLED + q] < filled and arg == 7):
                return 1
        return 2
    best, rare, colours = 0, 0, 1
    for c in range(1, 10):
        n = tmp[COLOURED + 10 * p + c]
        if n > 0:
            colours += 1
            best = c if best == 0 or n > tmp[COLOURED + 10 * p + best] else best
            rare = c if rare == 0 or n < tmp[COLOURED + 10 * p + rare] else rare
    return best if arg == 8 else rare if arg == 9 else colours


@inner
def equal_panels(cells: Cells, items: Items, src: int, shape: tuple[int, int], p: int, tmp: Scratch) -> int:
    """How many panels show the same as panel p, which is one of them."""
    number = 0
    for q in range(shape[0] * shape[1]):
        same = tmp[FILLED + q] == tmp[FILLED + p]
        y = 0
        while same and (
            cell_of(cells, items, src, (p // shape[1], p % shape[1]), (y, 0), tmp) >= 0
            or cell_of(cells, items, src, (q // shape[1], q % shape[1]), (y, 0), tmp) >= 0
        ):
            x, one = 0, 0
            while same and one >= 0:
                one = cell_of(cells, items, src, (p // shape[1], p % shape[1]), (y, x), tmp)
                same = one == cell_of(cells, items, src, (q // shape[1], q % shape[1]), (y, x), tmp)
                x += 1
            y += 1
        number += 1 if same else 0
    return number


@inner
def same_place_of(
    cells: Cells, items: Items, src: int, shape: tuple[int, int], k: int, what: tuple[int, int], tmp: Scratch
) -> int:
    """What other panels show where cell k is in its own. `what`: see PANELS, 12 to 22, and the panel it is about."""
    (high, wide), (arg, chosen) = shape, what
    w = items[src, W]
    down, across = tmp[ROWS + k // w], tmp[ROWS + 32 + k % w]
    y, x = tmp[PLACES + k // w], tmp[PLACES + 32 + k % w]
    if arg >= 20:
        return max(cell_of(cells, items, src, (chosen // wide, chosen % wide), (down, across), tmp), 0)
    if arg < 16:
        return max(cell_of(cells, items, src, (chosen // wide, chosen % wide), (y, x), tmp), 0)
    filled, first = 0, 0
    for p in range(high * wide):
        if (arg == 18 and p // wide != down) or (arg == 19 and p % wide != across):
            continue
        v = cell_of(cells, items, src, (p // wide, p % wide), (y, x), tmp)
        if v > 0:
            filled, first = filled + 1, v if first == 0 else first
    return filled + 1 if arg == 17 else first


@inner
def of_panels(cells: Cells, items: Items, src: int, dst: int, lines: int, arg: int, tmp: Scratch) -> bool:
    """Every cell by its panel, its place in it, or what other panels show there; see PANELS. `lines`: 1: empty ones."""
    h, w = items[src, H], items[src, W]
    high, wide = find_panels(cells, items, src, lines, tmp)
    if high == 0:
        return False
    number, chosen, values = high * wide, 0, BEGINS + 64
    for p in range(number):
        if arg == 14 or arg == 21:
            chosen = p if tmp[FILLED + p] > tmp[FILLED + chosen] else chosen
        elif arg == 15 or arg == 22:
            chosen = p if tmp[FILLED + p] < tmp[FILLED + chosen] else chosen
        if 5 <= arg < 12:
            own = of_panel(p, number, arg, tmp) if arg < 11 else equal_panels(cells, items, src, (high, wide), p, tmp)
            tmp[values + p] = own
    if arg == 13:
        chosen = number - 1
    at = blank(cells, items, dst, h, w)
    some = False
    for k in range(h * w):
        down, across = tmp[ROWS + k // w], tmp[ROWS + 32 + k % w]
        if down < 0 or across < 0:
            continue
        p = down * wide + across
        if arg < 3:
            value = 1 + (p if arg == 0 else down if arg == 1 else across)
        elif arg < 5:
            value = 1 + (tmp[PLACES + k // w] if arg == 3 else tmp[PLACES + 32 + k % w])
        elif arg < 12:
            value = tmp[values + p]
        else:
            value = same_place_of(cells, items, src, (high, wide), k, (arg, chosen), tmp)
        cells[at + k] = min(value, 9)
        some = some or value != 0
    same_place(items, src, dst)
    return some
