"""One run from placeholder answers to the validated file: feeds the pool, writes answers and record, tells people.

Knows nothing of models. Laws: a complete, valid file exists from before the first model is loaded until the end;
solutions are looked at only for tasks whose answers are already written.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from solver.clock import Deadline
from solver.config.settings import pack
from solver.config.stages import LAST_WORDS, PROGRAMS_SHARE, induction_stage, programs_stage, stages
from solver.data import codec
from solver.data.codec import candidate_from_json
from solver.hardware import devices, preflight, weight_staging
from solver.hardware.devices import Device
from solver.interfaces import Format
from solver.runtime import record, submission_file
from solver.runtime.live import About, Worker, answered
from solver.runtime.plan import RunPlan, fingerprint, program
from solver.runtime.pool import SEARCH, WRITE, Hooks, Phase, WorkerPool, WorkerSlot
from solver.runtime.progress import Progress
from solver.runtime.record import Recorder
from solver.runtime.scheduler import Scheduler, TaskSize
from solver.runtime.summary import AnswerOrigin, summary
from solver.runtime.worker import adapters_from_json
from solver.tokens import registry
from solver.tokens.grid import encoded_length
from solver.types import INDUCTION, PROGRAMS, SHARED, BadInput, Grid, Standing, Task, by_programs, round_name, solves
from solver.voting.candidates import Ledger

Scored: TypeAlias = Callable[[object, Mapping[str, Sequence[Grid]]], str]

INTERRUPTED = 130  # exit status by the shell's convention


class Run:
    """A checked plan on its way to its file."""

    def __init__(self, plan: RunPlan, deadline: Deadline, scored: Scored):
        """`scored`: what the answers are worth, in words; asked once they are written, where there are solutions."""
        self.scored = scored
        self.plan, self.deadline, self.limit = plan, deadline, plan.config.time_limit
        self.file = submission_file.AnswerFile(plan.output, plan.task_set.tests)
        self.directory = record.directory_of(plan.output)
        self.placeholders = submission_file.placeholders_for(plan.task_set)
        self.ledger = Ledger(plan.task_set.tasks, self.placeholders, plan.config.rule)
        self.reasons = {
            i: "malformed task" if i in plan.task_set.malformed else "not reached" for i in plan.task_set.tests
        }
        self.notes: dict[str, tuple[str, ...]] = {}
        self.shared: list[dict[str, Any]] = []  # adapters of the run that is resumed
        self.solutions: Mapping[str, tuple[Grid, ...]] = {}
        self.right: dict[str, bool] = {}
        self.status = 0
        self.scheduler: Scheduler | None = None
        self.induction: Phase | None = None
        self.programs: Phase | None = None
        self.cpu_search_devices: tuple[Device, ...] = ()

    def execute(self) -> int:
        """Run to the end; 0: a valid file was written, 1: something broke, 2: bad input, 130: interrupted."""
        # SIGINT, too: a shell has what it starts in the background ignore it
        previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self.file.check()
            with Recorder(self.directory, fresh=self.plan.resumed is None) as self.recorder:
                return self._recorded()
        except BadInput as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _recorded(self) -> int:
        done = self._take_up()
        self.file.start(self.placeholders | {i: self.ledger.standing(i).attempts for i, _ in done})
        log = self.directory / record.WORKER_LOG
        with (
            log.open("a" if self.plan.resumed else "w") as self.log,
            Progress(len(self.plan.task_set.tasks), self._left, sys.stdout, self._about(done)) as self.progress,
        ):
            try:
                self._introduce(len(done))
                self._serve(self.log, done)
            except KeyboardInterrupt:
                self._warn("interrupted: the answers so far are kept")
                self.status = INTERRUPTED
            except Exception as error:  # whatever broke, the answers so far are worth concluding with
                traceback.print_exc(file=self.log)
                self._warn(f"error: {type(error).__name__}: {error}: the answers so far are kept; see {log}")
                self.status = 1
            self.status = self._conclude() or self.status
            self._write({"kind": "end", "status": self.status})
        return self.status

    def _take_up(self) -> set[tuple[str, int]]:
        """The (task, round) pairs of the run that is resumed, whose turns had ended; their candidates join the vote."""
        if self.plan.resumed is None:
            return set()
        results = {(m["task_id"], m["round"]): m for m in self.plan.resumed.of_kind("result")}
        for (task_id, number), message in results.items():
            self._keep(task_id, number, message)
        done = {pair for pair, m in results.items() if all((i, pair[1]) in results for i in m["turn"])}
        made = [m for m in self.plan.resumed.of_kind("shared") if m["adapter"] is not None]
        self.shared = [m for m in made if adapters_from_json({"": m})]
        return done | {(i, SHARED) for m in self.shared for i in m["task_ids"]}

    def _about(self, done: set[tuple[str, int]]) -> About:
        """What the live view says of the run."""
        plan, config = self.plan, self.plan.config
        known = {i: self.ledger.standing(i) for i, _ in done}
        first = [INDUCTION] if config.induction.model else []
        first += [PROGRAMS] if config.programs.seconds else []
        return About(
            name=Path(plan.task_set.name).name,  # a challenges file has its whole path for a name
            weights=f"{plan.checkpoint.path.name} {plan.checkpoint.sha256[:12]}",
            seed=config.seed,
            rounds=(*first, *(stage.number for stage in stages(config))),
            done=frozenset(done),
            answered=frozenset(i for i in known if known[i].whole),
            split=frozenset(i for i in known if known[i].need > config.disagreement_threshold),
            limit=self.limit,
            deadline=self.deadline,
        )

    def _introduce(self, done: int) -> None:
        plan = self.plan
        header = {
            "version": record.VERSION,
            "fingerprint": fingerprint(plan),
            "code": program(),
            "name": plan.task_set.name,
            "data_sha256": plan.task_set.sha256,
            **plan.scored_by,
            "weights": {
                "name": plan.checkpoint.path.name,
                "sha256": plan.checkpoint.sha256,
                "path": str(plan.checkpoint.path.resolve()),
            },
            "config": pack(plan.config),
            "tests": plan.task_set.tests,
            "output": str(plan.output.resolve()),
        }
        if plan.resumed is None:
            try:
                (self.directory / record.CHALLENGES).write_text(codec.challenges(plan.task_set))
            except OSError as error:
                self.progress.warn(f"warning: this run can't be resumed: its tasks could not be kept: {error}")
        self._write({"kind": "run", **header})
        self.progress.note(
            f"{len(plan.task_set.tests)} tasks of {plan.task_set.name}, seed {plan.config.seed}, weights "
            f"{plan.checkpoint.path.name} {plan.checkpoint.sha256[:12]}, run {fingerprint(plan)}; "
            f"{plan.output} holds placeholders"
        )
        for problem in plan.task_set.problems:
            self._warn(f"warning: {problem}")
        if plan.resumed is not None:
            begun = plan.resumed.of_kind("run")[0].get("code", "unknown")
            if begun != program():
                self._warn(f"warning: begun by the program {begun}, gone on with by {program()}: answers may differ")
            torn = plan.resumed.dropped
            self._note(f"resumed: {done} turns of tasks were done, {torn} torn lines of the record were dropped")

    def _left(self) -> float:
        """Seconds to the expected end."""
        remaining = self.deadline.remaining()
        if self.scheduler is None:
            return remaining
        before = (self.induction, self.programs if not self.cpu_search_devices else None)  # the model waits for them
        first = sum(phase.scheduler.expected(phase.remaining) for phase in before if phase is not None)
        return min(remaining, first + self.scheduler.expected(remaining))

    def _serve(self, log: TextIO, done: set[tuple[str, int]]) -> None:
        plan, config = self.plan, self.plan.config
        format = registry.load(config.format, plan.checkpoint.path)
        jobs = [TaskSize(task.id, size_of(task, config.engine.context, format)) for task in plan.task_set.tasks]
        used = plan.devices[: max(1, len(jobs))]
        rounds = stages(config, len(jobs), len(used))
        self.scheduler = Scheduler(
            jobs,
            rounds,
            config.group,
            config.reserve,
            devices=len(used),
            disagreement_threshold=config.disagreement_threshold,
        )
        self.scheduler.resume(done, {i: self.ledger.standing(i).need for i, _ in done})
        hooks = Hooks(
            *(self._result, self._shared, self._lost, self._failure, self._note, self._warn, self._watch, self._started)
        )
        keep = self.directory / record.ADAPTERS
        with self._weights() as weights:
            self._plan_induction(jobs, used, done)
            self._plan_programs(jobs, used, done)
            pool = WorkerPool(plan.task_set.tasks, weights, config, used, hooks, log, keep, self.cpu_search_devices)
            for message in self.shared:
                pool.share(message)
            pool.run(self.scheduler, self.deadline, self.programs, self.induction)
        if self.induction is not None and (left := len(self.induction.scheduler.pending)):
            self._note(f"induction: {left} tasks were not asked in the time there was for it")
        if self.programs is not None and (left := len(self.programs.scheduler.pending)):
            self._note(f"programs: {left} tasks were not searched in the time there was for it")

    def _plan_induction(self, jobs: Sequence[TaskSize], used: Sequence[Device], done: set[tuple[str, int]]) -> None:
        """Until when the code model, if there is one, has the devices before anything else."""
        asked = self.plan.config.induction
        if not jobs:
            return
        if not asked.model:
            return self._note(asked.line())
        stage = induction_stage()
        scheduler, least = Scheduler(jobs, [stage], 1, LAST_WORDS, devices=len(used)), stage.minimum + LAST_WORDS
        scheduler.resume(done, {})
        seconds = self._part(asked.share)
        if scheduler.pending and seconds < least:
            return self._note(f"no induction: its share of the time is {seconds:.0f} s, and {least:.0f} are the least")
        self.induction = Phase(scheduler, self.deadline, WRITE, seconds)
        if scheduler.pending:
            self._note(f"{asked.line()}, before the model, {seconds:.0f} s at most")

    def _part(self, share: float) -> float:
        """Seconds that are this share of those there are for work."""
        return share * max(0.0, self.deadline.remaining() - self.plan.config.reserve)

    def _plan_programs(self, jobs: Sequence[TaskSize], used: Sequence[Device], done: set[tuple[str, int]]) -> None:
        """Who searches for programs, and until when: cores beside GPUs to the end, or the model's own before it."""
        config = self.plan.config
        if not config.programs.seconds or not jobs:
            return
        gpu = any(device.gpu for device in used)
        self.cpu_search_devices = search_devices(len(used), len(jobs)) if gpu else ()
        if gpu and not self.cpu_search_devices:
            return self._note("no programs: the GPU workers leave no core, or too little memory, to search for them")
        reserve, places = (config.reserve, len(self.cpu_search_devices)) if gpu else (0.0, len(used))
        scheduler = Scheduler(jobs, [programs_stage(config)], 1, reserve, devices=places)
        scheduler.resume(done, {})
        self.programs = Phase(scheduler, self.deadline, SEARCH, math.inf if gpu else self._part(PROGRAMS_SHARE))
        if scheduler.pending:
            where = (
                f"beside the GPUs, {places} at a time"
                if gpu
                else f"before the model, {self.programs.remaining:.0f} s at most"
            )
            self._note(f"programs: {config.programs.seconds:g} s a task at most, {where}")

    @contextlib.contextmanager
    def _weights(self) -> Iterator[Path]:
        """Where the workers load the weights from. On GPUs, what might keep those from working is said first.

        A fault is no reason to stop: the file is complete, and the workers find out for themselves.
        """
        plan = self.plan
        if not any(device.gpu for device in plan.devices):
            yield plan.checkpoint.path
            return
        for finding in check_gpus(plan):
            (self._note if finding.level == preflight.OK else self._warn)(f"preflight: {finding}")
        with weight_staging.local(plan.checkpoint.path, plan.checkpoint.bytes) as (weights, said):
            if said:
                self._note(said)
            yield weights

    def _keep(self, task_id: str, number: int, message: Mapping[str, Any]) -> Standing:
        if not by_programs(number):  # a placeholder's reason is why the model has no answer
            self.notes[task_id] = (*message["notes"],)
            self.reasons[task_id] = f"{message['rejected']} replies, none of them a grid"
        return self.ledger.add(task_id, number, [[candidate_from_json(c) for c in t] for t in message["candidates"]])

    def _result(self, device: str, message: dict[str, Any]) -> float:
        task_id, number = message["task_id"], message["round"]
        standing = self._keep(task_id, number, message)
        self._fill(task_id, standing)
        known = {
            "attempts": [[a.tolist(), b.tolist()] for a, b in standing.attempts],
            "from_model": standing.from_model,
            "votes": standing.votes,
            "from_programs": standing.from_programs,
        }
        self._write(message | known | {"kind": "result", "device": device}, task_id)
        self._tell(number, message, standing)
        return standing.need

    def _shared(self, device: str, message: dict[str, Any]) -> None:
        self._write(message | {"device": device})
        count, losses = len(message["task_ids"]), message["losses"] or [float("nan")]
        self.progress.shared(
            message["task_ids"],
            f"{device}: an adapter shared by {count} tasks: {message['steps']} of {message['planned']} steps, "
            f"loss {losses[0]:.3f} to {losses[-1]:.3f}, {message['seconds']:.1f} s",
        )

    def _fill(self, task_id: str, standing: Standing) -> None:
        """Write the answers. A full disk costs the record first; what it still refuses is kept for the next write."""
        try:
            try:
                self.file.fill(task_id, standing.attempts)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                self.progress.warn(f"warning: {error}: the record made room for the answers: this run can't be resumed")
                self.recorder.make_room()
                self.file.fill(task_id, standing.attempts)
        except OSError as error:
            self._warn(f"warning: {self.plan.output} could not be replaced: {error}")

    def _tell(self, number: int, message: Mapping[str, Any], standing: Standing) -> None:
        task_id, split = message["task_id"], standing.need > self.plan.config.disagreement_threshold
        solved = self._count(task_id, standing)
        answer = answered(message, standing, split, self.right.get(task_id))
        steps = f"{answer.steps} steps, " if answer.steps else ""
        name = f"round {number}" if number != INDUCTION else round_name(number)
        info = f"{name}, {steps}{answer.text}, {answer.seconds:.1f} s"
        text = "; ".join([info, *message["notes"]])
        self.progress.task(task_id, text, solved, len(self.ledger.rounds(task_id)) == 1, answer)

    def _lost(self, task_id: str, why: str) -> None:
        self.reasons[task_id] = why
        programs = any(self.ledger.standing(task_id).from_programs)
        what = "the programs' answers stay" if programs else "placeholders stay"
        self.progress.task(task_id, f"{what}: {why}", new=not self.ledger.rounds(task_id))

    def _watch(self, slots: Sequence[WorkerSlot]) -> None:
        self.progress.watch([_worker(slot) for slot in slots])

    def _failure(self, number: int, task_ids: Sequence[str], why: str) -> None:
        self._write({"kind": "failure", "round": number, "task_ids": list(task_ids), "why": why})

    def _note(self, text: str) -> None:
        self.progress.note(text)
        self._write({"kind": "event", "text": text})

    def _started(self, device: str, seconds: float) -> None:
        self._write({"kind": "started", "device": device, "seconds": seconds})

    def _warn(self, text: str) -> None:
        self.progress.warn(text)
        self._write({"kind": "event", "text": text})

    def _write(self, message: Mapping[str, Any], what: str = "a line") -> None:
        """Record a message; a full disk costs the record, not the run: the answers are worth more."""
        at = {"at": round(self.limit - self.deadline.remaining(), 2)}
        try:
            self.recorder.write({"kind": message["kind"]} | at | dict(message))
        except OSError as error:
            self.progress.warn(f"warning: the record lacks {what}: {error}")

    def _count(self, task_id: str, standing: Standing) -> int | None:
        """Tasks solved so far, this one included, now that its answers are written; None without solutions."""
        if self.plan.solutions is None:
            return None
        self.solutions = self.solutions or self.plan.solutions()
        pairs = zip(standing.attempts, self.solutions[task_id], strict=True)
        self.right[task_id] = all(solves(pair, grid) for pair, grid in pairs)
        return sum(self.right.values())

    def _outcomes(self) -> list[AnswerOrigin]:
        """Where every answer came from; a placeholder with its reason."""
        known = {task.id: self.ledger.standing(task.id) for task in self.plan.task_set.tasks}
        outcomes = []
        for task_id, tests in self.plan.task_set.tests.items():
            reason = "; ".join(self.notes.get(task_id, ())) or self.reasons[task_id]
            standing = known.get(task_id, Standing((), (0,) * tests, (), (0,) * tests))
            given = zip(standing.from_model, standing.from_programs, strict=True)
            outcomes += [
                AnswerOrigin(task_id, n, model, "" if model or programs else reason, programs)
                for n, (model, programs) in enumerate(given)
            ]
        return outcomes

    def _conclude(self) -> int:
        self.progress.close()
        try:
            self.file.flush()
            written = json.loads(self.plan.output.read_text())
        except OSError as error:
            print(f"error: {self.plan.output} could not be written: {error}", file=sys.stderr)
            return 1
        print(summary(self._outcomes()))
        faults = submission_file.validate(written, self.plan.task_set.tests)
        for fault in faults:
            print(f"error: {self.plan.output}: {fault}", file=sys.stderr)
        if self.plan.solutions is not None:
            known = self.solutions or self.plan.solutions()
            print(self.scored(written, {i: known[i] for i in self.plan.task_set.tests}))
        print(f"{self.plan.output}: {'NOT VALID' if faults else 'complete and valid'}; its record is {self.directory}")
        return 1 if faults else 0


