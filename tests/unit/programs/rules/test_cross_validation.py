"""Demonstrations left out."""

from __future__ import annotations

import numpy as np

from solver.programs.rules import cross_validation


def test_what_is_counted_as_right_was_fitted_without_it():
    grids = [np.full((1, 1), c, np.uint8) for c in (1, 2, 1, 3)]
    asked = []

    def seen(order, others):
        asked.append(([int(g[0, 0]) for g in others], order[-1]))
        return iter(others)

    assert cross_validation.share(grids, seen) == 0.5  # the two that are equal
    assert asked == [([2, 1, 3], 0), ([1, 1, 3], 1), ([1, 2, 3], 2), ([1, 2, 1], 3)]
    assert cross_validation.share(grids[:1], seen) == 0.0
    assert len(asked) == 4
