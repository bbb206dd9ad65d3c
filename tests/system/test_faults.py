"""Real faults in whole runs: processes killed at random moments, full and read-only disks, mutated input.

The worker has no models (`fake_worker`), so that hundreds of runs take a minute; the main process, the pool, the
record and the files are the real ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solver.data import tasks
from solver.runtime import record, submission_file
from solver.runtime.placeholders import placeholders_for
from solver.types import BadInput, out_of_memory
from tests.support import fake_worker
from tests.support.runs import lines_of
from tests.system.test_submission import GOOD, LAUNCH, ROOT, make_weights

MOMENTS = int(os.environ.get("FAULT_MOMENTS", "6"))  # kills of each kind
TESTS = {f"task{at}": {"train": GOOD["train"], "test": [{"input": [[at, at % 3]]}]} for at in range(8)}
SCRIPT = {"votes": {"task3": 0.5, "task5": 0.6}, "pause": 0.1}
TIMEOUT = 60.0  # seconds after which a run is stuck


class Launched:
    """Runs of the same tasks in one folder, each a process of its own."""

    def __init__(self, folder: Path, weights: Path) -> None:
        self.folder, self.output = folder, folder / "out" / "submission.json"
        self.challenges = folder / "challenges.json"
        self.challenges.write_text(json.dumps(TESTS))
        self.worker = json.dumps(fake_worker.command(folder, **SCRIPT))
        self.first = ["--scope", "shared-then-task"]  # all the kinds of stages there are
        self.first += ["--challenges", str(self.challenges), "--weights", str(weights), "--output", str(self.output)]

    def start(self, *flags: str) -> subprocess.Popen[str]:
        """Start a run, the first or, once it has a record, the one that goes on."""
        whole = record.directory_of(self.output) / record.RECORD
        again = whole.exists() and lines_of(whole.parent).of_kind("run")
        given = ["--resume", str(whole.parent)] if again else self.first
        command = [sys.executable, "-c", LAUNCH, self.worker, *given, *flags]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self) -> str:
        """Run to the end; what it printed."""
        with self.start() as run:
            out, _ = run.communicate(timeout=TIMEOUT)
        assert run.returncode == 0, out
        return out

    def faults(self) -> list[str]:
        return submission_file.validate(json.loads(self.output.read_text()), dict.fromkeys(TESTS, 1))


@pytest.fixture
def launched(tmp_path):
    return Launched(tmp_path, make_weights(tmp_path))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> bytes:
    """The file of a run nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    made = Launched(folder, make_weights(folder))
    made.finish()
    return made.output.read_bytes()


@pytest.mark.slow
def test_the_main_process_killed_at_random_moments_and_resumed_ends_with_the_undisturbed_answers(launched, undisturbed):
    """The file is valid whenever it is there, and no worker is left behind."""
    draw, kills, runs = random.Random(0), 0, 0
    while kills < MOMENTS:
        shutil.rmtree(launched.output.parent, ignore_errors=True)
        runs += 1
        ended = False
        while not ended and kills < MOMENTS:
            with launched.start() as run:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    run.wait(draw.uniform(0.2, 1.5))
                ended = run.poll() is not None
                run.kill()
            kills += not ended
            if launched.output.exists():
                assert launched.faults() == []
        launched.finish()
        assert launched.output.read_bytes() == undisturbed
    assert runs < kills, "the kills came too late to disturb anything"
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/cmdline").exists() for pid in fake_worker.heard(launched.folder, "start")):
        assert time.monotonic() < deadline, "a worker outlived its run"
        time.sleep(0.1)


