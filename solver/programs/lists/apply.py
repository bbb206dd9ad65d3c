"""One function applied to one state: which compiled function a number stands for, and the parts of a state in turn."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from solver.programs.compiled import inner
from solver.programs.lists.layout import AREA, AT, LABELS, SIZE, SPLITS, Cells, H, Items, Scratch, W, X, Y
from solver.programs.lists.units import CELLS, ROWS, SCRATCH

MOST_ITEMS = 96  # of a list
COST, PARENT, FUNCTION, KIND = range(4)
GRID, LIST, LABEL = range(3)  # kinds of states
STATES, ITEMS, TOP, TOTAL, CLASS, STATE, NEXT, APPLIED, KNOWN = range(9)  # what `heads` counts


class Store(NamedTuple):
    """All states of one search. S states, P pairs (demonstrations, then test inputs), F functions.

    `cells`: the arena; `words`: the same memory, eight cells at once; `items`: see `layout.py`. `first`, `number`:
    shape [S, P], where a state's items of a pair begin, how many there are. `facts`: shape [S, 4]: cost, parent,
    function, kind. `hashes`: open table of the states' hashes, 0 empty. `functions`: shape [F, 3], by
    cost. `begins`: for each cost where its states begin; `classes`: where its functions begin. `size`: shape [P, 2],
    rows and columns of the answer, 0 where not known. `heads`: the counters above.
    """

    cells: Cells
    words: NDArray[np.uint64]
    items: Items
    first: NDArray[np.int32]
    number: NDArray[np.int32]
    facts: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    functions: NDArray[np.int32]
    begins: NDArray[np.int64]
    classes: NDArray[np.int64]
    size: NDArray[np.int32]
    heads: NDArray[np.int64]
    scratch: Scratch


STORE = types.NamedTuple(
    (
        CELLS, types.Array(types.uint64, 1, "C"), ROWS, ROWS, ROWS, ROWS, types.Array(types.uint64, 1, "C"), ROWS,
        types.Array(types.int64, 1, "C"), types.Array(types.int64, 1, "C"), ROWS, types.Array(types.int64, 1, "C"),
        SCRATCH,
    ),
    Store,
)  # fmt: skip
Unit = Callable[[Cells, Items, int, int, int, int, Scratch], int]
Units = tuple[Unit, Unit, Unit, Unit, Unit, Unit, Unit, Unit, Unit]


@inner
def has_size(store: Store, state: int, item: int) -> bool:
    """Whether a state's items of this number have the answers' sizes; never where these are not known."""
    for pair in range(store.first.shape[1]):
        src = store.first[state, pair] + item
        if store.items[src, H] != store.size[pair, 0] or store.items[src, W] != store.size[pair, 1]:
            return False
    return True


@inner
def applied(store: Store, units: Units, state: int, function: int) -> bool:
    """Write after the last state the items that the function makes of a state; whether it applies to every pair."""
    unit, which = store.functions[function, 0], store.functions[function, 1]
    is_list, cells, items = store.facts[state, KIND] == LIST, store.cells, store.items
    if (is_list and unit in (LABELS, SPLITS)) or (unit > SPLITS and not is_list):
        return False
    if unit == LABELS and not has_size(store, state, 0):
        return False
    new, dst, longest = store.heads[STATES], store.heads[ITEMS], 0
    items[dst, AT] = store.heads[TOP]
    for pair in range(store.first.shape[1]):
        if dst + 2 * MOST_ITEMS > items.shape[0] or items[dst, AT] > cells.shape[0] - MOST_ITEMS * (AREA + 4):
            return False
        store.scratch[SIZE], store.scratch[SIZE + 1] = store.size[pair, 0], store.size[pair, 1]
        start, count = store.first[state, pair], store.number[state, pair]
        made = units[unit](cells, items, start, count, dst, which, store.scratch)
        if made == 0 or made > MOST_ITEMS:
            return False
        store.first[new, pair], store.number[new, pair] = dst, made
        longest, dst = max(longest, made), dst + made
    store.facts[new, KIND] = LABEL if unit == LABELS else LIST if longest > 1 else GRID
    return True


@inner
def mixed(value: np.uint64, more: np.uint64) -> np.uint64:
    """A hash of a hash and 64 bits more. Source: the finalizer of MurmurHash3."""
    value = (value ^ more) * np.uint64(0xFF51AFD7ED558CCD)
    return value ^ (value >> np.uint64(32))


@inner
def hashed(store: Store, state: int) -> np.uint64:
    """The hash of all a state's items in all pairs: sizes, places, cells; never 0."""
    value = np.uint64(store.facts[state, KIND] + 1)
    for pair in range(store.first.shape[1]):
        start = store.first[state, pair]
        value = mixed(value, np.uint64(store.number[state, pair]))
        for src in range(start, start + store.number[state, pair]):
            shape = store.items[src, H] * 32 + store.items[src, W]
            place = (store.items[src, Y] + 512) * 1024 + store.items[src, X] + 512
            value = mixed(value, np.uint64(shape * 1048576 + place))
            begin = store.items[src, AT] >> 3
            for k in range(begin, begin + ((store.items[src, H] * store.items[src, W] + 7) >> 3)):
                value = mixed(value, store.words[k])
    return value | np.uint64(1)


@inner
def is_new(store: Store, value: np.uint64) -> bool:
    """Whether no state had this hash; it has now."""
    mask = np.uint64(store.hashes.shape[0] - 1)
    place = np.int64((value >> np.uint64(1)) & mask)
    while store.hashes[place] != 0:
        if store.hashes[place] == value:
            return False
        place = (place + 1) & np.int64(mask)
    store.hashes[place] = value
    return True


@inner
def keep(store: Store) -> None:
    """Keep the state that was written last: the next is written after it."""
    new = store.heads[STATES]
    pairs = store.first.shape[1]
    last = store.first[new, pairs - 1] + store.number[new, pairs - 1]
    store.heads[ITEMS], store.heads[TOP], store.heads[STATES] = last, store.items[last, AT], new + 1
