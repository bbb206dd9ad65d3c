"""Adapters go to the memory-backed folder where it holds all that workers put there, else to a disk."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from solver.config.presets import PRESETS
from solver.model import architecture
from solver.model.architecture import QWEN3_4B
from solver.runtime import child

BATCH = 8 * 66_060_288 * 2  # eight adapters of rank 32 for 4 billion parameters, 16 bits a number: 1.06 GB


@pytest.mark.parametrize(
    ("free", "others", "used"),
    [
        ((1 << 30) + BATCH, 0, True),
        ((1 << 30) + BATCH - 1, 0, False),
        ((1 << 30) + BATCH, 3, False),
        ((1 << 30) + 4 * BATCH, 3, True),
    ],
)
def test_shared_memory_is_taken_only_with_room_for_every_workers_batch_of_adapters(
    free, others, used, tmp_path, monkeypatch
):
    for name in ("a", "b", "c")[:others]:
        (tmp_path / f"arc-ttt-{name}").mkdir()
    monkeypatch.setattr(child, "MEMORY", str(tmp_path))
    monkeypatch.setattr(child, "read", lambda _: QWEN3_4B)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    found = child.adapter_folder(tmp_path, PRESETS["kaggle-l4x4"])
    assert found == (str(tmp_path) if used else None)


def test_adapters_of_an_unknown_architecture_go_to_a_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(child, "MEMORY", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 40))
    (tmp_path / "config.json").write_text('{"model_type": "phi"}')
    assert child.adapter_folder(tmp_path, PRESETS["cpu"]) is None
    monkeypatch.setattr(child, "read", lambda _: replace(QWEN3_4B, kind=architecture.GRID))
    assert child.adapter_folder(tmp_path, PRESETS["cpu"]) == str(tmp_path)
