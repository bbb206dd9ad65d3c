"""Transformations for training data: what each does to a grid, and that none drawn makes one too large."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.data.transforms import MOST_SHIFT, VARIANTS, Step, apply, draw
from solver.types import MAX_SIDE, same
from tests.support.fakes import any_grid, grid

CELLS = grid([[1, 2], [3, 4]])
kinds = st.lists(st.sampled_from(list(VARIANTS)), unique=True, min_size=1)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Step("translation", shift=(1, 0)), [[3, 4], [1, 2]]),
        (Step("translation", shift=(1, 3)), [[4, 3], [2, 1]]),
        (Step("reflection", rows=2), [[1, 2], [3, 4], [3, 4], [1, 2]]),
        (Step("reflection", rows=2, before=True), [[3, 4], [1, 2], [1, 2], [3, 4]]),
        (Step("reflection", columns=2), [[1, 2, 2, 1], [3, 4, 4, 3]]),
        (Step("reflection", columns=2, before=True), [[2, 1, 1, 2], [4, 3, 3, 4]]),
        (Step("scaling", rows=2), [[1, 2], [1, 2], [3, 4], [3, 4]]),
        (Step("scaling", columns=2), [[1, 1, 2, 2], [3, 3, 4, 4]]),
        (Step("scaling", 2, 2), [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]),
        (Step("repetition", rows=2), [[1, 2], [3, 4], [1, 2], [3, 4]]),
        (Step("repetition", 2, 2), [[1, 2, 1, 2], [3, 4, 3, 4], [1, 2, 1, 2], [3, 4, 3, 4]]),
    ],
)
def test_a_step_does_to_a_grid_what_was_worked_out_by_hand(step, expected):
    assert apply([step], CELLS).tolist() == expected


def test_a_chain_applies_its_steps_in_order():
    steps = [Step("repetition", rows=2), Step("translation", shift=(1, 0))]
    assert apply(steps, grid([[1], [2], [3]]))[:, 0].tolist() == [3, 1, 2, 3, 1, 2]
    steps = [Step("scaling", rows=2), Step("translation", shift=(1, 0))]
    assert apply(steps, grid([[1], [2]]))[:, 0].tolist() == [2, 1, 1, 2]
    assert apply(steps[::-1], grid([[1], [2]]))[:, 0].tolist() == [2, 2, 1, 1]


@given(cells=any_grid(), chosen=kinds, chains=st.booleans(), seed=st.integers(0, 999))
def test_nothing_that_is_drawn_makes_a_grid_larger_than_thirty_by_thirty(cells, chosen, chains, seed):
    steps = draw(np.random.default_rng(seed), chosen, chains, *cells.shape)
    assert len(steps) <= (2 if chains else 1)
    assert {step.kind for step in steps} <= set(chosen)
    made = apply(steps, cells)
    assert max(made.shape) <= MAX_SIDE
    assert made.dtype == np.uint8
    assert set(np.unique(made)) == set(np.unique(cells))


def test_a_translation_can_be_taken_back_and_moves_a_few_cells_at_most():
    cells = np.arange(100, dtype=np.uint8).reshape(10, 10) % 10
    for seed in range(50):
        for step in draw(np.random.default_rng(seed), ["translation"], False, 10, 10):
            assert all(1 <= cells_moved <= MOST_SHIFT for cells_moved in step.shift)
            assert same(np.roll(apply([step], cells), (-step.shift[0], -step.shift[1]), (0, 1)), cells)


def test_every_variant_of_every_kind_is_drawn_and_so_is_no_step_at_all():
    drawn = [draw(np.random.default_rng(seed), list(VARIANTS), True, 5, 5) for seed in range(600)]
    assert {len(steps) for steps in drawn} == {0, 1, 2}
    seen = {(s.kind, s.rows, s.columns, s.before) for steps in drawn for s in steps}
    assert seen == {(s.kind, s.rows, s.columns, s.before) for variants in VARIANTS.values() for s in variants}


def test_where_nothing_fits_nothing_is_drawn():
    rng = np.random.default_rng(0)
    assert all(draw(rng, ["scaling", "repetition", "reflection"], True, 30, 16) == () for _ in range(20))


def test_a_grid_that_is_tall_is_still_made_wider():
    drawn = {step for seed in range(50) for step in draw(np.random.default_rng(seed), ["scaling"], False, 30, 2)}
    assert drawn == {Step("scaling", columns=2)}
