"""Every check that needs a GPU, one process each; `tests/gpu/run` prints their rows as one table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from solver.hardware import devices
from tests.gpu.calls import CALLS, PATIENCE, SECONDS
from tests.gpu.measures import load

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = os.environ.get("ARC_TTT_GPU_ROWS")  # folder for the rows, given by `tests/gpu/run`
CALL = os.environ.get("ARC_TTT_GPU_CALL")  # which of `CALLS`, given by `tests/gpu/run`; none: all
REHEARSE = ["--rehearse"] if os.environ.get("ARC_TTT_REHEARSE") else []  # on a CPU, with the card replaced

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (devices.gpus() or REHEARSE), reason="NO GPU HERE: run tests/gpu/run where there is one"),
]


@pytest.mark.parametrize("name", CALLS[CALL] if CALL else SECONDS)
def test_on_a_gpu(name, tmp_path):
    rows = (Path(ROWS) if ROWS else tmp_path) / f"{name}.json"
    command = [sys.executable, "-m", "tests.gpu.checks", name, str(rows), str(tmp_path), *REHEARSE]
    most = SECONDS[name] * (PATIENCE if REHEARSE else 1)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=most, env=dict(os.environ))
    bad = [row for row in load(rows) if row.good is False]
    assert done.returncode == 0, f"{bad}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert load(rows)
