"""Programs from a writer: asked for in BARC's form, found in replies, run, and kept where they fit everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from solver.clock import Deadline
from solver.config.settings import InductionSettings
from solver.induction import induce as induction
from solver.induction import prompts
from solver.induction.induce import sandbox_of
from solver.induction.sandbox.sandbox import Limits, Outcome, Sandbox
from solver.types import BadInput, Pair, Task
from tests.support.hostile import PROGRAMS


def grid(*rows: str):
    return np.array([[int(cell) for cell in row] for row in rows], dtype=np.uint8)


TURN = Task("turn", (Pair(grid("12", "34"), grid("24", "13")), Pair(grid("567"), grid("7", "6", "5"))), (grid("89"),))
TWO = Task("two", TURN.demonstrations, (grid("89"), grid("01", "23")))

RIGHT = "Rotated.\n```python\nimport numpy as np\ndef transform(grid):\n    return np.rot90(grid)\n```\n"
OTHER = """```python
from common import *

def main(input_grid):
    return [list(row) for row in zip(*input_grid)][::-1]
```"""
ELSEWHERE = (
    "```python\ndef transform(grid):\n    return [[r[i] for r in grid] for i in (-1, *range(len(grid[0]) - 1))]\n```"
)
WRONG = "```python\ndef transform(grid):\n    return grid\n```"
FAILING = "```python\ndef transform(grid):\n    return grid[99]\n```"
ENDLESS = "```python\ndef transform(grid):\n    while True: pass\n```"
TALK = "I would turn the grid."
REMEMBERS = """```python
def transform(grid):
    known = {4: [[2, 4], [1, 3]], 3: [[7], [6], [5]]}
    return known.get(grid.size, [[0]])
```"""


@dataclass
class FakeWriter:
    """Says what it was given, over and over."""

    texts: Sequence[str | None]
    heard: list[prompts.Question] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)

    def write(self, questions, seed, stop):
        self.heard += questions
        self.seeds.append(seed)
        return [self.texts[i % len(self.texts)] for i in range(len(questions))]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(Limits(wall=0.5, memory=128 << 20), unsafe=True) as one:
        yield one


def soon() -> Deadline:
    return Deadline.after(60)


def induce(sandbox, *texts, task=TURN, samples=None, stop=None):
    return induction.induce(task, FakeWriter(texts), sandbox, samples or len(texts), 0, stop or soon())


# ---- the question and the reply


def test_a_question_shows_every_demonstration_and_one_test_input_in_colour_words():
    asked = prompts.question(TWO, 1)
    assert "Example 1\nInput:\nBlue Red\nGreen Yellow\n\nOutput:\nRed Yellow\nBlue Green\n\n\nExample 2\n" in asked.user
    assert "Here is the input grid for the test example:\nInput:\nBlack Blue\nRed Green\n\nWrite a Python" in asked.user
    assert "Purple Brown" not in asked.user
    assert "Python" in asked.system


def test_a_question_never_shows_more_than_the_task_holds():
    """Every colour word of the question is one of the task's cells."""
    cells = sum(g.size for p in TURN.demonstrations for g in (p.input, p.output)) + TURN.tests[0].size
    words = prompts.question(TURN, 0).user.replace("\n", " ").split(" ")
    from solver.induction.colours import WORDS

    assert sum(word in WORDS for word in words) == cells


FIRST, BETTER = "def transform(g): pass\n", "def transform(g): return g\n"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (f"so:\n```python\n{BETTER}```\nDone.", BETTER),
        ("```\ndef main(g):\n    return g\n```", "def main(g):\n    return g\n"),
        (f"```python\n{FIRST}```\nBetter:\n```python\n{BETTER}```", BETTER),
        (f"```python\n{BETTER}```\nRun it:\n```\npython x.py\n```", BETTER),
        ("```python\ndef transform(g):\n    return g", "def transform(g):\n    return g"),
        (BETTER, BETTER),
        ("```python\nprint(1)\n```", None),
        ("The function\n def transform( is hard.", None),
        ("", None),
        ("```" * 100_000, None),
        ("```\n" * 100_000, None),
    ],
)
def test_the_program_is_the_last_block_that_defines_the_function(text, program):
    assert prompts.program_in(text) == program


# ---- candidates


def test_right_programs_give_candidates_ranked_by_how_many_agree_then_by_the_shortest(sandbox):
    found = induce(sandbox, RIGHT, RIGHT, REMEMBERS, OTHER)
    [answers] = found.answers
    assert [(a.grid.tolist(), a.programs) for a in answers] == [([[9], [8]], 3), ([[0]], 1)]
    assert answers[0].shortest == prompts.program_in(RIGHT)
    assert (found.samples, found.written, found.runnable, found.tried, found.fitting) == (4, 4, 4, 4, 4)


def test_a_program_that_misses_one_demonstration_gives_nothing(sandbox):
    found = induce(sandbox, WRONG, ELSEWHERE, FAILING, TALK, None)
    assert found.answers == ((),)
    assert (found.written, found.runnable, found.tried, found.fitting) == (4, 3, 3, 0)
    reasons = dict(found.failures)
    assert reasons.pop("another output than a demonstration's") == 2
    assert "IndexError" in next(iter(reasons))
    assert found.line() == (
        "programs: 5 asked for, 4 written, 3 with a program, 3 run, 0 reproduce every demonstration"
    )


