"""A run directory as one story a task: what each stage found, what failed, where the time went. Reads, never writes.

Knows nothing of solutions or models. Law: a run that is still being written, was torn by a crash, or comes from another
version opens with what is whole; what could not be read is counted, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from solver.data.json_files import read_json
from solver.data.tasks import Fault, load_challenges, parse_grid
from solver.runtime import record
from solver.runtime.record import Failure, RunRecord, StageResult
from solver.types import ATTEMPTS, Attempts, BadInput, Candidate, Grid, Task
from solver.voting import rules
from solver.voting.candidates import MODEL_ALONE, from_source, ordered, sources_of
from solver.voting.rules import Ranked

START, SHARED = "start-up", "shared"  # what a device does outside of tasks' batches


@dataclass(frozen=True, eq=False)
class Story:
    """One task of a run.

    `tests`: its test inputs. `task`: None where it was malformed. `results`: in the order they came, a stage that was
    done twice by its last. `answers`: two attempts a test input, None where none is known. `shared`: seconds, its part
    of training adapters that it shares with others.
    """

    id: str
    tests: int
    task: Task | None
    results: tuple[StageResult, ...] = ()
    failures: tuple[Failure, ...] = ()
    answers: tuple[Attempts | None, ...] = ()
    shared: float = 0.0

    @property
    def last(self) -> StageResult | None:
        """The result whose attempts stand."""
        return self.results[-1] if self.results else None

    def attempts(self, test: int) -> Attempts | None:
        """The attempts that stand for a test input."""
        return self.answers[test] if test < len(self.answers) else None

    def candidates(self, test: int) -> tuple[tuple[int, Candidate], ...]:
        """Every candidate of a test input with the stage it came from."""
        return tuple((t.stage, c) for t in self.results if test < len(t.candidates) for c in t.candidates[test])

    def ranked(self, test: int, rule: str) -> list[Ranked]:
        """The distinct answers to a test input over all stages, best first, by any rule, as `candidates` pools them."""
        return ordered(self.by_stage(test), rule)

    def voted(self, test: int, rule: str) -> list[Ranked]:
        """The same of the model's vote alone, best first."""
        return ordered(from_source(self.by_stage(test), MODEL_ALONE), rule)

    def alone(self, test: int, rule: str, whose: str) -> list[Grid]:
        """What the attempts would be if one source (of `candidates.SOURCES`) had been alone, without placeholders."""
        return [a.grid for a in ordered(from_source(self.by_stage(test), whose), rule)[:ATTEMPTS]]

    def after(self, test: int, rule: str, number: int) -> list[Grid]:
        """What the attempts would be after the stages up to this one, whenever they came, without placeholders."""
        stages = {n: them for n, them in self.by_stage(test).items() if n <= number}
        return [a.grid for a in ordered(stages, rule)[:ATTEMPTS]]

    def sources(self, test: int, rule: str) -> tuple[str, ...]:
        """Which source gave each attempt that stands (`candidates.sources_of`); () where no attempts are known."""
        two = self.attempts(test)
        return () if two is None else sources_of(two, self.by_stage(test), rule)

    def by_stage(self, test: int) -> dict[int, list[Candidate]]:
        """A test input's candidates by stage."""
        stages: dict[int, list[Candidate]] = {}
        for number, candidate in self.candidates(test):
            stages.setdefault(number, []).append(candidate)
        return stages

    def from_model(self, test: int) -> int:
        """How many of a test input's two attempts the model gave."""
        return self.last.from_model[test] if self.last and test < len(self.last.from_model) else 0

    def from_programs(self, test: int) -> int:
        """How many of a test input's two attempts programs alone gave."""
        return self.last.from_programs[test] if self.last and test < len(self.last.from_programs) else 0

    @property
    def is_placeholder(self) -> bool:
        """Whether no attempt of the task came from the model or a program."""
        return not any(self.from_model(test) or self.from_programs(test) for test in range(self.tests))

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by what they went for, over all stages."""
        stages = dict.fromkeys(stage for result in self.results for stage in result.seconds)
        spent = {stage: sum(result.seconds.get(stage, 0.0) for result in self.results) for stage in stages}
        return spent | ({SHARED: self.shared} if self.shared else {})


@dataclass(frozen=True, eq=False)
class History:
    """A whole run.

    `start`: its `run` line. `stories`: every task, in the run's order. `events`: (seconds, text). `status`: the exit
    status, None while unfinished. `seconds`: to its last line. `dropped`: lines torn, changed or not understood.
    `between`: what devices did outside of tasks' batches, (device, stage, seconds): starting, training shared adapters.
    """

    directory: Path
    start: Mapping[str, Any]
    stories: Mapping[str, Story]
    failures: tuple[Failure, ...]
    events: tuple[tuple[float, str], ...]
    status: int | None
    seconds: float
    dropped: int
    between: tuple[tuple[str, str, float], ...] = ()

    @property
    def rule(self) -> str:
        """The voting rule the run used; the default one where its record does not say."""
        config = self.start.get("config")
        given = config.get("rule") if isinstance(config, dict) else None
        return given if isinstance(given, str) and given in rules.RULES else rules.DEFAULT

    @cached_property
    def stages(self) -> tuple[int, ...]:
        """The stages there were, in order."""
        return tuple(sorted({result.stage for story in self.stories.values() for result in story.results}))


def answers_of(directory: Path) -> Path:
    """The answer file that belongs to a run directory."""
    return directory.with_suffix(".json")


def load(directory: Path, results: bool = True) -> History:
    """Open a run directory; without `results`, just what it set out to do. Raises `BadInput` where it is none."""
    run = record.load(directory) if results else record.interpreted(record.first_line(directory))
    tasks = _tasks(directory / record.CHALLENGES)
    start: Mapping[str, Any] = run.headers[0] if run.headers else {}
    stories = _stories(_counts(start, tasks, run.results), tasks, run, _answers(answers_of(directory)))
    between = [(device, START, seconds) for device, seconds in run.starts]
    for shared in run.shared:
        between.append((shared.device, SHARED, shared.trained.seconds))
        for task_id in filter(stories.__contains__, shared.task_ids):
            stories[task_id] = replace(stories[task_id], shared=stories[task_id].shared + shared.each)
    failures, events = tuple(run.failures), tuple(run.events)
    return History(directory, start, stories, failures, events, run.status, run.seconds, run.dropped, tuple(between))


def _grid(rows: object) -> Grid:
    return parse_grid(rows, "")


def _tasks(path: Path) -> dict[str, Task]:
    """The run's own copy of its tasks; none where it was not written yet."""
    try:
        return {task.id: task for task in load_challenges(path).tasks}
    except BadInput:
        return {}


