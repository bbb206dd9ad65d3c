"""Which tasks each primitive helped to solve, and the page that says so."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from solver.analysis import uses
from solver.analysis.solutions import read_solutions
from solver.data import tasks
from solver.programs import batch
from solver.programs.solve import NODES as PROGRAM_NODES

EVERY = [p for table in uses.TABLES.values() for p in table.values()]


TABLE = Path(__file__).parents[3] / "notebooks" / "primitives.md"


def helped() -> dict[str, tuple[str, list[str]]]:
    """Of the page that says which tasks each primitive helped to solve: name → (what it gives, tasks)."""
    rows = [row.strip("| ").split(" | ") for row in TABLE.read_text().splitlines() if row.startswith("| `")]
    return {name.strip("`"): (what, tasks_.split()) for name, _, what, _, tasks_ in rows}


def test_every_primitive_has_a_task_on_its_page_and_is_described_there():
    assert list(helped()) == uses.names()
    for primitive in EVERY:
        what, tasks_ = helped()[primitive.name]
        assert what == " ".join((inspect.getdoc(primitive.run) or "").split())
        assert tasks_ != ["–"], f"{primitive.name} helped to solve no task: remove it, or show one ({TABLE})"


@pytest.mark.parametrize(
    ("name", "task_id"),
    [("crop", "2013d3e2"), ("fractal", "cce03e0d"), ("halves_across", "0520fde7"), ("in_one", "99b1bc43")],
)
def test_a_task_on_the_page_is_solved_with_the_primitive(name, task_id):
    assert task_id in helped()[name][1]
    task = tasks.select(tasks.load_split("arc1-training"), [task_id], None).tasks[0]
    line = batch.score(batch.answer(task, 60.0, PROGRAM_NODES), read_solutions("arc1-training")[task_id])
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
    found = uses.used([tmp_path / "o.jsonl"])
    assert found["crop"] == found["rotate_90"] == ["aaaaaaaa"]
    assert found["rotate_180"] == []
    batch.write(tmp_path / "turned.jsonl", batch.BatchSettings("x", 1.0, 1, view=4), [right, wrong])
    found = uses.used([tmp_path / "turned.jsonl", tmp_path / "o.jsonl"])
    assert found["crop"] == ["aaaaaaaa", "aaaaaaaa@4"]
    row = next(r for r in uses.table(found).splitlines() if r.startswith("| `crop` | grid → grid | "))
    assert row.endswith(". | 2 | aaaaaaaa aaaaaaaa@4 |")
