"""What the scheduler is given and hands out: stages, sizes of tasks, and time slices on devices; what is refused; and
what a task is predicted to cost in each stage, by its size and by what was measured so far.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from solver.config.settings import Cost

WINDOW = 24  # tasks: the fit looks at the latest ones, so it follows a machine that slows down and stays cheap
PRIOR_POINTS = 5  # tasks' worth of trust in the prior's shape, spread over the sizes of the run's tasks
USED_UP = 0.95  # of its seconds: a batch that used more was probably cut short, so its costs are lower bounds
LEAST_COST = 0.01  # of the prior: a fit never predicts less, so that no share is zero


@dataclass(frozen=True)
class Stage:
    """A stage. Stages of one `prior` share their measurements."""

    number: int
    prior: Cost  # predicted before anything was measured
    train_share: float  # of a batch's seconds, 0 to 1, for training
    minimum: float  # seconds below which a batch makes no sense
    refinement: bool = False  # only for tasks that need it
    by_need: bool = False  # begins when earlier batches are back; not for settled tasks, last for those in little need
    whole: bool = False  # a batch a device, each with its part of all tasks; all end before the next stage begins
    weight: float = 1.0  # of its batches where seconds are shared
    enough: float = 0.0  # of what a batch is predicted to cost: it is not begun with less
    most: float = math.inf  # seconds that a batch can use for each of its tasks


@dataclass(frozen=True)
class TaskSize:
    """A task as the scheduler sees it. `tokens`: prompt + reply tokens of its longest prompt, at least 1."""

    task_id: str
    tokens: int


@dataclass(frozen=True)
class TimeSlice:
    """A batch on a device."""

    device: str
    stage: Stage
    task_ids: tuple[str, ...]  # sampled together
    seconds: float  # for all of them
    train_seconds: Mapping[str, float]  # of these, by task
    ends: float  # the seconds that will be left when it ends
    hurried: bool = False  # its seconds may not be enough, so the most important comes first


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
    refinement = [stage.refinement for stage in stages]
    checks = [
        (f"tasks listed twice: {', '.join(_twice(ids))}", bool(_twice(ids))),
        ("a job without tokens: expected at least 1", any(job.tokens < 1 for job in jobs)),
        (f"stages are {numbers}: expected each once", bool(_twice(numbers))),
        ("refinement comes before a stage for every task: expected it after", refinement != sorted(refinement)),
        (f"group is {group}: expected at least 1 task", group < 1),
        (f"devices is {devices}: expected at least 1", devices < 1),
        (f"reserve is {reserve}: expected at least 0 seconds", not 0 <= reserve < math.inf),
        (f"disagreement_threshold is {disagreement_threshold}: expected 0 to 1", not 0 <= disagreement_threshold <= 1),
    ]
    for stage in stages:
        tasks = max(1, len(jobs) // max(1, devices)) if stage.whole else 1  # of the smallest batch
        most = stage.most * tasks * (1 + 1e-9)  # rounding is no fault
        free = stage.prior == Cost(0, 0) or min(stage.prior.fixed, stage.prior.per_token) < 0
        checks += [
            (f"train_share is {stage.train_share}: expected 0 to 1", not 0 <= stage.train_share <= 1),
            (f"enough is {stage.enough}: expected 0 to 1", not 0 <= stage.enough <= 1),
            (f"weight is {stage.weight}: expected more than 0", not 0 < stage.weight < math.inf),
            (f"minimum is {stage.minimum}: expected more than 0 seconds", not 0 < stage.minimum < math.inf),
            (f"most is {stage.most}: expected at least the minimum, {stage.minimum}", not most >= stage.minimum),
            (f"prior is {stage.prior}: expected neither part below 0, and not both 0", free),
        ]
    for message, is_wrong in checks:
        if is_wrong:
            raise ValueError(message)


def _twice(values: Sequence[object]) -> list[str]:
    return sorted({str(value) for value in values if values.count(value) > 1})


def check_measured(time_slice: TimeSlice, measured: Mapping[str, float]) -> None:
    """ValueError where seconds came for another task than those of the slice, or are no possible ones."""
    for task_id, seconds in measured.items():
        if task_id not in time_slice.task_ids:
            batch = ", ".join(time_slice.task_ids)
            raise ValueError(f"seconds came for {task_id}, which was not in the batch of {batch}")
        if not 0 <= seconds < math.inf:
            raise ValueError(f"{task_id} used {seconds} seconds: expected a finite number, at least 0")


def fit(measured: Sequence[tuple[int, float]], prior: Cost, sizes: Sequence[int]) -> Cost:
    """The cost line through `measured` (tokens, seconds), robust to outliers; the prior where nothing was measured.

    Theil–Sen (median of pairwise slopes, then median offset, neither below 0), with `PRIOR_POINTS` made-up tasks,
    spread over the `sizes` (tokens) of the run, that cost what the prior says times the median of measured / prior.
    """
    if not measured:
        return prior
    ratio = median(seconds / prior.seconds(tokens) for tokens, seconds in measured)
    spread = sorted(sizes)
    anchors = [spread[at * (len(spread) - 1) // (PRIOR_POINTS - 1)] for at in range(PRIOR_POINTS)]
    points = [*measured, *((tokens, ratio * prior.seconds(tokens)) for tokens in anchors)]
    slopes = [(s - r) / (n - m) for (m, r), (n, s) in combinations(points, 2) if m != n]
    per_token = max(0.0, median(slopes)) if slopes else ratio * prior.per_token
    return Cost(max(0.0, median(seconds - per_token * tokens for tokens, seconds in points)), per_token)


class Costs:
    """The predictions for tasks of these sizes (`tokens` by task id) in these stages, and what they are made from."""

    def __init__(self, tokens: Mapping[str, int], stages: Iterable[Stage]):
        self._tokens = tokens
        self._measured: dict[Cost, deque[tuple[int, float]]] = {s.prior: deque(maxlen=WINDOW) for s in stages}
        self._costs = {prior: prior for prior in self._measured}

    def of_task(self, stage: Stage, task_id: str) -> float:
        """Predicted device seconds."""
        tokens = self._tokens[task_id]
        return max(self._costs[stage.prior].seconds(tokens), LEAST_COST * stage.prior.seconds(tokens))

    def of_batch(self, stage: Stage, task_ids: Iterable[str]) -> float:
        return math.fsum(self.of_task(stage, i) for i in task_ids)

    def learn(self, time_slice: TimeSlice, measured: Mapping[str, float]) -> None:
        """Take in the seconds that the tasks of a batch used."""
        prior = time_slice.stage.prior
        cut = math.fsum(measured.values()) >= USED_UP * time_slice.seconds
        for task_id, seconds in measured.items():
            known = max(seconds, self.of_task(time_slice.stage, task_id)) if cut else seconds
            self._measured[prior].append((self._tokens[task_id], known))
        self._costs[prior] = fit(self._measured[prior], prior, tuple(self._tokens.values()))
