"""Final steps that move: each colour by a rule of its own, and a window cut out where a colour of the input is."""

from collections.abc import Iterator, Sequence

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Box
from solver.programs.search import reproduces
from solver.programs.values import Proposal, State
from solver.types import COLOURS, Grid

WINDOW = 1.2  # steps a window costs
MOVE = 1.0  # steps a move of one colour costs


Rules = tuple[str, str]  # of rows, of columns
STAYS = "+0", "+0"


def _starts(shift: int, span: slice, size: int) -> dict[str, int]:
    """Where a span in a line of `size` cells may come to begin, by rule; a constant shift first."""
    start, length = span.start, span.stop - span.start
    ends = {"to start": 0, "to end": size - length}
    steps = {"+length": start + length, "-length": start - length, "mirrored": size - start - length}
    return {f"{shift:+d}": start + shift} | ends | steps


def _rules_of_colour(inputs: Sequence[Grid], outputs: Sequence[Grid], colour: int) -> Rules | None:
    """The first rules, constant shifts before others, that take the colour in every input where it is in the output."""
    boxes: list[tuple[Grid, Box, Box]] = []
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


def moved(state: State, outputs: Sequence[Grid]) -> Iterator[Proposal]:
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


Window = tuple[str, tuple[Box, ...]]  # its name, its place in each grid


def windows(inputs: Sequence[Grid], outputs: Sequence[Grid]) -> list[Window]:
    """Boxes around a colour of the input (with it, or inside it) that have the outputs' shapes."""
    fitting = []
    for colour in range(COLOURS):
        whole = tuple(b for g in inputs if (b := regions.box(g == colour)) is not None)
        if len(whole) < len(inputs):
            continue
        inner = tuple((slice(r.start + 1, r.stop - 1), slice(c.start + 1, c.stop - 1)) for r, c in whole)
        for name, places in ((f"window({colour})", whole), (f"inside({colour})", inner)):
            shapes = [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in places]
            if all(shape == o.shape for shape, o in zip(shapes, outputs, strict=False)):
                fitting.append((name, places))
    return fitting


def windowed(start: State, state: State, outputs: Sequence[Grid]) -> Iterator[Proposal]:
    """What the state has where a window of the inputs, the start, is, if that is the output."""
    shown = len(outputs)
    for name, places in windows(start.grids, outputs):
        cut = [np.ascontiguousarray(g[place]) for g, place in zip(state.grids, places, strict=True)]
        if reproduces(cut, outputs) and all(c.size for c in cut):
            yield state.proposal(cut[shown:], name, WINDOW)
