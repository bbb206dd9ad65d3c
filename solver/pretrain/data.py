"""The pool of pretraining pairs: RE-ARC generators (through reasoning-gym) and ARC-AGI-1 training, as one .npz file.

Knows nothing of tokens or models. Law: a pair that occurs in an evaluation task is never in a pool, and the same
(seed, tasks, count) gives the same file. RE-ARC: Hodel, arXiv 2404.07353.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from solver.pretrain import split
from solver.types import MAX_SIDE, Grid, Pair, seed_for

RE_ARC, ORIGINAL = 0, 1  # where a pair came from
TRIES = 20  # draws a generator gets for one pair before the pair is given up


@dataclass(frozen=True, eq=False)
class Pool:
    """Pairs by task: `pairs[i]` are the pairs of task `ids[i]`, and `originals[i]` how many of them, at the end of the
    list, are ARC's own.
    """

    ids: tuple[str, ...]
    pairs: tuple[tuple[Pair, ...], ...]
    originals: tuple[int, ...]


def re_arc_pairs(task_id: str, count: int, seed: int) -> Iterator[Pair]:
    """`count` generated pairs of a training task, at difficulties spread over RE-ARC's whole range."""
    from reasoning_gym.arc.rearc_utils import generators

    generate = getattr(generators, f"generate_{task_id}")
    rng = Random(seed_for(seed, task_id, "re-arc"))
    made = 0
    for _ in range(count * TRIES):
        if made == count:
            return
        raw = generate(rng, 0.0, rng.uniform(0.02, 1.0))
        pair = Pair(np.array(raw["input"], dtype=np.uint8), np.array(raw["output"], dtype=np.uint8))
        if _sound(pair.input) and _sound(pair.output):
            made += 1
            yield pair


def _sound(grid: Grid) -> bool:
    return grid.ndim == 2 and min(grid.shape) >= 1 and max(grid.shape) <= MAX_SIDE and int(grid.max()) <= 9


def collect(ids: Sequence[str], count: int, seed: int) -> Pool:
    """`count` RE-ARC pairs and all original pairs of each task, without any pair an evaluation task holds."""
    forbidden = set[str]().union(*map(split.pairs, split.evaluation_tasks()))
    training = split.raw("arcagi_aa922be.json")["train"]
    kept, originals = [], []
    for task_id in ids:
        generated = [p for p in re_arc_pairs(task_id, count, seed) if text(p) not in forbidden]
        own = [Pair(np.array(p["input"], np.uint8), np.array(p["output"], np.uint8)) for p in _own(training[task_id])]
        own = [p for p in own if text(p) not in forbidden]
        kept.append((*generated, *own))
        originals.append(len(own))
    return Pool(tuple(ids), tuple(kept), tuple(originals))


def _own(task: split.RawTask) -> list[dict[str, list[list[int]]]]:
    return [*task["train"], *task["test"]]


def text(pair: Pair) -> str:
    """A pair as `split.pairs` writes it."""
    return json.dumps([pair.input.tolist(), pair.output.tolist()])


def save(pool: Pool, path: Path) -> str:
    """Write the pool as .npz (nothing pickled); returns the file's sha256."""
    grids = [grid for pairs in pool.pairs for pair in pairs for grid in (pair.input, pair.output)]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"partial-{path.name}")
    np.savez_compressed(
        partial,
        ids=np.array(pool.ids),
        counts=np.array([len(p) for p in pool.pairs]),
        originals=np.array(pool.originals),
        shapes=np.array([g.shape for g in grids], dtype=np.uint8),
        cells=np.concatenate([g.ravel() for g in grids]),
    )
    os.replace(partial, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load(path: Path) -> Pool:
    """Read a pool written by `save`."""
    with np.load(path, allow_pickle=False) as data:
        shapes, cells = data["shapes"].astype(int), data["cells"]
        ids, counts, originals = data["ids"].tolist(), data["counts"].tolist(), data["originals"].tolist()
    grids = iter(_cut(shapes, cells))
    pairs = tuple(tuple(Pair(next(grids), next(grids)) for _ in range(n)) for n in counts)
    return Pool(tuple(ids), pairs, tuple(originals))


def _cut(shapes: NDArray[np.int_], cells: NDArray[np.uint8]) -> Iterator[Grid]:
    ends = np.cumsum(shapes.prod(axis=1))
    for (rows, columns), end in zip(shapes, ends, strict=True):
        yield cells[end - rows * columns : end].reshape(rows, columns)
