"""Lines, and what falls."""

from __future__ import annotations

import pytest

from solver.programs.primitives.registry import UNARY, checked
from tests.support.made_tasks import grid


@pytest.mark.parametrize(
    ("name", "given_rows", "wanted"),
    [
        ("rays_right", ("1..2.",), ("11122",)),
        ("rays_down_right", ("1..", "...", "..."), ("1..", ".1.", "..1")),
        ("connect_across", ("1..1", "1..2"), ("1111", "1..2")),
        ("fall_down", ("12", "..", ".3"), ("..", ".2", "13")),
    ],
)
def test_a_primitive_does_what_was_worked_out_by_hand(name, given_rows, wanted):
    assert checked(UNARY[name].run(grid(*given_rows))).tolist() == grid(*wanted).tolist()
