"""Who looks for programs in a run, and until when: before the model on its own devices, or beside GPUs to the end."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from solver.clock import Deadline
from solver.config.settings import Config
from solver.config.stages import LAST_WORDS, PROGRAMS_SHARE, induction_stage, programs_stage
from solver.hardware import devices
from solver.hardware.devices import Device
from solver.runtime.journal import Journal
from solver.runtime.scheduler import Scheduler
from solver.runtime.time_slices import TaskSize
from solver.runtime.worker_slot import SEARCH, WRITE, Phase


@dataclass
class ProgramPhases:
    """The phases of a run in which programs answer, each None where there is none.

    `devices`: those that search beside GPUs; without them the model waits for the search.
    """

    induction: Phase | None = None
    search: Phase | None = None
    devices: tuple[Device, ...] = ()

    def expected(self) -> float:
        """Seconds for which the model is expected to wait."""
        before = (self.induction, self.search if not self.devices else None)
        return sum(phase.scheduler.expected(phase.remaining) for phase in before if phase is not None)

    def tell_left(self, journal: Journal) -> None:
        """Say what there was no time for."""
        for name, what, phase in (("induction", "asked", self.induction), ("programs", "searched", self.search)):
            if phase is not None and (left := len(phase.scheduler.pending)):
                journal.note(f"{name}: {left} tasks were not {what} in the time there was for it")


@dataclass(frozen=True)
class Workplace:
    """What is to be planned for: the tasks' sizes, the devices used, and the (task, stage) pairs that are done."""

    sizes: Sequence[TaskSize]
    devices: Sequence[Device]
    done: Collection[tuple[str, int]]


def plan_programs(place: Workplace, config: Config, deadline: Deadline, journal: Journal) -> ProgramPhases:
    """The phases, and a note on each."""
    phases = ProgramPhases()
    if place.sizes:
        phases.induction = _induction(place, config, deadline, journal)
        _plan_search(phases, place, config, deadline, journal)
    return phases


def _induction(place: Workplace, config: Config, deadline: Deadline, journal: Journal) -> Phase | None:
    """Until when the code model, if there is one, has the devices before anything else."""
    asked, stage = config.induction, induction_stage()
    if not asked.model:
        journal.note(asked.line())
        return None
    scheduler = Scheduler(place.sizes, [stage], 1, LAST_WORDS, devices=len(place.devices))
    scheduler.resume(place.done, {})
    seconds, least = _part(asked.share, config, deadline), stage.minimum + LAST_WORDS
    if scheduler.pending and seconds < least:
        journal.note(f"no induction: its share of the time is {seconds:.0f} s, and {least:.0f} are the least")
        return None
    if scheduler.pending:
        journal.note(f"{asked.line()}, before the model, {seconds:.0f} s at most")
    return Phase(scheduler, deadline, WRITE, seconds)


def _plan_search(phases: ProgramPhases, place: Workplace, config: Config, deadline: Deadline, journal: Journal) -> None:
    """Who searches for programs, and until when: cores beside GPUs to the end, or the model's own before it."""
    if not config.programs.seconds:
        return
    gpu = any(device.gpu for device in place.devices)
    phases.devices = search_devices(len(place.devices), len(place.sizes)) if gpu else ()
    if gpu and not phases.devices:
        return journal.note("no programs: the GPU workers leave no core, or too little memory, to search for them")
    reserve, places = (config.reserve, len(phases.devices)) if gpu else (0.0, len(place.devices))
    scheduler = Scheduler(place.sizes, [programs_stage(config)], 1, reserve, devices=places)
    scheduler.resume(place.done, {})
    most = math.inf if gpu else _part(PROGRAMS_SHARE, config, deadline)
    phases.search = Phase(scheduler, deadline, SEARCH, most)
    if scheduler.pending:
        before = f"before the model, {phases.search.remaining:.0f} s at most"
        where = f"beside the GPUs, {places} at a time" if gpu else before
        journal.note(f"programs: {config.programs.seconds:g} s a task at most, {where}")


def _part(share: float, config: Config, deadline: Deadline) -> float:
    """Seconds that are this share of those there are for work."""
    return share * max(0.0, deadline.remaining() - config.reserve)


def search_devices(workers: int, tasks: int) -> tuple[Device, ...]:
    """Where to search for programs beside so many GPU workers on this machine, at most one place a task."""
    return devices.cpu_search_devices(workers, devices.cores_here(), devices.free_memory())[:tasks]
