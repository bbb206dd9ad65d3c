"""`python -m solver pretrain`: make the data, train, resume, export. See `--help`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solver.hardware import malloc

if TYPE_CHECKING:
    from solver.pretrain.train import Recipe

PRESETS = {
    "smoke": {"width": 64, "layers": 2, "heads": 2, "head_size": 32, "inner": 128, "steps": 40, "tokens": 2048},
    "cpu": {},
    "gpu": {  # 17.8 M parameters; 1.3 billion tokens; the rates are those of `cpu`
        **{"width": 384, "layers": 10, "heads": 6, "head_size": 64, "inner": 1024},
        **{"steps": 10_000, "tokens": 131_072, "warmup": 200, "workers": 1},
    },
}
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
    parser.add_argument("--export", type=Path, metavar="DIR", help="write the weights here when training ends")
    return parser.parse_args(argv)


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The preset's recipe, with what the command line says instead."""
    from solver.pretrain.train import Recipe

    names = (*SIZES, "steps", "workers", "seed", "matrix_rate", "other_rate", "decay")
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
