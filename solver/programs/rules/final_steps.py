"""Final steps whose parameters are read off the demonstrations: a map, a scale, a stack, a table, moves, stamps.

Law: a table answers only where every test input's fact was seen in a demonstration.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import reduce

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from solver.programs.primitives import regions
from solver.programs.rules.feature import facts_of_grid
from solver.programs.search import flat, outcome, reproduces
from solver.programs.values import Grids, Proposal, State
from solver.types import COLOURS, Grid, key

PIECES = 4  # pieces stacked at most
TABLE, ENTRY = 4.0, 0.5  # steps a table costs, and each of its entries
WINDOW, MOVE = 1.2, 1.0  # steps that a window costs, and a move of one colour
STAMP, CELL = 2.0, 0.2  # steps a stamp costs, and each cell it paints
REACH = 4  # cells a stamp reaches to each side at most; the smallest that does it is taken
SIDE = 2 * REACH + 1
FREE = 10  # in a stamp: nothing is painted here
MANY = 100  # seeds in all demonstrations beyond which they are no seeds
STAYS = "+0", "+0"

Bits = NDArray[np.bool_]
Rules = tuple[str, str]  # of rows, of columns
Stamp = NDArray[np.uint8]  # [SIDE, SIDE]
Seeds = list[tuple[int, int]]  # rows and columns of cells
SEEDS: dict[str, Callable[[Grid, int], Seeds]] = {
    "cells": lambda grid, colour: [(i, j) for i, j in np.argwhere(grid == colour).tolist()],
    "regions": lambda grid, colour: [(r.top, r.left) for r in regions.of_colour(grid) if r.colour == colour],
}
"""Every cell of the colour; the top left corner of every region of the colour."""


def colour_map(cells: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """For each colour what it becomes, [10]; colours never seen stay; None where one colour becomes two."""
    seen = np.bincount(cells.astype(np.int64) * COLOURS + wanted, minlength=COLOURS * COLOURS)
    table = seen.reshape(COLOURS, COLOURS) > 0
    if (table.sum(1) > 1).any():
        return None
    return np.where(table.any(1), table.argmax(1), np.arange(COLOURS)).astype(np.uint8)


def recoloured(state: State, outputs: Grids) -> Iterator[Proposal]:
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
    yield Proposal(grids, state.followed_by(text), cost, primitives=state.primitives)


def resized(state: State, outputs: Grids) -> Iterator[State]:
    """The state scaled, repeated, or cut to what the outputs' shapes ask for: further states of the same shape."""
    ratios = {(o.shape[0] / g.shape[0], o.shape[1] / g.shape[1]) for g, o in zip(state.grids, outputs, strict=False)}
    down, right = ratios.pop() if len(ratios) == 1 else (1, 1)
    if (down, right) != (1, 1) and down == int(down) and right == int(right):
        ratio = int(down), int(right)
        scaled = outcome(lambda grid: np.kron(grid, np.ones(ratio, np.uint8)), state.grids)
        tiled = outcome(lambda grid: np.tile(grid, ratio), state.grids)
        for name, grids in (("scale", scaled), ("repeat", tiled)):
            if grids is not None:
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


def stacked(states: Sequence[State], outputs: Grids) -> Iterator[Proposal]:
    """Pieces on top of each other: each is right wherever it is not background and nothing is on top of it.

    All have the outputs' shapes. Greedy: first whatever completes the picture, else the piece that adds most.
    """
    shown = len(outputs)
    tests = [g.shape for g in states[0].grids[shown:]] if states else []
    fit = [s for s in states if [g.shape for g in s.grids[shown:]] == tests]
    if len(fit) < 2:
        return
    wanted = flat(outputs)
    cells = np.stack([flat(s.grids[:shown]) for s in fit])
    costs = np.array([s.cost for s in fit])
    right, some = cells == wanted, cells != 0
    tops = (right | ~some).all(1) & (some & right).any(1)
    first = np.flatnonzero(tops)
    gain = (some & right)[first].sum(1) - 2.0 * costs[first]
    tops = [int(top) for top in first[np.argsort(-gain, kind="stable")][:60]]
    for pieces in ([fit[n] for n in stack] for top in tops for stack in _stacks(top, right, some, costs)):
        grids = tuple(reduce(regions.under, pile) for pile in zip(*(p.grids[shown:] for p in pieces), strict=True))
        text = " over ".join(f"[{p.text}]" for p in pieces)
        used = frozenset[str]().union(*(p.primitives for p in pieces))
        yield Proposal(grids, text, sum(p.cost for p in pieces) + 1.0 * len(pieces), primitives=used)


