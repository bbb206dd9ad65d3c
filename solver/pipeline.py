"""The algorithm: tasks to candidate answers by test-time training and augmented views (arXiv 2411.07279).

Law: whatever fails for one task, the others are answered; a candidate is always a valid grid in the task's own frame.
"""

from collections.abc import Sequence

from solver.batch import Batch, Models, TaskState
from solver.clock import Deadline
from solver.config.settings import SearchSettings
from solver.inference.view_candidates import rescore_candidates, sample_views, search_views
from solver.interfaces import Scorer
from solver.training import shared_adapter
from solver.training.nearest_tasks import retrieve_neighbours
from solver.training.task_adapters import train_adapters
from solver.types import BASE, TaskResult

GREEDY = SearchSettings()  # how quick answers are asked for


def solve_batch(batch: Batch, models: Models, stop: Deadline) -> list[TaskResult]:
    """One stage of these tasks: an adapter for each, then all their views in one batch, decoded into candidates.

    The stage `BASE` trains nothing, and those after `ADAPTER` draw other examples, adapters and views. What the sampler
    does not finish before `stop` has no vote.
    """
    config, sampler = models.config, models.sampler
    states = [TaskState.begin(task, batch.stage, models) for task in batch.tasks]
    if batch.stage == BASE:
        sample_views(states, config.quick_views, batch, models, stop, GREEDY)
        return [state.result(batch.stage) for state in states]
    get_adapters(states, batch, models, stop)
    if config.search.p_min:
        search_views(states, batch, models, stop)
    else:
        sample_views(states, config.views, batch, models, stop, config.search)
    if config.search.views and isinstance(sampler, Scorer):
        rescore_candidates(states, sampler, config, stop)
    own = [state for state in states if not state.reuses_adapter and state.adapter != batch.shared.get(state.task.id)]
    sampler.forget([state.adapter for state in own if state.adapter])
    return [state.result(batch.stage) for state in states]


def get_adapters(states: Sequence[TaskState], batch: Batch, models: Models, stop: Deadline) -> None:
    """Each task's adapter: its own, or as the settings have it the one it shares with others, or another task's."""
    config = models.config
    if config.train.scope != "task":
        shared_adapter.attach(states, batch.shared, config)
    if not config.train.steps or config.train.scope == "shared":
        return
    if models.nearest is not None:
        retrieve_neighbours(states, models.nearest, config, stop)
    train_adapters([state for state in states if not state.reuses_adapter], batch, models, stop)
