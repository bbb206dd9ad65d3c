"""One run from placeholder answers to the validated file: what comes before its phases, and what after them."""

import contextlib
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from solver.clock import Deadline
from solver.data import codec
from solver.hardware import preflight, weight_staging
from solver.runtime import record
from solver.runtime.answer_book import AnswerBook, Results, Scored
from solver.runtime.live import About, count
from solver.runtime.messages import SharedAdapter, intact
from solver.runtime.phases import Phases, plan_phases, stages
from solver.runtime.placeholders import placeholders_for
from solver.runtime.pool import Assignment
from solver.runtime.prepare import RunPlan, fingerprint, program
from solver.runtime.progress import Progress
from solver.runtime.recorder import Journal, Recorder
from solver.runtime.submission_file import AnswerFile
from solver.types import INDUCTION, PROGRAMS, SHARED, BadInput, Standing
from solver.voting import judge, rules

INTERRUPTED = 130  # exit status by the shell's convention


class Run:
    """A checked plan on its way to its file."""

    def __init__(self, plan: RunPlan, deadline: Deadline, scored: Scored):
        """`scored`: what the answers are worth; asked once they are written, where there are solutions."""
        self.plan, self.deadline, self.scored = plan, deadline, scored
        self.file, self.placeholders = AnswerFile(plan.output, plan.task_set.tests), placeholders_for(plan.task_set)
        self.answers = AnswerBook(plan, self.file, self.placeholders)
        self.shared_adapters: dict[str, SharedAdapter] = {}  # those of the run that is resumed, by task id
        self.phases: Phases | None = None

    def execute(self) -> int:
        """Run to the end; 0: a valid file was written, 1: something broke, 2: bad input, 130: interrupted."""
        # SIGINT, too: a shell has what it starts in the background ignore it
        interrupt = signal.default_int_handler
        previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self.file.check()
            with Recorder(self.plan.directory, fresh=self.plan.resumed is None) as recorder:
                return self._recorded(recorder)
        except BadInput as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _recorded(self, recorder: Recorder) -> int:
        plan, limit, status = self.plan, self.plan.config.time_limit, 0
        done = self._take_up()
        standings = {i: self.answers.ledger.standing(i) for i, _ in done}
        self.file.start(self.placeholders | self.answers.attempts())  # these, too, of a batch that was cut short
        path = plan.directory / record.WORKER_LOG
        shown = about(plan, done, standings, self.deadline)
        with (
            path.open("a" if plan.resumed else "w") as self.log,
            Progress(len(plan.task_set.tasks), self._left, sys.stdout, shown) as self.progress,
        ):
            self.journal = Journal(recorder, self.progress, self.deadline, limit)
            try:
                introduce(plan, len(done), self.journal)
                self._serve(done, standings)
            except KeyboardInterrupt:
                self.journal.warn("interrupted: the answers so far are kept")
                status = INTERRUPTED
            except Exception as error:  # whatever broke, the answers so far are worth concluding with
                traceback.print_exc(file=self.log)
                self.journal.warn(f"error: {type(error).__name__}: {error}: the answers so far are kept; see {path}")
                status = 1
            self.progress.close()
            status = self.answers.conclude(self.scored) or status
            self.journal.write({"kind": "end", "status": status})
        return status

    def _take_up(self) -> set[tuple[str, int]]:
        """The (task, stage) pairs of the run that is resumed, whose batches ended; their candidates join the vote."""
        if self.plan.resumed is None:
            return set()
        results = {(result.task_id, result.stage): result for result in self.plan.resumed.results}
        for result in results.values():
            self.answers.add(result)
        done = {(i, stage) for (i, stage), r in results.items() if all((other, stage) in results for other in r.batch)}
        for shared in self.plan.resumed.shared:
            adapter = shared.trained.adapter
            if adapter is not None and intact({"": adapter}):
                self.shared_adapters |= dict.fromkeys(shared.task_ids, adapter)
        return done | {(i, SHARED) for i in self.shared_adapters}

    def _left(self) -> float:
        """Seconds to the expected end."""
        remaining = self.deadline.remaining()
        return remaining if self.phases is None else min(remaining, self.phases.expected(remaining))

    def _serve(self, done: set[tuple[str, int]], standings: dict[str, Standing]) -> None:
        plan, reserve = self.plan, self.plan.config.reserve
        with self._weights() as weights:
            needs = {i: standing.need for i, standing in standings.items()}
            phases = self.phases = plan_phases(plan, done, needs, self.deadline, self.journal)
            keep = plan.directory / record.ADAPTERS
            assignment = Assignment(plan.task_set.tasks, weights, plan.config, keep, self.shared_adapters)
            phases.serve(assignment, Results(self.answers, self.journal), self.log, plan.machines)
        phases.tell_left(self.journal)
        scheduler = phases.model.scheduler
        if plan.task_set.tasks and scheduler.finished and self.deadline.remaining() > reserve:
            why = self._why_finished(scheduler.retired)
            self.journal.note(f"ended with {self.deadline.remaining():.0f} s left: {why}")

    def _why_finished(self, failed: Sequence[str]) -> str:
        """Why nothing is left to do; `failed`: tasks that did so twice in one stage."""
        config = self.plan.config
        tried = (self.answers.ledger.standing(t.id) for t in self.plan.task_set.tasks if t.id not in failed)
        split = sum(standing.need > config.disagreement_threshold for standing in tried)
        reasons = []
        if split:
            reasons.append(
                f"{config.refinement_stages} stages of refinement are done, {count(split, 'task')} still split"
            )
        if failed:
            reasons.append(f"{count(len(failed), 'task')} failed twice")
        return ", ".join(reasons) or "all is agreed on, nothing is left to gain"

    @contextlib.contextmanager
    def _weights(self) -> Iterator[Path]:
        """Where the workers load the weights from. On GPUs, what might keep those from working is said first.

        A fault is no reason to stop: the file is complete, and the workers find out for themselves.
        """
        plan = self.plan
        if not plan.here or not any(device.gpu for device in plan.devices):
            yield plan.checkpoint.path
            return
        for finding in check_gpus(plan):
            (self.journal.note if finding.level == preflight.OK else self.journal.warn)(f"preflight: {finding}")
        with weight_staging.local(plan.checkpoint.path, plan.checkpoint.bytes) as (weights, said):
            if said:
                self.journal.note(said)
            yield weights


