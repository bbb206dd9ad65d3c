"""A child process with one device: builds the trainer and the engine, then answers tasks as they are handed in.

The only place where models meet the algorithm. Speaks JSON lines: orders on standard input, reports on the file
descriptor it is given; what libraries print goes elsewhere. Law: an order that fails is reported, never swallowed,
and the next one is served.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from solver import config as settings
from solver.clock import Deadline, now
from solver.core import Pair, Task, TaskResult, out_of_memory
from solver.record import candidate_to_json

PARENT_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


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
        "round": result.round,
        "rejected": result.rejected,
        "steps": result.steps,
        "planned": result.planned,
        "losses": [round(loss, 4) for loss in result.losses],
        "seconds": {k: round(v, 3) for k, v in result.seconds.items()},
        "notes": result.notes,
        "candidates": [[candidate_to_json(c) for c in one_test] for one_test in result.candidates],
    }


def _grid(rows: list[list[int]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.array(rows, dtype=np.uint8)


def serve(orders: TextIO, reports: TextIO, weights: Path, config: settings.Config, scratch: Path) -> None:
    """Build both halves, say so, then serve orders until there are no more."""

    def report(**message: Any) -> None:
        reports.write(json.dumps(message) + "\n")
        reports.flush()

    def failed(error: Exception) -> None:
        traceback.print_exc()
        report(kind="failed", why=f"{type(error).__name__}: {error}"[:300], memory=out_of_memory(error))

    from solver.pipeline import solve

    started = now()
    try:
        trainer, sampler = build(weights, config, scratch)
    except Exception as error:  # said before this process ends, so that a lighter one can be tried
        return failed(error)
    report(kind="ready", seconds=round(now() - started, 1), notes=[*sampler.notes, *trainer.notes])
    for line in orders:
        order = json.loads(line)
        tasks = [task_from_json(t) for t in order["tasks"]]
        stop = Deadline.after(order["seconds"])
        try:
            results = solve(tasks, order["round"], trainer, sampler, config, order["train_seconds"], stop)
            counters = getattr(sampler, "counters", None)  # of the whole turn, whose tasks shared the engine
            engine = counters.take() if counters else {}
            for result in results:
                report(kind="result", engine=engine, **result_to_json(result))
            report(kind="done")
        except Exception as error:  # the order failed, not the worker: say why, and serve the next
            failed(error)


def build(weights: Path, config: settings.Config, scratch: Path) -> tuple[Any, Any]:
    """(trainer, sampler): the engine first, which must set up its environment before torch is imported."""
    from solver.formats import END
    from solver.sampler import VllmSampler

    sampler = VllmSampler(weights, config.engine, END, config.seed)
    from solver.trainer import LoraTrainer

    return LoraTrainer(weights, config.train, scratch, config.engine.context), sampler


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, however that happens (on Linux; elsewhere not)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before it was asked for
            os.kill(os.getpid(), signal.SIGKILL)


def main(argv: list[str]) -> int:
    """`python -m solver.worker --weights DIR --config JSON --reports FD --scratch DIR`, started by `pool`."""
    parser = argparse.ArgumentParser(prog="python -m solver.worker", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--config", required=True, help="JSON as written by config.pack")
    parser.add_argument("--reports", type=int, required=True, help="file descriptor to report on")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for adapters; whoever made it removes it")
    parser.add_argument("--parent", type=int, help="process id of whoever started this; it ends with that process")
    options = parser.parse_args(argv)
    if options.parent is not None:
        die_with(options.parent)
    config = settings.unpack(json.loads(options.config))
    with os.fdopen(options.reports, "w") as reports:
        serve(sys.stdin, reports, options.weights, config, options.scratch)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
