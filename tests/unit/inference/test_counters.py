"""The engine's tally: every prompt and every token once, however the engine hands them out."""

from __future__ import annotations

from types import SimpleNamespace

from solver.inference.engine_outputs import Counters


def output(name: str, said: int, finished: bool = False, prompt: int = 10, cached: int | None = 4) -> SimpleNamespace:
    reply = SimpleNamespace(token_ids=[7] * said)
    return SimpleNamespace(
        request_id=name, outputs=[reply], finished=finished, prompt_token_ids=[1] * prompt, num_cached_tokens=cached
    )


def test_a_prompt_counts_once_and_each_piece_of_its_reply():
    counters = Counters()
    counters.step([output("a", 1), output("b", 2, cached=None)], 0.5)
    counters.step([output("a", 3, finished=True), output("b", 1, finished=True)], 0.25)
    sums = counters.take()
    assert (sums["prompts"], sums["prompt_tokens"], sums["cached_tokens"]) == (2, 20, 4)
    assert (sums["said_tokens"], sums["seconds"]) == (7, 0.75)


def test_what_was_taken_is_not_counted_again_and_a_name_may_come_back():
    counters = Counters()
    counters.step([output("a", 1)], 0.5)  # withdrawn: it never ends
    counters.load(0.1)
    assert counters.take()["adapters"] == 1
    assert set(counters.take().values()) == {0}
    counters.step([output("a", 1, finished=True)], 0.5)
    assert counters.take()["prompts"] == 1


def test_what_is_read_is_not_said():
    counters = Counters()
    counters.step([output("a", 1, finished=True)], 0.5, said=False)
    sums = counters.take()
    assert (sums["prompt_tokens"], sums["said_tokens"]) == (10, 0)
