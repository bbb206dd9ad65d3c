"""Subtasks of a task: what happens to each thing by itself, or on a lattice of plain rectangles.

Law: what a subtask leaves out of a task stays as it is in every demonstration, and a demonstration's smaller outputs,
put back into its input, are its output.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from solver.programs.primitives import pieces, regions
from solver.programs.values import Grids, Mark, mark
from solver.types import Grid, Pair, Task, same

MANY = 14  # distinct smaller demonstrations beyond which there is no subtask
PLACES = 40  # boxes in a grid beyond which there is no subtask


@dataclass(frozen=True, eq=False)
class Subtask:
    """A smaller task and how its answers are put back: from a grid for each of its tests, of the same shape, to one
    for each test of the whole.
    """

    name: str
    task: Task
    restore: Callable[[Grids], tuple[Grid, ...]]


BOXES: dict[str, Callable[[Grid], list[regions.Box]]] = {
    "each thing": lambda grid: [r.box for r in regions.of_any_diagonal(grid)],
    "each region": lambda grid: [r.box for r in regions.of_colour(grid)],
    "each rectangle": lambda grid: [r.box for r in pieces.rectangles(grid)],
    "around all": lambda grid: [around] if (around := regions.box(grid != 0)) else [],
}


def subtasks(task: Task) -> Iterator[Subtask]:
    """The subtasks there are, each different smaller task once."""
    if any(p.input.shape != p.output.shape for p in task.demonstrations):
        return
    seen: set[Mark] = set()
    for subtask in (_on_lattice(task), *(_in_boxes(task, name, boxes_of) for name, boxes_of in BOXES.items())):
        known = mark([g for p in subtask.task.demonstrations for g in (p.input, p.output)]) if subtask else b""
        if subtask and known not in seen:
            seen.add(known)
            yield subtask


def _pasted(grid: Grid, boxes: Sequence[regions.Box], parts: Grids) -> Grid:
    pasted = grid.copy()
    for box, part in zip(boxes, parts, strict=True):
        pasted[box] = part
    return pasted


def _in_boxes(task: Task, name: str, boxes_of: Callable[[Grid], list[regions.Box]]) -> Subtask | None:
    """A task whose grids are the boxes of this kind; None where something else changes, or nothing is left out."""
    pairs: dict[tuple[Mark, Mark], Pair] = {}
    for p in task.demonstrations:
        boxes = boxes_of(p.input)
        if not 1 <= len(boxes) <= PLACES or boxes[0] == (slice(0, p.input.shape[0]), slice(0, p.input.shape[1])):
            return None
        parts = [Pair(p.input[b].copy(), p.output[b].copy()) for b in boxes]
        if not same(_pasted(p.input, boxes, [q.output for q in parts]), p.output):
            return None
        pairs |= {(mark([q.input]), mark([q.output])): q for q in parts}
    places = [boxes_of(t) for t in task.tests]
    tests = tuple(t[box].copy() for t, boxes in zip(task.tests, places, strict=True) for box in boxes)
    ambiguous = len({given for given, _ in pairs}) < len(pairs)
    if ambiguous or not 2 <= len(pairs) <= MANY or not all(places) or len(tests) > PLACES:
        return None

    def restore(grids: Grids) -> tuple[Grid, ...]:
        rest = iter(grids)
        return tuple(_pasted(t, b, [next(rest) for _ in b]) for t, b in zip(task.tests, places, strict=True))

    return Subtask(name, Task(task.id, tuple(pairs.values()), tests), restore)


def _reduced(grid: Grid, boxes: Sequence[Sequence[regions.Box]]) -> Grid | None:
    """A cell for each box; None where there is none, or one has two colours."""
    parts = [[grid[b] for b in line] for line in boxes]
    if not boxes or any((p != p[0, 0]).any() for line in parts for p in line):
        return None
    return np.array([[p[0, 0] for p in line] for line in parts], np.uint8)


def _enlarged(grid: Grid, small: Grid) -> Grid:
    """The grid with each box of its lattice in the colour of a cell of the small one."""
    boxes = [box for line in pieces.lattice(grid) for box in line]
    return _pasted(grid, boxes, [np.full(grid[b].shape, c, np.uint8) for b, c in zip(boxes, small.flat, strict=True)])


def _on_lattice(task: Task) -> Subtask | None:
    """A task of one cell for each rectangle between full lines; None where a rectangle has two colours."""
    pairs = []
    for p in task.demonstrations:
        small, output = (_reduced(g, pieces.lattice(p.input)) for g in (p.input, p.output))
        if small is None or output is None or not same(_enlarged(p.input, output), p.output):
            return None
        pairs.append(Pair(small, output))
    tests = tuple(small for t in task.tests if (small := _reduced(t, pieces.lattice(t))) is not None)
    if len(tests) < len(task.tests):
        return None
    smaller = Task(task.id, tuple(pairs), tests)
    return Subtask("lattice", smaller, lambda grids: tuple(map(_enlarged, task.tests, grids)))
