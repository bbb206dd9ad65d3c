"""States against the demonstrations' outputs: which are right, which are pieces, which tell them together."""

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from solver.programs.bits import ones
from solver.programs.compiled import entry, inner
from solver.programs.lists.apply import KIND, LABEL, LIST, STATES, STORE, Store, has_size, mixed
from solver.programs.lists.layout import AT, H, W
from solver.programs.lists.units import CELLS, ROWS

RIGHT, FITTING, PIECES, SEEN = range(4)  # what `heads` counts
WORDS = types.Array(types.uint64, 2, "C")
LONGS = types.Array(types.int64, 1, "C")
HASHES = types.Array(types.uint64, 1, "C")


class Board(NamedTuple):
    """What is known of the states so far. D demonstrations, P pairs.

    `outputs`: cells of the demonstrations' outputs, one after another; `at`: shape [D + 1], where each begins, all of
    them; `shape`: shape [P, 2], rows and columns of the answers, 0 where not known. `right`: rows of a state, and
    which of its items, that is right on every demonstration; `fitting`: rows of state and item of the answers'
    sizes; `pieces`: those of them that show something right that is not 0, each distinct way of it once; `shows`,
    `wrong`: for each piece a bit for each cell of the outputs: filled and right, filled and wrong. `hashes`: open table
    of the pieces. `heads`: the counters above.
    """

    outputs: NDArray[np.uint8]
    at: NDArray[np.int64]
    shape: NDArray[np.int32]
    right: NDArray[np.int32]
    fitting: NDArray[np.int32]
    pieces: NDArray[np.int32]
    shows: NDArray[np.uint64]
    wrong: NDArray[np.uint64]
    hashes: NDArray[np.uint64]
    heads: NDArray[np.int64]


BOARD = types.NamedTuple((CELLS, LONGS, ROWS, ROWS, ROWS, ROWS, WORDS, WORDS, HASHES, LONGS), Board)
MOST_OF_LIST = 6  # grids of a list that are looked at, from its first


@inner
def right_on(store: Store, board: Board, state: int, item: int) -> int:
    """The demonstrations whose output this is, a bit each."""
    mask = 0
    for pair in range(board.at.shape[0] - 1):
        src = store.first[state, pair] + item
        same = store.items[src, H] == board.shape[pair, 0] and store.items[src, W] == board.shape[pair, 1]
        begin, at = board.at[pair], store.items[src, AT]
        k = begin
        while same and k < board.at[pair + 1]:
            same = board.outputs[k] == store.cells[at + k - begin]
            k += 1
        if same:
            mask |= 1 << pair
    return mask


@inner
def add_piece(store: Store, board: Board, state: int, item: int) -> None:
    """Keep it as a piece where it shows something right, in a way no piece before did."""
    piece = board.heads[PIECES]
    if piece == board.pieces.shape[0]:
        return
    board.shows[piece, :] = 0
    board.wrong[piece, :] = 0
    for pair in range(board.at.shape[0] - 1):
        begin = board.at[pair]
        at = int(store.items[store.first[state, pair] + item, AT])
        for k in range(begin, board.at[pair + 1]):
            v = store.cells[at + k - begin]
            if v != 0:
                bit = np.uint64(1) << np.uint64(k & 63)
                if v == board.outputs[k]:
                    board.shows[piece, k >> 6] |= bit
                else:
                    board.wrong[piece, k >> 6] |= bit
    shown, value = np.uint64(0), np.uint64(1)
    for k in range(board.shows.shape[1]):
        shown |= board.shows[piece, k]
        value = mixed(mixed(value, board.shows[piece, k]), board.wrong[piece, k])
    if shown == 0:
        return
    mask = np.int64(board.hashes.shape[0] - 1)
    place = np.int64(value & np.uint64(mask))
    while board.hashes[place] != 0:
        if board.hashes[place] == value:
            return
        place = (place + 1) & mask
    board.hashes[place] = value
    board.pieces[piece, 0], board.pieces[piece, 1] = state, item
    board.heads[PIECES] = piece + 1


@entry(types.void(STORE, BOARD))
def survey(store: Store, board: Board) -> None:
    """Look at all states since the last time."""
    heads, pairs = board.heads, board.shape.shape[0]
    every = (1 << (board.at.shape[0] - 1)) - 1
    for state in range(heads[SEEN], store.heads[STATES]):
        number = 1
        if store.facts[state, KIND] == LIST:
            number = MOST_OF_LIST
            for pair in range(pairs):
                number = min(number, store.number[state, pair])
        for item in range(number):
            if right_on(store, board, state, item) == every and heads[RIGHT] < board.right.shape[0]:
                row = heads[RIGHT]
                board.right[row, 0], board.right[row, 1] = state, item
                heads[RIGHT] = row + 1
            if heads[FITTING] < board.fitting.shape[0] and has_size(store, state, item):
                row = heads[FITTING]
                board.fitting[row, 0], board.fitting[row, 1] = state, item
                heads[FITTING] = row + 1
                if store.facts[state, KIND] != LABEL:
                    add_piece(store, board, state, item)
    heads[SEEN] = store.heads[STATES]


@inner
def gain(board: Board, piece: int, covered: NDArray[np.uint64]) -> int:
    """Cells that a piece adds rightly under those covered; -1 where it adds a wrong one."""
    number = 0
    for k in range(covered.shape[0]):
        if board.wrong[piece, k] & ~covered[k] != 0:
            return -1
        number += ones(board.shows[piece, k] & ~covered[k])
    return number