def _stacks(top: int, right: Bits, some: Bits, costs: NDArray[np.float64]) -> list[list[int]]:
    """Up to three stacks that complete the picture under a piece."""
    chosen, covered = [top], some[top]
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


def looked_up(inputs: Grids, outputs: Grids) -> Iterator[Proposal]:
    """Tables by which the outputs follow from one fact, for facts that fewer values than demonstrations have."""
    shown = len(outputs)
    known = {key(g): o for g, o in zip(inputs, outputs, strict=False)}
    consistent = reproduces([known[key(g)] for g in inputs[:shown]], outputs)
    if consistent and all(key(g) in known for g in inputs[shown:]):
        yield Proposal(tuple(known[key(g)] for g in inputs[shown:]), "seen before", TABLE)
    for facts in zip(*map(facts_of_grid, inputs), strict=True):
        values = [value for _, _, value in facts]
        table = dict(zip(values, outputs, strict=False))
        fits = reproduces([table[v] for v in values[:shown]], outputs)
        if fits and 1 < len(table) < shown and all(v in table for v in values[shown:]):
            often = Counter(values[:shown])
            sure = sum(often[v] > 1 for v in values[:shown]) / shown
            cost = TABLE + ENTRY * len(table)
            yield Proposal(tuple(table[v] for v in values[shown:]), f"table of {facts[0][1]}", cost, sure)


def _starts(shift: int, span: slice, size: int) -> dict[str, int]:
    """Where a span in a line of `size` cells may come to begin, by rule; a constant shift first."""
    start, length = span.start, span.stop - span.start
    ends = {"to start": 0, "to end": size - length}
    steps = {"+length": start + length, "-length": start - length, "mirrored": size - start - length}
    return {f"{shift:+d}": start + shift} | ends | steps


def _rules_of_colour(inputs: Grids, outputs: Grids, colour: int) -> Rules | None:
    """The first rules, constant shifts before others, that take the colour in every input where it is in the output."""
    boxes: list[tuple[Grid, regions.Box, regions.Box]] = []
    for grid, output in zip(inputs, outputs, strict=True):
        before, after = regions.box(grid == colour), regions.box(output == colour)
        if before is None or after is None:
            if before is not after:
                return None
        elif not np.array_equal(grid[before] == colour, output[after] == colour):
            return None
        else:
            boxes.append((grid, before, after))
    if not boxes:
        return STAYS
    fitting = []
    for axis in (0, 1):
        shift = boxes[0][2][axis].start - boxes[0][1][axis].start
        spans = [(_starts(shift, b[axis], grid.shape[axis]), a[axis].start) for grid, b, a in boxes]
        fitting.append([name for name in spans[0][0] if all(starts[name] == start for starts, start in spans)])
    return (fitting[0][0], fitting[1][0]) if all(fitting) else None


def moved(state: State, outputs: Grids) -> Iterator[Proposal]:
    """The state, of the outputs' shapes, each colour moved by a rule of its own: a shift, to an edge, by length."""
    shown = len(outputs)
    rules: dict[int, Rules] = {}
    for colour in range(1, COLOURS):
        rule = _rules_of_colour(state.grids[:shown], outputs, colour)
        if rule is None:
            return
        if rule != STAYS:
            rules[colour] = rule
    grids = [grid for g in state.grids if (grid := _moved(g, rules)) is not None] if rules else []
    if len(grids) == len(state.grids) and reproduces(grids, outputs):
        text = ", ".join(f"{c} rows {r[0]} columns {r[1]}" for c, r in rules.items())
        yield state.proposal(grids[shown:], f"move({text})", MOVE * (1 + len(rules)))


def _moved(grid: Grid, rules: dict[int, Rules]) -> Grid | None:
    """The grid with each colour moved; None where one would leave it."""
    moved = np.where(np.isin(grid, list(rules)), 0, grid).astype(np.uint8)
    for colour, by_axis in rules.items():
        box = regions.box(grid == colour)
        if box is None:
            continue
        places = []
        for rule, span, size in zip(by_axis, box, grid.shape, strict=True):
            shift, length = int(rule) if rule[1:].isdigit() else 0, span.stop - span.start
            start = _starts(shift, span, size)[rule]
            if not 0 <= start <= size - length:
                return None
            places.append(slice(start, start + length))
        moved[tuple(places)][grid[box] == colour] = colour
    return moved


