"""`--code-model` as part of a run: a stage before all others, its refusals, its place in record, report and resuming.

The model that writes is a fake; its programs, the sandbox they run in and the run around them are real.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from solver.analysis import history, report, report_data
from solver.analysis.diagnose import measure, spent
from solver.cli import parse
from solver.data import tasks
from solver.induction import induce
from solver.induction.sandbox.sandbox import Sandbox
from solver.runtime import phases, record, submission_file
from solver.runtime.prepare import configure
from tests.support import fake_worker, fake_writer, tiny_writer
from tests.support.runs import lines_of
from tests.system import test_submission
from tests.system.test_submission import FOUR, GOOD, challenges, recorded, refused

ROOT = Path(__file__).resolve().parents[3]
call, earlier = test_submission.call, test_submission.earlier  # fixtures
output, weights = test_submission.output, test_submission.weights

RIGHT = "```python\ndef transform(grid):\n    return grid[:, ::-1]\n```"  # the rule of `GOOD`
GUESS = "```python\ndef transform(grid):\n    return grid[:, ::-1] if grid[0, 0] == 1 else [[9]]\n```"
WRONG = "```python\ndef transform(grid):\n    return grid\n```"
GONE = "```python\nimport os\ndef transform(grid):\n    os._exit(0)\n```"


@pytest.fixture
def model(tmp_path) -> Path:
    """A directory that looks like a model of 4,096 positions."""
    folder = tmp_path / "coder"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 4096}')
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def asked(call, tmp_path, model):
    """The flags of a run over four tasks with the code model, and one over `GOOD` alone."""
    return ["--challenges", challenges(tmp_path, FOUR), "--code-model", model, "--unsafe-programs", "--code-samples", 3]


@pytest.fixture
def saying(tmp_path, monkeypatch, call):
    """Call `main` with a code model that says these texts, the model of grids being the usual fake."""

    def run(texts, *flags, **script):
        command = fake_writer.command(tmp_path, texts=texts, **script)
        monkeypatch.setattr(fake_worker, "command", lambda folder, **_: command)
        return call(*flags)

    return run


def results(output):
    return {(m["task_id"], m["stage"]): m for m in recorded(output).of_kind("result")}


# ---- off, and refused ------------------------------------------------------------------------------------------------


def test_without_a_code_model_the_run_says_so_in_one_line(call, tmp_path, output, capsys):
    assert call("--challenges", challenges(tmp_path, FOUR)) == 0
    assert capsys.readouterr().out.count("induction is off: no code model was given (--code-model)\n") == 1
    assert not any("induction" in argv for argv in fake_worker.heard(tmp_path, "argv"))


def test_the_flags_change_these_settings_alone(tmp_path):
    given = ["--code-model", str(tmp_path), "--code-samples", "7", "--unsafe-programs"]
    plain, changed = configure(parse([])), configure(parse(given))
    found = changed.induction
    assert (found.model, found.samples, found.unsafe) == (str(tmp_path), 7, True)
    assert (plain.induction.model, plain.induction.samples, plain.induction.unsafe) == ("", 64, False)
    assert str(changed).replace(str(found), str(plain.induction)) == str(plain)


def test_where_nothing_can_contain_programs_the_run_is_refused_before_it_begins(
    call,
    capsys,
    earlier,
    tmp_path,
    model,
    monkeypatch,
):
    monkeypatch.setattr(induce, "Sandbox", partial(Sandbox, wanted=()))
    flags = ["--challenges", challenges(tmp_path, FOUR), "--code-model", model]
    refused(call(*flags), capsys, earlier, "accept the risk with --unsafe-programs")
    assert fake_worker.heard(tmp_path, "start") == []


def test_a_sandbox_that_does_not_start_at_all_is_a_refusal_too(call, capsys, earlier, tmp_path, model, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the runner of programs did not start (it ended):\nTraceback")

    monkeypatch.setattr(induce, "Sandbox", broken)
    flags = ["--challenges", challenges(tmp_path, FOUR), "--code-model", model, "--unsafe-programs"]
    refused(call(*flags), capsys, earlier, "the runner of programs did not start (it ended): Traceback")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: (m / "tokenizer.json").unlink(), "holds no safetensors or no tokenizer"),
        (lambda m: (m / "config.json").write_text('{"auto_map": {}}'), "brings code of its own"),
        (
            lambda m: (m / "config.json").write_text('{"max_position_embeddings": 2048}'),
            "replies of 2048 tokens in a context of 2048 came; expected fewer than the context's",
        ),
    ],
)
def test_a_code_model_that_is_none_is_refused(change, message, call, capsys, earlier, asked, model):
    change(model)
    refused(call(*asked), capsys, earlier, message)


# ---- a stage of the run ----------------------------------------------------------------------------------------------


def test_a_right_program_of_the_code_model_has_the_first_attempt(saying, asked, output, capsys, tmp_path):
    assert saying([RIGHT, WRONG, GONE], *asked, "--rule", "hierarchical", votes=dict.fromkeys(FOUR, 0.6)) == 0
    written = json.loads(output.read_text())
    assert submission_file.validate(written, tasks.load_challenges(asked[1]).tests) == []
    for at in (0, 2, 3):  # the vote's answer is the test input itself, which in task1 is the right one
        assert written[f"task{at}"] == [{"attempt_1": [[1, at]], "attempt_2": [[at, 1]]}]
    out = capsys.readouterr().out
    assert re.search(r"induction: 3 programs a task from \S+/coder, before the model, 1\d\d s at most", out)
    assert re.search(r"code model ready on cpu in \d\.\d s; ", out)
    assert "induction, 1 answer of programs, " in out
    assert "programs: 3 asked for, 3 written, 3 with a program, 3 run, 1 reproduce every demonstration" in out
    assert "induction is off" not in out
    assert ["induction" in argv for argv in fake_worker.heard(tmp_path, "argv")] == [True, False]


def test_among_its_answers_that_of_the_most_programs_is_attempted_first(saying, asked, output):
    assert saying([GUESS, RIGHT, RIGHT], *asked, start=["exit"]) == 0
    assert json.loads(output.read_text())["task2"] == [{"attempt_1": [[1, 2]], "attempt_2": [[9]]}]


def test_the_record_and_the_report_tell_of_it(saying, asked, output, capsys):
    assert saying([RIGHT, WRONG, GONE], *asked, "--programs", "2", "--rule", "hierarchical") == 0
    lines = results(output)
    assert {i for i, number in lines if number == -1} == {i for i, number in lines if number == 0} == set(FOUR)
    first = lines["task0", -1]
    program = first["candidates"][0][0]["program"]
    assert (program["text"], program["support"]) == ("def transform(grid):\n    return grid[:, ::-1]", 1)
    assert (first["from_model"], first["from_programs"], first["votes"]) == ([0], [1], [[0, 0]])
    assert first["notes"][0].startswith("programs: 3 asked for, ")
    [header] = recorded(output).of_kind("run")
    known = header["config"]["induction"]
    assert (known["samples"], known["writer"]["context"], len(known["content"])) == (3, 4096, 64)
    told = history.load(record.directory_of(output))
    assert told.stages == (-1, 0, 1, 3)
    assert spent(told)["cpu"]["induction"] > 0
    overlap = measure(told, {"task0": [np.array([[1, 0]])], "task1": [np.array([[1, 1]])]}).overlap
    assert (overlap.only_programs, overlap.both) == (1, 1)  # the fake model answers with the test input
    [page] = report.write(record.directory_of(output)).parent.glob("report.html")
    assert "induction" in page.read_text()
    top = report_data.data_of(told, {}, (), dict.fromkeys(told.stories, ""))["tasks"]["task0"]["tests"][0]["top"]
    assert top[0]["programs"] == [[program["text"], program["cost"], None, 1]]


@pytest.mark.slow
def test_two_runs_give_the_same_file_and_another_model_another_fingerprint(saying, asked, output, model):
    prints, files = [], []
    for content in ("{}", "{}", "{ }"):
        (model / "tokenizer.json").write_text(content)
        assert saying([GUESS, RIGHT], *asked) == 0
        prints.append(recorded(output).of_kind("run")[0]["fingerprint"])
        files.append(output.read_bytes())
    assert files[0] == files[1]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.slow
def test_a_stage_that_crashes_is_noted_and_the_run_goes_on(saying, asked, output, capsys):
    assert saying(None, *asked, "--limit", 1) == 0  # the fake writer can say nothing at all
    out = capsys.readouterr().out
    assert "1 answer to 1 task: 1 from the model, 0 placeholders." in out
    failures = recorded(output).of_kind("failure")
    assert [(m["stage"], m["task_ids"]) for m in failures] == [(-1, ["task0"])] * 2


def test_one_that_never_starts_is_noted_too(call, asked, output, capsys):
    assert call(*asked, write_start=["exit"]) == 0
    out = capsys.readouterr().out
    assert "cpu: the worker died (exit status 3) while starting; its log says more" in out
    assert "induction: 4 tasks were not asked in the time there was for it" in out
    assert "4 from the model" in out


@pytest.mark.slow
def test_it_never_has_more_than_its_share_of_the_time(call, asked, output, tmp_path, capsys, monkeypatch):
    """Of 24 seconds 8 are kept for the end, and a quarter of the others is 4."""
    monkeypatch.setattr(phases, "LEAST_WRITING", 0.5)
    assert call(*asked, "--time-limit", "24s", write_batches={i: ["hang"] for i in FOUR}) == 0
    assert fake_worker.heard(tmp_path, "stuck")
    first = next(m["at"] for m in recorded(output).messages if m["kind"] == "result")
    assert first < 4 + 2
    out = capsys.readouterr().out
    assert "cpu: stopped: it took longer than it was given, in the batch of task" in out
    assert "4 from the model" in out


def test_with_less_time_than_a_reply_takes_the_code_model_is_not_loaded(call, asked, output, capsys, tmp_path):
    assert call(*asked, "--time-limit", "30s", written={"task0": {"cost": 3}}) == 0
    assert {number for _, number in results(output)} == {1, 3}
    assert re.search(r"no induction: its share of the time is \d s, and 12 are the least", capsys.readouterr().out)
    assert not any("induction" in argv for argv in fake_worker.heard(tmp_path, "argv"))


@pytest.mark.slow
@pytest.mark.parametrize("lines", [2, 5, 8, 12])
def test_a_resumed_run_asks_no_task_again_and_ends_with_the_same_answers(lines, saying, asked, output, tmp_path):
    texts = [GUESS, RIGHT, WRONG]
    assert saying(texts, *asked) == 0
    whole, path = output.read_bytes(), record.directory_of(output) / record.RECORD
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(kept[:lines]))
    assert saying(texts, "--resume", path.parent) == 0
    assert output.read_bytes() == whole
    pairs = Counter((m["task_id"], m["stage"]) for m in recorded(output).of_kind("result"))
    assert {pairs[i, -1] for i in FOUR} == {1}


@pytest.mark.slow
def test_a_run_is_not_resumed_with_another_code_model(saying, asked, output, model, capsys):
    assert saying([RIGHT], *asked) == 0
    (model / "model.safetensors").write_text("others")
    assert saying([RIGHT], "--resume", record.directory_of(output)) == 2
    assert "expected nothing changed since" in capsys.readouterr().err


def test_where_the_model_never_comes_the_code_model_s_answers_stay(saying, asked, output, capsys):
    assert saying([RIGHT], *asked, start=["exit"]) == 0
    out = capsys.readouterr().out
    assert "the programs' answers stay: the worker could not be started" in out
    assert "4 answers to 4 tasks: 0 from the model, 4 from programs alone, 0 placeholders." in out


def test_the_solutions_never_reach_the_code_model(saying, tmp_path, model, output):
    shown = {"a": {**GOOD, "test": [{"input": [[3, 4]], "output": [[4, 3, 8, 8]]}]}}
    telling = "```python\ndef transform(grid):\n    raise ValueError(grid.tolist())\n```"
    given = ["--challenges", challenges(tmp_path, shown), "--code-model", model, "--unsafe-programs"]
    assert saying([telling], *given, "--code-samples", 1) == 0
    assert "8, 8" not in (record.directory_of(output) / record.RECORD).read_text().split('"kind":"end"')[0]


# ---- with a real engine ----------------------------------------------------------------------------------------------

LIMIT = 420  # seconds for the whole program, of which the run has five minutes


@pytest.mark.engine
def test_a_real_model_is_asked_before_the_model_of_grids_in_one_run(tmp_path):
    """Both engines start, one after the other. The code model's numbers are random: no program comes of it."""
    given, answered = challenges(tmp_path, {"a": GOOD, "b": GOOD}), tmp_path / "out" / "submission.json"
    flags = ["--challenges", given, "--code-model", tiny_writer.make(tmp_path / "coder"), "--output", answered]
    flags += "--code-samples 2 --unsafe-programs --programs 0 --steps 0 --views 1 --time-limit 5m".split()
    command = [sys.executable, "submission.py", "--devices", "cpu", *map(str, flags)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    directory = record.directory_of(answered)
    assert ran.returncode == 0, ran.stdout + ran.stderr + (directory / record.WORKER_LOG).read_text()[-2000:]
    assert submission_file.validate(json.loads(answered.read_text()), {"a": 1, "b": 1}) == []
    made = lines_of(directory)
    assert made.of_kind("failure") == []
    asked = {m["task_id"]: m for m in made.of_kind("result") if m["stage"] == -1}
    for message in asked.values():
        assert message["candidates"] == [[]]
        assert message["seconds"]["induction"] > 0
        assert message["notes"][0] == (
            "programs: 2 asked for, 2 written, 0 with a program, 0 run, 0 reproduce every demonstration"
        )
    assert sorted(asked) == ["a", "b"]
    assert {m["task_id"] for m in made.of_kind("result") if m["stage"] > 0} == {"a", "b"}
    assert ran.stdout.index("code model ready on cpu") < ran.stdout.index("engine and trainer ready on cpu")
