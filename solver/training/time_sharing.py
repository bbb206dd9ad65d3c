"""A trainer and an engine that share a card neither leaves room on for the other: each rests while the other works.

Knows nothing of models: whatever can rest and wake will do. Law: never do both hold the card at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from solver.interfaces import Stop, Trainer
from solver.types import Adapter, Example, TrainJob, TrainReport


class Offloadable(Protocol):
    """What can give the card up and take it again; either may be said twice."""

    def offload(self) -> None:
        """Give the card up."""
        ...

    def reload(self) -> None:
        """Take the card."""
        ...


class OffloadableTrainer(Trainer, Offloadable, Protocol):
    """A trainer that can rest."""

    def train_together(self, jobs: Sequence[TrainJob], stop: Stop) -> list[TrainReport]:
        """An adapter for each lesson, side by side."""
        ...

    def vectors(self, examples: Sequence[Example], kind: str) -> NDArray[np.float32]:
        """What each example is to the base model, [examples, numbers], for comparing tasks."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of it."""
        ...


class OffloadableSampler(Offloadable, Protocol):
    """An engine that can rest, and wakes by itself when it is asked; `before_reload` makes room for it."""

    before_reload: Callable[[], None]


class TimeSharedTrainer:
    """The trainer as the algorithm sees it. The engine is resting already when this is built."""

    def __init__(self, trainer: OffloadableTrainer, sampler: OffloadableSampler):
        self.trainer, self.sampler = trainer, sampler
        self.notes = trainer.notes
        sampler.before_reload = trainer.offload

    def train(
        self,
        name: str,
        examples: Sequence[Example],
        seed: int,
        stop: Stop,
        start_from: Adapter | None = None,
        steps: int | None = None,
    ) -> TrainReport:
        """Train with the engine at rest; the trainer keeps the card until the engine is asked for something."""
        self._take_the_card()
        return self.trainer.train(name, examples, seed, stop, start_from, steps)

    def train_together(self, jobs: Sequence[TrainJob], stop: Stop) -> list[TrainReport]:
        """The trainer's own, with the engine at rest."""
        self._take_the_card()
        return self.trainer.train_together(jobs, stop)

    def vectors(self, examples: Sequence[Example], kind: str) -> NDArray[np.float32]:
        """The trainer's own, with the engine at rest."""
        self._take_the_card()
        return self.trainer.vectors(examples, kind)

    def _take_the_card(self) -> None:
        self.sampler.offload()
        self.trainer.reload()
