"""From grid to grid by turns about a middle that is looked for: what is missing is completed.

The form of a function is that of `geometry.py`.
"""

from solver.programs.compiled import inner
from solver.programs.lists.labels import BOXES, VALUES, measured
from solver.programs.lists.layout import AT, Cells, H, Items, Scratch, W, label
from solver.programs.lists.shapes import copy, only_added

REGION_WISE = 4  # added to a group of `completed`
PLACES = VALUES + 256  # where the places of a region's cells begin in the scratch


@inner
def image(turn: int, r: int, c: int, rows: int, columns: int) -> tuple[int, int]:
    """Where a cell goes by a turn, as in `turned`, about the middle of rows `rows` / 2 and of columns `columns` / 2."""
    y, x = r, c
    if turn & 4:
        y, x = (2 * c - columns + rows) // 2, (2 * r - rows + columns) // 2
    if turn & 1:
        x = columns - x
    if turn & 2:
        y = rows - y
    return y, x


@inner
def turns_of(group: int, i: int) -> int:
    """Turn number i of a group: 0: a half turn; 1: quarter turns; 2: both diagonals; 3: all; -1: no more."""
    if group == 3:
        return i + 1 if i < 7 else -1
    if group == 0:
        return 3 if i < 1 else -1
    if i > 2:
        return -1
    if group == 1:
        return 3 if i == 0 else 4 + i
    return 3 if i == 0 else 4 if i == 1 else 7


@inner
def best_middle(
    cells: Cells, at: int, shape: tuple[int, int], size: int, group: int, box: tuple[int, int, int, int], tmp: Scratch
) -> int:
    """Twice the row and column of the middle about which most of these cells agree, none contradicts, as one number."""
    h, w = shape
    most, best, turns = 0, -1, (1 if group == 0 else 7 if group == 3 else 3)
    for rows in range(max(2 * box[0], box[0] + box[2] - 6), min(2 * box[2], box[0] + box[2] + 6) + 1):
        for columns in range(max(2 * box[1], box[1] + box[3] - 6), min(2 * box[3], box[1] + box[3] + 6) + 1):
            if group > 0 and (rows + columns) % 2:
                continue
            agree, i, left = 0, 0, 0
            while i < size and left >= 0 and agree + (size - i) * turns > most:
                r, c, j = tmp[PLACES + i] // w, tmp[PLACES + i] % w, 0
                turn = turns_of(group, 0)
                while turn > 0:
                    y, x = image(turn, r, c, rows, columns)
                    v = cells[at + y * w + x] if 0 <= y < h and 0 <= x < w else 0
                    if v != 0 and v != cells[at + r * w + c]:
                        left = -1
                        break
                    agree += v != 0
                    j += 1
                    turn = turns_of(group, j)
                i += 1
            if left >= 0 and agree > most:
                most, best = agree, rows * 128 + columns
    return best


@inner
def completed(cells: Cells, items: Items, src: int, dst: int, arg: int, tmp: Scratch) -> bool:
    """Empty cells filled by a group of turns (see `turns_of`) about the best middle, of all or REGION_WISE of each.

    Not where what is completed has more than 150 cells, nor region by region where there are more than 20: that takes
    too long.
    """
    h, w, source, group = items[src, H], items[src, W], items[src, AT], arg % REGION_WISE
    number = label(cells, source, (h, w), 1, tmp)
    if number == 0 or (number > 20 and arg >= REGION_WISE):
        return False
    if arg < REGION_WISE:
        number = 1
        for k in range(h * w):
            tmp[k] = 1 if cells[source + k] != 0 else 0
    measured((h, w), number, tmp)
    at = copy(cells, items, src, dst)
    for n in range(1, number + 1):
        size, box = 0, BOXES + 4 * n
        for k in range(h * w):
            if tmp[k] == n:
                tmp[PLACES + size] = k
                size += 1
        if size > 150:
            return False
        edges = (int(tmp[box]), int(tmp[box + 1]), int(tmp[box + 2]), int(tmp[box + 3]))
        middle = best_middle(cells, source, (h, w), size, group, edges, tmp)
        for i in range(size if middle >= 0 else 0):
            k, j = tmp[PLACES + i], 0
            while turns_of(group, j) > 0:
                y, x = image(turns_of(group, j), k // w, k % w, middle // 128, middle % 128)
                if 0 <= y < h and 0 <= x < w and cells[at + y * w + x] == 0:
                    cells[at + y * w + x] = cells[source + k]
                j += 1
    return only_added(cells, items, src, dst, 0)
