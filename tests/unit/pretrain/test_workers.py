"""A pretraining run that may be killed, told to stop, or out of room anywhere, and goes on as if nothing had been."""

from __future__ import annotations

import json
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from safetensors.torch import save_file

from solver.pretrain import __main__ as pretrain
from solver.pretrain import data, train
from solver.pretrain.__main__ import PRESETS
from solver.pretrain.recipe import Recipe
from solver.pretrain.train import Training
from solver.pretrain.workers import Job
from solver.types import BadInput
from tests.support.pretraining import TINY, alone, put_pools, small_pool, stored, unequal, work

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return put_pools(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of four steps that nothing disturbed."""
    directory = put_pools(tmp_path_factory.mktemp("undisturbed"))
    work(Job(TINY, directory, every=2))
    return directory


def assert_same(directory: Path, other: Path) -> None:
    """The two checkpoints are the same: masters, averages, optimizer state, counters, recipe and pool."""
    (tensors, counters), (expected, said) = stored(directory), stored(other)
    assert any(name.startswith("average.") for name in tensors)
    assert unequal(tensors, expected) == []
    assert counters == said


def in_step(monkeypatch: pytest.MonkeyPatch, number: int, happens: Callable[[], None]) -> None:
    """Something happens in the middle of the step of this number, the first being 1."""
    sums = Training._taken

    def taken(self: Training, loss: object) -> object:
        if self.done + 1 == number:
            happens()
        return sums(self, loss)  # type: ignore[arg-type]

    monkeypatch.setattr(Training, "_taken", taken)


def test_a_run_leaves_a_checkpoint_of_its_last_step_and_a_line_of_each(undisturbed: Path) -> None:
    lines = [json.loads(line) for line in (undisturbed / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert stored(undisturbed)[1] == {
        "done": "4",
        "tokens": str(lines[-1]["tokens"]),
        "recipe": json.dumps(asdict(TINY)),
        "pool": data.sha256_of(undisturbed / "train.npz"),
    }
    assert {p.name for p in undisturbed.iterdir()} == {"train.npz", "held.npz", "checkpoint.safetensors", "curve.jsonl"}


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from solver.pretrain import workers
from solver.pretrain.train import Training
from tests.support.pretraining import TINY
sums = Training._taken
def taken(self, loss):
    if self.done == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return sums(self, loss)
Training._taken = taken
torch.set_num_threads(1)
workers.work(0, workers.Job(TINY, Path(sys.argv[1]), every=2))
"""


@pytest.mark.slow
def test_a_run_killed_between_checkpoints_and_resumed_ends_with_the_same_weights(
    directory: Path, undisturbed: Path
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(directory)], env=alone(), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert stored(directory)[1]["done"] == "2"
    work(Job(TINY, directory, every=2))
    assert_same(directory, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_a_run_ends_its_step_with_a_checkpoint_and_resumed_ends_with_the_same_weights(
    directory: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    with monkeypatch.context() as patched:
        in_step(patched, 3, lambda: signal.raise_signal(number))
        work(Job(TINY, directory, every=2))
    assert stored(directory)[1]["done"] == "3"
    work(Job(TINY, directory, every=2))
    assert_same(directory, undisturbed)


def test_a_run_whose_time_is_over_stops_with_a_checkpoint_to_go_on_from(directory: Path, undisturbed: Path) -> None:
    for done in ("1", "2"):
        work(Job(TINY, directory, every=100, seconds=0.0))
        assert stored(directory)[1]["done"] == done
    work(Job(TINY, directory, every=100, seconds=600.0))
    assert_same(directory, undisturbed)


def test_where_a_checkpoint_finds_no_room_the_last_one_stays_and_is_gone_on_from(
    directory: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses to write files of more than some bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with monkeypatch.context() as patched:
            in_step(patched, 4, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard)))
            with pytest.raises(SystemExit) as ended:
                work(Job(TINY, directory, every=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    message = str(ended.value.code)  # a text: the process ends with it on standard error, and with status 1
    assert message.startswith("error: no checkpoint could be written at step 4 ([Errno 27] File too large")
    assert f"expected room in {directory}; make some and give the same command again" in message
    assert "\n" not in message
    assert not (directory / "checkpoint.partial").exists()
    assert stored(directory)[1]["done"] == "2"
    work(Job(TINY, directory, every=2))
    assert_same(directory, undisturbed)


# ---- checkpoints that cannot be gone on from -------------------------------------------------------------------------


def test_a_checkpoint_goes_on_with_more_steps_another_decay_or_other_workers_and_nothing_else(
    undisturbed: Path,
) -> None:
    train.check(undisturbed, replace(TINY, steps=9, decay=0.9, tokens=256))
    assert Training(replace(TINY, steps=9, decay=0.9)).load(undisturbed) is None
    for changed, message in (
        ({"seed": 3}, "the checkpoint was made with seed 0, this run has 3: resume with the same recipe"),
        ({"average": 0.5}, "the checkpoint was made with average 0.999, this run has 0.5"),
        ({"tokens": 512}, "the checkpoint was made with tokens 256, this run has 512"),
    ):
        with pytest.raises(BadInput, match=message):
            Training(replace(TINY, **changed)).load(undisturbed)  # type: ignore[arg-type]


def test_a_checkpoint_of_another_pool_is_refused_and_one_that_does_not_say_is_not(
    directory: Path, undisturbed: Path
) -> None:
    tensors, counters = stored(undisturbed)
    data.save(replace(small_pool(), ids=("x", "y", "z")), directory / "train.npz")
    save_file(tensors, directory / train.CHECKPOINT, counters)
    was, now = counters["pool"], data.sha256_of(directory / "train.npz")
    with pytest.raises(BadInput, match=rf"another pool \(sha256 {was[:12]}\) than its train.npz is \({now[:12]}\)"):
        work(Job(TINY, directory))
    del counters["pool"]
    save_file(tensors, directory / train.CHECKPOINT, counters)
    work(Job(replace(TINY, steps=5), directory))
    assert (stored(directory)[1]["done"], stored(directory)[1]["pool"]) == ("5", now)


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", None])
def test_a_file_that_is_no_checkpoint_is_refused(directory: Path, content: bytes | None) -> None:
    path = directory / train.CHECKPOINT
    if content is None:
        save_file({}, path, {"of": "another kind"})
    else:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=f"{path} is no checkpoint .*; delete it to begin anew"):
        work(Job(TINY, directory))


# ---- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """What training is asked for, which is not done."""
    asked = list[Job]()

    def together(job: Job) -> int:
        asked.append(job)
        return 0

    monkeypatch.setattr(pretrain, "together", together)
    return asked


def test_what_cannot_be_gone_on_from_is_told_in_a_line_before_any_process_starts(
    directory: Path, undisturbed: Path, jobs: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--preset", "smoke", "--workers", "1", "--directory", str(directory)]
    tensors, counters = stored(undisturbed)
    save_file(tensors, directory / train.CHECKPOINT, counters)
    smoke = replace(Recipe(**PRESETS["smoke"]), workers=1)
    cases = [(argv, "the checkpoint was made with width 32, this run has 64: resume with the same recipe")]
    cases += [([*argv, "--tokens", "1000"], "1000 tokens a step in rows of 2048 for 1 workers; expected as many whole")]
    cases += [([*argv, "--workers", "0"], "workers is 0; expected 1 or more")]
    cases += [([*argv, "--pad", "1.5"], "pad is 1.5; expected 0 to 1"), ([*argv, "--decay", "0"], "decay is 0; expec")]
    for command, message in cases:
        assert pretrain.main(command) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"error: {message}")
        assert said.count("\n") == 1
    save_file(tensors, directory / train.CHECKPOINT, {**counters, "recipe": json.dumps(asdict(smoke)), "pool": "ab"})
    assert pretrain.main(argv) == 2
    assert "another pool (sha256 ab) than its train.npz" in capsys.readouterr().err
    assert jobs == []
    save_file(tensors, directory / train.CHECKPOINT, {**counters, "recipe": json.dumps(asdict(smoke))})
    assert pretrain.main(argv) == 0
    assert [job.recipe for job in jobs] == [smoke]


def test_the_command_line_says_how_long_to_train_and_whether_to_fuse(directory: Path, jobs: list[Job]) -> None:
    argv = ["--preset", "smoke", "--workers", "1", "--directory", str(directory), "--no-compile"]
    assert pretrain.main([*argv, "--minutes", "0.05", "--upscale", "0.25", "--average", "0"]) == 0
    assert pretrain.main(argv) == 0
    assert [(job.seconds, job.compiled, job.every) for job in jobs] == [(3.0, False, 100), (None, False, 100)]
    assert (jobs[0].recipe.upscale, jobs[0].recipe.average) == (0.25, 0.0)


SMALL = ["--preset", "smoke", "--width", "32", "--layers", "1", "--heads", "1", "--inner", "32", "--no-compile"]


class Begun:
    """`python -m solver pretrain` in a process of its own, with a checkpoint at every step, two of which are there."""

    def __init__(self, directory: Path, *more: str):
        command = ["-m", "solver", "pretrain", *SMALL, "--every", "1", "--directory", str(directory), *more]
        self.process = subprocess.Popen([sys.executable, *command], env=alone(), stdout=subprocess.DEVNULL)
        curve, late = directory / "curve.jsonl", time.monotonic() + 200
        while not curve.exists() or curve.read_text().count("\n") < 2:
            assert self.process.poll() is None
            assert time.monotonic() < late
            time.sleep(0.02)
        listing = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.children = [int(number) for number in listing.read_text().split()]

    def sent(self, number: int) -> int:
        """The exit status after a signal; none of its processes is left."""
        self.process.send_signal(number)
        status, late = self.process.wait(120), time.monotonic() + 30
        while any(map(alive, self.children)):
            assert time.monotonic() < late
            time.sleep(0.02)
        return status


def alive(process: int) -> bool:
    """Whether a process is there and is not only waiting for somebody to ask for its status."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_a_terminated_run_of_two_workers_leaves_a_checkpoint_and_no_process(directory: Path) -> None:
    begun = Begun(directory, "--workers", "2", "--steps", "100000")
    assert len(begun.children) >= 2
    assert begun.sent(signal.SIGTERM) == 128 + signal.SIGTERM
    lines = (directory / "curve.jsonl").read_text().splitlines()
    assert stored(directory)[1]["done"] == str(len(lines)) == str(json.loads(lines[-1])["step"])


@pytest.mark.slow
def test_a_run_of_two_workers_without_room_ends_with_one_line_and_status_1(directory: Path) -> None:
    command = [sys.executable, "-m", "solver", "pretrain", *SMALL, "--workers", "2", "--directory", str(directory)]
    small_files = f"ulimit -f 40; exec {shlex.join([*command, '--every', '1'])}"  # of 40 KiB
    ended = subprocess.run(["bash", "-c", small_files], env=alone(), capture_output=True, text=True, timeout=200)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.startswith("error: no checkpoint could be written at step 1 ([Errno 27] File too large")
    assert ended.stderr.count("\n") == 1
    assert not (directory / train.CHECKPOINT).exists()


@pytest.mark.slow
def test_a_run_killed_anywhere_leaves_no_process_and_resumed_ends_as_an_undisturbed_one_of_torchrun_does(
    tmp_path: Path,
) -> None:
    """Two workers, killed and begun again, against two processes of torchrun that nothing disturbs.

    Where they differ, either way may be at fault: resuming, or how torchrun's processes meet.
    """
    killed, undisturbed = directories = [tmp_path / "killed", tmp_path / "torchrun"]
    for one in directories:
        one.mkdir()
        put_pools(one)
    argv = ["--workers", "2", "--tokens", "4096", "--steps", "16"]
    assert Begun(killed, *argv).sent(signal.SIGKILL) == -signal.SIGKILL
    assert 2 <= int(stored(killed)[1]["done"]) < 16
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "solver"]
    for one, way in ((killed, ["-m", "solver"]), (undisturbed, torchrun)):
        own = ["pretrain", *SMALL, "--directory", str(one), *argv, "--export", str(one / "weights")]
        subprocess.run([sys.executable, *way, *own], env=alone(), check=True, stdout=subprocess.DEVNULL, timeout=200)
    assert_same(killed, undisturbed)
    exported = [(one / "weights" / "model.safetensors").read_bytes() for one in directories]
    assert exported[0] == exported[1]
    momenta = [t for name, t in stored(killed)[0].items() if name.startswith("muon.")]
    assert len(momenta) == 7  # the matrices of one layer, whichever worker updates them
    assert all(momentum.any() for momentum in momenta)


def test_torchrun_s_processes_are_as_many_as_the_workers(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert pretrain.main(["--preset", "smoke", "--workers", "2", "--directory", str(directory)]) == 2
    said = "error: torchrun started 4 processes: expected --workers 4 to say so, too\n"
    assert capsys.readouterr().err == said
