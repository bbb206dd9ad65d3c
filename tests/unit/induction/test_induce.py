"""Programs from a writer: asked for, run, kept where they fit everything, and offered for a repair where none does.

And what their answers are worth in the run, and what is told of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from solver.clock import Deadline
from solver.config.settings import InductionSettings
from solver.induction import induce as induction
from solver.induction import plain_form
from solver.induction.forms import FORMS, LEAST_REPLY, Question
from solver.induction.induce import sandbox_of
from solver.induction.replies import Completion, program_in
from solver.induction.sandbox.sandbox import Limits, Outcome, Sandbox
from solver.induction.trials import COST, LONGEST_PROGRAM
from solver.types import INDUCTION, BadInput, Pair, Task, worth
from solver.voting import ensemble
from solver.voting.ensemble import ANSWERS_KEPT
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
ANY = """import numpy as np

def transform(grid):
    return [[{}]] if grid[0, 0] == 8 else np.rot90(grid)
"""  # fits the demonstrations, whatever it answers


@dataclass
class FakeWriter:
    """Says what it was given, over and over; to a question that goes on from a program, its `repairs`."""

    texts: Sequence[str | Completion | None]
    repairs: Sequence[str | Completion | None] = (None,)
    context: int = 100_000  # characters
    heard: list[Question] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    given: list[float] = field(default_factory=list)  # seconds

    def room(self, question):
        return self.context - len(question.turns[0])

    def write(self, questions, seed, stop):
        self.heard += questions
        self.seeds.append(seed)
        self.given.append(stop.remaining())
        texts = self.texts if len(questions[0].turns) == 1 else self.repairs
        said = [texts[i % len(texts)] for i in range(len(questions))]
        return [Completion(text) if isinstance(text, str) else text for text in said]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(Limits(wall=0.5, memory=128 << 20), unsafe=True) as one:
        yield one


def soon() -> Deadline:
    return Deadline.after(60)


def asking(writer, sandbox, samples, task=TURN, seed=0, stop=None, **more):
    settings = InductionSettings(model="/models/mine", samples=samples, **more)
    return induction.induce(task, writer, sandbox, settings, seed, stop or soon())


def induce(sandbox, *texts, task=TURN, stop=None):
    return asking(FakeWriter(texts), sandbox, len(texts), task, stop=stop)


def told(result):
    """Of each test input the answers, each with how many programs gave it."""
    return [[(c.grid.tolist(), c.program.support) for c in test] for test in result.candidates]


# ---- candidates


def test_right_programs_give_candidates_ranked_by_how_many_agree_then_by_the_shortest(sandbox):
    result = induce(sandbox, RIGHT, RIGHT, REMEMBERS, OTHER)
    assert (result.task_id, result.stage, result.rejected, result.steps) == ("turn", INDUCTION, 0, 0)
    assert told(result) == [[([[9], [8]], 3), ([[0]], 1)]]
    assert result.candidates[0][0].program.text == program_in(RIGHT).strip()
    assert result.notes == (
        "programs: 4 asked for, 4 written, 4 with a program, 4 run, 4 reproduce every demonstration",
    )
    assert list(result.seconds) == ["induction"]


def test_a_program_that_misses_one_demonstration_gives_nothing_and_why_is_told(sandbox):
    result = induce(sandbox, WRONG, ELSEWHERE, FAILING, TALK, None)
    assert result.candidates == ((),)
    counts, missing, first, second, repairs = result.notes
    assert repairs.startswith("repairs: 3 asked for, 0 written, 0 with a program")
    assert missing == "replies: 1 not begun, as they would not have ended in time"
    assert counts == "programs: 5 asked for, 4 written, 3 with a program, 3 run, 0 reproduce every demonstration"
    assert first == "2 x another output than a demonstration's"
    assert second.startswith("1 x IndexError: ")


def test_they_are_trusted_and_the_answer_of_the_most_programs_is_first(sandbox):
    [candidates] = induce(sandbox, RIGHT, OTHER, REMEMBERS).candidates
    assert all(ensemble.trusted(candidate.program) for candidate in candidates)
    assert [c.program.support for c in ensemble.ranked(candidates[::-1])] == [2, 1]


def test_a_surer_searched_program_stands_before_them_and_a_costlier_one_behind():
    assert worth(COST - 1, 0.0) < worth(COST, 0.0) < worth(COST + 1, 0.0)
    assert worth(COST + 1, 1.0) < worth(COST, 0.0)


def test_a_few_answers_are_kept_and_no_more_of_a_program_than_anybody_reads(sandbox):
    texts = [f"{ANY.format(n)}# {'x' * 2 * LONGEST_PROGRAM}" for n in range(10)]
    [candidates] = induce(sandbox, *texts).candidates
    assert len(candidates) == ANSWERS_KEPT
    assert {len(c.program.text) for c in candidates} == {LONGEST_PROGRAM}


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
        result = induce(contained, ENDLESS, *hostile, RIGHT)
        assert contained.starts == 1
    assert told(result) == [[([[9], [8]], 1)]]
    assert "5 run, 1 reproduce" in result.notes[0]


def test_every_test_input_is_shown_in_turn_and_answered_on_its_own(sandbox):
    writer = FakeWriter([RIGHT])
    result = asking(writer, sandbox, 4, TWO)
    assert writer.heard == [FORMS["plain"].question(TWO, i % 2) for i in range(4)]
    assert told(result) == [[([[9], [8]], 4)], [([[1, 3], [0, 2]], 4)]]
    assert induce(sandbox, TALK, task=TWO).candidates == ((), ())


def test_a_program_that_fails_on_one_test_input_still_answers_the_other(sandbox):
    picky = RIGHT.replace("    return", "    assert grid[0, 0] != 8\n    return")
    assert told(induce(sandbox, picky, task=TWO)) == [[], [([[1, 3], [0, 2]], 1)]]


def test_the_result_depends_on_the_texts_alone_and_the_seed_on_the_task(sandbox):
    def answers(*texts):
        result = induce(sandbox, *texts)
        return told(result), [[c.program.text for c in test] for test in result.candidates]

    texts = (RIGHT, OTHER, REMEMBERS, WRONG)
    assert answers(*texts) == answers(*texts[::-1]) == answers(*texts)
    writer = FakeWriter(texts)
    for task, seed in ((TURN, 0), (TURN, 0), (TWO, 0), (TURN, 1)):
        asking(writer, sandbox, 1, task, seed)
    assert writer.seeds[0] == writer.seeds[1]
    assert len(set(writer.seeds)) == 3


def test_at_the_deadline_no_further_program_is_run(sandbox):
    result = induce(sandbox, RIGHT, stop=Deadline.after(0))
    assert result.candidates == ((),)
    assert "1 written, 1 with a program, 0 run, 0 reproduce" in result.notes[0]
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
    result = induce(sandbox, source)
    assert told(result) == [[([[9], [8]], 1)]], result.notes


@dataclass
class Recorder:
    """In the sandbox's place: remembers what programs were given."""

    given: list[np.ndarray] = field(default_factory=list)

    def run(self, source, grids, stop=None):
        self.given += grids
        return tuple(Outcome(g, "") for g in grids)


