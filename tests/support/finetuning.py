"""What the tests of fine-tuning share: tiny checkpoints, trainers for them, and runs of a few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from solver.finetune import train
from solver.finetune.all_weights import AllWeightsTrainer
from solver.finetune.recipe import FineTuning
from solver.pretrain.gauge import held_out_sequences
from solver.tokens import registry
from solver.tokens.grid import GRID, Format
from solver.training import backends
from solver.training.trainer import LoraTrainer
from tests.support.pretraining import HELD_OUT, small_pool
from tests.support.tiny import tiny_model

SETTINGS = FineTuning(steps=4, tokens=256, longest=256, rank=8, rate=1e-2)
LONGEST = 256


def grid_weights(directory: Path) -> Path:
    """The tiny model of the grid format, in bfloat16."""
    import torch

    tiny_model(spread=0.1).to(torch.bfloat16).save_pretrained(directory, safe_serialization=True)
    return directory


def trainer(weights: Path, settings: FineTuning, directory: Path, **how_else: Any) -> LoraTrainer:
    """What trains these weights on a CPU; `how_else`: fields of its `Setup` that are others there."""
    recipe = settings.train_recipe(settings.rate or 1e-3)
    how = replace(backends.setup(weights, recipe, LONGEST, cuda=False), **how_else)
    kind = AllWeightsTrainer if settings.full else LoraTrainer
    return kind(weights, recipe, directory, LONGEST, how)


def format_of(weights: Path) -> Format:
    """The format the weights speak."""
    return GRID if registry.is_own(weights) else registry.load(registry.recognise(weights), weights)


def job(weights: Path, settings: FineTuning, directory: Path, every: int = 2) -> train.FineTuneJob:
    """A run in this directory."""
    origin = {"weights": "of these weights", "pool": "of this pool"}
    return train.FineTuneJob(settings, format_of(weights), LONGEST, directory, origin, every)


def run(weights: Path, settings: FineTuning, directory: Path, **changes: object) -> tuple[train.TuningRun, int]:
    """Train to the end; `changes` of the job."""
    given = replace(job(weights, settings, directory), **changes)  # type: ignore[arg-type]
    held_out = held_out_sequences(HELD_OUT, 2, given.format)
    return train.run(trainer(weights, settings, directory), given, small_pool(), held_out)
