"""Two ways of answering the same outputs: the paired tests, and what only one of them solved."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest

from solver.analysis.compare import compare, difference, mcnemar, sign_flip
from tests.unit.analysis.test_scoring import OTHER, PERFECT, SOLUTIONS, TWO, entry


def test_a_comparison_pairs_the_same_outputs() -> None:
    other = {"a": [entry(OTHER, OTHER), entry(TWO, OTHER)], "b": [entry(OTHER, OTHER)]}
    paired = compare(PERFECT, other, SOLUTIONS)
    assert (paired.both, paired.only_first, paired.only_second, paired.neither) == (1, 2, 0, 0)
    assert paired.difference == pytest.approx(0.25 - 1.0)
    assert paired.p == pytest.approx(2 * 0.5**2)


def test_a_submission_does_not_differ_from_itself() -> None:
    paired = compare(PERFECT, PERFECT, SOLUTIONS)
    assert (paired.difference, paired.p, paired.both) == (0.0, 1.0, 3)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (8, 1, 0.0390625)]
)
def test_mcnemar_s_p_is_the_exact_one(only_first: int, only_second: int, p: float) -> None:
    first = [True] * only_first + [False] * only_second + [True, False]
    second = [False] * only_first + [True] * only_second + [True, False]
    assert mcnemar(first, second) == pytest.approx(p)
    assert mcnemar(second, first) == pytest.approx(p)


def test_mcnemar_is_the_exact_two_sided_binomial():
    first = (True,) * 6 + (False,) * 4
    assert mcnemar(first, first) == 1.0
    assert mcnemar(first, (False,) * 10) == pytest.approx(2 / 2**6)
    one_each = (True, False), (False, True)
    assert mcnemar(*one_each) == 1.0
    assert mcnemar((True,) * 8 + (False,), (False,) * 8 + (True,)) == pytest.approx(2 * (1 + 9) / 2**9)


def test_a_difference_of_pass_at_2_is_tested_by_drawing_the_sign_of_every_task_s_anew():
    half, third = Fraction(1, 2), Fraction(1, 3)
    first, second = (0, 0, half, 1, third, 1), (1, half, half, 0, 1, Fraction(2, 3))
    differences = [b - a for a, b in zip(first, second, strict=True)]
    flipped = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in product((1, -1), repeat=6)]
    assert sign_flip(first, second) == sum(total >= abs(sum(differences)) for total in flipped) / 64
    assert sign_flip(first, first) == 1.0
    assert sign_flip((Fraction(0),) * 6, (Fraction(1),) * 6) == 2 / 2**6  # McNemar's, where every task has one output
    assert sign_flip((Fraction(0),) * 400, (Fraction(1),) * 400) == 2 / 2**400  # exact for many tasks, too


def test_a_difference_counts_what_was_gained_and_what_was_lost():
    assert difference((True, True, False, False), (False, True, True, False)) == "+1 −1"
    assert difference((True,), (True,)) == "+0 −0"
