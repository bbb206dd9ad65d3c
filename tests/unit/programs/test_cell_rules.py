"""Rules of cells over states: they find what neither a feature nor a state tells alone, and keep to their seconds."""

import time

import numpy as np
import pytest

from solver.clock import Deadline
from solver.programs import cell_rules
from solver.programs.cell_rules import CellRules, state_features
from solver.programs.lists.roles import with_background
from solver.programs.lists.task_search import Seen
from solver.programs.task_search import IDLE
from solver.programs.values import inputs
from solver.types import Grid, Pair, Task

NUMBER, SIDE = 4, 8
ALL = 10**6  # nodes for every attempt


def noise(seed: int) -> list[Grid]:
    """Grids of 0 and 1, for each demonstration and the test."""
    draws = np.random.default_rng(seed)
    return [draws.integers(0, 2, (SIDE, SIDE)).astype(np.uint8) for _ in range(NUMBER)]


def task_of(rule, shown: list[Grid]) -> tuple[Task, Grid]:
    """A task of these inputs under a rule of the input and its number, and its answer."""
    outputs = [rule(grid, n) for n, grid in enumerate(shown)]
    pairs = tuple(Pair(g, o) for g, o in zip(shown[:-1], outputs[:-1], strict=True))
    return Task("12345678", pairs, (shown[-1],)), outputs[-1]


def states_of(task: Task, *more: tuple[list[Grid], bool]) -> list[Seen]:
    """The inputs, then states that show `more`: grids, and whether they are labels."""
    states = [Seen(tuple(inputs(task)), "input", 0.0, False)]
    return states + [Seen(tuple(grids), f"state {n}", 1.0, label) for n, (grids, label) in enumerate(more)]


def answers(task: Task, *more: tuple[list[Grid], bool]) -> list[tuple[Grid, ...]]:
    own = with_background(task)
    states = states_of(own.task, *more)
    return [p.grids for p in CellRules(own, states, Deadline.after(20)).proposals(ALL)]


@pytest.mark.parametrize("label", [False, True])
def test_a_question_about_a_state_and_one_about_the_cell(label: bool) -> None:
    """Cells of the rim that a state marks become 7: no table of states knows the rim, no feature knows the mark."""
    mask = noise(2)
    rim = np.ones((SIDE, SIDE), bool)
    rim[1:-1, 1:-1] = False
    task, answer = task_of(lambda grid, n: np.where(rim & (mask[n] == 1), 7, grid).astype(np.uint8), noise(1))
    assert not answers(task)
    first, *_ = answers(task, (mask, label))
    assert np.array_equal(first[0], answer)


def test_what_a_label_shows_is_never_painted() -> None:
    mask = noise(2)
    state, label = (Seen(tuple(mask), "s", 1.0, kind) for kind in (False, True))
    assert [f.kind for f in state_features([state, label], 0)] == ["colour", "number"]
    task, answer = task_of(lambda _, n: mask[n], noise(1))
    assert np.array_equal(answers(task, (mask, False))[0][0], answer)


def test_a_state_like_the_outputs_is_described_too() -> None:
    """A cell with four neighbours in a state loses its colour there: a feature of the state, not of the input."""

    def hollow(grid: Grid) -> Grid:
        wide = np.pad(grid, 1)
        inside = (wide[:-2, 1:-1] > 0) & (wide[2:, 1:-1] > 0) & (wide[1:-1, :-2] > 0) & (wide[1:-1, 2:] > 0)
        return np.where(inside, 0, grid).astype(np.uint8)

    shown, draws = noise(1), np.random.default_rng(3)
    state = [(draws.random((SIDE, SIDE)) < 0.8).astype(np.uint8) * 4 for _ in range(NUMBER)]
    task, answer = task_of(lambda _, n: hollow(state[n]), shown)
    assert any(np.array_equal(grids[0], answer) for grids in answers(task, (state, False)))


