"""Unsloth's real code, executed on a CPU through the trainer; what it saves is served by the engine."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOW = "python -m pip install --no-deps -r requirements-unsloth.txt"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("unsloth") is None, reason=f"unsloth is not installed, which this runs for real: {HOW}"
    ),
]


def said(command: str, folder: Path) -> dict[str, Any]:
    run = [sys.executable, "-m", "tests.support.unsloth_on_cpu", command, str(folder)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_unsloth_checkpoints_learns_and_saves_what_the_engine_serves_as_it_was_trained(tmp_path: Path) -> None:
    trained = said("train", tmp_path)
    print(trained)
    assert trained["checkpoints"] == ["UnslothCheckpointFunctionBackward"]
    assert trained["losses"][0] > trained["losses"][1] > trained["losses"][2] > trained["nats"]
    assert trained["padded"] == pytest.approx(trained["nats"], abs=0.002)  # it is trained end to end
    assert (trained["trained_in"], trained["saved_in"]) == (["torch.float32"], ["torch.float16"])
    served = said("serve", tmp_path)
    print(served)
    assert served["nats"] == pytest.approx(trained["nats"], abs=0.02)
