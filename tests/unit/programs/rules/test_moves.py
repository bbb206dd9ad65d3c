"""Each colour moved by a rule of its own."""

from __future__ import annotations

import numpy as np

from solver.programs.rules import moves
from solver.programs.values import State
from solver.types import same


def test_a_colour_moves_by_a_rule_of_its_own():
    inputs = [np.zeros((5, 5), np.uint8) for _ in range(3)]
    outputs = []
    for n, grid in enumerate(inputs):
        grid[0, n], grid[3, 3] = 4, 6
        output = np.zeros((5, 5), np.uint8)
        output[4, n], output[3, 2] = 4, 6
        outputs.append(output)
    [proposal] = moves.moved(State(tuple(inputs), 0.0), outputs[:2])
    assert same(proposal.grids[0], outputs[2])
