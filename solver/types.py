"""The nouns every module shares, all of them frozen values; and the error that stops a run."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

MAX_SIDE = 30  # cells: the largest grid the corpus allows
COLOURS = 10  # colours are the integers 0 to 9
ATTEMPTS = 2  # answers allowed for each test input
PROVEN, INDUCTION, PROGRAMS, BASE, SHARED, ADAPTER = -2, -1, 0, 1, 2, 3
"""Stages: placeholders that reproduce the demonstrations, known before any stage is run; programs that a code model
writes; ones that are searched for, without any model; the base model's quick answers; adapters shared by tasks; an
adapter a task; further ones count on."""

WORTH_OF_GENERALISING = 4.0  # steps: what a program costs more that is right on no demonstration left out of its search

Grid: TypeAlias = NDArray[np.uint8]
"""A grid: shape [rows 1–30, columns 1–30], dtype uint8, values 0–9. Treated as read-only."""


class BadInput(ValueError):
    """Stops a run (exit status 2). One line: what came, what was expected, what to do."""


def same(a: Grid, b: Grid) -> bool:
    """Whether two grids are equal in shape and in every cell."""
    return a.shape == b.shape and bool((a == b).all())


def solves(attempts: Attempts | None, right: Grid) -> bool:
    """Whether either attempt is the right answer; None, no attempts at all, is not."""
    return attempts is not None and any(same(attempt, right) for attempt in attempts)


def key(grid: Grid) -> tuple[int, int, bytes]:
    """A hashable stand-in for a grid: (rows, columns, cells row by row). Equal exactly when `same` says so."""
    return grid.shape[0], grid.shape[1], np.ascontiguousarray(grid, dtype=np.uint8).tobytes()


def by_programs(number: int) -> bool:
    """Whether a stage's candidates are what programs answer."""
    return number <= PROGRAMS


def stage_name(number: int) -> str:
    """A stage in words people know."""
    named = ("placeholders", "induction", "programs", "base model", "shared adapter", "adapter")
    return named[number - PROVEN] if number <= ADAPTER else f"refinement {number - ADAPTER}"


def seed_for(seed: int, task_id: str, purpose: str) -> int:
    """The one source of randomness: a 32-bit seed that depends on (run seed, task id, what it is for) alone."""
    return zlib.crc32(f"{seed}/{zlib.crc32(task_id.encode())}/{purpose}".encode())


@dataclass(frozen=True, eq=False)
class Pair:
    """A demonstration pair: an input grid and its output grid."""

    input: Grid
    output: Grid


@dataclass(frozen=True, eq=False)
class Task:
    """A task as the solver sees it: demonstrations and test inputs; the test outputs are never in reach."""

    id: str
    demonstrations: tuple[Pair, ...]
    tests: tuple[Grid, ...]


@dataclass(frozen=True)
class View:
    """An invertible augmentation of a task."""

    dihedral: int = 0  # 0–7, see `views.dihedral`
    colours: tuple[int, ...] = tuple(range(COLOURS))  # colour c becomes colours[c]; a permutation of 0–9
    order: tuple[int, ...] = ()  # of the demonstrations, a permutation of their indices, or () for the order given


@dataclass(frozen=True, eq=False)
class Example:
    """One training sequence."""

    tokens: NDArray[np.int32]  # [length]
    loss: NDArray[np.bool_]  # [length], True where the token is to be predicted


@dataclass(frozen=True, eq=False)
class Prompt:
    """What is asked of the sampler: one test input of one task under one view, as token ids."""

    task_id: str
    test: int
    view: View
    tokens: tuple[int, ...]  # they may end with the beginning of a reply, which is then continued
    max_reply: int  # tokens to be said at most
    alternatives: int = 0  # so many other tokens are wanted beside each one said
    floor: float = -math.inf  # nats below which replies are of no use: the sampler may leave off, unfinished
    temperature: float = 0.0  # 0 asks for the greedy reply; above it one is drawn, by `seed`
    seed: int = 0


@dataclass(frozen=True)
class Adapter:
    """A trained LoRA or output head: its directory, and the name it is served under (one name, one content)."""

    name: str
    path: Path


