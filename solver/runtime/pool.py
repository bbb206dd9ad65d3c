"""Runs the schedulers' turns in one child process a device, and outlives whatever becomes of the children.

Knows nothing of models. A slot serves one phase after another: a code model that writes programs has each device before
anything else; then, where GPUs work, slots of their own search for programs beside them; else each device does so
first, and makes place for the model. Laws: a child that dies, hangs or runs past its seconds costs at most its turn;
nothing waits past the deadline, for the code model past its share, or for programs once the model's turns are over; no
child outlives the run.
"""

from __future__ import annotations

import contextlib
import math
import selectors
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from solver.clock import Deadline, now
from solver.config import presets, settings
from solver.data.codec import task_to_json
from solver.hardware.devices import ONE_CORE, Device
from solver.runtime.scheduler import Scheduler, TimeSlice
from solver.runtime.worker_process import Child
from solver.types import Task

SEARCH, WRITE = "--programs", "--induction"  # children that search for programs; that have a code model write them
GRACE = 10.0  # seconds past its grant before a child counts as stuck and is killed
STARTS = 4  # children in a row that may die while starting; more of the same would not help
APART = 4.0  # seconds between the starts of workers on GPUs: their first imports compile, and read the same files
START_MOST = 300.0  # seconds a child may take to start, however much time is left
START_SHARE = 0.5  # of the seconds left may go by while a child starts: a second one then still has time
LAST = 3.0  # seconds before the deadline at which a child is killed, whatever it does
TICK = 0.25  # seconds between two looks at the children at most
CPU_ONLY = {"CUDA_VISIBLE_DEVICES": ""}  # the environment of a child that must not use a GPU


@dataclass
class Hooks:
    """What the run wants to hear.

    `result`: a device's result as JSON values; gives back how much the task needs more work, 0 to 1. `shared`: an
    adapter that tasks share, as JSON values with their ids; `WorkerPool.share` takes it up. `lost`: a task
    left without a turn it was due, and why. `failure`: round, tasks and cause of a turn that failed. `note`: a line
    for people; `warn`: one on what went wrong. `watch`: how the slots stand, every `TICK` seconds or sooner. `started`:
    a device's model is ready, and the seconds that took.
    """

    result: Callable[[str, dict[str, Any]], float]
    shared: Callable[[str, dict[str, Any]], None]
    lost: Callable[[str, str], None]
    failure: Callable[[int, Sequence[str], str], None]
    note: Callable[[str], None]
    warn: Callable[[str], None]
    watch: Callable[[Sequence[WorkerSlot]], None] = lambda _: None
    started: Callable[[str, float], None] = lambda *_: None


def undisturbed(result: Mapping[str, Any]) -> float:
    """Seconds the task of a result would have used, had its training not been stopped before its last step."""
    seconds, steps = result["seconds"], result.get("steps", 0)
    more = result["planned"] / steps - 1 if steps else 0.0
    return math.fsum((*seconds.values(), more * seconds.get("train", 0.0)))


@dataclass
class Phase:
    """What slots serve: the turns of a scheduler until the deadline, and no longer than `most` seconds from its start.

    `flag`: of the workers that serve it, `SEARCH` or `WRITE`, which answer by programs; "": of those with the model. A
    slot that gets no turn waits for the model's next one, and leaves any other phase for good.
    """

    scheduler: Scheduler
    deadline: Deadline
    flag: str = ""
    most: float = math.inf

    @property
    def programs(self) -> bool:
        """Whether programs answer."""
        return bool(self.flag)

    @property
    def remaining(self) -> float:
        """Seconds there are for it."""
        return min(self.most, self.deadline.remaining())

    @property
    def over(self) -> bool:
        """Whether nobody need be seated for it any more."""
        return self.programs and (not self.scheduler.pending or self.remaining <= 0)

    def begin(self) -> None:
        """Have its seconds count from now on, if they do not yet."""
        self.deadline, self.most = self.deadline.within(self.most), math.inf


