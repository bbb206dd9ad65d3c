"""What the sampler does around the engine, without one: replies that grow, heads in turns, what the cache may hold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
import torch

from solver.inference.engine_outputs import PartialCompletion, hide_tail, scored_nats
from solver.inference.head_sampler import HeadSampler
from solver.inference.vllm_sampler import VllmSampler
from solver.model.output_heads import save
from solver.types import Adapter, Prompt, View
from tests.support.fakes import FakeStop

BLOCK = 4


def said(*steps: dict[int, float]) -> SimpleNamespace:
    """A piece as the engine hands it over; the first token of each step is the one said."""
    logprobs = [{t: SimpleNamespace(logprob=nats) for t, nats in step.items()} for step in steps]
    return SimpleNamespace(token_ids=[next(iter(step)) for step in steps], logprobs=logprobs)


def prompt(alternatives: int = 2, floor: float = -5.0) -> Prompt:
    return Prompt("task", 0, View(), (1, 2), 9, alternatives, floor)


def test_a_reply_grows_piece_by_piece_with_its_alternatives():
    completion = PartialCompletion(prompt())
    completion.take(said({7: -1.0, 8: -1.5, 9: -2.0}))
    completion.take(said({5: -0.5, 6: -3.0, 4: -3.6}))
    reply = completion.reply(finished=True)
    assert (reply.tokens, reply.logprobs, reply.finished) == ((7, 5), (-1.0, -0.5), True)
    assert reply.alternatives == (((8, -1.5), (9, -2.0)), ((6, -3.0), (4, -3.6)))


def test_alternatives_below_the_floor_and_beyond_the_number_asked_for_are_dropped():
    completion = PartialCompletion(prompt(alternatives=1, floor=-2.0))
    completion.take(said({7: -1.0, 8: -1.5, 9: -1.6}, {5: -0.5, 6: -1.1}))
    assert completion.reply(False).alternatives == (((8, -1.5),), ())


def test_without_alternatives_asked_for_none_are_kept():
    completion = PartialCompletion(prompt(alternatives=0))
    completion.take(said({7: -1.0}))
    assert completion.reply(False).alternatives == ()


def test_a_reply_is_hopeless_once_its_sum_is_below_the_floor_also_when_heard_in_pieces():
    completion = PartialCompletion(prompt(floor=-1.2))
    completion.take(said({7: -1.0}))
    assert completion.piece(False).tokens == (7,)
    assert not completion.hopeless
    completion.take(said({7: -1.0}))
    assert completion.piece(False).tokens == (7,)
    assert completion.hopeless


@dataclass
class FakeRequest:
    num_tokens: int
    block_hashes: list[bytes] = field(default_factory=list)


def engine_with(request: FakeRequest) -> SimpleNamespace:
    scheduler = SimpleNamespace(requests={"mine": request})
    core = SimpleNamespace(engine_core=SimpleNamespace(scheduler=scheduler))
    return SimpleNamespace(
        engine_core=core, vllm_config=SimpleNamespace(cache_config=SimpleNamespace(block_size=BLOCK))
    )


@pytest.mark.parametrize(("visible", "kept"), [(0, 0), (3, 0), (4, 1), (7, 1), (8, 2), (13, 3)])
def test_only_whole_blocks_of_the_visible_tokens_may_be_found_in_the_cache(visible, kept):
    request = FakeRequest(14, [b"a", b"b", b"c"])
    assert hide_tail(engine_with(request), "mine", visible)
    assert request.block_hashes[:kept] == [b"a", b"b", b"c"][:kept]
    assert len(set(request.block_hashes)) == 3
    assert not {b"a", b"b", b"c"} & set(request.block_hashes[kept:])


def test_an_engine_that_keeps_its_requests_elsewhere_is_left_as_it_is():
    assert not hide_tail(SimpleNamespace(), "mine", 4)
    assert not hide_tail(engine_with(FakeRequest(14, [b"a", b"b", b"c"])), "other", 4)
    odd = FakeRequest(14, [b"a"])  # blocks of another size than is thought
    assert not hide_tail(engine_with(odd), "mine", 4)
    assert odd.block_hashes == [b"a"]


def output(cached: int, tokens: tuple[int, ...] = (1, 2, 3, 7, 8)) -> SimpleNamespace:
    found = SimpleNamespace(
        start_indices=[0, *range(len(tokens) - 1)],
        token_ids=list(tokens[1:]),
        logprobs=[-float(t) for t in tokens[1:]],
    )
    return SimpleNamespace(prompt_logprobs=found, num_cached_tokens=cached)


def test_the_nats_of_a_reply_are_those_of_its_tokens_alone():
    assert scored_nats(output(cached=2), ((1, 2, 3), (7, 8), None)) == -15.0


def test_what_was_found_in_the_cache_instead_of_computed_is_not_believed():
    assert scored_nats(output(cached=3), ((1, 2, 3), (7, 8), None)) is None
    assert scored_nats(output(cached=0, tokens=(1, 2, 3, 0, 8)), ((1, 2, 3), (7, 8), None)) is None


class Speaking:
    """An engine whose every reply is three tokens, each the number of the head that was on when it was said."""

    def __init__(self, heads: dict[Adapter | None, int]):
        self.heads, self.on, self.begun, self.spoken = heads, None, 0, dict[str, int]()
        self.llm_engine = self

    def activate(self, head):
        assert not self.spoken, "a head was changed while somebody spoke"
        self.on = head

    def begin(self, prompt, adapter, watched):
        self.begun += 1
        self.spoken[str(self.begun)] = 0
        return str(self.begun)

    def step(self):
        outputs = []
        for name in list(self.spoken):
            self.spoken[name] += 1
            piece, over = said({self.heads[self.on]: -1.0}), self.spoken[name] == 3
            piece.finish_reason = "stop" if over else None
            outputs.append(SimpleNamespace(request_id=name, outputs=[piece], finished=over))
            if over:
                del self.spoken[name]
        return outputs

    def abort_request(self, names):
        for name in names:
            self.spoken.pop(name, None)


@pytest.fixture
def speaking(tmp_path):
    """(sampler, its engine, three adapters: two heads and none)."""
    adapters = [Adapter(name, tmp_path / name) for name in "ab"]
    for adapter in adapters:
        save(torch.zeros(2, 2), adapter.path)
    engine = Speaking({adapters[0]: 1, adapters[1]: 2, None: 0})
    sampler = HeadSampler.__new__(HeadSampler)  # not built: no engine is started
    sampler.llm, sampler.heads, sampler.offloaded = engine, engine, False
    sampler._add, sampler._step = engine.begin, lambda said: engine.step()
    return sampler, engine, [*adapters, None]


def test_requests_of_several_heads_are_answered_by_their_own_and_in_order(speaking):
    sampler, engine, adapters = speaking
    asked = [adapters[n] for n in (1, 0, 2, 0, 1, 2)]
    replies = sampler.sample([(prompt(), adapter) for adapter in asked], FakeStop())
    assert [reply.tokens for reply in replies] == [(engine.heads[adapter],) * 3 for adapter in asked]


def test_heads_whose_turn_never_came_leave_their_requests_unanswered(speaking):
    sampler, _, (first, second, _) = speaking
    replies = sampler.sample([(prompt(), a) for a in (first, second)], FakeStop(left=3.0, cost=1.0))
    assert [reply and reply.tokens for reply in replies] == [(1, 1, 1), None]


def test_readings_are_made_by_their_heads_and_given_back_in_order(speaking, monkeypatch):
    sampler, engine, (first, second, none) = speaking

    def score(self, requests, stop):
        assert not any(adapter for *_, adapter in requests)
        return [100 * engine.heads[engine.on] + tokens[0] for tokens, _, _ in requests]

    monkeypatch.setattr(VllmSampler, "score", score)
    readings = [((n,), (7,), adapter) for n, adapter in enumerate((first, none, second, first))]
    assert sampler.score(readings, FakeStop()) == [100, 1, 202, 103]


def test_what_is_added_while_others_speak_is_heard_under_its_own_head_and_number(speaking):
    sampler, engine, (first, second, none) = speaking
    asked = [first, second, none]
    heard: dict[int, list[int]] = {}

    def hear(number, piece):
        heard.setdefault(number, []).extend(piece.tokens)
        added = [second, first] if number == 0 and len(heard[0]) == 2 else []
        added += [none] if number == 1 and len(heard[1]) == 1 else []
        asked.extend(added)
        return not (number == 2 and len(heard[2]) == 2), [(prompt(), adapter) for adapter in added]

    sampler.stream([(prompt(), adapter) for adapter in asked], FakeStop(), hear)
    assert len(asked) == 6
    expected = {n: [engine.heads[adapter]] * 3 for n, adapter in enumerate(asked)}
    assert heard == {**expected, 2: [0, 0]}  # which was withdrawn


@pytest.mark.engine
@pytest.mark.parametrize(("vocabulary", "asked"), [(16, 16), (18076, 100)])
def test_no_more_alternatives_are_asked_of_the_engine_than_its_model_has_tokens(vocabulary, asked):
    """Not built, so no engine starts: only what it would be asked is looked at. It fails where asked for more."""
    sampler = VllmSampler.__new__(VllmSampler)
    sampler.vocabulary, sampler.end = vocabulary, 15
    sampler._submit = lambda tokens, settings, adapter: (settings, "")
    assert sampler._add(prompt(alternatives=99), None, watched=True).logprobs == asked


@pytest.mark.engine
@pytest.mark.parametrize(("temperature", "seed"), [(0.0, None), (0.7, 5)])
def test_a_reply_is_drawn_as_its_prompt_says_and_a_greedy_one_by_no_seed(temperature, seed):
    """Not built, so no engine starts."""
    sampler = VllmSampler.__new__(VllmSampler)
    sampler.vocabulary, sampler.end = 16, 15
    sampler._submit = lambda tokens, settings, adapter: (settings, "")
    asked = sampler._add(replace(prompt(), temperature=temperature, seed=5), None, watched=False)
    assert (asked.temperature, asked.seed) == (temperature, seed)
