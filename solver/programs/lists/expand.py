"""The states of a search by cost: each function on each state once, the cheapest first, goes on where it ended.

Once there is no room for more states, what more would be made of is not kept, only what may be part of an answer.
"""

from numba import types

from solver.programs.compiled import entry, inner
from solver.programs.lists.apply import (
    APPLIED,
    CLASS,
    COST,
    FUNCTION,
    ITEMS,
    KIND,
    KNOWN,
    LABEL,
    MOST_ITEMS,
    NEXT,
    PARENT,
    STATE,
    STATES,
    STORE,
    TOP,
    TOTAL,
    Store,
    Units,
    applied,
    has_size,
    hashed,
    is_new,
    keep,
)  # fmt: skip
from solver.programs.lists.layout import AREA
from solver.programs.lists.match import BOARD, Board, right_on
from solver.programs.lists.units import FORM


@inner
def has_room(store: Store, sixteenths: int) -> bool:
    """Whether less than so many sixteenths of the store are taken."""
    heads = store.heads
    room = heads[STATES] < store.facts.shape[0] // 16 * sixteenths
    room = room and heads[TOP] < store.cells.shape[0] // 16 * sixteenths
    return bool(room and heads[ITEMS] < store.items.shape[0] // 16 * sixteenths)


@inner
def worth_keeping(store: Store, board: Board, state: int) -> bool:
    """Whether there is room for a state: for any, then for those of the answers' sizes, then for those that are right.

    The store's last two sixteenths are for the second and the third kind: right is who is so on all demonstrations.
    """
    if has_room(store, 14):
        return True
    if has_room(store, 15) and has_size(store, state, 0):
        return True
    every = (1 << (board.at.shape[0] - 1)) - 1
    return bool(right_on(store, board, state, 0) == every)


@inner
def is_full(store: Store) -> bool:
    """Whether nothing at all can be kept any more."""
    heads, spare = store.heads, MOST_ITEMS * (AREA + 4)
    full = heads[STATES] + 2 > store.facts.shape[0] or heads[KNOWN] * 2 > store.hashes.shape[0]
    full = full or heads[TOP] + spare * 2 > store.cells.shape[0]
    return bool(full or heads[ITEMS] + 4 * MOST_ITEMS > store.items.shape[0])


@entry(types.boolean(STORE, types.UniTuple(types.FunctionType(FORM), 9), BOARD, types.int64, types.int64))
def expand(store: Store, units: Units, board: Board, most: int, dearest: int) -> bool:
    """Apply up to `most` functions; False once all states up to cost `dearest` are made or there is no room.

    A state of cost t comes from one of cost t - c by a function of cost c; states lie in the order of their costs;
    nothing comes from labels.
    """
    heads, classes = store.heads, store.classes.shape[0] - 1
    done = 0
    while heads[TOTAL] <= dearest:
        total, cost = heads[TOTAL], heads[CLASS]
        end = store.begins[total - cost + 1] if total >= cost else 0
        while heads[STATE] < end:
            state, function = heads[STATE], heads[NEXT]
            if function == store.classes[cost + 1] or store.facts[state, KIND] == LABEL:
                heads[STATE], heads[NEXT] = state + 1, store.classes[cost]
                if done >= most:
                    heads[APPLIED] += done
                    return True
                continue
            if is_full(store):
                heads[APPLIED] += done
                return False
            heads[NEXT] = function + 1
            done += 1
            new = heads[STATES]
            if applied(store, units, state, function) and is_new(store, hashed(store, new)):
                heads[KNOWN] += 1
                if worth_keeping(store, board, new):
                    keep(store)
                    store.facts[new, COST], store.facts[new, PARENT] = total, state
                    store.facts[new, FUNCTION] = function
        heads[CLASS] = cost + 1
        if cost + 1 >= classes:
            heads[TOTAL], heads[CLASS] = total + 1, 1
            store.begins[total + 1] = heads[STATES]
        total, cost = heads[TOTAL], heads[CLASS]
        heads[STATE], heads[NEXT] = (store.begins[total - cost] if total >= cost else 0), store.classes[cost]
    heads[APPLIED] += done
    return False
