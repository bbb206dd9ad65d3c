"""The algorithm with a stand-in for both models: who is answered how, whatever fails, and what is said of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver import pipeline
from solver.batch import Batch, Models
from solver.clock import Deadline
from solver.config.settings import Config, EngineSettings, SearchSettings, TrainRecipe
from solver.data import views as task_views
from solver.pipeline import expected_reply
from solver.runtime.placeholders import placeholders
from solver.tokens import huggingface
from solver.tokens.grid import GRID, LONGEST_REPLY, encoded_length, pair_length
from solver.tokens.rows import NVARC
from solver.training import shared_adapter
from solver.training.examples import build
from solver.types import ADAPTER, BASE, MAX_SIDE, Adapter, Pair, Standing, Task, TaskResult, same
from solver.voting.candidates import Ledger
from tests.support import checkpoints, fakes
from tests.support.fakes import MIRROR, RULES, SINGLE, STACK, TASKS, FakeClock, FakeSampler, FakeTrainer

CONFIG = Config(views=8, train=TrainRecipe(steps=3, examples=6), engine=EngineSettings(context=1024))
SMALLEST = EngineSettings(context=LONGEST_REPLY + 1)


def solve(tasks=TASKS, trainer=None, sampler=None, config=CONFIG, seconds=1e6, number=ADAPTER, format=GRID):
    clock = FakeClock()
    trainer, sampler = trainer or FakeTrainer(), sampler or FakeSampler(format=format)
    allowed = {task.id: seconds for task in tasks}
    stop = Deadline.after(seconds, clock)
    batch, models = Batch(number, tuple(tasks), allowed), Models(trainer, sampler, format, config)
    results = pipeline.solve_batch(batch, models, stop)
    assert [result.task_id for result in results] == [task.id for task in tasks]
    assert all(result.stage == number for result in results)
    return {r.task_id: Voted(r, standing(r, t, config.rule)) for r, t in zip(results, tasks, strict=True)}


@dataclass(frozen=True)
class Voted:
    """A result and the answers it votes for, as one value."""

    result: TaskResult
    standing: Standing

    def __getattr__(self, name):
        return getattr(self.standing if name in ("attempts", "from_model", "votes") else self.result, name)


def standing(result, task, rule):
    """The vote over the result alone, with what holds of every one: two different valid grids a test input."""
    fallbacks = {task.id: placeholders(task.tests, task.demonstrations)}
    made = Ledger([task], fallbacks, rule).add(task.id, result.stage, result.candidates)
    assert len(made.attempts) == len(made.from_model) == len(made.votes) == len(task.tests)
    for first, second in made.attempts:
        assert not same(first, second)
        for grid in (first, second):
            assert grid.ndim == 2
            assert 1 <= min(grid.shape) <= max(grid.shape) <= MAX_SIDE
            assert grid.max() <= 9
    return made


def right(result, task):
    """Whether the first attempt at every test input follows the task's rule."""
    rule = RULES[task.id]
    return all(same(first, rule(grid)) for (first, _), grid in zip(result.attempts, task.tests, strict=True))


def test_a_model_that_knows_the_rules_solves_every_task_with_every_vote():
    results = solve()
    assert all(right(results[task.id], task) for task in TASKS)
    assert results["stack"].votes == ((8, 8), (8, 8))
    assert results["stack"].from_model == (1, 1)  # one answer, so the other attempt is a placeholder
    assert (results["mirror"].steps, results["mirror"].rejected, results["mirror"].notes) == (3, 0, ())
    assert set(results["mirror"].seconds) == {"train", "sample"}


@given(task=st.sampled_from(TASKS), views=st.integers(1, 40), seed=st.integers(0, 99))
def test_every_view_is_taken_back_to_the_frame_of_the_task(task, views, seed):
    result = solve([task], config=replace(CONFIG, views=views, seed=seed))[task.id]
    for grid, candidates in zip(task.tests, result.candidates, strict=True):
        assert len(candidates) == views
        assert all(same(candidate.grid, RULES[task.id](grid)) for candidate in candidates)


def test_the_views_of_a_test_input_are_all_different_and_the_first_is_the_task_as_it_is():
    sampler = FakeSampler()
    solve([MIRROR], sampler=sampler, config=replace(CONFIG, views=32))
    views = [prompt.view for prompt, _ in sampler.batches[0]]
    assert views[0] == task_views.IDENTITY
    assert len(set(views)) == 32


