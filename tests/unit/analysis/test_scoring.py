"""Scores follow Kaggle's rule over the full set of solutions; what is missing or malformed is unsolved."""

import json
import math
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.analysis.scoring import compare, difference, mcnemar, score, sign_flip, wilson
from solver.types import Grid


def grid(rows: list[list[int]]) -> Grid:
    return np.array(rows, dtype=np.uint8)


def entry(one: object, two: object) -> dict[str, object]:
    return {"attempt_1": one, "attempt_2": two}


ONE, TWO, OTHER = [[1]], [[2, 2]], [[9], [9]]
SOLUTIONS = {"a": (grid(ONE), grid(TWO)), "b": (grid(ONE),)}
PERFECT = {"a": [entry(ONE, OTHER), entry(TWO, OTHER)], "b": [entry(ONE, OTHER)]}


def test_everything_solved_by_first_attempts_is_one() -> None:
    scores = score(PERFECT, SOLUTIONS)
    assert (scores.score, scores.pass_at_1, scores.high) == (1.0, 1.0, 1.0)
    assert (scores.tasks, scores.outputs, scores.tasks_solved, scores.outputs_solved) == (2, 3, 2, 3)


def test_each_task_counts_the_same_whatever_its_outputs() -> None:
    scores = score({**PERFECT, "a": [entry(ONE, OTHER), entry(OTHER, OTHER)]}, SOLUTIONS)
    assert scores.score == pytest.approx((0.5 + 1) / 2)
    assert (scores.tasks_solved, scores.outputs_solved) == (1, 2)


def test_the_second_attempt_counts_for_the_score_and_not_for_pass_at_1() -> None:
    scores = score({**PERFECT, "b": [entry(OTHER, ONE)]}, SOLUTIONS)
    assert (scores.score, scores.pass_at_1) == (1.0, 0.5)


def test_an_answer_to_the_other_test_input_is_no_answer() -> None:
    assert score({"a": [entry(TWO, TWO), entry(ONE, ONE)]}, SOLUTIONS).outputs_solved == 0


def test_a_missing_task_stays_in_the_denominator() -> None:
    assert score({"b": PERFECT["b"]}, SOLUTIONS).score == 0.5


def test_tasks_without_a_solution_are_ignored() -> None:
    assert score({**PERFECT, "c": []}, SOLUTIONS) == score(PERFECT, SOLUTIONS)


@pytest.mark.parametrize(
    "bad", [None, 7, "x", [], {}, [None], [7], [[]], [{}], [entry(None, None)], [entry("1", 1)], [entry([], [[]])]]
)
def test_a_malformed_entry_is_unsolved(bad: object) -> None:
    assert score({**PERFECT, "b": bad}, SOLUTIONS).score == 0.5


@pytest.mark.parametrize("almost", [[[True]], [[1.0]], [["1"]], [1], [[1], [1]], [[1, 1]], [[[1]]]])
def test_what_is_almost_the_output_is_not_the_output(almost: object) -> None:
    assert score({"b": [entry(almost, almost)]}, {"b": (grid(ONE),)}).score == 0


def test_a_malformed_attempt_leaves_the_other_one_standing() -> None:
    assert score({"b": [entry("?", ONE)]}, {"b": (grid(ONE),)}).score == 1


@pytest.mark.parametrize("submission", [None, [], 7, "x"])
def test_a_submission_that_is_no_object_solves_nothing(submission: object) -> None:
    assert score(submission, SOLUTIONS).score == 0


@pytest.mark.parametrize("solutions", [{}, {"a": ()}])
def test_no_solutions_is_an_error(solutions: Any) -> None:
    with pytest.raises(ValueError, match="no solutions came"):
        score({}, solutions)


def kaggle_score(submission: dict[str, Any], truth: dict[str, list[Any]], attempts: tuple[str, ...]) -> float:
    """The rule once more, written over plain lists: the mean over tasks of the mean over outputs of any attempt."""
    total = 0.0
    for task_id in truth:
        right = 0
        for index, expected in enumerate(truth[task_id]):
            try:
                given_here = submission[task_id][index]
            except (KeyError, IndexError):
                continue
            right += int(any(json.dumps(given_here.get(name)) == json.dumps(expected) for name in attempts))
        total += right / len(truth[task_id])
    return total / len(truth)


SMALL = st.sampled_from([[[0]], [[1]], [[0, 1]], [[0], [1]]])
OUTPUTS = st.lists(SMALL, min_size=1, max_size=3)
TRUTH = st.dictionaries(st.sampled_from("abcdef"), OUTPUTS, min_size=1)
ENTRIES = st.dictionaries(st.sampled_from(["attempt_1", "attempt_2"]), SMALL)
SUBMISSION = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(ENTRIES, max_size=4))


@settings(deadline=None, max_examples=300)
@given(SUBMISSION, TRUTH)
def test_a_second_implementation_agrees_on_random_submissions(
    submission: dict[str, Any], truth: dict[str, list[Any]]
) -> None:
    scores = score(submission, {task_id: tuple(map(grid, outputs)) for task_id, outputs in truth.items()})
    assert math.isclose(scores.score, kaggle_score(submission, truth, ("attempt_1", "attempt_2")), abs_tol=1e-12)
    assert math.isclose(scores.pass_at_1, kaggle_score(submission, truth, ("attempt_1",)), abs_tol=1e-12)
    assert scores.pass_at_1 <= scores.score
    assert 0 <= scores.low <= scores.score + 1e-12
    assert scores.score - 1e-12 <= scores.high <= 1
    assert scores.outputs == sum(map(len, truth.values()))


