"""Comparing variants: the paired test and difference, the oracle, and the tables."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from solver.analysis import compare
from solver.analysis.compare import Answered, difference, mcnemar, oracle, row, sign_flip, table, tables
from solver.analysis.scoring import Scores
from solver.types import Candidate, Grid, View


def grid(*rows: list[int]) -> Grid:
    return np.array(rows, dtype=np.uint8)


def entry(first: Grid, second: Grid) -> dict[str, list[list[int]]]:
    return {"attempt_1": first.tolist(), "attempt_2": second.tolist()}


ONE, TWO, THREE, WRONG = grid([1]), grid([2, 2]), grid([3], [3]), grid([0])
RIGHT = {"a": (ONE, TWO), "b": (THREE,)}


def answered(name: str = "full", **answers: list[dict]) -> Answered:
    """Candidates: right for the first output of a, and for b; a's second output has a wrong one, b's two."""
    found = {"a": ({3: (Candidate(ONE, View(), -1.0),)}, {3: (Candidate(WRONG, View(), -1.0),)})}
    found["b"] = ({1: (Candidate(WRONG, View(), -1.0),), 3: (Candidate(THREE, View(1), -2.0),)},)
    return Answered(name, answers, found, {"a": 3.0, "b": 1.0}, {"a": 40})


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


def test_a_row_counts_solved_outputs_right_candidates_and_seconds_a_task():
    made = row(answered(a=[entry(ONE, WRONG), entry(WRONG, ONE)], b=[entry(WRONG, THREE)]), RIGHT)
    assert made.solved == (True, False, True)
    assert (made.scores.outputs_solved, made.scores.score, made.found, made.seconds) == (2, 0.75, 2, 2.0)
    alone = row(answered(b=[entry(WRONG, THREE)]), {"b": RIGHT["b"]})
    assert (alone.solved, alone.found, alone.seconds) == ((True,), 1, 1.0)


def test_a_row_counts_the_tasks_with_an_adapter_and_the_median_of_its_steps():
    made = row(answered(), RIGHT)
    assert (made.adapters, made.steps) == (1, 40)
    several = Answered("full", {}, {}, {}, {"a": 10, "b": 17, "elsewhere": 99})
    assert (row(several, RIGHT).adapters, row(several, RIGHT).steps) == (2, 13.5)
    assert (row(several, {"b": RIGHT["b"]}).adapters, row(several, {"b": RIGHT["b"]}).steps) == (1, 17)
    assert (row(Answered("none", {}, {}, {}), RIGHT).adapters) == 0


def test_what_a_placeholder_solved_counts_as_found_though_it_is_no_candidate():
    lucky = answered(a=[entry(WRONG, WRONG), entry(WRONG, TWO)])
    made = row(lucky, RIGHT)
    assert (made.scores.outputs_solved, made.found) == (1, 3)
    assert row(oracle(lucky, RIGHT), RIGHT).solved == (True, True, True)


def test_a_task_without_answers_or_candidates_is_unsolved_and_stays_in_the_row():
    made = row(Answered("none", {}, {}, {}), RIGHT)
    assert (made.solved, made.found, made.seconds) == ((False,) * 3, 0, 0.0)


def test_the_oracle_solves_exactly_the_outputs_with_a_right_candidate():
    made = row(oracle(answered(), RIGHT), RIGHT)
    assert made.name == compare.ORACLE
    assert made.solved == (True, False, True)
    assert made.scores.outputs_solved == made.found == 2


def test_the_table_compares_each_variant_with_the_one_that_is_named():
    scores = Scores(2, 2, 1, 1, 0.5, 0.5, 0.1, 0.9)
    worse = Scores(2, 2, 0, 1, 0.25, 0.25, 0.1, 0.9)
    rows = [
        compare.ComparisonRow("full", scores, (True, False), 2, 3.0, 2, 13.5, (Fraction(1), Fraction(0))),
        compare.ComparisonRow("no-ttt", worse, (False, True), 1, 0.25, shares=(Fraction(0), Fraction(1, 2))),
    ]
    assert table(rows, "full").splitlines() == [
        "| variant | outputs solved | pass@2 | 95 % interval | pass@1 | oracle | s a task | adapters | steps "
        "| outputs to full | p (per output) | pass@2 to full |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        "| full | 1 of 2 | 50.0% | 10.0% to 90.0% | 50.0% | 2 of 2 | 3.0 | 2 | 13.5 |  |  |  |",
        "| no-ttt | 1 of 2 | 25.0% | 10.0% to 90.0% | 25.0% | 1 of 2 | 0.2 | 0 |  "
        "| +1 −1 | 1.000 | −25.0 (p = 1.000) |",
    ]
    assert table(rows[::-1], "full").splitlines()[2:] == table(rows, "full").splitlines()[:1:-1]


def test_several_sources_have_a_table_over_all_and_one_each():
    both = [answered(b=[entry(THREE, WRONG)]), answered("no-ttt")]
    made = tables(both, RIGHT, {"first": ["a"], "second": ["b"]}, "full").split("\n\n")
    assert [part.splitlines()[0].split(" | ")[0] for part in made] == [
        "| variant",
        "first, 1 tasks:",
        "| variant",
        "second, 1 tasks:",
        "| variant",
    ]
    assert "| full | 1 of 3 |" in made[0]
    assert "| full | 0 of 2 |" in made[2]
    assert "| full | 1 of 1 |" in made[4]


def test_a_single_source_has_one_table():
    assert tables([answered()], RIGHT, {"all": ["a", "b"]}, "full").count("| variant |") == 1