def test_all_tasks_go_in_one_batch_with_their_own_adapters_and_the_first_views_of_all_come_first():
    sampler = FakeSampler()
    solve(sampler=sampler)
    [batch] = sampler.batches
    assert all(adapter.name == prompt.task_id for prompt, adapter in batch)
    assert [prompt.task_id for prompt, _ in batch[:4]] == ["mirror", "stack", "stack", "single"]
    assert {prompt.view for prompt, _ in batch[:4]} == {task_views.IDENTITY}


def test_the_most_frequent_answer_is_the_first_attempt_and_the_next_one_the_second():
    def two_minds(cells):
        two_minds.asked += 1
        return fakes.stack(cells) if two_minds.asked <= 3 else fakes.mirror(cells)

    two_minds.asked = 0
    config = replace(CONFIG, rule="flat")
    result = solve([MIRROR], sampler=FakeSampler(rules={"mirror": two_minds}), config=config)["mirror"]
    [(first, second)] = result.attempts
    assert same(first, fakes.mirror(MIRROR.tests[0]))
    assert same(second, fakes.stack(MIRROR.tests[0]))
    assert result.votes == ((5, 8),)
    assert result.from_model == (2,)


def test_the_sampler_may_forget_exactly_the_adapters_that_were_made():
    sampler = FakeSampler()
    solve(trainer=FakeTrainer(learns_nothing=frozenset({"stack"})), sampler=sampler)
    assert [adapter.name for adapter in sampler.forgotten] == ["mirror", "single"]


def test_a_task_whose_training_fails_is_answered_by_the_base_model_and_says_so():
    sampler = FakeSampler()
    results = solve(trainer=FakeTrainer(fails=frozenset({"mirror"})), sampler=sampler)
    assert all(right(results[task.id], task) for task in TASKS)
    note = "no adapter: RuntimeError: the fake trainer was told to fail for mirror"
    assert results["mirror"].notes == (note,)
    assert results["mirror"].steps == 0
    assert results["stack"].notes == ()
    assert {prompt.task_id for prompt, adapter in sampler.batches[0] if adapter is None} == {"mirror"}


def test_a_single_demonstration_is_trained_end_to_end_and_says_so():
    note = "one demonstration leaves no context for leave-one-out: trained end to end on that pair"
    assert solve()["single"].notes == (note,)
    assert solve()["mirror"].notes == ()


def test_a_demonstration_without_room_for_a_context_is_said_once():
    task = fakes.random_task([(2, 2), (20, 20), (22, 22)])
    context = pair_length(task.demonstrations[2])
    result = solve([task], config=replace(CONFIG, engine=EngineSettings(context=context)))[task.id]
    note = "1 of 3 demonstrations leave no room for another before them: trained on alone"
    assert result.notes.count(note) == 1


def test_training_that_was_cut_short_is_said():
    result = solve([MIRROR], trainer=FakeTrainer(steps=2, planned=5))["mirror"]
    assert result.notes == ("training stopped after 2 of 5 steps",)
    assert result.steps == 2


def test_without_training_steps_the_trainer_is_never_asked():
    trainer, sampler = FakeTrainer(), FakeSampler()
    results = solve(trainer=trainer, sampler=sampler, config=replace(CONFIG, train=TrainRecipe(steps=0)))
    assert trainer.calls == []
    assert all(adapter is None for _, adapter in sampler.batches[0])
    assert right(results["stack"], STACK)
    assert results["stack"].notes == ()


def test_each_training_gets_its_own_seconds_but_none_past_the_end_of_the_batch():
    seen = {}

    class Watching(FakeTrainer):
        def train(self, job, stop, steps=None):
            seen[job.name] = stop.remaining()
            return super().train(job, stop)

    stop = Deadline.after(10, FakeClock())
    batch = Batch(ADAPTER, (MIRROR, STACK), {"mirror": 4, "stack": 99})
    pipeline.solve_batch(batch, Models(Watching(), FakeSampler(), GRID, CONFIG), stop)
    assert seen == {"mirror": 4, "stack": 10}


@pytest.mark.parametrize("kind", ["garbage", "endless"])
def test_replies_that_are_no_grids_are_counted_and_their_task_gets_placeholders(kind):
    results = solve(sampler=FakeSampler(**{kind: frozenset({"stack"})}))
    assert results["stack"].rejected == 16
    assert results["stack"].from_model == (0, 0)
    assert results["stack"].votes == ((0, 0), (0, 0))
    assert results["mirror"].rejected == 0
    assert right(results["mirror"], MIRROR)


