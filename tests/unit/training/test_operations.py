"""How many operations a training step launches, which is what a card waits for with a small model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from solver.config.settings import TrainRecipe
from solver.training import packed_attention
from solver.training.trainer import LoraTrainer
from solver.types import TrainJob
from tests.support.fakes import MIRROR, STACK, FakeStop, leave_one_out
from tests.support.tiny import tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")
RECIPE = TrainRecipe(rank=8, alpha=8, steps=2, tokens=600)


class Counted(TorchDispatchMode):
    """Counts what is computed within it; views are not."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), named: Any = None) -> Any:
        self.count += not (operation.is_view or "empty" in str(operation) or "detach" in str(operation))
        return operation(*args, **(named or {}))


def launched(trainer: LoraTrainer, adapters: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Operations of the second step, but for what puts the batch together, which is done on the CPU."""
    pack, counts, step = packed_attention.pack, list[int](), trainer.step

    def on_the_cpu(groups: Any, even: bool) -> packed_attention.Packed:
        with torch.utils._python_dispatch._disable_current_modes():
            return pack(groups, even=True)

    def counted(*given: Any) -> list[float]:
        with Counted() as mode:
            losses = step(*given)
        counts.append(mode.count)
        return losses

    monkeypatch.setattr(packed_attention, "pack", on_the_cpu)
    monkeypatch.setattr(packed_attention, "kernel", lambda _: packed_attention.padded)
    monkeypatch.setattr(trainer, "step", counted)
    jobs = [TrainJob(f"{n}", leave_one_out(task, 4, n, 512), n) for n, task in enumerate((MIRROR, STACK, MIRROR))]
    trainer.train_together(jobs[:adapters], FakeStop())
    monkeypatch.undo()
    return counts[-1]


def test_three_adapters_side_by_side_launch_as_many_operations_as_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tiny_model().to(torch.bfloat16).save_pretrained(tmp_path / "weights", safe_serialization=True)
    two, three = (
        LoraTrainer(tmp_path / "weights", replace(RECIPE, adapters_per_batch=n), tmp_path, 2048) for n in (2, 3)
    )
    assert launched(two, 2, monkeypatch) == launched(three, 3, monkeypatch)
