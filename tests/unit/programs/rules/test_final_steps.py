"""Final steps whose parameters are read off the demonstrations."""

from __future__ import annotations

import numpy as np

from solver.analysis import programs as command
from solver.programs.rules import final_steps
from solver.programs.values import State
from solver.types import key, same
from tests.support.made_tasks import draw


def test_a_colour_that_becomes_two_is_no_colour_map():
    cells_ = np.array([1, 1, 2], np.uint8)
    assert final_steps.colour_map(cells_, np.array([3, 4, 2], np.uint8)) is None
    assert final_steps.colour_map(cells_, np.array([3, 3, 2], np.uint8)).tolist() == [0, 3, 2, 3, 4, 5, 6, 7, 8, 9]


def test_no_final_step_has_a_primitives_name():
    """Else a task would count for the primitive."""
    state = State((np.zeros((2, 2), np.uint8),) * 2, 0.0)
    wider = [
        *final_steps.resized(state, [np.zeros((4, 4), np.uint8)]),
        *final_steps.resized(state, [np.zeros((1, 1), np.uint8)]),
    ]
    assert {s.step.partition("(")[0] for s in wider} == {"scale", "repeat", "pad", "top_left"}
    assert not {"scale", "repeat", "pad", "top_left"} & set(command.primitive_names())


def test_an_input_that_was_shown_has_its_output_unless_it_was_shown_two():
    grid, other = draw(np.random.default_rng(1)), draw(np.random.default_rng(2))
    found = list(final_steps.looked_up([grid, other, grid], [grid[::-1], other]))
    assert [(p.program, [key(g) for g in p.grids]) for p in found[:1]] == [("seen before", [key(grid[::-1])])]
    contradicting = final_steps.looked_up([grid, grid, grid], [grid[::-1], grid[:, ::-1]])
    assert list(contradicting) == []


def test_a_table_answers_what_it_has_seen_and_nothing_else():
    few, many, more_ = (np.array([[1, 1, 0][:n] + [0] * (3 - n)], np.uint8) for n in (1, 2, 0))
    outputs = [np.full((1, 1), c, np.uint8) for c in (5, 5, 6)]
    found = list(final_steps.looked_up([few, few[:, ::-1], many, few], outputs))
    assert "table of whole_cells" in [p.program for p in found]
    assert all(same(p.grids[0], outputs[0]) for p in found)
    unseen = list(final_steps.looked_up([few, few[:, ::-1], many, more_], outputs))
    assert "table of whole_cells" not in [p.program for p in unseen]


def test_a_colour_moves_by_a_rule_of_its_own():
    inputs = [np.zeros((5, 5), np.uint8) for _ in range(3)]
    outputs = []
    for n, grid in enumerate(inputs):
        grid[0, n], grid[3, 3] = 4, 6
        output = np.zeros((5, 5), np.uint8)
        output[4, n], output[3, 2] = 4, 6
        outputs.append(output)
    [proposal] = final_steps.moved(State(tuple(inputs), 0.0), outputs[:2])
    assert same(proposal.grids[0], outputs[2])


def test_a_stamp_is_what_all_seeds_have_around_them():
    inputs, outputs = [], []
    for places in (((1, 1), (5, 6)), ((3, 3),), ((0, 4), (6, 2))):
        grid = np.zeros((8, 8), np.uint8)
        output = grid.copy()
        for i, j in places:
            grid[i, j] = output[i, j] = 2
            for a, b in ((i - 1, j - 1), (i + 1, j + 1), (i, j + 1)):
                if 0 <= a < 8 and 0 <= b < 8:
                    output[a, b] = 4
        inputs.append(grid)
        outputs.append(output)
    [proposal, *_] = final_steps.stamped(State(tuple(inputs), 0.0), outputs[:2])
    assert same(proposal.grids[0], outputs[2])
