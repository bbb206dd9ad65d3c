"""`python -m solver programs`: the command over the search for programs."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from solver.analysis import programs as command
from solver.analysis.solutions import read_solutions
from solver.data import tasks
from solver.programs import batch
from tests.support.made_tasks import draw, made


def challenges(folder: Path) -> tuple[Path, Path]:
    """Two tasks, one with a truth and one of noise, and their solutions, as Kaggle's files."""
    task, right = made(lambda g: g[::-1].copy())
    noise = np.random.default_rng(5)
    shown = [{"input": draw(noise).tolist(), "output": draw(noise).tolist()} for _ in range(3)]
    tasks_ = {
        "00000001": {
            "train": [{"input": p.input.tolist(), "output": p.output.tolist()} for p in task.demonstrations],
            "test": [{"input": task.tests[0].tolist()}],
        },
        "00000002": {"train": shown, "test": [{"input": draw(noise).tolist()}]},
    }
    (folder / "c.json").write_text(json.dumps(tasks_))
    solutions = {"00000001": [right[0].tolist()], "00000002": [draw(noise).tolist()]}
    (folder / "s.json").write_text(json.dumps(solutions))
    return folder / "c.json", folder / "s.json"


@pytest.fixture(scope="module")
def answered(tmp_path_factory) -> tuple[list[str], str, str]:
    """The flags of a run over the two tasks, without its file; what it printed, and the file it wrote."""
    folder = tmp_path_factory.mktemp("answered")
    asked, right = challenges(folder)
    flags = ["--challenges", str(asked), "--solutions", str(right), "--nodes", "300", "--seconds", "3"]
    flags += ["--workers", "1"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert command.main([*flags, "--output", str(folder / "o.jsonl")]) == 0
    return flags, printed.getvalue(), (folder / "o.jsonl").read_text()


@pytest.mark.slow
def test_the_command_scores_what_it_answered_and_goes_on_with_an_unfinished_file(answered, tmp_path, capsys):
    flags, printed, written = answered
    flags = [*flags, "--output", str(tmp_path / "o.jsonl")]
    assert "1 of 2 solved (pass@2 50.0 %" in printed
    lines = written.splitlines()
    assert len(lines) == 3
    (tmp_path / "o.jsonl").write_text("\n".join(lines[:2]) + "\n" + lines[2][:20])
    assert command.main(flags) == 0
    out = capsys.readouterr().out
    assert "00000001" not in out  # answered before
    assert "1 of 2 solved" in out
    assert command.main([*flags, "--nodes", "301"]) == 2
    assert "another run" in capsys.readouterr().err


@pytest.mark.slow
def test_a_part_of_the_tasks_leaves_the_others_in_the_file(answered, tmp_path):
    flags, _, before = answered
    (tmp_path / "o.jsonl").write_text(before)
    assert command.main([*flags, "--output", str(tmp_path / "o.jsonl"), "--limit", "1"]) == 0
    assert sorted((tmp_path / "o.jsonl").read_text().splitlines()) == sorted(before.splitlines())
    assert not (tmp_path / "o.jsonl.part").exists()


@pytest.mark.slow
def test_a_view_turns_the_tasks_and_what_they_are_scored_by(tmp_path, capsys):
    asked, right = challenges(tmp_path)
    flags = ["--challenges", str(asked), "--solutions", str(right), "--output", str(tmp_path / "o.jsonl")]
    flags += ["--nodes", "300", "--seconds", "3", "--workers", "1", "--task-ids", "00000001", "--view", "1"]
    assert command.main(flags) == 0
    assert "1 of 1 solved" in capsys.readouterr().out
    view, [line] = batch.every(tmp_path / "o.jsonl")
    assert view == 1
    assert "flip_left_right" in line.primitives[0]  # the task is flip_up_down, seen after a quarter turn
    assert command.main([*flags, "--view", "2"]) == 2
    assert "another run" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{\n}", "[1, 2]\n", "what\n"])
def test_a_file_of_another_kind_is_refused_in_one_line(text, tmp_path, capsys):
    asked, _ = challenges(tmp_path)
    (tmp_path / "o.json").write_text(text)
    for flag in ("--output", "--shorter"):
        assert command.main(["--challenges", str(asked), flag, str(tmp_path / "o.json")]) == 2
        assert "expected" in capsys.readouterr().err.splitlines()[0]
        assert (tmp_path / "o.json").read_text() == text


def test_the_command_wants_one_source_of_tasks(capsys):
    assert command.main([]) == 2
    assert "expected an embedded set or --challenges FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["arc1-training", "--workers", "0"], "--workers 0: expected at least 1"),
        (["arc1-training", "--seconds", "0"], "--seconds 0: expected a number above 0"),
        (["arc1-training", "--view", "8"], "--view 8: expected 0 to 7"),
        (["bench", "--seconds", "nan"], "--seconds nan: expected a number above 0"),
        (["uses"], "expected files that --output wrote"),
        (["uses", "none.jsonl"], "none.jsonl is no file"),
        (["arc1-training", "o.jsonl"], "only uses takes files"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(flags, message, capsys):
    assert command.main(flags) == 2
    assert message in capsys.readouterr().err


# ---- which tasks each primitive helped to solve ----------------------------------------------------------------------

EVERY = [p for table in command.TABLES.values() for p in table.values()]


TABLE = Path(__file__).parents[3] / "notebooks" / "primitives.md"


def helped() -> dict[str, tuple[str, list[str]]]:
    """Of the page that says which tasks each primitive helped to solve: name → (what it gives, tasks)."""
    rows = [row.strip("| ").split(" | ") for row in TABLE.read_text().splitlines() if row.startswith("| `")]
    return {name.strip("`"): (what, tasks_.split()) for name, _, what, _, tasks_ in rows}


def test_every_primitive_has_a_task_on_its_page_and_is_described_there():
    assert list(helped()) == command.primitive_names()
    for primitive in EVERY:
        what, tasks_ = helped()[primitive.name]
        assert what == " ".join((inspect.getdoc(primitive.run) or "").split())
        assert tasks_ != ["–"], f"{primitive.name} helped to solve no task: remove it, or show one ({TABLE})"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "task_id"),
    [("crop", "2013d3e2"), ("fractal", "cce03e0d"), ("halves_across", "0520fde7"), ("in_one", "99b1bc43")],
)
def test_a_task_on_the_page_is_solved_with_the_primitive(name, task_id):
    """With a hundredth of the nodes that a search may use: enough for these."""
    assert task_id in helped()[name][1]
    task = tasks.select(tasks.load_split("arc1-training"), [task_id], None).tasks[0]
    line = batch.score(batch.answer(task, 60.0, 2000), read_solutions("arc1-training")[task_id])
    assert line.solved
    assert any(name in used for used, right in zip(line.primitives, line.right, strict=True) if right)


