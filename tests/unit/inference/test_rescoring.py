"""Re-reading candidates: the same views for all, the same winners as without short cuts, and votes that use it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.data import codec
from solver.data import views as task_views
from solver.inference import rescoring
from solver.inference.rescoring import CandidatesToScore, rescore
from solver.interfaces import Scorer, ScoringRequest, Stop
from solver.tokens.grid import END, GRID, OUTPUT, encode, encoded_length
from solver.types import Adapter, Candidate, Grid, Prompt, View, key, same, seed_for
from solver.voting import rules
from tests.support.fakes import MIRROR, FakeStop, any_grid

ROOM = 10_000  # tokens of context: everything fits
ADAPTER = Adapter("mirror", Path("mirror"))
RULES = sorted(rules.VOTE_WORTH)


@dataclass
class FakeScorer:
    """A `Scorer` whose nats are drawn from what it is asked, coarsely, for ties. `batches`: what was asked."""

    spread: float = 20.0
    batches: list[list[ScoringRequest]] = field(default_factory=list)

    def score(self, requests: Sequence[ScoringRequest], stop: Stop) -> list[float | None]:
        self.batches.append(list(requests))
        return [self.nats(r) if stop.remaining() > 0 else None for r in requests]

    def nats(self, reading: ScoringRequest) -> float:
        tokens, reply, adapter = reading
        rng = np.random.default_rng(seed_for(0, repr((tokens[-9:], reply)), adapter.name if adapter else ""))
        return -float(np.round(rng.random() * self.spread))


@st.composite
def small_grids(draw: st.DrawFn) -> Grid:
    return draw(any_grid(2)) % 2


views_of = st.integers(1, 9)
candidates_of = st.lists(
    st.builds(Candidate, grid=small_grids(), view=st.builds(View, dihedral=st.integers(0, 7)), logprob=st.just(-1.0)),
    max_size=10,
).map(tuple)


def question(candidates: Sequence[Candidate], views: int = 8, adapter: Adapter | None = ADAPTER) -> CandidatesToScore:
    prompts = []
    for view in task_views.views(MIRROR, views, 0, "views 0"):
        seen = task_views.apply_task(view, MIRROR)
        tokens = tuple(GRID.encode_prompt(seen.demonstrations, seen.tests[0]).tolist())
        prompts.append(Prompt(MIRROR.id, 0, view, tokens, 50))
    return CandidatesToScore(tuple(prompts), adapter, tuple(candidates))


def reading_of(asked: CandidatesToScore, view: int, grid: Grid) -> ScoringRequest:
    prompt = asked.prompts[view]
    shown = encode(task_views.apply(prompt.view, grid), OUTPUT).tolist()
    return prompt.tokens, (*shown, END), asked.adapter


def in_full(asked: CandidatesToScore, scorer: FakeScorer) -> list[Candidate]:
    """Every candidate read under every view."""
    return [
        replace(c, scores=tuple(scorer.nats(reading_of(asked, v, c.grid)) for v in range(len(asked.prompts))))
        for c in asked.candidates
    ]


def winners(candidates: Sequence[Candidate], rule: str) -> list[tuple[tuple[int, int, bytes], float]]:
    return [(key(r.grid), r.score) for r in rules.rank(candidates, rule)[:2]]


def two(first: float = -1.0, second: float = -2.0) -> list[Candidate]:
    return [
        Candidate(np.array([[cell]], np.uint8), View(dihedral=cell), nats) for cell, nats in ((1, first), (2, second))
    ]


def test_a_fake_scorer_is_a_scorer() -> None:
    assert isinstance(FakeScorer(), Scorer)


@pytest.mark.parametrize("rule", RULES)
@given(candidates=st.lists(candidates_of, min_size=1, max_size=3), views=views_of, spread=st.sampled_from([3.0, 40.0]))
def test_the_two_best_and_their_values_are_those_of_reading_everything(rule, candidates, views, spread) -> None:
    scorer, questions = FakeScorer(spread), [question(them, views) for them in candidates]
    scored = rescore(questions, scorer, FakeStop(), ROOM, GRID, rules.VOTE_WORTH[rule])
    for asked, result in zip(questions, scored, strict=True):
        assert not result.cut
        assert [(key(c.grid), c.view, c.logprob) for c in result.candidates] == [
            (key(c.grid), c.view, c.logprob) for c in asked.candidates
        ]
        if len({key(c.grid) for c in asked.candidates}) > 1:
            assert winners(result.candidates, rule) == winners(in_full(asked, scorer), rule)


@given(candidates=candidates_of, views=views_of)
def test_every_score_is_the_one_of_its_grid_under_its_view(candidates, views) -> None:
    scorer, asked = FakeScorer(), question(candidates, views)
    [result] = rescore([asked], scorer, FakeStop(), ROOM, GRID)
    for given_scores, expected in zip(result.candidates, in_full(asked, scorer), strict=True):
        assert given_scores.scores == expected.scores[: len(given_scores.scores)]


def test_what_is_beaten_is_not_read_to_the_end() -> None:
    class Clear(FakeScorer):
        def nats(self, reading: ScoringRequest) -> float:
            return -1.0 if len(reading[1]) == 3 else -100.0  # 1×1 grids are likely, others are not

    wide = [Candidate(np.array([[1, cell]], np.uint8), View(), -1.0) for cell in range(5)]
    scorer = Clear()
    [result] = rescore([question([*two(), *wide])], scorer, FakeStop(), ROOM, GRID)
    assert [len(c.scores) for c in result.candidates] == [8, 8, 2, 2, 2, 2, 2]
    assert result.scored == sum(map(len, scorer.batches)) == 26


def test_a_single_answer_needs_no_reading_and_no_candidates_need_none() -> None:
    scorer = FakeScorer()
    results = rescore([question(two()[:1] * 3), question([])], scorer, FakeStop(), ROOM, GRID)
    assert scorer.batches == []
    assert [c.scores for c in results[0].candidates] == [()] * 3
    assert results[1].candidates == ()


def test_the_questions_of_many_tasks_share_a_batch_each_with_its_adapter() -> None:
    scorer = FakeScorer()
    other = Adapter("other", Path("other"))
    rescore(
        [question(two()), question(two(), adapter=other), question(two(), adapter=None)], scorer, FakeStop(), ROOM, GRID
    )
    assert Counter(a.name if a else "" for _, _, a in scorer.batches[0]) == {"mirror": 4, "other": 4, "": 4}
    assert len(scorer.batches) == 2


def test_a_view_in_which_some_candidate_does_not_fit_is_left_out_for_all() -> None:
    asked = question([*two(), Candidate(np.zeros((9, 9), np.uint8), View(), -1.0)])
    short = replace(asked.prompts[0], tokens=asked.prompts[0].tokens[-20:])
    [result] = rescore(
        [replace(asked, prompts=(short, *asked.prompts))], FakeScorer(), FakeStop(), 20 + 9 * 10 + 1, GRID
    )
    assert [len(c.scores) for c in result.candidates] == [1, 1, 1]
    [nothing] = rescore([asked], FakeScorer(), FakeStop(), 20, GRID)
    assert [c.scores for c in nothing.candidates] == [(), (), ()]


@given(candidates=candidates_of, answered=st.integers(0, 60))
def test_where_the_seconds_end_all_that_could_win_keep_equally_many_views(candidates, answered) -> None:
    scorer, asked = FakeScorer(spread=3.0), question(candidates)
    [result] = rescore([asked], scorer, FakeStop(left=answered, cost=1.0), ROOM, GRID)
    most = max((len(c.scores) for c in result.candidates), default=0)
    assert result.scored <= max(answered, 0)
    full = {key(c.grid): c.scores for c in in_full(asked, scorer)}
    assert all(c.scores == full[key(c.grid)][: len(c.scores)] for c in result.candidates)
    if result.cut and most:
        shown = winners(result.candidates, "product_of_experts")
        fair = [replace(c, scores=full[key(c.grid)][:most]) for c in result.candidates]
        assert shown == winners(fair, "product_of_experts")


def test_the_likeliest_under_all_views_together_wins() -> None:
    often, seldom = two()
    candidates = [
        replace(c, scores=s) for c, s in ((often, (-1.0, -9.0)), (often, (-1.0, -9.0)), (seldom, (-2.0, -2.0)))
    ]
    assert [r.score for r in rules.rank(candidates, "product_of_experts")] == [-2.0, -5.0]
    assert same(rules.rank(candidates, "product_of_experts")[0].grid, seldom.grid)
    assert [r.score for r in rules.rank(candidates, "count_minus_nll")] == [-1.0, -3.0]
    closer = [replace(c, scores=s) for c, s in ((often, (-2.5, -2.5)), (often, (-2.5, -2.5)), (seldom, (-2.0, -2.0)))]
    assert same(rules.rank(closer, "count_minus_nll")[0].grid, often.grid)


def test_what_was_given_up_comes_after_what_was_read_in_full() -> None:
    first, second = two()
    ranked = rules.rank([replace(first, scores=(-3.0,)), replace(second, scores=(-9.0, -9.0))], "product_of_experts")
    assert [r.grid.tolist() for r in ranked] == [[[2]], [[1]]]


def test_an_answer_read_in_two_rounds_has_the_mean_of_both_and_none_is_preferred_for_its_first_view() -> None:
    one, other = two()
    candidates = [replace(c, scores=s) for c, s in ((one, (-1.0, -9.0)), (one, (-3.0, -3.0)), (other, (-3.5, -3.5)))]
    assert [r.score for r in rules.rank(candidates, "product_of_experts")] == [-3.5, -4.0]
    assert same(rules.rank(candidates, "product_of_experts")[0].grid, other.grid)


def test_an_answer_that_was_alone_in_its_round_is_not_last_for_never_having_been_read() -> None:
    alone, read = two()
    third = Candidate(np.array([[3]], np.uint8), View(), -1.0)
    later = [replace(c, scores=(-1.0, -1.0)) for c in (read, read, third)]
    for rule in rules.VOTE_WORTH:
        assert same(rules.rank([*[alone] * 16, *later], rule)[0].grid, alone.grid)
        assert same(rules.rank([alone, *later], rule)[-1].grid, alone.grid)  # two views gave another


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data(), candidates=candidates_of)
def test_rescored_candidates_rank_alike_in_any_order(rule, data, candidates) -> None:
    [result] = rescore([question(candidates)], FakeScorer(), FakeStop(), ROOM, GRID, rules.VOTE_WORTH[rule])
    shuffled = data.draw(st.permutations(result.candidates))
    first, second = (
        [(key(r.grid), r.votes, r.score) for r in rules.rank(them, rule)] for them in (result.candidates, shuffled)
    )
    assert first == second


def test_saved_candidates_replay_with_their_scores() -> None:
    [result] = rescore([question(two())], FakeScorer(), FakeStop(), ROOM, GRID)
    back = [codec.candidate_from_json(codec.candidate_to_json(c)) for c in result.candidates]
    assert [c.scores for c in back] == [c.scores for c in result.candidates]
    assert [key(r.grid) for r in rules.rank(back, "product_of_experts")] == [
        key(r.grid) for r in rules.rank(result.candidates, "product_of_experts")
    ]
    assert "scores" not in codec.candidate_to_json(two()[0])


@pytest.mark.parametrize("nats", [math.nan, math.inf])
def test_a_score_that_orders_nothing_is_refused(nats: float) -> None:
    with pytest.raises(ValueError, match="expected nats, finite or -inf"):
        rules.rank([replace(two()[0], scores=(-1.0, nats))], "product_of_experts")


def test_the_length_kept_for_a_reply_is_never_short() -> None:
    tall = np.zeros((7, 2), np.uint8)
    assert rescoring._turned(tall) == max(encoded_length(tall), encoded_length(tall.T)) + 1
