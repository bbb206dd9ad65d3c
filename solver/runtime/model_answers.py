"""Answers to orders by the trainer and the engine: the only place where models meet the algorithm.

Law: each adapter is reported as soon as it is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from solver.batch import Batch, Models
from solver.clock import Deadline, now
from solver.config.settings import Config
from solver.pipeline import solve_batch
from solver.runtime.load_models import load_models
from solver.runtime.messages import AdapterTrained, Order, Report, Send, SharedAdapterTrained, TaskAnswered
from solver.runtime.shared_adapters import intact, keep
from solver.tokens.registry import load
from solver.training import nearest_tasks, shared_adapter
from solver.types import SHARED, TrainReport


class ModelAnswers:
    """Trainer and engine, loaded when this is built; called with an order it reports what its stage came to."""

    def __init__(self, weights: Path, config: Config, scratch: Path, send: Send):
        format = load(config.format, weights)
        trainer, sampler, config = load_models(weights, config, scratch)
        nearest = nearest_tasks.finder(trainer, config, weights, format)
        self.notes = (*sampler.notes, *trainer.notes)

        def trained(name: str, report: TrainReport) -> None:
            loss = round(report.losses[-1], 4) if report.losses else None
            send(AdapterTrained(name, report.steps, loss))

        self._models = Models(trainer, sampler, format, config, nearest, trained)
        self._counters = getattr(sampler, "counters", None)

    def __call__(self, order: Order, stop: Deadline) -> Iterator[Report]:
        """The results of the order's tasks, or the adapter that they are to share."""
        if order.stage == SHARED:
            started = now()
            report = shared_adapter.train(order.tasks, self._models, stop)
            adapter = keep(report.adapter, order.keep)
            yield SharedAdapterTrained(adapter, report.steps, report.planned, report.losses, now() - started)
            return
        batch = Batch(order.stage, order.tasks, order.train_seconds, intact(order.shared), order.hurried)
        results = solve_batch(batch, self._models, stop)
        engine = self._counters.take() if self._counters else {}  # of the whole batch, whose tasks shared the engine
        for result in results:
            yield TaskAnswered(result, engine)
