"""GPU checks that need torch, transformers and peft alone, no wheels: the trainer by itself, and pretraining."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from solver.clock import Deadline, now
from solver.hardware import memory_plan
from solver.hardware.gpus import GIB, Card
from solver.model import checkpoint
from solver.model.architecture import read
from solver.runtime import load_models
from solver.tokens.grid import GRID, VOCABULARY
from solver.training import backends
from solver.types import Example, TrainJob
from tests.gpu import checks
from tests.gpu.measures import Row

if TYPE_CHECKING:
    import torch

    from solver.training.trainer import LoraTrainer

GRADIENTS_CLOSE = 0.05  # of a gradient's length: two attentions in bfloat16; reasoned, not measured yet
PAST = 1.1  # what memory may be taken, as a share of what was planned
BATCHES = 8  # of pretraining that are timed, after two that are not


def trainer_alone(folder: Path, stop: Deadline) -> Iterator[Row]:
    """The shipped weights' trainer: one adapter and many at once, in two formats of numbers, packed and padded."""
    import torch

    from solver.training.trainer import LoraTrainer

    scale, card, left = checks.scale, load_models.this_card(), stop.remaining()
    recipe, weights = scale.config.train, checkpoint.SHIPPED
    planned = memory_plan.plan(read(weights), card, scale.config)
    made = checks.examples(scale.median, GRID)
    firsts = {}  # of losses, by dtype
    usual, other = scale.formats
    for dtype, at_once in ((usual, 1), (usual, recipe.adapters_per_batch), (other, 1)):
        how = backends.setup(weights, recipe, scale.context, True, dtype)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        trainer = LoraTrainer(weights, replace(recipe, adapters_per_batch=at_once), folder / "a", scale.context, how)
        jobs = [TrainJob(f"task-{n}", made, n) for n in range(at_once)]
        trainer.train_together(jobs, stop.within(0.05 * left), steps=2)
        started = now()
        report = trainer.train_together(jobs, stop.within(0.2 * left))[0]
        each = 1000 * (now() - started) / max(1, report.steps)
        what, losses = f"{at_once} at once, {dtype}", report.losses
        yield Row(f"{what}: a step", "", f"{each:.1f} ms, {each / at_once:.1f} ms an adapter")
        yield Row(f"{what}: the loss", "falls", f"{losses[0]:.3f} to {losses[-1]:.3f}", losses[-1] < losses[0])
        firsts[dtype] = losses[0]
        if at_once == recipe.adapters_per_batch:
            taken, most = torch.cuda.max_memory_allocated() - before, planned.trainer
            within = (most + planned.trainer_work) / GIB
            good = taken <= within * PAST * GIB
            yield Row(f"{what}: memory of training", f"{within:.2f} GiB planned", f"{taken / GIB:.2f} GiB", good)
            yield from packed_and_padded(trainer, made, card)
            trainer.offload()
            stays = (torch.cuda.memory_allocated() - before) / GIB
            yield Row(f"{what}: memory after offloading", "", f"{stays:.2f} GiB")
    apart = abs(firsts[other] - firsts[usual])
    yield Row(f"{usual} and {other}", f"{checks.CLOSE} nats a token apart", f"{apart:.4f}", apart <= checks.CLOSE)


def packed_and_padded(trainer: LoraTrainer, made: list[Example], card: Card) -> Iterator[Row]:
    """Loss and gradients of one group as it is trained, and with its sequences padded for the attention."""
    import torch

    from solver.training import packed_attention

    group, usual, used = made[:4], packed_attention.kernel, list[str]()
    losses, gradients = list[float](), list[torch.Tensor]()

    def watched(queries: torch.Tensor) -> Callable[..., torch.Tensor]:
        used.append(usual(queries).__name__)
        return usual(queries)

    try:
        for kernel in (watched, lambda _: packed_attention.padded):
            packed_attention.kernel = kernel
            for _ in range(2):  # the first warms the kernels up
                started = now()
                trainer.adapters.grads.zero_()
                loss = trainer.losses([group]).sum()
                loss.backward()
                gradient = trainer.adapters.grads[0].float().clone()
                norm = float(gradient.norm())  # waits for all of it
                seconds = now() - started
            losses.append(float(loss.detach()))
            gradients.append(gradient)
            name = packed_attention.padded.__name__ if len(losses) > 1 else used[-1]
            seen = f"{1000 * seconds:.1f} ms, a gradient of {norm:.3g}"
            yield Row(f"attention {name}: {len(group)} sequences there and back", "", seen)
    finally:
        packed_attention.kernel = usual
    if card.capability >= packed_attention.FLASH_SINCE:
        wanted = packed_attention.by_lengths if torch.cuda.is_available() else packed_attention.by_products
        yield Row("attention as trained", wanted.__name__, used[-1], set(used) == {wanted.__name__})
    apart = abs(losses[0] - losses[1])
    yield Row(
        f"{used[-1]} and padded: losses", f"{checks.CLOSE} nats a token apart", f"{apart:.4f}", apart <= checks.CLOSE
    )
    far = float((gradients[0] - gradients[1]).norm() / gradients[1].norm())
    yield Row(
        f"{used[-1]} and padded: gradients", f"{GRADIENTS_CLOSE} apart at most", f"{far:.4f}", far <= GRADIENTS_CLOSE
    )


def pretraining(folder: Path, stop: Deadline) -> Iterator[Row]:
    """Tokens a second of pretraining the larger model, and the share of the card's peak that is."""
    import torch

    from solver.pretrain.recipe import Recipe
    from solver.pretrain.train import Training

    recipe, card = Recipe(**checks.scale.pretraining), load_models.this_card()
    training = Training(recipe, "cuda" if torch.cuda.is_available() else "cpu")
    rng, every = np.random.default_rng(0), np.ones(recipe.row, bool)
    rows = recipe.tokens // recipe.row
    batch = [[Example(rng.integers(0, VOCABULARY, recipe.row, np.int32), every)] for _ in range(rows)]
    first, _ = (float(training.step(batch)[0]) for _ in range(2))
    began, work, started, loss = training.tokens, training.work, now(), first
    for _ in range(BATCHES):
        if stop.remaining() > 0:
            loss = float(training.step(batch)[0])
    seconds, tokens = now() - started, training.tokens - began
    used = (training.work - work) / seconds / card.flops
    yield Row("pretraining: speed", "", f"{tokens / seconds:,.0f} tokens/s, {used:.1%} of the card's peak")
    yield Row("pretraining: the loss", "falls", f"{first:.3f} to {loss:.3f}", loss < first)
