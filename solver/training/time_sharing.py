"""A trainer and an engine that share a card neither leaves room on for the other: one waits off it while one works.

Knows nothing of models: whatever can be offloaded and reloaded will do. Law: never do both hold the card at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.interfaces import Stop
from solver.types import Example, TrainJob, TrainReport


class TimeSharedTrainer:
    """The trainer as the algorithm sees it. The engine is offloaded already when this is built.

    `trainer` and `sampler` can `offload` what they have on the card and `reload` it, either twice in a row. The engine
    reloads by itself when it is asked for something, and calls `before_reload` first, which makes room for it.
    """

    def __init__(self, trainer: Any, sampler: Any):
        self.trainer, self.sampler = trainer, sampler
        self.notes: tuple[str, ...] = trainer.notes
        sampler.before_reload = trainer.offload

    def train(self, job: TrainJob, stop: Stop, steps: int | None = None) -> TrainReport:
        """The trainer's own; it keeps the card until the engine is asked for something."""
        report: TrainReport = self._on_the_card().train(job, stop, steps)
        return report

    def train_together(self, jobs: Sequence[TrainJob], stop: Stop) -> list[TrainReport]:
        """The trainer's own."""
        reports: list[TrainReport] = self._on_the_card().train_together(jobs, stop)
        return reports

    def vectors(self, examples: Sequence[Example], kind: str) -> NDArray[np.float32]:
        """The trainer's own."""
        vectors: NDArray[np.float32] = self._on_the_card().vectors(examples, kind)
        return vectors

    def _on_the_card(self) -> Any:
        self.sampler.offload()
        self.trainer.reload()
        return self.trainer
