"""Made-up runs for the tests of what reads them: a run directory as the recorder writes it, of any size, with no model.

Law: the same arguments give the same run, byte for byte.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from solver.analysis.solutions import read_solutions
from solver.data import views as task_views
from solver.data.codec import candidate_to_json
from solver.data.tasks import load_split
from solver.runtime.placeholders import placeholders
from solver.runtime.record import RECORD, from_line
from solver.runtime.recorder import Recorder
from solver.types import Candidate, Grid, Task, View
from solver.voting import rules

STAGES = (1, 3, 4)
ROOT = Path(__file__).resolve().parents[2]
WORKER = 'WORKER: tuple[str, ...] = (sys.executable, "-m", "solver", "worker")'  # a line of the program


def processor_seconds() -> float:
    """What the processes started by this one have used, whatever else the machine does."""
    return os.times().children_user + os.times().children_system


def copy_program(to: Path, worker: tuple[str, ...] | None) -> None:
    """The program in a folder; `worker`: what it is to start in place of the real worker."""
    shutil.copytree(ROOT / "solver", to / "solver", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "submission.py", to)
    if worker is not None:
        replace_worker(to / "solver", worker)


def replace_worker(package: Path, worker: tuple[str, ...]) -> None:
    """Have a copy of the program start this in place of the real worker."""
    child = package / "runtime" / "child.py"
    assert WORKER in child.read_text()
    child.write_text(child.read_text().replace(WORKER, f"WORKER: tuple[str, ...] = {worker!r}"))


@dataclass(frozen=True)
class Lines:
    """What a record holds: whole messages in the order written, and how many lines were torn."""

    messages: list[dict[str, Any]]
    dropped: int

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [m for m in self.messages if m.get("kind") == kind]


def lines_of(directory: Path) -> Lines:
    """The record of a run directory, line by line."""
    lines = (directory / RECORD).read_bytes().splitlines(keepends=True)
    messages = [m for line in lines if (m := from_line(line)) is not None]
    return Lines(messages, len(lines) - len(messages))


def challenges(tasks: Sequence[Task]) -> dict[str, Any]:
    """The tasks in Kaggle's challenges format."""
    return {
        t.id: {
            "train": [{"input": p.input.tolist(), "output": p.output.tolist()} for p in t.demonstrations],
            "test": [{"input": g.tolist()} for g in t.tests],
        }
        for t in tasks
    }


def spoiled(rng: np.random.Generator, grid: Grid, cells: int) -> Grid:
    """The grid with up to so many cells changed."""
    made = grid.copy()
    for _ in range(cells):
        made[rng.integers(grid.shape[0]), rng.integers(grid.shape[1])] = rng.integers(10)
    return made


def guesses(rng: np.random.Generator, right: Grid, views: Sequence[View], skill: float) -> list[Candidate]:
    """What a model of this skill (0 to 1) would have said under each view: often the same mistakes, seldom new ones."""
    mistakes = [spoiled(rng, right, 1 + n) for n in range(4)]
    mistakes.append(right[: max(1, len(right) - 1)])
    made = []
    for view in views:
        good = rng.random() < skill
        grid = right if good else mistakes[int(rng.integers(len(mistakes)))]
        made.append(Candidate(grid, view, -float(rng.exponential(0.4 if good else 2.0))))
    return made


def write(
    directory: Path,
    tasks: Sequence[Task],
    right: Mapping[str, Sequence[Grid]],
    views: int = 8,
    start: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Path:
    """A whole run over the tasks in `directory` (x.run), its answers in x.json beside it. Every ninth task is lost."""
    rng = np.random.default_rng(seed)
    skill = {t.id: float(rng.choice([0.0, 0.1, 0.5, 0.95])) for t in tasks}
    pooled: dict[str, list[list[Candidate]]] = {t.id: [[] for _ in t.tests] for t in tasks}
    answers = {t.id: placeholders(t.tests, t.demonstrations) for t in tasks}
    at = 0.0
    with Recorder(directory, fresh=True) as recorder:
        (directory / "challenges.json").write_text(json.dumps(challenges(tasks), separators=(",", ":")))
        head = {"kind": "run", "at": 0.0, "version": 1, "fingerprint": "0123456789ab", "name": "made up"}
        head |= {"split": None, "solutions": None, "data_sha256": "f" * 64, "weights": {"name": "none", "sha256": "0"}}
        head |= {"config": {"rule": "hierarchical", "seed": seed, "views": views, "time_limit": 600.0}}
        recorder.write(head | {"tests": {t.id: len(t.tests) for t in tasks}} | dict(start or {}))
        recorder.write({"kind": "event", "at": 0.5, "text": "engine and trainer ready in 0.5 s"})
        for number in STAGES:
            for n, task in enumerate(tasks):
                at += float(rng.uniform(0.5, 1.5))
                if n % 9 == 8:
                    why = {"kind": "failure", "at": round(at, 3), "stage": number, "task_ids": [task.id]}
                    recorder.write(why | {"why": "stopped: the batch took longer than it was given"})
                    continue
                if number > 3 and skill[task.id] > 0.9:
                    continue  # its vote is not split
                seen = task_views.views(task, views, seed + number, "views")
                better = skill[task.id] * (0.6 if number == 1 else 1.0)
                new = [guesses(rng, g, seen, better) for g in right[task.id]]
                for kept, found in zip(pooled[task.id], new, strict=True):
                    kept.extend(found)
                ranked = [rules.rank(c, "hierarchical") for c in pooled[task.id]]
                pairs = zip(ranked, placeholders(task.tests, task.demonstrations), strict=True)
                answers[task.id] = tuple(rules.two_attempts(r, f) for r, f in pairs)
                steps = 0 if number == 1 else int(rng.integers(16, 49))
                start_loss = float(rng.uniform(0.4, 1.2))
                losses = [start_loss * math.exp(-s / 18) + float(rng.uniform(0, 0.06)) for s in range(steps)]
                recorder.write(
                    {
                        "kind": "result",
                        "at": round(at, 3),
                        "device": "cpu",
                        "stage": number,
                        "task_id": task.id,
                        "attempts": [[a.tolist(), b.tolist()] for a, b in answers[task.id]],
                        "from_model": [min(2, len(r)) for r in ranked],
                        "votes": [
                            list(rules.agreement(r, enumerate(c))) for r, c in zip(ranked, pooled[task.id], strict=True)
                        ],
                        "rejected": int(rng.integers(3)),
                        "steps": steps,
                        "planned": 48 if steps else 0,
                        "losses": [round(loss, 4) for loss in losses],
                        "seconds": {"train": round(steps * 0.1, 2), "sample": round(float(rng.uniform(1, 4)), 2)},
                        "notes": [f"training stopped after {steps} of 48 steps"] if 0 < steps < 48 else [],
                        "candidates": [[candidate_to_json(c) for c in found] for found in new],
                    }
                )
        recorder.write({"kind": "end", "at": round(at, 3), "status": 0})
    (directory / "lock").unlink()
    entries = {i: [{"attempt_1": a.tolist(), "attempt_2": b.tolist()} for a, b in p] for i, p in answers.items()}
    directory.with_suffix(".json").write_text(json.dumps(entries, separators=(",", ":")))
    return directory


def of_split(directory: Path, split: str, limit: int | None = None, views: int = 8) -> Path:
    """A made-up run over an embedded set, its record naming the split as a real run's does."""
    task_set = load_split(split)
    start = {"name": split, "split": split, "data_sha256": task_set.sha256}
    return write(directory, task_set.tasks[:limit], read_solutions(split), views, start)
