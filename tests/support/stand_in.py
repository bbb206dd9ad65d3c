"""A stand-in for Unsloth's two calls, and a tiny Qwen3 to be trained through them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from solver.tokens import grid

LAYERS = 2


class FastLanguageModel:
    """What unsloth 2026.10.7 does of what matters here: the model is left in evaluation mode, its layers are
    checkpointed only in training mode (`models/llama.py`), LoRAs are float32, hidden states stand for logits, and
    sequences of the lengths given lie end to end."""

    @staticmethod
    def from_pretrained(model_name: str, dtype: torch.dtype, **_: Any) -> tuple[Any, None]:
        return AutoModelForCausalLM.from_pretrained(model_name, dtype=dtype, local_files_only=True).eval(), None

    @staticmethod
    def get_peft_model(base: Any, use_gradient_checkpointing: str | bool, **settings: Any) -> Any:
        import peft

        model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
        if use_gradient_checkpointing:
            base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

        def forward(
            input_ids: torch.Tensor, packed_seq_lengths: torch.Tensor, position_ids: torch.Tensor, **_: Any
        ) -> Any:
            owner = torch.arange(len(packed_seq_lengths)).repeat_interleave(packed_seq_lengths)
            seen = (owner[:, None] == owner).tril()[None, None]
            hidden = base.model(input_ids=input_ids, attention_mask=seen, position_ids=position_ids).last_hidden_state
            return SimpleNamespace(logits=hidden)

        base.forward = forward
        return model.eval()


def unsloth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the stand-in imported in Unsloth's place."""
    monkeypatch.setitem(sys.modules, "unsloth", SimpleNamespace(FastLanguageModel=FastLanguageModel))


def tiny_qwen3(path: Path) -> None:
    """Save a Qwen3 with as many ids as the shipped format has, in bfloat16."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": LAYERS, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    config = Qwen3Config(vocab_size=grid.VOCABULARY, **sizes, **heads, tie_word_embeddings=False)
    Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(path)
