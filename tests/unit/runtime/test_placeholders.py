"""Placeholders are valid, different, quickly made, and guessed from what the demonstrations show."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.data.tasks import TaskSet, load_challenges, load_split
from solver.runtime.placeholders import output_shape, placeholders, placeholders_for, proven
from solver.runtime.submission_file import validate
from solver.types import Grid, Pair, Program, Task, same


def grid(rows: Sequence[Sequence[int]]) -> Grid:
    return np.array(rows, dtype=np.uint8)


def full(rows: int, columns: int, colour: int = 0) -> Grid:
    return np.full((rows, columns), colour, dtype=np.uint8)


def demonstrations(*shapes: tuple[tuple[int, int], tuple[int, int]]) -> list[Pair]:
    return [Pair(full(*before), full(*after)) for before, after in shapes]


GRIDS = st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32)).map(
    lambda drawn: np.random.default_rng(drawn[2]).integers(0, 10, drawn[:2], dtype=np.uint8)
)
PAIRS = st.builds(Pair, GRIDS, GRIDS)


@settings(deadline=None)
@given(st.lists(st.none() | GRIDS, max_size=3), st.lists(PAIRS, max_size=4))
def test_placeholders_are_two_different_valid_grids_for_each_test_input(
    inputs: list[Grid | None], pairs: list[Pair]
) -> None:
    made = placeholders(inputs, pairs)
    submission = {"a": [{"attempt_1": one.tolist(), "attempt_2": two.tolist()} for one, two in made]}
    assert validate(submission, {"a": len(inputs)}) == []
    assert not any(same(one, two) for one, two in made)


@settings(deadline=None)
@given(GRIDS, st.lists(PAIRS, max_size=3))
def test_placeholders_are_the_same_every_time(test: Grid, pairs: list[Pair]) -> None:
    assert all(same(a, b) for a, b in zip(placeholders([test], pairs)[0], placeholders([test], pairs)[0], strict=True))


@pytest.mark.parametrize(
    ("shapes", "test", "expected"),
    [
        ([((3, 4), (3, 4)), ((5, 5), (5, 5))], (7, 8), (7, 8)),
        ([((3, 3), (3, 3)), ((3, 3), (3, 3))], (9, 2), (9, 2)),
        ([((3, 4), (1, 2)), ((5, 5), (1, 2))], (7, 8), (1, 2)),
        ([((3, 4), (9, 12)), ((5, 5), (15, 15))], (7, 8), (21, 24)),
        ([((4, 4), (2, 6)), ((6, 2), (3, 3))], (8, 8), (4, 12)),
        ([((3, 4), (1, 4)), ((5, 6), (1, 6))], (7, 8), (1, 8)),
        ([((3, 4), (6, 8)), ((5, 5), (7, 7))], (7, 8), (7, 8)),
        ([((2, 2), (20, 20)), ((1, 1), (10, 10))], (4, 4), (4, 4)),
        ([((4, 4), (2, 2)), ((6, 6), (3, 3))], (7, 7), (7, 7)),
        ([], (7, 8), (7, 8)),
    ],
    ids=[
        "kept",
        "kept before constant",
        "constant",
        "scaled",
        "rational",
        "each side alone",
        "no rule",
        "too large",
        "no whole number",
        "nothing shown",
    ],
)
def test_the_output_shape_is_guessed_from_the_demonstrations(
    shapes: list[tuple[tuple[int, int], tuple[int, int]]], test: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert output_shape(full(*test), demonstrations(*shapes)) == expected


def test_where_the_shape_is_kept_the_placeholders_are_the_input_recoloured_and_as_it_is() -> None:
    shown = [Pair(grid([[1, 1, 0]]), grid([[2, 2, 0]])), Pair(grid([[1, 3, 0]]), grid([[2, 3, 0]]))]
    first, second = placeholders([grid([[0, 1], [3, 8]])], shown)[0]
    assert first.tolist() == [[0, 2], [3, 8]]
    assert second.tolist() == [[0, 1], [3, 8]]


def test_where_nothing_is_recoloured_the_second_placeholder_has_the_commonest_output_colour() -> None:
    shown = [Pair(grid([[7, 7, 0]]), grid([[7, 7, 0]]))]
    first, second = placeholders([grid([[0, 1]])], shown)[0]
    assert (first.tolist(), second.tolist()) == ([[0, 1]], [[7, 7]])


def test_an_enlarged_output_is_first_tiled() -> None:
    first, second = placeholders([grid([[1, 2]])], demonstrations(((1, 1), (2, 2)), ((2, 2), (4, 4))))[0]
    assert (first.tolist(), second.tolist()) == ([[1, 2, 1, 2], [1, 2, 1, 2]], [[0] * 4] * 2)


def test_an_unreadable_test_input_has_three_by_three_placeholders() -> None:
    assert [g.tolist() for g in placeholders([None])[0]] == [[[0] * 3] * 3, [[1] * 3] * 3]


def test_malformed_tasks_have_placeholders_of_the_right_count_in_the_input_s_shape(tmp_path: Path) -> None:
    path = tmp_path / "challenges.json"
    path.write_text(json.dumps({"a": {"train": [], "test": [{"input": [[1, 2]]}, {"input": 0}]}, "b": None}))
    made = placeholders_for(load_challenges(path))
    assert {task_id: [one.shape for one, _ in answers] for task_id, answers in made.items()} == {
        "a": [(1, 2), (3, 3)],
        "b": [(3, 3)],
    }


@pytest.fixture(scope="module")
def evaluation() -> TaskSet:
    return load_split("arc1-evaluation")


def test_placeholders_that_reproduce_every_demonstration_are_told_with_how_they_generalise() -> None:
    pairs = (
        Pair(grid([[1, 1, 2]]), grid([[3, 3, 2]])),
        Pair(grid([[1, 2]]), grid([[3, 2]])),
        Pair(grid([[4, 1]]), grid([[5, 3]])),  # what 4 becomes, no other one tells
    )
    [[candidate]] = proven(Task("t", pairs, (grid([[4, 1, 2]]),)))
    assert candidate.grid.tolist() == [[5, 3, 2]]
    assert candidate.program == Program("placeholder: recoloured", 1.0, pytest.approx(2 / 3))


def test_a_placeholder_that_one_demonstration_contradicts_is_not_told() -> None:
    pairs = (Pair(grid([[1]]), grid([[2]])), Pair(grid([[1]]), grid([[3]])))
    assert proven(Task("t", pairs, (grid([[1]]),))) == ((),)


def test_a_placeholder_that_reproduces_only_what_it_was_told_is_not_told() -> None:
    pairs = (Pair(grid([[1]]), grid([[2]])), Pair(grid([[3]]), grid([[4]])))
    assert proven(Task("t", pairs, (grid([[1]]),))) == ((),)


def test_placeholders_for_four_hundred_tasks_are_ready_in_seconds(evaluation: TaskSet) -> None:
    begin = time.process_time()
    made = placeholders_for(evaluation)
    assert time.process_time() - begin < 5
    assert {task_id: len(answers) for task_id, answers in made.items()} == evaluation.tests