def test_answers_are_in_the_colours_of_the_task() -> None:
    """The background is 8; inside the search it is 0."""
    mask = noise(2)
    draws = np.random.default_rng(4)
    shown = [np.where(draws.random((SIDE, SIDE)) < 0.7, 8, 1).astype(np.uint8) for _ in range(NUMBER)]
    task, answer = task_of(lambda grid, n: np.where(mask[n] == 1, 8, grid).astype(np.uint8), shown)
    own = with_background(task)
    assert {int(c) for g in inputs(own.task) for c in np.unique(g)} == {0, 1}
    found = CellRules(own, states_of(own.task, (mask, False)), Deadline.after(20)).proposals(ALL)
    assert np.array_equal(found[0].grids[0], answer)


def test_nothing_without_seconds_or_states() -> None:
    task, _ = task_of(lambda grid, _: grid, noise(1))
    own = with_background(task)
    assert CellRules(own, states_of(task), Deadline.after(0.0)).proposals(ALL) == []
    assert CellRules(own, [], Deadline.after(5.0)).proposals(ALL) == []


def test_many_large_states_end_at_the_deadline() -> None:
    draws = np.random.default_rng(8)
    grids = [draws.integers(0, 10, (30, 30)).astype(np.uint8) for _ in range(6)]
    pairs = tuple(Pair(g, draws.integers(0, 10, (30, 30)).astype(np.uint8)) for g in grids[:-1])
    own = with_background(Task("noise", pairs, (grids[-1],)))
    states = states_of(own.task)
    for n in range(1_500):
        shown = tuple(draws.integers(0, 10, (30, 30)).astype(np.uint8) for _ in range(6))
        states.append(Seen(shown, f"state {n}", 1.0, n % 2 == 0))
    start = time.process_time()
    CellRules(own, states, Deadline.after(1.0)).proposals(ALL)
    assert time.process_time() - start < 3.0


def test_fewer_nodes_are_fewer_attempts() -> None:
    """A rule that wants a state is not tried where the nodes are for one attempt, whatever seconds there are."""
    mask = noise(2)
    task, answer = task_of(lambda _, n: mask[n], noise(1))
    own = with_background(task)
    states = states_of(own.task, (mask, False))
    assert CellRules(own, states, Deadline.after(20)).proposals(0) == []
    one, other = (CellRules(own, states, Deadline.after(20)).proposals(cell_rules.NODES) for _ in range(2))
    assert np.array_equal(one[0].grids[0], answer)
    assert [(p.program, p.cost, p.generalises) for p in one] == [(p.program, p.cost, p.generalises) for p in other]


def test_an_answer_that_leaves_the_test_as_it_is_costs_more() -> None:
    mask = noise(2)
    mask[-1][:] = 0
    task, _ = task_of(lambda grid, n: np.where(mask[n] == 1, 5, grid).astype(np.uint8), noise(1))
    own = with_background(task)
    idle = CellRules(own, states_of(own.task, (mask, False)), Deadline.after(20)).proposals(ALL)
    same_again = [p for p in idle if np.array_equal(p.grids[0], task.tests[0])]
    assert same_again
    assert all(p.cost > IDLE for p in same_again)


def test_outputs_of_another_size_are_told_by_facts_of_the_whole_input() -> None:
    """The output is a square of three, 4 everywhere where the input has a colour 1, else 6."""
    draws = np.random.default_rng(9)
    palettes = [[0, 0, 0, 2, 2, 2, 2, *(c for c in (1, 3, 5) if draws.random() < 0.5)] for _ in range(12)]
    shown = [draws.choice(np.array(palette, np.uint8), (5, 6)) for palette in palettes]
    outputs = [np.full((3, 3), 4 if (g == 1).any() else 6, np.uint8) for g in shown]
    pairs = tuple(Pair(g, o) for g, o in zip(shown[:-1], outputs[:-1], strict=True))
    own = with_background(Task("whole", pairs, (shown[-1],)))
    base = Seen(tuple(draws.integers(0, 3, (3, 3)).astype(np.uint8) for _ in shown), "base", 1.0, False)
    found = CellRules(own, [base], Deadline.after(20)).proposals(ALL)
    told = [p.program for p in found if np.array_equal(p.grids[0], outputs[-1])]
    assert any("whole_has_1" in program for program in told), [p.program for p in found]
