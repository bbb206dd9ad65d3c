"""Examples to a LoRA adapter or an output head on disk, with peft or Unsloth; what is frozen never changes.

Knows nothing of grids or tasks. Laws: an adapter is a function of (weights, recipe, examples, seed, the adapter it
started from) alone unless the seconds ran short; what was learned before the deadline is kept.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.checkpoint
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from solver.clock import now
from solver.config.settings import TrainRecipe, require_machine
from solver.interfaces import Stop
from solver.model import output_heads
from solver.model.checkpoint import ADAPTER_FILE
from solver.training import packed_attention
from solver.training.adapters import Adapters, fuse, saved_name
from solver.training.backends import (
    PEFT,
    UNSLOTH,
    Setup,
    lora_settings,
    quantization,
    setup,
    unsloth_lora,
    unsloth_model,
)
from solver.types import Adapter, Example, TrainJob, TrainReport, seed_for

PIECE = 512  # tokens whose logits are computed at a time where the loss is computed in pieces (`footprint.LOSS_PIECE`)
FIRST_SCALE = 2.0**10  # of the loss in float16: it is halved where gradients overflow, which costs a step
FOLDED = 1024  # numbers that stand for an adapter's gradients
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
    if recipe.head:
        head_alone(made)
    if how.checkpointing:
        recompute(made)
    return made


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


def same_shape(found: Mapping[str, Any], recipe: TrainRecipe, path: Path) -> None:
    """ValueError, naming the setting, where an adapter's own settings differ from what the recipe trains."""
    lora = lora_settings(recipe)
    compared = ("r", "lora_alpha", "use_rslora", "target_modules")
    wanted = {"head": True} if recipe.head else {name: lora[name] for name in compared}
    for name in wanted:
        came, expected = found.get(name), wanted[name]
        if isinstance(expected, list):
            came, expected = sorted(came or ()), sorted(expected)
        if came != expected:
            raise ValueError(
                f"{path}: {name} is {came!r}: expected {expected!r}, as in the recipe it is trained on with"
            )