def test_uses_name_the_tasks_a_primitive_helped_to_solve(tmp_path):
    attempts = [[[[1]], [[2]]], [[[3]], [[4]]], [[[3]], [[9]]]]
    made_ = [["crop", "flip_left_right"], ["rotate_90"], ["rotate_180"]]
    line = batch.Line("aaaaaaaa", 1.0, 3, attempts, ["", "", ""], [2.0] * 3, [1.0] * 3, primitives=made_)
    outputs = [np.array([[3]], np.uint8), np.array([[2]], np.uint8)]
    right = batch.score(line, outputs)
    assert (right.solved, right.right) == (True, [True, True, False])
    wrong = batch.score(replace(line, task="bbbbbbbb"), [outputs[0], outputs[0]])
    assert (wrong.solved, wrong.right) == (False, [False, True, False])
    batch.write(tmp_path / "o.jsonl", batch.BatchSettings("x", 1.0, 1), [right, wrong])
    found = command.used([tmp_path / "o.jsonl"])
    assert found["crop"] == found["rotate_90"] == ["aaaaaaaa"]
    assert found["rotate_180"] == []
    batch.write(tmp_path / "turned.jsonl", batch.BatchSettings("x", 1.0, 1, view=4), [right, wrong])
    found = command.used([tmp_path / "turned.jsonl", tmp_path / "o.jsonl"])
    assert found["crop"] == ["aaaaaaaa", "aaaaaaaa@4"]
    row = next(r for r in command.uses_table(found).splitlines() if r.startswith("| `crop` | grid → grid | "))
    assert row.endswith(". | 2 | aaaaaaaa aaaaaaaa@4 |")
