"""Tables from the input as a whole to the output."""

from __future__ import annotations

import numpy as np

from solver.programs.rules import lookup
from solver.types import key, same
from tests.support.made_tasks import draw


def test_an_input_that_was_shown_has_its_output_unless_it_was_shown_two():
    grid, other = draw(np.random.default_rng(1)), draw(np.random.default_rng(2))
    found = list(lookup.looked_up([grid, other, grid], [grid[::-1], other]))
    assert [(p.program, [key(g) for g in p.grids]) for p in found[:1]] == [("seen before", [key(grid[::-1])])]
    contradicting = lookup.looked_up([grid, grid, grid], [grid[::-1], grid[:, ::-1]])
    assert list(contradicting) == []


def test_a_table_answers_what_it_has_seen_and_nothing_else():
    few, many, more_ = (np.array([[1, 1, 0][:n] + [0] * (3 - n)], np.uint8) for n in (1, 2, 0))
    outputs = [np.full((1, 1), c, np.uint8) for c in (5, 5, 6)]
    found = list(lookup.looked_up([few, few[:, ::-1], many, few], outputs))
    assert "table of whole_cells" in [p.program for p in found]
    assert all(same(p.grids[0], outputs[0]) for p in found)
    unseen = list(lookup.looked_up([few, few[:, ::-1], many, more_], outputs))
    assert "table of whole_cells" not in [p.program for p in unseen]
