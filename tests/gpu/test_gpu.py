"""Every check that needs a GPU, one process each; `tests/gpu/run` prints their rows as one table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from solver.hardware import devices
from tests.gpu.measures import load

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = os.environ.get("ARC_TTT_GPU_ROWS")  # folder for the rows, given by `tests/gpu/run`
SECONDS = {  # a check may take; all of them together have what `tests/gpu/run` gives
    "preflight_says": 40,
    "unsloth_takes_our_arguments": 60,
    "shipped": 110,
    "qwen3_4b": 170,
    "qwen3_4b_on_22_gib": 150,
    "four_bits": 60,
    "run": 300,
}

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(devices.gpus() == 0, reason="NO GPU HERE: run tests/gpu/run on a machine that has one"),
]


@pytest.mark.parametrize("name", SECONDS)
def test_on_a_gpu(name, tmp_path):
    rows = (Path(ROWS) if ROWS else tmp_path) / f"{name}.json"
    command = [sys.executable, "-m", "tests.gpu.checks", name, str(rows), str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS[name], env=dict(os.environ)
    )
    bad = [row for row in load(rows) if row.good is False]
    assert done.returncode == 0, f"{bad}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert load(rows)
