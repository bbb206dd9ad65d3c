"""A search's store: room for its states, the inputs as the first of them, and how to read grids and programs back."""

from collections.abc import Sequence

import numpy as np

from solver.programs.lists.apply import CLASS, FUNCTION, ITEMS, NEXT, PARENT, STATES, TOP, TOTAL, Store
from solver.programs.lists.functions import Function, rows
from solver.programs.lists.layout import AT, COLUMNS, SCRATCH, H, W
from solver.types import Grid

CELLS = 96 << 20  # bytes of grids in all, at most; three stores and what surrounds them stay under 1 GiB
ITEMS_MOST = 2_500_000  # 20 bytes each
STATES_MOST = 1 << 18
HASHES = 1 << 22  # 8 bytes each, half of them used at most
COSTS = 64  # above that of any state


def new_store(inputs: Sequence[Grid], chosen: Sequence[Function]) -> Store:
    """A store whose one state is the inputs, one grid a pair; memory is taken as it is written to."""
    pairs = len(inputs)
    memory = np.empty(CELLS, np.uint8)
    costs = [f.cost for f in chosen]
    classes = np.searchsorted(costs, np.arange(max(costs) + 2)).astype(np.int64)
    store = Store(
        memory, memory.view(np.uint64), np.empty((ITEMS_MOST, COLUMNS), np.int32),
        np.empty((STATES_MOST, pairs), np.int32), np.empty((STATES_MOST, pairs), np.int32),
        np.empty((STATES_MOST, 4), np.int32), np.zeros(HASHES, np.uint64), rows(chosen),
        np.zeros(COSTS, np.int64), classes, np.zeros((pairs, 2), np.int32), np.zeros(9, np.int64),
        np.zeros(SCRATCH, np.int32),
    )  # fmt: skip
    at = 0
    for pair, grid in enumerate(inputs):
        h, w = grid.shape
        store.items[pair] = at, h, w, 0, 0
        memory[at : at + grid.size] = grid.ravel()
        memory[at + grid.size : at + (grid.size + 7 & ~7)] = 0
        at += grid.size + 7 & ~7
        store.first[0, pair], store.number[0, pair] = pair, 1
    store.items[pairs, AT] = at
    store.facts[0] = 0, -1, -1, 0
    store.begins[1] = 1
    store.heads[[STATES, ITEMS, TOP, TOTAL, CLASS]] = 1, pairs, at, 1, 1
    store.heads[NEXT] = classes[1]
    return store


def item(store: Store, src: int) -> Grid:
    """An item's grid."""
    at, h, w = (int(store.items[src, k]) for k in (AT, H, W))
    return store.cells[at : at + h * w].reshape(h, w).copy()


def steps(store: Store, state: int) -> list[int]:
    """The functions that made a state, in the order they were applied."""
    made: list[int] = []
    while state > 0:
        made.append(int(store.facts[state, FUNCTION]))
        state = int(store.facts[state, PARENT])
    return made[::-1]
