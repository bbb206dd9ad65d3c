"""`python -m solver.pretrain`: make the data, train, resume, export. See `--help`.

`python -m solver.pretrain pool`: make a pool of pairs alone, to be trained on with `--pool`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solver import heap
from solver.tasks import BadInput

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
    parser = argparse.ArgumentParser(prog="python -m solver.pretrain", description=__doc__)
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
    parser.add_argument("--pool", type=Path, metavar="FILE", help="pairs to train on, instead of drawing them")
    parser.add_argument("--held-out", type=Path, metavar="FILE", help="pool to measure by, instead of drawing it")
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


def provide(options: argparse.Namespace, seed: int) -> None:
    """Put the pools into the directory as train.npz and held.npz: those named, or drawn ones where there are none.

    Raises `BadInput`: a pool that is none, that has content of evaluation tasks, or differs from the directory's.
    """
    from solver.pretrain import data, sources, split

    if options.pool and options.pairs:
        raise BadInput("--pairs came with --pool, whose pairs are drawn already; expected one of them; leave one out")
    usual = PAIRS_A_TASK[options.preset]
    trained, gauge = options.directory / "train.npz", options.directory / "held.npz"
    if options.pool:
        data.check(data.load(options.pool), str(options.pool))
        data.copy(options.pool, trained)
    elif trained.exists():
        data.check(data.load(trained), str(trained))
    if options.held_out:
        data.load(options.held_out)
        data.copy(options.held_out, gauge)
    if not gauge.exists():
        data.save(sources.collect(split.arc1_split().held_out, max(usual // 10, 4), GAUGE_SEED), gauge)
    if not trained.exists():
        request = sources.Request(options.pairs or usual, seed)
        pool, _ = sources.training_pool(request, lambda text: print(text, file=sys.stderr, flush=True))
        data.save(pool, trained)


def main(argv: list[str]) -> int:
    """Train from the last checkpoint in the directory, or from scratch where there is none; or make a pool."""
    if argv[:1] == ["pool"]:
        from solver.pretrain import make_pool

        return make_pool.main(argv[1:])
    options = parse(argv)
    options.directory = options.directory or Path(f"runs/pretrain-{options.preset}")
    on_gpu = options.preset == "gpu"
    options.device, options.every = (
        options.device or ("cuda" if on_gpu else "cpu"),
        options.every or (500 if on_gpu else 100),
    )
    for name, value in heap.BY_SHAPE.items():
        os.environ.setdefault(name, value)  # the workers', too
    import torch

    from solver.pretrain.workers import work

    recipe = recipe_of(options)
    if options.device == "cuda" and torch.cuda.device_count() < recipe.workers:
        found = torch.cuda.device_count()
        advice = "take fewer --workers, or --device cpu"
        sys.exit(f"--device cuda with {recipe.workers} workers wants as many GPUs, {found} found: {advice}")
    try:
        provide(options, recipe.seed)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
