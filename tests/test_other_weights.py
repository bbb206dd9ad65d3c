"""The whole program with weights from elsewhere: tiny random checkpoints in each format, trained and served for real.

What random weights answer is no grid, so this shows that every part speaks the format, not that it solves anything.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import checkpoints
import pytest

from solver import answers, record, tasks

pytestmark = pytest.mark.engine
ROOT = Path(__file__).resolve().parent.parent
LIMIT = 420  # seconds for the whole program, of which the run has five minutes
TASK = {
    "train": [{"input": [[1, 2]], "output": [[2, 1]]}, {"input": [[3]], "output": [[3]]}],
    "test": [{"input": [[4]]}],
}


@pytest.mark.parametrize(
    ("make", "name", "count", "views"),
    [
        (checkpoints.nvarc, "nvarc-16", 2, 2),
        (checkpoints.architects, "architects", 1, 1),
        (checkpoints.text, "text", 1, 1),
    ],
)
def test_a_checkpoint_of_each_format_is_trained_and_sampled_and_leaves_a_valid_file(tmp_path, make, name, count, views):
    weights, output = make(tmp_path / "weights"), tmp_path / "submission.json"
    challenges = tmp_path / "challenges.json"
    challenges.write_text(json.dumps({f"0000000{n}": TASK for n in range(count)}))
    flags = ["--challenges", challenges, "--weights", weights, "--output", output, "--devices", "cpu", "--no-report"]
    flags += f"--steps 1 --views {views} --time-limit 5m --seed 3".split()
    command = [sys.executable, "submission.py", *map(str, flags)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    directory = record.directory_of(output)
    assert ran.returncode == 0, ran.stdout + ran.stderr + (directory / record.WORKER_LOG).read_text()[-2000:]
    assert answers.validate(json.loads(output.read_text()), tasks.load_challenges(challenges).tests) == []
    [header] = record.read(directory).of_kind("run")
    assert header["config"]["format"] == name
    assert record.read(directory).of_kind("failure") == []
    trained = [entry for entry in record.read(directory).of_kind("result") if entry["planned"]]
    assert len({entry["task_id"] for entry in trained}) == count
    for entry in trained:
        assert (entry["steps"], len(entry["losses"])) == (1, 1)
        assert sum(map(len, entry["candidates"])) + entry["rejected"] == views
        assert entry["notes"] == []