def _answers(path: Path) -> Mapping[str, Any]:
    try:
        content = read_json(path)
    except BadInput:
        return {}
    return content if isinstance(content, dict) else {}


def _counts(start: Mapping[str, Any], tasks: Mapping[str, Task], results: Sequence[StageResult]) -> dict[str, int]:
    """Test inputs of every task anything is known of, in the run's order."""
    given = start.get("tests")
    said = {str(i): n for i, n in given.items() if isinstance(n, int)} if isinstance(given, dict) else {}
    seen = {result.task_id: len(result.attempts) for result in results}
    return said | {i: n for i, n in ({i: len(t.tests) for i, t in tasks.items()} | seen).items() if i not in said}


def _stories(
    counts: Mapping[str, int], tasks: Mapping[str, Task], run: RunRecord, answers: Mapping[str, Any]
) -> dict[str, Story]:
    results: dict[str, dict[int, StageResult]] = {task_id: {} for task_id in counts}
    for result in run.results:
        results[result.task_id].pop(result.stage, None)
        results[result.task_id][result.stage] = result
    failed: dict[str, list[Failure]] = {task_id: [] for task_id in counts}
    for failure in run.failures:
        for task_id in failure.task_ids:
            failed.get(task_id, []).append(failure)
    bare = (Story(i, n, tasks.get(i), tuple(results[i].values()), tuple(failed[i])) for i, n in counts.items())
    return {story.id: replace(story, answers=_standing(story, answers.get(story.id))) for story in bare}


def _standing(story: Story, written: object) -> tuple[Attempts | None, ...]:
    """The attempts that stand: the last result's, or what the answer file holds."""
    if story.last is not None:
        return story.last.attempts
    entries = written if isinstance(written, list) else []
    return tuple(_pair(entries[n]) if n < len(entries) else None for n in range(story.tests))


def _pair(entry: object) -> Attempts | None:
    try:
        return (_grid(entry["attempt_1"]), _grid(entry["attempt_2"])) if isinstance(entry, dict) else None
    except (Fault, KeyError):
        return None
