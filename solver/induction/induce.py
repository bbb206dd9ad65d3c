"""Candidates from programs that a code model writes: sampled, run in the sandbox, kept if they fit every demonstration.

Knows neither which model writes (`Writer`) nor how candidates of other sources are weighed against these. Law: an
answer comes only from a program whose outputs equal every demonstration's, cell by cell, compared here and not in the
program's process; with the same texts the result is the same. Programs never see an output of any kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from solver.clock import Deadline
from solver.config.settings import InductionSettings
from solver.induction.prompts import Question, program_in, question
from solver.induction.sandbox.sandbox import Limits, Outcome, Sandbox
from solver.interfaces import Stop
from solver.types import Grid, Task, key, same, seed_for

PURPOSE = "induction"
WRITING = 0.75  # of a batch's seconds may go by while replies are written: the programs in them are yet to be run


def sandbox_of(settings: InductionSettings) -> Sandbox:
    """The place to run programs in, with the limits asked for. Raises `BadInput` where there is none."""
    return Sandbox(Limits(wall=settings.seconds, memory=settings.memory), unsafe=settings.unsafe)


class Writer(Protocol):
    """Answers questions with text; a `writer.VllmWriter` is one."""

    def write(self, questions: Sequence[Question], seed: int, stop: Stop) -> list[str | None]:
        """One sampled reply a question, in order, also to equal questions; None where `stop` came first."""
        ...


@dataclass(frozen=True, eq=False)
class InducedAnswer:
    """An output grid for a test input. `programs`: replies whose program gave it. `shortest`: the shortest of them."""

    grid: Grid
    programs: int
    shortest: str


@dataclass(frozen=True, eq=False)
class Induction:
    """What the programs written for a task answer.

    `answers`: for each test input the distinct grids, those of the most programs first, then of the shortest program.
    Of `samples` replies `written` came before the end, `runnable` held a program, `tried` of these were run, `fitting`
    reproduced every demonstration. `failures`: why the others did not, by how many (programs), most first.
    """

    answers: tuple[tuple[InducedAnswer, ...], ...]
    samples: int
    written: int
    runnable: int
    tried: int
    fitting: int
    failures: tuple[tuple[str, int], ...]

    def line(self) -> str:
        """The counts in words."""
        counts = f"{self.samples} asked for, {self.written} written, {self.runnable} with a program"
        return f"programs: {counts}, {self.tried} run, {self.fitting} reproduce every demonstration"


def induce(task: Task, writer: Writer, sandbox: Sandbox, samples: int, seed: int, stop: Deadline) -> Induction:
    """Ask for `samples` programs, in turn for each test input; run them; keep what the fitting ones answer."""
    questions = [question(task, test) for test in range(len(task.tests))]
    asked = [questions[i % len(questions)] for i in range(samples)]
    texts = writer.write(asked, seed_for(seed, task.id, PURPOSE), stop.within(WRITING * stop.remaining()))
    written = [text for text in texts if text is not None]
    programs = Counter(program for text in written if (program := program_in(text)) is not None)
    failures, tried, fitting = Counter[str](), 0, dict[str, tuple[Outcome, ...]]()
    for source, times in programs.items():
        if stop.remaining() <= 0:
            break
        outcomes = sandbox.run(source, [*(pair.input for pair in task.demonstrations), *task.tests], stop)
        tried += times
        reason = misfit(task, outcomes)
        if reason:
            failures[reason] += times
        else:
            fitting[source] = outcomes[len(task.demonstrations) :]
    return Induction(
        tuple(
            _answers(((source, programs[source], o[t]) for source, o in fitting.items()))
            for t in range(len(task.tests))
        ),
        samples=samples,
        written=len(written),
        runnable=programs.total(),
        tried=tried,
        fitting=sum(programs[source] for source in fitting),
        failures=tuple(failures.most_common()),
    )


def misfit(task: Task, outcomes: Sequence[Outcome]) -> str:
    """Why a program's outcomes do not reproduce the demonstrations, empty where they do."""
    for pair, outcome in zip(task.demonstrations, outcomes, strict=False):
        if outcome.grid is None:
            return outcome.reason
        if not same(outcome.grid, pair.output):
            return "another output than a demonstration's"
    return ""


def _answers(outcomes: Iterable[tuple[str, int, Outcome]]) -> tuple[InducedAnswer, ...]:
    """The distinct grids of (program, replies that held it, its outcome on one test input), best first."""
    grids: dict[tuple[int, int, bytes], InducedAnswer] = {}
    for source, times, outcome in outcomes:
        if outcome.grid is None:
            continue
        known = grids.get(key(outcome.grid), InducedAnswer(outcome.grid, 0, source))
        shortest = min(known.shortest, source, key=lambda text: (len(text), text))
        grids[key(outcome.grid)] = InducedAnswer(known.grid, known.programs + times, shortest)
    return tuple(sorted(grids.values(), key=lambda a: (-a.programs, len(a.shortest), key(a.grid))))
