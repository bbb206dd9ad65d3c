"""The program in a reply: where it ends, and what is left of one that was cut off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.induction.replies import is_whole, program_in, trimmed

FIRST, BETTER = "def transform(g): pass\n", "def transform(g): return g\n"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (f"so:\n```python\n{BETTER}```\nDone.", BETTER),
        ("```\ndef main(g):\n    return g\n```", "def main(g):\n    return g\n"),
        (f"```python\n{FIRST}```\nBetter:\n```python\n{BETTER}```", FIRST),
        (f"```python\nx = 1\n```\nNow:\n```python\n{BETTER}```", BETTER),
        (f"```python\n{BETTER}```\nRun it:\n```\npython x.py\n```", BETTER),
        (f"```python\ndef transform(g):\n    # Rule:\n```python\n{BETTER}```", BETTER),  # the fence it was given, again
        (f"```python\n{BETTER}```This is\nall. ```", BETTER),
        ("```python\ndef transform(g): return (\n```", "def transform(g): return (\n"),  # whole, if wrong
        ("```python\ndef transform(g):\n    return g", "def transform(g):\n    return g"),
        (BETTER, BETTER),
        (f"Sure!\n\nimport re\n{BETTER}\nThis returns g.", f"import re\n{BETTER}\n"),
        (
            f"```python\ndef transform(\n    g,\n):\n    # no\n\n    return g\n```\n```python\n{BETTER}```",
            "def transform(\n    g,\n):\n    # no\n\n    return g\n",
        ),
        ("```python\ndef transform(g):\n\n    # no\n    # body\n```", None),
        ("```python\ndef transform(g):\n" + "    # no\n" * 10_000 + "```", None),
        ("```python\nprint(1)\n```", None),
        ("The function\n def transform( is hard.", None),
        ("", None),
        ("```" * 100_000, None),
        ("```\n" * 100_000, None),
    ],
)
def test_the_program_is_the_first_block_that_defines_the_function(text, program):
    assert program_in(text) == program


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (f"```python\n{BETTER}```", True),
        (f"```python\n{BETTER}```\nIn words:", True),
        (f"```python\n{BETTER}``", False),
        ("```python\nimport numpy as np\n```\n", False),
        (f"```python\ndef transform(g):\n    # Rule:\n```python\n{BETTER}", False),
        ("```python\ndef transform(g):\n    # Rule:\n```", False),  # it may begin anew
        (BETTER, False),
    ],
)
def test_a_reply_is_whole_where_the_block_that_defines_the_function_is_closed(text, whole):
    assert is_whole(text) == whole


@pytest.mark.parametrize(
    ("cut", "lines"),
    [
        ("def transform(g):\n    if g.size:\n        return g\n    for i in ran", 3),
        ("def transform(g):\n    return g\n    s = '''abc\n def\n", 2),
        ("def transform(g):\n    return g\nx = [1,\n     2,\n     3", 2),
        ("def transform(g):\n    return g\n\ndef more(a):\n", 3),
        ("def transform(g):\n    return g\n\0", 2),
        ("def transform(g):\n    x = '\\d'\n    return g\n", 3),
        ("def transform(g):\n    x = [1,\n", 0),
        ("def transform(g):\n    g[0] = 1\n    return\n", 0),
        ("def transform(g):\n    try:\n        return g\n", 0),
        ("import numpy as np\n\ndef transf", 0),
        (f"def transform(g):\n    return {'(' * 5000}", 0),
        (f"def transform(g):\n    return {'-' * 50_000}1", 0),
        (f"def transform(g):\n    return g{'.b' * 40_000}", 0),
    ],
)
def test_of_what_was_cut_off_the_lines_that_do_not_compile_are_dropped(cut, lines):
    left = trimmed(cut)
    assert left == ("".join(cut.splitlines(keepends=True)[:lines]) or None)


PROGRAM = """from common import *

def transform(grid: np.ndarray) -> np.ndarray:
    # Rule: the largest object.
    objects = [
        obj
        for obj in find_connected_components(grid)
    ]
    if not objects:
        return grid
    return max(objects, key=lambda o: (o > 0).sum())
"""


@given(st.integers(0, len(PROGRAM)))
def test_wherever_a_program_is_cut_off_lines_at_its_end_are_all_that_is_missing(end):
    left = program_in(f"```python\n{PROGRAM[:end]}")
    if left is None:
        assert "return grid" not in PROGRAM[:end]
    else:
        assert PROGRAM.startswith(left)
        assert len(left) >= PROGRAM[:end].rfind("\n", 0, -1)
