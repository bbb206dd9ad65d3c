"""What a trainer keeps on a card, tensor by tensor, against the memory plan; the CPU is the card, and what lies on
`meta`, which has no storage, lies in the machine's memory."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from solver.config.presets import PRESETS
from solver.config.settings import TrainRecipe
from solver.hardware.gpus import CARDS
from solver.hardware.memory_plan import SAVED_BYTES, MemoryPlan, plan
from solver.model.architecture import read
from solver.training.backends import UNSLOTH, setup
from solver.training.trainer import LoraTrainer
from solver.types import TrainJob
from tests.support.fakes import MIRROR, STACK, FakeStop, leave_one_out
from tests.support.stand_in import tiny_qwen3, unsloth
from tests.support.tiny import tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")
RECIPE = TrainRecipe(rank=32, steps=2, tokens=1024)
JOBS = [
    TrainJob(name, leave_one_out(task, 2, 0, 512), 0) for name, task in (("a", MIRROR), ("b", STACK), ("c", MIRROR))
]
SMALL = 4096  # bytes of what nobody counts: scales, steps, tables of angles


def on_card() -> dict[int, int]:
    """Bytes of every storage that is not on `meta`, by its address."""
    gc.collect()
    plain = torch.Tensor, torch.nn.Parameter  # what compiling leaves behind are tensors without storage, of other types
    tensors = [t for t in gc.get_objects() if type(t) in plain]
    tensors += [t.grad for t in tensors if t.is_leaf and t.grad is not None]
    storages = [t.untyped_storage() for t in tensors if t.device.type != "meta"]
    return {s.data_ptr(): s.nbytes() for s in storages if s.nbytes()}


@pytest.fixture(params=["side by side", "peft", "unsloth"])
def weights(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    path = tmp_path / "weights"
    if request.param == "side by side":
        tiny_model().to(torch.bfloat16).save_pretrained(path, safe_serialization=True)
    else:
        tiny_qwen3(path)
    return request.param, path


def planned(path: Path, recipe: TrainRecipe) -> MemoryPlan:
    return plan(read(path), CARDS["h200"], replace(PRESETS["h200"], train=recipe))


@pytest.mark.slow
def test_what_a_trainer_keeps_is_what_the_plan_counts_and_nothing_once_it_has_left(weights, tmp_path, monkeypatch):
    kind, path = weights
    recipe = replace(RECIPE, adapters_per_batch=3 if kind == "side by side" else 1)
    how = setup(path, recipe, 2048, cuda=False)
    if kind == "unsloth":
        how = replace(how, library=UNSLOTH, pieces=True, checkpointing=True)
        unsloth(monkeypatch)
    before = on_card()
    trainer = LoraTrainer(path, recipe, tmp_path, 2048, how)
    trainer.train_together(JOBS, FakeStop())

    def kept() -> int:
        return sum(size for place, size in on_card().items() if place not in before)

    expected = planned(path, recipe)
    numbers = trainer.adapters.served.shape[1]
    counted = expected.trainer - SAVED_BYTES * numbers
    assert expected.together == recipe.adapters_per_batch
    tables = sum(buffer.nbytes for buffer in trainer.model.buffers())
    assert counted * 0.95 < kept() - tables < counted * 1.02 + SMALL
    held = [p.untyped_storage() for p in trainer.model.parameters() if not p.requires_grad]
    frozen = sum(storage.nbytes() for storage in {s.data_ptr(): s for s in held}.values())
    trainer._move("meta")
    if kind == "side by side":  # its layers hold the weights' tensors, which a move between real devices fills anew
        assert kept() - frozen < SMALL
    else:
        del held
        assert kept() < SMALL
    assert numbers * 20 > 10 * SMALL  # so what stays would be seen


def test_a_trainer_that_comes_back_trains_as_before(weights, tmp_path):
    _, path = weights
    trainer = LoraTrainer(path, replace(RECIPE, adapters_per_batch=3), tmp_path, 2048)
    first = [report.losses for report in trainer.train_together(JOBS, FakeStop())]
    trainer.adapters.free()
    trainer.adapters.allocate()
    assert [report.losses for report in trainer.train_together(JOBS, FakeStop())] == first