def check_gpus(plan: RunPlan) -> tuple[preflight.Finding, ...]:
    """What the machine says of a plan's GPUs, before any of them is used."""
    numbers = list(dict.fromkeys(d.environment["CUDA_VISIBLE_DEVICES"] for d in plan.devices if d.gpu))
    return preflight.judge(preflight.gather(plan.checkpoint.path, plan.output, numbers), plan.config)


def about(plan: RunPlan, done: set[tuple[str, int]], known: Mapping[str, Standing], deadline: Deadline) -> About:
    """What the live view says of the run. `done`: (task, stage) pairs of an earlier process, with answers `known`."""
    config = plan.config
    first = [INDUCTION] if config.induction.model else []
    first += [PROGRAMS] if config.programs.seconds else []
    return About(
        name=Path(plan.task_set.name).name,  # a challenges file has its whole path for a name
        weights=f"{plan.checkpoint.path.name} {plan.checkpoint.sha256[:12]}",
        seed=config.seed,
        stages=(*first, *(stage.number for stage in stages(config))),
        done=frozenset(done),
        answered=frozenset(i for i in known if known[i].whole),
        split=frozenset(i for i in known if known[i].need > config.disagreement_threshold),
        limit=config.time_limit,
        deadline=deadline,
    )


def introduce(plan: RunPlan, done: int, journal: Journal) -> None:
    """Keep the tasks, write the record's `run` line, and say what begins, or goes on after `done` batches."""
    weights = plan.checkpoint
    header = {
        "version": record.VERSION,
        "fingerprint": fingerprint(plan),
        "code": program(),
        "name": plan.task_set.name,
        "data_sha256": plan.task_set.sha256,
        **plan.scored_by,
        "weights": {"name": weights.path.name, "sha256": weights.sha256, "path": str(weights.path.resolve())},
        "config": asdict(plan.config),
        "tests": plan.task_set.tests,
        "output": str(plan.output.resolve()),
    }
    if plan.resumed is None:
        try:
            (plan.directory / record.CHALLENGES).write_text(codec.challenges(plan.task_set))
        except OSError as error:
            journal.progress.warn(f"warning: this run can't be resumed: its tasks could not be kept: {error}")
    journal.write({"kind": "run", **header})
    journal.progress.note(
        f"{len(plan.task_set.tests)} tasks of {plan.task_set.name}, seed {plan.config.seed}, weights "
        f"{weights.path.name} {weights.sha256[:12]}, run {fingerprint(plan)}; {plan.output} holds placeholders"
    )
    for problem in plan.task_set.problems:
        journal.warn(f"warning: {problem}")
    if plan.config.rule == rules.JUDGE and (why := judge.shipped()[1]):
        journal.warn(f"warning: no judge, votes are counted by the rule {rules.PAPERS}: {why}")
    if plan.resumed is not None:
        begun = plan.resumed.headers[0].get("code", "unknown")
        if begun != program():
            journal.warn(f"warning: begun by the program {begun}, gone on with by {program()}: answers may differ")
        torn = plan.resumed.dropped
        journal.note(f"resumed: {done} stages of tasks were done, {torn} torn lines of the record were dropped")
