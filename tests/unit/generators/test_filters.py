"""Which generators are kept: each filter stops what it is for, and only that."""

from __future__ import annotations

import numpy as np
import pytest

from solver.generators.filters import (
    CONSTANT,
    DISTINCT,
    EVALUATION,
    FILTERS,
    FUNCTION,
    GRIDS,
    IDENTITY,
    NEW,
    PARSED,
    RAN,
    Filters,
)
from solver.induction.sandbox.sandbox import CALLING, LOADING, READING, DrawnPair
from solver.pretrain.content import Index
from solver.types import Pair

LEAST = 4


def pairs(count: int = 12, output: str = "turned") -> list[Pair]:
    """Pairs of 5 × 4 grids, no two of which are alike."""
    rng = np.random.default_rng(0)
    shown = [rng.integers(0, 10, (5, 4), dtype=np.uint8) for _ in range(count)]
    answers = {
        "turned": lambda grid, _: np.rot90(grid).copy(),
        "same": lambda grid, _: grid,
        "constant": lambda grid, _: np.zeros((2, 2), np.uint8),
        "mostly same": lambda grid, n: grid if n % 3 else np.rot90(grid).copy(),
        "seldom same": lambda grid, n: np.rot90(grid).copy() if n % 3 else grid,
    }
    return [Pair(grid, answers[output](grid, n)) for n, grid in enumerate(shown)]


def drawn(given: list[Pair]) -> list[DrawnPair]:
    return [DrawnPair(pair) for pair in given]


def failed(where: str, count: int, reason: str = "why") -> list[DrawnPair]:
    return [DrawnPair(None, where, reason)] * count


def judge(draws, twins=(), index=None, known=()):
    filters = Filters(index or Index.of([]), LEAST)
    filters.add(known)
    return filters.judge(draws, twins)


def test_a_generator_that_passes_is_kept_with_its_distinct_pairs():
    verdict = judge(drawn([*pairs(), *pairs(3)]), drawn(pairs()))
    assert (verdict.failed, verdict.reason, len(verdict.pairs)) == ("", "", 12)


@pytest.mark.parametrize(
    ("draws", "stopped", "reason"),
    [
        (failed(LOADING, 12, "SyntaxError: x"), PARSED, "SyntaxError: x"),
        ([*failed(CALLING, 7, "NameError: x"), *drawn(pairs(5))], RAN, "NameError: x"),
        ([*failed(READING, 7, "ValueError: x"), *drawn(pairs(5))], GRIDS, "ValueError: x"),
        (drawn(pairs(3) * 4), DISTINCT, "3 distinct pairs, at least 4 were expected"),
        (drawn(pairs(output="same")), IDENTITY, "12 of 12 outputs are their inputs"),
        (drawn(pairs(output="mostly same")), IDENTITY, "8 of 12 outputs are their inputs"),
        (drawn(pairs(output="constant")), CONSTANT, "all outputs are the same"),
        (drawn([*pairs(), *pairs(output="constant")]), FUNCTION, "an input came with two outputs"),
    ],
)
def test_each_filter_stops_what_it_is_for(draws, stopped, reason):
    verdict = judge(draws)
    assert (verdict.failed, verdict.reason, verdict.pairs) == (stopped, reason, ())


def test_half_of_the_calls_may_fail_and_a_third_of_the_outputs_be_their_inputs():
    draws = [*failed(CALLING, 3), *failed(READING, 3), *drawn(pairs(output="seldom same"))]
    assert not judge(draws).failed


def test_a_twin_alone_shows_that_an_input_has_two_outputs_and_no_twin_is_kept():
    assert judge(drawn(pairs()), drawn(pairs(1, "constant"))).failed == FUNCTION
    others = [Pair(pair.output, pair.input) for pair in pairs()]
    assert len(judge(drawn(pairs()), [*drawn(others), *failed(CALLING, 3)]).pairs) == 12


def test_a_few_pairs_of_an_evaluation_set_are_left_out_and_more_end_the_generator():
    few, many = (Index.of([Pair(np.rot90(p.input).copy(), p.output) for p in pairs(n)]) for n in (1, 2))
    assert len(judge(drawn(pairs()), index=few).pairs) == 11
    verdict = judge(drawn(pairs()), index=many)
    assert (verdict.failed, verdict.reason) == (EVALUATION, "2 of 12 pairs hold something of one")


def test_pairs_that_are_left_out_do_not_count_among_the_distinct_ones():
    index = Index.of(pairs(1))
    filters = Filters(index, 12)
    assert filters.judge(drawn(pairs()), ()).failed == EVALUATION


def test_a_generator_that_draws_the_pairs_of_another_one_is_no_new_one():
    assert judge(drawn(pairs()), known=pairs(7)).failed == NEW
    assert not judge(drawn(pairs()), known=pairs(6)).failed


def test_every_filter_has_a_line_for_the_table():
    assert list(FILTERS)[3:] == [PARSED, RAN, GRIDS, DISTINCT, FUNCTION, IDENTITY, CONSTANT, EVALUATION, NEW]
