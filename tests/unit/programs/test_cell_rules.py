"""Rules of cells over states: they find what neither a feature nor a state tells alone, and keep to their seconds."""

import numpy as np
import pytest

from solver.clock import Deadline
from solver.programs import cell_rules
from solver.programs.cell_rules import OverStates, looks
from solver.programs.lists.roles import with_background
from solver.programs.lists.task_search import Seen
from solver.programs.values import inputs
from solver.types import Grid, Pair, Task

NUMBER, SIDE = 4, 8


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
    return [p.grids for p in OverStates(own, states, Deadline.after(20)).proposals()]


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
    assert [f.kind for f in looks([state, label], 0)] == ["colour", "number"]
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
    found = OverStates(own, states_of(own.task, (mask, False)), Deadline.after(20)).proposals()
    assert np.array_equal(found[0].grids[0], answer)


def test_nothing_without_seconds_or_states() -> None:
    task, _ = task_of(lambda grid, _: grid, noise(1))
    own = with_background(task)
    assert OverStates(own, states_of(task), Deadline.after(0.0)).proposals() == []
    assert OverStates(own, [], Deadline.after(5.0)).proposals() == []


def test_turns_begin_with_what_is_cheapest() -> None:
    assert cell_rules.TURNS[0] == (0, 0)
    assert len(set(cell_rules.TURNS)) == len(cell_rules.TURNS)
