"""Colours by the part they play, and the size of the answer: what is read off a task before it is searched."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solver.programs.values import background, inputs
from solver.types import COLOURS, MAX_SIDE, Grid, Pair, Task

Shape = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Recoloured:
    """A task in other colours. `back`: for each test input, what each colour was, shape [10]."""

    task: Task
    back: tuple[Grid, ...]

    def restore(self, grids: Sequence[Grid]) -> tuple[Grid, ...]:
        """Answers in the colours of the task as it came."""
        return tuple(own[grid] for own, grid in zip(self.back, grids, strict=True))


def recoloured(task: Task, changes: Sequence[Sequence[int]]) -> Recoloured:
    """The task with colours changed, each demonstration's and then each test input's by its own permutation."""
    maps = [np.array(change, np.uint8) for change in changes]
    shown = len(task.demonstrations)
    pairs = tuple(Pair(m[p.input], m[p.output]) for m, p in zip(maps, task.demonstrations, strict=False))
    tests = tuple(m[g] for m, g in zip(maps[shown:], task.tests, strict=True))
    back = tuple(np.argsort(m).astype(np.uint8) for m in maps[shown:])
    return Recoloured(Task(task.id, pairs, tests), back)


def with_background(task: Task) -> Recoloured:
    """The task with its background as 0."""
    colour = background(task)
    change = [colour if c == 0 else 0 if c == colour else c for c in range(COLOURS)]
    return recoloured(task, [change] * len(inputs(task)))


def by_roles(task: Task) -> Recoloured | None:
    """The task with the colours that differ between inputs numbered by how often they stand in each.

    A colour stays as it is where it stands in every input, or in an output whose input has none of it. None where no
    colour would change.
    """
    present = [set(np.unique(g).tolist()) - {0} for g in inputs(task)]
    fixed = set.intersection(*present)
    for pair in task.demonstrations:
        fixed |= set(np.unique(pair.output).tolist()) - set(np.unique(pair.input).tolist())
    free = [c for c in range(1, COLOURS) if c not in fixed]
    changes = []
    for grid in inputs(task):
        count = np.bincount(grid.ravel(), minlength=COLOURS)
        ranked = sorted(free, key=lambda c: (-count[c], c))
        change = list(range(COLOURS))
        for place, colour in zip(free, ranked, strict=True):
            change[colour] = place
        changes.append(change)
    return recoloured(task, changes) if any(change != list(range(COLOURS)) for change in changes) else None


def flipped(task: Task) -> Task:
    """The task with every demonstration once more, mirrored along the diagonal."""
    more = tuple(Pair(np.ascontiguousarray(p.input.T), np.ascontiguousarray(p.output.T)) for p in task.demonstrations)
    return Task(task.id, (*task.demonstrations, *more), task.tests)


def colours(grids: Sequence[Grid]) -> list[int]:
    """The colours other than 0 that stand in any of them."""
    return sorted({int(c) for g in grids for c in np.unique(g)} - {0})


def simple_sizes(task: Task) -> list[Shape] | None:
    """The answers' sizes by the simplest of: as the input; always the same; in one ratio to the input."""
    pairs = task.demonstrations
    shapes = [(p.input.shape, p.output.shape) for p in pairs]
    if all(given == made for given, made in shapes):
        return [(g.shape[0], g.shape[1]) for g in task.tests]
    first = shapes[0][1]
    if all(made == first for _, made in shapes) and len(pairs) > 1:
        return [(first[0], first[1])] * len(task.tests)
    (h, w), (rows, columns) = shapes[0]
    if all(m[0] * h == g[0] * rows and m[1] * w == g[1] * columns for g, m in shapes):
        sizes = [(g.shape[0] * rows, g.shape[1] * columns) for g in task.tests]
        if all(a % h == 0 and b % w == 0 and h <= a <= MAX_SIDE * h and w <= b <= MAX_SIDE * w for a, b in sizes):
            return [(a // h, b // w) for a, b in sizes]
    return None
