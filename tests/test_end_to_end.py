"""The whole program with the real weights, trainer and engine: the same seed gives the same file, byte for byte."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from solver import answers, formats, record, tasks
from solver.config import PRESETS
from solver.core import ADAPTER, BASE, Task

pytestmark = pytest.mark.engine
ROOT = Path(__file__).resolve().parent.parent
SPLIT = "arc1-training"
LIMIT = 420  # seconds for the whole program, of which the run has five minutes


def size(task: Task) -> tuple[int, str]:
    """Tokens of the task's longest prompt."""
    longest = max(map(formats.encoded_length, task.tests))
    return sum(map(formats.pair_length, task.demonstrations)) + longest, task.id


@dataclass(frozen=True)
class Done:
    """What a run left: the file's bytes, its record's entries, what it printed."""

    answers: bytes
    record: list[dict]
    printed: str


def solve(folder: Path, chosen: list[str]) -> Done:
    output = folder / "submission.json"
    flags = f"--split {SPLIT} --steps 2 --views 4 --time-limit 5m --seed 11 --output {output}".split()
    command = [sys.executable, "submission.py", *flags, "--task-ids", *chosen]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    log = record.directory_of(output) / record.WORKER_LOG
    assert ran.returncode == 0, ran.stdout + ran.stderr + log.read_text()[-2000:]
    return Done(output.read_bytes(), record.read(record.directory_of(output)).of_kind("result"), ran.stdout)


@pytest.fixture(scope="module")
def chosen() -> list[str]:
    """The three smallest tasks."""
    return [task.id for task in sorted(tasks.load_split(SPLIT).tasks, key=size)[:3]]


@pytest.fixture(scope="module")
def runs(chosen, tmp_path_factory) -> list[Done]:
    return [solve(tmp_path_factory.mktemp("run"), chosen) for _ in range(2)]


def test_two_runs_with_the_same_seed_write_the_same_file(runs):
    assert runs[0].answers == runs[1].answers


def test_two_runs_with_the_same_seed_find_the_same_candidates(runs):
    assert [e["candidates"] for e in runs[0].record] == [e["candidates"] for e in runs[1].record]


def test_the_file_is_complete_and_valid(runs, chosen):
    task_set = tasks.select(tasks.load_split(SPLIT), chosen, None)
    assert answers.validate(json.loads(runs[0].answers), task_set.tests) == []


def test_every_task_had_its_quick_answer_and_was_trained_and_every_view_of_it_sampled(runs, chosen):
    for number, steps, views in ((BASE, 0, PRESETS["cpu"].quick_views), (ADAPTER, 2, 4)):
        entries = [entry for entry in runs[0].record if entry["round"] == number]
        assert sorted(entry["task_id"] for entry in entries) == sorted(chosen)
        for entry in entries:
            assert entry["steps"] == steps
            assert entry["notes"] == []
            assert sum(map(len, entry["candidates"])) + entry["rejected"] == views * len(entry["attempts"])


def test_one_engine_a_device_serves_the_whole_run(runs):
    for run in runs:
        started = re.findall(r"engine and trainer ready on (cpu( \d+)?) in ", run.printed)
        assert started
        assert len(started) == len(set(started))
