"""One worker process of a pretraining run. Knows nothing of the command line."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from solver.clock import now
from solver.hardware import gpus, malloc
from solver.pretrain import ahead, data, gauge, train
from solver.pretrain.batches import ROUND
from solver.pretrain.recipe import Recipe
from solver.pretrain.stop_signals import told_to_stop
from solver.runtime.worker import die_with
from solver.tokens.grid import GRID

DRAWING = timedelta(hours=6)  # that the first worker may take to draw the pool
DRAWERS = 4  # processes that draw all batches for each GPU; one draws some 2.5 million tokens a second


@dataclass(frozen=True)
class Job:
    """What all workers of a run are given.

    `directory`: train.npz, held.npz, checkpoint and curve. `device`: `cpu`, or `cuda` for a GPU a worker. `every`:
    steps between checkpoints. `start_from`: exported weights to begin with where there is no checkpoint. `compiled`:
    fuse operations on a CPU. `seconds`: stop, with a checkpoint, after so long; None: only at the last step.
    """

    recipe: Recipe
    directory: Path
    device: str = "cpu"
    every: int = 100
    start_from: Path | None = None
    compiled: bool = False
    seconds: float | None = None


def torchrun_rank() -> tuple[int, int] | None:
    """This process's number among all workers, and how many they are, where torchrun started them; else None."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def init_distributed(on_gpu: bool) -> distributed.ProcessGroup:
    """Join the other workers that torchrun started, on this machine and others.

    Returns them as a group for one barrier, at which the others wait while the first draws the pool.
    """
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpu else "gloo", "env://")
    waiting: distributed.ProcessGroup = distributed.new_group(timeout=DRAWING, backend="gloo")
    return waiting


def apart(rank: int, job: Job, parent: int) -> None:
    """`work` in a process of its own, which ends with the process `parent`."""
    die_with(parent)
    work(rank, job)


def work(rank: int, job: Job) -> int:
    """Join the other workers where there are any, load the last checkpoint, train to the end; returns the exit status.

    SIGTERM and SIGINT stop all workers after the step they are at, with a checkpoint. A checkpoint that cannot be
    written ends the process with status 1 and one line; the one before stays.
    """
    with told_to_stop() as signals:
        _work(rank, job, signals)
        return 128 + signals[0] if signals else 0


def _work(rank: int, job: Job, signals: Sequence[int]) -> None:
    """`work`, which stops once there are `signals`."""
    began = now()
    malloc.keep()
    recipe, device = job.recipe, job.device
    on_gpu = device == "cuda"
    if on_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', rank)}"
        torch.cuda.set_device(device)
    if recipe.workers > 1:
        torch.set_num_threads(1)
    if recipe.workers > 1 and not distributed.is_initialized():
        # The starting process's id: the same for all workers of a start, new in every start.
        meeting = f"file://{(job.directory / f'meeting-{os.getppid()}').resolve()}"
        distributed.init_process_group("nccl" if on_gpu else "gloo", meeting, rank=rank, world_size=recipe.workers)
    source = job.directory / "train.npz"
    training = train.Training(recipe, device, job.compiled, data.sha256_of(source))
    if (job.directory / train.CHECKPOINT).exists():
        training.load(job.directory)
    elif job.start_from is not None:
        training.start_from(job.start_from)
    peak = recipe.workers * sum(card.card.flops for card in gpus.shown()[:1]) if on_gpu else 0.0
    drawn = ahead.rounds(source, recipe, training.done // ROUND, DRAWERS if on_gpu else 0)
    held_out = gauge.held_out_sequences(data.load(job.directory / "held.npz"), gauge.SEQUENCES, GRID)

    def report(loss: float, speeds: dict[str, float]) -> None:
        try:
            train.tell(training, job.directory, held_out, loss, speeds)
        except OSError as error:
            sys.exit(
                f"error: no checkpoint could be written at step {training.done} ({error}); expected room in "
                f"{job.directory}; make some and give the same command again: it goes on from the last whole one"
            )

    def stop() -> bool:
        return bool(signals) or (job.seconds is not None and now() - began >= job.seconds)

    def silent(_loss: float, _speeds: dict[str, float]) -> None:
        training.save(job.directory)  # this worker's part of it

    train.run(training, drawn, silent if rank else report, job.every, peak, stop)
    drawn.close()
    if recipe.workers > 1:
        distributed.destroy_process_group()
