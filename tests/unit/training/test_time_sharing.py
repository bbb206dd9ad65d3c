"""Trainer and engine that take a card in turns: never both on it, and whatever is asked next gets it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.config.settings import EngineSettings, TrainRecipe
from solver.hardware import engine
from solver.hardware.engine import gpu_arguments
from solver.inference.vllm_sampler import VllmSampler
from solver.interfaces import GroupTrainer
from solver.training.example_vectors import vectors
from solver.training.trainer import LoraTrainer
from solver.types import Adapter, TrainJob
from tests.support.fakes import FakeStop


class Card:
    """Who is on it; two at once is what must never be."""

    def __init__(self):
        self.on = {"trainer"}  # it was loaded last

    def enter(self, who):
        self.on.add(who)
        assert len(self.on) == 1, "both are on the card"


class MovingTrainer(LoraTrainer):
    """A trainer on that card, without a model to move or to train."""

    def __init__(self, card):
        self.card, self.offloaded, self.device = card, False, "cuda"
        self.how, self.recipe = SimpleNamespace(scaled=False), TrainRecipe(adapters_per_batch=2)
        self.model = SimpleNamespace(config=SimpleNamespace(hidden_size=4))
        self.adapters = SimpleNamespace(
            masters=[None, None], grads=torch.zeros(2, 3), start=self.work, draw=self.work, bind=self.work
        )

    def work(self, *given):
        assert self.card.on == {"trainer"}

    def _move(self, device):
        if device == "cpu":
            self.card.on.discard("trainer")
        else:
            self.card.enter("trainer")


class Engine:
    """As much of vLLM's engine as the sampler uses: ends every request at once, and only while it is awake."""

    def __init__(self, card):
        self.card, self.slept, self.removed, self.requests = card, [], [], []
        self.llm_engine = self

    def sleep(self, level):
        self.slept.append(level)
        self.card.on.discard("engine")

    def wake_up(self):
        self.card.enter("engine")

    def add_request(self, name, *_, **__):
        assert self.card.on == {"engine"}
        self.requests.append(name)
        return name

    def abort_request(self, names):
        self.requests = [r for r in self.requests if r not in names]

    def list_loras(self):
        return {1}

    def remove_lora(self, number):
        assert self.card.on == {"engine"}
        self.removed.append(number)


@pytest.fixture
def pair():
    return build()


def build():
    card = Card()
    sampler = VllmSampler.__new__(VllmSampler)  # the engine itself needs a GPU: this one is handed in
    sampler.llm, sampler.offloaded, sampler.asked, sampler.ids, sampler.end = Engine(card), True, 0, {}, 3
    trainer = MovingTrainer(card)
    trainer.before_reload, sampler.before_reload = sampler.offload, trainer.offload
    return trainer, sampler, card


def test_a_request_sends_the_trainer_away_and_training_the_engine(pair, monkeypatch):
    trainer, sampler, card = pair
    for name in ("vllm", "vllm.lora", "vllm.lora.request"):  # as much of it as a request without adapter needs
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(LoRARequest=None))
    sampler._submit((1, 2, 3), None, None)
    assert card.on == {"engine"}
    trainer.train(TrainJob("task", [], 0), FakeStop())
    assert card.on == {"trainer"}
    assert sampler.llm.slept == [1]  # on level 2 it would forget its LoRA matrices


def test_comparing_examples_takes_the_card_as_training_does(pair):
    trainer, sampler, card = pair
    sampler.reload()
    assert vectors(trainer, [], "states").shape == (0, 4)
    assert card.on == {"trainer"}


def test_adapters_trained_side_by_side_take_the_card_as_well(pair):
    trainer, sampler, card = pair
    sampler.reload()
    assert isinstance(trainer, GroupTrainer)
    jobs = [TrainJob(name, [], 0) for name in "ab"]
    assert [report.adapter for report in trainer.train_together(jobs, FakeStop())] == [None, None]
    assert card.on == {"trainer"}


def test_adapters_trained_one_after_another_cost_one_turn(pair):
    trainer, sampler, _ = pair
    sampler.reload()
    for name in "abc":
        trainer.train(TrainJob(name, [], 0), FakeStop())
    assert sampler.llm.slept == [1]


def test_an_adapter_is_forgotten_by_an_engine_that_is_awake(pair, tmp_path):
    _, sampler, card = pair
    sampler.ids["a"] = 1
    sampler.forget([Adapter("a", tmp_path)])
    assert sampler.llm.removed == [1]
    assert card.on == {"engine"}


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["train", "wake", "forget"]), max_size=12))
def test_in_whatever_order_they_are_asked_they_are_never_both_on_the_card(orders):
    trainer, sampler, card = build()
    for order in orders:
        if order == "train":
            trainer.train(TrainJob("t", [], 0), FakeStop())
        elif order == "wake":
            sampler.reload()
        else:
            sampler.forget([])
        assert card.on == ({"trainer"} if order == "train" else {"engine"})


def test_a_gpus_engine_is_told_its_share_and_whether_it_sleeps():
    assert gpu_arguments(EngineSettings(gpu_share=0.4, sleeps=True)) == {
        "gpu_memory_utilization": 0.4,
        "enable_sleep_mode": True,
    }
    assert gpu_arguments(EngineSettings(), heads=True)["async_scheduling"] is False
    assert engine.QUIET["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
