"""A device's place in the pool: who works there now, at what, and what is to come.

Knows nothing of models or messages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from solver.clock import Deadline
from solver.config import presets
from solver.hardware.devices import Device
from solver.runtime.live import Worker
from solver.runtime.messages import AdapterTrained
from solver.runtime.scheduler import Scheduler
from solver.runtime.time_slices import TimeSlice
from solver.runtime.worker_process import Child

SEARCH, WRITE = "--programs", "--induction"  # children that search for programs; that have a code model write them
STARTS = 4  # children in a row that may die while starting; more of the same would not help


@dataclass
class Phase:
    """What slots serve: a scheduler's batches until the deadline, and no longer than `most` seconds from its start.

    `flag`: of the workers that serve it, `SEARCH` or `WRITE`, which answer by programs; "": of those with the model. A
    slot that gets no batch waits for the model's next one, and leaves any other phase for good.
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

    `until`: when the child must be ready, or its batch over. `starts`: children since one was last ready. `level`:
    steps down the ladder of memory. `measured`, `need`: of the tasks the running batch has answered; `trained`: what
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
    trained: list[AdapterTrained] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)

    @property
    def given_up(self) -> bool:
        """Whether its workers died too often while starting."""
        return self.child is None and self.starts >= STARTS

    @property
    def serves_model(self) -> bool:
        """Whether the model's batches are among its phases."""
        return any(not phase.programs for phase in self.phases)

    def begin(self, time_slice: TimeSlice, until: Deadline) -> None:
        """Have a batch run until then at most."""
        self.time_slice, self.until = time_slice, until
        self.measured, self.need, self.trained = {}, {}, []

    def next_phase(self) -> None:
        """Leave the present phase for good; its child goes."""
        self.end()
        self.phases.pop(0)
        self.starts, self.ready = 0, False

    def step_down(self) -> str:
        """Take the next step of the ladder of memory; what it is, or '' at its end."""
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
        last = self.trained[-1] if self.trained else None
        return Worker(
            name=name,
            state="working",
            stage=time_slice.stage.number,
            task_ids=time_slice.task_ids,
            seconds=time_slice.seconds,
            trained=len(self.trained),
            steps=last.steps if last else 0,
            loss=last.loss if last else None,
        )

    def late(self) -> str:
        """In what its child is late, in words."""
        if self.child is not None and self.child.unsent:
            return "the worker did not take its order"
        what = "start-up" if self.time_slice is None else "it"
        return f"{what} took longer than it was given"

    def end(self) -> None:
        """End the child, if there is one."""
        if self.child is not None:
            self.child.kill()
            self.child = None
