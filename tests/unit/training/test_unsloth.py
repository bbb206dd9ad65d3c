"""Training through Unsloth's two calls, played by a stand-in that treats modes, formats and logits as Unsloth does."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from solver.config.settings import TrainRecipe
from solver.tokens import grid
from solver.training.backends import UNSLOTH, Setup, setup
from solver.training.trainer import LoraTrainer
from solver.types import TrainJob
from tests.support.fakes import MIRROR, FakeStop, leave_one_out

pytestmark = pytest.mark.usefixtures("one_thread")
RECIPE = TrainRecipe(rank=8, alpha=8, rate=1e-2, tokens=4096, steps=2)
LAYERS = 2


class FastLanguageModel:
    """What unsloth 2026.10.7 does of what matters here: the model is left in evaluation mode, its layers are
    checkpointed only in training mode (`models/llama.py`), LoRAs are float32, hidden states stand for logits."""

    @staticmethod
    def from_pretrained(model_name: str, dtype: torch.dtype, **_: Any) -> tuple[Any, None]:
        return AutoModelForCausalLM.from_pretrained(model_name, dtype=dtype, local_files_only=True).eval(), None

    @staticmethod
    def get_peft_model(base: Any, use_gradient_checkpointing: str | bool, **settings: Any) -> Any:
        import peft

        model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
        if use_gradient_checkpointing:
            base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        base.forward = lambda input_ids, **_: SimpleNamespace(logits=base.model(input_ids=input_ids).last_hidden_state)
        return model.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("qwen3")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": LAYERS, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    Qwen3ForCausalLM(Qwen3Config(vocab_size=grid.VOCABULARY, **sizes, **heads)).save_pretrained(path)
    return path


def how(weights: Path, dtype: str = "bfloat16") -> Setup:
    chosen = {"library": UNSLOTH, "dtype": dtype, "checkpointing": True, "pieces": True}
    return Setup(**(vars(setup(weights, RECIPE, 2048, cuda=False)) | chosen))


def trainer(weights: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, dtype: str = "bfloat16") -> LoraTrainer:
    planned = how(weights, dtype)
    monkeypatch.setitem(sys.modules, "unsloth", SimpleNamespace(FastLanguageModel=FastLanguageModel))
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
