"""Two minds over one test input: which attempt is whose, whatever order the candidates come in."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.config.settings import Config
from solver.types import Candidate, Grid, Program, View
from solver.voting import ensemble
from tests.support import fakes

ONE, TWO, THREE, FOUR = (fakes.grid([[n]]) for n in (1, 2, 3, 4))
LONG = ensemble.TRUSTED_COST + 1


def found(grid: Grid, cost: float = 3.0, generalises: float = 0.0, support: int = 1) -> Candidate:
    """A program's candidate; with the cost `LONG` and nothing it generalises to it is not trusted."""
    return Candidate(grid, View(), 0.0, program=Program("p", cost, generalises, support))


def order(
    programs: list[Candidate], voted: list[Grid], quick: list[Grid] | None = None, agreement: float = 0.75
) -> list[int]:
    """The colours of all answers, in order."""
    return [int(grid[0, 0]) for grid in ensemble.order(ensemble.ranked(programs), voted, quick or [], agreement)]


def test_where_the_minds_disagree_each_has_an_attempt_the_trusted_program_the_first():
    assert order([found(THREE), found(FOUR, 5.0)], [ONE, TWO]) == [3, 1, 2, 4]


def test_a_vote_few_views_agree_on_comes_after_the_second_program():
    assert order([found(THREE), found(FOUR, 5.0)], [ONE, TWO], agreement=0.74) == [3, 4, 1, 2]
    assert order([found(THREE)], [ONE, TWO], agreement=0.74) == [3, 1, 2]
    assert order([found(THREE, LONG), found(FOUR, LONG + 1)], [ONE, TWO], agreement=0.1) == [1, 3, 2, 4]


def test_a_vote_that_is_not_split_is_sure():
    assert 1 - Config().disagreement_threshold == ensemble.SURE


def test_where_they_agree_the_second_attempt_is_the_vote_s_next():
    assert order([found(ONE), found(FOUR, 5.0)], [ONE, TWO]) == [1, 2, 4]
    assert order([found(TWO)], [ONE, TWO]) == [2, 1]


def test_a_program_that_is_not_trusted_has_the_second_attempt():
    assert order([found(THREE, LONG)], [ONE, TWO]) == [1, 3, 2]
    assert order([found(ONE, LONG), found(THREE, LONG + 1)], [ONE, TWO]) == [1, 2, 3]
    assert order([], [ONE, TWO]) == [1, 2]


def test_an_attempt_the_vote_leaves_is_a_program_s_before_it_is_the_base_model_s():
    assert order([found(THREE, LONG)], [ONE], [FOUR]) == [1, 3, 4]
    assert order([found(THREE, LONG), found(TWO, LONG + 1)], []) == [3, 2]
    assert order([], [ONE], [FOUR, ONE]) == [1, 4]


@pytest.mark.parametrize(
    ("cost", "generalises", "is_trusted"),
    [(ensemble.TRUSTED_COST, 0.0, True), (LONG, 0.0, False), (LONG, 0.25, True), (90.0, 1.0, True)],
)
def test_a_program_is_trusted_if_it_is_short_or_generalises(cost, generalises, is_trusted):
    assert ensemble.trusted(Program("p", cost, generalises)) == is_trusted


def test_programs_rank_as_in_the_search_then_by_support_and_each_answer_counts_with_its_best():
    worse = found(ONE, 9.0, 1.0)
    ranked = ensemble.ranked(
        [worse, found(TWO, 3.0, 0.0), found(ONE, 4.0, 1.0), found(THREE, 4.0, 1.0, support=5), found(FOUR, 8.0, 0.0)]
    )
    assert [int(c.grid[0, 0]) for c in ranked] == [3, 1, 2, 4]
    assert worse not in ranked


def test_what_the_model_said_is_no_program_s():
    assert ensemble.ranked([Candidate(ONE, View(), -1.0)]) == []


ANY_PROGRAMS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 20), st.sampled_from([0.0, 0.5, 1.0])), max_size=8)


@given(ANY_PROGRAMS, st.randoms(), st.floats(0, 1))
def test_the_order_of_the_candidates_makes_no_difference(
    drawn: list[tuple[int, int, float]], draw: random.Random, agreement: float
):
    programs = [found(fakes.grid([[colour]]), cost, generalises) for colour, cost, generalises in drawn]
    before = order(programs, [ONE, TWO], [THREE], agreement)
    draw.shuffle(programs)
    assert order(programs, [ONE, TWO], [THREE], agreement) == before
    assert len(set(before)) == len(before)
    assert set(before) == {1, 2, 3, *(colour for colour, _, _ in drawn)}


def test_a_trusted_program_leaves_half_of_the_need_and_nothing_where_the_vote_says_the_same():
    sure, unsure = [found(ONE)], [found(ONE, LONG)]
    assert ensemble.need(sure, [TWO, ONE], 0.75, True) == 0.5 * 0.25
    assert ensemble.need(sure, [], 0.0, False) == 0.5
    assert ensemble.need(sure, [ONE, TWO], 0.5, True) == 0.0
    assert ensemble.need(unsure, [ONE], 0.75, True) == 0.25
    assert ensemble.need([], [ONE], 1.0, True) == 0.0
    assert ensemble.need([], [], 0.0, False) == 1.0


def test_of_what_the_base_model_alone_says_more_need_is_left_than_beside_a_trusted_program():
    """The schedule puts off what needs no more than `TRUSTED`."""
    assert 1 - ensemble.QUICK > ensemble.TRUSTED > Config().disagreement_threshold


def test_what_the_base_model_alone_says_settles_nothing_unless_a_trusted_program_says_it_too():
    assert ensemble.need([], [ONE], 1.0, False) == 0.6
    assert ensemble.need([found(TWO)], [ONE], 1.0, False) == 0.3 > Config().disagreement_threshold
    assert ensemble.need([found(ONE)], [ONE], 0.5, False) == 0.0
