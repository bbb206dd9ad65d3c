"""Programs a second: the search's way of enumerating against the naive one, on the same programs in the same run.

Naive: every program is run from its first step on every input, and stops at the first step that has nothing to say.
The search's way: a state is made once, whatever number of programs lead to it, and each primitive is applied to it
once; a program counts as covered when the outcome of its last step is known. States to which most programs lead come
first. Law: both reach the same outcomes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from solver.interfaces import Stop
from solver.programs.primitives.registry import Primitive, Unary, checked
from solver.programs.search import operators, outcome
from solver.programs.values import Mark, inputs, mark
from solver.types import Grid, Task, seed_for

STEPS = 4  # of the longest programs


@dataclass(frozen=True)
class Rate:
    """`programs` covered in `seconds`; `applied`: uses of a primitive on all inputs; `outcomes`: distinct ones."""

    programs: int
    seconds: float
    applied: int
    outcomes: int

    @property
    def per_second(self) -> float:
        return self.programs / max(self.seconds, 1e-9)


def primitives(task: Task) -> tuple[Primitive[Unary], ...]:
    """The primitives compared: all from grid to grid, colours bound."""
    return operators(task).unary


def naive(
    task: Task, programs: Iterable[Sequence[Unary]], stop: Stop, now: Callable[[], float]
) -> tuple[Rate, set[Mark]]:
    """Run programs one after another until `stop`, with their outcomes; one that has nothing to say is covered too."""
    start, applied, done = now(), 0, 0
    reached: set[Mark] = set()
    for program in programs:
        if done % 64 == 0 and stop.remaining() <= 0:
            break
        grids: list[Grid] = []
        for grid in inputs(task):
            current: Grid | None = grid
            for step in program:
                applied += 1
                current = None if current is None else checked(step(current))
                if current is None:
                    break
            if current is None:
                break
            grids.append(current)
        else:
            reached.add(mark(grids))
        done += 1
    return Rate(done, now() - start, applied, len(reached)), reached


def shared(
    task: Task, steps: int, stop: Stop, now: Callable[[], float], chosen: Sequence[Primitive[Unary]] = ()
) -> tuple[Rate, list[set[Mark]]]:
    """All programs of 1 to `steps` steps of `chosen` primitives (none: all) by distinct states; outcomes by step."""
    start, applied, covered = now(), 0, 0
    operators_ = chosen or primitives(task)
    states = {mark(inputs(task)): inputs(task)}
    children: dict[Mark, list[Mark]] = {}
    level = Counter(states.keys())
    reached: list[set[Mark]] = []
    for _ in range(steps):
        following = Counter[Mark]()
        for known, programs in level.most_common():
            if stop.remaining() <= 0:
                break
            if known not in children:
                children[known] = []
                for primitive in operators_:
                    applied += 1
                    grids = outcome(primitive.run, states[known])
                    if grids is not None:
                        child = mark(grids)
                        states.setdefault(child, grids)
                        children[known].append(child)
            covered += programs * len(operators_)
            for child in children[known]:
                following[child] += programs
        level = following
        reached.append(set(following))
    return Rate(covered, now() - start, applied, len(set().union(*reached))), reached


def same_outcomes(task: Task, stop: Stop, now: Callable[[], float]) -> bool:
    """Whether both ways reach the same outcomes with all programs of two steps of every tenth primitive."""
    chosen = primitives(task)[::10]
    _, by_steps = shared(task, 2, stop, now, chosen)
    _, reached = naive(task, ([one.run, two.run] for one, two in product(chosen, chosen)), stop, now)
    return by_steps[-1] == reached


def drawn(task: Task, number: int, seed: int) -> list[list[Unary]]:
    """Programs of `STEPS` steps drawn evenly: what nearly all programs of up to `STEPS` steps are."""
    rng = np.random.default_rng(seed_for(seed, task.id, "bench"))
    choices = primitives(task)
    return [[choices[n].run for n in row] for row in rng.integers(len(choices), size=(number, STEPS))]
