"""A run directory as one story a task: what each stage found, what failed, where the time went. Reads, never writes."""

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from solver.data.json_files import read_json
from solver.data.tasks import Fault, load_challenges, parse_grid
from solver.runtime import record
from solver.runtime.placeholders import proven
from solver.runtime.record import Failure, RunRecord, StageResult
from solver.types import PROVEN, Attempts, BadInput, Candidate, Task
from solver.voting import rules
from solver.voting.candidates import BOTH, from_source, ordered, sources_of
from solver.voting.limits import UNLIMITED, OutputLimits, limits
from solver.voting.rules import Ranked

SHARED = "shared"  # what the seconds of an adapter that tasks share go for


@dataclass(frozen=True, eq=False)
class Story:
    """One task of a run."""

    id: str
    tests: int  # test inputs
    task: Task | None = None  # None where it was malformed
    results: tuple[StageResult, ...] = ()  # in the order they came, a stage that was done twice by its last
    failures: tuple[Failure, ...] = ()
    answers: tuple[Attempts | None, ...] = ()  # two attempts a test input, None where none is known
    shared: float = 0.0  # seconds, its part of training adapters that it shares with others
    proven: tuple[tuple[Candidate, ...], ...] = ()  # placeholders that count as programs, one entry a test input

    @property
    def last(self) -> StageResult | None:
        """The result whose attempts stand."""
        return self.results[-1] if self.results else None

    def attempts(self, test: int) -> Attempts | None:
        return self.answers[test] if test < len(self.answers) else None

    def by_stage(self, test: int) -> dict[int, tuple[Candidate, ...]]:
        by_stage = {result.stage: result.candidates[test] for result in self.results if test < len(result.candidates)}
        return {PROVEN: self.proven[test], **by_stage} if any(self.proven[test : test + 1]) else by_stage

    def candidates(self, test: int) -> list[tuple[int, Candidate]]:
        """Every candidate of a test input with the stage it came from."""
        return [(number, candidate) for number, them in self.by_stage(test).items() for candidate in them]

    def ranked(self, test: int, rule: str, whose: str = BOTH, last: float = math.inf) -> list[Ranked]:
        """A test input's distinct answers, best first, of these `candidates.SOURCES` and of stages up to `last`."""
        stages = {number: them for number, them in self.by_stage(test).items() if number <= last}
        return ordered(from_source(stages, whose), rule, self.limits(test))

    def limits(self, test: int) -> OutputLimits:
        """What the demonstrations prove of a test input's output."""
        return limits(self.task.demonstrations, self.task.tests[test]) if self.task else UNLIMITED

    def sources(self, test: int, rule: str) -> tuple[str, ...]:
        """Which source gave each attempt that stands (`candidates.sources_of`); () where no attempts are known."""
        two = self.attempts(test)
        return () if two is None else sources_of(two, self.by_stage(test), rule)

    def given(self, test: int) -> tuple[int, int]:
        """How many of a test input's two attempts the model gave, and how many programs alone."""
        by = (self.last.from_model, self.last.from_programs) if self.last else ((), ())
        model, programs = (counts[test] if test < len(counts) else 0 for counts in by)
        return model, programs

    @property
    def is_placeholder(self) -> bool:
        """Whether no attempt of the task came from the model or a program."""
        return not any(any(self.given(test)) for test in range(self.tests))

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by what they went for, over all stages."""
        spent: defaultdict[str, float] = defaultdict(float)
        for result in self.results:
            for stage, used in result.seconds.items():
                spent[stage] += used
        return spent | ({SHARED: self.shared} if self.shared else {})


@dataclass(eq=False)
class History(RunRecord):
    """A whole run: its record, and what that says of each task, in the run's order."""

    directory: Path = Path()
    stories: Mapping[str, Story] = field(default_factory=dict)

    @property
    def start(self) -> Mapping[str, Any]:
        """Its first `run` line; empty where that is missing."""
        return self.headers[0] if self.headers else {}

    @property
    def rule(self) -> str:
        """The voting rule the run used; the default one where its record does not say."""
        config = self.start.get("config")
        given = config.get("rule") if isinstance(config, dict) else None
        return given if isinstance(given, str) and given in rules.RULES else rules.DEFAULT

    def story(self, task_id: str, tests: int) -> Story:
        """A task's story; an empty one of so many test inputs where the run does not know it."""
        return self.stories.get(task_id) or Story(task_id, tests)

    @cached_property
    def stages(self) -> tuple[int, ...]:
        """The stages there were, in order."""
        return tuple(sorted({result.stage for story in self.stories.values() for result in story.results}))


def load(directory: Path, results: bool = True) -> History:
    """Open a run directory; without `results`, just what it set out to do. Raises `BadInput` where it is none."""
    run = record.load(directory, first_only=not results)
    tasks: dict[str, Task] = {}
    written: Any = None
    with contextlib.suppress(BadInput):  # not written yet
        tasks = {task.id: task for task in load_challenges(directory / record.CHALLENGES).tasks}
    with contextlib.suppress(BadInput):
        written = read_json(record.answers_of(directory))
    history = History(**vars(run), directory=directory)
    history.stories = dict(_stories(history, tasks, written if isinstance(written, dict) else {}))
    return history


def _stories(run: History, tasks: Mapping[str, Task], written: Mapping[str, Any]) -> Iterable[tuple[str, Story]]:
    """A story of every task anything is known of."""
    results: defaultdict[str, dict[int, StageResult]] = defaultdict(dict)
    for result in run.results:
        results[result.task_id].pop(result.stage, None)
        results[result.task_id][result.stage] = result
    given = run.start.get("tests")
    counts = {str(i): n for i, n in given.items() if isinstance(n, int)} if isinstance(given, dict) else {}
    for task in tasks.values():
        counts.setdefault(task.id, len(task.tests))
    for result in run.results:
        counts.setdefault(result.task_id, len(result.attempts))
    for task_id, tests in counts.items():
        own = tuple(results[task_id].values())
        failures = tuple(failure for failure in run.failures if task_id in failure.task_ids)
        shared = math.fsum(s.trained.seconds / len(s.task_ids) for s in run.shared if task_id in s.task_ids)
        answers = own[-1].attempts if own else tuple(_pair(written.get(task_id), n) for n in range(tests))
        known = tasks.get(task_id)
        yield task_id, Story(task_id, tests, known, own, failures, answers, shared, proven(known) if known else ())


def _pair(entries: object, test: int) -> Attempts | None:
    """A test input's attempts in an answer file; None where there are none, or not two grids."""
    try:
        entry = entries[test]  # type: ignore[index]
        return parse_grid(entry["attempt_1"], ""), parse_grid(entry["attempt_2"], "")
    except (Fault, LookupError, TypeError):
        return None
