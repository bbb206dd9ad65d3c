"""Stand-ins for the model, the clock and the data: small hand-made tasks and fakes of `types`'s Protocols.

Fakes, not mocks: each keeps the law of the part it stands for, fails where told to, and records what it was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from solver.config.settings import TrainRecipe
from solver.data import views
from solver.interfaces import Stop
from solver.tokens.grid import END, GRID, IN, OUT, OUTPUT, ROLE_SPAN, ROW_SPAN, SPECIALS, Format, encode
from solver.tokens.rows import Lines
from solver.training.examples import build
from solver.types import COLOURS, MAX_SIDE, Adapter, Example, Grid, Pair, Prompt, Reply, Task, TrainJob, TrainReport

CERTAIN = -0.01  # nats: log-probability of every token of a fake reply
GARBAGE = (OUT, IN, END)  # ends as a reply should, and is no grid

Rule = Callable[[Grid], Grid]


def grid(cells: list[list[int]]) -> Grid:
    return np.array(cells, dtype=np.uint8)


def leave_one_out(task: Task, cap: int, seed: int, room: int) -> list[Example]:
    """The first examples of a task by the default recipe, as this project's own tokens."""
    return build(task, TrainRecipe(examples=cap), seed, room, GRID)


def mirror(cells: Grid) -> Grid:
    """The rule of `MIRROR` and `SINGLE`: left and right exchanged."""
    return np.ascontiguousarray(cells[:, ::-1])


def stack(cells: Grid) -> Grid:
    """The rule of `STACK`: the grid twice, one above the other; its outputs differ from its inputs in shape."""
    return np.concatenate([cells, cells])


def task(task_id: str, rule: Rule, inputs: Sequence[list[list[int]]], tests: Sequence[list[list[int]]]) -> Task:
    """A task whose demonstrations follow a rule."""
    return Task(task_id, tuple(Pair(grid(i), rule(grid(i))) for i in inputs), tuple(grid(t) for t in tests))


MIRROR = task("mirror", mirror, [[[1, 2]], [[0, 3], [4, 0]], [[5, 0, 0], [0, 6, 0]]], [[[7, 8, 0]]])
STACK = task("stack", stack, [[[1]], [[0, 2]], [[3, 0], [0, 3]]], [[[4, 4, 0]], [[5], [0]]])  # two test inputs
SINGLE = task("single", mirror, [[[1, 0, 2], [0, 1, 0]]], [[[3, 0]]])  # one demonstration
TASKS = (MIRROR, STACK, SINGLE)
RULES: dict[str, Rule] = {"mirror": mirror, "stack": stack, "single": mirror}


def random_task(shapes: Sequence[tuple[int, int]], seed: int = 0, task_id: str = "random") -> Task:
    """A task of random colours: a demonstration for each shape, inputs and outputs alike in shape, and a 3×3 test."""
    rng = np.random.default_rng(seed)

    def draw(shape: tuple[int, int]) -> Grid:
        return rng.integers(0, COLOURS, shape).astype(np.uint8)

    return Task(task_id, tuple(Pair(draw(s), draw(s)) for s in shapes), (draw((3, 3)),))


def any_grid(longest_side: int = MAX_SIDE) -> st.SearchStrategy[Grid]:
    """Hypothesis: every grid the corpus allows, up to a side."""
    shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=longest_side)
    return hnp.arrays(np.uint8, shapes, elements=st.integers(0, COLOURS - 1))


def any_view(demonstrations: int = 0) -> st.SearchStrategy[views.View]:
    """Hypothesis: every view of a task with so many demonstrations."""
    colours = st.permutations(range(COLOURS)).map(tuple)
    order = st.permutations(range(demonstrations)).map(tuple)
    return st.builds(views.View, dihedral=st.integers(0, views.DIHEDRALS - 1), colours=colours, order=order)