def test_views_that_were_not_sampled_in_time_are_noted_and_are_no_garbage():
    results = solve(sampler=FakeSampler(silent=frozenset({"stack"})))
    assert results["stack"].notes == ("out of time for 16 views",)
    assert (results["stack"].rejected, results["stack"].from_model) == (0, (0, 0))
    assert results["mirror"].notes == ()


def test_without_any_time_every_task_still_gets_placeholders_and_says_why():
    results = solve(seconds=0)
    assert all(result.from_model == (0,) * len(result.from_model) for result in results.values())
    assert results["mirror"].notes == ("training stopped after 0 of 3 steps", "out of time for 8 views")


def test_a_failing_engine_is_not_hidden():
    with pytest.raises(RuntimeError, match="told to fail for stack"):
        solve(sampler=FakeSampler(fails=frozenset({"stack"})))


def test_a_prompt_longer_than_the_context_drops_demonstrations_longest_first_and_says_so():
    task = fakes.random_task([(15, 15), (5, 5), (20, 20), (4, 4)])
    sampler = FakeSampler()
    result = solve([task], sampler=sampler, config=replace(CONFIG, engine=EngineSettings(context=1024)))["random"]
    note = "test 0: the prompt was too long for 1024 tokens: 1 of 4 demonstrations dropped, longest first"
    assert result.notes == (note,)
    prompt = sampler.batches[0][0][0]
    shown = fakes.pairs_of(prompt.tokens[: -encoded_length(task.tests[0]) - 2])
    assert [pair.input.shape for pair in shown] == [(15, 15), (5, 5), (4, 4)]
    assert result.votes == ((8, 8),)


def test_a_test_input_that_fills_the_context_alone_gets_placeholders_and_says_so():
    full = np.arange(900, dtype=np.uint8).reshape(30, 30) % 10
    task = Task("mirror", MIRROR.demonstrations, (full, MIRROR.tests[0]))
    result = solve([task], config=replace(CONFIG, engine=SMALLEST))["mirror"]
    assert "test 0: its input alone fills the context in 8 of 8 views" in result.notes
    assert result.from_model == (0, 1)
    assert same(result.attempts[1][0], fakes.mirror(MIRROR.tests[0]))


@given(
    shapes=st.lists(st.tuples(st.integers(1, 8), st.integers(1, 30)), min_size=1, max_size=6), wide=st.integers(1, 30)
)
def test_no_prompt_is_longer_with_its_reply_than_the_context(shapes, wide):
    """Turning wide grids makes them longer: each of their columns becomes a row with a marker of its own."""
    task = replace(fakes.random_task(shapes), tests=(np.ones((2, wide), np.uint8),))
    sampler = FakeSampler()
    solve([task], sampler=sampler, config=replace(CONFIG, engine=SMALLEST))
    for prompt, _ in sampler.batches[0]:
        assert prompt.max_reply > 0
        assert len(prompt.tokens) + prompt.max_reply <= SMALLEST.context


def test_where_turned_grids_would_not_fit_demonstrations_are_dropped_until_every_view_fits():
    task = replace(fakes.random_task([(1, 30)] * 14), tests=(np.ones((1, 1), np.uint8),))  # 924 tokens, or 1,722
    result = solve([task], config=replace(CONFIG, engine=SMALLEST))["random"]
    note = "test 0: the prompt was too long for 932 tokens: 7 of 14 demonstrations dropped, longest first"
    assert result.notes[-1] == note
    assert result.votes == ((8, 8),)


@given(output=fakes.any_grid(), same_shape=st.booleans(), element=st.integers(0, 7))
def test_a_reply_has_room_for_an_answer_shaped_as_the_demonstrations_suggest_in_every_view(output, same_shape, element):
    """Both for tasks that keep the shape of the input and for tasks whose outputs are all of one shape."""
    shown = Pair(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8) if same_shape else output)
    test = output if same_shape else np.zeros((2, 2), np.uint8)
    needed = encoded_length(task_views.dihedral(output, element)) + 1
    assert needed <= expected_reply([shown], test) <= LONGEST_REPLY


@pytest.mark.parametrize(("shape", "scale"), [((1, 15), 2), ((10, 10), 3), ((5, 6), 5), ((1, 1), 30), ((2, 3), 4)])
def test_a_reply_has_room_for_an_answer_scaled_as_the_demonstrations_are(shape, scale):
    shown = Pair(np.zeros((1, 1), np.uint8), np.zeros((scale, scale), np.uint8))
    rows, columns = shape[0] * scale, shape[1] * scale
    needed = max(rows * (columns + 1), columns * (rows + 1)) + 1
    allowed = expected_reply([shown], np.zeros(shape, np.uint8))
    assert min(needed, LONGEST_REPLY) <= allowed <= LONGEST_REPLY


