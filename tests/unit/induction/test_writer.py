"""The writer around vLLM: a run with a model that knows nothing, and what becomes of vLLM's outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from solver.config.settings import WriterSettings
from solver.generators.filters import DESCRIBED, HOLDING
from solver.induction.barc_form import CLOSING, SYSTEM
from solver.induction.writer import VllmTexts
from solver.induction.writing import Piece
from solver.types import BadInput
from tests.support import forked, tiny_writer


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What came of one engine's replies. Its model is random, so that it says no program and no generator."""
    return forked.call(tiny_writer.told, tmp_path_factory.mktemp("tiny") / "model")


@pytest.mark.engine
def test_programs_are_sampled_from_a_model_with_its_own_tokenizer_and_chat_format(told):
    assert all(isinstance(text, str) and text for text in told["first"])
    assert len(set(told["first"])) == 3  # equal questions, each with a seed of its own
    assert told["again"] == told["first"]
    assert told["late"] == [None] * 3
    assert told["long"][0] is None
    assert isinstance(told["long"][1], str)
    assert told["room"] < 0
    assert told["cached"] > 0.5  # of the prompts' tokens: five in six questions were read before
    assert told["pace"] > 0
    assert told["line"] == "programs: 4 asked for, 4 written, 0 with a program, 0 run, 0 reproduce every demonstration"
    assert told["read"].startswith(f"<system>{SYSTEM}<user>Given")
    assert told["read"].endswith(f"{CLOSING}<assistant>")


@pytest.mark.engine
def test_generators_are_asked_for_in_both_ways_and_every_reply_is_counted(told):
    if "generators" not in told:
        pytest.skip("RE-ARC's generators come with reasoning-gym, which is not installed")
    assert told["generators"]["joint"] == [HOLDING] * 2
    assert len(told["generators"]["two-step"]) == 2
    assert set(told["generators"]["two-step"]) <= {DESCRIBED, HOLDING}


@dataclass
class Engine:
    """In vLLM's place: steps that were written down."""

    steps: list[list[SimpleNamespace]]
    aborted: list[str] = field(default_factory=list)

    def step(self):
        return self.steps.pop(0)

    def abort_request(self, names):
        self.aborted += names


def said(name, text, reason=None, cached=None):
    piece = SimpleNamespace(text=text, token_ids=[7] * len(text), finish_reason=reason)
    return SimpleNamespace(
        request_id=name,
        outputs=[piece],
        finished=reason is not None,
        prompt_token_ids=[1] * 40,
        num_cached_tokens=cached,
    )


def test_the_engine_s_outputs_become_pieces_and_the_prompts_it_knew_are_counted():
    engine = Engine(
        [[said("a", "x = ", cached=32), said("b", "y")], [said("a", "1", "length", 32), said("b", "", "stop")]]
    )
    texts = VllmTexts(engine, 1.0)
    assert texts.step() == [Piece("a", "x = ", 4), Piece("b", "y", 1)]
    assert (texts.read, texts.cached) == (0, 0)
    assert texts.step() == [Piece("a", "1", 1, ended=True, cut=True), Piece("b", "", 0, ended=True)]
    assert (texts.read, texts.cached) == (80, 32)
    texts.withdraw(("a", "b"))
    assert engine.aborted == ["a", "b"]


def test_replies_longer_than_the_context_are_refused():
    with pytest.raises(BadInput, match="expected fewer than the context's"):
        WriterSettings(context=100, reply=100)
