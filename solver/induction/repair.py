"""One more chance for programs that fail on a demonstration: what is asked, showing the error or the wrong cells.

The nearest misses come first: those right on the most demonstrations, then those with the fewest wrong cells. They are
shown how they fail on the first demonstration they do not reproduce, those in their question before any for which the
context had no room; never anything of a test output.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from solver.induction.forms import Question
from solver.induction.sandbox.sandbox import Outcome
from solver.types import Grid, Task, same

CELLS = 10  # wrong cells that are shown
OTHER = "another output than a demonstration's"
REQUEST = "Correct the program. Reply with one Python block that holds all of it."


@dataclass(frozen=True)
class NearMiss:
    """A program that some replies held, and how it fails: it is `right` on so many demonstrations.

    `wrong`: the share of cells that are wrong in the first it fails on, 1 where there is no output of that shape.
    `example`: the number of that one, from 1 on. `reason`: why, in a few words; `complaint`: the same for who is to
    correct it.
    """

    source: str
    replies: int
    right: int
    wrong: float
    example: int
    reason: str
    complaint: str

    @property
    def rank(self) -> tuple[int, float, int, int, str]:
        """What misses are ordered by, the nearest first."""
        return -self.right, self.wrong, -self.replies, len(self.source), self.source


def near_miss(task: Task, source: str, replies: int, outcomes: Sequence[Outcome]) -> NearMiss | None:
    """How a program misses, by what it made of the demonstrations' inputs; None where it reproduces every output."""
    pairs = list(zip(task.demonstrations, outcomes, strict=False))
    failing = [n for n, (pair, outcome) in enumerate(pairs) if not fits(outcome, pair.output)]
    if not failing:
        return None
    pair, outcome = pairs[failing[0]]
    right, example = len(pairs) - len(failing), failing[0] + 1
    if outcome.grid is None:
        return NearMiss(source, replies, right, 1.0, example, outcome.reason, f"it fails: {outcome.reason}")
    wrong = 1.0
    if outcome.grid.shape == pair.output.shape:
        wrong = float(np.mean(outcome.grid != pair.output))
    return NearMiss(source, replies, right, wrong, example, OTHER, difference(outcome.grid, pair.output))


def fits(outcome: Outcome, output: Grid) -> bool:
    """Whether it is this output."""
    return outcome.grid is not None and same(outcome.grid, output)


def difference(came: Grid, wanted: Grid) -> str:
    """In words, how a grid differs from the one that was wanted."""
    if came.shape != wanted.shape:
        return f"it returns an array of shape {came.shape}; the output has shape {wanted.shape}."
    places = np.argwhere(came != wanted).tolist()
    told = [f"[{i}, {j}] is {came[i, j]}, not {wanted[i, j]}" for i, j in places[:CELLS]]
    more = f"; and {len(places) - CELLS} more" if len(places) > CELLS else ""
    return f"{len(places)} of {wanted.size} cells are wrong: {'; '.join(told)}{more}."


def repair_question(asked: Question, miss: NearMiss, demonstrations: int, left_out: int = 0) -> Question:
    """The question that goes on from `asked` with a program in reply to it, and why that is wrong.

    `left_out`: how many of the demonstrations, the last ones, are not in the question.
    """
    answer = f"```python\n{miss.source.strip()}\n```"
    shown = miss.example <= demonstrations - left_out
    where = f"example {miss.example}" if shown else "an example that was not shown"
    complaint = f"It is right for {miss.right} of {demonstrations} examples. For the input of {where}, {miss.complaint}"
    return replace(asked, turns=(*asked.turns, answer, f"{complaint}\n{REQUEST}"))