def test_hostile_and_endless_programs_among_right_ones_cost_themselves_alone():
    """Run where the layers hold: these are meant."""
    hostile = [
        f"```python\n{PROGRAMS[n].format(host=1)}\n```" for n in ("fork bomb", "os._exit", "signal to everybody")
    ]
    try:
        contained = Sandbox(Limits(wall=0.5, memory=128 << 20))
    except BadInput as error:
        pytest.skip(f"NOT TESTED: {error}")
    with contained:
        found = induce(contained, ENDLESS, *hostile, RIGHT)
        assert contained.starts == 1
    assert [a.grid.tolist() for a in found.answers[0]] == [[[9], [8]]]
    assert (found.tried, found.fitting) == (5, 1)


def test_every_test_input_is_shown_in_turn_and_answered_on_its_own(sandbox):
    writer = FakeWriter([RIGHT])
    found = induction.induce(TWO, writer, sandbox, 4, 0, soon())
    assert [q.user for q in writer.heard] == [prompts.question(TWO, i % 2).user for i in range(4)]
    assert [[(a.grid.tolist(), a.programs) for a in test] for test in found.answers] == [
        [([[9], [8]], 4)],
        [([[1, 3], [0, 2]], 4)],
    ]


def test_a_program_that_fails_on_one_test_input_still_answers_the_other(sandbox):
    picky = RIGHT.replace("    return", "    assert grid[0, 0] != 8\n    return")
    found = induce(sandbox, picky, task=TWO)
    assert found.answers[0] == ()
    assert [a.grid.tolist() for a in found.answers[1]] == [[[1, 3], [0, 2]]]


def test_the_result_depends_on_the_texts_alone_and_the_seed_on_the_task(sandbox):
    def told(found):
        return [[(a.grid.tolist(), a.programs, a.shortest) for a in test] for test in found.answers]

    texts = (RIGHT, OTHER, REMEMBERS, WRONG)
    assert told(induce(sandbox, *texts)) == told(induce(sandbox, *texts[::-1])) == told(induce(sandbox, *texts))
    writer = FakeWriter(texts)
    for task, seed in ((TURN, 0), (TURN, 0), (TWO, 0), (TURN, 1)):
        induction.induce(task, writer, sandbox, 1, seed, soon())
    assert writer.seeds[0] == writer.seeds[1]
    assert len(set(writer.seeds)) == 3


def test_at_the_deadline_no_further_program_is_run(sandbox):
    found = induce(sandbox, RIGHT, stop=Deadline.after(0))
    assert (found.written, found.tried, found.answers) == (1, 0, ((),))
    started = Deadline.after(60)
    induce(sandbox, ENDLESS, stop=Deadline.after(0.1))
    assert started.remaining() > 59


def test_programs_may_use_the_colours_objects_and_symmetries_of_the_library(sandbox):
    source = """```python
from common import *

import numpy as np
from typing import *

def transform(input_grid: np.ndarray) -> np.ndarray:
    objects = find_connected_components(input_grid, background=Color.BLACK, connectivity=8, monochromatic=False)
    assert len(objects) == 1 and detect_mirror_symmetry(input_grid, ignore_colors=[Color.BROWN]) is not None
    output_grid = np.full(input_grid.shape[::-1], Color.BLACK)
    blit_sprite(output_grid, np.rot90(crop(objects[0])), x=0, y=0)
    return output_grid
```"""
    found = induce(sandbox, source)
    assert found.fitting == 1, found.failures
    assert [a.grid.tolist() for a in found.answers[0]] == [[[9], [8]]]


@dataclass
class Recorder:
    """In the sandbox's place: remembers what programs were given."""

    given: list[np.ndarray] = field(default_factory=list)

    def run(self, source, grids, stop=None):
        self.given += grids
        return tuple(Outcome(g, "") for g in grids)


def test_programs_are_given_inputs_and_never_an_output():
    recorder = Recorder()
    induction.induce(TWO, FakeWriter([RIGHT, WRONG]), recorder, 2, 0, soon())
    inputs = [*(pair.input for pair in TWO.demonstrations), *TWO.tests]
    assert [g.tolist() for g in recorder.given] == [g.tolist() for g in inputs] * 2


# ---- settings


def test_without_a_model_induction_is_off_and_says_so():
    assert InductionSettings().line() == "induction is off: no code model was given (--code-model)"
    settings = InductionSettings(model="/models/barc", samples=8)
    assert settings.line() == "induction: 8 programs a task from /models/barc"


def test_settings_make_the_sandbox_they_describe():
    with sandbox_of(InductionSettings(seconds=1.5, memory=64 << 20, unsafe=True)) as sandbox:
        assert (sandbox.limits.wall, sandbox.limits.memory, sandbox.unsafe) == (1.5, 64 << 20, True)


def test_settings_without_samples_are_refused():
    with pytest.raises(BadInput, match="expected at least 1"):
        InductionSettings(samples=0)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_that_is_none_or_all_of_the_time_is_refused(share):
    with pytest.raises(BadInput, match="expected one between 0 and 1"):
        InductionSettings(share=share)


@dataclass
class Slow(FakeWriter):
    """Notes how long it may take."""

    given: list[float] = field(default_factory=list)

    def write(self, questions, seed, stop):
        self.given.append(stop.remaining())
        return super().write(questions, seed, stop)


def test_a_part_of_the_seconds_is_left_for_running_what_was_written(sandbox):
    writer = Slow([RIGHT])
    induction.induce(TURN, writer, sandbox, 1, 0, Deadline.after(40))
    assert writer.given == [pytest.approx(40 * induction.WRITING, abs=1)]
