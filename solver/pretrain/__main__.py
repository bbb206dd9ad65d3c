"""`python -m solver pretrain`: make the data, train, resume, export. See `--help`.

`python -m solver pretrain pool`: make a pool of pairs alone, to be trained on with `--pool`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solver.hardware import malloc
from solver.hardware.garbage import uncollected
from solver.pretrain.recipe import PRESETS, Recipe
from solver.types import BadInput

if TYPE_CHECKING:
    from solver.pretrain.workers import Job

SIZES = ("width", "layers", "heads", "inner")
PAIRS_A_TASK = {"smoke": 4, "cpu": 200, "gpu": 1000}  # RE-ARC pairs drawn from each generator


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
    parser.add_argument("--pool", type=Path, metavar="FILE", help="pairs to train on, instead of drawing them")
    parser.add_argument("--held-out", type=Path, metavar="FILE", help="pool to measure by, instead of drawing it")
    parser.add_argument("--matrix-rate", type=float, help="peak learning rate of the layers' matrices (Muon)")
    parser.add_argument("--other-rate", type=float, help="peak learning rate of everything else (AdamW)")
    decay = "share of the steps, the last ones, in which the rates fall to 0; may change on resuming"
    parser.add_argument("--decay", type=float, help=decay)
    parser.add_argument("--every", type=int, help="steps between checkpoints; default 100, gpu 500")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda with --preset gpu, cpu otherwise")
    parser.add_argument("--start-from", type=Path, metavar="DIR", help="exported weights to start from, not at random")
    parser.add_argument("--average", type=float, help="kept by each step of the weights' running average; 0: none")
    parser.add_argument("--tokens", type=int, metavar="N", help="places a step, instead of the preset's")
    parser.add_argument("--upscale", type=float, help="share of the sequences whose cells are made larger")
    parser.add_argument("--pad", type=float, help="share of the sequences whose grids are put in a larger canvas")
    parser.add_argument("--minutes", type=float, help="stop after so many, with a checkpoint to go on from")
    parser.add_argument("--no-compile", action="store_true", help="on a CPU: fuse no operations")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write the weights here when training ends")
    parser.add_argument("--last", action="store_true", help="export the last weights, not their running average")
    return parser.parse_args(argv)


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The preset's recipe, with what the command line says instead."""
    rates = ("matrix_rate", "other_rate", "decay", "average", "upscale", "pad")
    names = (*SIZES, *rates, "tokens", "steps", "workers", "seed")
    chosen = {k: getattr(options, k) for k in names if getattr(options, k) is not None}
    return replace(Recipe(**PRESETS[options.preset]), **chosen)


def together(job: Job) -> int:
    """Train in so many processes as the recipe has workers, to their ends; returns the exit status.

    SIGTERM and SIGINT are passed on: the workers stop after the step they are at, with a checkpoint. None of them
    outlives this process, which has not computed anything by torch: the threads it would have are not in a fork.
    """
    from torch.multiprocessing.spawn import ProcessExitedException, start_processes

    from solver.pretrain.workers import apart

    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # ends the others without a word
    told: list[int] = []
    fork = job.device == "cpu" and sys.platform == "linux"  # which need not import torch, most of a start
    method = "fork" if fork else "spawn"
    started = start_processes(apart, (job, os.getpid()), nprocs=job.recipe.workers, start_method=method, join=False)

    def pass_on(number: int, _frame: Any) -> None:
        told.append(number)
        for process in started.processes:
            process.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    try:
        while not started.join(1.0):
            pass
    except ProcessExitedException as error:
        return 128 + told[0] if told else int(error.exit_code) or 1
    finally:
        for process in started.processes:
            process.kill()
    return 128 + told[0] if told else 0


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
    for name, value in malloc.BY_SHAPE.items():
        os.environ.setdefault(name, value)  # the workers', too
    with uncollected():
        import torch

        from solver.pretrain import data, train
        from solver.pretrain.provide import WantedPools, provide
        from solver.pretrain.row_model import can_compile
        from solver.pretrain.workers import Job, init_distributed, torchrun_rank, work

    try:
        recipe, place = recipe_of(options), torchrun_rank()
        if place and place[1] != recipe.workers:
            raise BadInput(f"torchrun started {place[1]} processes: expected --workers {place[1]} to say so, too")
        here = int(os.environ["LOCAL_WORLD_SIZE"]) if place else recipe.workers
        if options.device == "cuda" and (cards := torch.cuda.device_count()) < here:
            advice = "take fewer --workers, or --device cpu"
            sys.exit(f"--device cuda with {here} workers here wants as many GPUs, {cards} found: {advice}")
        if place:
            waiting = init_distributed(options.device == "cuda")
        if options.start_from:
            train.check_start(options.start_from, recipe)
        if not place or place[0] == 0:
            usual = PAIRS_A_TASK[options.preset]
            provide(options.directory, WantedPools(options.pool, options.held_out, options.pairs, usual), recipe.seed)
        if place:
            torch.distributed.barrier(waiting)  # the first one's files are there
        if (options.directory / train.CHECKPOINT).exists():
            known = train.check(options.directory, recipe, data.sha256_of(options.directory / "train.npz"))
            for name in train.MAY_CHANGE if not place else ():
                before, now = json.loads(known["recipe"])[name], getattr(recipe, name)
                if before != now:
                    print(f"goes on with {name} {now}, not {before}", file=sys.stderr)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for stale in options.directory.glob("meeting-*"):
        stale.unlink(missing_ok=True)
    compiled = options.device == "cpu" and not options.no_compile and can_compile()
    seconds = None if options.minutes is None else 60.0 * options.minutes
    job = Job(recipe, options.directory, options.device, options.every, options.start_from, compiled, seconds)
    status = together(job) if place is None else work(place[0], job)
    if status == 0 and options.export and (place is None or place[0] == 0):
        from solver.pretrain.export import export

        print(f"wrote {export(options.directory, options.export, recipe, options.last)}")
    return status