@pytest.mark.slow
def test_workers_killed_at_random_moments_cost_no_answer(launched):
    draw, kills = random.Random(1), 0
    while kills < MOMENTS:
        shutil.rmtree(launched.output.parent, ignore_errors=True)
        with launched.start() as run:
            while run.poll() is None:
                time.sleep(draw.uniform(0.05, 0.6))
                seen = fake_worker.heard(launched.folder, "start")
                if seen and kills < MOMENTS and run.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(seen[-1], signal.SIGKILL)
                        kills += 1
            out = run.stdout.read()
        assert run.returncode == 0, out
        assert launched.faults() == []
        if "placeholders stay" not in out:
            assert "8 from the model" in out
        kept = lines_of(record.directory_of(launched.output))
        assert all("the worker died (SIGKILL)" in failure["why"] for failure in kept.of_kind("failure"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "heeded"),
    [(signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGINT, False)],
    ids=["terminate", "interrupt", "interrupt in the background"],
)
def test_a_run_told_to_stop_flushes_validates_and_ends_within_seconds(launched, kind, heeded):
    """Also where a shell had it ignore the signal from the start, as shells do in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler if heeded else signal.SIG_IGN)
    started = launched.start()
    signal.signal(signal.SIGINT, before)
    with started as run:
        began = time.monotonic()
        while not (record.directory_of(launched.output) / record.RECORD).exists():
            assert time.monotonic() - began < TIMEOUT
            time.sleep(0.02)
        time.sleep(0.3)
        began = time.monotonic()
        run.send_signal(kind)
        out, _ = run.communicate(timeout=TIMEOUT)
    assert time.monotonic() - began < 10
    assert run.returncode == 130, out
    assert "interrupted: the answers so far are kept" in out
    assert "complete and valid" in out
    assert launched.faults() == []


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 28 KiB, or a skip that says what was not tested."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=28k", "none", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"NOT TESTED on a full disk: {mounted.stderr.strip() or 'mount failed'}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.slow
def test_a_disk_that_the_record_fills_up_costs_the_record_and_not_the_answers(launched, small_disk):
    launched.output = small_disk / "submission.json"
    launched.first[-1] = str(launched.output)
    out = launched.finish()
    assert launched.faults() == []
    assert "8 from the model" in out
    assert "No space left on device" in out
    assert "the record made room for the answers: this run can't be resumed" in out


def test_an_output_folder_that_is_read_only_is_refused_in_one_line(launched, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    launched.first[-1] = str(small_disk / "submission.json")
    with launched.start() as run:
        out, _ = run.communicate(timeout=TIMEOUT)
    assert (run.returncode, out.count("\n")) == (2, 1)
    assert "submission.json cannot be written (Read-only file system); expected a file in a writable folder" in out


def test_memory_that_runs_out_for_real_is_recognised():
    """A process with a limit on its address space: numpy's own error, as it comes."""
    code = (
        "import resource, numpy as np\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from solver.types import out_of_memory\n"
        "try: np.ones(1 << 32)\n"
        "except Exception as error: print(out_of_memory(error), type(error).__name__)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    assert ran.stdout.split() == ["True", "_ArrayMemoryError"] or "True" in ran.stdout, ran.stderr


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("no memory of that"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error, expected):
    assert out_of_memory(error) is expected


# ---- mutated input ---------------------------------------------------------------------------------------------------

GRIDS = st.lists(st.lists(st.integers(-1, 11), max_size=4), max_size=4)
JUNK = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | GRIDS
PAIRS = st.lists(
    st.dictionaries(st.sampled_from(["input", "output", "x"]), GRIDS | JUNK, max_size=3) | JUNK, max_size=3
)
TASKS = st.dictionaries(st.sampled_from(["train", "test", "name"]), PAIRS | JUNK, max_size=3) | JUNK
FILES = st.dictionaries(st.text(max_size=6), TASKS, max_size=4)


def read(data: bytes, path: Path) -> tasks.TaskSet | str:
    """What a challenge file of these bytes is read as, or why it is refused."""
    path.write_bytes(data)
    try:
        return tasks.load_challenges(path)
    except BadInput as error:
        return str(error)


@pytest.mark.slow
@settings(max_examples=1000, suppress_health_check=list(HealthCheck))
@given(content=FILES)
def test_any_json_is_read_or_refused_in_one_line_and_good_tasks_in_it_are_kept(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    found = read(json.dumps({**content, "good": GOOD}).encode(), path)
    assert isinstance(found, tasks.TaskSet), found
    assert "good" in {task.id for task in found.tasks}
    assert len(found.tasks) + len(found.malformed) == len(found.tests)
    placeholders = placeholders_for(found)
    assert set(placeholders) == set(found.tests)


@pytest.mark.slow
@settings(max_examples=1000, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), changes=st.integers(1, 12))
def test_a_file_with_bytes_changed_cut_or_doubled_is_read_or_refused_in_one_line(seed, changes, tmp_path_factory):
    rng = np.random.default_rng(seed)
    data = bytearray(json.dumps({"a": GOOD, "b": GOOD, "c": GOOD}).encode())
    for _ in range(changes):
        at, kind = int(rng.integers(len(data))) if data else 0, rng.integers(4)
        if kind == 0:
            data[at : at + 1] = bytes([int(rng.integers(256))])
        elif kind == 1:
            del data[at : at + int(rng.integers(1, 9))]
        elif kind == 2:
            data[at:at] = data[at : at + int(rng.integers(1, 40))]
        else:
            data[at:at] = rng.choice([b"{", b"]", b'"', b",", b"9" * 30, b"\xff", b"NaN", b"1e999"])
    found = read(bytes(data), tmp_path_factory.getbasetemp() / "changed.json")
    if isinstance(found, tasks.TaskSet):
        assert set(placeholders_for(found)) == set(found.tests)
    else:
        assert "\n" not in found
