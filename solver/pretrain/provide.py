"""The pools of a training run: those named, or drawn ones, put into its directory as train.npz and held.npz."""

import sys
from dataclasses import dataclass
from pathlib import Path

from solver.pretrain import data, sources, split
from solver.types import BadInput

GAUGE_SEED = 1  # of the held-out pairs: the same gauge whatever is trained on
TRAIN, HELD_OUT = "train.npz", "held.npz"


@dataclass(frozen=True)
class WantedPools:
    """Which pools a run wants.

    `pool`: pairs to train on, a pool's file or users' tasks in JSON; None: drawn ones, with `pairs` from each generator
    (None: `usual`). `held_out`: a pool's file to measure by; None: drawn.
    """

    pool: Path | None
    held_out: Path | None
    pairs: int | None
    usual: int


def provide(directory: Path, wanted: WantedPools, seed: int) -> None:
    """Put the pools into the directory, where those of an earlier start may lie; `seed`: of the drawing.

    Raises `BadInput`: a pool that is none, that has content of evaluation tasks, or differs from the directory's.
    """
    if wanted.pool and wanted.pairs:
        raise BadInput("--pairs came with --pool, whose pairs are drawn already; expected one of them; leave one out")
    trained, held_out = directory / TRAIN, directory / HELD_OUT
    if wanted.pool and (wanted.pool.is_dir() or wanted.pool.suffix == ".json"):
        pool = sources.user_pool(wanted.pool)
        sources.refuse_held_out(pool, str(wanted.pool), ids_alone=True)  # pairs of theirs were left out
        data.put(pool, trained, str(wanted.pool))
    elif wanted.pool:
        pool = data.load(wanted.pool)
        data.check(pool, str(wanted.pool))
        sources.refuse_held_out(pool, str(wanted.pool))
        data.copy(wanted.pool, trained)
    elif trained.exists():
        data.check(data.load(trained), str(trained))
    if wanted.held_out:
        data.load(wanted.held_out)
        data.copy(wanted.held_out, held_out)
    if not held_out.exists():
        data.save(sources.collect(split.arc1_split().held_out, max(wanted.usual // 10, 4), GAUGE_SEED), held_out)
    if not trained.exists():
        request = sources.Request(wanted.pairs or wanted.usual, seed)
        pool, _ = sources.training_pool(request, lambda text: print(text, file=sys.stderr, flush=True))
        data.save(pool, trained)
