"""The enumeration of states: each outcome once, cheapest first, within its nodes."""

from __future__ import annotations

import numpy as np
import pytest

from solver.clock import Deadline, now
from solver.programs import bench, search
from solver.programs.primitives import registry
from solver.programs.search import Enumeration
from solver.programs.values import mark
from solver.types import Pair, Task, key
from tests.support.made_tasks import made, recolour_tall


def test_equal_outcomes_are_extended_once():
    """On a grid that no flip changes, flips lead to no new state."""
    grid = np.full((2, 2), 3, np.uint8)
    enumeration = Enumeration(Task("flat", (Pair(grid, grid),), (grid,)), Deadline.after(30), 400)
    states = list(enumeration.run(400))
    marks = [tuple(key(g) for g in s.grids) for s in states]
    assert len(set(marks)) == len(marks)
    assert not any(s.step.startswith(("flip", "rotate", "transpose")) for s in states)


def test_a_search_that_is_cut_short_has_looked_at_all_it_reached():
    class Once:
        """Has time left until it was asked so often."""

        def __init__(self, asked: int) -> None:
            self.left = asked

        def remaining(self) -> float:
            self.left -= 1
            return float(max(self.left, 0))

    task, _ = made(recolour_tall)
    enumeration = Enumeration(task, Once(2), 10**4)
    assert len(list(enumeration.run(10**4))) == len(enumeration.states) > 10


def test_a_search_that_goes_on_yields_no_state_twice():
    task, _ = made(recolour_tall)
    enumeration = Enumeration(task, Deadline.after(30), 10**4)
    runs = [[mark(s.grids) for s in enumeration.run(400)] for _ in range(3)]
    assert all(runs)
    assert len({m for run in runs for m in run}) == sum(map(len, runs))


@pytest.mark.parametrize("nodes", [0, 1, 77, 1000])
def test_no_more_primitives_are_used_than_there_are_nodes(nodes, monkeypatch):
    used = []
    real = search.outcome
    monkeypatch.setattr(search, "outcome", lambda run, grids: used.append(1) or real(run, grids))
    task, _ = made(recolour_tall)
    enumeration = Enumeration(task, Deadline.after(30), nodes)
    assert [*enumeration.run(400), *enumeration.run(10**6)]
    assert len(used) <= enumeration.spent == nodes
    assert enumeration.over


def test_extensions_are_tried_cheapest_first_whatever_the_order_of_registration(monkeypatch):
    task, _ = made(recolour_tall)
    before = search.operators(task)
    for name in ("UNARY", "SPLITS", "JOINS"):
        monkeypatch.setattr(registry, name, dict(reversed(getattr(registry, name).items())))
    after = search.operators(task)
    for kind in ("unary", "splits", "joins"):
        assert [p.name for p in getattr(after, kind)] == [p.name for p in getattr(before, kind)]
    costs = [p.cost for p in before.unary]
    assert costs == sorted(costs)


@pytest.mark.slow
def test_the_search_reaches_what_running_every_program_reaches(monkeypatch):
    """All programs of two steps of every eighth primitive, against the states of the search itself."""
    task, _ = made(lambda g: g[::-1].copy(), number=2, rows=3, columns=3)
    chosen = search.operators(task).unary[::8]
    monkeypatch.setattr(search, "operators", lambda _: search.Operators(chosen, (), ()))
    states = Enumeration(task, Deadline.after(60), 60_000).run(60_000)
    programs = [[one.run, two.run] for one in chosen for two in chosen]
    _, reached = bench.naive(task, programs, Deadline.after(60), now)
    assert len(reached) > 20
    assert reached <= {mark(s.grids) for s in states}
