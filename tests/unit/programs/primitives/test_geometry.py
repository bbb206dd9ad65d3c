"""Whole grids moved, repeated, scaled and cut."""

from __future__ import annotations

import pytest

from solver.programs.primitives.registry import UNARY, checked
from tests.support.made_tasks import grid


@pytest.mark.parametrize(
    ("name", "given_rows", "wanted"),
    [
        ("flip_left_right", ("12", "3."), ("21", ".3")),
        ("fractal", ("1.", ".2"), ("1...", ".2..", "..1.", "...2")),
        ("crop", ("...", ".12"), ("12",)),
        ("drop_repeats", ("11", "11", "22"), ("1", "2")),
        ("smallest_tile", ("121212", "343434"), ("12", "34")),
        ("reverse_rings", ("1111", "1221", "1221", "1111"), ("2222", "2112", "2112", "2222")),
    ],
)
def test_a_primitive_does_what_was_worked_out_by_hand(name, given_rows, wanted):
    assert checked(UNARY[name].run(grid(*given_rows))).tolist() == grid(*wanted).tolist()