def test_a_reply_to_a_small_task_is_cut_off_long_before_the_longest_there_could_be():
    assert expected_reply(MIRROR.demonstrations, MIRROR.tests[0]) < 20


def test_a_reply_is_bounded_even_where_no_demonstration_is_left():
    assert 9 < expected_reply([], np.zeros((3, 3), np.uint8)) < 30


def asked(seed):
    trainer, sampler = FakeTrainer(), FakeSampler()
    solve(trainer=trainer, sampler=sampler, config=replace(CONFIG, seed=seed, views=20))
    examples = [example.tokens.tolist() for _, made, _ in trainer.calls for example in made]
    return examples, [prompt.tokens for prompt, _ in sampler.batches[0]]


def test_in_a_hurry_the_views_of_every_test_come_in_quarters_and_the_answers_are_the_same():
    sampler, seconds = FakeSampler(), dict.fromkeys(RULES, 1e6)
    stop = Deadline.after(1e6, FakeClock())
    batch = Batch(ADAPTER, TASKS, seconds, hurried=True)
    results = pipeline.solve_batch(batch, Models(FakeTrainer(), sampler, GRID, CONFIG), stop)
    tests = sum(len(task.tests) for task in TASKS)
    assert [len(batch) for batch in sampler.batches] == [2 * tests] * 4
    usual = solve(sampler=FakeSampler())
    for result in results:
        for found, expected in zip(result.candidates, usual[result.task_id].candidates, strict=True):
            assert [c.grid.tolist() for c in found] == [c.grid.tolist() for c in expected]


def test_the_same_seed_asks_the_same_of_both_models_and_another_seed_does_not():
    assert asked(1) == asked(1)
    assert asked(1)[0] != asked(2)[0]
    assert asked(1)[1] != asked(2)[1]


def test_what_a_task_is_asked_does_not_depend_on_its_neighbours():
    alone, among = FakeSampler(), FakeSampler()
    solve([STACK], sampler=alone)
    solve([SINGLE, STACK, MIRROR], sampler=among)
    theirs = [prompt.tokens for prompt, _ in among.batches[0] if prompt.task_id == "stack"]
    assert [prompt.tokens for prompt, _ in alone.batches[0]] == theirs


def test_the_base_stage_trains_nothing_and_samples_the_quick_views():
    trainer, sampler = FakeTrainer(), FakeSampler()
    results = solve(trainer=trainer, sampler=sampler, number=BASE, config=replace(CONFIG, quick_views=3))
    assert trainer.calls == []
    assert len(sampler.batches[0]) == 3 * sum(len(task.tests) for task in TASKS)
    assert all(adapter is None for _, adapter in sampler.batches[0])
    assert right(results["stack"], STACK)


def test_refinement_draws_other_examples_another_adapter_and_other_views():
    stages = []
    for number in (ADAPTER, ADAPTER + 1, ADAPTER + 2):
        trainer, sampler = FakeTrainer(), FakeSampler()
        solve([STACK], trainer=trainer, sampler=sampler, number=number)
        [(name, examples, seed)] = trainer.calls
        stages.append(
            (name, seed, tuple(e.tokens.tobytes() for e in examples), tuple(p.tokens for p, _ in sampler.batches[0]))
        )
    assert [name for name, *_ in stages] == ["stack", "stack-4", "stack-5"]
    for kind in range(4):
        assert len({drawn[kind] for drawn in stages}) == 3


def test_running_out_of_memory_while_training_is_not_the_tasks_own_failure():
    class Hungry(FakeTrainer):
        def train(self, job, stop, steps=None):
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(RuntimeError, match="out of memory"):
        solve(trainer=Hungry())


def test_what_training_did_is_in_the_result():
    result = solve([MIRROR])["mirror"].result
    assert (result.steps, result.planned, result.losses) == (3, 3, (1.0, 1 / 2, 1 / 3))


class Reader(FakeSampler):
    """A sampler that also reads: it finds the right answer likely and every other one unlikely."""

    def score(self, requests, stop):
        self.readings = [*getattr(self, "readings", []), *requests]
        return [self.nats(*request) if stop.remaining() > 0 else None for request in requests]

    def nats(self, tokens, reply, adapter):
        return -1.0 if adapter is not None and adapter.name == "mirror" and reply[1] % 2 else -2.0


