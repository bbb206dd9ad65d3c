"""Final steps whose parameters are read off the demonstrations: a colour map, a scale or crop, a stack, a table.

Law: a table answers only where every test input's fact was seen in a demonstration.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from solver.programs.primitives.registry import checked
from solver.programs.rules.feature import facts_of_grid
from solver.programs.search import flat, reproduces
from solver.programs.values import Proposal, State
from solver.types import COLOURS, Grid, key

PIECES = 4  # pieces stacked at most
TABLE = 4.0  # steps a table costs
ENTRY = 0.5  # steps each of its entries costs


def colour_map(cells: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """For each colour what it becomes, [10]; colours never seen stay; None where one colour becomes two."""
    seen = np.bincount(cells.astype(np.int64) * COLOURS + wanted, minlength=COLOURS * COLOURS)
    table = seen.reshape(COLOURS, COLOURS) > 0
    if (table.sum(1) > 1).any():
        return None
    return np.where(table.any(1), table.argmax(1), np.arange(COLOURS)).astype(np.uint8)


def recoloured(state: State, outputs: Sequence[Grid]) -> Iterator[Proposal]:
    """The state under one colour map that changes something, if that reproduces the demonstrations."""
    shown = len(outputs)
    cells, wanted = flat(state.grids[:shown]), flat(outputs)
    lookup = colour_map(cells, wanted)
    if lookup is None:
        return
    changed = [c for c in range(COLOURS) if lookup[c] != c]
    known = set(np.unique(cells).tolist())
    unseen = sum(len(set(np.unique(g).tolist()) - known) for g in state.grids[shown:])
    grids = tuple(lookup[g] for g in state.grids[shown:])
    one = len(set(lookup[list(known)].tolist())) == 1 and len(known) > 1
    if not changed or one:  # everything in one colour: no program at all
        return
    text = "colours(" + ", ".join(f"{c}→{lookup[c]}" for c in changed) + ")"
    cost = state.cost + 0.8 + 0.3 * len(changed) + 1.0 * unseen
    whole = text if state.parent is None else f"{state.text} | {text}"
    yield Proposal(grids, whole, cost, primitives=state.primitives)


def resized(state: State, outputs: Sequence[Grid]) -> Iterator[State]:
    """The state scaled, repeated, or cut to what the outputs' shapes ask for: further states of the same shape."""
    ratios = {(o.shape[0] / g.shape[0], o.shape[1] / g.shape[1]) for g, o in zip(state.grids, outputs, strict=False)}
    down, right = ratios.pop() if len(ratios) == 1 else (1, 1)
    if (down, right) != (1, 1) and down == int(down) and right == int(right):
        ratio = int(down), int(right)
        scaled = [checked(np.kron(g, np.ones(ratio, np.uint8))) for g in state.grids]
        tiled = [checked(np.tile(g, ratio)) for g in state.grids]
        for name, of_ratio in (("scale", scaled), ("repeat", tiled)):
            grids = tuple(g for g in of_ratio if g is not None)
            if len(grids) == len(state.grids):
                yield state.then(grids, state.cost + 1.0, f"{name}{ratio}")
    shapes = {o.shape for o in outputs}
    rows, columns = shapes.pop()
    if shapes or any(g.shape == (rows, columns) for g in state.grids):
        return
    if all(g.shape[0] >= rows and g.shape[1] >= columns for g in state.grids):
        grids = tuple(np.ascontiguousarray(g[:rows, :columns]) for g in state.grids)
        yield state.then(grids, state.cost + 1.4, f"top_left({rows}×{columns})")
    if all(g.shape[0] <= rows and g.shape[1] <= columns for g in state.grids):
        grids = tuple(np.pad(g, ((0, rows - g.shape[0]), (0, columns - g.shape[1]))) for g in state.grids)
        yield state.then(grids, state.cost + 1.4, f"pad({rows}×{columns})")


def stacked(states: Sequence[State], outputs: Sequence[Grid]) -> list[Proposal]:
    """Pieces on top of each other: each is right wherever it is not background and nothing is on top of it.

    All have the outputs' shapes. Greedy: first whatever completes the picture, else the piece that adds most.
    """
    shown = len(outputs)
    tests = [g.shape for g in states[0].grids[shown:]] if states else []
    fit = [s for s in states if [g.shape for g in s.grids[shown:]] == tests]
    if len(fit) < 2:
        return []
    wanted = flat(outputs)
    cells = np.stack([flat(s.grids[:shown]) for s in fit])
    costs = np.array([s.cost for s in fit])
    right, some = cells == wanted, cells != 0
    tops = (right | ~some).all(1) & (some & right).any(1)
    first = np.flatnonzero(tops)
    gain = (some & right)[first].sum(1) - 2.0 * costs[first]
    stacks = []
    for top in first[np.argsort(-gain, kind="stable")][:60]:
        stacks += _stack([int(top)], right, some, costs)
    return [_pile([fit[n] for n in stack], shown) for stack in stacks]


def _stack(
    chosen: list[int], right: NDArray[np.bool_], some: NDArray[np.bool_], costs: NDArray[np.float64]
) -> list[list[int]]:
    covered = some[chosen[0]].copy()
    while len(chosen) < PIECES:
        complete = np.flatnonzero((right | covered).all(1))
        if len(complete):
            order = complete[np.argsort(costs[complete], kind="stable")][:3]
            return [[*chosen, int(c)] for c in order if int(c) not in chosen]
        valid = (right | ~some | covered).all(1)
        gain = np.where(valid, (some & ~covered).sum(1) - 2.0 * costs, -np.inf)
        best = int(gain.argmax())
        if not (some[best] & ~covered).any() or not valid[best]:
            break
        chosen, covered = [*chosen, best], covered | some[best]
    return []


def _pile(pieces: Sequence[State], shown: int) -> Proposal:
    grids = pieces[-1].grids[shown:]
    for piece in pieces[-2::-1]:
        grids = tuple(np.where(t != 0, t, g) for t, g in zip(piece.grids[shown:], grids, strict=True))
    text = " over ".join(f"[{p.text}]" for p in pieces)
    used = frozenset[str]().union(*(p.primitives for p in pieces))
    return Proposal(grids, text, sum(p.cost for p in pieces) + 1.0 * len(pieces), primitives=used)


def looked_up(inputs: Sequence[Grid], outputs: Sequence[Grid]) -> Iterator[Proposal]:
    """Tables by which the outputs follow from one fact, for facts that fewer values than demonstrations have."""
    shown = len(outputs)
    known = {key(g): o for g, o in zip(inputs, outputs, strict=False)}
    consistent = reproduces([known[key(g)] for g in inputs[:shown]], outputs)
    if consistent and all(key(g) in known for g in inputs[shown:]):
        yield Proposal(tuple(known[key(g)] for g in inputs[shown:]), "seen before", TABLE)
    every = [facts_of_grid(g) for g in inputs]
    for n, (_, name, _) in enumerate(every[0]):
        values = [facts[n][2] for facts in every]
        table = dict(zip(values, outputs, strict=False))
        fits = reproduces([table[v] for v in values[:shown]], outputs)
        if fits and 1 < len(table) < shown and all(v in table for v in values[shown:]):
            often = Counter(values[:shown])
            sure = sum(often[v] > 1 for v in values[:shown]) / shown
            cost = TABLE + ENTRY * len(table)
            yield Proposal(tuple(table[v] for v in values[shown:]), f"table of {name}", cost, sure)
