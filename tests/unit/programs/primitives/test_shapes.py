"""Filling, outlining, cleaning and selecting regions."""

from __future__ import annotations

import pytest

from solver.programs.primitives.registry import INPUT_COLOURED, UNARY, checked
from tests.support.made_tasks import grid


@pytest.mark.parametrize(
    ("name", "given_rows", "wanted"),
    [
        ("fill_enclosed_as_around", ("333", "3.3", "333"), ("333", "333", "333")),
        ("largest_only", ("11.2", "1..2"), ("11..", "1...")),
        ("remove_single", ("1.22",), ("..22",)),
    ],
)
def test_a_primitive_does_what_was_worked_out_by_hand(name, given_rows, wanted):
    assert checked(UNARY[name].run(grid(*given_rows))).tolist() == grid(*wanted).tolist()


def test_flooding_stops_at_walls():
    made = INPUT_COLOURED["flood"].run(grid("3.1.", "..1."), 3)
    assert made.tolist() == grid("331.", "331.").tolist()
