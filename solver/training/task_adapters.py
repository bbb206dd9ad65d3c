"""An adapter for each task of a batch, trained on its own examples.

Law: a training that fails costs its own task alone: the base model answers it, and its notes say so. Running out of
memory is no fault of the task's: it is passed on to whoever can give more of it.
"""

from collections.abc import Sequence

from solver.batch import Batch, Models, TaskState
from solver.clock import Deadline, now
from solver.config.settings import Config
from solver.interfaces import GroupTrainer
from solver.training.examples import build, fallback
from solver.training.nearest_tasks import with_neighbours
from solver.types import ADAPTER, TrainJob, out_of_memory

ALONE, NONE = "trained alone, as training side by side failed", "no adapter"  # what is done where a training failed


def train_adapters(states: Sequence[TaskState], batch: Batch, models: Models, stop: Deadline) -> None:
    """An adapter for each task: one after another, or as many in one batch as the recipe says and the trainer can."""
    room = models.config.train.adapters_per_batch if isinstance(models.trainer, GroupTrainer) else 1
    for first in range(0, len(states), room):
        group = states[first : first + room]
        seconds = [batch.train_seconds[state.task.id] for state in group]
        if len(group) > 1 and _train(group, batch.stage, models, stop.within(sum(seconds)), ALONE):
            continue  # else which of them it was is not known: each gets its own chance
        for state, its_seconds in zip(group, seconds, strict=True):
            _train([state], batch.stage, models, stop.within(its_seconds), NONE)


def _train(group: Sequence[TaskState], stage: int, models: Models, stop: Deadline, otherwise: str) -> bool:
    """Train these tasks' adapters, which share the seconds; False, with a note on what is done, where that failed."""
    config, trainer, started = models.config, models.trainer, now()
    try:
        jobs = [train_job(state, stage, config) for state in group]
        if len(jobs) > 1 and isinstance(trainer, GroupTrainer):
            reports = trainer.train_together(jobs, stop)
        else:
            reports = [trainer.train(job, stop) for job in jobs]
    except Exception as error:  # one task's failure is its own: the base model still answers it
        if out_of_memory(error):
            raise
        for state in group:
            state.notes.append(f"{otherwise}: {type(error).__name__}: {error}")
        return False
    finally:
        for state in group:
            state.seconds["train"] = state.seconds.get("train", 0.0) + (now() - started) / len(group)
    for state, job, report in zip(group, jobs, reports, strict=True):
        models.trained(job.name, report)
        state.adapter, state.losses = report.adapter, report.losses
        state.steps, state.planned = report.steps, report.planned
        if report.failure:
            state.notes.append(f"{NONE}: FloatingPointError: {report.failure}")
        elif report.steps < report.planned:
            state.notes.append(f"training stopped after {report.steps} of {report.planned} steps")
    return True


def train_job(state: TaskState, stage: int, config: Config) -> TrainJob:
    """What the task's adapter is trained on; the notes say where that is something else than the recipe's.

    Building it takes less than a hundredth of what training on it does.
    """
    name, context = state.task.id if stage == ADAPTER else f"{state.task.id}-{stage}", config.engine.context
    why = fallback(state.task, config.train, context, state.format)
    if why and why not in state.notes:
        state.notes.append(why)
    own = build(state.task, config.train, state.seed, context, state.format)
    return TrainJob(name, with_neighbours(state, own, config), state.seed, state.start)
