"""Who looks for programs in a run, and until when: before the model on its own devices, or beside GPUs to the end."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from solver.clock import Deadline
from solver.config.stages import PROGRAMS_SHARE, REPORTING, Stage, induction_stage, programs_stage
from solver.hardware.devices import Device
from solver.runtime.messages import AnsweredBy
from solver.runtime.prepare import RunPlan
from solver.runtime.recorder import Journal
from solver.runtime.scheduler import Scheduler
from solver.runtime.time_slices import TaskSize
from solver.runtime.worker_slot import Phase


@dataclass
class ProgramPhases:
    """The phases of a run in which programs answer, each None where there is none."""

    induction: Phase | None = None
    search: Phase | None = None
    devices: tuple[Device, ...] = ()  # that search beside GPUs; without them the model waits

    def expected(self) -> float:
        """Seconds for which the model is expected to wait."""
        before = (self.induction, self.search if not self.devices else None)
        return sum(phase.scheduler.expected(phase.remaining) for phase in before if phase is not None)

    def tell_left(self, journal: Journal) -> None:
        """Say what there was no time for."""
        for name, what, phase in (("induction", "asked", self.induction), ("programs", "searched", self.search)):
            if phase is not None and (left := len(phase.scheduler.pending)):
                journal.note(f"{name}: {left} tasks were not {what} in the time there was for it")


def plan_programs(
    sizes: Sequence[TaskSize],
    used: Sequence[Device],
    done: Collection[tuple[str, int]],
    plan: RunPlan,
    deadline: Deadline,
    journal: Journal,
) -> ProgramPhases:
    """The phases for tasks of these sizes on the devices used, and a note on each. `done`: (task, stage) pairs."""
    phases, config = ProgramPhases(), plan.config
    if not sizes:
        return phases

    def phase(stage: Stage, by: AnsweredBy, reserve: float, places: int, share: float) -> Phase:
        scheduler = Scheduler(sizes, [stage], 1, reserve, devices=places)
        scheduler.resume(done, {})
        most = share * max(0.0, deadline.remaining() - config.reserve) if share < 1 else math.inf
        return Phase(scheduler, deadline, by, most)

    asked, programs = config.induction, config.programs
    if not asked.model:
        journal.note(asked.line())
    else:
        written = phase(induction_stage(), "induction", REPORTING, len(used), asked.share)
        least = induction_stage().minimum + REPORTING
        if written.scheduler.pending and written.most < least:
            journal.note(f"no induction: its share of the time is {written.most:.0f} s, and {least:.0f} are the least")
        else:
            phases.induction = written
            if written.scheduler.pending:
                journal.note(f"{asked.line()}, before the model, {written.most:.0f} s at most")
    if not programs.seconds:
        return phases
    gpu = any(device.gpu for device in used)
    if gpu:  # beside the workers on this machine, at most one place a task
        phases.devices = plan.machines.search_devices(len(used))[: len(sizes)]
    if gpu and not phases.devices:
        journal.note("no programs: the GPU workers leave no core, or too little memory, to search for them")
        return phases
    reserve, places, share = (config.reserve, len(phases.devices), 1.0) if gpu else (0.0, len(used), PROGRAMS_SHARE)
    phases.search = phase(programs_stage(config), "programs", reserve, places, share)
    if phases.search.scheduler.pending:
        before = f"before the model, {phases.search.remaining:.0f} s at most"
        where = f"beside the GPUs, {places} at a time" if gpu else before
        journal.note(f"programs: {programs.seconds:g} s a task at most, {where}")
    return phases
