"""Trained masters to a directory that transformers, peft and vLLM load: safetensors, configuration, manifest."""

import contextlib
import json
from pathlib import Path

from solver.model.checkpoint import MANIFEST, sha256
from solver.pretrain.recipe import Recipe
from solver.pretrain.train import Training
from solver.tokens.grid import GRID


def export(checkpoint: Path, directory: Path, recipe: Recipe, last: bool = False) -> Path:
    """Write the last checkpoint's weights as bfloat16 into `directory`, with the sha256 of each file; returns it.

    Where the recipe keeps running averages these are what is written, but for `last`: where the rates have fallen to
    zero in fewer steps than an average goes back over, the last weights are the better ones.
    """
    training = Training(recipe)
    training.load(checkpoint)
    with contextlib.nullcontext(training.model) if last else training.averaged() as model:
        model.save_pretrained(directory, safe_serialization=True)
    write_manifest(directory, GRID.name)
    return directory


def write_manifest(directory: Path, format: str) -> None:
    """List every file of a weights directory with its sha256 in its manifest; `format`: its token format's name."""
    files = sorted(p for p in directory.iterdir() if p.is_file() and p.name != MANIFEST)
    hashes = {p.name: sha256(p) for p in files}
    (directory / MANIFEST).write_text(json.dumps({"format": format, "sha256": hashes}, indent=2) + "\n")
