"""What the tests of pretraining share: a tiny recipe, and rounds and trainings as plain values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from solver.pretrain import data, train, workers
from solver.pretrain.data import Pool
from solver.pretrain.recipe import Recipe
from solver.pretrain.rows import Row
from solver.pretrain.train import Training
from tests.support.fakes import MIRROR, STACK, random_task

SHAPE = {"width": 32, "layers": 1, "heads": 1, "head_size": 32, "inner": 32}
TINY = Recipe(**SHAPE, steps=4, tokens=256, row=256, warmup=2, workers=1)  # type: ignore[arg-type]
HELD_OUT = Pool(("m", "s"), tuple((*t.demonstrations, *t.demonstrations) for t in (MIRROR, STACK)), (0, 0))


def small_pool() -> Pool:
    """Three tasks of a few small pairs, the last two of each ARC's own."""
    tasks = [random_task([(2, 3), (3, 3), (4, 2), (3, 5), (2, 2), (1, 4)], seed) for seed in range(3)]
    return Pool(("a", "b", "c"), tuple(t.demonstrations for t in tasks), (2, 2, 2))


def listed(batches: Sequence[Sequence[Row]]) -> list[list[list[tuple[list[int], list[bool]]]]]:
    """Batches of rows of examples as plain values."""
    return [[[(e.tokens.tolist(), e.loss.tolist()) for e in row] for row in batch] for batch in batches]


def state(training: Training) -> dict[str, Tensor]:
    """Everything that must come back: masters, averages, the model's own weights, optimizer state."""
    tensors = {f"master {n}": p.detach().clone() for n, p in training.masters.items()}
    tensors |= {f"average {n}": p.clone() for n, p in training.averages.items()}
    tensors |= {f"model {n}": p.detach().clone() for n, p in training.model.named_parameters()}
    for label, optimizer in (("muon", training.muon), ("adam", training.adam)):
        for index, entry in optimizer.state_dict()["state"].items():
            tensors |= {f"{label} {index} {k}": torch.as_tensor(v).clone() for k, v in entry.items()}
    return tensors


def unequal(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    """Names of the tensors that are not equal in every bit."""
    assert set(a) == set(b)
    return [name for name in a if not torch.equal(a[name], b[name])]


def stored(directory: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A checkpoint's tensors, and what it says of itself."""
    path = directory / train.CHECKPOINT
    with safe_open(path, "pt") as file:
        return load_file(path), dict(file.metadata())


def put_pools(directory: Path) -> Path:
    """The small pool as what is trained on, and another to measure by."""
    data.save(small_pool(), directory / "train.npz")
    data.save(HELD_OUT, directory / "held.npz")
    return directory


def work(job: workers.Job) -> None:
    """The only worker's work in this process."""
    workers.work(0, job)


def alone() -> dict[str, str]:
    """The environment of a process that finds `solver` and `tests`, and computes with one thread."""
    root = Path(__file__).resolve().parents[2]
    return {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
