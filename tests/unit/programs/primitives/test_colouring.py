"""Colours chosen, exchanged and counted."""

from __future__ import annotations

import pytest

from solver.programs.primitives.registry import UNARY, checked
from tests.support.made_tasks import grid


@pytest.mark.parametrize(
    ("name", "given_rows", "wanted"),
    [
        ("histogram", ("11.2",), ("12", "1.")),
    ],
)
def test_a_primitive_does_what_was_worked_out_by_hand(name, given_rows, wanted):
    assert checked(UNARY[name].run(grid(*given_rows))).tolist() == grid(*wanted).tolist()
