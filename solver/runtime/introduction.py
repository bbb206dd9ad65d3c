"""What a run says of itself before it begins: to people, to the record, and to the live view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from solver.clock import Deadline
from solver.config.stages import stages
from solver.data import codec
from solver.runtime import record
from solver.runtime.journal import Journal
from solver.runtime.live import About
from solver.runtime.plan import RunPlan, fingerprint, program
from solver.types import INDUCTION, PROGRAMS, Standing


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
        f"{plan.checkpoint.path.name} {plan.checkpoint.sha256[:12]}, run {fingerprint(plan)}; "
        f"{plan.output} holds placeholders"
    )
    for problem in plan.task_set.problems:
        journal.warn(f"warning: {problem}")
    if plan.resumed is not None:
        begun = plan.resumed.headers[0].get("code", "unknown")
        if begun != program():
            journal.warn(f"warning: begun by the program {begun}, gone on with by {program()}: answers may differ")
        torn = plan.resumed.dropped
        journal.note(f"resumed: {done} stages of tasks were done, {torn} torn lines of the record were dropped")
