"""What workers report, taken in: results to the observer, seconds and needs to the schedulers, faults to both.

Law: a worker that dies, hangs or runs past its seconds costs at most its batch.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Protocol

from solver.runtime import messages
from solver.runtime.worker_slot import Phase, WorkerSlot
from solver.types import TaskResult


class Observer(Protocol):
    """Who is told what becomes of the tasks; a `batch` is the ids of those that a device was given together."""

    def result(self, device: str, task: messages.TaskAnswered, batch: Sequence[str]) -> float: ...  # its need, 0 to 1
    def shared(self, device: str, trained: messages.SharedAdapterTrained, batch: Sequence[str]) -> None: ...
    def lost(self, task_id: str, why: str) -> None: ...  # a task is left without a batch it was due
    def failure(self, stage: int, batch: Sequence[str], why: str) -> None: ...
    def note(self, text: str) -> None: ...  # a line for people
    def warn(self, text: str) -> None: ...
    def watch(self, slots: Sequence[WorkerSlot]) -> None: ...  # how they stand, every `TICK` seconds or sooner
    def started(self, device: str, seconds: float) -> None: ...  # its model is ready, after so many seconds


def undisturbed(result: TaskResult) -> float:
    """Seconds the task of a result would have used, had its training not been stopped before its last step."""
    more = result.planned / result.steps - 1 if result.steps else 0.0
    return math.fsum((*result.seconds.values(), more * result.seconds.get("train", 0.0)))


class Reports:
    """Takes in what the workers of `slots` report; `shared`: adapters that tasks share, by task id."""

    def __init__(
        self,
        model: Phase,
        observer: Observer,
        slots: Sequence[WorkerSlot],
        shared: dict[str, messages.SharedAdapter],
        started: Callable[[WorkerSlot, bool], None],
    ):
        """`model`: its phase, whose scheduler is told as well what programs change of a task's need.

        `started`: called with a slot whose worker is ready (True) or came to nothing while it started (False).
        """
        self.model, self.observer, self.slots = model, observer, slots
        self.shared, self._started = shared, started
        self.answered: set[str] = set()  # tasks that the model answered

    def listen(self, slot: WorkerSlot) -> None:
        """Take in what a child said; see whether it is gone or late."""
        child = slot.child
        assert child is not None
        with contextlib.suppress(OSError):
            child.push()
        reports, over = child.receive()
        for report in reports:
            if slot.child is child:  # until it failed
                self._take(slot, report)
        if slot.child is not child or (slot.ready and slot.time_slice is None and not over):
            return
        if over:
            self._failed(slot, child.death())
        elif slot.until.remaining() <= 0:
            self._failed(slot, "stopped: " + slot.late())

    def _take(self, slot: WorkerSlot, report: messages.Report) -> None:
        """Take in one report."""
        phase, name = slot.phases[0], slot.device.name
        batch = () if slot.time_slice is None else slot.time_slice.task_ids
        match report:
            case messages.Ready():
                slot.ready, slot.starts = True, 0
                self._started(slot, True)
                if phase.by != "programs":
                    what = "code model" if phase.by == "induction" else "engine and trainer"
                    self.observer.note(f"{what} ready on {name} in {report.seconds:.1f} s; {'; '.join(report.notes)}")
                    self.observer.started(name, report.seconds)
            case messages.AdapterTrained():
                slot.trained.append(report)
            case messages.TaskAnswered():
                task_id = report.result.task_id
                slot.measured[task_id] = undisturbed(report.result)
                self._need(slot, task_id, self.observer.result(name, report, batch))
                if phase.by == "model":
                    self.answered.add(task_id)
            case messages.SharedAdapterTrained():
                slot.measured |= dict.fromkeys(batch, report.seconds / len(batch))
                if report.adapter is not None:
                    self.shared |= dict.fromkeys(batch, report.adapter)
                self.observer.shared(name, report, batch)
            case messages.BatchFailed():
                self._failed(slot, report.why, report.memory and phase.by == "model")
            case messages.BatchDone() if slot.time_slice is not None:
                time_slice, slot.time_slice = slot.time_slice, None
                phase.scheduler.returned(time_slice, slot.measured, True, slot.need)

    def lost(self, task_id: str, why: str) -> None:
        """The task gets no more of the model; told where the model has not answered it in any stage."""
        if task_id not in self.answered:
            self.observer.lost(task_id, why)

    def _need(self, slot: WorkerSlot, task_id: str, need: float) -> None:
        """How much a task needs more work now. What programs change of it the model's scheduler is told as well."""
        slot.need[task_id] = need
        if slot.phases[0].by != "model":
            self.model.scheduler.needs({task_id: need})
            for other in self.slots:
                if task_id in other.need:
                    other.need[task_id] = need

    def _failed(self, slot: WorkerSlot, why: str, memory: bool = False) -> None:
        """A child that failed is not trusted with another batch. Out of memory, its successor is given less to do."""
        step, phase = slot.step_down() if memory else "", slot.phases[0]
        slot.end()
        if slot.time_slice is None:
            self._started(slot, False)
            where = "" if slot.ready else " while starting"
            self.observer.warn(f"{slot.device.name}: {why}{where}; its log says more{step}")
            able = [s for s in self.slots if phase in s.phases and not s.given_up]
            phase.scheduler.devices = max(1, len(able))  # those given up are not planned with
            return
        time_slice, slot.time_slice = slot.time_slice, None
        self.observer.warn(f"{slot.device.name}: {why}, in the batch of {', '.join(time_slice.task_ids)}{step}")
        self.observer.failure(time_slice.stage.number, time_slice.task_ids, why + step)
        retired = set(phase.scheduler.retired)
        phase.scheduler.returned(time_slice, slot.measured, False, slot.need, excused=bool(step))
        for task_id in phase.scheduler.retired if phase.by == "model" else ():
            if task_id not in retired:
                self.lost(task_id, why)
