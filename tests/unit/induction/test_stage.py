"""A task in the code model's stage: what its programs' answers are worth in the run, and what is told of the others."""

from __future__ import annotations

import pytest

from solver.clock import Deadline
from solver.config.settings import InductionSettings
from solver.induction import prompts
from solver.induction.induce import induce
from solver.induction.sandbox.sandbox import Limits, Sandbox
from solver.induction.stage import COST, KEPT, LONGEST_TEXT, answer_task, candidates, held
from solver.types import INDUCTION, worth
from solver.voting import ensemble
from tests.unit.induction.test_induce import FAILING, OTHER, REMEMBERS, RIGHT, TALK, TURN, TWO, WRONG, FakeWriter, soon

ANY = """import numpy as np

def transform(grid):
    return [[{}]] if grid[0, 0] == 8 else np.rot90(grid)
"""  # fits the demonstrations, whatever it answers


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(Limits(wall=0.5, memory=128 << 20), unsafe=True) as one:
        yield one


def answered(sandbox, *texts, task=TURN, stop=None):
    settings = InductionSettings(model="/models/mine", samples=len(texts))
    return answer_task(task, FakeWriter(texts), sandbox, settings, 0, stop or soon())


def test_the_answers_of_fitting_programs_are_candidates_with_the_shortest_program_and_its_support(sandbox):
    result = answered(sandbox, RIGHT, OTHER, REMEMBERS, RIGHT)
    assert (result.task_id, result.stage, result.rejected, result.steps) == ("turn", INDUCTION, 0, 0)
    [found] = result.candidates
    assert [(c.grid.tolist(), c.program.support) for c in found] == [([[9], [8]], 3), ([[0]], 1)]
    assert found[0].program.text == prompts.program_in(RIGHT).strip()
    assert list(result.seconds) == ["induction"]


def test_they_are_trusted_and_the_answer_of_the_most_programs_is_first(sandbox):
    [found] = answered(sandbox, RIGHT, OTHER, REMEMBERS).candidates
    assert all(ensemble.trusted(candidate.program) for candidate in found)
    assert [c.program.support for c in ensemble.ranked(found[::-1])] == [2, 1]


def test_a_surer_searched_program_stands_before_them_and_a_costlier_one_behind():
    assert worth(COST - 1, 0.0) < worth(COST, 0.0) < worth(COST + 1, 0.0)
    assert worth(COST + 1, 1.0) < worth(COST, 0.0)


def test_every_test_input_has_its_own_candidates(sandbox):
    found = answered(sandbox, RIGHT, task=TWO).candidates
    assert [[c.grid.tolist() for c in test] for test in found] == [[[[9], [8]]], [[[1, 3], [0, 2]]]]


def test_what_came_of_the_other_programs_is_told(sandbox):
    result = answered(sandbox, WRONG, WRONG, FAILING, TALK, None)
    assert result.candidates == ((),)
    said, first, second = result.notes
    assert said == "programs: 5 asked for, 4 written, 3 with a program, 3 run, 0 reproduce every demonstration"
    assert first == "2 x another output than a demonstration's"
    assert second.startswith("1 x IndexError: ")


def test_a_batch_that_is_over_says_that_nothing_was_run(sandbox):
    result = answered(sandbox, RIGHT, stop=Deadline.after(0))
    assert result.candidates == ((),)
    assert "0 run, 0 reproduce" in result.notes[0]


def test_a_few_answers_are_kept_and_no_more_of_a_program_than_anybody_reads(sandbox):
    texts = [f"{ANY.format(n)}# {'x' * 2 * LONGEST_TEXT}" for n in range(10)]
    [found] = answered(sandbox, *texts).candidates
    assert len(found) == KEPT
    assert {len(c.program.text) for c in found} == {LONGEST_TEXT}


def test_without_an_answer_there_is_no_candidate(sandbox):
    assert candidates(induce(TWO, FakeWriter([TALK]), sandbox, 2, 0, soon())) == ((), ())


def test_what_contains_the_programs_is_said(sandbox):
    layers = {"identity": "", "namespaces": "no", "seccomp": ""}
    with Sandbox(unsafe=True, wanted=()) as bare:
        assert held(bare) == "nothing but limits contains the programs"
        bare.layers = layers
        assert held(bare) == "programs are contained by seccomp"
