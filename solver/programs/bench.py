"""Programs a second: the search's way of enumerating against the naive one, on the same programs in the same run.

Naive: every program is run from its first step on every input, and stops at the first step that has nothing to say.
The search's way: a state is made once, whatever number of programs lead to it, and each primitive is applied to it
once; a program counts as covered when the outcome of its last step is known. States to which most programs lead come
first. Law: both reach the same outcomes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
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
    """`programs` covered in `seconds`; `outcomes`: distinct ones."""

    programs: int
    seconds: float
    outcomes: int

    @property
    def per_second(self) -> float:
        return self.programs / max(self.seconds, 1e-9)


def _run(program: Sequence[Unary], grid: Grid) -> Grid | None:
    for step in program:
        result = checked(step(grid))
        if result is None:
            return None
        grid = result
    return grid


def naive(
    task: Task, programs: Iterable[Sequence[Unary]], stop: Stop, now: Callable[[], float]
) -> tuple[Rate, set[Mark]]:
    """Run programs one after another until `stop`, with their outcomes; one that has nothing to say is covered too."""
    start, done, reached = now(), 0, set[Mark]()
    for program in programs:
        if done % 64 == 0 and stop.remaining() <= 0:
            break
        grids = outcome(partial(_run, program), inputs(task))
        reached |= {mark(grids)} if grids else set()
        done += 1
    return Rate(done, now() - start, len(reached)), reached


def shared(
    task: Task, steps: int, stop: Stop, now: Callable[[], float], chosen: Sequence[Primitive[Unary]] = ()
) -> tuple[Rate, list[set[Mark]]]:
    """All programs of 1 to `steps` steps of `chosen` primitives (none: all) by distinct states; outcomes by step."""
    start, covered = now(), 0
    chosen = chosen or operators(task).unary
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
                results = [grids for p in chosen if (grids := outcome(p.run, states[known])) is not None]
                children[known] = [mark(grids) for grids in results]
                states |= zip(children[known], results, strict=True)
            covered += programs * len(chosen)
            for child in children[known]:
                following[child] += programs
        level = following
        reached.append(set(following))
    return Rate(covered, now() - start, len(set().union(*reached))), reached


def same_outcomes(task: Task, stop: Stop, now: Callable[[], float]) -> bool:
    """Whether both ways reach the same outcomes with all programs of two steps of every tenth primitive."""
    chosen = operators(task).unary[::10]
    _, by_steps = shared(task, 2, stop, now, chosen)
    _, reached = naive(task, ([one.run, two.run] for one, two in product(chosen, chosen)), stop, now)
    return by_steps[-1] == reached


def drawn(task: Task, number: int, seed: int) -> list[list[Unary]]:
    """Programs of `STEPS` steps drawn evenly: what nearly all programs of up to `STEPS` steps are."""
    rng = np.random.default_rng(seed_for(seed, task.id, "bench"))
    choices = operators(task).unary
    return [[choices[n].run for n in row] for row in rng.integers(len(choices), size=(number, STEPS))]
