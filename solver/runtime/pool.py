"""Runs the schedulers' batches in one child process a device, and outlives whatever becomes of the children.

A slot serves one phase after another: a code model that writes programs has each device before anything else; then,
where GPUs work, slots of their own search for programs beside them; else each device does so first, and makes place for
the model. What the children say, `reports` takes in. Laws: nothing waits past the deadline, for the code model past its
share, or for programs once the model's batches are over; no child outlives the run.
"""

import contextlib
import math
import selectors
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from solver.clock import Deadline, now
from solver.config import presets, settings
from solver.hardware.devices import NO_GPU, ONE_CORE, Device
from solver.runtime import messages
from solver.runtime.child import Connection
from solver.runtime.machines import Machines, ThisMachine
from solver.runtime.reports import Observer, Reports
from solver.runtime.scheduler import Scheduler
from solver.runtime.time_slices import TimeSlice
from solver.runtime.worker_slot import STARTS, Phase, WorkerSlot
from solver.types import Task

GRACE = 10.0  # seconds past its time slice before a child counts as stuck and is killed
APART = 4.0  # seconds between the starts of workers on GPUs, which read the same files
START_MOST = 300.0  # seconds a child may take to start, however much time is left
FIRST_START = 900.0  # the same until one on a GPU was ready: imports from a cold disk, and all that is compiled
ALONE = 300.0  # seconds at most that the others wait meanwhile: they find compiled what it compiled
START_SHARE = 0.5  # of the seconds left may go by while a child starts: a second one then still has time
LAST = 3.0  # seconds before the deadline at which a child is killed, whatever it does
TICK = 0.25  # seconds between two looks at the children at most


@dataclass(frozen=True, eq=False)
class Assignment:
    """What the workers are to answer: the tasks, and with which weights and settings."""

    tasks: Sequence[Task]
    weights: Path
    config: settings.Config
    keep: Path  # the folder for adapters that tasks share
    shared: Mapping[str, messages.SharedAdapter]  # those there are already, by task id


