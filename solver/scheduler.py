"""What runs next, and for how many seconds: a pure state machine for one device.

Knows nothing of models, processes or clocks; the seconds left are passed in, the seconds used come back.
Law: no grant goes past the seconds left less the reserve; while time allows, every task gets a first turn before any
gets a second; each task gets at most two turns, so every run ends.

Shares. A turn gets the part of the usable seconds that its predicted cost is of all pending predicted cost. Shares are
worked out anew at each turn, so what cheap tasks leave over flows to the later ones. No turn is granted less than
`minimum`, and none so much that a later first turn would get less.

Order. Pending tasks are kept by size and taken from one end, so tasks of similar size share a batch (little padding,
no small task waiting for a large one). When the budget is tight (predicted cost above the usable seconds), the small
end comes first: a second spent there yields most answers, and it is the costly few that go short. Otherwise the large
end comes first: an estimate that was too low shows while there is time to correct it, and the last turns are short.

Failures. A turn that failed is run once more after all first turns, its tasks one at a time, so that one bad task
can't take its neighbours along twice.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

WINDOW = 24  # tasks: the fit looks at the latest ones, so it follows a machine that slows down and stays cheap
PRIOR_POINTS = 5  # tasks' worth of trust in the prior's shape, spread over the sizes of the run's tasks
USED_UP = 0.95  # of its seconds: a turn that used more was probably cut short, so its costs are lower bounds
LEAST_COST = 0.01  # of the prior: a fit never predicts less, so that no share is zero


@dataclass(frozen=True)
class Job:
    """A task as the scheduler sees it. `tokens`: prompt + reply tokens of its longest prompt, at least 1."""

    task_id: str
    tokens: int


@dataclass(frozen=True)
class Cost:
    """What one task's turn costs: `fixed` seconds + `per_token` seconds × tokens."""

    fixed: float = 5.0
    per_token: float = 0.01

    def seconds(self, tokens: int) -> float:
        """Seconds for a task of that many tokens."""
        return self.fixed + self.per_token * tokens


@dataclass(frozen=True)
class Grant:
    """A turn: these tasks, sampled together, may use `seconds` in all, of which each may train `train_seconds[id]`."""

    task_ids: tuple[str, ...]
    seconds: float
    train_seconds: Mapping[str, float]


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


