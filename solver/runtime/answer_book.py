"""What is made of a run's results: the vote over all that is known of a task, its answers in the file, a summary.

Law: solutions are looked at only for tasks whose answers are already written.
"""

from __future__ import annotations

import errno
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from solver.runtime import record
from solver.runtime.live import answered, count, printable
from solver.runtime.messages import SharedAdapterTrained, TaskAnswered, report_to_json
from solver.runtime.placeholders import proven_for
from solver.runtime.prepare import RunPlan
from solver.runtime.recorder import Journal
from solver.runtime.submission_file import AnswerFile, validate
from solver.runtime.worker_slot import WorkerSlot
from solver.types import INDUCTION, Attempts, Outputs, Standing, TaskResult, by_programs, solves, stage_name
from solver.voting.candidates import Ledger

Scored: TypeAlias = Callable[[object, Outputs], str]
"""What a submission is worth by the solutions, in words."""

NAMED = 5  # task ids a reason names before it says how many more there are


class AnswerBook:
    """All tasks' candidates and answers, and the file they are written to."""

    def __init__(self, plan: RunPlan, file: AnswerFile, placeholders: Mapping[str, Sequence[Attempts]]):
        """`placeholders`: of every task, two for each test input, which stand where there is no answer."""
        self.plan, self.file, tests = plan, file, plan.task_set.tests
        self.proven = proven_for(plan.task_set)
        self.ledger = Ledger(plan.task_set.tasks, placeholders, plan.config.rule, self.proven)
        self.reasons = {i: "malformed task" if i in plan.task_set.malformed else "not reached" for i in tests}
        self.notes: dict[str, tuple[str, ...]] = {}
        self.right: dict[str, bool] = {}

    def attempts(self) -> dict[str, tuple[Attempts, ...]]:
        """Two attempts at each test input of the tasks that anything is known of: proven, or answered before."""
        known = (t.id for t in self.plan.task_set.tasks if t.id in self.proven or self.ledger.stages(t.id))
        return {i: self.ledger.standing(i).attempts for i in known}

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
        pairs = zip(standing.attempts, self.solutions[task_id], strict=True)
        self.right[task_id] = all(solves(attempts, grid) for attempts, grid in pairs)
        return sum(self.right.values())

    @cached_property
    def solutions(self) -> Outputs:
        """The solutions, read when they are first asked for; {} where there are none."""
        return self.plan.solutions() if self.plan.solutions else {}

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
            origins += [AnswerOrigin(task_id, model, programs, reason) for model, programs in given]
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
            print(scored(written, {i: self.solutions[i] for i in tests}))
        print(f"{output}: {'NOT VALID' if faults else 'complete and valid'}; its record is {self.plan.directory}")
        return 1 if faults else 0


class Results:
    """The pool's `Observer`: every result is voted on with those before it, written, recorded and told to people."""

    def __init__(self, answers: AnswerBook, journal: Journal):
        self.answers, self.journal = answers, journal

    def result(self, device: str, task: TaskAnswered, batch: Sequence[str]) -> float:
        result, task_id = task.result, task.result.task_id
        standing = self.answers.take(result, self.journal)
        self.journal.write(record.result_line(task, standing, device, batch), task_id)
        solved = self.answers.solved(task_id, standing)
        split = standing.need > self.answers.plan.config.disagreement_threshold
        answer = answered(result, standing, split, self.answers.right.get(task_id))
        steps = f"{answer.steps} steps, " if answer.steps else ""
        name = f"stage {result.stage}" if result.stage != INDUCTION else stage_name(result.stage)
        text = "; ".join([f"{name}, {steps}{answer.text}, {answer.seconds:.1f} s", *result.notes])
        first = len(self.answers.ledger.stages(task_id)) == 1
        self.journal.progress.task(task_id, text, solved, first, answer)
        return standing.need

    def shared(self, device: str, trained: SharedAdapterTrained, batch: Sequence[str]) -> None:
        self.journal.write({**report_to_json(trained), "task_ids": list(batch), "device": device})
        losses = trained.losses or (float("nan"),)
        self.journal.progress.shared(
            batch,
            f"{device}: an adapter shared by {len(batch)} tasks: {trained.steps} of {trained.planned} steps, "
            f"loss {losses[0]:.3f} to {losses[-1]:.3f}, {trained.seconds:.1f} s",
        )

    def lost(self, task_id: str, why: str) -> None:
        self.journal.progress.task(
            task_id, self.answers.lost(task_id, why), new=not self.answers.ledger.stages(task_id)
        )

    def watch(self, slots: Sequence[WorkerSlot]) -> None:
        self.journal.progress.watch([slot.shown() for slot in slots])

    def failure(self, stage: int, batch: Sequence[str], why: str) -> None:
        self.journal.write({"kind": "failure", "stage": stage, "task_ids": list(batch), "why": why})

    def started(self, device: str, seconds: float) -> None:
        self.journal.write({"kind": "started", "device": device, "seconds": seconds})

    def note(self, text: str) -> None:
        self.journal.note(text)

    def warn(self, text: str) -> None:
        self.journal.warn(text)


@dataclass(frozen=True)
class AnswerOrigin:
    """Where the answer to one test input came from."""

    task_id: str
    from_model: int  # of its two attempts
    from_programs: int = 0  # those that programs alone gave
    reason: str = ""  # why it is a placeholder, if it is


def summary(outcomes: Sequence[AnswerOrigin]) -> str:
    """How many answers the model gave, how many are placeholders, and why: a line a reason, the commonest first."""
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for outcome in outcomes:
        if not outcome.from_model and not outcome.from_programs:
            reasons[outcome.reason or "no reason given"].append(outcome.task_id)
    placeholders = sum(map(len, reasons.values()))
    half = sum((outcome.from_model, outcome.from_programs) == (1, 0) for outcome in outcomes)
    programs = sum(outcome.from_model == 0 < outcome.from_programs for outcome in outcomes)
    model = f"{len(outcomes) - placeholders - programs} from the model"
    model += f" ({half} with a placeholder as second attempt)" if half else ""
    model += f", {programs} from programs alone" if programs else ""
    tasks = len({outcome.task_id for outcome in outcomes})
    lines = [f"{count(len(outcomes), 'answer')} to {count(tasks, 'task')}: {model}, "]
    lines[0] += count(placeholders, "placeholder") + (":" if reasons else ".")
    ordered = sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))
    for reason, ids in ordered:
        named = list(dict.fromkeys(ids))
        more = [f"and {len(named) - NAMED} more"] if len(named) > NAMED else []
        lines.append("  " + printable(f"{len(ids)} x {reason} ({', '.join([*named[:NAMED], *more])})", None))
    return "\n".join(lines)