@dataclass
class WorkerSlot:
    """A device with whoever sits there, from the moment `from_then` on, for its `phases`, the present one first.

    `until`: when the child must be ready, or its turn over. `starts`: children since one was last ready. `level`:
    steps down the ladder of memory. `measured`, `need`: of the tasks the running turn has answered; `trained`: what
    its workers said of each of its adapters.
    """

    device: Device
    from_then: Deadline = field(default_factory=lambda: Deadline.after(0))
    child: Child | None = None
    ready: bool = False
    starts: int = 0
    level: int = 0
    until: Deadline = field(default_factory=lambda: Deadline.after(0))
    time_slice: TimeSlice | None = None
    measured: dict[str, float] = field(default_factory=dict)
    need: dict[str, float] = field(default_factory=dict)
    trained: list[dict[str, Any]] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)

    @property
    def given_up(self) -> bool:
        """Whether its workers died too often while starting."""
        return self.child is None and self.starts >= STARTS

    @property
    def serves_model(self) -> bool:
        """Whether the model's turns are among its phases."""
        return any(not phase.programs for phase in self.phases)


class WorkerPool:
    """All devices' run: `run` serves all turns."""

    def __init__(
        self,
        tasks: Sequence[Task],
        weights: Path,
        config: settings.Config,
        devices: Sequence[Device],
        hooks: Hooks,
        log: TextIO,
        keep: Path,
        cpu_search_devices: Sequence[Device] = (),
    ):
        """`keep`: the folder for adapters that tasks share. `cpu_search_devices`: those that search for programs alone;
        where there are none, `devices` do so before the model's turns.
        """
        self.keep, self.shared = keep, dict[str, Mapping[str, Any]]()
        self.tasks = {task.id: task for task in tasks}
        self.weights, self.config, self.hooks, self.log = weights, config, hooks, log
        self.slots = [WorkerSlot(device, Deadline.after(APART * n * device.gpu)) for n, device in enumerate(devices)]
        self.cpu_search_devices = [WorkerSlot(device) for device in cpu_search_devices]
        self.answered: set[str] = set()

    def share(self, message: Mapping[str, Any]) -> None:
        """Have the tasks a message names start from the adapter it names, if there is one."""
        if message["adapter"] is not None:
            known = {name: message[name] for name in ("adapter", "path", "sha256")}
            self.shared |= dict.fromkeys(message["task_ids"], known)

    def run(
        self, scheduler: Scheduler, deadline: Deadline, programs: Phase | None = None, induction: Phase | None = None
    ) -> None:
        """Serve the model's turns until every task had them or the budget is spent.

        `induction` comes before, `programs` then or beside.
        """
        self.model, self.deadline = Phase(scheduler, deadline), deadline
        self.last = Deadline(deadline.at - LAST, deadline.read)
        self._assign_phases(programs, induction)
        try:
            while self.last.remaining() > 0 and not scheduler.finished:
                for slot in self.slots:
                    self._assign(slot)
                working = [
                    slot for slot in self.slots if slot.child is not None and (slot.time_slice or not slot.ready)
                ]
                due = [slot for slot in self.slots if slot.from_then.remaining() > 0]
                if not working and not due:
                    break
                self.hooks.watch(self.slots)
                self._wait(working, due)
                for slot in working:
                    self._listen(slot)
            able = [slot for slot in self.slots if slot.serves_model and not slot.given_up]
            started = any(slot.child for slot in able) or self.last.remaining() <= 0
            why = "the time limit came first" if started else "the worker could not be started"
            for task_id in scheduler.pending:
                self._lost(task_id, why)
        finally:
            for slot in self.slots:
                self._end(slot)

    def _assign_phases(self, programs: Phase | None, induction: Phase | None) -> None:
        """Programs to the slots that are there for them; where there are none, to all, before the model's turns."""
        searches = [programs] if programs is not None else []
        first = [induction] if induction is not None else []
        for slot in self.slots:
            slot.phases = [*first, *(searches if not self.cpu_search_devices else ()), self.model]
        for slot in self.cpu_search_devices:
            slot.phases = list(searches)
        self.slots += self.cpu_search_devices

    def _lost(self, task_id: str, why: str) -> None:
        if task_id not in self.answered:
            self.hooks.lost(task_id, why)

    def _assign(self, slot: WorkerSlot) -> None:
        """Start a child where there is none and one may help; hand a turn to one that is idle."""
        while slot.phases and slot.time_slice is None and (slot.phases[0].over or self._useless(slot)):
            self._next_phase(slot)
        if not slot.phases:
            return
        if slot.child is None and slot.starts < STARTS and slot.from_then.remaining() <= 0:
            self._start(slot)
        if slot.child is not None and slot.ready and slot.time_slice is None:
            phase = slot.phases[0]
            slot.time_slice = phase.scheduler.next(slot.device.name, phase.deadline.remaining())
            if slot.time_slice is not None:
                self._hand_over(slot, slot.child, slot.time_slice)
            elif phase.programs:
                self._next_phase(slot)
                self._assign(slot)

    def _useless(self, slot: WorkerSlot) -> bool:
        """Whether nobody can be seated for programs."""
        return slot.given_up and slot.phases[0].programs

    def _next_phase(self, slot: WorkerSlot) -> None:
        """Leave the present phase for good; its child goes."""
        self._end(slot)
        slot.phases.pop(0)
        slot.starts, slot.ready = 0, False

    def _start(self, slot: WorkerSlot) -> None:
        """Start a child for the slot's phase."""
        phase = slot.phases[0]
        phase.begin()
        slot.starts, slot.ready = slot.starts + 1, False
        slot.until = self.last.within(min(START_MOST, START_SHARE * self.last.remaining(), phase.remaining))
        config = presets.lighter(self.config, slot.level)
        flags = [phase.flag] if phase.flag else []
        try:
            slot.child = Child(self.weights, config, self._environment(slot), self.log, flags)
        except OSError as error:
            self.hooks.warn(f"{error} while starting a worker on {slot.device.name}")

    def _environment(self, slot: WorkerSlot) -> Mapping[str, str]:
        if slot.phases[0].flag == SEARCH:
            return {**slot.device.environment, **ONE_CORE}
        on_cpu = slot.device.gpu and slot.level > len(presets.LADDER)
        return {**slot.device.environment, **(CPU_ONLY if on_cpu else {})}

    def _hand_over(self, slot: WorkerSlot, child: Child, time_slice: TimeSlice) -> None:
        phase = slot.phases[0]
        last = phase.deadline.at if phase.flag == WRITE else math.inf  # the model waits for it
        slot.until = Deadline(min(self.last.at, last, now() + time_slice.seconds + GRACE), self.last.read)
        slot.measured, slot.need, slot.trained = {}, {}, []
        tasks = [task_to_json(self.tasks[i]) for i in time_slice.task_ids]
        shared = {i: self.shared[i] for i in time_slice.task_ids if i in self.shared}
        order = {"round": time_slice.stage.number, "tasks": tasks, "seconds": time_slice.seconds}
        order |= {"hurried": time_slice.hurried, "shared": shared, "keep": str(self.keep.resolve())}
        with contextlib.suppress(OSError):  # a dead child is noticed where it is listened to
            child.order(order | {"train_seconds": dict(time_slice.train_seconds)})

    def _wait(self, working: Sequence[WorkerSlot], due: Sequence[WorkerSlot]) -> None:
        """Sleep until a child says something, takes more of its order, is late, or is to start; `TICK` at most."""
        with selectors.DefaultSelector() as selector:
            for slot in working:
                assert slot.child is not None
                selector.register(slot.child.reports, selectors.EVENT_READ)
                if slot.child.unsent:
                    selector.register(slot.child.orders, selectors.EVENT_WRITE)
            selector.select(
                min(
                    [TICK, *(slot.from_then.remaining() for slot in due), *(slot.until.remaining() for slot in working)]
                )
            )

    def _listen(self, slot: WorkerSlot) -> None:
        """Take in what a child said; see whether it is gone or late."""
        child = slot.child
        assert child is not None
        with contextlib.suppress(OSError):
            child.push()
        messages, over = child.messages()
        for message in messages:
            if slot.child is child:  # until it failed
                self._take(slot, message)
        if slot.child is not child or (slot.ready and slot.time_slice is None and not over):
            return
        if over:
            self._failed(slot, child.death())
        elif slot.until.remaining() <= 0:
            self._failed(slot, "stopped: " + self._late(slot, child))

    def _late(self, slot: WorkerSlot, child: Child) -> str:
        if child.unsent:
            return "the worker did not take its order"
        return (
            "start-up took longer than it was given" if slot.time_slice is None else "it took longer than it was given"
        )

    def _take(self, slot: WorkerSlot, message: dict[str, Any]) -> None:
        """One report: ready, an adapter trained, a result, a shared adapter, done, or failed."""
        phase = slot.phases[0]
        if message["kind"] == "ready":
            slot.ready, slot.starts = True, 0
            name, notes = slot.device.name, "; ".join(message["notes"])
            if phase.flag != SEARCH:
                what = "code model" if phase.programs else "engine and trainer"
                self.hooks.note(f"{what} ready on {name} in {message['seconds']:.1f} s; {notes}")
                self.hooks.started(name, message["seconds"])
        elif message["kind"] == "trained":
            slot.trained.append(message)
        elif message["kind"] == "result":
            assert slot.time_slice is not None
            message["turn"] = slot.time_slice.task_ids
            slot.measured[message["task_id"]] = undisturbed(message)
            self._need(slot, message["task_id"], self.hooks.result(slot.device.name, message))
            if not phase.programs:
                self.answered.add(message["task_id"])
        elif message["kind"] == "shared":
            assert slot.time_slice is not None
            message["task_ids"] = slot.time_slice.task_ids
            slot.measured |= dict.fromkeys(slot.time_slice.task_ids, message["seconds"] / len(slot.time_slice.task_ids))
            self.share(message)
            self.hooks.shared(slot.device.name, message)
        elif message["kind"] == "failed":
            self._failed(slot, message["why"], message.get("memory", False) and not phase.programs)
        elif slot.time_slice is not None:
            time_slice, slot.time_slice = slot.time_slice, None
            phase.scheduler.returned(time_slice, slot.measured, True, slot.need)

    def _need(self, slot: WorkerSlot, task_id: str, need: float) -> None:
        """How much a task needs more work now. What programs change of it the model's scheduler is told as well."""
        slot.need[task_id] = need
        if slot.phases[0].programs:
            self.model.scheduler.needs({task_id: need})
            for other in self.slots:
                if task_id in other.need:
                    other.need[task_id] = need

    def _failed(self, slot: WorkerSlot, why: str, memory: bool = False) -> None:
        """A child that failed is not trusted with another turn. Out of memory, its successor is given less to do."""
        step = self._step_down(slot) if memory else ""
        self._end(slot)
        if slot.time_slice is None:
            where = "" if slot.ready else " while starting"
            self.hooks.warn(f"{slot.device.name}: {why}{where}; its log says more{step}")
            able = [s for s in self.slots if slot.phases[0] in s.phases and not s.given_up]
            slot.phases[0].scheduler.devices = max(1, len(able))  # those given up are not planned with
            return
        time_slice, slot.time_slice = slot.time_slice, None
        self.hooks.warn(f"{slot.device.name}: {why}, in the turn of {', '.join(time_slice.task_ids)}{step}")
        self.hooks.failure(time_slice.stage.number, time_slice.task_ids, why + step)
        scheduler = slot.phases[0].scheduler
        retired = set(scheduler.retired)
        scheduler.returned(time_slice, slot.measured, False, slot.need, excused=bool(step))
        for task_id in scheduler.retired if not slot.phases[0].programs else ():
            if task_id not in retired:
                self._lost(task_id, why)

    def _step_down(self, slot: WorkerSlot) -> str:
        """Take the next step of the ladder; what it is, or '' at its end."""
        ladder = (*presets.LADDER, *(["the CPU"] if slot.device.gpu else []))
        if slot.level == len(ladder):
            return ""
        slot.level += 1
        slot.starts = 0
        return f"; out of memory: trying {ladder[slot.level - 1]}"

    def _end(self, slot: WorkerSlot) -> None:
        if slot.child is not None:
            slot.child.kill()
            slot.child = None
