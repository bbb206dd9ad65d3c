"""One task's search: what its proposals say of how they generalise."""

from __future__ import annotations

import numpy as np
import pytest

from solver.clock import Deadline
from solver.programs.solve import search_programs
from solver.programs.task_search import share
from solver.types import Pair, Task, same
from tests.support.made_tasks import always, made


def test_a_colour_map_that_one_demonstration_alone_shows_does_not_generalise_to_it():
    inputs = [np.array([[c, 1, 0, 0]], np.uint8) for c in (2, 2, 3)]
    changed = np.array([0, 5, 6, 7, 4, 5, 6, 7, 8, 9], np.uint8)
    task = Task("map", tuple(Pair(g, changed[g]) for g in inputs), (inputs[2],))
    found = {p.program: p for p in search_programs(task, Deadline.after(30), 300)}
    assert found["colours(1→5, 2→6, 3→7)"].generalises == pytest.approx(2 / 3)


def test_a_program_without_anything_learned_generalises_by_itself():
    task, right = made(lambda g: g[::-1].copy(), number=1)
    [first, *_] = search_programs(task, Deadline.after(30), 300)
    assert same(first.grids[0], right[0])
    assert first.generalises == 1.0


def test_what_is_counted_as_right_was_fitted_without_it():
    grids = [np.full((1, 1), c, np.uint8) for c in (1, 2, 1, 3)]
    asked = []

    def seen(order, others):
        asked.append(([int(g[0, 0]) for g in others], order[-1]))
        return iter(others)

    assert share(grids, seen, always) == 0.5  # the two that are equal
    assert asked == [([2, 1, 3], 0), ([1, 1, 3], 1), ([1, 2, 3], 2), ([1, 2, 1], 3)]
    assert share(grids[:1], seen, always) == 0.0
    assert len(asked) == 4


def test_a_demonstration_that_was_cut_off_does_not_count():
    """The second of three has no seconds left: what was tried until then says how the rule fares."""
    grids, left = [np.full((1, 1), 1, np.uint8)] * 3, [True, False]

    def seen(order, others):
        return iter(others[:1] if len(left) == 2 and left.pop(0) else [])

    assert share(grids, seen, lambda: len(left) == 2) == 1.0
    assert share(grids, lambda order, others: iter([]), lambda: False) == 0.0
