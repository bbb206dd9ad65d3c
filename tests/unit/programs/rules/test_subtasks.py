"""Subtasks: found where nothing else changes, and put back."""

from __future__ import annotations

import numpy as np

from solver.programs.rules import subtasks
from solver.types import Grid, Pair, Task, same
from tests.support.made_tasks import grid


def framed(*colours: int) -> Grid:
    """Rectangles in these colours between lines of 5."""
    line = [np.full((2, 2), c, np.uint8) for c in colours]
    parts = [np.full((2, 1), 5, np.uint8)] * len(line)
    one = np.hstack([part for pair in zip(line, parts, strict=True) for part in pair][:-1])
    return np.vstack([one, np.full((1, one.shape[1]), 5, np.uint8), np.zeros_like(one) + (one == 5) * np.uint8(5)])


def test_a_lattice_of_plain_rectangles_is_a_smaller_task():
    pairs = (Pair(framed(1, 0, 0), framed(1, 1, 0)), Pair(framed(0, 2, 0), framed(0, 2, 2)))
    task = Task("lattice", pairs, (framed(3, 0, 0),))
    [subtask] = [subtask for subtask in subtasks.subtasks(task) if subtask.name == "lattice"]
    assert subtask.task.demonstrations[0].input.tolist() == [[1, 0, 0], [0, 0, 0]]
    assert same(subtask.restore([np.array([[3, 3, 0], [0, 0, 0]], np.uint8)])[0], framed(3, 3, 0))


def test_what_happens_to_each_thing_by_itself_is_a_smaller_task():
    task = Task(
        "each", (Pair(grid("12....", "......", "...34."), grid("21....", "......", "...43.")),), (grid("..56.."),)
    )
    [subtask] = [subtask for subtask in subtasks.subtasks(task) if subtask.name == "each thing"]
    assert [p.input.tolist() for p in subtask.task.demonstrations] == [[[1, 2]], [[3, 4]]]
    assert same(subtask.restore([grid("65")])[0], grid("..65.."))


def test_where_something_else_changes_there_is_no_smaller_task():
    pairs = (Pair(grid("1..", "...", "..2"), grid("1.3", "...", "..2")),)
    assert not [
        subtask for subtask in subtasks.subtasks(Task("no", pairs, (grid("1.."),))) if subtask.name == "each thing"
    ]
