"""The whole program where there is no network: in a namespace of its own that has nothing but loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from solver.data import tasks
from solver.runtime import record, submission_file

pytestmark = pytest.mark.engine
ROOT = Path(__file__).resolve().parents[2]
ALONE = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
LOOPBACK = "if command -v ip >/dev/null; then ip link set lo up; fi; "
LIMIT = 300  # seconds for the whole program, of which the run has three minutes


def alone(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a command where loopback is the only network there is."""
    whole = [*ALONE, "sh", "-c", f'{LOOPBACK}exec "$@"', "sh", *command]
    return subprocess.run(whole, cwd=ROOT, capture_output=True, text=True, timeout=seconds)


@pytest.fixture
def namespaces():
    """Skip, with the reason, where this machine does not let us cut the network off."""
    if shutil.which("unshare") is None:
        pytest.skip("NOT TESTED that the program runs without a network: unshare is not installed")
    code = "import socket; print(*(name for _, name in socket.if_nameindex()))"
    tried = alone([sys.executable, "-c", code], 30)
    if tried.returncode:
        pytest.skip(f"NOT TESTED that the program runs without a network: {tried.stderr.strip()}")
    assert tried.stdout.split() == ["lo"]


def test_a_task_is_answered_by_the_model_without_a_network(namespaces, tmp_path):
    output = tmp_path / "submission.json"
    flags = "--limit 1 --steps 2 --views 2 --programs 0 --time-limit 3m".split()
    ran = alone([sys.executable, "submission.py", *flags, "--output", str(output)], LIMIT)
    log = record.directory_of(output) / record.WORKER_LOG
    assert ran.returncode == 0, ran.stdout + ran.stderr + log.read_text()[-2000:]
    task_set = tasks.select(tasks.load_split("dry-run"), None, 1)
    assert submission_file.validate(json.loads(output.read_text()), task_set.tests) == []
    assert re.search(r"^1 answer to 1 task: 1 from the model\b", ran.stdout, re.MULTILINE), ran.stdout
    assert "complete and valid" in ran.stdout
