"""Endings that paint the same small picture around every cell of a colour.

Knows nothing of how states were found. Law: what is returned reproduces every demonstration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from solver.core import Grid, same
from solver.programs.enumerate import aligned
from solver.programs.regions import of_colour
from solver.programs.values import Proposal, State

REACH = 4  # cells a stamp reaches to each side at most; the smallest that does it is taken
FREE = 10  # in a stamp: nothing is painted here
COST = 2.0  # steps a stamp costs
MANY = 40  # seeds in one grid beyond which they are no seeds
Stamp = NDArray[np.uint8]


Seeds = Callable[[Grid, int], list[tuple[int, int]]]


def _cells(grid: Grid, colour: int) -> list[tuple[int, int]]:
    """Every cell of the colour."""
    return [(int(i), int(j)) for i, j in np.argwhere(grid == colour)]


def _corners(grid: Grid, colour: int) -> list[tuple[int, int]]:
    """The top left corner of every region of the colour."""
    return [(r.top, r.left) for r in of_colour(grid) if r.colour == colour]


SEEDS: dict[str, Seeds] = {"cells": _cells, "regions": _corners}


def _around(grid: Grid, seed: tuple[int, int], fill: int) -> NDArray[np.uint8]:
    wide = np.pad(grid, REACH, constant_values=fill)
    return wide[seed[0] : seed[0] + 2 * REACH + 1, seed[1] : seed[1] + 2 * REACH + 1]


def learned(inputs: Sequence[Grid], outputs: Sequence[Grid], colour: int, reach: int, of: Seeds) -> Stamp | None:
    """What every seed of the colour has around it in the outputs, where all agree and something changed."""
    before, after = [], []
    for grid, output in zip(inputs, outputs, strict=True):
        seeds = of(grid, colour)
        if len(seeds) > MANY:
            return None
        before += [_around(grid, s, FREE) for s in seeds]
        after += [_around(output, s, FREE) for s in seeds]
    if len(after) < 2:
        return None
    stack, old = np.array(after), np.array(before)
    inside = stack != FREE
    value = np.where(inside, stack, 0).max(0)
    agree = ((stack == value) | ~inside).all(0) & inside.any(0)
    changed = ((stack != old) & inside).any(0)
    far = np.abs(np.arange(-REACH, REACH + 1)) > reach
    agree &= ~(far[:, None] | far)
    stamp = np.where(agree & changed & (value != 0), value, FREE).astype(np.uint8)
    return stamp if (stamp != FREE).any() else None


def painted(grid: Grid, places: Sequence[tuple[int, int]], stamp: Stamp) -> Grid:
    """The grid with the stamp around all these cells."""
    wide = np.pad(grid, REACH)
    for i, j in places:
        part = wide[i : i + 2 * REACH + 1, j : j + 2 * REACH + 1]
        part[stamp != FREE] = stamp[stamp != FREE]
    return np.ascontiguousarray(wide[REACH:-REACH, REACH:-REACH])


def stamped(state: State, outputs: Sequence[Grid]) -> Iterator[Proposal]:
    """The state with a stamp for each of one or more colours, if that reproduces the demonstrations."""
    if not aligned(state, outputs):
        return
    for name, reach in ((n, r) for r in range(1, REACH + 1) for n in SEEDS):
        found = list(_of_reach(state, outputs, reach, name))
        if found:
            yield from found
            return


def _of_reach(state: State, outputs: Sequence[Grid], reach: int, kind: str) -> Iterator[Proposal]:
    shown, of = len(outputs), SEEDS[kind]
    made, names = list(state.grids), []
    for colour in range(1, 10):
        stamp = learned(state.grids[:shown], outputs, colour, reach, of)
        if stamp is None:
            continue
        places = [of(g, colour) for g in state.grids]
        once = [painted(g, p, stamp) for g, p in zip(state.grids, places, strict=True)]
        made = [painted(m, p, stamp) for m, p in zip(made, places, strict=True)]
        names.append(str(colour))
        for grids, text, cost in ((once, names[-1], COST), (made, " ".join(names), COST * len(names))):
            if all(same(g, o) for g, o in zip(grids, outputs, strict=False)):
                yield Proposal(tuple(grids[shown:]), f"{state.text} | stamp({kind} of {text})", state.cost + cost)
