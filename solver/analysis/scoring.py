"""Kaggle's score of a submission and its interval: pure functions of answers and solutions.

Law: every output of every solution counts in the denominator; what is missing or malformed is unsolved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from solver.data.tasks import Fault, parse_grid
from solver.types import Grid, same

BOTH = ("attempt_1", "attempt_2")
Z95 = 1.959964  # standard normal quantile of a two-sided 95 % interval


@dataclass(frozen=True)
class Scores:
    """What a submission is worth. Shares are 0 to 1; every denominator is the full set of solutions.

    `score`: Kaggle's rule with two attempts, each task's share of outputs solved, averaged over tasks. `pass_at_1`: the
    same with the first attempt alone. `low`, `high`: Wilson's 95 % interval for `score` over `tasks` tasks (a little
    too wide where tasks have several outputs, whose shares vary less than yes and no).
    """

    tasks: int
    outputs: int
    tasks_solved: int
    outputs_solved: int
    score: float
    pass_at_1: float
    low: float
    high: float


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval for a share observed over n ≥ 1 tasks."""
    centre = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return max(0.0, (centre - half) / (1 + Z95**2 / n)), min(1.0, (centre + half) / (1 + Z95**2 / n))


def score(submission: object, solutions: Mapping[str, Sequence[Grid]]) -> Scores:
    """Score a submission as parsed from JSON; `solutions`: id → one grid a test input. Ids without one are ignored.

    Raises `ValueError` where there are no solutions.
    """
    if not solutions or not all(solutions.values()):
        raise ValueError("no solutions came; at least one task with at least one output was expected")
    answers = submission if isinstance(submission, dict) else {}
    hits = {i: solved(answers.get(i), outputs) for i, outputs in solutions.items()}
    first = {i: solved(answers.get(i), outputs, BOTH[:1]) for i, outputs in solutions.items()}
    total = _mean_share(hits)
    low, high = wilson(total, len(solutions))
    return Scores(
        tasks=len(hits),
        outputs=sum(map(len, hits.values())),
        tasks_solved=sum(map(all, hits.values())),
        outputs_solved=sum(map(sum, hits.values())),
        score=total,
        pass_at_1=_mean_share(first),
        low=low,
        high=high,
    )


def solved_outputs(submission: Mapping[str, object], solutions: Mapping[str, Sequence[Grid]]) -> tuple[bool, ...]:
    """Whether each output is solved by either attempt, in the order of the solutions: what paired tests compare."""
    return tuple(hit for i, outputs in solutions.items() for hit in solved(submission.get(i), outputs))


def _mean_share(solved: Mapping[str, Sequence[bool]]) -> float:
    return math.fsum(sum(outputs) / len(outputs) for outputs in solved.values()) / len(solved)


def solved(entries: object, outputs: Sequence[Grid], names: Sequence[str] = BOTH) -> list[bool]:
    """For each output, whether one of the named attempts equals it."""
    given = entries if isinstance(entries, list) else []
    padded = [entry if isinstance(entry, dict) else {} for entry in [*given, *[None] * len(outputs)]]
    pairs = zip(padded, outputs, strict=False)
    return [any(_equal(entry.get(name), output) for name in names) for entry, output in pairs]


def _equal(attempt: object, output: Grid) -> bool:
    try:
        return same(parse_grid(attempt, ""), output)
    except Fault:
        return False


def table(scores: Scores) -> str:
    """The scores as four short lines."""
    return "\n".join(
        (
            f"score (pass@2)   {scores.score:7.2%}   95 % interval {scores.low:.2%} to {scores.high:.2%}",
            f"pass@1           {scores.pass_at_1:7.2%}",
            f"outputs solved   {scores.outputs_solved:4d} of {_of(scores.outputs_solved, scores.outputs)}",
            f"tasks solved     {scores.tasks_solved:4d} of {_of(scores.tasks_solved, scores.tasks)}",
        )
    )


def scored(submission: object, solutions: Mapping[str, Sequence[Grid]]) -> str:
    """The score of a submission, in words. Raises `ValueError` where there are no solutions."""
    return table(score(submission, solutions))


def _of(part: int, whole: int) -> str:
    return f"{whole:<4d}   {part / whole:.2%}"
