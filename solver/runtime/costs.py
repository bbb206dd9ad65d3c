"""What a task is predicted to cost in each stage, by its size and by what was measured so far."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from statistics import median

from solver.config.settings import Cost
from solver.config.stages import Stage
from solver.runtime.time_slices import TimeSlice

WINDOW = 24  # tasks: the fit looks at the latest ones, so it follows a machine that slows down and stays cheap
PRIOR_POINTS = 5  # tasks' worth of trust in the prior's shape, spread over the sizes of the run's tasks
USED_UP = 0.95  # of its seconds: a batch that used more was probably cut short, so its costs are lower bounds
LEAST_COST = 0.01  # of the prior: a fit never predicts less, so that no share is zero


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
        """Device seconds of a task in a stage."""
        tokens = self._tokens[task_id]
        return max(self._costs[stage.prior].seconds(tokens), LEAST_COST * stage.prior.seconds(tokens))

    def of_batch(self, stage: Stage, task_ids: Iterable[str]) -> float:
        """Those of several tasks together."""
        return math.fsum(self.of_task(stage, i) for i in task_ids)

    def learn(self, time_slice: TimeSlice, measured: Mapping[str, float]) -> None:
        """Take in the seconds that the tasks of a batch used."""
        prior = time_slice.stage.prior
        cut = math.fsum(measured.values()) >= USED_UP * time_slice.seconds
        for task_id, seconds in measured.items():
            known = max(seconds, self.of_task(time_slice.stage, task_id)) if cut else seconds
            self._measured[prior].append((self._tokens[task_id], known))
        self._costs[prior] = fit(self._measured[prior], prior, tuple(self._tokens.values()))