def test_programs_are_given_inputs_and_never_an_output():
    recorder = Recorder()
    asking(FakeWriter([RIGHT, WRONG]), recorder, 2, TWO)
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
    with pytest.raises(BadInput, match="expected a share between 0 and 1"):
        InductionSettings(share=share)


# ---- seconds, and what there was no time or room for


def test_a_part_of_the_seconds_is_left_for_running_what_was_written_and_for_repairs(sandbox):
    for form, share in (("barc", induction.WRITING), ("plain", induction.BEFORE_REPAIRS)):
        writer = FakeWriter([RIGHT])
        asking(writer, sandbox, 1, stop=Deadline.after(40), form=form)
        assert writer.given == [pytest.approx(40 * share, abs=1)]


def test_what_was_cut_off_but_compiles_is_run_and_the_notes_tell_what_is_missing(sandbox):
    cut = Completion(f"{RIGHT[: RIGHT.index('```', 20)]}x = [1,\n     2", ended=False, tokens=30)
    result = asking(FakeWriter([cut, Completion(WRONG, tokens=10), None]), sandbox, 3)
    assert told(result) == [[([[9], [8]], 1)]]
    assert result.notes[0].startswith("programs: 3 asked for, 2 written, 2 with a program, 2 run, 1 reproduce")
    assert result.notes[1].startswith(
        "replies: 1 not begun, as they would not have ended in time, 1 cut off, 40 tokens"
    )