class LoraTrainer:
    """One base model with LoRAs, or with a head to be trained, set back to their start for every training.

    The model comes from Unsloth or peft. The shipped architecture is trained packed: sequences lie end to end, each
    attends to itself alone, and each has its own adapter, so that several tasks' adapters can be trained in one batch
    (`recipe.adapters_per_batch` of them).
    """

    def __init__(self, weights: Path, recipe: TrainRecipe, directory: Path, context: int, planned: Setup | None = None):
        from solver.model import grid_qwen3

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
        plain = self.how.bits == 16 and not self.how.checkpointing
        self.packed = plain and hasattr(self.model.base_model.model, "token_losses")
        count = recipe.adapters_per_batch if self.packed else 1
        self.adapters = Adapters(self.parameters, count, recipe.whole, recipe.embedding_rate)
        if self.packed:
            packed_attention.use(self.model.base_model.model)
            if not recipe.head:
                fuse(self.model, self.adapters)

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
        return self.train_together([TrainJob(name, examples, seed, start_from)], stop, steps)[0]

    def train_together(self, jobs: Sequence[TrainJob], stop: Stop, steps: int | None = None) -> list[TrainReport]:
        """`train` for several adapters, which share the seconds: as many in one batch as the trainer has room for."""
        recipe = self.recipe if steps is None else replace(self.recipe, steps=steps)
        room, reports = len(self.adapters.masters), list[TrainReport]()
        while left := jobs[len(reports) :]:
            reports += self._train(left[:room], recipe, Share(stop, room / len(left)) if room < len(left) else stop)
        return reports

    def _train(self, jobs: Sequence[TrainJob], recipe: TrainRecipe, stop: Stop) -> list[TrainReport]:
        """`train` for as many adapters as fit one batch; those without examples have no part in it."""
        present = [job for job in jobs if job.examples]
        self._begin()
        for place, job in enumerate(present):
            self.adapters.draw(place, seed_for(job.seed, job.name, "adapter"))
            if job.start_from is not None:
                self._load(place, job.start_from)
        streams = [
            batches(x.examples, recipe.tokens, seed_for(x.seed, x.name, "batches"), padded=not self.packed)
            for x in present
        ]
        pace, losses = Pace(recipe, stop), list[list[float]]()
        while present and (share := pace.next_share()) is not None:
            losses.append(self._step([next(stream) for stream in streams], recipe.rate * share))
        made = iter(
            self._report(x.name, place, [row[place] for row in losses], recipe.steps) for place, x in enumerate(present)
        )
        return [next(made) if x.examples else TrainReport(None, 0, recipe.steps) for x in jobs]

    def _begin(self) -> None:
        """Forget what was trained before."""
        self.adapters.start()
        self.scaler = torch.amp.GradScaler(self.device, init_scale=FIRST_SCALE, enabled=self.how.scaled)

    def _report(self, name: str, place: int, losses: list[float], planned: int) -> TrainReport:
        """What was learned, saved; nothing where there was no step."""
        if not losses:
            return TrainReport(None, 0, planned)
        path = self.directory / name
        if self.recipe.head:
            [head] = self.adapters.views(self.adapters.served, place).values()
            output_heads.save(head, path)
        else:
            self.adapters.save(place, self.model, path)
        return TrainReport(Adapter(name, path), len(losses), planned, tuple(losses))

    def _load(self, place: int, adapter: Adapter) -> None:
        """A saved adapter put in a place of the batch's."""
        path = adapter.path / ADAPTER_FILE
        same_shape(json.loads((adapter.path / output_heads.SETTINGS).read_text()), self.recipe, adapter.path)
        tensors = load_file(path)
        own = {output_heads.WEIGHT if self.recipe.head else saved_name(n): n for n in self.parameters}
        if {n: t.shape for n, t in tensors.items()} != {n: self.parameters[o].shape for n, o in own.items()}:
            raise ValueError(f"{path} holds other matrices than this base model's LoRA: expected an adapter of its own")
        self.adapters.take(place, {own[n]: t for n, t in tensors.items()})

    def _step(self, groups: Sequence[Sequence[Example]], rate: float) -> list[float]:
        """One step of each adapter on its own group of examples; their losses."""
        self.adapters.grads.zero_()
        losses = self.losses(groups)
        if not torch.isfinite(losses).all():
            raise FloatingPointError("the loss is not finite: the learning rate is too high for this task")
        self.scaler.scale(losses.sum()).backward()
        self.adapters.step(len(groups), rate, self.recipe.clip, self.scaler)
        found: list[float] = losses.tolist()
        return found

    def losses(self, groups: Sequence[Sequence[Example]]) -> Tensor:
        """Mean nats a token over the wanted tokens of each adapter's group, with the LoRAs as they stand; [groups]."""
        if not self.packed:
            return torch.stack([self.loss(group) for group in groups])
        batch = packed_attention.pack(groups, even=self.device != "cpu").to(self.device)
        counts = batch.owner.bincount(minlength=len(groups))
        self.adapters.rows = {len(batch.chosen): packed_attention.spans(counts.tolist()), len(batch.tokens): batch.rows}
        nats = self.model.base_model.model.token_losses(
            batch.tokens, batch.chosen, batch.targets, position_ids=batch.positions[None], runs=batch.runs
        )
        sums: Tensor = nats.new_zeros(len(groups)).index_add(0, batch.owner, nats)
        return sums / counts

    def vectors(self, examples: Sequence[Example], kind: str) -> NDArray[np.float32]:
        """What each example is to the base model, float32 [examples, numbers], for comparing tasks (`neighbours`).

        `states`: its last hidden state, the mean over the wanted tokens. `gradients`: how an adapter would be changed
        by the example at its start, which is the same for all, folded into `FOLDED` numbers whose inner products are,
        on average, those of the gradients (a count sketch, arXiv 0902.2206; LESS, arXiv 2402.04333, projects at
        random, too).
        """
        self._begin()
        self.adapters.draw(0, seed_for(0, kind, "vector"))
        made = torch.zeros(len(examples), FOLDED if kind == "gradients" else self.model.config.hidden_size)
        fold = folding(self.adapters.grads.shape[1]) if kind == "gradients" else None
        for row, example in zip(made, examples, strict=True):
            row.copy_(fold(self._gradients(example)) if fold else self._state(example))
        self.adapters.grads.zero_()
        found: NDArray[np.float32] = made.numpy()
        return found

    def _gradients(self, example: Example) -> Tensor:
        """What the loss of one example says of every number of the adapter, [numbers]; good until the next one.

        Each from zero: fused layers write their gradients where others add them.
        """
        self.adapters.grads.zero_()
        self.losses([[example]]).sum().backward()
        return self.adapters.grads[0].cpu()

    @torch.no_grad()
    def _state(self, example: Example) -> Tensor:
        """The mean of the last hidden states that say the wanted tokens, float32 [width]."""
        tokens = torch.from_numpy(example.tokens[:-1]).long().to(self.device)[None]
        chosen = torch.from_numpy(example.loss[1:]).to(self.device)
        self.adapters.rows = {int(chosen.numel()): ((0, int(chosen.numel())),)}
        hidden = self.model.base_model.model.model(tokens).last_hidden_state[0]
        mean: Tensor = hidden[chosen].float().mean(0).cpu()
        return mean

    def loss(self, batch: Sequence[Example]) -> Tensor:
        """The same for one group of padded sequences."""
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
        """The last hidden states, [batch, length, hidden]; Unsloth gives them in the logits' place (`backends`)."""
        if self.how.library == UNSLOTH:
            with torch.autocast(self.device, getattr(torch, self.how.dtype)):  # its LoRA matrices are float32
                hidden: Tensor = self.model(input_ids=tokens).logits
            return hidden
        inner: Tensor = self.model.base_model.model.model(input_ids=tokens).last_hidden_state
        return inner

    def offload(self) -> None:
        """Leave the card to the engine: the weights wait in the machine's memory."""
        self._move("cpu")

    def reload(self) -> None:
        """Take the card again."""
        self._move(self.device)

    def _move(self, device: str) -> None:
        if next(iter(self.parameters.values())).device.type != torch.device(device).type:
            self.model.to(device)
            if device == self.device:
                self.adapters.bind()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def folding(count: int, size: int = FOLDED) -> Callable[[Tensor], Tensor]:
    """What makes float32 [size] of `count` numbers: each is added, with a sign of its own, to one of the places.

    Signs and places are the same every time.
    """
    generator = torch.Generator().manual_seed(seed_for(0, "gradients", "folding"))
    places = torch.randint(size, (count,), generator=generator)
    signs = torch.randint(2, (count,), generator=generator) * 2 - 1
    return lambda numbers: torch.zeros(size).index_add_(0, places, numbers.float() * signs)


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


class Share:
    """A part of the seconds that are left now."""

    def __init__(self, stop: Stop, part: float):
        self.stop, self.kept = stop, (1 - part) * stop.remaining()

    def remaining(self) -> float:
        """Seconds left of the part."""
        return max(0.0, self.stop.remaining() - self.kept)


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


def batches(examples: Sequence[Example], tokens: int, seed: int, padded: bool = True) -> Iterator[list[Example]]:
    """The examples for ever, each pass in the order given but for the first in a new one, `tokens` a batch.

    `padded`: each example counts as long as the longest of its batch.
    """
    rng, order = np.random.default_rng(seed), list(range(len(examples)))
    while examples:
        group: list[Example] = []
        for index in order:
            sizes = [examples[index].tokens.size, *(e.tokens.size for e in group)]
            if group and (max(sizes) * len(sizes) if padded else sum(sizes)) > tokens:
                yield group
                group = []
            group.append(examples[index])
        yield group
        order = [int(i) for i in rng.permutation(len(examples))]