@settings(deadline=None)
@given(SUBMISSION, TRUTH, st.randoms(use_true_random=False))
def test_the_order_of_tasks_does_not_matter(submission: dict[str, Any], truth: dict[str, list[Any]], draw: Any) -> None:
    solutions = {task_id: tuple(map(grid, outputs)) for task_id, outputs in truth.items()}
    shuffled = list(solutions.items())
    draw.shuffle(shuffled)
    assert score(submission, solutions) == score(submission, dict(shuffled))


def test_wilson_s_interval_is_the_published_one() -> None:
    assert wilson(0.1, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(1.0, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)


# ---- many random submissions, and cases counted by hand --------------------------------------------------------------


def random_submissions(count: int) -> Iterator[tuple[dict[str, Any], dict[str, list[Any]]]]:
    """Submissions with right, wrong, missing, extra, malformed and placeholder-like entries, and their solutions."""
    draw = random.Random(0)

    def some_grid() -> list[list[int]]:
        rows, columns = draw.randint(1, 3), draw.randint(1, 3)
        return [[draw.randint(0, 2) for _ in range(columns)] for _ in range(rows)]

    def attempt(right: list[list[int]]) -> Any:
        almost = [row[:] for row in right]
        almost[-1][-1] = (almost[-1][-1] + 1) % 10
        broken = [None, "1", [], [[]], [[1.0]], [[10]], [[True]], [*right, [0] * (len(right[0]) + 1)], [right]]
        return draw.choice([right, right, almost, some_grid(), draw.choice(broken)])

    for _ in range(count):
        truth = {f"t{n}": [some_grid() for _ in range(draw.choice([1, 1, 1, 2, 3]))] for n in range(draw.randint(1, 8))}
        submission: dict[str, Any] = {}
        for task_id, outputs in truth.items():
            entries: list[Any] = [{"attempt_1": attempt(o), "attempt_2": attempt(o)} for o in outputs]
            entries = draw.choice([entries, entries, entries, entries[:-1], [*entries, {}], entries[::-1]])
            if entries and draw.random() < 0.1:
                entries[0] = draw.choice([None, [], "x", {"attempt_2": outputs[0]}])
            if draw.random() < 0.9:
                submission[task_id] = entries
        if draw.random() < 0.2:
            submission["extra"] = [{"attempt_1": [[0]], "attempt_2": [[1]]}]
        yield submission, truth


def by_the_rule(submission: dict[str, Any], truth: dict[str, list[Any]], names: Sequence[str]) -> Fraction:
    """Kaggle's rule in exact fractions: each task's share of outputs that a named attempt equals."""
    shares = []
    for task_id, outputs in truth.items():
        right = 0
        for at, output in enumerate(outputs):
            entries = submission.get(task_id, [])
            entry = entries[at] if at < len(entries) else None
            tried = [entry.get(name) for name in names] if type(entry) is dict else []
            right += any(repr(one) == repr(output) for one in tried)  # repr tells 1, 1.0 and True apart
        shares.append(Fraction(right, len(outputs)))
    return sum(shares, Fraction(0)) / len(shares)


def test_an_independent_scorer_agrees_on_a_thousand_random_submissions() -> None:
    seen = set()
    for submission, truth in random_submissions(1000):
        scores = score(submission, {i: tuple(map(grid, outputs)) for i, outputs in truth.items()})
        both, one = (by_the_rule(submission, truth, n) for n in (("attempt_1", "attempt_2"), ("attempt_1",)))
        assert scores.score == pytest.approx(float(both), abs=1e-12)
        assert scores.pass_at_1 == pytest.approx(float(one), abs=1e-12)
        seen.add(both)
    assert len(seen) > 50  # the cases are not all alike


@pytest.mark.parametrize(
    ("solved_by_first", "solved_by_second", "pass_at_2", "pass_at_1", "tasks_solved", "outputs_solved"),
    [
        # One string a task, one letter an output: x where that attempt is right.
        (["x", "x"], [".", "."], 1.0, 1.0, 2, 2),
        (["x.", "."], [".x", "x"], 1.0, 0.25, 2, 3),
        (["x.", "x"], ["..", "."], 0.75, 0.75, 1, 2),
        (["x..", "."], [".x.", "."], 1 / 3, 1 / 6, 0, 2),
        (["...", "xx", "x"], ["..x", "..", "."], (1 / 3 + 2) / 3, 2 / 3, 2, 4),
    ],
)
def test_tasks_with_several_outputs_are_scored_as_counted_by_hand(
    solved_by_first: list[str],
    solved_by_second: list[str],
    pass_at_2: float,
    pass_at_1: float,
    tasks_solved: int,
    outputs_solved: int,
) -> None:
    pairs = dict(enumerate(zip(solved_by_first, solved_by_second, strict=True)))
    outputs = {str(n): tuple(grid([[at, 7]]) for at in range(len(one))) for n, (one, _) in pairs.items()}
    submission = {
        str(n): [
            entry([[at, 7]] if one[at] == "x" else [[8]], [[at, 7]] if two[at] == "x" else [[9]])
            for at in range(len(one))
        ]
        for n, (one, two) in pairs.items()
    }
    scores = score(submission, outputs)
    assert scores.score == pytest.approx(pass_at_2)
    assert scores.pass_at_1 == pytest.approx(pass_at_1)
    assert (scores.tasks_solved, scores.outputs_solved) == (tasks_solved, outputs_solved)


# ---- two submissions -------------------------------------------------------------------------------------------------


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
