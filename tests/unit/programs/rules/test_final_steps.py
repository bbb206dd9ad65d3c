"""Final steps whose parameters are read off the demonstrations."""

from __future__ import annotations

import numpy as np

from solver.analysis import programs as command
from solver.programs.rules import final_steps
from solver.programs.values import State


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
