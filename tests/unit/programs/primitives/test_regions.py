"""Connected regions."""

from __future__ import annotations

from solver.programs.primitives import regions
from tests.support.made_tasks import grid


def test_regions_come_in_reading_order_with_their_boxes():
    found = regions.of_colour(grid(".22.", ".2.1", "3..1"))
    assert [(r.colour, r.top, r.left, r.size) for r in found] == [(2, 0, 1, 3), (1, 1, 3, 2), (3, 2, 0, 1)]


def test_a_hole_is_enclosed_and_a_bay_is_not():
    assert regions.enclosed(grid("1111", "1.1.", "1111")).tolist()[1] == [False, True, False, False]
    assert regions.holes(grid("111", "1.1", "111") != 0) == 1
