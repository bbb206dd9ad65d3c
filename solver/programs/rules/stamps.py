"""Final steps that paint the same small picture around every cell of a colour."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from solver.programs.primitives.regions import of_colour
from solver.programs.search import reproduces
from solver.programs.values import Proposal, State
from solver.types import Grid

REACH = 4  # cells a stamp reaches to each side at most; the smallest that does it is taken
FREE = 10  # in a stamp: nothing is painted here
COST = 2.0  # steps a stamp costs
CELL = 0.2  # steps each cell it paints costs
MANY = 100  # seeds in all demonstrations beyond which they are no seeds
SIDE = 2 * REACH + 1
Stamp = NDArray[np.uint8]  # [SIDE, SIDE]
Seeds = NDArray[np.int64]  # rows and columns of cells, [seeds, 2]
SEEDS: dict[str, Callable[[Grid, int], Seeds]] = {
    "cells": lambda grid, colour: np.argwhere(grid == colour),
    "regions": lambda grid, colour: np.array(
        [(r.top, r.left) for r in of_colour(grid) if r.colour == colour], np.int64
    ).reshape(-1, 2),
}
"""Every cell of the colour; the top left corner of every region of the colour."""


def _around(grid: Grid, seeds: Seeds) -> NDArray[np.uint8]:
    """What is around each seed, [seeds, SIDE, SIDE]; `FREE` outside the grid."""
    windows = sliding_window_view(np.pad(grid, REACH, constant_values=FREE), (SIDE, SIDE))
    return np.asarray(windows[tuple(seeds.T)])


def fitted(inputs: Sequence[Grid], outputs: Sequence[Grid], colour: int, kind: str) -> Stamp | None:
    """What every seed of the colour has around it in the outputs, where all agree and something changed."""
    places = [SEEDS[kind](grid, colour) for grid in inputs]
    if sum(len(p) > 0 for p in places) < 2 or sum(map(len, places)) > MANY:
        return None
    old = np.concatenate([_around(g, p) for g, p in zip(inputs, places, strict=True)])
    stack = np.concatenate([_around(o, p) for o, p in zip(outputs, places, strict=True)])
    inside = stack != FREE
    value = np.where(inside, stack, 0).max(0)
    agree = ((stack == value) | ~inside).all(0) & inside.any(0)
    changed = ((stack != old) & inside).any(0)
    stamp = np.where(agree & changed & (value != 0), value, FREE).astype(np.uint8)
    return stamp if (stamp != FREE).any() else None


def painted(grid: Grid, places: Seeds, stamp: Stamp) -> Grid:
    """The grid with the stamp around all these cells."""
    wide = np.pad(grid, REACH)
    for i, j in places.tolist():
        part = wide[i : i + SIDE, j : j + SIDE]
        part[stamp != FREE] = stamp[stamp != FREE]
    return np.ascontiguousarray(wide[REACH:-REACH, REACH:-REACH])


def stamped(state: State, outputs: Sequence[Grid]) -> Iterator[Proposal]:
    """The state with a stamp for each of one or more colours, if that reproduces the demonstrations."""
    shown = state.grids[: len(outputs)]
    changed = [g != o for g, o in zip(shown, outputs, strict=True)]
    if not any(map(np.any, changed)) or any((o[c] == 0).any() for c, o in zip(changed, outputs, strict=True)):
        return  # there is nothing to paint, or something to take away
    known = {
        kind: {c: stamp for c in range(1, 10) if (stamp := fitted(shown, outputs, c, kind)) is not None}
        for kind in SEEDS
    }
    for reach in range(1, REACH + 1):
        if proposals := [p for kind, stamps in known.items() for p in _of_reach(state, outputs, reach, kind, stamps)]:
            yield from proposals
            return


def _of_reach(
    state: State, outputs: Sequence[Grid], reach: int, kind: str, stamps: dict[int, Stamp]
) -> Iterator[Proposal]:
    shown = len(outputs)
    together, names, total = list(state.grids), [], 0.0
    far = np.abs(np.arange(-REACH, REACH + 1)) > reach
    for colour, whole in stamps.items():
        stamp = np.where(far[:, None] | far, FREE, whole).astype(np.uint8)
        places = [SEEDS[kind](g, colour) for g in state.grids]
        alone = [painted(g, p, stamp) for g, p in zip(state.grids, places, strict=True)]
        together = [painted(g, p, stamp) for g, p in zip(together, places, strict=True)]
        names.append(str(colour))
        price = COST + CELL * int((stamp != FREE).sum())
        total += price
        for grids, text, cost in ((alone, names[-1], price), (together, " ".join(names), total)):
            if reproduces(grids, outputs):
                yield state.proposal(grids[shown:], f"stamp({kind} of {text})", cost)
