"""A device's place in the pool: who works there now, at what, and what is to come."""

import math
from dataclasses import dataclass, field

from solver.clock import Deadline
from solver.config import presets
from solver.hardware.devices import Device
from solver.runtime.child import Connection
from solver.runtime.live import Worker
from solver.runtime.messages import AdapterTrained, AnsweredBy
from solver.runtime.scheduler import Scheduler
from solver.runtime.time_slices import TimeSlice

STARTS = 4  # children in a row that may die while starting; more of the same would not help


@dataclass
class Phase:
    """What slots serve: a scheduler's batches until the deadline.

    A slot that gets no batch waits for the next one where the model answers; it leaves any other phase for good.
    """

    scheduler: Scheduler
    deadline: Deadline
    by: AnsweredBy = "model"  # what its workers answer with
    most: float = math.inf  # seconds from its start

    @property
    def remaining(self) -> float:
        """Seconds there are for it."""
        return min(self.most, self.deadline.remaining())

    @property
    def over(self) -> bool:
        """Whether no slot need serve it any more."""
        return self.by != "model" and (not self.scheduler.pending or self.remaining <= 0)

    def begin(self) -> None:
        """Start counting its seconds, unless they count already."""
        self.deadline, self.most = self.deadline.within(self.most), math.inf


@dataclass
class WorkerSlot:
    """A device, the child that works on it, and the phases it serves."""

    device: Device
    from_then: Deadline = field(default_factory=lambda: Deadline.after(0))  # the first child is not started before
    child: Connection | None = None
    ready: bool = False
    starts: int = 0  # children since one was last ready
    level: int = 0  # steps down the ladder of memory
    until: Deadline = field(default_factory=lambda: Deadline.after(0))  # the child is ready by then, or its batch over
    time_slice: TimeSlice | None = None  # the running batch, whose tasks, as far as answered, have:
    measured: dict[str, float] = field(default_factory=dict)  # seconds
    need: dict[str, float] = field(default_factory=dict)  # of more work, 0 to 1
    trained: list[AdapterTrained] = field(default_factory=list)  # what the child said of each of its adapters
    phases: list[Phase] = field(default_factory=list)  # the present one first

    @property
    def given_up(self) -> bool:
        """Whether its workers died too often while starting."""
        return self.child is None and self.starts >= STARTS

    @property
    def done_with_phase(self) -> bool:
        """Whether its present phase is over: nothing is left to do in it, or nobody can be had for programs."""
        return self.phases[0].over or (self.given_up and self.phases[0].by != "model")

    def begin(self, time_slice: TimeSlice, until: Deadline) -> None:
        self.time_slice, self.until = time_slice, until
        self.measured, self.need, self.trained = {}, {}, []

    def next_phase(self) -> None:
        """Leave the present phase for good; its child goes."""
        self.end()
        self.phases.pop(0)
        self.starts, self.ready = 0, False

    def step_down(self) -> str:
        """Take the next step down the ladder of memory; says which, or '' where there is none left."""
        ladder = (*presets.LADDER, *(["the CPU"] if self.device.gpu else []))
        if self.level == len(ladder):
            return ""
        self.level += 1
        self.starts = 0
        return f"; out of memory: trying {ladder[self.level - 1]}"

    def shown(self) -> Worker:
        """As the live view shows it."""
        name, time_slice = self.device.name, self.time_slice
        if not self.phases:
            return Worker(name, "done", busy=False)
        if self.child is None:
            return Worker(name, "given up" if self.given_up else "to be started", busy=not self.given_up)
        if time_slice is None:
            return Worker(name, "waiting" if self.ready else "starting", busy=not self.ready)
        stage, ids, seconds = time_slice.stage.number, time_slice.task_ids, time_slice.seconds
        steps, loss = (self.trained[-1].steps, self.trained[-1].loss) if self.trained else (0, None)
        return Worker(name, "working", True, stage, ids, seconds, len(self.trained), steps, loss)

    def late(self) -> str:
        """What its child was late with, in words."""
        if self.child is not None and self.child.unsent:
            return "the worker did not take its order"
        what = "start-up" if self.time_slice is None else "it"
        return f"{what} took longer than it was given"

    def end(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child = None
