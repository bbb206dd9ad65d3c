"""Final steps that paint the same small picture around every cell of a colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from solver.programs.primitives.regions import of_colour
from solver.programs.search import aligned, reproduces
from solver.programs.values import Proposal, State
from solver.types import Grid

REACH = 4  # cells a stamp reaches to each side at most; the smallest that does it is taken
FREE = 10  # in a stamp: nothing is painted here
COST = 2.0  # steps a stamp costs
CELL = 0.2  # steps each cell it paints costs
MANY = 100  # seeds in all demonstrations beyond which they are no seeds
Stamp = NDArray[np.uint8]
Seeds = Callable[[Grid, int], list[tuple[int, int]]]


def _cells(grid: Grid, colour: int) -> list[tuple[int, int]]:
    """Every cell of the colour."""
    return [(int(i), int(j)) for i, j in np.argwhere(grid == colour)]


def _corners(grid: Grid, colour: int) -> list[tuple[int, int]]:
    """The top left corner of every region of the colour."""
    return [(r.top, r.left) for r in of_colour(grid) if r.colour == colour]


SEEDS: dict[str, Seeds] = {"cells": _cells, "regions": _corners}


def _around(grid: Grid, seeds: Sequence[tuple[int, int]]) -> NDArray[np.uint8]:
    """What is around each seed, [seeds, side, side]; `FREE` outside the grid."""
    wide, side = np.pad(grid, REACH, constant_values=FREE), 2 * REACH + 1
    return np.array([wide[i : i + side, j : j + side] for i, j in seeds], np.uint8).reshape(-1, side, side)


def fitted(inputs: Sequence[Grid], outputs: Sequence[Grid], colour: int, of: Seeds) -> Stamp | None:
    """What every seed of the colour has around it in the outputs, where all agree and something changed."""
    if of is _cells and sum(int((grid == colour).sum()) for grid in inputs) > MANY:
        return None
    places = [of(grid, colour) for grid in inputs]
    if sum(map(bool, places)) < 2 or sum(map(len, places)) > MANY:
        return None
    old = np.concatenate([_around(g, p) for g, p in zip(inputs, places, strict=True)])
    stack = np.concatenate([_around(o, p) for o, p in zip(outputs, places, strict=True)])
    inside = stack != FREE
    value = np.where(inside, stack, 0).max(0)
    agree = ((stack == value) | ~inside).all(0) & inside.any(0)
    changed = ((stack != old) & inside).any(0)
    stamp = np.where(agree & changed & (value != 0), value, FREE).astype(np.uint8)
    return stamp if (stamp != FREE).any() else None


def _within(stamp: Stamp, reach: int) -> Stamp:
    """The stamp without what lies beyond this reach."""
    far = np.abs(np.arange(-REACH, REACH + 1)) > reach
    return np.where(far[:, None] | far, FREE, stamp).astype(np.uint8)


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
    shown = state.grids[: len(outputs)]
    changed = [g != o for g, o in zip(shown, outputs, strict=True)]
    if not any(map(np.any, changed)) or any((o[c] == 0).any() for c, o in zip(changed, outputs, strict=True)):
        return  # there is nothing to paint, or something to take away
    known = {
        kind: {c: stamp for c in range(1, 10) if (stamp := fitted(shown, outputs, c, of)) is not None}
        for kind, of in SEEDS.items()
    }
    for reach in range(1, REACH + 1):
        proposals = [p for kind, stamps in known.items() for p in _of_reach(state, outputs, reach, kind, stamps)]
        if proposals:
            yield from proposals
            return


def _of_reach(
    state: State, outputs: Sequence[Grid], reach: int, kind: str, stamps: dict[int, Stamp]
) -> Iterator[Proposal]:
    shown = len(outputs)
    together, names, total = list(state.grids), [], 0.0
    for colour, whole in stamps.items():
        stamp = _within(whole, reach)
        places = [SEEDS[kind](g, colour) for g in state.grids]
        alone = [painted(g, p, stamp) for g, p in zip(state.grids, places, strict=True)]
        together = [painted(g, p, stamp) for g, p in zip(together, places, strict=True)]
        names.append(str(colour))
        price = COST + CELL * int((stamp != FREE).sum())
        total += price
        for grids, text, cost in ((alone, names[-1], price), (together, " ".join(names), total)):
            if reproduces(grids, outputs):
                yield state.proposal(grids[shown:], f"stamp({kind} of {text})", cost)
