"""How an ending fares on demonstrations it has not seen: each in turn is left out of what it is learned from.

Knows nothing of any ending. Law: what is counted as right was never learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from solver.programs.values import State
from solver.types import Grid, same

TRIED = 2  # rules learned from the others that may answer for the one left out, as there are two attempts

Learn = Callable[[Sequence[int], Sequence[Grid]], Iterable[Grid]]
"""From numbers of demonstrations, the one left out last, and the others' outputs: its outputs, the likeliest first."""


def share(outputs: Sequence[Grid], learn: Learn) -> float:
    """The share of demonstrations whose output is among the first two that were learned from the others; 0 of one."""
    right = 0
    for n, left in enumerate(outputs):
        order = [*range(n), *range(n + 1, len(outputs)), n]
        others = [outputs[k] for k in order[:-1]]
        right += bool(others) and any(same(made, left) for made in islice(learn(order, others), TRIED))
    return right / len(outputs)


def turned(state: State, order: Sequence[int]) -> State:
    """The state on these demonstrations alone, in this order: the last is the test."""
    return State(tuple(state.grids[k] for k in order), state.cost, state.parent, state.step, state.steps)
