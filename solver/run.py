"""One run from placeholder answers to the validated file: feeds the pool, writes answers and record, tells people.

Knows nothing of models. Laws: a complete, valid file exists from before the first model is loaded until the end;
solutions are looked at only for tasks whose answers are already written.
"""

from __future__ import annotations

import json
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from solver import answers, evaluate, formats
from solver.cli import Plan, fingerprint
from solver.clock import Deadline
from solver.core import Attempts, Grid, Task, same
from solver.pool import Hooks, Pool
from solver.progress import Outcome, Progress, summary
from solver.scheduler import Job
from solver.tasks import BadInput

INTERRUPTED = 130  # exit status by the shell's convention


class Run:
    """A checked plan on its way to its file."""

    def __init__(self, plan: Plan, deadline: Deadline):
        self.plan, self.deadline = plan, deadline
        self.file = answers.AnswerFile(plan.output, plan.task_set.tests)
        self.outcomes: dict[tuple[str, int], Outcome] = {
            (i, n): Outcome(i, n, 0, "malformed task" if i in plan.task_set.malformed else "not reached")
            for i, tests in plan.task_set.tests.items()
            for n in range(tests)
        }
        self.solutions: Mapping[str, tuple[Grid, ...]] = {}
        self.solved = self.status = 0

    def execute(self) -> int:
        """Run to the end; 0: a valid file was written, 1: something broke, 2: bad input, 130: interrupted."""
        try:
            self.file.start(answers.placeholders_for(self.plan.task_set))
        except BadInput as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        signal.signal(signal.SIGTERM, _interrupt)
        log, self.record = (self.plan.output.with_suffix(end) for end in (".worker.log", ".record.jsonl"))
        self.record.write_text("")
        with (
            log.open("w") as self.log,
            Progress(len(self.plan.task_set.tasks), self.deadline.remaining, sys.stdout) as self.progress,
        ):
            try:
                self._introduce()
                self._serve(self.log)
            except KeyboardInterrupt:
                self.progress.note("interrupted: the answers so far are kept")
                self.status = INTERRUPTED
            except Exception as error:  # whatever broke, the answers so far are worth concluding with
                traceback.print_exc(file=self.log)
                self.progress.note(f"error: {type(error).__name__}: {error}: the answers so far are kept; see {log}")
                self.status = 1
        return self._conclude(log) or self.status

    def _introduce(self) -> None:
        plan = self.plan
        for problem in plan.task_set.problems:
            self.progress.note(f"warning: {problem}")
        self.progress.note(
            f"{len(plan.task_set.tests)} tasks of {plan.task_set.name}, seed {plan.config.seed}, weights "
            f"{plan.checkpoint.path.name} {plan.checkpoint.sha256[:12]}, run {fingerprint(plan)}; "
            f"{plan.output} holds placeholders"
        )

    def _serve(self, log: TextIO) -> None:
        plan, hooks = self.plan, Hooks(self._result, self._lost, self.progress.note)
        jobs = [Job(task.id, _size(task, plan.config.engine.context)) for task in plan.task_set.tasks]
        pool = Pool(plan.task_set.tasks, plan.checkpoint.path, plan.config, hooks, log, plan.environment)
        pool.run(jobs, self.deadline)

    def _result(self, message: dict[str, Any]) -> None:
        task_id = message["task_id"]
        attempts = tuple((_grid(a), _grid(b)) for a, b in message["attempts"])
        notes = "; ".join(message["notes"])
        try:
            self.file.fill(task_id, attempts)
        except OSError as error:  # kept in memory, written with the next task's or at the end
            self.progress.note(f"warning: {self.plan.output} could not be replaced: {error}")
        try:
            with self.record.open("a") as record:
                record.write(json.dumps(message) + "\n")
        except OSError as error:  # a full disk: the answers are worth more than their record
            self.progress.note(f"warning: {self.record} lacks {task_id}: {error}")
        for test, given in enumerate(message["from_model"]):
            reason = notes or f"{message['rejected']} replies, none of them a grid"
            self.outcomes[task_id, test] = Outcome(task_id, test, given, reason if given == 0 else "")
        votes = " and ".join(f"{first} of {total}" for first, total in message["votes"])
        info = f"{message['steps']} steps, votes {votes}, {sum(message['seconds'].values()):.1f} s"
        self.progress.task(task_id, f"{info}; {notes}" if notes else info, self._count(task_id, attempts))

    def _lost(self, task_id: str, why: str) -> None:
        for known, test in list(self.outcomes):
            if known == task_id:
                self.outcomes[task_id, test] = Outcome(task_id, test, 0, why)
        self.progress.task(task_id, f"placeholders stay: {why}")

    def _count(self, task_id: str, attempts: tuple[Attempts, ...]) -> int | None:
        """Tasks solved so far, this one included, now that its answers are fixed; None without solutions."""
        if self.plan.solutions is None:
            return None
        self.solutions = self.solutions or self.plan.solutions()
        right = self.solutions[task_id]
        self.solved += all(any(same(a, grid) for a in pair) for pair, grid in zip(attempts, right, strict=True))
        return self.solved

    def _conclude(self, log: Path) -> int:
        try:
            self.file.flush()
            written = json.loads(self.plan.output.read_text())
        except OSError as error:
            print(f"error: {self.plan.output} could not be written: {error}", file=sys.stderr)
            return 1
        print(summary(list(self.outcomes.values())))
        faults = answers.validate(written, self.plan.task_set.tests)
        for fault in faults:
            print(f"error: {self.plan.output}: {fault}", file=sys.stderr)
        if self.plan.solutions is not None:
            known = self.solutions or self.plan.solutions()
            print(evaluate.table(evaluate.score(written, {i: known[i] for i in self.plan.task_set.tests})))
        print(f"{self.plan.output}: {'NOT VALID' if faults else 'complete and valid'}; the worker's log is {log}")
        return 1 if faults else 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _grid(rows: list[list[int]]) -> Grid:
    return np.array(rows, dtype=np.uint8)


def _size(task: Task, context: int) -> int:
    """Tokens of the task's longest prompt with its reply, as far as the context lets them in."""
    shown = sum(map(formats.pair_length, task.demonstrations))
    longest = max(map(formats.encoded_length, task.tests))
    return min(context, shown + 2 * longest)