SEARCH = SearchSettings(p_min=0.1, views=4)


def test_the_search_answers_as_sampling_does_where_the_model_has_no_doubts():
    plain, searched = solve(), solve(config=replace(CONFIG, search=replace(SEARCH, views=0)))
    for task in TASKS:
        assert right(searched[task.id], task)
        assert searched[task.id].votes == plain[task.id].votes
        assert searched[task.id].notes == plain[task.id].notes


DRAWN = replace(CONFIG, search=SearchSettings(temperature=0.7, samples=3))


def test_replies_are_drawn_as_often_as_asked_each_by_a_seed_of_its_own():
    sampler, again, other = FakeSampler(), FakeSampler(), FakeSampler()
    results = solve(sampler=sampler, config=DRAWN)
    [asked] = [[prompt for prompt, _ in batch] for batch in sampler.batches]
    assert len({prompt.seed for prompt in asked}) == len(asked) == 3 * 8 * sum(len(task.tests) for task in TASKS)
    assert {prompt.temperature for prompt in asked} == {0.7}
    assert set(Counter((p.task_id, p.test, p.view) for p in asked).values()) == {3}
    assert [len(test) for test in results["stack"].candidates] == [24, 24]
    assert results["stack"].votes == ((8, 8), (8, 8))  # a view has one vote, however often it is asked
    solve(sampler=again, config=DRAWN)
    solve(sampler=other, config=replace(DRAWN, seed=1))
    assert [p.seed for p, _ in again.batches[0]] == [p.seed for p in asked]
    assert not {p.seed for p, _ in other.batches[0]} & {p.seed for p in asked}


def test_quick_answers_stay_greedy_and_candidates_are_re_read_once_a_view():
    sampler = FakeSampler()
    solve(sampler=sampler, number=BASE, config=DRAWN)
    assert all((p.temperature, p.seed) == (0.0, 0) for p, _ in sampler.batches[0])
    assert len(sampler.batches[0]) == DRAWN.quick_views * sum(len(task.tests) for task in TASKS)

    def torn(cells):
        torn.asked += 1
        return fakes.mirror(cells) if torn.asked % 2 else cells

    torn.asked, reader = 0, Reader(rules={**RULES, "mirror": torn})
    result = solve([MIRROR], sampler=reader, config=replace(DRAWN, search=replace(DRAWN.search, views=4)))["mirror"]
    assert [len(c.scores) for c in result.candidates[0]] == [4] * 24
    assert len(reader.readings) == len(set(reader.readings)) == 8  # two answers under four views


def test_replies_that_did_not_come_in_time_are_counted_as_such():
    results = solve(sampler=FakeSampler(silent=frozenset({"stack"})), config=DRAWN)
    assert results["stack"].notes == ("out of time for 48 replies",)


def test_views_are_shown_in_as_many_orders_as_the_settings_say():
    sampler = FakeSampler()
    solve([MIRROR], sampler=sampler, config=replace(CONFIG, views=16, orders=2))
    views = [prompt.view for prompt, _ in sampler.batches[0]]
    assert views == task_views.views(MIRROR, 16, 0, "views 0", 2)
    assert len({(view.dihedral, view.colours) for view in views}) == 8


@pytest.mark.parametrize(("views", "seconds"), [(4, 25.0), (0, 100.0)])
def test_a_search_gets_its_share_of_the_seconds_and_all_where_nothing_is_re_read(views, seconds):
    given = []

    class Watching(Reader):
        def sample(self, requests, stop):
            given.append(stop.remaining())
            return super().sample(requests, stop)

    config = replace(CONFIG, search=SearchSettings(p_min=0.1, views=views, share=0.25))
    solve([MIRROR], sampler=Watching(), config=config, seconds=100.0)
    assert given[0] == seconds


def test_without_a_search_nothing_more_is_asked_of_the_sampler_than_before():
    sampler = Reader()
    solve(sampler=sampler)
    assert len(sampler.batches) == 1
    assert all(prompt.alternatives == 0 and prompt.floor == float("-inf") for prompt, _ in sampler.batches[0])
    assert not hasattr(sampler, "readings")


