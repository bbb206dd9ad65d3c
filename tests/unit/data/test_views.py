"""Views: the laws of the group on random grids, and what the drawn views are promised to cover."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.data import views
from solver.data.views import DIHEDRALS, IDENTITY
from solver.types import COLOURS, Grid, View, key, same
from tests.support.fakes import MIRROR, any_grid, any_view, grid, random_task

elements = st.integers(0, DIHEDRALS - 1)


@given(view=any_view(), cells=any_grid())
def test_inverting_a_view_gives_back_the_grid_it_was_applied_to(view: View, cells: Grid) -> None:
    assert same(views.invert(view, views.apply(view, cells)), cells)


@given(view=any_view(), cells=any_grid())
def test_applying_a_view_gives_back_the_grid_it_was_inverted_from(view: View, cells: Grid) -> None:
    assert same(views.apply(view, views.invert(view, cells)), cells)


@given(view=any_view(), cells=any_grid())
def test_a_view_leaves_the_grid_it_is_shown_as_it_was_and_gives_a_sound_one(view: View, cells: Grid) -> None:
    before = cells.copy()
    shown = views.apply(view, cells)
    assert same(cells, before)
    assert shown.dtype == np.uint8
    assert shown.flags.c_contiguous
    assert sorted(shown.shape) == sorted(cells.shape)


@given(view=any_view(), cells=any_grid(), more=st.integers(0, COLOURS - 1))
def test_a_view_counts_each_colour_as_often_as_its_permutation_says(view: View, cells: Grid, more: int) -> None:
    assert int((views.apply(view, cells) == view.colours[more]).sum()) == int((cells == more).sum())


@given(a=elements, b=elements, cells=any_grid(6))
def test_two_dihedrals_after_one_another_are_a_third(a: int, b: int, cells: Grid) -> None:
    twice = views.dihedral(views.dihedral(cells, a), b)
    assert any(same(twice, views.dihedral(cells, c)) for c in range(DIHEDRALS))


def test_the_eight_dihedrals_are_eight_different_ones() -> None:
    shown = {key(views.dihedral(grid([[1, 2, 3], [4, 5, 6]]), element)) for element in range(DIHEDRALS)}
    assert len(shown) == DIHEDRALS


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        (0, [[1, 2, 3], [4, 5, 6]]),
        (1, [[3, 6], [2, 5], [1, 4]]),
        (2, [[6, 5, 4], [3, 2, 1]]),
        (3, [[4, 1], [5, 2], [6, 3]]),
        (4, [[1, 4], [2, 5], [3, 6]]),
        (5, [[4, 5, 6], [1, 2, 3]]),
        (6, [[6, 3], [5, 2], [4, 1]]),
        (7, [[3, 2, 1], [6, 5, 4]]),
    ],
)
def test_each_dihedral_is_the_one_it_always_was(element: int, expected: list[list[int]]) -> None:
    assert same(views.dihedral(grid([[1, 2, 3], [4, 5, 6]]), element), grid(expected))


def test_a_recoloured_cell_has_the_colour_its_own_colour_is_sent_to() -> None:
    colours = (0, 9, 8, 7, 6, 5, 4, 3, 2, 1)
    assert same(views.recolour(grid([[0, 1, 2]]), colours), grid([[0, 9, 8]]))


@given(view=any_view(demonstrations=3))
def test_a_task_is_shown_pair_by_pair_in_the_order_of_the_view(view: View) -> None:
    shown = views.apply_task(view, MIRROR)
    assert shown.id == MIRROR.id
    for place, index in enumerate(view.order):
        assert same(shown.demonstrations[place].input, views.apply(view, MIRROR.demonstrations[index].input))
        assert same(shown.demonstrations[place].output, views.apply(view, MIRROR.demonstrations[index].output))
    assert [key(t) for t in shown.tests] == [key(views.apply(view, t)) for t in MIRROR.tests]


def test_the_identity_shows_a_task_as_it_is() -> None:
    shown = views.apply_task(IDENTITY, MIRROR)
    assert [(key(p.input), key(p.output)) for p in shown.demonstrations] == [
        (key(p.input), key(p.output)) for p in MIRROR.demonstrations
    ]


@given(seed=st.integers(0, 2**32 - 1), keep_black=st.booleans())
def test_drawn_colours_are_a_permutation_that_keeps_black_where_asked(seed: int, keep_black: bool) -> None:
    colours = views.draw_colours(np.random.default_rng(seed), keep_black)
    assert sorted(colours) == list(range(COLOURS))
    assert all(type(c) is int for c in colours)
    assert not keep_black or colours[0] == 0


@given(count=st.integers(0, 40), seed=st.integers(0, 2**32 - 1))
def test_views_are_a_function_of_seed_task_and_purpose_alone(count: int, seed: int) -> None:
    drawn = views.views(MIRROR, count, seed, "test 0")
    assert drawn == views.views(MIRROR, count, seed, "test 0")
    assert len(drawn) == count


def test_views_differ_by_seed_and_by_task_and_by_purpose() -> None:
    other_task = random_task([(2, 2)] * 3)
    drawn = [
        views.views(MIRROR, 32, 0, "test 0"),
        views.views(MIRROR, 32, 1, "test 0"),
        views.views(MIRROR, 32, 0, "test 1"),
        views.views(other_task, 32, 0, "test 0"),
    ]
    assert all(drawn[i] != drawn[j] for i in range(4) for j in range(i))


def test_fewer_views_are_the_first_of_more_views() -> None:
    assert views.views(MIRROR, 12, 5, "x") == views.views(MIRROR, 40, 5, "x")[:12]


def test_the_first_view_is_the_identity_and_the_first_eight_turn_without_recolouring() -> None:
    drawn = views.views(MIRROR, 24, 0, "test 0")
    assert drawn[0] == IDENTITY
    assert [v.dihedral for v in drawn[:8]] == list(range(8))
    assert all(v.colours == IDENTITY.colours for v in drawn[:8])
    assert all(v.colours != IDENTITY.colours for v in drawn[8:])
    assert Counter(v.dihedral for v in drawn) == dict.fromkeys(range(8), 3)


def test_black_stays_black_in_every_other_round_of_views() -> None:
    drawn = views.views(MIRROR, 48, 0, "test 0")
    assert all(v.colours[0] == 0 for v in (*drawn[8:16], *drawn[24:32], *drawn[40:48]))
    assert any(v.colours[0] != 0 for v in (*drawn[16:24], *drawn[32:40]))


def test_every_order_of_a_view_is_a_permutation_of_the_demonstrations() -> None:
    drawn = views.views(MIRROR, 40, 0, "test 0")
    assert all(sorted(v.order) == [0, 1, 2] for v in drawn[1:])
    assert len({v.order for v in drawn[1:]}) > 1


def test_a_task_with_a_single_demonstration_has_views_too() -> None:
    one = random_task([(2, 3)])
    assert all(len(views.apply_task(v, one).demonstrations) == 1 for v in views.views(one, 10, 0, "x"))


def transformation(view: View) -> tuple[int, tuple[int, ...]]:
    return view.dihedral, view.colours


@pytest.mark.parametrize("orders", [2, 3])
def test_each_transformation_is_shown_in_as_many_orders_as_asked_before_the_colours_change(orders: int) -> None:
    drawn = views.views(MIRROR, 16 * orders, 0, "test 0", orders)
    assert drawn[0] == IDENTITY
    assert all(v.colours == IDENTITY.colours for v in drawn[: 8 * orders])
    assert all(v.colours != IDENTITY.colours for v in drawn[8 * orders :])
    assert Counter(map(transformation, drawn)) == dict.fromkeys(map(transformation, drawn), orders)
    seen = {(transformation(v), v.order or (0, 1, 2)) for v in drawn}
    assert len(seen) == len(drawn)
    assert len(set(map(transformation, drawn))) == 16


@given(orders=st.integers(1, 9), count=st.integers(0, 60))
def test_no_more_orders_are_wanted_than_there_are(orders: int, count: int) -> None:
    one, two = random_task([(2, 3)]), random_task([(2, 3), (1, 1)])
    assert views.views(one, count, 0, "x", orders) == views.views(one, count, 0, "x")
    assert views.views(two, count, 0, "x", orders) == views.views(two, count, 0, "x", min(orders, 2))