class Scheduler:
    """Hands out turns until every task had one or the budget is spent. One turn is out at a time."""

    def __init__(
        self,
        jobs: Sequence[Job],
        group: int,
        train_share: float,
        reserve: float,
        minimum: float,
        prior: Cost | None = None,
    ) -> None:
        """Plan for `jobs`, at most `group` tasks a turn, of which `train_share` (0–1) is for training.

        `reserve`: seconds kept for the end. `minimum`: seconds below which a turn makes no sense. `prior`: the cost
        predicted before anything was measured, `Cost()` if None. ValueError: a task listed twice or without tokens,
        or a setting out of its range.
        """
        self._prior = self._cost = prior or Cost()
        _check(jobs, group, train_share, reserve, minimum, self._prior)
        self._group, self._train_share, self._reserve, self._minimum = group, train_share, reserve, minimum
        self._tokens = {job.task_id: job.tokens for job in jobs}
        self._first = self._by_size(self._tokens)
        self._again: list[str] = []
        self._retired: list[str] = []
        self._measured: deque[tuple[int, float]] = deque(maxlen=WINDOW)
        self._running: Grant | None = None
        self._second = False  # whether the running turn is a retry

    @property
    def unserved(self) -> tuple[str, ...]:
        """Tasks that have had no turn yet, smallest first; after the end, those the budget did not reach."""
        return tuple(self._first)

    @property
    def pending(self) -> tuple[str, ...]:
        """Tasks waiting for a first or second turn. None of them left: done. `next` gave None: budget spent."""
        return (*self._first, *self._again)

    @property
    def retired(self) -> tuple[str, ...]:
        """Tasks whose second turn failed as well."""
        return tuple(self._retired)

    def predicted(self, task_ids: Sequence[str] | None = None) -> float:
        """Predicted seconds for these tasks, for all pending ones if None. KeyError: an unknown task."""
        return sum(self._predict(task_id) for task_id in (self.pending if task_ids is None else task_ids))

    def next(self, remaining: float) -> Grant | None:
        """The next turn, or None when nothing is pending or the seconds left are too few for a turn.

        `remaining`: seconds to the limit, math.inf where there is none. RuntimeError: a turn is still out.
        """
        if self._running is not None:
            raise RuntimeError(f"the turn of {', '.join(self._running.task_ids)} has not been returned yet")
        usable, total = remaining - self._reserve, self.predicted()
        if not self.pending or not usable >= self._minimum:
            return None
        task_ids, turns = self._take(small_end=total > usable)
        seconds = self._seconds(usable, self.predicted(task_ids) / total, turns)
        self._running = Grant(task_ids, seconds, self._train_seconds(task_ids, seconds))
        return self._running

    def returned(self, grant: Grant, measured: Mapping[str, float], ok: bool) -> None:
        """Take a turn back: the seconds each of its tasks used, and whether it ended without a fault.

        Tasks missing in `measured` and turns that failed teach nothing about costs. ValueError: another turn than
        the one that is out, a task that was not in it, or seconds that are negative or not finite.
        """
        if grant != self._running:
            raise ValueError(f"the turn of {', '.join(grant.task_ids)} is not the one that is out")
        _check_measured(grant, measured)
        self._running = None
        if ok:
            self._learn(grant, measured)
        elif self._second:
            self._retired.extend(grant.task_ids)
        else:
            self._again = self._by_size((*self._again, *grant.task_ids))

    def _by_size(self, task_ids: Sequence[str] | Mapping[str, int]) -> list[str]:
        return sorted(task_ids, key=lambda task_id: (self._tokens[task_id], task_id))

    def _predict(self, task_id: str) -> float:
        tokens = self._tokens[task_id]
        return max(self._cost.seconds(tokens), LEAST_COST * self._prior.seconds(tokens))

    def _take(self, small_end: bool) -> tuple[tuple[str, ...], int]:
        """The next tasks, no longer pending from now on, and how many turns of their kind are left with this one."""
        self._second = not self._first
        queue, size = (self._again, 1) if self._second else (self._first, self._group)
        turns = math.ceil(len(queue) / size)
        last = len(queue) % size or size  # whichever end is taken, the same tasks share a turn
        part = slice(0, size) if small_end else slice(len(queue) - last, len(queue))
        task_ids = tuple(queue[part])
        del queue[part]
        return task_ids, turns

    def _seconds(self, usable: float, share: float, turns: int) -> float:
        """The share, but at least the minimum, and leaving the minimum to each later turn where that is possible."""
        most = max(self._minimum, usable - (turns - 1) * self._minimum)
        return min(max(usable * share, self._minimum), most)

    def _train_seconds(self, task_ids: Sequence[str], seconds: float) -> dict[str, float]:
        if self._train_share == 0:  # 0 × inf is no number
            return dict.fromkeys(task_ids, 0.0)
        total = self.predicted(task_ids)
        return {i: seconds * self._train_share * self._predict(i) / total for i in task_ids}

    def _learn(self, grant: Grant, measured: Mapping[str, float]) -> None:
        cut = sum(measured.values()) >= USED_UP * grant.seconds
        for task_id, seconds in measured.items():
            known = max(seconds, self._predict(task_id)) if cut else seconds
            self._measured.append((self._tokens[task_id], known))
        self._cost = fit(self._measured, self._prior, tuple(self._tokens.values()))


def _check(jobs: Sequence[Job], group: int, train_share: float, reserve: float, minimum: float, prior: Cost) -> None:
    """ValueError, naming the setting, what came and what was expected."""
    ids = [job.task_id for job in jobs]
    twice = sorted({task_id for task_id in ids if ids.count(task_id) > 1})
    wrong = {
        f"tasks listed twice: {', '.join(twice)}": bool(twice),
        "a job without tokens: expected at least 1": any(job.tokens < 1 for job in jobs),
        f"group is {group}: expected at least 1 task": group < 1,
        f"train_share is {train_share}: expected 0 to 1": not 0 <= train_share <= 1,
        f"reserve is {reserve}: expected at least 0 seconds": not 0 <= reserve < math.inf,
        f"minimum is {minimum}: expected more than 0 seconds": not 0 < minimum < math.inf,
        f"prior is {prior}: expected neither part below 0, and not both 0": min(prior.fixed, prior.per_token) < 0
        or prior == Cost(0, 0),
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(message)


def _check_measured(grant: Grant, measured: Mapping[str, float]) -> None:
    for task_id, seconds in measured.items():
        if task_id not in grant.task_ids:
            raise ValueError(f"seconds came for {task_id}, which was not in the turn of {', '.join(grant.task_ids)}")
        if not 0 <= seconds < math.inf:
            raise ValueError(f"{task_id} used {seconds} seconds: expected a finite number, at least 0")
