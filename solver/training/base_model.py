"""The base model under a LoRA, or with its output head to be trained, from peft or Unsloth; the rest is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor

from solver.config.settings import TrainRecipe
from solver.training.backends import PEFT, Setup, lora_settings, quantization, unsloth_lora, unsloth_model

PIECE = 512  # tokens whose logits are computed at a time where the loss is computed in pieces (`memory_plan`)


def load_base_model(weights: Path, recipe: TrainRecipe, how: Setup) -> Any:
    """The base model as the setup has it."""
    return (with_peft if how.library == PEFT else with_unsloth)(weights, recipe, how)


def with_peft(weights: Path, recipe: TrainRecipe, how: Setup) -> Any:
    """The base model under a LoRA, through transformers and peft."""
    import peft
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, how.dtype)
    base = AutoModelForCausalLM.from_pretrained(
        weights,
        dtype=dtype,
        local_files_only=True,
        quantization_config=four_bits(dtype) if how.bits == 4 else None,
    )
    lora = peft.LoraConfig(task_type="CAUSAL_LM", **lora_settings(recipe))
    model = peft.get_peft_model(base, lora, autocast_adapter_dtype=False)
    if recipe.head:
        head_alone(model)
    if how.checkpointing:
        recompute(model)
    return model


def head_alone(model: Any) -> None:
    """Have the output head trained in the LoRAs' place, which no product has a part of any more.

    ValueError: the model has none of its own, but its embedding.
    """
    if model.config.tie_word_embeddings:
        raise ValueError("the head is the embedding and can't be trained alone: train LoRAs, or take other weights")
    model.base_model.disable_adapter_layers()
    model.base_model.model.get_output_embeddings().weight.requires_grad_(True)


def recompute(model: Any) -> None:
    """Have each layer's activations computed again on the way back; transformers does so in training mode alone,
    which changes nothing else where dropout is 0."""
    model.base_model.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()


def four_bits(dtype: torch.dtype) -> Any:
    """How the base weights are held for QLoRA (arXiv 2305.14314, section 3); needs bitsandbytes and a CUDA GPU."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(**quantization(), bnb_4bit_compute_dtype=dtype)


def with_unsloth(weights: Path, recipe: TrainRecipe, how: Setup) -> Any:
    """The base model under a LoRA, through Unsloth, whose environment and import come first (`worker.build`)."""
    from unsloth import FastLanguageModel

    base, _ = FastLanguageModel.from_pretrained(**unsloth_model(weights, how), dtype=getattr(torch, how.dtype))
    return FastLanguageModel.get_peft_model(base, **unsloth_lora(recipe, how))


def same_shape(settings: Mapping[str, Any], recipe: TrainRecipe, path: Path) -> None:
    """ValueError, naming the setting, where an adapter's own settings differ from what the recipe trains."""
    lora = lora_settings(recipe)
    compared = ("r", "lora_alpha", "use_rslora", "target_modules")
    wanted = {"head": True} if recipe.head else {name: lora[name] for name in compared}
    for name in wanted:
        came, expected = settings.get(name), wanted[name]
        if isinstance(expected, list):
            came, expected = sorted(came or ()), sorted(expected)
        if came != expected:
            raise ValueError(
                f"{path}: {name} is {came!r}: expected {expected!r}, as in the recipe it is trained on with"
            )


def piecewise_loss(head: Any, hidden: Tensor, targets: Tensor) -> Tensor:
    """Mean nats a token over `targets` [n] from `hidden` [n, width], `PIECE` tokens' logits at a time.

    The logits of a piece are computed again on the way back, so that never more than one piece's are held.
    """

    def piece(states: Tensor, wanted: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(head(states).float(), wanted, reduction="sum")

    hidden = hidden.to(head.weight.dtype)
    sums = [
        torch.utils.checkpoint.checkpoint(piece, hidden[at : at + PIECE], targets[at : at + PIECE], use_reentrant=False)
        for at in range(0, len(targets), PIECE)
    ]
    return torch.stack(sums).sum() / len(targets)
