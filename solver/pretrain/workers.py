"""One worker process of a pretraining run. Knows nothing of the command line."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import distributed

from solver.hardware import gpus, malloc
from solver.pretrain import ahead, data, train
from solver.pretrain.batches import ROUND

DRAWERS = 4  # processes that draw all batches for each GPU; one draws some 2.5 million tokens a second
HELD_OUT_SEQUENCES = 64  # sequences of held-out tasks that the figures on the way are computed over


def work(
    rank: int, recipe: train.Recipe, directory: Path, device: str, every: int, start_from: Path | None = None
) -> None:
    """Join the other workers where there are any, load the last checkpoint, train to the end.

    `device`: `cpu`, or `cuda` for a GPU a worker.
    """
    malloc.keep()
    on_gpu = device == "cuda"
    if on_gpu:
        device = f"cuda:{rank}"
        torch.cuda.set_device(rank)
    if recipe.workers > 1:
        torch.set_num_threads(1)
        # The starting process's id: the same for all workers of a start, new in every start.
        meeting = f"file://{(directory / f'meeting-{os.getppid()}').resolve()}"
        distributed.init_process_group("nccl" if on_gpu else "gloo", meeting, rank=rank, world_size=recipe.workers)
    training = train.Training(recipe, device)
    if (directory / "checkpoint.safetensors").exists():
        training.load(directory)
    elif start_from is not None:
        training.start_from(start_from)
    held = data.load(directory / "held.npz")
    peak = recipe.workers * sum(card.card.flops for card in gpus.shown()[:1]) if on_gpu else 0.0
    first, drawers = training.done // ROUND, DRAWERS if on_gpu else 0
    drawn = ahead.rounds(directory / "train.npz", recipe.seed, recipe.tokens, first, drawers)
    train.run(training, drawn, directory, train.gauge(held, HELD_OUT_SEQUENCES), every, peak)
    drawn.close()
    if recipe.workers > 1:
        distributed.destroy_process_group()