class WorkerPool:
    """All devices' run: `run` serves all batches."""

    def __init__(
        self,
        assignment: Assignment,
        devices: Sequence[Device],
        observer: Observer,
        log: TextIO,
        cpu_search_devices: Sequence[Device] = (),
        machines: Machines = ThisMachine(),  # noqa: B008  it has no state
    ):
        """`cpu_search_devices`: those that search for programs alone; without them `devices` do, before the model."""
        self.assignment, self.observer, self.log, self.machines = assignment, observer, log, machines
        self.tasks = {task.id: task for task in assignment.tasks}
        self.slots = [WorkerSlot(device) for device in devices]
        self.cpu_search_slots = [WorkerSlot(device) for device in cpu_search_devices]
        self.begun: dict[str, bool] = {}  # by what workers on GPUs answer by: one was started; whether one was ready

    def run(
        self, scheduler: Scheduler, deadline: Deadline, programs: Phase | None = None, induction: Phase | None = None
    ) -> None:
        """Serve the model's batches until all tasks had them or the budget is spent; before, or beside, the others'."""
        model = Phase(scheduler, deadline)
        self.last = Deadline(deadline.at - LAST, deadline.read)
        before = [] if induction is None else [induction]
        searches = [] if programs is None else [programs]  # on all devices before the model's batches, or beside these
        for slot in self.slots:
            slot.phases = [*before, *([] if self.cpu_search_slots else searches), model]
        for slot in self.cpu_search_slots:
            slot.phases = searches.copy()
        self.slots += self.cpu_search_slots
        self.reports = Reports(model, self.observer, self.slots, dict(self.assignment.shared), self._started)
        try:
            while self.last.remaining() > 0 and not scheduler.finished:
                for slot in self.slots:
                    self._assign(slot)
                working = [s for s in self.slots if s.child is not None and (s.time_slice or not s.ready)]
                due = [slot for slot in self.slots if slot.from_then.remaining() > 0]
                if not working and not due:
                    break
                self.observer.watch(self.slots)
                self._wait(working, due)
                for slot in working:
                    self.reports.listen(slot)
            able = [slot for slot in self.slots if model in slot.phases and not slot.given_up]
            started = any(slot.child for slot in able) or self.last.remaining() <= 0
            why = "the time limit came first" if started else "the worker could not be started"
            for task_id in scheduler.pending:
                self.reports.lost(task_id, why)
        finally:
            with ThreadPoolExecutor(max(1, len(self.slots))) as threads:  # on a cluster each takes a moment
                list(threads.map(WorkerSlot.end, self.slots))

    # ---- orders ------------------------------------------------------------------------------------------------------

    def _assign(self, slot: WorkerSlot) -> None:
        """Start a child where there is none and one may help; hand a batch to one that is idle."""
        while slot.phases and slot.time_slice is None and slot.done_with_phase:
            slot.next_phase()
        if not slot.phases:
            return
        if slot.child is None and slot.starts < STARTS and slot.from_then.remaining() <= 0:
            self._start(slot)
        if slot.child is not None and slot.ready and slot.time_slice is None:
            phase = slot.phases[0]
            time_slice = phase.scheduler.next(slot.device.name, phase.deadline.remaining())
            if time_slice is not None:
                self._hand_over(slot, slot.child, time_slice)
            elif phase.by != "model":
                slot.next_phase()
                self._assign(slot)

    def _start(self, slot: WorkerSlot) -> None:
        """Start a child for the slot's phase."""
        phase = slot.phases[0]
        phase.begin()
        slot.starts, slot.ready = slot.starts + 1, False
        compiles = slot.device.gpu and phase.by != "programs" and not self.begun.get(phase.by)
        if compiles and phase.by not in self.begun:
            self.begun[phase.by] = False
            self._stagger(slot, min(ALONE, START_SHARE / 2 * self.last.remaining()))
        most = FIRST_START if compiles else START_MOST
        slot.until = self.last.within(min(most, START_SHARE * self.last.remaining(), phase.remaining))
        config = presets.lighter(self.assignment.config, slot.level)
        try:
            slot.child = self.machines.start(self._place(slot), self.assignment.weights, config, self.log, phase.by)
        except OSError as error:
            self.observer.warn(f"{error} while starting a worker on {slot.device.name}")

    def _stagger(self, first: WorkerSlot, wait: float) -> None:
        """Have the others on GPUs start after so many seconds, one after another."""
        others = [s for s in self.slots if s.device.gpu and s.phases and not s.given_up and s is not first]
        for n, slot in enumerate(others):
            slot.from_then = Deadline.after(wait + APART * n)

    def _started(self, slot: WorkerSlot, ready: bool) -> None:
        """The others need not wait any longer for the first worker on a GPU."""
        by = slot.phases[0].by
        if slot.device.gpu and self.begun.get(by) is False:
            self.begun[by] = ready
            self._stagger(slot, 0.0)

    def _place(self, slot: WorkerSlot) -> Device:
        """The slot's device, with the variables that its phase and its step down the ladder ask for."""
        on_cpu = slot.device.gpu and slot.level > len(presets.LADDER)
        added = ONE_CORE if slot.phases[0].by == "programs" else NO_GPU if on_cpu else {}
        return replace(slot.device, environment={**slot.device.environment, **added})

    def _hand_over(self, slot: WorkerSlot, child: Connection, time_slice: TimeSlice) -> None:
        phase = slot.phases[0]
        last = phase.deadline.at if phase.by == "induction" else math.inf  # the model waits for it
        until = Deadline(min(self.last.at, last, now() + time_slice.seconds + GRACE), self.last.read)
        slot.begin(time_slice, until)
        shared = self.reports.shared
        order = messages.Order(
            stage=time_slice.stage.number,
            tasks=tuple(self.tasks[i] for i in time_slice.task_ids),
            seconds=time_slice.seconds,
            train_seconds=time_slice.train_seconds,
            hurried=time_slice.hurried,
            shared={i: shared[i] for i in time_slice.task_ids if i in shared},
            keep=self.assignment.keep.resolve(),
        )
        with contextlib.suppress(OSError):  # a dead child is noticed where it is listened to
            child.order(order)

    def _wait(self, working: Sequence[WorkerSlot], due: Sequence[WorkerSlot]) -> None:
        """Sleep until a child says something, takes more of its order, is late, or is to start; `TICK` at most."""
        with selectors.DefaultSelector() as selector:
            for slot in working:
                assert slot.child is not None
                selector.register(slot.child.reports, selectors.EVENT_READ)
                if slot.child.unsent:
                    selector.register(slot.child.orders, selectors.EVENT_WRITE)
            starts, ends = ((s.from_then.remaining() for s in due), (s.until.remaining() for s in working))
            selector.select(min(TICK, *starts, *ends))