@dataclass(frozen=True, eq=False)
class Neighbour:
    """A task of a library, as far as it is like a given one."""

    task: Task
    similarity: float  # cosine, −1 to 1
    adapter: Adapter | None = None  # its own, if it has one
    left_out: int | None = None  # the demonstration whose example alone was compared; None: the whole task was

    @property
    def name(self) -> str:
        """The task's id and, of an example, where its file has what is asked for."""
        return self.task.id if self.left_out is None else f"{self.task.id} train[{self.left_out}]"


@dataclass(frozen=True)
class Reply:
    """What the model said."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]  # nats of each token
    finished: bool  # whether it ended by itself
    alternatives: tuple[tuple[tuple[int, float], ...], ...] = ()  # to each token, with their nats, likeliest first

    @property
    def logprob(self) -> float:
        """Log-probability of the whole reply in nats."""
        return float(sum(self.logprobs))


@dataclass(frozen=True)
class Program:
    """What computed an answer where no model said it; it reproduces every demonstration."""

    text: str
    cost: float  # description length, in steps
    generalises: float  # the share of demonstrations, 0 to 1, that are right as well where left out of the search
    support: int = 1  # programs found that answer the same


def worth(cost: float, generalises: float) -> float:
    """What programs are ordered by, the lowest first: description length, more where it does not generalise."""
    return cost + WORTH_OF_GENERALISING * (1.0 - generalises)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A decoded answer grid, turned back into the task's own frame, with the view that produced it and its nats."""

    grid: Grid
    view: View
    logprob: float
    # Nats of the grid re-read under the scoring views, which all candidates of a test input share, one after another;
    # fewer where it was beaten before the last view, none where nothing was re-read.
    scores: tuple[float, ...] = ()
    program: Program | None = None  # what computed the grid, where no model said it: under the identity, with 0 nats


@dataclass(frozen=True)
class TrainReport:
    """What a training made, in `steps` of `planned` ones."""

    adapter: Adapter | None  # None if nothing was learned
    steps: int
    planned: int
    losses: tuple[float, ...] = ()  # nats a token, one a step
    failure: str = ""  # what was not finite, where that is why there is no adapter


@dataclass(frozen=True, eq=False)
class TrainJob:
    """What one adapter is to be trained on, under which name and seed."""

    name: str
    examples: Sequence[Example]
    seed: int
    start_from: Adapter | None = None  # an adapter of the same recipe, which is not changed; None: the base weights


Outputs: TypeAlias = Mapping[str, Sequence[Grid]]
"""Task id → the right outputs, one a test input."""

Attempts: TypeAlias = tuple[Grid, Grid]
"""attempt_1 and attempt_2 for one test input; always two different grids."""


@dataclass(frozen=True, eq=False)
class TaskResult:
    """What one stage came to for one task, in `steps` of `planned` training steps."""

    task_id: str
    stage: int
    candidates: tuple[tuple[Candidate, ...], ...]  # one entry a test input
    rejected: int = 0  # replies that were no grid
    steps: int = 0
    planned: int = 0
    losses: tuple[float, ...] = ()  # nats a token, one a step
    seconds: dict[str, float] = field(default_factory=dict)  # wall seconds by what they went for
    notes: tuple[str, ...] = ()  # what was cut short or left out, and why


@dataclass(frozen=True, eq=False)
class Standing:
    """The best answers to one task so far; each field has one entry a test input."""

    attempts: tuple[Attempts, ...]
    from_model: tuple[int, ...]  # how many of the two attempts the model gave
    votes: tuple[tuple[int, int], ...]  # views behind the vote's first answer, and how many there were
    from_programs: tuple[int, ...] = ()  # attempts that programs alone gave
    needs: tuple[float, ...] = ()  # of more work, 0 to 1, as `voting.ensemble` has them

    @property
    def need(self) -> float:
        """How much the task needs more work, by its worst test input: 0 all is agreed on, 1 there is no answer."""
        return max(self.needs, default=1.0)

    @property
    def whole(self) -> bool:
        """Whether the model or a program answered each test input."""
        programs = self.from_programs or (0,) * len(self.from_model)
        return all(model + program for model, program in zip(self.from_model, programs, strict=True))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, whichever library raised it."""
    text = str(error).lower()
    said = any(words in text for words in ("out of memory", "can't allocate memory", "cannot allocate memory"))
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or said
