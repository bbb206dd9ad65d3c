"""Kaggle's score of a submission, its interval, and two submissions paired: what only one solved, and by what chance.

Laws: every output of every solution counts in the denominator; what is missing or malformed is unsolved; tests of two
are over the same outputs in the same order, and exact.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean
from typing import NamedTuple

from solver.data.tasks import Fault, parse_grid
from solver.types import Grid, Outputs, same

BOTH = ("attempt_1", "attempt_2")
Z95 = 1.959964  # standard normal quantile of a two-sided 95 % interval


@dataclass(frozen=True)
class Scores:
    """What a submission is worth. Shares are 0 to 1; every denominator is the full set of solutions."""

    tasks: int
    outputs: int
    tasks_solved: int
    outputs_solved: int
    score: float  # Kaggle's rule with two attempts: each task's share of outputs solved, averaged over tasks
    pass_at_1: float  # the same with the first attempt alone
    low: float  # Wilson's 95 % interval for `score` over tasks; a little too wide where they have several outputs
    high: float


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval for a share observed over n ≥ 1 tasks."""
    centre = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return max(0.0, (centre - half) / (1 + Z95**2 / n)), min(1.0, (centre + half) / (1 + Z95**2 / n))


def score(submission: object, solutions: Outputs) -> Scores:
    """Score a submission as parsed from JSON; ids without a solution are ignored. ValueError: no solutions at all."""
    if not solutions or not all(solutions.values()):
        raise ValueError("no solutions came; at least one task with at least one output was expected")
    answers = submission if isinstance(submission, dict) else {}
    both = [solved(answers.get(i), outputs) for i, outputs in solutions.items()]
    return scores_of(both, [solved(answers.get(i), outputs, BOTH[:1]) for i, outputs in solutions.items()])


def scores_of(both: Sequence[Sequence[bool]], first: Sequence[Sequence[bool]]) -> Scores:
    """The scores of tasks, for each of whose outputs is known whether both attempts, and the first alone, solve it."""
    total = mean_share(both)
    low, high = wilson(total, len(both))
    return Scores(
        tasks=len(both),
        outputs=sum(map(len, both)),
        tasks_solved=sum(map(all, both)),
        outputs_solved=sum(map(sum, both)),
        score=total,
        pass_at_1=mean_share(first),
        low=low,
        high=high,
    )


def mean_share(tasks: Iterable[Sequence[float]]) -> float:
    """Outputs' values averaged as Kaggle's rule does: over each task's outputs, then over tasks."""
    return fmean(map(fmean, tasks))


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


def table(s: Scores) -> str:
    """The scores as four short lines."""
    counts = {"outputs": (s.outputs_solved, s.outputs), "tasks": (s.tasks_solved, s.tasks)}
    lines = [f"score (pass@2)   {s.score:7.2%}   95 % interval {s.low:.2%} to {s.high:.2%}"]
    lines += [f"pass@1           {s.pass_at_1:7.2%}"]
    lines += [f"{f'{what} solved':16} {n:4d} of {of:<4d}   {n / of:.2%}" for what, (n, of) in counts.items()]
    return "\n".join(lines)


def scored(submission: object, solutions: Outputs) -> str:
    """The score of a submission, in words. Raises `ValueError` where there are no solutions."""
    return table(score(submission, solutions))


class Tally(NamedTuple):
    """How often both of two outcomes are true, the first or the second alone is, or neither."""

    both: int
    only_first: int
    only_second: int
    neither: int


def tally(first: Sequence[bool], second: Sequence[bool]) -> Tally:
    """Paired outcomes, counted."""
    pairs = Counter(zip(first, second, strict=True))
    return Tally(pairs[True, True], pairs[True, False], pairs[False, True], pairs[False, False])


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Exact two-sided p of McNemar's test on paired outcomes; 1.0 where nothing differs."""
    _, only_first, only_second, _ = tally(first, second)
    n, k = only_first + only_second, min(only_first, only_second)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n) if n else 1.0


@dataclass(frozen=True)
class Paired:
    """Two submissions over the same outputs."""

    first: Scores
    second: Scores
    difference: float  # of their scores, the second's minus the first's
    both: int  # outputs solved by both, and so on
    only_first: int
    only_second: int
    neither: int
    p: float  # McNemar's exact test over those


def compare(first: Mapping[str, object], second: Mapping[str, object], solutions: Outputs) -> Paired:
    """Two submissions, paired output by output. Raises `ValueError` where there are no solutions."""
    one, two = score(first, solutions), score(second, solutions)
    a, b = ([hit for i, right in solutions.items() for hit in solved(of.get(i), right)] for of in (first, second))
    return Paired(one, two, two.score - one.score, *tally(a, b), p=mcnemar(a, b))


def difference(first: Sequence[bool], second: Sequence[bool]) -> str:
    """Outputs only the second solved and outputs only the first did, such as `+2 −5`."""
    outputs = tally(first, second)
    return f"+{outputs.only_second} −{outputs.only_first}"


def sign_flip(first: Sequence[Fraction], second: Sequence[Fraction]) -> float:
    """Exact two-sided p of a paired permutation test of two means, over tasks; 1.0 where nothing differs.

    It is the share of all ways to draw each difference's sign anew whose sum is as far from 0 as the one seen, or
    farther. Sums are counted, not listed: shares of outputs have few distinct ones.
    """
    differences = [b - a for a, b in zip(first, second, strict=True) if a != b]
    ways = Counter({Fraction(0): 1})
    for one in differences:
        drawn: Counter[Fraction] = Counter()
        for total, count in ways.items():
            drawn[total + one] += count
            drawn[total - one] += count
        ways = drawn
    seen = abs(sum(differences, Fraction(0)))
    return sum(count for total, count in ways.items() if abs(total) >= seen) / ways.total()