@entry(types.int64(BOARD, types.int64, types.int64, types.int64, LONGS, HASHES))
def stack(
    board: Board, first: int, most: int, pieces: int, chosen: NDArray[np.int64], covered: NDArray[np.uint64]
) -> int:
    """Lay pieces under `first`, each time the one that adds most and nothing wrong; how many, or 0: cells stay open.

    `pieces`: how many are to choose from; `most`: how many a stack has at most. `chosen`: the pieces from the top;
    `covered`: scratch of a word for each 64 cells.
    """
    covered[:] = 0
    if gain(board, first, covered) <= 0:
        return 0
    need = 0
    for k in range(int(board.at[board.at.shape[0] - 1])):
        need += 1 if board.outputs[k] != 0 else 0
    number, best = 0, first
    while number < most:
        chosen[number] = best
        number += 1
        covered_cells = 0
        for k in range(covered.shape[0]):
            covered[k] |= board.shows[best, k]
            covered_cells += ones(covered[k])
        if covered_cells == need:
            return number
        most_added, best = 0, -1
        for piece in range(pieces):
            added = gain(board, piece, covered)
            if added > most_added:
                most_added, best = added, piece
        if best < 0:
            return 0
    return 0


@entry(types.int64(STORE, BOARD, LONGS, types.int64, CELLS, HASHES))
def cell_rows(
    store: Store, board: Board, order: NDArray[np.int64], most: int, cells: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
) -> int:  # fmt: skip
    """Fitting states' cells in `order`, those of all test inputs after them; how many rows of cells.

    A state that tells the same cells apart as one before has none: `hashes` is the open table of those. `cells`: for
    each row the number of the fitting state (4 bytes, the lowest first), then its cells; as many rows as have room.
    """
    number, fitting = 0, board.heads[FITTING]
    demonstrations, pairs = board.at.shape[0] - 1, board.shape.shape[0]
    total = board.at[demonstrations]
    size = total
    for pair in range(demonstrations, pairs):
        size += board.shape[pair, 0] * board.shape[pair, 1]
    own = np.zeros(size, np.uint8)
    mask = np.int64(hashes.shape[0] - 1)
    for row in range(fitting):
        if number == most:
            break
        state, item, k = board.fitting[row, 0], board.fitting[row, 1], 0
        for pair in range(pairs):
            src = store.first[state, pair] + item
            for n in range(store.items[src, AT], store.items[src, AT] + store.items[src, H] * store.items[src, W]):
                own[k] = store.cells[n]
                k += 1
        value, names, named = np.uint64(1), np.zeros(10, np.int64), 0
        for k in range(size):
            if names[own[k]] == 0:
                named += 1
                names[own[k]] = named
            value = mixed(value, np.uint64(names[own[k]]))
        place = np.int64(value & np.uint64(mask))
        while hashes[place] != 0 and hashes[place] != value:
            place = (place + 1) & mask
        if hashes[place] == value or (number + 1) * (size + 4) > cells.shape[0]:
            continue
        hashes[place] = value
        begin = number * (size + 4)
        for k in range(4):
            cells[begin + k] = (row >> (8 * k)) & 255
        for k in range(size):
            cells[begin + 4 + k] = own[order[k]] if k < total else own[k]
        number += 1
    return number


@inner
def table_entries(
    cells: NDArray[np.uint8], rows: tuple[int, int, int], outputs: NDArray[np.uint8], size: int,
    table: NDArray[np.uint8], marks: NDArray[np.int32], mark: int,
) -> int:  # fmt: skip
    """How many different colours three rows of cells show together, where these tell every output's cell; else -1.

    0 where the tests, whose cells follow up to `size`, show others. `rows`: where their cells begin; `table`, `marks`:
    scratch, 4096 each; `mark`: another one each time.
    """
    a, b, third = rows
    total, k, entries = outputs.shape[0], 0, 0
    while k < total:
        at = (int(cells[third + k]) * 16 + int(cells[a + k])) * 16 + int(cells[b + k])
        if marks[at] != mark:
            marks[at], table[at] = mark, outputs[k]
            entries += 1
        elif table[at] != outputs[k]:
            return -1
        k += 1
    while k < size:
        if marks[(int(cells[third + k]) * 16 + int(cells[a + k])) * 16 + int(cells[b + k])] != mark:
            return 0
        k += 1
    return entries


@entry(types.int64(BOARD, LONGS, CELLS, types.int64, types.int64, types.int64, ROWS))
def tables(
    board: Board, order: NDArray[np.int64], cells: NDArray[np.uint8], size: int, first: int, end: int,
    hits: NDArray[np.int32],
) -> int:  # fmt: skip
    """Two or three rows of cells whose colours tell every output's cell, and show in a test what they showed before.

    The first of them is one from `first` to before `end`, the second none after it, the third the first of all.
    `hits`: the three rows of cells and how many different colours they show together; as many as have room, the first
    found; at most half of them have three different rows, the others have the second twice.
    """
    total, found, threes, mark = order.shape[0], 0, 0, 0
    table, marks = np.zeros(4096, np.uint8), np.zeros(4096, np.int32)
    outputs = np.zeros(total, np.uint8)
    for k in range(total):
        outputs[k] = board.outputs[order[k]]
    for one in range(first, end):
        for other in range(one + 1):
            a, b, mark = one * (size + 4) + 4, other * (size + 4) + 4, mark + 2
            three = 0
            if threes < hits.shape[0] // 2:
                three = table_entries(cells, (a, b, 4), outputs, size, table, marks, mark)
                if three < 0:
                    continue
            two = table_entries(cells, (a, b, b), outputs, size, table, marks, mark + 1)
            if two <= 0 and (three <= 0 or other == one or other == 0):
                continue
            threes += 1 if two <= 0 else 0
            hits[found, 2], hits[found, 3] = (other, two) if two > 0 else (0, three)
            hits[found, 0], hits[found, 1] = one, other
            found += 1
            if found == hits.shape[0]:
                return found
    return found
