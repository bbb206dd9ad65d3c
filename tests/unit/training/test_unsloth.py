"""Training through Unsloth's two calls, played by a stand-in that treats modes, formats and logits as Unsloth does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from solver.config.settings import TrainRecipe
from solver.training.backends import UNSLOTH, Setup, setup
from solver.training.trainer import LoraTrainer
from solver.types import TrainJob
from tests.support.fakes import MIRROR, FakeStop, leave_one_out
from tests.support.stand_in import LAYERS, tiny_qwen3, unsloth

pytestmark = pytest.mark.usefixtures("one_thread")
RECIPE = TrainRecipe(rank=8, alpha=8, rate=1e-2, tokens=4096, steps=2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("qwen3")
    tiny_qwen3(path)
    return path


def how(weights: Path, dtype: str = "bfloat16") -> Setup:
    chosen = {"library": UNSLOTH, "dtype": dtype, "checkpointing": True, "pieces": True}
    return Setup(**(vars(setup(weights, RECIPE, 2048, cuda=False)) | chosen))


def trainer(weights: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, dtype: str = "bfloat16") -> LoraTrainer:
    planned = how(weights, dtype)
    unsloth(monkeypatch)
    return LoraTrainer(weights, RECIPE, folder, 2048, planned)


def test_unsloths_layers_are_computed_again_on_the_way_back_instead_of_kept(weights, tmp_path, monkeypatch):
    trained = trainer(weights, tmp_path, monkeypatch)
    passes: list[str] = []
    for layer in trained.model.base_model.model.model.layers:
        layer.mlp.register_forward_pre_hook(lambda *_: passes.append("pass"))
    report = trained.train(TrainJob("one", leave_one_out(MIRROR, 2, 0, 512), 0), FakeStop())
    assert report.losses[1] < report.losses[0]
    assert len(passes) == report.steps * 2 * LAYERS  # each layer forwards, and again before its way back


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_an_adapter_trained_in_float32_is_saved_in_the_engines_16_bits(weights, tmp_path, monkeypatch, dtype):
    trained = trainer(weights, tmp_path, monkeypatch, dtype)
    assert trained.adapters.served.dtype == torch.float32
    report = trained.train(TrainJob("one", leave_one_out(MIRROR, 2, 0, 512), 0), FakeStop())
    assert report.adapter is not None
    tensors = load_file(report.adapter.path / "adapter_model.safetensors")
    assert {t.dtype for t in tensors.values()} == {getattr(torch, dtype)}
    for name, view in trained.adapters.views(trained.adapters.served, 0).items():
        assert torch.equal(tensors[name.replace(".default.", ".")], view.to(getattr(torch, dtype)))
        assert trained.adapters.parameters[name].data_ptr() == view.data_ptr()  # and goes on in float32
    start = trained.train(TrainJob("two", leave_one_out(MIRROR, 2, 0, 512), 0, report.adapter), FakeStop())
    assert start.losses[0] < report.losses[0]
