"""The whole program with the real weights, trainer and engine: the same seed gives the same file, byte for byte.

One of the two runs compared is killed on its way and goes on without a network: in a namespace of its own that has
nothing but loopback.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from solver.config.presets import PRESETS
from solver.data import tasks
from solver.runtime import record, submission_file
from solver.tokens import grid
from solver.types import ADAPTER, BASE, Task
from tests.support.runs import lines_of
from tests.system.test_submission import LAUNCH

pytestmark = pytest.mark.engine
ROOT = Path(__file__).resolve().parents[2]
SPLIT = "arc1-training"
LIMIT = 420  # seconds for the whole program, of which the run has five minutes


def size(task: Task) -> tuple[int, str]:
    """Tokens of the task's longest prompt."""
    longest = max(map(grid.encoded_length, task.tests))
    return sum(map(grid.pair_length, task.demonstrations)) + longest, task.id


@dataclass(frozen=True)
class Done:
    """What a run left: the file's bytes, its record's entries, what it printed."""

    answers: bytes
    record: list[dict]
    printed: str


def flags(output: Path, chosen: list[str]) -> list[str]:
    given = f"--split {SPLIT} --steps 2 --views 4 --time-limit 5m --seed 11 --programs 0".split()
    given += ["--refinement-stages", "1", "--output", str(output)]
    return [*given, "--task-ids", *chosen]


def without_network() -> list[str]:
    """What starts a command where loopback is the only network; nothing where this machine does not let us."""
    start = [*(["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]), "sh", "-c"]
    start += ['if command -v ip >/dev/null; then ip link set lo up; fi; exec "$@"', "sh"]
    code = "import socket; print(*(name for _, name in socket.if_nameindex()))"
    try:
        tried = subprocess.run([*start, sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return []
    return start if tried.stdout.split() == ["lo"] else []


def solve(folder: Path, chosen: list[str], command: tuple[str, ...] = ("submission.py",), more: str = "") -> Done:
    output = folder / "submission.json"
    return finished(output, [sys.executable, *command, *flags(output, chosen), *more.split()])


def finished(output: Path, given: Sequence[str]) -> Done:
    """What the command leaves, which must end well."""
    ran = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    log = record.directory_of(output) / record.WORKER_LOG
    assert ran.returncode == 0, ran.stdout + ran.stderr + log.read_text()[-2000:]
    return Done(output.read_bytes(), lines_of(record.directory_of(output)).of_kind("result"), ran.stdout)


@pytest.fixture(scope="module")
def chosen() -> list[str]:
    """The three smallest tasks."""
    return [task.id for task in sorted(tasks.load_split(SPLIT).tasks, key=size)[:3]]


@pytest.fixture(scope="module")
def runs(chosen, tmp_path_factory) -> list[Done]:
    """One that nothing disturbs, and one that is killed after its first adapter and resumed without a network."""
    undisturbed, killed = (tmp_path_factory.mktemp(name) for name in ("undisturbed", "killed"))
    return [solve(undisturbed, chosen), killed_and_resumed(killed / "submission.json", chosen)]


def killed_and_resumed(output: Path, chosen: list[str]) -> Done:
    directory = record.directory_of(output)
    with subprocess.Popen([sys.executable, "submission.py", *flags(output, chosen)], cwd=ROOT) as run:
        try:
            until = time.monotonic() + LIMIT
            while not (directory / record.RECORD).exists() or not adapted(directory):
                assert run.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
        finally:
            run.kill()
    task_set = tasks.select(tasks.load_split(SPLIT), chosen, None)
    assert submission_file.validate(json.loads(output.read_text()), task_set.tests) == []
    return finished(output, [*without_network(), sys.executable, "submission.py", "--resume", str(directory)])


def adapted(directory: Path) -> bool:
    """Whether a task's adapter has answered."""
    return any(entry["stage"] == ADAPTER for entry in lines_of(directory).of_kind("result"))


def test_a_run_killed_after_its_first_adapter_and_resumed_writes_the_undisturbed_file(runs):
    assert runs[0].answers == runs[1].answers


def test_every_task_is_answered_by_the_model_without_a_network(runs):
    if not without_network():
        pytest.skip("NOT TESTED that the program runs without a network: unshare is not there, or not allowed")
    assert re.search(r"^\d+ answers to 3 tasks: 3 from the model\b", runs[1].printed, re.MULTILINE), runs[1].printed
    assert "complete and valid" in runs[1].printed


def test_two_runs_with_the_same_seed_find_the_same_candidates(runs):
    """Whichever of the two workers is faster, and whoever is killed."""
    first, second = ({(e["task_id"], e["stage"]): e["candidates"] for e in run.record} for run in runs)
    assert first == second


def test_the_file_is_complete_and_valid(runs, chosen):
    task_set = tasks.select(tasks.load_split(SPLIT), chosen, None)
    assert submission_file.validate(json.loads(runs[0].answers), task_set.tests) == []


def test_every_task_had_its_quick_answer_and_was_trained_and_every_view_of_it_sampled(runs, chosen):
    for number, steps, views in ((BASE, 0, PRESETS["cpu"].quick_views), (ADAPTER, 2, 4)):
        entries = [entry for entry in runs[0].record if entry["stage"] == number]
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


CUTTING = """
import os, sys
from pathlib import Path
from solver.runtime import worker
from solver.training import trainer
from solver.model.checkpoint import ADAPTER_FILE
train = trainer.LoraTrainer.train
def cutting(self, job, *given, **more):
    made, mark = train(self, job, *given, **more), Path({mark!r})
    if job.name == {name!r} and not mark.exists():
        mark.touch()
        os.truncate(made.adapter.path / ADAPTER_FILE, 1000)
    return made
trainer.LoraTrainer.train = cutting
sys.exit(worker.main(sys.argv[1:]))
"""


def test_an_adapter_file_cut_short_costs_its_batch_and_no_answer(chosen, tmp_path):
    chosen = chosen[:2]
    code = CUTTING.format(mark=str(tmp_path / "cut"), name=chosen[0])
    done = solve(tmp_path, chosen, ("-c", LAUNCH, json.dumps([sys.executable, "-c", code])), "--devices cpu")
    [failure] = lines_of(tmp_path / "submission.run").of_kind("failure")
    assert chosen[0] in failure["task_ids"]
    assert failure["why"] in done.printed
    adapted = {entry["task_id"] for entry in done.record if entry["stage"] == ADAPTER and entry["steps"] == 2}
    assert adapted == set(chosen)
    assert "2 from the model" in done.printed
