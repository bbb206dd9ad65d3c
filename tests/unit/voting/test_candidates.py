"""The ledger: pooled candidates of all rounds, and the answers they vote for."""

from __future__ import annotations

import pytest

from solver.data import views
from solver.induction.trials import COST
from solver.runtime.placeholders import placeholders
from solver.types import BASE, INDUCTION, PROGRAMS, Candidate, Program, Standing, View, same
from solver.voting.candidates import BOTH, MODEL_ALONE, PROGRAMS_ALONE, Ledger, attempts, from_source, sources_of
from tests.support import fakes
from tests.support.fakes import MIRROR, STACK

TASKS = (MIRROR, STACK)
FALLBACKS = {task.id: placeholders(task.tests, task.demonstrations) for task in TASKS}
GOOD, BAD, WORSE = fakes.grid([[0, 8, 7]]), fakes.grid([[1, 1, 1]]), fakes.grid([[2]])


def votes(*grids):
    """One candidate a grid, each from its own view."""
    return [Candidate(g, views.View(at % 8, order=(at,)), -1.0 - at) for at, g in enumerate(grids)]


def ledger() -> Ledger:
    return Ledger(TASKS, FALLBACKS, "flat")


def test_without_a_candidate_a_task_stands_with_its_placeholders_and_needs_work():
    standing = ledger().standing("mirror")
    assert all(same(a, b) for a, b in zip(standing.attempts[0], FALLBACKS["mirror"][0], strict=True))
    assert (standing.from_model, standing.votes, standing.need) == ((0,), ((0, 0),), 1.0)


def test_candidates_of_all_rounds_with_adapters_are_pooled():
    kept = ledger()
    kept.add("mirror", 3, [votes(BAD, BAD, WORSE)])
    standing = kept.add("mirror", 4, [votes(GOOD, GOOD, GOOD)])
    assert same(standing.attempts[0][0], GOOD)
    assert same(standing.attempts[0][1], BAD)
    assert standing.votes == ((3, 6),)
    assert kept.stages("mirror") == (3, 4)


def test_what_the_base_model_said_fills_an_attempt_and_outvotes_no_adapter():
    kept = ledger()
    quick = kept.add("mirror", 1, [votes(BAD, BAD, BAD, WORSE)])
    assert same(quick.attempts[0][0], BAD)
    assert quick.votes == ((3, 4),)
    standing = kept.add("mirror", 3, [votes(GOOD)])
    assert same(standing.attempts[0][0], GOOD)
    assert same(standing.attempts[0][1], BAD)
    assert (standing.votes, standing.from_model) == (((1, 1),), (2,))


def test_where_an_adapter_said_nothing_the_base_model_s_answers_stay():
    kept = ledger()
    before = kept.add("mirror", 1, [votes(GOOD, BAD)])
    after = kept.add("mirror", 3, [[]])
    assert all(same(a, b) for a, b in zip(before.attempts[0], after.attempts[0], strict=True))
    assert after.votes == ((1, 2),)


def test_a_later_round_with_less_behind_it_does_not_replace_an_answer():
    kept = ledger()
    kept.add("mirror", 3, [votes(GOOD, GOOD, GOOD)])
    standing = kept.add("mirror", 4, [votes(BAD)])
    assert same(standing.attempts[0][0], GOOD)


def test_a_round_that_comes_twice_counts_once():
    kept = ledger()
    for _ in range(2):
        standing = kept.add("mirror", 3, [votes(GOOD, BAD)])
    assert standing.votes == ((1, 2),)


def test_the_order_in_which_rounds_come_makes_no_difference():
    first, second = ledger(), ledger()
    for number, found in ((1, votes(BAD, GOOD)), (3, votes(GOOD)), (4, votes(WORSE, WORSE))):
        one = first.add("mirror", number, [found])
    for number, found in ((4, votes(WORSE, WORSE)), (1, votes(BAD, GOOD)), (3, votes(GOOD))):
        other = second.add("mirror", number, [found])
    assert all(same(a, b) for a, b in zip(one.attempts[0], other.attempts[0], strict=True))


def test_a_placeholder_that_reproduces_the_demonstrations_is_not_lost_to_what_the_base_model_says():
    proven = {"mirror": [[Candidate(WORSE, View(), 0.0, program=Program("placeholder: as it is", 1.0, 1.0))]]}
    kept = Ledger(TASKS, FALLBACKS, "flat", proven)
    assert same(kept.standing("mirror").attempts[0][0], WORSE)
    assert kept.stages("mirror") == ()
    standing = kept.add("mirror", BASE, [votes(GOOD, BAD)])
    assert same(standing.attempts[0][0], WORSE)
    assert same(kept.add("mirror", 3, [votes(GOOD, GOOD, GOOD)]).attempts[0][0], WORSE)
    assert kept.stages("mirror") == (1, 3)


def test_need_is_that_of_the_worst_test_input():
    assert Standing((), (), ((8, 8), (6, 8)), needs=(0.0, 0.25)).need == 0.25
    assert Standing((), (), ()).need == 1.0


