"""Stamps around every cell of a colour."""

from __future__ import annotations

import numpy as np

from solver.programs.rules import stamps
from solver.programs.values import State
from solver.types import same


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
    [proposal, *_] = stamps.stamped(State(tuple(inputs), 0.0), outputs[:2])
    assert same(proposal.grids[0], outputs[2])
