"""How a program misses, and what it is told of that."""

from __future__ import annotations

import numpy as np

from solver.induction.forms import Question
from solver.induction.repair import CELLS, OTHER, REQUEST, difference, near_miss, repair_question
from solver.induction.sandbox.sandbox import Outcome
from solver.types import Pair, Task

ONE, FOUR = np.ones((2, 2), np.uint8), np.full((2, 2), 4, np.uint8)
TASK = Task("task", (Pair(ONE, FOUR), Pair(FOUR, ONE), Pair(ONE, ONE)), (ONE,))
PROGRAM = "def transform(grid): return grid\n"


def miss(*grids, reason=""):
    return near_miss(TASK, PROGRAM, 2, [Outcome(grid, reason) for grid in (*grids, ONE)])


def test_a_program_that_reproduces_every_demonstration_is_no_miss():
    assert miss(FOUR, ONE, ONE) is None


def test_a_miss_is_told_by_the_first_demonstration_it_fails_on():
    half = np.array([[1, 1], [4, 3]], np.uint8)
    near = miss(FOUR, half, ONE)
    assert (near.right, near.wrong, near.replies, near.example, near.reason) == (2, 0.5, 2, 2, OTHER)
    assert near.complaint == "2 of 4 cells are wrong: [1, 0] is 4, not 1; [1, 1] is 3, not 1."
    failed = miss(None, half, ONE, reason="ValueError: no")
    assert (failed.right, failed.wrong, failed.example, failed.reason) == (1, 1.0, 1, "ValueError: no")
    assert failed.complaint == "it fails: ValueError: no"


def test_the_nearest_misses_are_first():
    misses = [
        miss(FOUR, np.array([[1, 1], [1, 2]], np.uint8), ONE),
        miss(FOUR, FOUR, ONE),
        miss(ONE, FOUR, ONE),
    ]
    assert sorted([misses[2], misses[0], misses[1]], key=lambda one: one.rank) == misses


def test_what_is_wrong_is_told_in_a_line_however_much_it_is():
    assert difference(ONE, np.ones((2, 3), np.uint8)) == (
        "it returns an array of shape (2, 2); the output has shape (2, 3)."
    )
    told = difference(np.zeros((30, 30), np.uint8), np.ones((30, 30), np.uint8))
    assert told.startswith("900 of 900 cells are wrong: [0, 0] is 0, not 1; [0, 1] is 0, not 1; ")
    assert told.endswith(f"; and {900 - CELLS} more.")


def test_a_repair_goes_on_from_the_question_with_the_program_and_the_complaint():
    near = miss(FOUR, FOUR, ONE)
    asked = repair_question(Question("system", ("question",), "```python\n"), near, 3)
    assert (asked.system, asked.opening, asked.turns[0]) == ("system", "```python\n", "question")
    assert asked.turns[1] == f"```python\n{PROGRAM.strip()}\n```"
    assert asked.turns[2] == (
        f"It is right for 2 of 3 examples. For the input of example 2, {near.complaint}\n{REQUEST}"
    )


def test_what_fails_on_a_demonstration_that_was_not_shown_is_told_so():
    near = miss(FOUR, ONE, FOUR)
    for left_out, named in ((0, "example 3"), (1, "an example that was not shown")):
        complaint = repair_question(Question("system", ("question",)), near, 3, left_out).turns[2]
        assert complaint.startswith(f"It is right for 2 of 3 examples. For the input of {named}, 4 of 4 cells")
