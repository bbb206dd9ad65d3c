"""Final steps that move: each colour by a rule of its own, and a window cut out where a colour of the input is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Box
from solver.programs.search import aligned, reproduces
from solver.programs.values import Proposal, State
from solver.types import COLOURS, Grid

WINDOW = 1.2  # steps a window costs
MOVE = 1.0  # steps a move of one colour costs


def _starts(start: int, length: int, size: int, shift: int) -> Iterator[tuple[str, int]]:
    """Where a span of `length` at `start` in a line of `size` cells may come to begin, by rule."""
    yield f"{shift:+d}", start + shift
    yield from (("to start", 0), ("to end", size - length), ("+length", start + length))
    yield from (("-length", start - length), ("mirrored", size - start - length))


def _rules(spans: Sequence[tuple[int, int, int, int]]) -> list[str]:
    """Rules that take every (start, length, size, new start) where it goes; the constant shift first."""
    shift = spans[0][3] - spans[0][0]
    fit = [{name for name, place in _starts(a, n, size, shift) if place == to} for a, n, size, to in spans]
    names = [name for name, _ in _starts(0, 0, 0, shift)]
    return [name for name in names if all(name in fitting for fitting in fit)]


def _moved(part: Grid, top: str, left: str) -> Grid | None:
    """A layer of one colour moved by the two rules; None where it would leave the grid."""
    box = regions.box(part != 0)
    if box is None:
        return part
    moved, places = np.zeros_like(part), []
    for span, size, rule in zip(box, part.shape, (top, left), strict=True):
        length = span.stop - span.start
        shift = int(rule) if rule[1:].isdigit() else 0
        place = dict(_starts(span.start, length, size, shift))[rule]
        if place < 0 or place + length > size:
            return None
        places.append(slice(place, place + length))
    moved[places[0], places[1]] = part[box]
    return moved


def _rule_of_colour(inputs: Sequence[Grid], outputs: Sequence[Grid], colour: int) -> tuple[str, str] | None:
    spans: tuple[list[tuple[int, int, int, int]], ...] = ([], [])
    for grid, output in zip(inputs, outputs, strict=True):
        before, after = regions.box(grid == colour), regions.box(output == colour)
        if before is None and after is None:
            continue
        if before is None or after is None:
            return None
        if not np.array_equal(grid[before] == colour, output[after] == colour):
            return None
        for axis in (0, 1):
            a, b = before[axis], after[axis]
            spans[axis].append((a.start, a.stop - a.start, grid.shape[axis], b.start))
    if not spans[0]:
        return "+0", "+0"
    rules = [_rules(s) for s in spans]
    return (rules[0][0], rules[1][0]) if all(rules) else None


def moved(state: State, outputs: Sequence[Grid]) -> Iterator[Proposal]:
    """All cells of each colour moved by a rule of their own: a constant shift, to an edge, by their length."""
    shown = len(outputs)
    if not aligned(state, outputs):
        return
    rules: dict[int, tuple[str, str]] = {}
    for colour in range(1, COLOURS):
        rule = _rule_of_colour(state.grids[:shown], outputs, colour)
        if rule is None:
            return
        if rule != ("+0", "+0"):
            rules[colour] = rule
    if not rules:
        return
    grids = [done for g in state.grids if (done := _all_moved(g, rules)) is not None]
    if len(grids) == len(state.grids) and reproduces(grids, outputs):
        text = ", ".join(f"{c} rows {r[0]} columns {r[1]}" for c, r in rules.items())
        yield state.proposal(grids[shown:], f"move({text})", MOVE * (1 + len(rules)))


def _all_moved(grid: Grid, rules: dict[int, tuple[str, str]]) -> Grid | None:
    moved = np.where(np.isin(grid, list(rules)), 0, grid).astype(np.uint8)
    for colour, (top, left) in rules.items():
        layer = _moved(np.where(grid == colour, grid, 0), top, left)
        if layer is None:
            return None
        moved = np.where(layer != 0, layer, moved)
    return moved


Window = tuple[str, tuple[Box, ...]]  # its name, its place in each grid


def windows(inputs: Sequence[Grid], outputs: Sequence[Grid]) -> list[Window]:
    """Boxes around a colour of the input (with it, or inside it) that have the outputs' shapes."""
    fitting = []
    for colour in range(COLOURS):
        boxes = [regions.box(g == colour) for g in inputs]
        whole = tuple(b for b in boxes if b is not None)
        if len(whole) < len(inputs):
            continue
        inner = tuple((slice(r.start + 1, r.stop - 1), slice(c.start + 1, c.stop - 1)) for r, c in whole)
        for name, places in ((f"window({colour})", whole), (f"inside({colour})", inner)):
            if all(_size(b) == o.shape for b, o in zip(places, outputs, strict=False)):
                fitting.append((name, places))
    return fitting


def _size(place: Box) -> tuple[int, int]:
    return place[0].stop - place[0].start, place[1].stop - place[1].start


def seen(state: State, known: Sequence[Window], outputs: Sequence[Grid]) -> Iterator[Proposal]:
    """What the state has where a window of the input is, if that is the output."""
    shown = len(outputs)
    for name, places in known:
        cut = [np.ascontiguousarray(g[place]) for g, place in zip(state.grids, places, strict=True)]
        if reproduces(cut, outputs) and all(c.size for c in cut):
            yield state.proposal(cut[shown:], name, WINDOW)