def test_candidates_are_read_again_under_the_first_views_of_their_test_with_the_adapter_of_their_task():
    def torn(cells):
        torn.asked += 1
        return fakes.mirror(cells) if torn.asked % 2 else cells

    torn.asked = 0
    sampler = Reader(rules={**RULES, "mirror": torn})
    config = replace(CONFIG, rule="product_of_experts", search=SEARCH)
    result = solve([MIRROR, STACK], sampler=sampler, config=config)["mirror"]
    prompts = {p.tokens for p, _ in sampler.batches[0] if p.task_id == "mirror"}
    assert {tokens for tokens, _, _ in sampler.readings} < prompts
    assert {adapter.name for _, _, adapter in sampler.readings} == {"mirror"}  # of one answer no order is to be found
    assert [len(c.scores) for c in result.candidates[0]] == [4] * 8
    assert set(result.seconds) == {"train", "sample", "score"}


def test_a_search_and_a_reading_that_run_out_of_time_say_so_and_every_task_is_answered():
    results = solve(config=replace(CONFIG, search=SEARCH), sampler=Reader(), seconds=0)
    for task in TASKS:
        said = f"search cut short in {8 * len(task.tests)} views: at most 100% of each missed"
        assert said in results[task.id].notes


def test_a_search_whose_greedy_reply_never_ends_counts_the_view_as_rejected():
    config = replace(CONFIG, search=replace(SEARCH, p_min=1.0, views=0))
    result = solve([MIRROR], config=config, sampler=Reader(endless=frozenset({"mirror"})))["mirror"]
    assert (result.candidates, result.rejected) == (((),), 8)
    assert not any("out of time" in note for note in result.notes)


def test_views_that_a_search_had_no_time_for_are_told():
    result = solve([MIRROR], config=replace(CONFIG, search=SEARCH), sampler=Reader(), seconds=0)["mirror"]
    assert "out of time for 8 views" in result.notes
    assert result.rejected == 0


def test_a_search_in_a_hurry_asks_for_a_quarter_of_the_views_at_a_time():
    seconds, sampler = {task.id: 10.0 for task in TASKS}, Reader()
    config = replace(CONFIG, search=replace(SEARCH, views=0))
    batch = Batch(ADAPTER, TASKS, seconds, hurried=True)
    hurried = pipeline.solve_batch(batch, Models(FakeTrainer(), sampler, GRID, config), Deadline.after(60))
    assert len(sampler.batches) == 4
    for task, result in zip(TASKS, hurried, strict=True):
        assert [len(found) for found in result.candidates] == [8] * len(task.tests)
        assert all(
            same(c.grid, RULES[task.id](grid))
            for found, grid in zip(result.candidates, task.tests, strict=True)
            for c in found
        )


@dataclass
class GroupTeacher(FakeTrainer):
    """A fake that also trains several at once. `groups`: the names of each, and the seconds it was given."""

    error: Exception | None = None
    groups: list[tuple[list[str], float]] = field(default_factory=list)

    def train_together(self, jobs, stop):
        self.groups.append(([job.name for job in jobs], stop.remaining()))
        if self.error:
            raise self.error
        return [self.train(job, stop) for job in jobs]


def taught(trainer, side_by_side):
    config = replace(CONFIG, train=replace(CONFIG.train, adapters_per_batch=side_by_side))
    seconds = {task.id: 10.0 for task in (MIRROR, STACK, SINGLE)}
    batch = Batch(ADAPTER, (MIRROR, STACK, SINGLE), seconds)
    return pipeline.solve_batch(batch, Models(trainer, FakeSampler(), GRID, config), Deadline.after(60))


def test_as_many_adapters_as_the_recipe_says_are_trained_side_by_side_on_their_common_seconds():
    trainer = GroupTeacher()
    results = taught(trainer, 2)
    [(names, seconds)] = trainer.groups
    assert names == [MIRROR.id, STACK.id]
    assert 19 < seconds <= 20
    assert [name for name, _, _ in trainer.calls] == [MIRROR.id, STACK.id, SINGLE.id]
    assert all(result.steps == 3 and result.seconds["train"] >= 0 for result in results)


def test_side_by_side_each_gets_the_examples_and_the_seed_it_would_have_alone():
    alone, together = GroupTeacher(), GroupTeacher()
    taught(alone, 1)
    taught(together, 3)
    assert alone.groups == []
    for (name, examples, seed), (other, others, its_seed) in zip(alone.calls, together.calls, strict=True):
        assert (name, seed) == (other, its_seed)
        assert [e.tokens.tobytes() for e in examples] == [e.tokens.tobytes() for e in others]


