"""What the search works on: states (one grid for each demonstration and test input) and what it proposes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from solver.interfaces import Stop
from solver.types import COLOURS, Grid, Task

Mark = bytes
Grids: TypeAlias = Sequence[Grid]
"""One of each demonstration, then, but for outputs, of each test input."""


@dataclass(frozen=True)
class Until:
    """A stop that comes so many seconds before another."""

    stop: Stop
    before: float

    def remaining(self) -> float:
        return max(0.0, self.stop.remaining() - self.before)


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a program answers: one grid for each test input.

    `program`: its text. `cost`: description length, in steps. `generalises`: the share of demonstrations, 0 to 1, that
    what is learned from the others alone gets right; 1 where nothing is learned. `support`: programs found that answer
    the same. `primitives`: names of those it uses.
    """

    grids: tuple[Grid, ...]
    program: str
    cost: float
    generalises: float = 1.0
    support: int = 1
    primitives: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class State:
    """The outcome of a program on every demonstration input, then every test input.

    `parent`: the state it was made from by `step`, None for the inputs themselves. `steps`: primitives used.
    """

    grids: tuple[Grid, ...]
    cost: float
    parent: State | None = None
    step: str = ""
    steps: int = 0

    @property
    def text(self) -> str:
        """The program: its steps in the order they are done."""
        return self.parent.followed_by(self.step) if self.parent else "input"

    def followed_by(self, step: str) -> str:
        """The program of one step more."""
        return f"{self.text} | {step}" if self.parent else step

    def reordered(self, order: Sequence[int]) -> State:
        """The state on these demonstrations alone, in this order: the last is the test."""
        return replace(self, grids=tuple(self.grids[k] for k in order))

    def then(self, grids: tuple[Grid, ...], cost: float, step: str) -> State:
        """The state after one step more; `cost`: of the whole program."""
        return State(grids, cost, self, step, self.steps + 1)

    def proposal(self, grids: Grids, text: str, cost: float) -> Proposal:
        """What a final step after this state answers: the step's own text and cost."""
        return Proposal(tuple(grids), f"{self.text} | {text}", self.cost + cost, primitives=self.primitives)

    @property
    def primitives(self) -> frozenset[str]:
        """Names of what its steps use: without colours, a taking apart and what puts together each by itself."""
        if self.parent is None:
            return frozenset()
        return self.parent.primitives | frozenset(self.step.partition("(")[0].split("."))


def inputs(task: Task) -> tuple[Grid, ...]:
    """Every input of the task, the demonstrations' first."""
    return tuple(p.input for p in task.demonstrations) + task.tests


def background(task: Task) -> int:
    """The colour that is to be background: 0, or the one most frequent in every input where 0 is rare."""
    most = {int(np.bincount(g.ravel(), minlength=COLOURS).argmax()) for g in inputs(task)}
    zero = np.mean([(g == 0).mean() for g in inputs(task)])
    return most.pop() if len(most) == 1 and zero < 0.1 else 0


def mark(grids: Grids) -> Mark:
    """Equal for equal sequences of grids alone."""
    return b"".join(bytes(g.shape) + g.tobytes() for g in grids)
