"""`python -m solver pretrain`: make the data, train, resume, export. See `--help`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from solver.hardware import malloc
from solver.pretrain.recipe import PRESETS, Recipe

SIZES = ("width", "layers", "heads", "inner")
PAIRS_A_TASK = {"smoke": 4, "cpu": 200, "gpu": 1000}  # RE-ARC pairs drawn from each generator
GAUGE_SEED = 1  # of the held-out pairs: the same gauge whatever is trained on


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m solver pretrain", description=__doc__)
    parser.add_argument(
        "--preset", choices=PRESETS, default="cpu", help="smoke: minutes; cpu: the shipped shape; gpu: larger"
    )
    parser.add_argument("--directory", type=Path, help="data, checkpoint and curve; default: runs/pretrain-PRESET")
    parser.add_argument("--steps", type=int, help="optimizer steps, instead of the preset's; may grow on resuming")
    parser.add_argument("--workers", type=int, help="processes that share each step, one thread each on a CPU")
    for name in SIZES:
        parser.add_argument(f"--{name}", type=int, metavar="N", help="of the model, instead of the preset's")
    parser.add_argument("--seed", type=int, help="seed of data order and initial weights")
    parser.add_argument("--pairs", type=int, metavar="N", help="drawn from each generator, instead of the preset's")
    parser.add_argument("--matrix-rate", type=float, help="peak learning rate of the layers' matrices (Muon)")
    parser.add_argument("--other-rate", type=float, help="peak learning rate of everything else (AdamW)")
    parser.add_argument("--decay", type=float, help="share of the steps, the last ones, in which the rates fall to 0")
    parser.add_argument("--every", type=int, help="steps between checkpoints; default 100, gpu 500")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda with --preset gpu, cpu otherwise")
    parser.add_argument("--start-from", type=Path, metavar="DIR", help="exported weights to start from, not at random")
    parser.add_argument("--average", type=float, help="kept by each step of the weights' running average; 0: none")
    parser.add_argument("--tokens", type=int, metavar="N", help="places a step, instead of the preset's")
    parser.add_argument("--upscale", type=float, help="share of the sequences whose cells are made larger")
    parser.add_argument("--pad", type=float, help="share of the sequences whose grids are put in a larger canvas")
    parser.add_argument("--minutes", type=float, help="stop after so many, with a checkpoint to go on from")
    parser.add_argument("--no-compile", action="store_true", help="on a CPU: do not fuse operations with a C++ compiler")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write the weights here when training ends")
    return parser.parse_args(argv)


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The preset's recipe, with what the command line says instead."""
    names = (*SIZES, "tokens", "steps", "workers", "seed", "matrix_rate", "other_rate", "decay", "average", "upscale", "pad")
    chosen = {k: getattr(options, k) for k in names if getattr(options, k) is not None}
    return replace(Recipe(**PRESETS[options.preset]), **chosen)


def together(work: Callable[..., None], arguments: tuple[Any, ...], workers: int) -> None:
    """Run `work(rank, *arguments)` in so many processes, to their ends; none of them outlives this one's SIGTERM."""
    from torch.multiprocessing.spawn import start_processes

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    started = start_processes(work, arguments, nprocs=workers, start_method="spawn", join=False)
    try:
        while not started.join():
            pass
    finally:
        for process in started.processes:
            process.terminate()


def main(argv: list[str]) -> int:
    """Train from the last checkpoint in the directory, or from scratch where there is none."""
    options = parse(argv)
    options.directory = options.directory or Path(f"runs/pretrain-{options.preset}")
    on_gpu = options.preset == "gpu"
    options.device, options.every = (
        options.device or ("cuda" if on_gpu else "cpu"),
        options.every or (500 if on_gpu else 100),
    )
    for name, value in malloc.BY_SHAPE.items():
        os.environ.setdefault(name, value)  # the workers', too
    import torch

    from solver.pretrain import data, split
    from solver.pretrain.workers import work

    recipe = recipe_of(options)
    if options.device == "cuda" and torch.cuda.device_count() < recipe.workers:
        found = torch.cuda.device_count()
        advice = "take fewer --workers, or --device cpu"
        sys.exit(f"--device cuda with {recipe.workers} workers wants as many GPUs, {found} found: {advice}")
    if not (options.directory / "train.npz").exists():
        parts, usual = split.arc1_split(), PAIRS_A_TASK[options.preset]
        count = options.pairs or usual
        print(f"drawing {count} pairs from each of {len(parts.train)} generators", file=sys.stderr, flush=True)
        data.save(data.collect(parts.held_out, max(usual // 10, 4), GAUGE_SEED), options.directory / "held.npz")
        data.save(data.collect(parts.train, count, recipe.seed), options.directory / "train.npz")
    for stale in options.directory.glob("meeting-*"):
        stale.unlink()
    arguments = (recipe, options.directory, options.device, options.every, options.start_from)
    if recipe.workers == 1:
        work(0, *arguments)
    else:
        together(work, arguments, recipe.workers)
    if options.export:
        from solver.pretrain.export import export

        print(f"wrote {export(options.directory, options.export, recipe)}")
    return 0
