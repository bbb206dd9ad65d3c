"""Rules of lines that cells send out, and of things that move until something is in their way."""

from __future__ import annotations

from solver.programs.rules import directions
from solver.types import same
from tests.support.made_tasks import always, grid


def test_lines_go_out_from_cells_that_are_alike_whatever_their_direction():
    """A 3 next to a 2 sends out a line away from it: shown to the right and down, asked for to the left."""
    one, other = grid("........", "23......", "........", "...3....", "........"), grid("..2.", "..3.", "....", "3...")
    asked = grid("3.......", "........", "....32..", "........")
    outputs = [grid("........", "23333333", "........", "...3....", "........"), grid("..2.", "..3.", "..3.", "3.3.")]
    found = list(directions.rays((one, other, asked), outputs, always))
    assert any(same(rule.grids[2], grid("3.......", "........", "333332..", "........")) for rule in found)


def test_no_line_is_drawn_where_something_is_taken_away():
    assert list(directions.rays((grid("1.."), grid("1..")), [grid(".11")], always)) == []


def test_things_move_until_something_is_in_their_way_whatever_their_direction():
    one, other = grid("1...8", ".....", "....."), grid("..1..", ".....", "..8..", ".....")
    asked = grid("8...1", ".....", ".....")
    outputs = [grid("...18", ".....", "....."), grid(".....", "..1..", "..8..", ".....")]
    found = list(directions.shoves((one, other, asked), outputs, always))
    assert any(same(rule.grids[2], grid("81...", ".....", ".....")) for rule in found)


def test_what_moves_nowhere_may_be_taken_away():
    inputs = [grid("1..8.", ".....", "3...."), grid("8...1", ".....", "...3."), grid("..3..", ".....", "1...8")]
    outputs = [grid("..18.", ".....", "....."), grid("81...", ".....", ".....")]
    found = list(directions.shoves(inputs, outputs, always))
    assert any(same(rule.grids[2], grid(".....", ".....", "...18")) for rule in found)
