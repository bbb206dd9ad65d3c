"""Messages between a run and its workers: what is sent comes back as it was, and holds nothing it should not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.data.codec import result_from_json, result_to_json, task_from_json, task_to_json
from solver.runtime import messages
from solver.types import ADAPTER, Candidate, Pair, Program, Task, TaskResult, View, key
from tests.support import fakes
from tests.support.fakes import MIRROR, STACK


def there_and_back(value):
    return json.loads(json.dumps(value))


def content(task):
    return task.id, [(key(p.input), key(p.output)) for p in task.demonstrations], [key(t) for t in task.tests]


@given(grids=st.lists(fakes.any_grid(4), min_size=3, max_size=7))
def test_a_task_comes_back_from_json_as_it_was(grids):
    task = Task("a task’s id", (Pair(grids[0], grids[1]),), tuple(grids[2:]))
    back = task_from_json(there_and_back(task_to_json(task)))
    assert content(back) == content(task)
    assert all(grid.dtype == np.uint8 for grid in back.tests)


def test_an_order_holds_nothing_but_what_a_task_holds():
    assert set(task_to_json(STACK)) == {"id", "demonstrations", "tests"}


def test_a_result_goes_to_json_with_every_candidate_its_view_and_its_nats():
    first = fakes.grid([[1, 2]])
    view = View(5, (0, 2, 1, 3, 4, 5, 6, 7, 8, 9), (1, 0))
    result = TaskResult(
        task_id="t",
        stage=4,
        rejected=3,
        steps=4,
        planned=5,
        losses=(1.23456,),
        seconds={"train": 1.23456},
        notes=("said",),
        candidates=((Candidate(first, view, -0.1234567),),),
    )
    assert there_and_back(result_to_json(result)) == {
        "task_id": "t",
        "stage": 4,
        "rejected": 3,
        "steps": 4,
        "planned": 5,
        "losses": [1.2346],
        "seconds": {"train": 1.235},
        "notes": ["said"],
        "candidates": [
            [
                {
                    "grid": [[1, 2]],
                    "dihedral": 5,
                    "colours": [0, 2, 1, 3, 4, 5, 6, 7, 8, 9],
                    "order": [1, 0],
                    "logprob": -0.12346,
                }
            ]
        ],
    }


RESULT = TaskResult(
    task_id="t",
    stage=4,
    candidates=((Candidate(fakes.grid([[1, 2]]), View(5, order=(1, 0)), -0.5, (-0.25, -1.0)),), ()),
    steps=4,
    planned=5,
    losses=(1.25, 0.5),
    seconds={"train": 1.5},
    notes=("said",),
)


def test_a_result_comes_back_from_json_as_it_was() -> None:
    by_program = Candidate(fakes.grid([[3]]), View(), 0.0, program=Program("flip", 3.0, 0.5, 2))
    result = replace(RESULT, candidates=(*RESULT.candidates, (by_program,)))
    back = result_from_json(there_and_back(result_to_json(result)))
    assert replace(back, candidates=()).__dict__ == replace(result, candidates=()).__dict__
    for ours, theirs in zip(result.candidates, back.candidates, strict=True):
        assert [(key(c.grid), c.view, c.logprob, c.scores, c.program) for c in ours] == [
            (key(c.grid), c.view, c.logprob, c.scores, c.program) for c in theirs
        ]


def test_an_order_comes_back_from_its_line_as_it_was() -> None:
    shared = messages.SharedAdapter("ours", Path("/kept/ours"), "f00d")
    order = messages.Order(ADAPTER, (MIRROR, STACK), 9.5, {"mirror": 4.0}, True, {"mirror": shared}, Path("/kept"))
    line = messages.order_to_line(order)
    assert line.count(b"\n") == 1
    back = messages.order_from_line(line)
    assert [content(task) for task in back.tasks] == [content(task) for task in order.tasks]
    assert replace(back, tasks=()).__dict__ == replace(order, tasks=()).__dict__


@pytest.mark.parametrize(
    "report",
    [
        messages.Ready(1.5, ("engine", "trainer")),
        messages.AdapterTrained("mirror", 3, 0.5),
        messages.AdapterTrained("mirror", 0, None),
        messages.SharedAdapterTrained(None, 0, 5, (), 1.5),
        messages.SharedAdapterTrained(messages.SharedAdapter("ours", Path("/kept"), "f00d"), 5, 5, (1.0, 0.5), 1.5),
        messages.BatchDone(),
        messages.BatchFailed("RuntimeError: no", True),
    ],
)
def test_a_report_comes_back_from_json_as_it_was(report: messages.Report) -> None:
    assert messages.report_from_json(there_and_back(messages.report_to_json(report))) == report


def test_a_task_s_report_holds_its_result_and_what_the_engine_did() -> None:
    report = messages.report_from_json(there_and_back(messages.report_to_json(messages.TaskAnswered(RESULT, {"a": 2}))))
    assert isinstance(report, messages.TaskAnswered)
    assert (report.result.task_id, report.engine) == ("t", {"a": 2})
