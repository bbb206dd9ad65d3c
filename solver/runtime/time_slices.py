"""What the scheduler is given and hands out: sizes of tasks, and time slices on devices; what is refused of both."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from solver.config.settings import Cost
from solver.config.stages import Stage


@dataclass(frozen=True)
class TaskSize:
    """A task as the scheduler sees it. `tokens`: prompt + reply tokens of its longest prompt, at least 1."""

    task_id: str
    tokens: int


@dataclass(frozen=True)
class TimeSlice:
    """A batch on a device: these tasks, sampled together, may use `seconds`, of which each may train its own part.

    `ends`: the seconds that will be left when it ends. `hurried`: they may not be enough, so the most important comes
    first.
    """

    device: str
    stage: Stage
    task_ids: tuple[str, ...]
    seconds: float
    train_seconds: Mapping[str, float]
    ends: float
    hurried: bool = False


def check(
    jobs: Sequence[TaskSize],
    stages: Sequence[Stage],
    group: int,
    reserve: float,
    devices: int,
    disagreement_threshold: float,
) -> None:
    """ValueError, naming the setting, what came and what was expected."""
    ids, numbers = [job.task_id for job in jobs], [stage.number for stage in stages]
    _refuse(f"tasks listed twice: {', '.join(_twice(ids))}", bool(_twice(ids)))
    _refuse("a job without tokens: expected at least 1", any(job.tokens < 1 for job in jobs))
    _refuse(f"stages are {numbers}: expected each once", bool(_twice(numbers)))
    first = [stage.refinement for stage in stages]
    _refuse("a further stage comes before one for every task: expected it after", first != sorted(first))
    _refuse(f"group is {group}: expected at least 1 task", group < 1)
    _refuse(f"devices is {devices}: expected at least 1", devices < 1)
    _refuse(f"reserve is {reserve}: expected at least 0 seconds", not 0 <= reserve < math.inf)
    _refuse(
        f"disagreement_threshold is {disagreement_threshold}: expected 0 to 1", not 0 <= disagreement_threshold <= 1
    )
    for stage in stages:
        _refuse(f"train_share is {stage.train_share}: expected 0 to 1", not 0 <= stage.train_share <= 1)
        _refuse(f"enough is {stage.enough}: expected 0 to 1", not 0 <= stage.enough <= 1)
        _refuse(f"weight is {stage.weight}: expected more than 0", not 0 < stage.weight < math.inf)
        _refuse(f"minimum is {stage.minimum}: expected more than 0 seconds", not 0 < stage.minimum < math.inf)
        tasks = max(1, len(jobs) // devices) if stage.whole else 1  # of the smallest batch
        most = stage.most * tasks * (1 + 1e-9)  # rounding is no fault
        _refuse(f"most is {stage.most}: expected at least the minimum, {stage.minimum}", not most >= stage.minimum)
        least = min(stage.prior.fixed, stage.prior.per_token)
        free = least < 0 or stage.prior == Cost(0, 0)
        _refuse(f"prior is {stage.prior}: expected neither part below 0, and not both 0", free)


def _twice(values: Collection[object]) -> list[str]:
    seen = list(values)
    return sorted({str(value) for value in seen if seen.count(value) > 1})


def _refuse(message: str, is_wrong: bool) -> None:
    if is_wrong:
        raise ValueError(message)


def check_measured(time_slice: TimeSlice, measured: Mapping[str, float]) -> None:
    """ValueError where seconds came for another task than those of the slice, or are no possible ones."""
    for task_id, seconds in measured.items():
        if task_id not in time_slice.task_ids:
            raise ValueError(
                f"seconds came for {task_id}, which was not in the batch of {', '.join(time_slice.task_ids)}"
            )
        if not 0 <= seconds < math.inf:
            raise ValueError(f"{task_id} used {seconds} seconds: expected a finite number, at least 0")
