"""Rules of things that move until something is in their way."""

from __future__ import annotations

from solver.programs.rules import shoves
from solver.types import same
from tests.support.made_tasks import always, grid


def test_things_move_until_something_is_in_their_way_whatever_their_direction():
    one, other = grid("1...8", ".....", "....."), grid("..1..", ".....", "..8..", ".....")
    asked = grid("8...1", ".....", ".....")
    outputs = [grid("...18", ".....", "....."), grid(".....", "..1..", "..8..", ".....")]
    found = list(shoves.shoves((one, other, asked), outputs, always))
    assert any(same(rule.grids[2], grid("81...", ".....", ".....")) for rule in found)


def test_what_moves_nowhere_may_be_taken_away():
    inputs = [grid("1..8.", ".....", "3...."), grid("8...1", ".....", "...3."), grid("..3..", ".....", "1...8")]
    outputs = [grid("..18.", ".....", "....."), grid("81...", ".....", ".....")]
    found = list(shoves.shoves(inputs, outputs, always))
    assert any(same(rule.grids[2], grid(".....", ".....", "...18")) for rule in found)