def test_demonstrations_the_context_has_no_room_for_are_left_out_the_largest_first(sandbox):
    long = Task("long", (*TURN.demonstrations, Pair(np.zeros((30, 30), np.uint8), grid("1"))), TURN.tests)
    whole = len(plain_form.text(TURN, 0))
    writer = FakeWriter([RIGHT], context=whole + 300)
    result = asking(writer, sandbox, 1, long)
    assert writer.heard[0] == FORMS["plain"].question(TURN, 0)
    assert "0 reproduce" in result.notes[0]  # it is run on all of them
    assert "replies: 1 demonstrations left out of the question, as they do not fit the context" in result.notes
    nothing = asking(FakeWriter([RIGHT], context=100), sandbox, 1, TWO)
    assert nothing.candidates == ((), ())
    assert nothing.notes == (
        "programs: none asked for, as the model's context has no room for one demonstration and a reply",
    )


# ---- repairs

NEAR = """```python
def transform(grid):
    return np.rot90(grid) if grid.size == 4 else grid
```""".replace("def", "import numpy as np\ndef", 1)


def test_programs_that_fail_are_offered_for_one_repair_the_nearest_first(sandbox):
    writer = FakeWriter([WRONG, NEAR, FAILING], repairs=[WRONG, RIGHT])
    result = asking(writer, sandbox, 3, repairs=2)
    assert told(result) == [[([[9], [8]], 1)]]
    assert result.notes[-1] == (
        "repairs: 2 asked for, 2 written, 2 with a program, 2 run, 1 reproduce every demonstration"
    )
    first, second = writer.heard[3:]
    assert first.turns[0] == second.turns[0] == writer.heard[0].turns[0]  # so that it is read once
    assert first.turns[1] == NEAR
    assert first.turns[2].startswith(
        "It is right for 1 of 2 examples. For the input of example 2, it returns an array of shape (1, 3)"
    )
    assert second.turns[1] == WRONG
    assert "4 of 4 cells are wrong: [0, 0] is 1, not 2; [0, 1] is 2, not 4;" in second.turns[2]
    assert writer.seeds[0] != writer.seeds[1]


def test_a_program_is_repaired_once_and_none_where_one_fits_or_no_repair_is_wanted(sandbox):
    writer = FakeWriter([WRONG], repairs=[FAILING])
    assert "IndexError" not in " ".join(asking(writer, sandbox, 1).notes)
    assert len(writer.heard) == 2
    for texts, more in (([WRONG, RIGHT], {}), ([WRONG], {"repairs": 0}), ([WRONG], {"form": "barc"}), ([TALK], {})):
        writer = FakeWriter(texts, repairs=[RIGHT])
        asking(writer, sandbox, len(texts), **more)
        assert len(writer.heard) == len(texts)


def test_an_error_is_shown_to_who_is_to_repair_it(sandbox):
    writer = FakeWriter([FAILING], repairs=[RIGHT])
    assert told(asking(writer, sandbox, 1)) == [[([[9], [8]], 1)]]
    complaint = writer.heard[1].turns[2]
    assert complaint.startswith("It is right for 0 of 2 examples. For the input of example 1, it fails: IndexError: ")
    assert "[[8" not in complaint


def test_a_repair_names_demonstrations_by_the_numbers_that_the_question_has_for_them(sandbox):
    """The large one in the middle is left out, so that the third one is the question's second."""
    large = Pair(np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8))
    task = Task("turn", (TURN.demonstrations[0], large, TURN.demonstrations[1]), TURN.tests)
    room = len(FORMS["plain"].question(TURN, 0).turns[0]) + LEAST_REPLY
    first = "```python\ndef transform(grid):\n    return [[2, 4], [1, 3]] if grid.size == 4 else grid[99]\n```"
    both = first.replace("else grid[99]", "else [[7], [6], [5]] if grid.size == 3 else grid[99]")
    writer = FakeWriter([first, both], repairs=[TALK], context=room)
    asking(writer, sandbox, 2, task)
    told = [question.turns[2] for question in writer.heard[2:]]
    assert told[0].startswith("It is right for 2 of 3 examples. For the input of an example that was not shown, it f")
    assert told[1].startswith("It is right for 1 of 3 examples. For the input of example 2, it fails: IndexError")


def test_settings_that_ask_for_fewer_than_no_repairs_or_an_unknown_form_are_refused():
    with pytest.raises(BadInput, match=r"programs to correct is -1: expected 0 \(none\) or more"):
        InductionSettings(repairs=-1)
    with pytest.raises(BadInput, match="form of the code model's questions is 'fine': expected one of auto, barc, pla"):
        InductionSettings(form="fine")
