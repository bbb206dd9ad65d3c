"""Rules of rays."""

from __future__ import annotations

from solver.programs.rules import rays
from solver.types import same
from tests.support.made_tasks import always, grid


def test_lines_go_out_from_cells_that_are_alike_whatever_their_direction():
    """A 3 next to a 2 sends out a line away from it: shown to the right and down, asked for to the left."""
    one, other = grid("........", "23......", "........", "...3....", "........"), grid("..2.", "..3.", "....", "3...")
    asked = grid("3.......", "........", "....32..", "........")
    outputs = [grid("........", "23333333", "........", "...3....", "........"), grid("..2.", "..3.", "..3.", "3.3.")]
    found = list(rays.rays((one, other, asked), outputs, always))
    assert any(same(rule.grids[2], grid("3.......", "........", "333332..", "........")) for rule in found)


def test_no_line_is_drawn_where_something_is_taken_away():
    assert list(rays.rays((grid("1.."), grid("1..")), [grid(".11")], always)) == []
