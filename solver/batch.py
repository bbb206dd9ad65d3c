"""One batch of tasks on its way through the pipeline: what it is solved with, and what becomes of each task.

Knows nothing of torch, vLLM, files or processes: models are Protocols here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from solver.config.settings import Config
from solver.interfaces import Format, Sampler, Trainer
from solver.types import ADAPTER, Adapter, Candidate, Neighbour, Prompt, Task, TaskResult, TrainReport, seed_for

Nearest: TypeAlias = Callable[[Task], tuple[Neighbour, ...]]
"""The tasks, or single examples of tasks, most like a given one, the most alike first."""


@dataclass(frozen=True, eq=False)
class Batch:
    """The tasks of one worker's time slice, in one stage.

    `train_seconds`: by task id, how long each may train. `shared`: by task id, the adapter it shares with others.
    `hurried`: the seconds may not do, so a quarter of the views is sampled after the other, not all at once.
    """

    stage: int
    tasks: tuple[Task, ...]
    train_seconds: Mapping[str, float]
    shared: Mapping[str, Adapter] = field(default_factory=dict)
    hurried: bool = False


@dataclass(frozen=True, eq=False)
class Models:
    """What tasks are solved with. `nearest`: finds the other tasks that `config.near` has a task learn from, if any.

    `trained`: told of each adapter as soon as it is trained, by name.
    """

    trainer: Trainer
    sampler: Sampler
    format: Format
    config: Config
    nearest: Nearest | None = None
    trained: Callable[[str, TrainReport], None] = lambda *_: None


@dataclass
class TaskState:
    """What becomes of one task in one stage. `seed`: of everything random in it. `format`: how the model reads.

    `start`: the adapter that training goes on from. `reuses_adapter`: its adapter is another task's, as it is.
    `prompts`: (number of the view, prompt). `candidates`: one list a test input.
    """

    task: Task
    seed: int
    format: Format
    start: Adapter | None = None
    near: tuple[Neighbour, ...] = ()
    reuses_adapter: bool = False
    adapter: Adapter | None = None
    steps: int = 0
    planned: int = 0
    losses: tuple[float, ...] = ()
    rejected: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    candidates: list[list[Candidate]] = field(default_factory=list)
    prompts: list[tuple[int, Prompt]] = field(default_factory=list)

    @classmethod
    def begin(cls, task: Task, stage: int, models: Models) -> TaskState:
        """The state before anything is done: the run's own seed up to `ADAPTER`, one of their own in later stages."""
        seed = models.config.seed
        if stage > ADAPTER:
            seed = seed_for(seed, task.id, f"round {stage}")  # by another word the same seed would draw other views
        return cls(task, seed, models.format)

    def result(self, stage: int) -> TaskResult:
        """What the stage came to, for the vote over all stages."""
        return TaskResult(
            task_id=self.task.id,
            stage=stage,
            candidates=tuple(tuple(of_test) for of_test in self.candidates),
            rejected=self.rejected,
            steps=self.steps,
            planned=self.planned,
            losses=self.losses,
            seconds=self.seconds,
            notes=tuple(self.notes),
        )