def test_the_judge_lowers_what_breaks_a_limit_of_its_own_task():
    """In `stack` an output is twice as high as its input, in every demonstration."""
    [[right, *_]] = [[fakes.RULES["stack"](test) for test in STACK.tests]]
    small = right[: len(right) // 2]
    kept = Ledger(TASKS, FALLBACKS, "judge")
    said = [Candidate(small, views.View(0), -1.0), Candidate(right, views.View(1), -1.0)]
    standing = kept.add("stack", 3, [said for _ in STACK.tests])
    assert same(standing.attempts[0][0], right)
    assert same(standing.attempts[0][1], small)


def test_candidates_for_another_number_of_test_inputs_are_refused():
    with pytest.raises(ValueError, match="stack: candidates for 1 test inputs came, 2 were expected"):
        ledger().add("stack", 3, [votes(GOOD)])


def programs(*grids, cost=3.0):
    """One program a grid, each costlier than the one before; those of the cost 20 are not trusted."""
    return [Candidate(g, View(), 0.0, program=Program(f"p{at}", cost + at, 0.0)) for at, g in enumerate(grids)]


def test_a_trusted_program_has_the_first_attempt_and_the_vote_s_best_the_second():
    kept = ledger()
    kept.add("mirror", PROGRAMS, [programs(WORSE)])
    standing = kept.add("mirror", 3, [votes(GOOD, GOOD, BAD)])
    assert same(standing.attempts[0][0], WORSE)
    assert same(standing.attempts[0][1], GOOD)
    assert (standing.from_model, standing.from_programs, standing.votes) == ((1,), (1,), ((2, 3),))
    assert standing.need == pytest.approx(0.5 * (1 - 2 / 3))


def test_programs_add_no_vote_and_an_answer_of_both_minds_is_the_model_s_too():
    kept = ledger()
    kept.add("mirror", PROGRAMS, [programs(GOOD, BAD)])
    standing = kept.add("mirror", 3, [votes(GOOD, WORSE, WORSE, WORSE)])
    assert same(standing.attempts[0][0], GOOD)
    assert same(standing.attempts[0][1], WORSE)
    assert (standing.from_model, standing.from_programs, standing.votes) == ((2,), (0,), ((3, 4),))
    agreed = kept.add("mirror", 4, [votes(GOOD, GOOD, GOOD)])
    assert (agreed.votes, agreed.need) == (((4, 7),), 0.0)


def test_an_untrusted_program_fills_what_the_adapters_leave_before_the_base_model_does():
    kept = ledger()
    kept.add("mirror", BASE, [votes(BAD)])
    kept.add("mirror", PROGRAMS, [programs(WORSE, cost=20.0)])
    standing = kept.add("mirror", 3, [votes(GOOD)])
    assert same(standing.attempts[0][0], GOOD)
    assert same(standing.attempts[0][1], WORSE)
    assert (standing.need, standing.whole) == (0.0, True)


def test_programs_alone_answer_a_task_that_still_needs_the_model():
    standing = ledger().add("mirror", PROGRAMS, [programs(GOOD)])
    assert same(standing.attempts[0][0], GOOD)
    assert (standing.from_model, standing.from_programs, standing.votes) == ((0,), (1,), ((0, 0),))
    assert (standing.need, standing.whole) == (0.5, True)
    assert not ledger().add("mirror", PROGRAMS, [[]]).whole


def test_each_mind_can_be_heard_alone_and_every_attempt_has_its_source():
    by_stage = {PROGRAMS: programs(WORSE, GOOD), BASE: votes(BAD), 3: votes(GOOD)}
    waiting = FALLBACKS["mirror"][0]
    alone = {
        whose: attempts(from_source(by_stage, whose), "flat", waiting) for whose in (BOTH, MODEL_ALONE, PROGRAMS_ALONE)
    }
    assert [g.tolist() for g in alone[BOTH]] == [WORSE.tolist(), GOOD.tolist()]
    assert [g.tolist() for g in alone[MODEL_ALONE]] == [GOOD.tolist(), BAD.tolist()]
    assert [g.tolist() for g in alone[PROGRAMS_ALONE]] == [WORSE.tolist(), GOOD.tolist()]
    assert sources_of(alone[BOTH], by_stage, "flat") == (PROGRAMS_ALONE, BOTH)
    assert sources_of(alone[MODEL_ALONE], by_stage, "flat") == (BOTH, MODEL_ALONE)
    assert sources_of(waiting, by_stage, "flat") == ("", "")


def test_written_programs_and_searched_ones_are_one_mind_in_which_the_surer_is_first():
    kept = ledger()
    kept.add("mirror", PROGRAMS, [programs(WORSE, cost=20.0)])
    written = [Candidate(GOOD, View(), 0.0, program=Program("written", COST, 0.0, 5))]
    standing = kept.add("mirror", INDUCTION, [written])
    assert [g.tolist() for g in standing.attempts[0]] == [GOOD.tolist(), WORSE.tolist()]
    assert (standing.from_model, standing.from_programs, standing.whole) == ((0,), (2,), True)
    by_stage = {INDUCTION: written, PROGRAMS: programs(WORSE, cost=20.0), 3: votes(BAD)}
    assert set(from_source(by_stage, PROGRAMS_ALONE)) == {INDUCTION, PROGRAMS}
    assert set(from_source(by_stage, MODEL_ALONE)) == {3}
    sure = kept.add("mirror", PROGRAMS, [programs(WORSE, cost=2.0)])
    assert [g.tolist() for g in sure.attempts[0]] == [WORSE.tolist(), GOOD.tolist()]
