"""A child process with one device: builds the trainer and the engine, then answers tasks as they are handed in.

The only place where models meet the algorithm. Speaks JSON lines: orders on standard input, reports on the file
descriptor it is given; what libraries print goes elsewhere. Law: an order that fails is reported, never swallowed,
and the next one is served.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from solver import config as settings
from solver.clock import Deadline, now
from solver.core import Pair, Task, TaskResult


def task_to_json(task: Task) -> dict[str, Any]:
    """A task as plain values."""
    shown = [{"input": p.input.tolist(), "output": p.output.tolist()} for p in task.demonstrations]
    return {"id": task.id, "demonstrations": shown, "tests": [t.tolist() for t in task.tests]}


def task_from_json(data: Mapping[str, Any]) -> Task:
    """The task that `task_to_json` wrote."""
    pairs = tuple(Pair(_grid(p["input"]), _grid(p["output"])) for p in data["demonstrations"])
    return Task(data["id"], pairs, tuple(_grid(t) for t in data["tests"]))


def result_to_json(result: TaskResult) -> dict[str, Any]:
    """A result as plain values, all candidates with their views and nats included."""
    return {
        "task_id": result.task_id,
        "attempts": [[a.tolist(), b.tolist()] for a, b in result.attempts],
        "from_model": result.from_model,
        "votes": result.votes,
        "rejected": result.rejected,
        "steps": result.steps,
        "seconds": {k: round(v, 3) for k, v in result.seconds.items()},
        "notes": result.notes,
        "candidates": [
            [
                {"grid": c.grid.tolist(), "dihedral": c.view.dihedral, "colours": c.view.colours, "order": c.view.order}
                | {"logprob": round(c.logprob, 5)}
                for c in one_test
            ]
            for one_test in result.candidates
        ],
    }


def _grid(rows: list[list[int]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.array(rows, dtype=np.uint8)


def serve(orders: TextIO, reports: TextIO, weights: Path, config: settings.Config, scratch: Path) -> None:
    """Build both halves, say so, then serve orders until there are no more."""

    def report(**message: Any) -> None:
        reports.write(json.dumps(message) + "\n")
        reports.flush()

    started = now()
    from solver.formats import END
    from solver.pipeline import solve
    from solver.sampler import VllmSampler

    sampler = VllmSampler(weights, config.engine, END, config.seed)
    from solver.trainer import LoraTrainer

    trainer = LoraTrainer(weights, config.train, scratch, config.engine.context)
    report(kind="ready", seconds=round(now() - started, 1), notes=[*sampler.notes, *trainer.notes])
    for line in orders:
        order = json.loads(line)
        tasks = [task_from_json(t) for t in order["tasks"]]
        stop = Deadline.after(order["seconds"])
        try:
            for result in solve(tasks, trainer, sampler, config, order["train_seconds"], stop):
                report(kind="result", **result_to_json(result))
            report(kind="done")
        except Exception as error:  # the order failed, not the worker: say why, and serve the next
            traceback.print_exc()
            report(kind="failed", why=f"{type(error).__name__}: {error}"[:300])


def main(argv: list[str]) -> int:
    """`python -m solver.worker --weights DIR --config JSON --reports FD --scratch DIR`, started by `pool`."""
    parser = argparse.ArgumentParser(prog="python -m solver.worker", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--config", required=True, help="JSON as written by config.pack")
    parser.add_argument("--reports", type=int, required=True, help="file descriptor to report on")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for adapters; whoever made it removes it")
    options = parser.parse_args(argv)
    config = settings.unpack(json.loads(options.config))
    with os.fdopen(options.reports, "w") as reports:
        serve(sys.stdin, reports, options.weights, config, options.scratch)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
