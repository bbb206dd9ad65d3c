"""The search over a toy model whose every reply can be listed: it finds what brute force does, and says what it cut."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.data import views
from solver.inference import threshold_search
from solver.interfaces import Grammar, OnTokens, Stop
from solver.tokens import grid
from solver.types import COLOURS, Adapter, Prompt, Reply, View, seed_for
from tests.support.fakes import MIRROR, FakeStop, mirror, reply_of

END = grid.END
LETTERS = (END, 100, 101, 102)
LONGEST = 5  # tokens of a toy reply
ADAPTERS = (None, Adapter("one", Path("one")), Adapter("two", Path("two")))
LEVELS = st.sampled_from([0.5, 0.2, 0.09, 0.02, 0.01])


class Free:
    """A grammar that allows everything."""

    def then(self, token: int) -> Free:
        return self


@dataclass(frozen=True)
class NoRepeat:
    """A grammar in which no letter follows itself."""

    last: int = -1

    def then(self, token: int) -> NoRepeat | None:
        return None if token == self.last else NoRepeat(token)


FREE = Free()


@dataclass
class ToySampler:
    """A model over a few letters: log-probabilities drawn from (adapter, prompt, what was said), or as `table` says.

    `sharp`: how unequal they are. `obeys`: whether it leaves off below the floor. `batches`: what was asked.
    """

    sharp: float = 2.0
    obeys: bool = True
    table: dict[tuple[int, ...], list[float]] | None = None
    batches: list[list[Prompt]] = field(default_factory=list)

    def nats(self, tokens: tuple[int, ...], adapter: Adapter | None) -> dict[int, float]:
        if self.table is not None:
            chances = np.array(self.table[tokens])
        else:
            rng = np.random.default_rng(seed_for(0, adapter.name if adapter else "", repr(tokens)))
            chances = np.exp(self.sharp * rng.normal(size=len(LETTERS)))
        with np.errstate(divide="ignore"):
            return dict(zip(LETTERS, np.log(chances / chances.sum()).tolist(), strict=True))

    def sample(self, requests: Sequence[tuple[Prompt, Adapter | None]], stop: Stop) -> list[Reply | None]:
        self.batches.append([prompt for prompt, _ in requests])
        return [self._reply(*request) if stop.remaining() > 0 else None for request in requests]

    def _reply(self, prompt: Prompt, adapter: Adapter | None) -> Reply:
        said: list[int] = []
        logprobs: list[float] = []
        others: list[tuple[tuple[int, float], ...]] = []
        while len(said) < prompt.max_reply and said[-1:] != [END]:
            nats = self.nats((*prompt.tokens, *said), adapter)
            ordered = sorted(nats.items(), key=lambda item: -item[1])
            others.append(tuple(ordered[1 : prompt.alternatives + 1]))
            said.append(ordered[0][0])
            logprobs.append(ordered[0][1])
            if self.obeys and sum(logprobs) < prompt.floor:
                break
        return Reply(tuple(said), tuple(logprobs), said[-1:] == [END], tuple(others))

    def forget(self, adapters: Sequence[Adapter]) -> None:
        pass


@dataclass
class TalkingSampler(ToySampler):
    """The same model, heard piece by piece: every request in turn says `pieces` tokens more, and hears at once."""

    pieces: int = 1

    def stream(self, requests: Sequence[tuple[Prompt, Adapter | None]], stop: Stop, hear: OnTokens) -> None:
        self.batches.append([])
        speaking: list[tuple[Prompt, Reply, int] | None] = []

        def add(more: Sequence[tuple[Prompt, Adapter | None]]) -> None:
            self.batches[0] += [prompt for prompt, _ in more]
            speaking.extend((prompt, self._reply(replace(prompt, floor=-math.inf), a), 0) for prompt, a in more)

        add(requests)
        while any(speaking):
            for number, one in enumerate(list(speaking)):
                if one is None:
                    continue
                if stop.remaining() <= 0:
                    return
                prompt, reply, start = one
                end = start + self.pieces
                last = end >= len(reply.tokens)
                piece = Reply(
                    reply.tokens[start:end],
                    reply.logprobs[start:end],
                    last and reply.finished,
                    reply.alternatives[start:end] if prompt.alternatives else (),
                )
                goes_on, more = hear(number, piece)
                speaking[number] = (prompt, reply, end) if goes_on and not last else None
                add(more)


SAMPLERS = st.sampled_from([ToySampler, TalkingSampler])


def prompt(number: int = 0, longest: int = LONGEST) -> Prompt:
    return Prompt("toy", 0, View(), (7, 8, number), longest)


def every_reply(
    toy: ToySampler,
    asked: Prompt,
    adapter: Adapter | None,
    grammar: Grammar = FREE,
    said: tuple[int, ...] = (),
    nats: float = 0.0,
) -> Iterator[tuple[tuple[int, ...], float]]:
    """All finished replies with their nats, by brute force."""
    if said and said[-1] == END:
        yield said, nats
    elif len(said) < asked.max_reply:
        for token, more in toy.nats((*asked.tokens, *said), adapter).items():
            after = grammar.then(token)
            if after is not None:
                yield from every_reply(toy, asked, adapter, after, (*said, token), nats + more)


def greedy_reply(toy, asked, adapter) -> Reply | None:
    reply = toy._reply(asked, adapter)
    return replace(reply, alternatives=()) if reply.finished else None


def likely(toy, asked, adapter, p_min, grammar=FREE) -> dict[tuple[int, ...], float]:
    return {
        r: n for r, n in every_reply(toy, asked, adapter, grammar) if n >= math.log(p_min) - threshold_search.ROUNDING
    }


def found_by(toy, requests, p_min, stop=None, grammar=FREE, **limits) -> list[threshold_search.SearchResult]:
    return threshold_search.search(
        requests, toy, stop or FakeStop(), p_min, SimpleNamespace(written=grammar, end=END), **limits
    )


def as_dict(found: threshold_search.SearchResult) -> dict[tuple[int, ...], float]:
    assert len({r.tokens for r in found.replies}) == len(found.replies)
    return {r.tokens: r.logprob for r in found.replies}


requests_of = st.lists(
    st.tuples(st.builds(prompt, st.integers(0, 30), st.integers(1, LONGEST)), st.sampled_from(ADAPTERS)),
    min_size=1,
    max_size=6,
)


@given(
    requests=requests_of,
    p_min=LEVELS,
    sharp=st.sampled_from([0.1, 1.0, 3.0]),
    obeys=st.booleans(),
    grammar=st.sampled_from([FREE, NoRepeat()]),
    pieces=st.integers(0, 3),
    greedy=st.booleans(),
)
def test_what_is_found_is_what_brute_force_finds(requests, p_min, sharp, obeys, grammar, pieces, greedy) -> None:
    toy = TalkingSampler(sharp, pieces=pieces) if pieces else ToySampler(sharp, obeys)
    for (asked, adapter), found in zip(
        requests, found_by(toy, requests, p_min, grammar=grammar, greedy=greedy), strict=True
    ):
        assert found.greedy == (greedy_reply(toy, asked, adapter) if greedy else None)
        expected = likely(toy, asked, adapter, p_min, grammar)
        assert as_dict(found) == pytest.approx(expected)
        assert [r.logprob for r in found.replies] == sorted(as_dict(found).values(), reverse=True)
        assert all(r.finished and len(r.tokens) == len(r.logprobs) for r in found.replies)


@given(requests=requests_of, p_min=LEVELS, nodes=st.integers(1, 6), sampler=SAMPLERS)
def test_a_limit_on_requests_is_kept_and_what_it_cost_is_bounded_by_what_is_said(
    requests, p_min, nodes, sampler
) -> None:
    toy = sampler(1.0)
    for (asked, adapter), found in zip(requests, found_by(toy, requests, p_min, nodes=nodes), strict=True):
        expected = likely(toy, asked, adapter, p_min)
        got = as_dict(found)
        assert found.asked <= nodes
        assert got.keys() <= expected.keys()
        lost = sum(math.exp(nats) for reply, nats in expected.items() if reply not in got)
        assert lost <= found.missed + 1e-9
        assert found.complete or found.missed >= p_min * (1 - 1e-6)
        assert not found.complete or got.keys() == expected.keys()


@given(requests=requests_of, p_min=LEVELS, answered=st.integers(0, 20), sampler=SAMPLERS)
def test_what_the_deadline_cut_is_said(requests, p_min, answered, sampler) -> None:
    toy = sampler(1.0)
    stop = FakeStop(left=answered, cost=1.0)  # so many requests or tokens are answered, then none
    for (asked, adapter), found in zip(requests, found_by(toy, requests, p_min, stop), strict=True):
        expected, got = likely(toy, asked, adapter, p_min), as_dict(found)
        assert got.keys() <= expected.keys()
        lost = sum(math.exp(nats) for reply, nats in expected.items() if reply not in got)
        assert lost <= found.missed + 1e-9
        assert not found.complete or got.keys() == expected.keys()


@pytest.mark.parametrize("sampler", [ToySampler, TalkingSampler])
def test_no_seconds_find_nothing_and_the_whole_probability_is_missed(sampler) -> None:
    [found] = found_by(sampler(), [(prompt(), None)], 0.1, FakeStop(left=0))
    assert (found.replies, found.asked, found.cut, found.missed) == ((), 1, 1, 1.0)


def test_nothing_asked_nothing_found_and_the_sampler_is_left_alone() -> None:
    toy = ToySampler()
    assert found_by(toy, [], 0.1) == []
    assert toy.batches == []


HALF = {(7, 8, 0): [0.5, 0.5, 0.0, 0.0], (7, 8, 0, 100): [1.0, 0.0, 0.0, 0.0]}


@pytest.mark.parametrize(("p_min", "replies"), [(0.5, 2), (0.500001, 0), (0.49, 2), (1.0, 0)])
def test_a_reply_of_exactly_p_min_is_found(p_min: float, replies: int) -> None:
    [found] = found_by(ToySampler(table=HALF), [(prompt(), None)], p_min)
    assert len(found.replies) == replies


def test_a_certain_reply_is_found_at_a_p_min_of_one() -> None:
    table = {(7, 8, 0): [0.0, 1.0, 0.0, 0.0], (7, 8, 0, 100): [1.0, 0.0, 0.0, 0.0]}
    [found] = found_by(ToySampler(table=table), [(prompt(), None)], 1.0)
    assert as_dict(found) == {(100, END): 0.0}


def test_a_reply_whose_probability_is_p_min_up_to_rounding_is_found() -> None:
    """0.3 × 0.7 × 0.1 as a sum of logarithms is not the logarithm of 0.021."""
    table = {
        (7, 8, 0): [0.0, 0.3, 0.7, 0.0],
        (7, 8, 0, 100): [0.0, 0.7, 0.3, 0.0],
        (7, 8, 0, 101): [0.0, 1.0, 0.0, 0.0],
        (7, 8, 0, 100, 100): [0.1, 0.0, 0.0, 0.9],
    } | {(7, 8, 0, *rest): [1.0, 0.0, 0.0, 0.0] for rest in [(101, 100), (100, 101), (100, 100, 102)]}
    [found] = found_by(ToySampler(table=table), [(prompt(), None)], 0.021)
    assert (100, 100, END) in as_dict(found)


def test_a_reply_longer_than_allowed_is_cut_and_counted() -> None:
    table = {(7, 8, 0): [0.4, 0.6, 0.0, 0.0]}
    [found] = found_by(ToySampler(table=table), [(prompt(longest=1), None)], 0.1)
    assert as_dict(found) == pytest.approx({(END,): math.log(0.4)})
    assert (found.cut, found.missed) == (1, pytest.approx(0.6))


@pytest.mark.parametrize("p_min", [0.0, -0.1, 1.5, math.nan])
def test_a_p_min_that_is_no_probability_is_refused(p_min: float) -> None:
    with pytest.raises(ValueError, match="expected a probability above 0 and at most 1"):
        found_by(ToySampler(), [(prompt(), None)], p_min)


def test_equal_requests_are_searched_once_and_other_adapters_apart() -> None:
    toy = ToySampler(1.0)
    requests = [(prompt(), ADAPTERS[1]), (prompt(), ADAPTERS[1]), (prompt(), ADAPTERS[2])]
    first, second, other = found_by(toy, requests, 0.05)
    assert first is second
    assert as_dict(first).keys() != as_dict(other).keys()
    assert len(toy.batches[0]) == 2


def test_the_branches_of_all_prompts_share_each_wave() -> None:
    toy = ToySampler(1.0)
    founds = found_by(toy, [(prompt(n), None) for n in range(8)], 0.02)
    assert len(toy.batches) <= LONGEST
    assert sum(map(len, toy.batches)) == sum(found.asked for found in founds)
    assert len(toy.batches[1]) > 8


def test_no_more_alternatives_are_asked_for_than_can_be_likely_enough() -> None:
    toy = ToySampler(1.0)
    found_by(toy, [(prompt(), None)], 0.09)
    assert toy.batches[0][0].alternatives == 10
    assert all(p.alternatives <= 10 for batch in toy.batches for p in batch)
    assert all(p.max_reply + len(p.tokens) == 3 + LONGEST for batch in toy.batches for p in batch)


def test_a_sampler_that_names_no_alternatives_is_an_error() -> None:
    class Mute(ToySampler):
        def _reply(self, prompt: Prompt, adapter: Adapter | None) -> Reply:
            return Reply((100, END), (-0.1, -0.1), True)

    with pytest.raises(ValueError, match="alternatives for 0 of 2 tokens"):
        found_by(Mute(), [(prompt(), None)], 0.1)


def test_candidates_come_back_in_the_frame_of_the_task() -> None:
    """A sampler that hesitates over one cell gives two grids; what is no grid is never asked for."""
    view = views.views(MIRROR, 6, 0, "test")[5]
    seen = views.apply_task(view, MIRROR)
    wanted = reply_of(views.apply(view, mirror(MIRROR.tests[0])))
    cell = next(i for i, token in enumerate(wanted) if (token - grid.SPECIALS) % grid.ROW_SPAN)
    colour = ((wanted[cell] - grid.SPECIALS) % grid.ROW_SPAN - 1) % COLOURS
    other = (wanted[cell] + (1 if colour == 0 else -1), math.log(0.4))

    class Hesitant(ToySampler):
        def _reply(self, prompt: Prompt, adapter: Adapter | None) -> Reply:
            start = len(wanted) - prompt.max_reply
            nats = [math.log(0.6) if i == cell else 0.0 for i in range(start, len(wanted))]
            named = [(other,) if i == cell else ((END + 1, -0.1),) for i in range(start, len(wanted))]
            return Reply(wanted[start:], tuple(nats), True, tuple(named))

    tokens = tuple(grid.GRID.encode_prompt(seen.demonstrations, seen.tests[0]).tolist())
    toy = Hesitant()
    [answers] = threshold_search.candidates(
        [(Prompt("mirror", 0, view, tokens, len(wanted)), None)], toy, FakeStop(), 0.1, 99, grid.GRID
    )
    assert [c.logprob for c in answers.candidates] == pytest.approx([math.log(0.6), math.log(0.4)])
    assert answers.candidates[0].grid.tolist() == mirror(MIRROR.tests[0]).tolist()
    assert int((answers.candidates[1].grid != answers.candidates[0].grid).sum()) == 1
    assert [len(batch) for batch in toy.batches] == [1, 1]
    assert answers.complete