def test_where_training_side_by_side_fails_each_is_trained_alone_and_the_notes_say_so():
    trainer = GroupTeacher(error=FloatingPointError("the loss is not finite"))
    results = taught(trainer, 3)
    assert [name for name, _, _ in trainer.calls] == [MIRROR.id, STACK.id, SINGLE.id]
    note = "trained alone, as training side by side failed: FloatingPointError: the loss is not finite"
    assert all(note in result.notes and result.steps == 3 for result in results)


def test_a_task_whose_loss_is_not_finite_costs_none_of_those_trained_beside_it():
    class Failing(GroupTeacher):
        def train_together(self, jobs, stop):
            reports = super().train_together(jobs, stop)
            return [
                replace(r, adapter=None, steps=0, failure="it diverged") if i == 1 else r for i, r in enumerate(reports)
            ]

    trainer = Failing()
    first, failed, last = taught(trainer, 3)
    assert [name for name, _, _ in trainer.calls] == [MIRROR.id, STACK.id, SINGLE.id]  # nobody is trained again
    assert failed.notes == ("no adapter: FloatingPointError: it diverged",)
    assert failed.steps == 0
    assert first.steps == last.steps == 3
    assert not any("no adapter" in note for note in (*first.notes, *last.notes))
    assert failed.candidates


def test_each_adapter_is_told_of_whether_it_was_trained_side_by_side_or_alone():
    trained, seconds = [], dict.fromkeys(RULES, 10.0)
    config = replace(CONFIG, train=replace(CONFIG.train, adapters_per_batch=2))
    models = Models(GroupTeacher(), FakeSampler(), GRID, config, trained=lambda name, report: trained.append(name))
    pipeline.solve_batch(Batch(ADAPTER, (MIRROR, STACK, SINGLE), seconds), models, Deadline.after(60))
    assert trained == [MIRROR.id, STACK.id, SINGLE.id]


def test_memory_that_runs_out_side_by_side_is_passed_on():
    with pytest.raises(MemoryError):
        taught(GroupTeacher(error=MemoryError("out of memory")), 3)


def test_a_shared_adapter_is_trained_on_the_examples_of_all_tasks_in_turn():
    trainer, config = FakeTrainer(), replace(CONFIG, train=replace(CONFIG.train, shared_steps=5))
    models = Models(trainer, FakeSampler(), GRID, config)
    made = shared_adapter.train(TASKS, models, Deadline.after(1e6, FakeClock()))
    [(name, examples, _)] = trainer.calls
    assert made.adapter is not None
    assert made.adapter.name == name
    assert trainer.limits == [5 * len(TASKS)]
    firsts = [build(task, config.train, config.seed, config.engine.context, GRID)[0] for task in TASKS]
    assert [e.tokens.tolist() for e in examples[:3]] == [e.tokens.tolist() for e in firsts]


def sharing(scope: str, shared: dict[str, Adapter], number: int = ADAPTER):
    """A stage of all tasks under a scope; the trainer, the sampler and the results."""
    trainer, sampler = FakeTrainer(), FakeSampler()
    config = replace(CONFIG, train=replace(CONFIG.train, scope=scope))
    allowed, stop = {task.id: 1e6 for task in TASKS}, Deadline.after(1e6, FakeClock())
    batch = Batch(number, TASKS, allowed, shared)
    return trainer, sampler, pipeline.solve_batch(batch, Models(trainer, sampler, GRID, config), stop)


OURS = Adapter("ours", Path("nowhere"))


def test_without_sharing_each_task_is_trained_on_its_own_examples_from_the_base_weights_and_asked_with_that():
    trainer, sampler, _ = sharing("task", {task.id: OURS for task in TASKS})
    assert [name for name, *_ in trainer.calls] == [task.id for task in TASKS]
    assert trainer.starts == [None] * len(TASKS)
    for task, (_, examples, seed) in zip(TASKS, trainer.calls, strict=True):
        own = build(task, CONFIG.train, seed, CONFIG.engine.context, GRID)
        assert [e.tokens.tolist() for e in examples] == [e.tokens.tolist() for e in own]
    assert {(prompt.task_id, adapter.name) for prompt, adapter in sampler.batches[0]} == {(t.id, t.id) for t in TASKS}


def test_tasks_that_share_an_adapter_are_all_sampled_with_it():
    trainer, sampler, results = sharing("shared", {task.id: OURS for task in TASKS})
    assert trainer.calls == []
    assert {adapter for _, adapter in sampler.batches[0]} == {OURS}
    assert sampler.forgotten == []
    assert all(right(Voted(r, standing(r, t, CONFIG.rule)), t) for r, t in zip(results, TASKS, strict=True))


