"""What the comparisons share: the tasks with their adapters, the engine, transformers beside it, and paired runs."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from solver.clock import Deadline, now
from solver.config.settings import EngineSettings, TrainRecipe
from solver.data import tasks
from solver.data import views as task_views
from solver.model import checkpoint
from solver.pipeline import expected_reply
from solver.tokens import grid
from solver.types import Adapter, Prompt, Task, TrainJob
from tests.bench.elsewhere import Elsewhere
from tests.support.fakes import leave_one_out

FAR = 24 * 3600.0  # seconds: no deadline
ROOM = 4096  # tokens of the engine's context


@dataclass(frozen=True)
class Seconds:
    """Seconds of one side's runs: by the clock on the wall, and of the processor, which other jobs disturb less."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...] = ()


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of the usual way and of ours, run by run, and what was found to be equal or not."""

    name: str
    usual: Seconds
    ours: Seconds
    goal: float
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times faster: the median of the runs' ratios."""
        return statistics.median(_ratios(self.usual.wall, self.ours.wall))

    def line(self) -> str:
        """As a row of the table."""
        ratios, cpu = (_ratios(*both) for both in ((self.usual.wall, self.ours.wall), (self.usual.cpu, self.ours.cpu)))
        a, b = (statistics.median(side.wall) for side in (self.usual, self.ours))
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        processor = f"{statistics.median(cpu):.2f}" if cpu else ""
        return (
            f"| {self.name} | {a:.2f} | {b:.2f} | {self.ratio:.2f} ({spread}) | {processor} | {self.goal} "
            f"| {self.note} |"
        )

    def values(self) -> dict[str, Any]:
        """As plain values for JSON."""
        seconds = {"usual": self.usual.wall, "ours": self.ours.wall}
        processor = {"usual_cpu": self.usual.cpu, "ours_cpu": self.ours.cpu}
        return {"name": self.name, **seconds, **processor, "ratio": self.ratio, "goal": self.goal, "note": self.note}


def _ratios(usual: tuple[float, ...], ours: tuple[float, ...]) -> list[float]:
    return [a / b for a, b in zip(usual, ours, strict=True)]


class Bench:
    """What there is to compare with and on; each part is made when it is first asked for, the engine before torch."""

    def __init__(self, options: argparse.Namespace, directory: Path):
        self.options, self.directory = options, directory
        exact = options.only == ["parity"]
        self.count = options.adapters if exact else max(options.tasks, options.adapters)
        self.dtype = "float32" if exact else options.dtype
        self.recipe = TrainRecipe(steps=options.steps)
        self.tasks = chosen(options.split, self.count, options.limit)
        if set(options.only) - {"training", "side-by-side"} or options.linearity or options.memory:
            self.sampler.counters.take()

    @cached_property
    def sampler(self) -> Any:
        """The engine."""
        from solver.inference.vllm_sampler import VllmSampler

        adapters = max(4, self.count)
        settings = EngineSettings(context=ROOM, dtype=self.dtype, adapters=adapters, threads=self.options.threads)
        return VllmSampler(checkpoint.SHIPPED, settings, grid.END)

    @cached_property
    def trainer(self) -> Any:
        """The solver's trainer."""
        import torch

        from solver.training.trainer import LoraTrainer

        torch.set_num_threads(self.options.threads)
        return LoraTrainer(checkpoint.SHIPPED, self.recipe, self.directory, ROOM)

    @cached_property
    def adapters(self) -> dict[str, Adapter]:
        """An adapter for every task, by the task's id."""
        made = {
            t.id: self.trainer.train(TrainJob(t.id, self.examples(t), 0), Deadline.after(FAR)).adapter
            for t in self.tasks
        }
        return {name: adapter for name, adapter in made.items() if adapter is not None}

    @cached_property
    def elsewhere(self) -> Elsewhere:
        """Transformers with the same adapters, in a process of its own."""
        return Elsewhere(list(self.adapters.values()), self.dtype, self.options.threads)

    def processor(self) -> float:
        """Seconds of processor time so far, of both processes."""
        return time.process_time() + (self.elsewhere.cpu if "elsewhere" in self.__dict__ else 0.0)

    def examples(self, task: Task) -> list[Any]:
        """A task's training examples."""
        return leave_one_out(task, 250, 0, 2048)

    def paired(self, usual: Callable[[], Any], ours: Callable[[], Any]) -> tuple[Seconds, Seconds, Any, Any]:
        """Seconds of both, run by run, now the one first and now the other; and what each gave last.

        Ours starts every run with an empty prefix cache.
        """
        wall: tuple[list[float], list[float]] = ([], [])
        cpu: tuple[list[float], list[float]] = ([], [])
        results: list[Any] = [None, None]
        for run in range(-1, self.options.pairs):  # the first, which warms both up, does not count
            for which in (0, 1) if run % 2 == 0 else (1, 0):
                if "sampler" in self.__dict__:
                    self.sampler.llm.reset_prefix_cache()
                started, processor = now(), self.processor()
                results[which] = (usual, ours)[which]()
                if run >= 0:
                    wall[which].append(now() - started)
                    cpu[which].append(self.processor() - processor)
        seconds = [Seconds(tuple(w), tuple(c)) for w, c in zip(wall, cpu, strict=True)]
        return seconds[0], seconds[1], *results

    def requests(self, count: int, views: int) -> list[tuple[Prompt, Adapter]]:
        """The first `count` tasks under so many views, each with its own adapter."""
        return [(prompt, self.adapters[t.id]) for t in self.tasks[:count] for prompt in views_of(t, views)]


def chosen(split: str, count: int, limit: int) -> list[Task]:
    """Tasks whose first test input makes a prompt of at most `limit` tokens, spread evenly over the split."""
    found = fitting(split, limit)
    if len(found) < count:
        sys.exit(f"{len(found)} tasks of {split} have prompts of at most {limit} tokens: expected {count}")
    return [found[i * len(found) // count] for i in range(count)]


def fitting(split: str, limit: int) -> list[Task]:
    """Tasks whose first test input makes a prompt of at most `limit` tokens."""
    return [t for t in tasks.load_split(split).tasks if len(views_of(t, 1)[0].tokens) <= limit]


def views_of(task: Task, count: int) -> list[Prompt]:
    """Prompts for a task's first test input under its first views, as the pipeline makes them."""
    shown = Task(task.id, task.demonstrations, task.tests[:1])
    made = []
    for view in task_views.views(shown, count, 0, "views 0"):
        seen = task_views.apply_task(view, shown)
        tokens = tuple(grid.GRID.encode_prompt(seen.demonstrations, seen.tests[0]).tolist())
        made.append(Prompt(task.id, 0, view, tokens, expected_reply(task.demonstrations, task.tests[0])))
    return made
