"""How a model is asked: which form suits it, what each form shows, and what is left out where a context is short."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

import numpy as np
import pytest

from solver.config.settings import InductionSettings
from solver.induction import barc_form, forms, library, plain_form
from solver.induction.forms import FORMS, LEAST_REPLY, form_of, questions
from solver.induction.sandbox.sandbox import Sandbox
from solver.types import Pair, Task, same


def grid(*rows: str):
    return np.array([[int(cell) for cell in row] for row in rows], dtype=np.uint8)


TWO = Task(
    "two",
    (Pair(grid("12", "34"), grid("24", "13")), Pair(grid("567"), grid("7", "6", "5"))),
    (grid("89"), grid("01", "23")),
)


# ---- which form


@pytest.mark.parametrize(
    ("folder", "name_or_path", "form"),
    [
        ("barc", "", "barc"),
        ("BARC-8B", "", "barc"),
        ("Llama-3.1-ARC-Potpourri-Induction-8B", "", "barc"),
        ("models--barc0--Llama-3.1-ARC-Heavy-Induction-8B/snapshots/0a1b2c", "", "barc"),
        ("1", "barc0/Llama-3.1-ARC-Potpourri-Induction-8B", "barc"),
        ("Qwen2.5-Coder-0.5B-Instruct", "Qwen/Qwen2.5-Coder-0.5B-Instruct", "plain"),
        ("barcelona-coder", "", "plain"),
        ("Llama-3.1-ARC-Transduction-8B", "", "plain"),
    ],
)
def test_a_model_is_asked_in_barc_s_form_if_its_names_say_barc_and_plainly_otherwise(
    folder, name_or_path, form, tmp_path
):
    model = tmp_path / folder
    model.mkdir(parents=True)
    (model / "config.json").write_text(f'{{"_name_or_path": "{name_or_path}"}}' if name_or_path else "{}")
    assert form_of(InductionSettings(model=str(model))).name == form
    for asked in ("barc", "plain"):
        assert form_of(InductionSettings(model=str(model), form=asked)).name == asked


def test_a_model_whose_configuration_cannot_be_read_goes_by_its_folder(tmp_path):
    assert form_of(InductionSettings(model=str(tmp_path / "none"))).name == "plain"
    (tmp_path / "config.json").write_text("[1")
    assert form_of(InductionSettings(model=str(tmp_path))).name == "plain"


# ---- BARC's


def test_barc_s_form_shows_every_demonstration_and_one_test_input_in_colour_words():
    asked = barc_form.text(TWO, 1)
    assert "Example 1\nInput:\nBlue Red\nGreen Yellow\n\nOutput:\nRed Yellow\nBlue Green\n\n\nExample 2\n" in asked
    assert "Here is the input grid for the test example:\nInput:\nBlack Blue\nRed Green\n\nWrite a Python" in asked
    assert "Purple Brown" not in asked
    assert "Python" in barc_form.SYSTEM
    assert FORMS["barc"].question(TWO, 1) == forms.Question(barc_form.SYSTEM, (asked,))  # its models begin themselves


def test_barc_s_form_never_shows_more_than_the_task_holds():
    """Every colour word of the question is one of the task's cells."""
    cells = sum(g.size for p in TWO.demonstrations for g in (p.input, p.output)) + TWO.tests[0].size
    words = barc_form.text(TWO, 0).replace("\n", " ").split(" ")
    assert sum(word in barc_form.WORDS for word in words) == cells


# ---- the plain one


def test_the_plain_form_states_the_function_shows_arrays_names_the_library_and_solves_a_puzzle_first():
    asked = plain_form.text(TWO, 1)
    assert "def transform(grid: np.ndarray) -> np.ndarray" in asked
    assert "from common import *" in asked
    assert "Example 1, input of shape (2, 2):\nnp.array([[1,2],\n[3,4]])\n" in asked
    assert "Example 2, output of shape (3, 1):\nnp.array([[7],\n[6],\n[5]])\n" in asked
    assert "Test input of shape (2, 2):\nnp.array([[0,1],\n[2,3]])\n" in asked
    assert "[[8,9]]" not in asked
    assert asked.index(plain_form.PROGRAM) < asked.index("[[1,2],")
    assert FORMS["plain"].question(TWO, 1).opening == plain_form.OPENING


def test_questions_on_a_task_differ_in_the_test_input_alone_which_comes_last():
    for form in FORMS.values():
        first, second = (form.question(TWO, test).turns[0] for test in range(2))
        alike = next(n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
        last = "Orange\nPink\nGray\n" if form.name == "barc" else "[7],\n[6],\n[5]"
        assert last in first[:alike]
        assert len(first) - alike < 300


def test_the_solved_puzzle_is_solved_by_its_program_and_the_reply_begins_as_that_does():
    solved = plain_form.SOLVED
    with Sandbox(unsafe=True) as sandbox:
        outcomes = sandbox.run(plain_form.PROGRAM, [*(pair.input for pair in solved.demonstrations), *solved.tests])
    wanted = [*(pair.output for pair in solved.demonstrations), grid("66", "66")]
    for outcome, output in zip(outcomes, wanted, strict=True):
        assert outcome.grid is not None, outcome.reason
        assert same(outcome.grid, output)
    assert f"```python\n{plain_form.PROGRAM}".startswith(plain_form.OPENING)


@pytest.mark.parametrize("line", plain_form.HELPERS.splitlines())
def test_every_helper_the_plain_form_names_takes_the_arguments_it_names(line):
    name, arguments = re.fullmatch(r"(\w+)\((.*)\): .*", line).groups()
    named = [argument.partition("=")[0] for argument in re.split(r", (?=[a-z])", arguments)]
    function = getattr(library, name)
    if name == "draw_line":
        function = library.Stroke
        named.remove("grid")
    known = inspect.signature(function).parameters
    assert set(named) <= set(known)
    for argument in re.findall(r"(\w+)=(\w+)", arguments):
        if name != "draw_line":
            assert str(known[argument[0]].default) == argument[1]


# ---- what fits


@dataclass
class Context:
    """A model of so many characters."""

    size: int

    def room(self, question):
        return self.size - len(question.turns[0])


def test_the_largest_demonstrations_are_left_out_until_there_is_room_for_a_reply():
    form = FORMS["plain"]
    large = Pair(np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8))
    task = Task("task", (TWO.demonstrations[0], large, TWO.demonstrations[1]), TWO.tests)
    whole = max(len(form.text(task, test)) for test in range(2))
    assert questions(task, form, Context(whole + LEAST_REPLY)) == ([form.question(task, 0), form.question(task, 1)], [])
    assert questions(task, form, Context(whole + LEAST_REPLY - 1)) == (
        [form.question(TWO, n) for n in range(2)],
        [large],
    )
    asked, left_out = questions(task, form, Context(LEAST_REPLY))
    assert (asked, len(left_out)) == ([], 3)
