"""What the notebook relies on: inputs under every prefix, rehearsals told from reruns, faults said in one line."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from solver.kaggle import notebook
from solver.runtime import submission_file
from solver.runtime.record import RECORD, to_line
from tests.support.kaggle_tree import lending_wheels

GOOD = {"train": [{"input": [[1, 2]], "output": [[2, 1]]}], "test": [{"input": [[3, 4]]}]}


def put(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A tree with the competition and a wheelhouse; temporary files land beside it."""
    root = tmp_path / "kaggle"
    put(root / "input" / "arc-prize-2026" / notebook.TEST, {"a": GOOD, "b": GOOD})
    put(root / "input" / "arc-prize-2026" / notebook.TRAINING, {"a": GOOD, "b": GOOD, "c": GOOD})
    lending_wheels(root / "input" / "wheels")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return root


@pytest.fixture
def session(root) -> notebook.Session:
    return notebook.begin(root, {})


# ---- what is attached ------------------------------------------------------------------------------------------------


def test_the_competitions_own_folder_is_believed_before_copies_in_data_sets(root):
    own = put(root / "input" / "competitions" / "arc-prize-2026" / notebook.TEST, {"a": GOOD})
    assert notebook.tests(root) == own


def test_without_that_folder_the_file_beside_the_sample_submission_is(root):
    put(root / "input" / "a-copy" / notebook.TEST, {"z": GOOD})
    put(root / "input" / "arc-prize-2026" / notebook.SAMPLE, {})
    assert notebook.tests(root) == root / "input" / "arc-prize-2026" / notebook.TEST


def test_no_competition_is_said_in_one_line(tmp_path):
    with pytest.raises(
        notebook.NotebookError, match=r"^no arc-agi_test_challenges.json below .*; attach the competition$"
    ):
        notebook.begin(tmp_path, {})


def test_no_wheelhouse_and_two_of_them_are_said_in_one_line(root):
    lending_wheels(root / "input" / "datasets" / "somebody" / "more")
    with pytest.raises(
        notebook.NotebookError, match=r"datasets/somebody/more, .*input/wheels came, exactly one was expected"
    ):
        notebook.begin(root, {})
    for listed in root.glob("input/**/requirements.txt"):
        listed.unlink()
    with pytest.raises(
        notebook.NotebookError, match=r"none came, exactly one was expected; attach what python -m solver kaggle kit"
    ):
        notebook.begin(root, {})


def test_placeholders_are_there_whatever_else_is_missing(root):
    """Without wheels the notebook stops, but what was written before is a whole submission."""
    for listed in root.glob("input/**/requirements.txt"):
        listed.unlink()
    with pytest.raises(notebook.NotebookError):
        notebook.begin(root, {})
    written = json.loads((root / "working" / "submission.json").read_text())
    assert submission_file.validate(written, {"a": 1, "b": 1}) == []


def test_an_attached_code_model_that_the_flags_name_is_not_taken_for_the_weights(root):
    for name in ("mine", "coder"):
        put(root / "input" / name / "model.safetensors", {})
        put(root / "input" / name / "config.json", {})
    flags = {notebook.FLAGS: f"--preset h200 --code-model {root / 'input' / 'coder'}"}
    assert notebook.begin(root, flags).weights == root / "input" / "mine"


def test_attached_weights_are_used_and_two_sets_of_them_are_refused(root, session):
    assert session.weights is None
    folder = root / "input" / "models" / "mine"
    put(folder / "model.safetensors", {})
    put(folder / "config.json", {})
    found = notebook.begin(root, {})
    assert found.weights == folder
    called = notebook.command(found)
    assert called[called.index("--weights") + 1] == str(folder)
    put(root / "input" / "other" / "model.safetensors", {})
    put(root / "input" / "other" / "config.json", {})
    with pytest.raises(notebook.NotebookError, match=r"^folders of weights: .*models/mine, .*other came, exactly one"):
        notebook.begin(root, {})


# ---- rehearsal or rerun ----------------------------------------------------------------------------------------------


def test_the_variable_of_a_rerun_is_believed_whatever_the_file_holds(root):
    assert notebook.is_rerun(notebook.tests(root), {notebook.RERUN: "1"})[0]


def test_the_known_placeholder_is_a_rehearsal(root, monkeypatch):
    test = put(root / "input" / "alone" / notebook.TEST, {"hidden": GOOD})
    assert notebook.is_rerun(test, {})[0]
    monkeypatch.setattr(notebook, "PLACEHOLDER", hashlib.md5(test.read_bytes()).hexdigest())
    assert notebook.is_rerun(test, {}) == (False, "arc-agi_test_challenges.json is the known placeholder")


def test_a_file_of_training_tasks_is_a_rehearsal_and_one_with_any_other_task_is_not(root):
    test = notebook.tests(root)
    assert not notebook.is_rerun(test, {})[0]
    put(test, {"a": GOOD, "hidden": GOOD})
    assert notebook.is_rerun(test, {})[0]


def test_a_rehearsal_takes_the_competitions_evaluation_tasks_or_the_ones_at_hand(root, session):
    assert "--split dry-run" in " ".join(notebook.command(session))
    for name in notebook.EVALUATION:
        put(session.test.with_name(name), {})
    called = notebook.command(session, "--limit", "2")
    assert called[called.index("--challenges") + 1] == str(session.test.with_name(notebook.EVALUATION[0]))
    assert called[called.index("--output") + 1] == str(root / "working" / "rehearsal.json")
    assert called[-2:] == ["--limit", "2"]
    assert int(called[called.index("--already-spent") + 1].removesuffix("s")) >= 1


