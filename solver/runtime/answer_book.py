"""The answers of a run: what is known of every task, its lines in the answer file, how many are right; and a summary.

Laws: a complete, valid file exists from `start` on; solutions are looked at only for tasks whose answers are already
written.
"""

from __future__ import annotations

import errno
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from solver.runtime.live import printable
from solver.runtime.prepare import RunPlan
from solver.runtime.recorder import Journal
from solver.runtime.submission_file import AnswerFile, placeholders_for, validate
from solver.types import Grid, Standing, TaskResult, by_programs, solves
from solver.voting.candidates import Ledger

Scored: TypeAlias = Callable[[object, Mapping[str, Sequence[Grid]]], str]
"""What a submission is worth by the solutions, in words."""

NAMED = 5  # task ids a reason names before it says how many more there are


class AnswerBook:
    """All tasks' candidates and answers, and the file they are written to."""

    def __init__(self, plan: RunPlan):
        self.plan, tests = plan, plan.task_set.tests
        self.file = AnswerFile(plan.output, tests)
        self.placeholders = placeholders_for(plan.task_set)
        self.ledger = Ledger(plan.task_set.tasks, self.placeholders, plan.config.rule)
        self.reasons = {i: "malformed task" if i in plan.task_set.malformed else "not reached" for i in tests}
        self.notes: dict[str, tuple[str, ...]] = {}
        self.right: dict[str, bool] = {}
        self._solutions: Mapping[str, tuple[Grid, ...]] = {}

    def start(self) -> None:
        """Write the whole file: the answers that were added before, placeholders for the others."""
        answered = (task.id for task in self.plan.task_set.tasks if self.ledger.stages(task.id))
        self.file.start(self.placeholders | {i: self.ledger.standing(i).attempts for i in answered})

    def add(self, result: TaskResult) -> Standing:
        """Take in a task's candidates, and vote anew."""
        if not by_programs(result.stage):  # a placeholder's reason is why the model has no answer
            self.notes[result.task_id] = result.notes
            self.reasons[result.task_id] = f"{result.rejected} replies, none of them a grid"
        return self.ledger.add(result.task_id, result.stage, result.candidates)

    def take(self, result: TaskResult, journal: Journal) -> Standing:
        """`add`, and write the answers. A full disk costs the record first; what it refuses waits for the next."""
        standing = self.add(result)
        try:
            try:
                self.file.fill(result.task_id, standing.attempts)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                lost = f"warning: {error}: the record made room for the answers: this run can't be resumed"
                journal.progress.warn(lost)
                journal.recorder.make_room()
                self.file.flush()
        except OSError as error:
            journal.warn(f"warning: {self.plan.output} could not be replaced: {error}")
        return standing

    def solved(self, task_id: str, standing: Standing) -> int | None:
        """Tasks solved so far, this one included, now that its answers are written; None without solutions."""
        if self.plan.solutions is None:
            return None
        pairs = zip(standing.attempts, self.solutions()[task_id], strict=True)
        self.right[task_id] = all(solves(attempts, grid) for attempts, grid in pairs)
        return sum(self.right.values())

    def solutions(self) -> Mapping[str, tuple[Grid, ...]]:
        """The solutions, read when they are first asked for; {} where there are none."""
        if not self._solutions and self.plan.solutions is not None:
            self._solutions = self.plan.solutions()
        return self._solutions

    def lost(self, task_id: str, why: str) -> str:
        """A task gets no more of the model; what its answers are then, in words."""
        self.reasons[task_id] = why
        programs = any(self.ledger.standing(task_id).from_programs)
        what = "the programs' answers stay" if programs else "placeholders stay"
        return f"{what}: {why}"

    def origins(self) -> list[AnswerOrigin]:
        """Where every answer came from; a placeholder with its reason."""
        known = {task.id: self.ledger.standing(task.id) for task in self.plan.task_set.tasks}
        origins = []
        for task_id, tests in self.plan.task_set.tests.items():
            reason = "; ".join(self.notes.get(task_id, ())) or self.reasons[task_id]
            standing = known.get(task_id, Standing((), (0,) * tests, (), (0,) * tests))
            given = zip(standing.from_model, standing.from_programs, strict=True)
            origins += [
                AnswerOrigin(task_id, n, model, "" if model or programs else reason, programs)
                for n, (model, programs) in enumerate(given)
            ]
        return origins

    def conclude(self, scored: Scored) -> int:
        """Write what is left, check the file and say what is in it; 0 where it is valid, else 1."""
        output, tests = self.plan.output, self.plan.task_set.tests
        try:
            self.file.flush()
            written = json.loads(output.read_text())
        except OSError as error:
            print(f"error: {output} could not be written: {error}", file=sys.stderr)
            return 1
        print(summary(self.origins()))
        faults = validate(written, tests)
        for fault in faults:
            print(f"error: {output}: {fault}", file=sys.stderr)
        if self.plan.solutions is not None:
            print(scored(written, {i: self.solutions()[i] for i in tests}))
        print(f"{output}: {'NOT VALID' if faults else 'complete and valid'}; its record is {self.plan.directory}")
        return 1 if faults else 0


@dataclass(frozen=True)
class AnswerOrigin:
    """One answer (test input `test` of a task) and where it came from.

    `from_model`: how many of its two attempts the model gave, 0 to 2; `from_programs`: how many programs alone did.
    `reason`: why it is a placeholder, if it is.
    """

    task_id: str
    test: int
    from_model: int
    reason: str = ""
    from_programs: int = 0

    @property
    def given(self) -> int:
        """Attempts that are no placeholders."""
        return self.from_model + self.from_programs


def summary(outcomes: Sequence[AnswerOrigin]) -> str:
    """How many answers the model gave, how many are placeholders, and why: a line a reason, the commonest first."""
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.given == 0:
            reasons[outcome.reason or "no reason given"].append(outcome.task_id)
    placeholders = sum(len(ids) for ids in reasons.values())
    half = sum(outcome.from_model > 0 and outcome.given == 1 for outcome in outcomes)
    programs = sum(outcome.from_model == 0 < outcome.from_programs for outcome in outcomes)
    model = f"{len(outcomes) - placeholders - programs} from the model"
    model += f" ({half} with a placeholder as second attempt)" if half else ""
    model += f", {programs} from programs alone" if programs else ""
    tasks = len({outcome.task_id for outcome in outcomes})
    lines = [f"{count(len(outcomes), 'answer')} to {count(tasks, 'task')}: {model}, "]
    lines[0] += count(placeholders, "placeholder") + (":" if reasons else ".")
    ordered = sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))
    lines += ["  " + printable(f"{len(ids)} x {reason} ({_named(ids)})", None) for reason, ids in ordered]
    return "\n".join(lines)


def count(number: int, noun: str) -> str:
    """A number of things: '1 task', '2 tasks'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _named(task_ids: Sequence[str]) -> str:
    """The first few ids, each once, and how many more there are."""
    ids = list(dict.fromkeys(task_ids))
    more = [f"and {len(ids) - NAMED} more"] if len(ids) > NAMED else []
    return ", ".join([*ids[:NAMED], *more])
