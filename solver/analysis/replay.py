"""A run's saved candidates voted on once more, by any rule, without a model: `python -m solver replay RUN_DIR`.

Law: what it writes depends on the directory and the rule alone (the judge's coefficients are part of the rule), and is
a complete, valid submission whatever the record lacks.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import TypeAlias

from solver.analysis import history
from solver.data import tasks
from solver.runtime import record, submission_file
from solver.runtime.placeholders import placeholders_for
from solver.types import BASE, Attempts, BadInput, key
from solver.voting import candidates as pooled_candidates
from solver.voting import rules
from solver.voting.limits import UNLIMITED, limits

Candidates: TypeAlias = Mapping[str, tuple[pooled_candidates.ByStage, ...]]
"""Task id → one entry a test input → that test's candidates by stage, in the task's own frame."""


def candidates_of(run: history.History) -> Candidates:
    """Every recorded candidate by task, test input and stage; of a stage that was done twice the last ones."""
    return {i: tuple(map(story.by_stage, range(story.tests))) for i, story in run.stories.items()}


def from_source(candidates: Candidates, whose: str) -> Candidates:
    """The candidates of those sources alone, of `candidates.SOURCES`."""
    return {i: tuple(pooled_candidates.from_source(test, whose) for test in tests) for i, tests in candidates.items()}


def unread(candidates: Candidates) -> bool:
    """Whether there is something to choose between, and nothing of it was re-read."""
    stages = [them for tests in candidates.values() for of_test in tests for n, them in of_test.items() if n > BASE]
    divided = any(len({key(c.grid) for c in them}) > 1 for them in stages)
    return divided and not any(c.scores for them in stages for c in them)


def revote(candidates: Candidates, task_set: tasks.TaskSet, rule: str) -> dict[str, tuple[Attempts, ...]]:
    """Every id of the set → its attempts by this rule, placeholders where there are too few candidates."""
    attempts = {}
    tasks_by_id = {task.id: task for task in task_set.tasks}
    for task_id, fallbacks in placeholders_for(task_set).items():
        task = tasks_by_id.get(task_id)
        proven = [limits(task.demonstrations, test) for test in task.tests] if task else [UNLIMITED] * len(fallbacks)
        tests = zip(chain(candidates.get(task_id, ()), repeat({})), fallbacks, proven, strict=False)
        attempts[task_id] = tuple(pooled_candidates.attempts(found, rule, two, held) for found, two, held in tests)
    return attempts


def replay(directory: Path, rule: str, output: Path, whose: str = pooled_candidates.BOTH) -> tasks.TaskSet:
    """Write the submission that those sources' candidates make by this rule; the run's tasks. Raises `BadInput`."""
    if rule not in rules.RULES:
        raise BadInput(f"--rule is {rule!r}: expected one of {', '.join(rules.RULES)}")
    task_set = tasks.load_challenges(directory / record.CHALLENGES)
    candidates = from_source(candidates_of(history.load(directory)), whose)
    if rule in rules.VOTE_WORTH and unread(candidates):
        others = ", ".join(rules.PLAIN)
        raise BadInput(
            f"--rule is {rule!r}: {directory} has no candidates that were re-read: expected the directory of a run "
            f"with --reread, or one of {others}"
        )
    submission_file.AnswerFile(output, task_set.tests).start(revote(candidates, task_set, rule))
    return task_set


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Exit status 0: a submission was written; 2: something could not be read or written."""
    parser = argparse.ArgumentParser(prog="python -m solver replay", description="Vote again on a run's candidates.")
    parser.add_argument("directory", type=Path, metavar="RUN_DIR", help="the run's directory, such as submission.run")
    parser.add_argument("--rule", default=rules.DEFAULT, metavar="NAME", help=f"one of {', '.join(rules.RULES)}")
    parser.add_argument(
        "--source", default=pooled_candidates.BOTH, choices=pooled_candidates.SOURCES, help="whose candidates count"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: RUN_DIR/RULE.json, RULE-SOURCE.json")
    given = parser.parse_args(argv)
    name = given.rule if given.source == pooled_candidates.BOTH else f"{given.rule}-{given.source}"
    output = given.output or given.directory / f"{name}.json"
    try:
        task_set = replay(given.directory, given.rule, output, given.source)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{output}: {len(task_set.tests)} tasks, voted on by {given.rule}")
    return 0
