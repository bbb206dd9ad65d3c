"""How a rule fares on demonstrations it has not seen: each in turn is left out of what it is fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice

from solver.programs.values import State
from solver.types import Grid, same

TRIED = 2  # rules fitted to the others that may answer for the one left out, as there are two attempts

Fit = Callable[[Sequence[int], Sequence[Grid]], Iterable[Grid]]
"""From numbers of demonstrations, the one left out last, and the others' outputs: its outputs, the likeliest first."""


def share(outputs: Sequence[Grid], fit: Fit) -> float:
    """The share of demonstrations whose output is among the first two of what is fitted to the others; 0 of one."""
    right = 0
    for n, left in enumerate(outputs):
        order = [*range(n), *range(n + 1, len(outputs)), n]
        others = [outputs[k] for k in order[:-1]]
        right += bool(others) and any(same(answer, left) for answer in islice(fit(order, others), TRIED))
    return right / len(outputs)


def reordered(state: State, order: Sequence[int]) -> State:
    """The state on these demonstrations alone, in this order: the last is the test."""
    return replace(state, grids=tuple(state.grids[k] for k in order))
