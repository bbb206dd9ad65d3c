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
    """The answers' sizes by simple rules, one for the rows and one for the columns; None where there are none.

    The first that holds of: as the input's; constant; a ratio of, or a difference to, the same side; the same of the
    other side; a ratio of the number of colours; of the same side times that number; a difference to that number.
    """
    pairs = task.demonstrations
    sources = [_size_sources(g) for g in (*(p.input for p in pairs), *task.tests)]
    sides: list[list[int]] = []
    for axis in range(2):
        made = [p.output.shape[axis] for p in pairs]
        own, other = (0, 1) if axis == 0 else (1, 0)
        rules = [(-1, False), (own, False), (own, True), (other, False), (other, True)]
        rules += [(2, False), (3 + own, False), (2, True)]
        if made == [s[own] for s in sources[: len(pairs)]]:
            rules = [(own, True)]
        side = next((s for r in rules if (s := _fitted_side(sources, made, *r)) is not None), None)
        if side is None:
            return None
        sides.append(side)
    return list(zip(*sides, strict=True))


def _size_sources(grid: Grid) -> tuple[int, ...]:
    """What a size may follow from: rows, columns, colours other than 0, rows and columns times that."""
    h, w = grid.shape
    number = len(colours([grid]))
    return h, w, number, h * number, w * number


def _fitted_side(sources: Sequence[tuple[int, ...]], made: Sequence[int], what: int, more: bool) -> list[int] | None:
    """The tests' numbers of lines by the number `what` of the sources, -1: none; None where the rule does not hold.

    `made`: the demonstrations' outputs'. `more`: so many more, else in one ratio.
    """
    shown = len(made)
    if what < 0:
        return [made[0]] * (len(sources) - shown) if len(set(made)) == 1 and shown > 1 else None
    given = [s[what] for s in sources]
    if more:
        sizes = [g + made[0] - given[0] for g in given]
    elif given[0] == 0 or any(g * made[0] % given[0] for g in given):
        return None
    else:
        sizes = [g * made[0] // given[0] for g in given]
    return sizes[shown:] if sizes[:shown] == list(made) and all(1 <= s <= MAX_SIDE for s in sizes) else None
