"""Smaller tasks within a task: what happens to each thing by itself, or on a lattice of plain rectangles.

Knows nothing of the search. Law: what a lens leaves out of a task stays as it is in every demonstration, and a
demonstration's smaller outputs, put back into its input, are its output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from solver.programs.primitives import pieces, regions
from solver.programs.primitives.regions import Region
from solver.programs.values import Mark, mark
from solver.types import Grid, Pair, Task, same

Box = tuple[slice, slice]
MANY = 14  # distinct smaller demonstrations beyond which there is no lens
PLACES = 40  # boxes in a grid beyond which there is no lens


@dataclass(frozen=True, eq=False)
class Lens:
    """A smaller task and how its answers are put back: from a grid for each of its tests, of the same shape, to one
    for each test of the whole.
    """

    name: str
    task: Task
    restore: Callable[[Sequence[Grid]], tuple[Grid, ...]]


def _box(region: Region) -> Box:
    rows, columns = region.mask.shape
    return slice(region.top, region.top + rows), slice(region.left, region.left + columns)


def _boxes(found: Sequence[Region]) -> list[Box]:
    return [_box(r) for r in found]


def _around_all(grid: Grid) -> list[Box]:
    found = regions.box(grid != 0)
    return [found] if found else []


BOXES: dict[str, Callable[[Grid], list[Box]]] = {
    "each thing": lambda g: _boxes(regions.of_any_diagonal(g)),
    "each region": lambda g: _boxes(regions.of_colour(g)),
    "each rectangle": lambda g: _boxes(pieces.rectangles(g)),
    "around all": _around_all,
}  # fmt: skip


def lenses(task: Task) -> Iterator[Lens]:
    """Lenses under which the task is another one, each different smaller task once."""
    if any(p.input.shape != p.output.shape for p in task.demonstrations):
        return
    seen: set[Mark] = set()
    for lens in (_lattice(task), *(_parted(task, name, of) for name, of in BOXES.items())):
        if lens is None:
            continue
        known = mark([g for p in lens.task.demonstrations for g in (p.input, p.output)])
        if known not in seen:
            seen.add(known)
            yield lens


def _pasted(grid: Grid, boxes: Sequence[Box], parts: Sequence[Grid]) -> Grid:
    made = grid.copy()
    for box, part in zip(boxes, parts, strict=True):
        made[box] = part
    return made


def _parted(task: Task, name: str, of: Callable[[Grid], list[Box]]) -> Lens | None:
    """A task whose grids are the boxes of this kind; None where something else changes, or nothing is left out."""
    pairs: dict[tuple[Mark, Mark], Pair] = {}
    for p in task.demonstrations:
        boxes = of(p.input)
        if not 1 <= len(boxes) <= PLACES or boxes[0] == (slice(0, p.input.shape[0]), slice(0, p.input.shape[1])):
            return None
        parts = [Pair(p.input[b].copy(), p.output[b].copy()) for b in boxes]
        if not same(_pasted(p.input, boxes, [q.output for q in parts]), p.output):
            return None
        pairs |= {(mark([q.input]), mark([q.output])): q for q in parts}
    places = [of(t) for t in task.tests]
    known = [part.copy() for t, boxes in zip(task.tests, places, strict=True) for part in (t[b] for b in boxes)]
    if not 2 <= len(pairs) <= MANY or len({one for one, _ in pairs}) < len(pairs) or not all(places):
        return None
    if len(known) > PLACES:
        return None

    def restore(grids: Sequence[Grid]) -> tuple[Grid, ...]:
        rest = iter(grids)
        return tuple(_pasted(t, b, [next(rest) for _ in b]) for t, b in zip(task.tests, places, strict=True))

    return Lens(name, Task(task.id, tuple(pairs.values()), tuple(known)), restore)


def _reduced(grid: Grid, boxes: Sequence[Sequence[Box]]) -> Grid | None:
    parts = [[grid[b] for b in line] for line in boxes]
    if any((p != p[0, 0]).any() for line in parts for p in line):
        return None
    return np.array([[p[0, 0] for p in line] for line in parts], np.uint8)


def _lattice(task: Task) -> Lens | None:
    """A task of one cell for each rectangle between full lines; None where a rectangle has two colours."""

    def boxes(grid: Grid) -> list[list[Box]] | None:
        return pieces.lattice(grid) or None

    def opened(grid: Grid, places: Sequence[Sequence[Box]], small: Grid) -> Grid:
        flat = [b for line in places for b in line]
        return _pasted(grid, flat, [np.full(grid[b].shape, c, np.uint8) for b, c in zip(flat, small.flat, strict=True)])

    pairs, tests, kept = [], [], []
    for p in task.demonstrations:
        places = boxes(p.input)
        small = [_reduced(g, places) for g in (p.input, p.output)] if places else []
        if not places or small[0] is None or small[1] is None or not same(opened(p.input, places, small[1]), p.output):
            return None
        pairs.append(Pair(small[0], small[1]))
    for t in task.tests:
        places = boxes(t)
        reduced = _reduced(t, places) if places else None
        if places is None or reduced is None:
            return None
        tests.append(reduced)
        kept.append(places)

    def restore(grids: Sequence[Grid]) -> tuple[Grid, ...]:
        every = zip(task.tests, kept, grids, strict=True)
        return tuple(opened(t, places, g) for t, places, g in every)

    return Lens("lattice", Task(task.id, tuple(pairs), tuple(tests)), restore)