@dataclass
class FakeClock:
    """Seconds that pass only when told to; called like `clock.now`."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class FakeStop:
    """A `Stop`: `left` seconds, `cost` fewer after each time it is asked; the default never stops anything."""

    left: float = 1e6
    cost: float = 0.0
    asked: int = 0

    def remaining(self) -> float:
        left = max(0.0, self.left - self.asked * self.cost)
        self.asked += 1
        return left


@dataclass
class FakeTrainer:
    """A `Trainer` that learns nothing: an adapter of the name asked for, `steps` of `planned` steps done.

    `fails`: names whose training raises. `learns_nothing`: names that get no adapter. With a `directory`, an adapter's
    own directory is made in it. `calls`: (name, examples, seed) in order; `starts`, `limits`: what each
    started from, and its steps.
    """

    directory: Path | None = None
    steps: int = 3
    planned: int = 3
    fails: frozenset[str] = frozenset()
    learns_nothing: frozenset[str] = frozenset()
    calls: list[tuple[str, tuple[Example, ...], int]] = field(default_factory=list)
    starts: list[Adapter | None] = field(default_factory=list)
    limits: list[int | None] = field(default_factory=list)
    notes: tuple[str, ...] = ("nothing is trained: this is a fake",)

    def train(self, job: TrainJob, stop: Stop, steps: int | None = None) -> TrainReport:
        name = job.name
        self.limits.append(steps)
        self.calls.append((name, tuple(job.examples), job.seed))
        self.starts.append(job.start_from)
        if name in self.fails:
            raise RuntimeError(f"the fake trainer was told to fail for {name}")
        if name in self.learns_nothing or not job.examples or stop.remaining() <= 0:
            return TrainReport(None, 0, self.planned)
        path = (self.directory or Path("nowhere")) / name
        if self.directory:
            path.mkdir(parents=True, exist_ok=True)
        return TrainReport(
            Adapter(name, path), self.steps, self.planned, tuple(1.0 / (i + 1) for i in range(self.steps))
        )


@dataclass
class FakeSampler:
    """A `Sampler` that solves every test input by its task's rule, in whatever view it is asked.

    `rules`: by task id; a task without one is answered with its own test input. `fails`: ids for which the whole call
    raises, as an engine would. `silent`: ids answered with None. `garbage`: ids answered with what is no grid.
    `endless`: ids whose replies are cut off before their end. `format`: what it reads and writes. `batches`,
    `forgotten`: what was asked, in order.
    """

    rules: dict[str, Rule] = field(default_factory=lambda: dict(RULES))
    fails: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    garbage: frozenset[str] = frozenset()
    endless: frozenset[str] = frozenset()
    format: Format = GRID
    batches: list[list[tuple[Prompt, Adapter | None]]] = field(default_factory=list)
    forgotten: list[Adapter] = field(default_factory=list)
    notes: tuple[str, ...] = ("nothing is sampled: this is a fake",)

    def sample(self, requests: Sequence[tuple[Prompt, Adapter | None]], stop: Stop) -> list[Reply | None]:
        self.batches.append(list(requests))
        for prompt, _ in requests:
            if prompt.task_id in self.fails:
                raise RuntimeError(f"the fake sampler was told to fail for {prompt.task_id}")
        return [self._reply(prompt) if stop.remaining() > 0 else None for prompt, _ in requests]

    def _reply(self, prompt: Prompt) -> Reply | None:
        if prompt.task_id in self.silent:
            return None
        tokens = GARBAGE if prompt.task_id in self.garbage else self._answer(prompt)
        finished = len(tokens) <= prompt.max_reply and prompt.task_id not in self.endless
        tokens = tokens[: prompt.max_reply] if finished else tokens[: min(prompt.max_reply, len(tokens) - 1)]
        alternatives = ((),) * len(tokens) if prompt.alternatives else ()  # asked for some, it has none to name
        return Reply(tokens, (CERTAIN,) * len(tokens), finished, alternatives)

    def _answer(self, prompt: Prompt) -> tuple[int, ...]:
        own = views.invert(prompt.view, question(prompt.tokens, self.format))
        answer = self.rules.get(prompt.task_id, lambda cells: cells)(own)
        return self.format.encode_reply(views.apply(prompt.view, answer))

    def forget(self, adapters: Sequence[Adapter]) -> None:
        self.forgotten.extend(adapters)


def reply_of(answer: Grid) -> tuple[int, ...]:
    """The reply that spells a grid, END included."""
    return (*encode(answer, OUTPUT).tolist(), END)


def question(tokens: Sequence[int], format: Format = GRID) -> Grid:
    """The test input that a prompt ends with, as its view shows it."""
    if isinstance(format, Lines):
        return question_of_lines(tokens, format)
    start = max(i for i, token in enumerate(tokens) if token == IN) + 1
    as_output = [token + ROLE_SPAN for token in tokens[start:-1]]
    found = GRID.decode([*as_output, END])
    assert found is not None, "the prompt does not end with IN, a test input and OUT"
    return found


def question_of_lines(tokens: Sequence[int], format: Lines) -> Grid:
    """The same in a format of rows: the longest end of the prompt, without what asks for the answer, that is a grid."""
    assert tuple(tokens[-len(format.answer) :]) == format.answer, "the prompt does not end with what asks for an answer"
    shown = tokens[: -len(format.answer)]
    for start in range(len(shown)):
        found = format.decode([*shown[start:], format.end])
        if found is not None:
            return found
    raise AssertionError("the prompt does not end with a test input")


def pairs_of(tokens: Sequence[int]) -> list[Pair]:
    """The pairs that a sequence of `grid.encode_pairs` spells, read without `grid.decode`."""
    pairs: list[Pair] = []
    sides: list[list[list[int]]] = []
    for token in tokens:
        if token == IN:
            sides = [[]]
        elif token == OUT:
            sides.append([])
        elif token == END:
            pairs.append(Pair(grid(sides[0]), grid(sides[1])))
        else:
            in_row = (token - SPECIALS) % ROW_SPAN
            if in_row == 0:
                sides[-1].append([])
            else:
                sides[-1][-1].append((in_row - 1) % COLOURS)
    return pairs
