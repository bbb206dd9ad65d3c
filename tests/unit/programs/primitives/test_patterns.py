"""Symmetric and repeating patterns, and copies of a picture."""

from __future__ import annotations

import pytest

from solver.programs.primitives.registry import UNARY, checked
from tests.support.made_tasks import grid


@pytest.mark.parametrize(
    ("name", "given_rows", "wanted"),
    [
        ("with_mirror_left_right", ("12..",), ("1221",)),
        ("complete_tiles_of_background", ("1212", "1.12", "1212"), ("1212", "1212", "1212")),
        (
            "mirrors_around_symmetric",
            ("2.....", "..11..", "..11..", ".3...."),
            ("23..32", "..11..", "..11..", "23..32"),
        ),
        ("copies_completed", ("121...", ".3....", "....21", "......"), ("121...", ".3....", "...121", "....3.")),
        ("copies_without_model", ("121...", ".3....", "......", "....3."), ("......", "......", "...121", "....3.")),
    ],
)
def test_a_primitive_does_what_was_worked_out_by_hand(name, given_rows, wanted):
    assert checked(UNARY[name].run(grid(*given_rows))).tolist() == grid(*wanted).tolist()


def test_a_copy_is_laid_as_what_there_is_of_it():
    made = UNARY["copies_completed"].run(grid("123....", "......3", "......2", "......."))
    assert made.tolist() == grid("123....", "......3", "......2", "......1").tolist()
