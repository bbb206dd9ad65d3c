"""What there is to see of a run while it goes on, as numbers and texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from solver.clock import Deadline
from solver.runtime.live import LATEST, WARNINGS, About, Live, StageAnswer, Worker, answered, span
from solver.types import ADAPTER, BASE, INDUCTION, PROGRAMS, SHARED, Candidate, Program, Standing, TaskResult, View
from tests.support.fakes import FakeClock

IDS = tuple("abcdefgh")
FIRST, SECOND = ADAPTER + 1, ADAPTER + 2


def answer(task_id: str, number: int, split: bool = False) -> StageAnswer:
    return StageAnswer(task_id, number, "votes 5 of 8", 2.0, split=split, whole=True)


def run_of(clock: FakeClock | None = None, **about: object) -> Live:
    told = About(stages=(BASE, ADAPTER, FIRST, SECOND), deadline=Deadline.after(600.0, clock or FakeClock()))
    return Live(replace(told, **about), len(IDS), lambda: 60.0)  # type: ignore[arg-type]


def test_each_stage_says_how_many_of_its_tasks_are_done() -> None:
    live = run_of()
    for task_id in IDS[:5]:
        live.answer(answer(task_id, BASE, split=True))
    assert live.stages == [("base model", 5, 8), ("adapter", 0, 8)]  # no refinement is due
    assert live.answered == 5


def test_refinement_is_due_for_the_tasks_whose_votes_are_split_once_they_have_an_adapter() -> None:
    live = run_of()
    for task_id in IDS:
        live.answer(answer(task_id, BASE, split=True))
    for task_id in IDS[:6]:
        live.answer(answer(task_id, ADAPTER, split=task_id in "abc"))
    assert live.stages[-1] == ("refinement 1", 0, 3)
    live.answer(answer("a", FIRST))  # agreed now, but it was due
    assert live.stages[-1] == ("refinement 1", 1, 3)


def test_no_adapter_is_due_for_what_is_settled_before() -> None:
    live = run_of()
    for task_id in IDS:
        live.answer(answer(task_id, BASE, split=task_id != "a"))
    assert live.stages == [("base model", 8, 8), ("adapter", 0, 7)]


def test_of_the_stages_of_refinement_the_one_begun_last_is_told() -> None:
    live = run_of()
    for number in (ADAPTER, FIRST, SECOND):
        live.answer(answer("a", number, split=True))
    assert [name for name, *_ in live.stages] == ["base model", "adapter", "refinement 2"]


def test_a_task_is_answered_once_each_of_its_test_inputs_has_a_candidate() -> None:
    live = run_of()
    live.answer(StageAnswer("a", BASE, "votes 5 of 8 and 0 of 0", 2.0))
    assert (live.answered, live.stages[0][1]) == (0, 1)
    live.answer(StageAnswer("a", ADAPTER, "votes 5 of 8 and 1 of 8", 2.0, whole=True))
    assert live.answered == 1


def test_a_task_that_comes_twice_in_a_stage_counts_once() -> None:
    live = run_of()
    live.answer(answer("a", BASE))
    live.answer(answer("a", BASE))
    assert (live.answered, live.stages[0][1]) == (1, 1)


def test_what_an_earlier_process_had_done_is_counted() -> None:
    live = run_of(
        done=frozenset({("a", BASE), ("b", BASE), ("b", ADAPTER)}), split=frozenset("ab"), answered=frozenset("ab")
    )
    assert [tuple(row[1:]) for row in live.stages] == [(2, 8), (1, 8), (0, 1)]
    assert live.answered == 2


def test_however_long_the_run_a_bounded_amount_is_kept_and_the_rest_is_counted() -> None:
    live = run_of()
    for n in range(500):
        live.answer(answer(str(n), BASE))
        live.warn(f"warning {n}")
    assert (len(live.latest), live.latest[-1].task_id, live.answered) == (LATEST, "499", 500)
    assert (len(live.warnings), live.warnings[-1], live.warned) == (WARNINGS, "warning 499", 500)


def test_a_worker_s_seconds_count_from_the_last_time_it_took_up_something_else() -> None:
    clock = FakeClock()
    live, batch = run_of(clock), Worker("cpu 0", "working", stage=ADAPTER, task_ids=("a", "b"), seconds=40.0)
    live.watch([Worker("cpu 0", "starting")])
    clock.advance(30)
    live.watch([batch])
    clock.advance(12)
    live.watch([replace(batch, trained=1, steps=20, loss=0.5)])  # the same batch, further on
    assert live.since(live.workers[0]) == 12
    live.watch([replace(batch, stage=FIRST)])
    assert live.since(live.workers[0]) == 0


def test_workers_that_do_what_they_did_are_nothing_new() -> None:
    live, waiting = run_of(), [Worker("cpu 0", "waiting")]
    assert live.watch(waiting)
    assert not live.watch(list(waiting))
    assert live.watch([])


@pytest.mark.parametrize(("seconds", "text"), [(0.9, "0 s"), (61, "1 min 01 s"), (11_220, "3 h 07 min")])
def test_seconds_read_like_a_clock(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_tasks_that_share_an_adapter_are_through_that_stage_without_an_answer() -> None:
    live = run_of(stages=(BASE, SHARED, ADAPTER))
    live.shared(IDS[:3])
    assert live.stages[1] == ("shared adapter", 3, 8)
    assert live.answered == 0


@pytest.mark.parametrize(("number", "name"), [(INDUCTION, "induction"), (PROGRAMS, "programs")])
def test_programs_are_a_stage_of_their_own_and_their_answers_count(number: int, name: str) -> None:
    live = run_of(stages=(number, BASE, ADAPTER))
    live.answer(StageAnswer("a", number, "2 answers of programs", 1.0, whole=True))
    live.answer(StageAnswer("b", number, "no program", 3.0))
    assert live.stages[0] == (name, 2, 8)
    assert live.answered == 1


RESULT = TaskResult("a", ADAPTER, (), steps=20, losses=(0.9, 0.4), seconds={"train": 1.5, "sample": 0.5})
FLIPPED = Candidate(np.zeros((1, 1), np.uint8), View(), 0.0, program=Program("flip", 3.0, 1.0))


@pytest.mark.parametrize(
    ("count", "text"), [(0, "no program"), (1, "1 answer of programs"), (3, "3 answers of programs")]
)
def test_what_a_search_found_is_told_in_words(count: int, text: str) -> None:
    result = replace(RESULT, stage=PROGRAMS, candidates=((), (FLIPPED,) * count), steps=0, losses=())
    standing = Standing((), (0,), ((0, 0),), (count,))
    assert answered(result, standing, True, None) == StageAnswer("a", PROGRAMS, text, 2.0, split=True, whole=count > 0)


def test_what_the_model_answered_is_told_by_its_votes() -> None:
    standing = Standing((), (2, 0), ((5, 8), (0, 0)))
    told = answered(RESULT, standing, False, True)
    assert told == StageAnswer("a", ADAPTER, "votes 5 of 8 and 0 of 0", 2.0, 20, 0.4, right=True)