def test_what_a_shared_adapter_could_not_be_trained_on_is_said_of_the_task_it_is_about():
    note = "one demonstration leaves no context for leave-one-out: trained end to end on that pair"
    for scope in ("shared", "shared-then-task"):
        notes = {r.task_id: r.notes for r in sharing(scope, {task.id: OURS for task in TASKS})[2]}
        assert notes == {"mirror": (), "stack": (), "single": (note,)}, scope
    assert not any(note in result.notes for result in sharing("shared", {})[2])  # none was trained


def test_adapters_of_tasks_start_from_the_shared_one_which_is_kept():
    trainer, sampler, _ = sharing("shared-then-task", {"mirror": OURS, "stack": OURS})
    assert dict(zip((name for name, *_ in trainer.calls), trainer.starts, strict=True)) == {
        "mirror": OURS, "stack": OURS, "single": None
    }  # fmt: skip
    assert OURS not in sampler.forgotten
    assert len(sampler.forgotten) == 3


def test_a_task_whose_shared_adapter_is_missing_says_so_but_not_in_the_base_round():
    for scope in ("shared", "shared-then-task"):
        _, _, results = sharing(scope, {"mirror": OURS})
        missing = [r.task_id for r in results if any("no shared adapter" in note for note in r.notes)]
        assert missing == ["stack", "single"]
        assert not any("no shared adapter" in n for r in sharing(scope, {}, BASE)[2] for n in r.notes)


@pytest.fixture(params=["nvarc-16", "architects", "text"])
def format(request, tmp_path):
    """Each format there is beside the shipped weights' own."""
    if request.param == "nvarc-16":
        return NVARC
    made = {"architects": checkpoints.architects_tokenizer, "text": checkpoints.chat_tokenizer}[request.param]
    made(tmp_path)
    return {"architects": huggingface.architects, "text": huggingface.text}[request.param](huggingface.read(tmp_path))


def test_a_model_that_speaks_another_format_is_trained_asked_and_understood_in_it(format):
    trainer, sampler = FakeTrainer(), FakeSampler(format=format)
    results = solve(trainer=trainer, sampler=sampler, format=format)
    assert all(right(results[task.id], task) for task in TASKS)
    assert all(results[task.id].rejected == 0 for task in TASKS)
    asked = [prompt for prompt, _ in sampler.batches[0]]
    assert max(max(prompt.tokens) for prompt in asked) < format.vocabulary
    for _, examples, _ in trainer.calls:
        for example in examples:
            assert example.tokens.max() < format.vocabulary
            said = example.tokens[example.loss].tolist()  # the loss is on replies, each with its end
            ends = [place + 1 for place, token in enumerate(said) if token == format.end]
            assert ends[-1] == len(said)
            assert all(format.decode(said[a:b]) is not None for a, b in pairwise([0, *ends]))


def test_the_search_and_the_reading_speak_the_models_format_too(format):
    def torn(cells):
        torn.asked += 1
        return fakes.mirror(cells) if torn.asked % 2 else cells

    torn.asked = 0
    sampler = Reader(rules={**RULES, "mirror": torn}, format=format)
    config = replace(CONFIG, rule="product_of_experts", search=SEARCH)
    result = solve([MIRROR, STACK], sampler=sampler, config=config, format=format)
    assert [len(c.scores) for c in result["mirror"].candidates[0]] == [4] * 8
    assert right(result["stack"], STACK)
    assert all(format.decode(reply) is not None for _, reply, _ in sampler.readings)


def test_an_adapter_shared_by_tasks_is_trained_in_the_models_format(format):
    trainer = FakeTrainer()
    models = Models(trainer, FakeSampler(), format, CONFIG)
    shared_adapter.train(TASKS, models, Deadline.after(1e6, FakeClock()))
    [(_, examples, _)] = trainer.calls
    assert examples
    for example in examples:
        assert example.tokens[: len(format.opening)].tolist() == list(format.opening)
        assert example.tokens[-1] == format.end


def test_a_model_that_answers_in_another_format_than_it_was_asked_in_gives_no_candidate():
    class Confused(FakeSampler):
        def _answer(self, prompt):
            return fakes.reply_of(fakes.grid([[1]]))

    result = solve([MIRROR], sampler=Confused(format=NVARC), format=NVARC)["mirror"]
    assert (result.candidates, result.rejected) == (((),), 8)
