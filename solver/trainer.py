"""Examples to a LoRA adapter on disk, with peft or Unsloth; the base weights are loaded once and never change.

Knows nothing of grids or tasks. Laws: an adapter is a function of (weights, recipe, examples, seed, the adapter it
started from) alone unless the seconds ran short; what was learned before the deadline is kept.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.checkpoint
from safetensors.torch import load_file
from torch import Tensor

from solver.base_model import PEFT, UNSLOTH, Setup, lora_settings, quantization, setup, unsloth_lora, unsloth_model
from solver.checkpoint import ADAPTER_FILE
from solver.clock import now
from solver.config import TrainRecipe, require_machine
from solver.core import Adapter, Example, Stop, TrainReport, seed_for

PIECE = 512  # tokens whose logits are computed at a time where the loss is computed in pieces (`footprint.LOSS_PIECE`)
FIRST_SCALE = 2.0**10  # of the loss in float16: it is halved where gradients overflow, which costs a step
MEASURED = 4  # steps (after one to warm up) before the pace is trusted to shorten the plan


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
    made = peft.get_peft_model(base, lora, autocast_adapter_dtype=False)
    if how.checkpointing:
        recompute(made)
    return made


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


def same_shape(found: Mapping[str, Any], recipe: TrainRecipe, path: Path) -> None:
    """ValueError, naming the setting, where an adapter's own settings differ from what the recipe trains."""
    wanted = lora_settings(recipe)
    for name in ("r", "lora_alpha", "use_rslora", "target_modules"):
        came, expected = found.get(name), wanted[name]
        if isinstance(expected, list):
            came, expected = sorted(came or ()), sorted(expected)
        if came != expected:
            raise ValueError(
                f"{path}: {name} is {came!r}: expected {expected!r}, as in the recipe it is trained on with"
            )


