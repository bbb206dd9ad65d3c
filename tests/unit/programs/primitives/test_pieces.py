"""Grids taken apart."""

from __future__ import annotations

import pytest

from solver.programs.primitives.registry import JOINS, UNARY, checked
from tests.support.made_tasks import grid


@pytest.mark.parametrize(
    ("name", "given_rows", "wanted"),
    [
        ("colours_of_lattice", ("1.5.2", "..5..", "55555", "3.5.4"), ("12", "34")),
    ],
)
def test_a_primitive_does_what_was_worked_out_by_hand(name, given_rows, wanted):
    assert checked(UNARY[name].run(grid(*given_rows))).tolist() == grid(*wanted).tolist()


def test_the_odd_part_is_the_one_there_is_least_of():
    parts = (grid("1"), grid("2"), grid("1"))
    assert JOINS["odd_one_out"].run(parts).tolist() == [[2]]