def test_a_rerun_takes_the_test_file_whole_and_writes_no_report(root):
    called = notebook.command(notebook.begin(root, {notebook.RERUN: "1"}))
    assert called[called.index("--challenges") + 1] == str(notebook.tests(root))
    assert called[called.index("--output") + 1] == str(root / "working" / "submission.json")
    assert "--no-report" in called
    assert not set(called) & {"--limit", "--solutions", "--split"}


# ---- before, during and after the run --------------------------------------------------------------------------------


def test_a_valid_file_of_placeholders_is_there_before_anything_is_installed(session):
    written = json.loads(session.submission.read_text())
    assert submission_file.validate(written, {"a": 1, "b": 1}) == []
    assert not session.python.exists()
    assert session.working not in session.place.parents


def test_an_install_of_wheels_for_another_python_stops_the_notebook(session, capfd):
    (session.wheels / "requirements.txt").write_text("nothing==1.0\n")
    with pytest.raises(notebook.NotebookError, match="expected a wheelhouse for this Python; see above"):
        notebook.install(session)
    assert "No matching distribution found for nothing==1.0" in capfd.readouterr().out


PROGRAM = """
import json, os, signal, sys
from pathlib import Path
with open(Path(__file__).with_name("calls"), "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
print("PYTHONPATH" in os.environ, "MPLBACKEND" in os.environ, flush=True)
if "--resume" not in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(4)
"""


def test_a_run_that_a_signal_ended_is_resumed_once(session, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", "/of/the/notebook")
    monkeypatch.setenv("MPLBACKEND", "module://of_the_notebook")
    code = tmp_path / "code"
    code.mkdir()
    (code / "submission.py").write_text(PROGRAM)
    (session.place / "bin").mkdir()
    os.symlink(sys.executable, session.python)
    assert notebook.run_submission(replace(session, code=code, rerun=True)) == 4
    first, second = map(json.loads, (code / "calls").read_text().splitlines())
    assert first[0] == "--already-spent"
    assert second[:2] == ["--resume", str(session.working / "submission.run")]
    assert second[2] == "--already-spent"
    assert second[4:] == ["--no-report"]
    said = capsys.readouterr().out
    assert "the run was ended by signal 9: it is resumed" in said
    assert said.count("False False") == 2


@pytest.fixture
def installed(session) -> notebook.Session:
    """A session whose interpreter is this one."""
    (session.place / "bin").mkdir()
    session.python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    session.python.chmod(0o755)
    return session


def record_of(session: notebook.Session, *from_model: int) -> None:
    session.run.mkdir()
    results = [{"kind": "result", "task_id": f"t{n}", "stage": 3, "from_model": [k]} for n, k in enumerate(from_model)]
    (session.run / RECORD).write_text("".join([*map(to_line, results), '{"kind":"resu']))


def test_a_submission_that_lacks_a_task_stops_the_notebook(installed, capfd):
    written = json.loads(installed.submission.read_text())
    del written["b"]
    installed.submission.write_text(json.dumps(written))
    with pytest.raises(notebook.NotebookError, match="is not a valid submission"):
        notebook.validate(replace(installed, rerun=True), 0)
    assert '"b": is missing' in capfd.readouterr().out


@pytest.mark.parametrize(("status", "answered"), [(1, (2,)), (0, (0, 0)), (0, ())])
def test_a_rehearsal_that_broke_or_that_no_model_answered_stops_the_notebook(installed, status, answered):
    record_of(installed, *answered)
    with pytest.raises(notebook.NotebookError, match=r"^the rehearsal failed: exit status "):
        notebook.validate(installed, status)


def test_a_rerun_with_a_valid_file_goes_through_whatever_its_status(installed, capfd):
    notebook.validate(replace(installed, rerun=True), 1)
    assert "valid: 2 tasks, 2 test inputs" in capfd.readouterr().out


def test_a_working_folder_over_kaggles_limits_is_warned_of(installed, monkeypatch, capfd):
    record_of(installed, 2)
    notebook.validate(installed, 0)
    printed = capfd.readouterr().out
    assert f"{installed.working}: 2 of 500 files, 0.000 of 20 GB" in printed
    assert "warning" not in printed
    for name, most in (("MOST_FILES", 1), ("MOST_BYTES", 10)):
        with monkeypatch.context() as patched:
            patched.setattr(notebook, name, most)
            notebook.validate(installed, 0)
        assert "warning: Kaggle keeps " in capfd.readouterr().out


def test_only_tasks_the_model_answered_are_counted_and_torn_lines_left_out(session):
    assert notebook.answered(session.run) == 0
    record_of(session, 2, 0, 1)
    assert notebook.answered(session.run) == 2


def test_a_report_is_shown_in_a_frame_of_its_own_and_none_where_there_is_none(session):
    assert notebook.page(session) == ""
    session.run.mkdir()
    (session.run / "report.html").write_text('<html lang="en"><script>"</div>"</script>')
    shown = notebook.page(session)
    assert 'srcdoc="&lt;html lang=&quot;en&quot;&gt;&lt;script&gt;' in shown
    assert shown.count("<") == 4