class LoraTrainer:
    """One base model with one LoRA, set back to its start for every training. The model comes from Unsloth or peft."""

    def __init__(self, weights: Path, recipe: TrainRecipe, directory: Path, context: int, planned: Setup | None = None):
        from solver import grid_qwen3

        grid_qwen3.register()
        self.recipe, self.directory = recipe, directory
        cuda = torch.cuda.is_available()
        require_machine(recipe, cuda, importlib.util.find_spec("bitsandbytes") is not None)
        self.how = planned or setup(weights, recipe, context, cuda)
        self.notes = (self.how.note,)
        self.device = "cuda" if cuda else "cpu"
        made = (with_peft if self.how.library == PEFT else with_unsloth)(weights, recipe, self.how)
        self.model: Any = made.to(self.device)
        self.parameters = {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    def train(
        self,
        name: str,
        examples: Sequence[Example],
        seed: int,
        stop: Stop,
        start_from: Adapter | None = None,
        steps: int | None = None,
    ) -> TrainReport:
        """Train until the recipe's steps, or so many `steps`, are done or `stop` has no seconds left; save the adapter.

        The start is the base weights, or `start_from`, which stays as it is on disk and must be of this recipe's
        shape; ValueError: it is not.
        """
        recipe = self.recipe if steps is None else replace(self.recipe, steps=steps)
        masters = self._reset(seed_for(seed, name, "adapter"))
        if start_from is not None:
            masters = self._load(start_from)
        optimizer = torch.optim.AdamW(masters.values(), lr=self.recipe.rate, weight_decay=0.0)
        pace = Pace(recipe, stop)
        losses: list[float] = []
        for batch in batches(examples, self.recipe.tokens, seed_for(seed, name, "batches")):
            share = pace.next_share()
            if share is None:
                break
            optimizer.param_groups[0]["lr"] = self.recipe.rate * share
            losses.append(self._step(batch, masters, optimizer))
        if not losses:
            return TrainReport(None, 0, recipe.steps)
        path = self.directory / name
        self.model.save_pretrained(path, safe_serialization=True)
        return TrainReport(Adapter(name, path), len(losses), recipe.steps, tuple(losses))

    def _reset(self, seed: int) -> dict[str, Tensor]:
        """The LoRA back to its start (A random, B zero); returns float32 masters of its matrices."""
        generator = torch.Generator().manual_seed(seed)
        self.scaler = torch.amp.GradScaler(self.device, init_scale=FIRST_SCALE, enabled=self.how.scaled)
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                bound = 1 / math.sqrt(parameter.shape[1]) if "lora_A" in name else 0.0
                start = (torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound
                parameter.copy_(start.to(parameter.device))
                parameter.grad = None  # what a training that broke off left behind
        return {n: p.detach().float().clone() for n, p in self.parameters.items()}

    def _load(self, adapter: Adapter) -> dict[str, Tensor]:
        """A saved adapter put in the LoRA's place; returns float32 masters of its matrices."""
        path = adapter.path / ADAPTER_FILE
        same_shape(json.loads((adapter.path / "adapter_config.json").read_text()), self.recipe, adapter.path)
        tensors = load_file(path)
        own = {name.replace(".default.", "."): parameter for name, parameter in self.parameters.items()}
        if {n: t.shape for n, t in tensors.items()} != {n: p.shape for n, p in own.items()}:
            raise ValueError(f"{path} holds other matrices than this base model's LoRA: expected an adapter of its own")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(tensors[name].to(parameter.device))
        return {n: p.detach().float().clone() for n, p in self.parameters.items()}

    def _step(self, batch: list[Example], masters: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> float:
        loss = self.loss(batch)
        if not torch.isfinite(loss):
            raise FloatingPointError("the loss is not finite: the learning rate is too high for this task")
        self.scaler.scale(loss).backward()
        for name, parameter in self.parameters.items():
            assert parameter.grad is not None
            masters[name].grad = parameter.grad.float()
            parameter.grad = None
        self.scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(masters.values(), self.recipe.clip)
        self.scaler.step(optimizer)  # in float16 it leaves a step out whose gradients overflowed
        self.scaler.update()
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(masters[name])
        return float(loss.detach())

    def loss(self, batch: list[Example]) -> Tensor:
        """Mean nats a token over the batch's wanted tokens, with the LoRA as it stands."""
        longest = max(e.tokens.size for e in batch)
        tokens = torch.zeros(len(batch), longest, dtype=torch.long)
        wanted = torch.zeros(len(batch), longest, dtype=torch.bool)
        for row, example in enumerate(batch):
            tokens[row, : example.tokens.size] = torch.from_numpy(example.tokens)
            wanted[row, : example.tokens.size] = torch.from_numpy(example.loss)
        model = self.model.base_model.model
        tokens, wanted = tokens.to(self.device), wanted.to(self.device)
        if hasattr(model, "loss"):  # the factored head's, without vocabulary-wide logits
            factored: Tensor = model.loss(tokens, wanted)
            return factored
        chosen, targets = wanted[:, 1:], tokens[:, 1:][wanted[:, 1:]]
        if self.how.pieces:
            return piecewise_loss(model.get_output_embeddings(), self._hidden(tokens[:, :-1])[chosen], targets)
        logits = self.model(input_ids=tokens[:, :-1]).logits[chosen]
        return torch.nn.functional.cross_entropy(logits.float(), targets)

    def _hidden(self, tokens: Tensor) -> Tensor:
        """The last hidden states, [batch, length, hidden]; Unsloth gives them in the logits' place (`base_model`)."""
        if self.how.library == UNSLOTH:
            with torch.autocast(self.device, getattr(torch, self.how.dtype)):  # its LoRA matrices are float32
                hidden: Tensor = self.model(input_ids=tokens).logits
            return hidden
        inner: Tensor = self.model.base_model.model.model(input_ids=tokens).last_hidden_state
        return inner

    def rest(self) -> None:
        """Leave the card to the engine: the weights wait in the machine's memory."""
        self._move("cpu")

    def wake(self) -> None:
        """Take the card again."""
        self._move(self.device)

    def _move(self, device: str) -> None:
        if next(iter(self.parameters.values())).device.type != torch.device(device).type:
            self.model.to(device)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


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


class Pace:
    """The learning-rate plan over the steps that fit the seconds.

    As long as the recipe's steps fit, the plan is the recipe's and the clock changes nothing; where they don't, the
    plan is shortened so that the rate still falls to zero in time.
    """

    def __init__(self, recipe: TrainRecipe, stop: Stop):
        self.recipe, self.stop, self.done, self.planned = recipe, stop, 0, recipe.steps
        self.since, self.started = now(), 0

    def next_share(self) -> float | None:
        """Share of the peak rate for the next step; None where there is to be none."""
        left = self.stop.remaining()
        if self.done == 1:  # the first step warms caches up and is not measured
            self.since, self.started = now(), 1
        elif self.done > MEASURED:
            seconds = (now() - self.since) / (self.done - self.started)
            self.planned = int(min(self.recipe.steps, self.done + left / max(seconds, 1e-6)))
        if self.done >= self.planned or left <= 0:
            return None
        warm = max(1.0, self.recipe.warmup * self.planned)
        progress = self.done / self.planned
        self.done += 1
        return min(self.done / warm, 0.5 + 0.5 * math.cos(math.pi * progress))


def batches(examples: Sequence[Example], tokens: int, seed: int) -> Iterator[list[Example]]:
    """The examples for ever, each pass in the order given but for the first in a new one, `tokens` a batch."""
    rng, order = np.random.default_rng(seed), list(range(len(examples)))
    while examples:
        group: list[Example] = []
        for index in order:
            longest = max([examples[index].tokens.size, *(e.tokens.size for e in group)])
            if group and longest * (len(group) + 1) > tokens:
                yield group
                group = []
            group.append(examples[index])
        yield group
        order = [int(i) for i in rng.permutation(len(examples))]