def windows(inputs: Grids, outputs: Grids) -> list[tuple[str, tuple[regions.Box, ...]]]:
    """Boxes around a colour of the input (with it, or inside it) that have the outputs' shapes: name, one a grid."""
    fitting = []
    for colour in range(COLOURS):
        whole = tuple(b for g in inputs if (b := regions.box(g == colour)) is not None)
        if len(whole) < len(inputs):
            continue
        inner = tuple((slice(r.start + 1, r.stop - 1), slice(c.start + 1, c.stop - 1)) for r, c in whole)
        for name, places in ((f"window({colour})", whole), (f"inside({colour})", inner)):
            if all(g[place].shape == o.shape for g, place, o in zip(inputs, places, outputs, strict=False)):
                fitting.append((name, places))
    return fitting


def windowed(start: State, state: State, outputs: Grids) -> Iterator[Proposal]:
    """What the state has where a window of the inputs, the start, is, if that is the output."""
    shown = len(outputs)
    for name, places in windows(start.grids, outputs):
        cut = [np.ascontiguousarray(g[place]) for g, place in zip(state.grids, places, strict=True)]
        if reproduces(cut, outputs) and all(c.size for c in cut):
            yield state.proposal(cut[shown:], name, WINDOW)


def _around(grid: Grid, seeds: Seeds) -> NDArray[np.uint8]:
    """What is around each seed, [seeds, SIDE, SIDE]; `FREE` outside the grid."""
    windows = sliding_window_view(np.pad(grid, REACH, constant_values=FREE), (SIDE, SIDE))
    return np.asarray(windows[tuple(np.array(seeds, np.int64).reshape(-1, 2).T)])


def _stamp_of(inputs: Grids, outputs: Grids, colour: int, kind: str) -> Stamp | None:
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


def _painted(grid: Grid, places: Seeds, stamp: Stamp) -> Grid:
    """The grid with the stamp around all these cells."""
    wide = np.pad(grid, REACH)
    for i, j in places:
        part = wide[i : i + SIDE, j : j + SIDE]
        part[stamp != FREE] = stamp[stamp != FREE]
    return np.ascontiguousarray(wide[REACH:-REACH, REACH:-REACH])


def stamped(state: State, outputs: Grids) -> Iterator[Proposal]:
    """The state with a stamp for each of one or more colours, if that reproduces the demonstrations."""
    shown = state.grids[: len(outputs)]
    changed = [g != o for g, o in zip(shown, outputs, strict=True)]
    if not any(map(np.any, changed)) or any((o[c] == 0).any() for c, o in zip(changed, outputs, strict=True)):
        return  # there is nothing to paint, or something to take away
    known = {
        kind: {c: stamp for c in range(1, 10) if (stamp := _stamp_of(shown, outputs, c, kind)) is not None}
        for kind in SEEDS
    }
    for reach in range(1, REACH + 1):
        if proposals := [p for kind, stamps in known.items() for p in _of_reach(state, outputs, reach, kind, stamps)]:
            yield from proposals
            return


def _of_reach(state: State, outputs: Grids, reach: int, kind: str, stamps: dict[int, Stamp]) -> Iterator[Proposal]:
    shown = len(outputs)
    together, names, total = list(state.grids), [], 0.0
    far = np.abs(np.arange(-REACH, REACH + 1)) > reach
    for colour, whole in stamps.items():
        stamp = np.where(far[:, None] | far, FREE, whole).astype(np.uint8)
        places = [SEEDS[kind](g, colour) for g in state.grids]
        alone = [_painted(g, p, stamp) for g, p in zip(state.grids, places, strict=True)]
        together = [_painted(g, p, stamp) for g, p in zip(together, places, strict=True)]
        names.append(str(colour))
        price = STAMP + CELL * int((stamp != FREE).sum())
        total += price
        for grids, text, cost in ((alone, names[-1], price), (together, " ".join(names), total)):
            if reproduces(grids, outputs):
                yield state.proposal(grids[shown:], f"stamp({kind} of {text})", cost)
