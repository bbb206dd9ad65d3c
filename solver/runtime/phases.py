"""Who answers when, in which stages, and until when: a code model, the search for programs, then the models.

The first two come before the models on their own devices; beside GPUs the search has cores of its own to the end.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TextIO

from solver.clock import Deadline
from solver.config.settings import PROGRAMS_SHARE, Config, Cost
from solver.hardware.devices import Device
from solver.runtime.machines import Machines
from solver.runtime.messages import AnsweredBy
from solver.runtime.pool import Assignment, WorkerPool
from solver.runtime.prepare import RunPlan
from solver.runtime.recorder import Journal
from solver.runtime.reports import Observer
from solver.runtime.scheduler import Scheduler
from solver.runtime.time_slices import Stage, TaskSize
from solver.runtime.worker_slot import Phase
from solver.tokens import registry
from solver.tokens.grid import Format, encoded_length
from solver.types import ADAPTER, BASE, INDUCTION, PROGRAMS, SHARED, Task

QUICK = 2.0  # seconds below which a batch of quick answers makes no sense
QUICK_WEIGHT = 100.0  # of quick answers where seconds are short: they are few, and every task is to have one
ENOUGH = 0.6  # of what a task's adapter and views are expected to cost: with less it has no time to answer
LEAST_SEARCH = 0.1  # seconds below which a search for programs makes no sense
WRITTEN_COST = Cost(20.0, 0.01)  # of a task's programs, before any was timed: a guess, of which only the shape matters
LEAST_WRITING = 10.0  # seconds below which hardly a reply would end
REPORTING = 2.0  # seconds before its share ends at which the last batch of the code model ends, and is reported


@dataclass
class Phases:
    """The phases of a run; those in which programs answer are None where there is none."""

    model: Phase
    used: Sequence[Device]  # one worker each
    induction: Phase | None = None
    search: Phase | None = None
    devices: tuple[Device, ...] = ()  # that search beside GPUs; without them the model waits

    def serve(self, assignment: Assignment, observer: Observer, log: TextIO, machines: Machines) -> None:
        """Have workers answer, one phase after another, until all is done or the time is over.

        `log` receives what their libraries print.
        """
        pool = WorkerPool(assignment, self.used, observer, log, self.devices, machines)
        pool.run(self.model.scheduler, self.model.deadline, self.search, self.induction)

    def expected(self, remaining: float) -> float:
        """Seconds to the expected end of the run, whose limit is `remaining` seconds away."""
        before = (self.induction, self.search if not self.devices else None)
        waiting = sum(phase.scheduler.expected(phase.remaining) for phase in before if phase is not None)
        return waiting + self.model.scheduler.expected(remaining)

    def tell_left(self, journal: Journal) -> None:
        """Say what there was no time for."""
        for name, what, phase in (("induction", "asked", self.induction), ("programs", "searched", self.search)):
            if phase is not None and (left := len(phase.scheduler.pending)):
                journal.note(f"{name}: {left} tasks were not {what} in the time there was for it")


def plan_phases(
    plan: RunPlan,
    done: Collection[tuple[str, int]],
    needs: Mapping[str, float],
    deadline: Deadline,
    journal: Journal,
) -> Phases:
    """The phases of a run, and a note on each of programs'.

    `done`: (task, stage) pairs of an earlier process; `needs`: how much its tasks need more work, 0 to 1.
    """
    config, format = plan.config, registry.load(plan.config.format, plan.checkpoint.path)
    sizes = [TaskSize(task.id, size_of(task, config.engine.context, format)) for task in plan.task_set.tasks]
    used = plan.devices[: max(1, len(sizes))]
    scheduler = Scheduler(
        sizes,
        stages(config, len(sizes), len(used)),
        config.group,
        config.reserve,
        devices=len(used),
        disagreement_threshold=config.disagreement_threshold,
    )
    scheduler.resume(done, needs)
    phases = Phases(Phase(scheduler, deadline), used)
    if sizes:
        _plan_programs(phases, sizes, done, plan, journal)
    return phases


def _plan_programs(
    phases: Phases, sizes: Sequence[TaskSize], done: Collection[tuple[str, int]], plan: RunPlan, journal: Journal
) -> None:
    """Add the phases in which programs answer, for tasks of these sizes."""
    config, used, deadline = plan.config, phases.used, phases.model.deadline

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
        return
    gpu = any(device.gpu for device in used)
    if gpu:  # beside the workers on this machine, at most one place a task
        phases.devices = plan.machines.search_devices(len(used))[: len(sizes)]
    if gpu and not phases.devices:
        journal.note("no programs: the GPU workers leave no core, or too little memory, to search for them")
        return
    reserve, places, share = (config.reserve, len(phases.devices), 1.0) if gpu else (0.0, len(used), PROGRAMS_SHARE)
    phases.search = phase(programs_stage(config), "programs", reserve, places, share)
    if phases.search.scheduler.pending:
        before = f"before the model, {phases.search.remaining:.0f} s at most"
        where = f"beside the GPUs, {places} at a time" if gpu else before
        journal.note(f"programs: {programs.seconds:g} s a task at most, {where}")


def size_of(task: Task, context: int, format: Format) -> int:
    """Tokens of the task's longest prompt with its reply, as far as the context lets them in."""
    shown = format.pairs_length(task.demonstrations)
    longest = max(map(encoded_length, task.tests))
    return min(context, shown + 2 * longest)


# ---- stages ----------------------------------------------------------------------------------------------------------


def programs_stage(config: Config) -> Stage:
    """The stage of programs, which has a schedule of its own: it competes with no stage of the model's."""
    seconds = config.programs.seconds
    return Stage(PROGRAMS, Cost(seconds, 0.0), 0.0, min(LEAST_SEARCH, seconds), most=seconds)


def induction_stage() -> Stage:
    """The stage of the code model, which has a schedule of its own, too: the model of grids waits for it."""
    return Stage(INDUCTION, WRITTEN_COST, 0.0, LEAST_WRITING)


def stages(config: Config, tasks: int = 1, devices: int = 1) -> tuple[Stage, ...]:
    """The stages of a run over so many tasks. Without training the base model's views are sampled in its place."""
    adapter = Stage(ADAPTER, config.cost, config.train_share, config.minimum, by_need=True, enough=ENOUGH)
    if config.train.scope == "shared":  # sampled as the base model is, only under more views
        scale = config.views / max(1, config.quick_views)
        cost = Cost(scale * config.quick_cost.fixed, scale * config.quick_cost.per_token)
        adapter = replace(adapter, prior=cost, train_share=0.0)
    base = Stage(BASE, config.quick_cost, 0.0, min(QUICK, config.minimum), weight=QUICK_WEIGHT)
    # a device with the most tasks has the share of the limit for its shared adapter, none has more
    each = config.shared_share * config.time_limit / max(1, math.ceil(tasks / devices))
    least = min(config.minimum, each * max(1, tasks // devices))
    shared = Stage(SHARED, Cost(each, 0.0), 1.0, least, whole=True, most=each)
    further = replace(adapter, refinement=True, by_need=False)
    more = tuple(replace(further, number=ADAPTER + n) for n in range(1, config.refinement_stages + 1))
    first = (base,) if config.quick_views and config.train.steps else ()
    return (*first, *((shared,) if config.train.scope != "task" and config.train.steps else ()), adapter, *more)
