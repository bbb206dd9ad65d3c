"""How a training goes through its examples and its seconds: the batches, and the learning-rate plan that fits."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from solver.clock import now
from solver.config.settings import TrainRecipe
from solver.interfaces import Stop
from solver.types import Example

MEASURED = 4  # steps (after one to warm up) before the pace is trusted to shorten the plan


class Share:
    """A part of the seconds that are left now."""

    def __init__(self, stop: Stop, part: float):
        self.stop, self.kept = stop, (1 - part) * stop.remaining()

    def remaining(self) -> float:
        return max(0.0, self.stop.remaining() - self.kept)


class Pace:
    """The learning-rate plan over the steps that fit the seconds.

    As long as the recipe's steps fit, the plan is the recipe's and the clock changes nothing; where they don't, the
    plan is shortened so that the rate still falls to zero in time. `done`: steps that were taken before.
    """

    def __init__(self, recipe: TrainRecipe, stop: Stop, done: int = 0):
        self.recipe, self.stop, self.done, self.planned = recipe, stop, done, recipe.steps
        self.since, self.started, self.first = now(), done, done

    def next_share(self) -> float | None:
        """Share of the peak rate for the next step; None where there is to be none."""
        left = self.stop.remaining()
        if self.done == self.first + 1:  # the first step warms caches up and is not measured
            self.since, self.started = now(), self.done
        elif self.done > self.first + MEASURED:
            seconds = (now() - self.since) / (self.done - self.started)
            self.planned = int(min(self.recipe.steps, self.done + left / max(seconds, 1e-6)))
        if self.done >= self.planned or left <= 0:
            return None
        progress = self.done / self.planned
        self.done += 1
        return min(self.done / max(1.0, self.recipe.warmup * self.planned), 0.5 + 0.5 * math.cos(math.pi * progress))


def batches(examples: Sequence[Example], tokens: int, seed: int, padded: bool = True) -> Iterator[list[Example]]:
    """The examples for ever, each pass in the order given but for the first in a new one, `tokens` a batch.

    `padded`: each example counts as long as the longest of its batch.
    """
    rng, order = np.random.default_rng(seed), list(range(len(examples)))
    while examples:
        group: list[Example] = []
        for index in order:
            sizes = [e.tokens.size for e in (*group, examples[index])]
            if group and (max(sizes) * len(sizes) if padded else sum(sizes)) > tokens:
                yield group
                group = []
            group.append(examples[index])
        yield group
        order = [int(i) for i in rng.permutation(len(examples))]
