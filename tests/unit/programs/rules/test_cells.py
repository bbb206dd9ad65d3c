"""Rules of cells, and tables of a feature's values."""

from __future__ import annotations

import numpy as np

from solver.programs.rules import cells
from solver.programs.task_search import share
from solver.types import same
from tests.support.made_tasks import always, made, recolour_tall


def test_a_rule_of_cells_generalises_where_the_truth_is_one():
    task, _ = made(recolour_tall)
    described = cells.describe([p.input for p in task.demonstrations] + list(task.tests), ())
    outputs = [p.output for p in task.demonstrations]

    def fit(order, others):
        return (rule.grids[-1] for rule in cells.rules([described[k] for k in order], others, always, 3))

    assert share(outputs, fit, always) == 1.0


def test_a_table_says_what_each_value_becomes():
    """Three lengths in three colours: one table, not a test for each."""
    grids = [np.kron(np.eye(5, dtype=np.uint8)[:, :1], np.zeros((1, 9), np.uint8)) for _ in range(3)]
    for n, lengths in enumerate(((1, 2, 3), (3, 1, 2), (2, 3, 1))):
        for row, length in enumerate(lengths):
            grids[n][2 * row, n : n + length] = 5
    lengths = [(g != 0).sum(1, keepdims=True) for g in grids]
    outputs = [
        np.where(g != 0, np.array([0, 2, 7, 4])[n], 0).astype(np.uint8) for g, n in zip(grids, lengths, strict=True)
    ]
    [first, *_] = cells.rules(cells.describe(grids, ()), outputs[:2], always, 3)
    assert "→" in first.text
    assert same(first.grids[2], outputs[2])
