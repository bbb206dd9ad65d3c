"""Two ways of answering the same outputs, paired: what only one of them solved, and how likely that is by chance.

Law: both are over the same outputs, in the same order; tests are exact.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from solver.analysis.scoring import Scores, score, solved_outputs
from solver.types import Grid


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Exact two-sided p of McNemar's test on paired outcomes; 1.0 where nothing differs."""
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    n, k = only_first + only_second, min(only_first, only_second)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n) if n else 1.0


@dataclass(frozen=True)
class Paired:
    """Two submissions over the same outputs.

    `difference`: of their scores, the second's minus the first's. `both` to `neither`: outputs solved by them. `p`:
    McNemar's exact test over those.
    """

    first: Scores
    second: Scores
    difference: float
    both: int
    only_first: int
    only_second: int
    neither: int
    p: float


def compare(
    first: Mapping[str, object], second: Mapping[str, object], solutions: Mapping[str, Sequence[Grid]]
) -> Paired:
    """Two submissions, paired output by output. Raises `ValueError` where there are no solutions."""
    one, two = score(first, solutions), score(second, solutions)
    a, b = solved_outputs(first, solutions), solved_outputs(second, solutions)
    pairs = list(zip(a, b, strict=True))
    return Paired(
        first=one,
        second=two,
        difference=two.score - one.score,
        both=pairs.count((True, True)),
        only_first=pairs.count((True, False)),
        only_second=pairs.count((False, True)),
        neither=pairs.count((False, False)),
        p=mcnemar(a, b),
    )


def difference(first: tuple[bool, ...], second: tuple[bool, ...]) -> str:
    """Outputs only the second solved and outputs only the first did, such as `+2 −5`."""
    gained = sum(b and not a for a, b in zip(first, second, strict=True))
    lost = sum(a and not b for a, b in zip(first, second, strict=True))
    return f"+{gained} −{lost}"


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
