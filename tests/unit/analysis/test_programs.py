"""`python -m solver programs`: the command over the search for programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from solver.analysis import programs as command
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


def test_the_command_scores_what_it_answered_and_goes_on_with_an_unfinished_file(tmp_path, capsys):
    asked, right = challenges(tmp_path)
    flags = ["--challenges", str(asked), "--solutions", str(right), "--output", str(tmp_path / "o.jsonl")]
    flags += ["--nodes", "300", "--seconds", "3", "--workers", "1"]
    assert command.main(flags) == 0
    assert "1 of 2 solved (pass@2 50.0 %" in capsys.readouterr().out
    lines = (tmp_path / "o.jsonl").read_text().splitlines()
    assert len(lines) == 3
    (tmp_path / "o.jsonl").write_text("\n".join(lines[:2]) + "\n" + lines[2][:20])
    assert command.main(flags) == 0
    out = capsys.readouterr().out
    assert "00000001" not in out  # answered before
    assert "1 of 2 solved" in out
    assert command.main([*flags, "--nodes", "301"]) == 2
    assert "another run" in capsys.readouterr().err


def test_a_part_of_the_tasks_leaves_the_others_in_the_file(tmp_path, capsys):
    asked, right = challenges(tmp_path)
    flags = ["--challenges", str(asked), "--solutions", str(right), "--output", str(tmp_path / "o.jsonl")]
    flags += ["--nodes", "300", "--seconds", "3", "--workers", "1"]
    assert command.main(flags) == 0
    before = (tmp_path / "o.jsonl").read_text()
    assert command.main([*flags, "--limit", "1"]) == 0
    assert sorted((tmp_path / "o.jsonl").read_text().splitlines()) == sorted(before.splitlines())
    assert not (tmp_path / "o.jsonl.part").exists()


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
