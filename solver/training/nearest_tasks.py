"""The tasks of a library that are most like a task: found for their examples (`examples.py`), and for their adapters.

The one seam for it: without a library nothing here is called. Law: where it fails, or there is no time for it, the task
learns from itself alone, and its notes say so.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from solver.batch import Nearest, TaskState
from solver.clock import Deadline, now
from solver.config.settings import Config
from solver.model.checkpoint import check
from solver.tokens.grid import Format
from solver.training import neighbours
from solver.training.examples import plain
from solver.types import Neighbour, Task, out_of_memory


def finder(trainer: Any, config: Config, weights: Path, format: Format) -> Nearest | None:
    """Who finds the tasks of the library that are most like a given one; None where nothing is learnt from any."""
    wanted = config.near
    if not wanted.asked:
        return None
    from solver.training.example_vectors import vectors

    library = neighbours.load(Path(wanted.library), check(weights, config.format).sha256)
    known: dict[str, tuple[Neighbour, ...]] = {}  # later stages look again

    def nearest(task: Task) -> tuple[Neighbour, ...]:
        if task.id not in known:
            examples = list(plain(task, config.engine.context, format).values())
            vector = neighbours.together(vectors(trainer, examples, wanted.by), wanted.by)
            known[task.id] = library.nearest(task, vector, wanted.by, max(1, wanted.count))
        return known[task.id]

    return nearest


def retrieve_neighbours(states: Sequence[TaskState], nearest: Nearest, config: Config, stop: Deadline) -> None:
    """Find each task's nearest others, and whether the nearest one's adapter is a start, or will do as it is.

    The notes name those it learns from.
    """
    near = config.near
    for state in states:
        started = now()
        try:
            if stop.remaining() <= 0:
                raise TimeoutError("no time to compare it with others")
            state.near = nearest(state.task)
        except Exception as error:  # one task's failure is its own
            if out_of_memory(error):
                raise
            state.notes.append(f"nothing learnt from other tasks: {type(error).__name__}: {error}")
        state.seconds["compare"] = now() - started
        if state.near and state.near[0].similarity >= min(near.warm_start_threshold, near.reuse_threshold):
            reuse_neighbour_adapter(state, state.near[0], config)
        if state.near and near.count and not state.reuses_adapter:
            named = ", ".join(f"{other.name} {other.similarity:.3f}" for other in state.near)
            state.notes.append(f"nearest, with likeness: {named}")


def reuse_neighbour_adapter(state: TaskState, first: Neighbour, config: Config) -> None:
    """Have a task start from the adapter of another that is alike enough, or be answered with it."""
    if first.adapter is None:
        state.notes.append(f"{first.task.id} is alike enough (likeness {first.similarity:.3f}), but has no adapter")
    elif first.similarity >= config.near.reuse_threshold:
        state.adapter, state.reuses_adapter = first.adapter, True
        state.notes.append(f"the adapter of {first.task.id} as it is: likeness {first.similarity:.3f}")
    else:
        state.start = first.adapter
        state.notes.append(f"trained from the adapter of {first.task.id} on: likeness {first.similarity:.3f}")
