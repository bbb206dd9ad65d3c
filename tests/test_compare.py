"""Comparing variants: the paired test and difference, the oracle, and the tables."""

from __future__ import annotations

import numpy as np
import pytest

from solver import compare
from solver.compare import Answered, difference, mcnemar, oracle, row, table, tables
from solver.core import Candidate, Grid, View
from solver.evaluate import Scores


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
    return Answered(name, answers, found, {"a": 3.0, "b": 1.0})


def test_mcnemar_is_the_exact_two_sided_binomial():
    first = (True,) * 6 + (False,) * 4
    assert mcnemar(first, first) == 1.0
    assert mcnemar(first, (False,) * 10) == pytest.approx(2 / 2**6)
    one_each = (True, False), (False, True)
    assert mcnemar(*one_each) == 1.0
    assert mcnemar((True,) * 8 + (False,), (False,) * 8 + (True,)) == pytest.approx(2 * (1 + 9) / 2**9)


def test_a_difference_counts_what_was_gained_and_what_was_lost():
    assert difference((True, True, False, False), (False, True, True, False)) == "+1 −1"
    assert difference((True,), (True,)) == "+0 −0"


def test_a_row_counts_solved_outputs_right_candidates_and_seconds_a_task():
    made = row(answered(a=[entry(ONE, WRONG), entry(WRONG, ONE)], b=[entry(WRONG, THREE)]), RIGHT)
    assert made.solved == (True, False, True)
    assert (made.scores.outputs_solved, made.scores.score, made.found, made.seconds) == (2, 0.75, 2, 2.0)
    alone = row(answered(b=[entry(WRONG, THREE)]), {"b": RIGHT["b"]})
    assert (alone.solved, alone.found, alone.seconds) == ((True,), 1, 1.0)


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
    rows = [compare.Row("full", scores, (True, False), 2, 3.0), compare.Row("no-ttt", scores, (False, True), 1, 0.25)]
    assert table(rows, "full").splitlines() == [
        "| variant | outputs solved | pass@2 | 95 % interval | pass@1 | oracle | s a task | to full | p |",
        "|---|---|---|---|---|---|---|---|---|",
        "| full | 1 of 2 | 50.0% | 10.0% to 90.0% | 50.0% | 2 of 2 | 3.0 | | |",
        "| no-ttt | 1 of 2 | 50.0% | 10.0% to 90.0% | 50.0% | 1 of 2 | 0.2 | +1 −1 | 1.000 |",
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
