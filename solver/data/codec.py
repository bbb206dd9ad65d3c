"""Tasks, candidates and results as plain values for JSON, and back: for other processes, the record, and Kaggle.

Law: what was written is read back as the same value, nats rounded to five digits aside.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from solver.data.tasks import TaskSet
from solver.types import Candidate, Grid, Pair, Program, Task, TaskResult, View


def task_to_json(task: Task) -> dict[str, Any]:
    """A task as plain values."""
    return {"id": task.id, "demonstrations": _shown(task), "tests": [t.tolist() for t in task.tests]}


def task_from_json(data: Mapping[str, Any]) -> Task:
    """The task that `task_to_json` wrote."""
    pairs = tuple(Pair(grid(p["input"]), grid(p["output"])) for p in data["demonstrations"])
    return Task(data["id"], pairs, tuple(grid(t) for t in data["tests"]))


def _shown(task: Task) -> list[dict[str, Any]]:
    return [{"input": p.input.tolist(), "output": p.output.tolist()} for p in task.demonstrations]


def challenges(task_set: TaskSet) -> str:
    """The tasks in Kaggle's format, in order, malformed ones with what could be read of their test inputs."""
    shown = {task.id: _shown(task) for task in task_set.tasks}
    entries = {}
    for task_id, grids in task_set.test_inputs.items():
        asked = [{"input": None if grid is None else grid.tolist()} for grid in grids]
        entries[task_id] = {"train": shown.get(task_id, []), "test": asked}
    return json.dumps(entries)


def candidate_to_json(candidate: Candidate) -> dict[str, Any]:
    """A candidate as plain values: its grid, and the program that computed it or its view, nats and scores."""
    view, program = candidate.view, candidate.program
    if program is not None:
        return {"grid": candidate.grid.tolist(), "program": asdict(program)}
    scores = {"scores": [round(nats, 5) for nats in candidate.scores]} if candidate.scores else {}
    return scores | {"grid": candidate.grid.tolist(), **asdict(view), "logprob": round(candidate.logprob, 5)}


def candidate_from_json(data: Mapping[str, Any]) -> Candidate:
    """The candidate that `candidate_to_json` wrote."""
    if "program" in data:
        return Candidate(grid(data["grid"]), View(), 0.0, program=Program(**data["program"]))
    view = View(data["dihedral"], tuple(data["colours"]), tuple(data["order"]))
    return Candidate(grid(data["grid"]), view, data["logprob"], tuple(data.get("scores", ())))


def result_to_json(result: TaskResult) -> dict[str, Any]:
    """A result as plain values, all candidates with their views and nats included."""
    return vars(result) | {
        "losses": [round(loss, 4) for loss in result.losses],
        "seconds": {k: round(v, 3) for k, v in result.seconds.items()},
        "candidates": [[candidate_to_json(c) for c in of_test] for of_test in result.candidates],
    }


def result_from_json(data: Mapping[str, Any]) -> TaskResult:
    """The result that `result_to_json` wrote; what earlier versions did not write is empty."""
    return TaskResult(
        task_id=str(data["task_id"]),
        stage=int(data["stage"]),
        candidates=tuple(tuple(map(candidate_from_json, of_test)) for of_test in data.get("candidates", ())),
        rejected=int(data.get("rejected", 0)),
        steps=int(data.get("steps", 0)),
        planned=int(data.get("planned", 0)),
        losses=tuple(map(float, data.get("losses", ()))),
        seconds={str(name): float(spent) for name, spent in data.get("seconds", {}).items()},
        notes=tuple(map(str, data.get("notes", ()))),
    )


def grid(rows: Iterable[Iterable[int]]) -> Grid:
    """Plain rows as a grid."""
    return np.array(rows, dtype=np.uint8)
