"""Functions by whole objects that belong to no other file: lines between equal ends, the box of each colour.

The forms are those of `geometry.py` (from grid to grid) and `splits.py` (from grid to list).
"""

from solver.programs.compiled import inner
from solver.programs.lists.layout import AT, COLOURS, Cells, H, Items, Scratch, W, blank, follow, part, same_place


@inner
def equal_ends(cells: Cells, items: Items, src: int, dst: int, arg: int) -> bool:
    """Lines alone that begin and end with one colour, in that colour.

    `arg`, in bits: 1: rows; 2: columns; 4: cells that are filled between stay.
    """
    h, w, source = items[src, H], items[src, W], items[src, AT]
    at = blank(cells, items, dst, h, w)
    some = False
    for across in range(2):
        if arg & (1 << across) == 0:
            continue
        step, length = (w, h) if across else (1, w)
        for n in range(w if across else h):
            begin = n if across else n * w
            v = cells[source + begin]
            if v == 0 or length < 3 or cells[source + begin + (length - 1) * step] != v:
                continue
            some = True
            for k in range(begin, begin + length * step, step):
                cells[at + k] = cells[source + k] if arg & 4 and cells[source + k] else v
    same_place(items, src, dst)
    return some


@inner
def colour_boxes(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> int:
    """What lies in the box of all cells of each colour: 0: with all colours; 1: without the box's rim; 2: the rest of
    the colours alone, in the box."""
    h, w, source = items[src, H], items[src, W], items[src, AT]
    for c in range(COLOURS):
        tmp[4 * c], tmp[4 * c + 1], tmp[4 * c + 2], tmp[4 * c + 3] = h, w, -1, -1
    for k in range(h * w):
        r, c, box = k // w, k % w, 4 * cells[source + k]
        tmp[box], tmp[box + 1] = min(tmp[box], r), min(tmp[box + 1], c)
        tmp[box + 2], tmp[box + 3] = max(tmp[box + 2], r), max(tmp[box + 3], c)
    number, rim = 0, 1 if arg == 1 else 0
    for c in range(1, COLOURS):
        high, wide = tmp[4 * c + 2] - tmp[4 * c] + 1 - 2 * rim, tmp[4 * c + 3] - tmp[4 * c + 1] + 1 - 2 * rim
        if tmp[4 * c + 2] < 0 or high < 1 or wide < 1:
            continue
        at = part(cells, items, src, dst + number, (int(tmp[4 * c]) + rim, int(tmp[4 * c + 1]) + rim, high, wide))
        if arg == 2:
            for k in range(at, at + high * wide):
                cells[k] = 0 if cells[k] == c else cells[k]
        follow(items, dst + number)
        number += 1
    return number
