"""One batch of tasks on its way through the pipeline: what it is solved with, and what becomes of each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from solver.config.settings import Config
from solver.interfaces import Sampler, Trainer
from solver.tokens.grid import Format
from solver.types import Adapter, Candidate, Neighbour, Prompt, Task, TrainReport

Nearest: TypeAlias = Callable[[Task], tuple[Neighbour, ...]]
"""The tasks, or single examples of tasks, most like a given one, the most alike first."""

Requests: TypeAlias = list[tuple[Prompt, Adapter | None]]
"""What a sampler is asked at once."""


@dataclass(frozen=True, eq=False)
class Batch:
    """The tasks of one worker's time slice, in one stage."""

    stage: int
    tasks: tuple[Task, ...]
    train_seconds: Mapping[str, float]  # by task id, how long each may train
    shared: Mapping[str, Adapter] = field(default_factory=dict)  # by task id, the adapter it shares with others
    hurried: bool = False  # the seconds may not do: the views are sampled a quarter at a time


@dataclass(frozen=True, eq=False)
class Models:
    """What tasks are solved with."""

    trainer: Trainer
    sampler: Sampler
    format: Format
    config: Config
    nearest: Nearest | None = None  # finds the other tasks that `config.near` has a task learn from, if any
    trained: Callable[[str, TrainReport], None] = lambda *_: None  # told of each adapter once it is trained, by name


@dataclass
class TaskState:
    """What becomes of one task in one stage."""

    task: Task
    seed: int  # of everything random in it
    format: Format
    start: Adapter | None = None  # the adapter that training goes on from
    near: tuple[Neighbour, ...] = ()
    reuses_adapter: bool = False  # its adapter is another task's, as it is
    adapter: Adapter | None = None
    steps: int = 0
    planned: int = 0
    losses: tuple[float, ...] = ()
    rejected: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    candidates: list[list[Candidate]] = field(default_factory=list)  # one list a test input
    prompts: list[tuple[int, Prompt]] = field(default_factory=list)  # with the number of the view
