"""The base model under a LoRA, frozen, from peft or Unsloth; and its loss, some tokens at a time."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor

from solver.config.settings import TrainRecipe
from solver.hardware.memory_plan import LOSS_PIECE
from solver.training import packed_attention
from solver.training.backends import QLORA, Setup, lora_settings, unsloth_lora, unsloth_model


def with_peft(weights: Path, recipe: TrainRecipe, how: Setup) -> Any:
    """The base model as the setup has it under a LoRA, through transformers and peft."""
    import peft

    lora = peft.LoraConfig(task_type="CAUSAL_LM", **lora_settings(recipe))
    return peft.get_peft_model(alone(weights, how), lora, autocast_adapter_dtype=False)


def alone(weights: Path, how: Setup) -> Any:
    """The base model as the setup has it, through transformers."""
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, how.dtype)
    quantized = four_bits(dtype) if how.bits == 4 else None
    base = AutoModelForCausalLM.from_pretrained(
        weights, dtype=dtype, local_files_only=True, quantization_config=quantized
    )
    if how.packed:
        packed_attention.use(base)
        if torch.cuda.is_available():
            fuse_norms(base)
    if how.checkpointing:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        base.train()  # else transformers keeps the activations; it changes nothing more where dropout is 0
    return base


def fuse_norms(model: Any) -> None:
    """Have each RMS norm be one operation, where transformers has eight: a card waits for every one to be launched.

    For architectures of `backends.PACKED`; up to the rounding of 16 bits they are transformers' own.
    """
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            size, eps = module.weight.shape, module.variance_epsilon
            module.forward = partial(torch.nn.functional.rms_norm, normalized_shape=size, weight=module.weight, eps=eps)


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


def piecewise_nats(head: Any, hidden: Tensor, targets: Tensor) -> Tensor:
    """Nats of `targets` [n] from `hidden` [n, width], `LOSS_PIECE` tokens' logits at a time.

    The logits of a piece are computed again on the way back, so that never more than one piece's are held.
    """

    def piece(states: Tensor, wanted: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(head(states).float(), wanted, reduction="none")

    pieces = zip(hidden.to(head.weight.dtype).split(LOSS_PIECE), targets.split(LOSS_PIECE), strict=True)
    return torch.cat([torch.utils.checkpoint.checkpoint(piece, *one, use_reentrant=False) for one in pieces])
