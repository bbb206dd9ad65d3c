"""One adapter that several tasks share (arXiv 2411.07279): trained on all of them, then a start or all there is."""

from collections.abc import Mapping, Sequence

from solver.batch import Models, TaskState
from solver.clock import Deadline
from solver.config.settings import Config
from solver.training.examples import build, fallback, in_turns
from solver.types import Adapter, Task, TrainJob, TrainReport, seed_for


def train(tasks: Sequence[Task], models: Models, stop: Deadline) -> TrainReport:
    """One adapter for these tasks, trained on the examples of all of them."""
    config = models.config
    ids = " ".join(task.id for task in tasks)
    name = f"shared-{seed_for(config.seed, ids, 'shared adapter'):08x}"
    context = config.engine.context
    examples = in_turns(build(task, config.train, config.seed, context, models.format) for task in tasks)
    job, steps = TrainJob(name, examples, config.seed), config.train.shared_steps * len(tasks)
    report = models.trainer.train(job, stop, steps)
    models.trained(name, report)
    return report


def attach(states: Sequence[TaskState], shared: Mapping[str, Adapter], config: Config) -> None:
    """Have tasks start from the adapter they share or, as the scope has it, be answered with that one."""
    for state in states:
        state.start = adapter = shared.get(state.task.id)
        if adapter is None:
            state.notes.append("no shared adapter: the base weights in its place")
        elif config.train.scope == "shared":
            state.adapter = adapter
            if why := fallback(state.task, config.train, config.engine.context, state.format):
                state.notes.append(why)
