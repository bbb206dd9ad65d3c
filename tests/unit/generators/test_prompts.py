"""What a model is asked in each of the two ways, and what is taken from its replies."""

from __future__ import annotations

import pytest

from solver.generators import prompts
from solver.generators.examples import ShownGenerator

SHOWN = (
    ShownGenerator("a", "A falls.", "def generate(rng, diff_lb, diff_ub):\n    return 1\n"),
    ShownGenerator("b", "B turns.", "def generate(rng, diff_lb, diff_ub):\n    return 2\n"),
)
FIRST, BETTER = "def generate(rng): pass\n", "import random\n\ndef generate(rng, a, b): return 1\n"


def test_the_joint_question_shows_descriptions_with_sources_and_asks_for_the_next():
    asked = prompts.joint_question(SHOWN)
    assert f"Puzzle 1\nDescription: A falls.\n```python\n{SHOWN[0].source}```\n" in asked
    assert "Write puzzle 3." in asked
    assert '{"input": gi, "output": go}' in asked
    assert "from rearc_utils.dsl import *\n" in asked


def test_the_two_steps_ask_for_a_description_then_for_its_generator_alone():
    first = prompts.description_question(SHOWN)
    assert "Puzzle 2\nDescription: B turns.\n" in first
    assert "Write the description of puzzle 3." in first
    assert "return 1" not in first
    second = prompts.generator_question(SHOWN, "C {grows}.")
    assert second.endswith("Puzzle 3\nDescription: C {grows}.")


def test_all_before_the_description_is_the_same_text():
    one, other = (prompts.generator_question(SHOWN, text) for text in ("C grows.", "D shrinks."))
    assert one.removesuffix("C grows.") == other.removesuffix("D shrinks.")


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("Description: Lines fall.\n```python\n", "Lines fall."),
        ("Sure!\n**Description:** Lines fall.\nMore.", "Lines fall."),
        ("### description : Lines\tfall.", "Lines fall."),
        ("The description is hard.", ""),
        ("Description:\n", ""),
        ("Description: \x1b[2J\u202e", "[2J"),
        ("*" * 100_000, ""),
        ("", ""),
    ],
)
def test_the_description_is_the_first_line_that_says_so(text, description):
    assert prompts.description_in(text) == description


@pytest.mark.parametrize(
    ("text", "description"),
    [
        (" Lines fall.\n", "Lines fall."),
        ("Sure:\nDescription: Lines fall.", "Lines fall."),
        ("Sure:\nLines fall.", ""),
        ("\n", ""),
    ],
)
def test_a_reply_that_is_a_description_alone_may_lack_its_beginning(text, description):
    assert prompts.description_alone(text) == description


def test_a_long_description_is_cut():
    assert len(prompts.description_in("Description: " + "x" * 5000)) == 300


def test_a_reply_is_whole_with_the_end_of_the_first_block_that_defines_the_function():
    whole = f"Description: so.\n```\nx\n```\n```python\n{BETTER}```"
    assert prompts.is_whole(whole)
    assert not any(prompts.is_whole(whole[:end]) for end in range(len(whole)))
    assert not prompts.is_whole("```" * 10_000)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (f"Description: so.\n```python\n{BETTER}```\nDone.", BETTER),
        (f"```python\n{FIRST}```\nBetter:\n```python\n{BETTER}```", FIRST),
        (f"```\nplan\n```\n```python\nimport random\n```python\n{BETTER}```", BETTER),  # begun anew
        (f"```python\n{BETTER}```\nRun it:\n```\npython x.py\n```", BETTER),
        ("```python\ndef generate(rng):\n    return 1", "def generate(rng):\n    return 1"),
        (BETTER, BETTER),
        ("```python\nprint(1)\n```", ""),
        ("The function\n def generate( is hard.", ""),
        ("", ""),
        ("```" * 100_000, ""),
        ("```\n" * 100_000, ""),
    ],
)
def test_the_generator_is_the_first_block_that_defines_the_function(text, source):
    assert prompts.generator_in(text) == source
