"""Parts put together."""

from __future__ import annotations

from solver.programs.primitives.registry import JOINS
from tests.support.made_tasks import grid


def test_the_odd_part_is_the_one_there_is_least_of():
    parts = (grid("1"), grid("2"), grid("1"))
    assert JOINS["odd_one_out"].run(parts).tolist() == [[2]]
