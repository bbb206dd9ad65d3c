"""The base model under a LoRA, frozen, from peft or Unsloth; and its loss, some tokens at a time."""

from pathlib import Path
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor

from solver.config.settings import TrainRecipe
from solver.training.backends import QLORA, Setup, lora_settings, unsloth_lora, unsloth_model

PIECE = 512  # tokens whose logits are computed at a time where the loss is computed in pieces (`memory_plan`)


def with_peft(weights: Path, recipe: TrainRecipe, how: Setup) -> Any:
    """The base model as the setup has it, through transformers and peft."""
    import peft
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, how.dtype)
    quantized = four_bits(dtype) if how.bits == 4 else None
    base = AutoModelForCausalLM.from_pretrained(
        weights, dtype=dtype, local_files_only=True, quantization_config=quantized
    )
    lora = peft.LoraConfig(task_type="CAUSAL_LM", **lora_settings(recipe))
    model = peft.get_peft_model(base, lora, autocast_adapter_dtype=False)
    if how.checkpointing:
        model.base_model.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()  # else transformers keeps the activations; it changes nothing more where dropout is 0
    return model


def four_bits(dtype: torch.dtype) -> Any:
    """How the base weights are held for QLoRA; needs bitsandbytes and a CUDA GPU."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(**QLORA, bnb_4bit_compute_dtype=dtype)


def with_unsloth(weights: Path, recipe: TrainRecipe, how: Setup) -> Any:
    """The same through Unsloth, whose environment and import come first (`runtime.load_models`)."""
    from unsloth import FastLanguageModel

    base, _ = FastLanguageModel.from_pretrained(**unsloth_model(weights, how), dtype=getattr(torch, how.dtype))
    model = FastLanguageModel.get_peft_model(base, **unsloth_lora(recipe, how))
    return model.train()  # else its layers keep all activations; it changes nothing more where dropout is 0


def piecewise_loss(head: Any, hidden: Tensor, targets: Tensor) -> Tensor:
    """Mean nats a token over `targets` [n] from `hidden` [n, width], `PIECE` tokens' logits at a time.

    The logits of a piece are computed again on the way back, so that never more than one piece's are held.
    """

    def piece(states: Tensor, wanted: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(head(states).float(), wanted, reduction="sum")

    pieces = zip(hidden.to(head.weight.dtype).split(PIECE), targets.split(PIECE), strict=True)
    sums = [torch.utils.checkpoint.checkpoint(piece, *one, use_reentrant=False) for one in pieces]
    return torch.stack(sums).sum() / len(targets)