def check_gpus(plan: RunPlan) -> tuple[preflight.Finding, ...]:
    """What the machine says of a plan's GPUs, before any of them is used."""
    numbers = list(dict.fromkeys(d.environment["CUDA_VISIBLE_DEVICES"] for d in plan.devices if d.gpu))
    return preflight.judge(preflight.gather(plan.checkpoint.path, plan.output, numbers), plan.config)


def search_devices(workers: int, tasks: int) -> tuple[Device, ...]:
    """Where to search for programs beside so many GPU workers on this machine, at most one place a task."""
    return devices.cpu_search_devices(workers, devices.cores_here(), devices.free_memory())[:tasks]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _worker(slot: WorkerSlot) -> Worker:
    """A slot as the live view shows it."""
    name, time_slice = slot.device.name, slot.time_slice
    if not slot.phases:
        return Worker(name, "done", busy=False)
    if slot.child is None:
        return Worker(name, "given up" if slot.given_up else "to be started", busy=not slot.given_up)
    if time_slice is None:
        return Worker(name, "waiting" if slot.ready else "starting", busy=not slot.ready)
    last: Mapping[str, Any] = slot.trained[-1] if slot.trained else {"steps": 0, "loss": None}
    return Worker(
        name=name,
        state="working",
        round=time_slice.stage.number,
        task_ids=time_slice.task_ids,
        seconds=time_slice.seconds,
        trained=len(slot.trained),
        steps=last["steps"],
        loss=last["loss"],
    )


def size_of(task: Task, context: int, format: Format) -> int:
    """Tokens of the task's longest prompt with its reply, as far as the context lets them in."""
    shown = format.pairs_length(task.demonstrations)
    longest = max(map(encoded_length, task.tests))
    return min(context, shown + 2 * longest)
