"""A child process with one device: builds the trainer and the engine, then answers tasks as they are handed in.

With `--programs` it loads neither, nor torch, and answers them by programs; with `--induction` it loads a code model in
their place, which writes the programs. The only place where models meet the algorithm. Speaks JSON lines: orders on
standard input, reports on the file descriptor it is given; what libraries print goes elsewhere. Law: an order that
fails is reported, never swallowed, and the next one is served.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from solver.clock import Deadline, now
from solver.config import settings
from solver.data.codec import candidate_to_json, task_from_json
from solver.hardware import devices, gpus, memory_plan
from solver.induction.induce import sandbox_of
from solver.interfaces import Format, GroupTrainer, Stop, Trainer
from solver.model import architecture
from solver.model.checkpoint import ADAPTER_FILE, check, sha256
from solver.training import backends, neighbours
from solver.training.neighbours import Near, Nearest
from solver.training.time_sharing import TimeSharedTrainer
from solver.types import SHARED, Adapter, Example, Task, TaskResult, TrainJob, TrainReport, out_of_memory

PARENT_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


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


class ReportingTrainer:
    """A trainer that reports each adapter as soon as it is trained, while the turn goes on."""

    def __init__(self, trainer: Trainer, report: Callable[..., None]):
        self._trainer, self._report = trainer, report

    def train(
        self,
        name: str,
        examples: Sequence[Example],
        seed: int,
        stop: Stop,
        start_from: Adapter | None = None,
        steps: int | None = None,
    ) -> TrainReport:
        """As the trainer does."""
        return self._reported(name, self._trainer.train(name, examples, seed, stop, start_from, steps))

    def _reported(self, name: str, made: TrainReport) -> TrainReport:
        loss = round(made.losses[-1], 4) if made.losses else None
        self._report(kind="trained", adapter=name, steps=made.steps, loss=loss)
        return made


class ReportingGroupTrainer(ReportingTrainer):
    """The same for a trainer of several adapters at once."""

    _trainer: Any

    def train_together(self, jobs: Sequence[TrainJob], stop: Stop) -> list[TrainReport]:
        """As the trainer does."""
        made = self._trainer.train_together(jobs, stop)
        return [self._reported(job.name, report) for job, report in zip(jobs, made, strict=True)]


def finder(trainer: Any, config: settings.Config, weights: Path, format: Format) -> Nearest | None:
    """Who finds the tasks of the library that are most like a given one; None where nothing is learnt from any."""
    from solver.training.examples import plain

    wanted = config.near
    if not wanted.asked:
        return None
    library = neighbours.load(Path(wanted.library), check(weights, config.format).sha256)
    known: dict[str, tuple[Near, ...]] = {}  # further rounds ask again

    def nearest(task: Task) -> tuple[Near, ...]:
        if task.id not in known:
            examples = list(plain(task, config.engine.context, format).values())
            vector = neighbours.together(trainer.vectors(examples, wanted.by), wanted.by)
            known[task.id] = library.nearest(task, vector, wanted.by, max(1, wanted.count))
        return known[task.id]

    return nearest


def reporter(reports: TextIO) -> Callable[..., None]:
    """Writes its arguments as one report."""

    def report(**message: Any) -> None:
        reports.write(json.dumps(message) + "\n")
        reports.flush()

    return report


def failed(report: Callable[..., None], error: Exception, memory: bool = False) -> None:
    """Report an error that is being handled; `memory`: whether less of it would do."""
    traceback.print_exc()
    report(kind="failed", why=f"{type(error).__name__}: {error}"[:300], memory=memory)


def serve(orders: TextIO, reports: TextIO, weights: Path, config: settings.Config, scratch: Path) -> None:
    """Build both halves, say so, then serve orders until there are no more."""

    report = reporter(reports)

    from solver.pipeline import solve_batch, train_shared_adapter
    from solver.tokens.registry import load

    started = now()
    try:
        format = load(config.format, weights)
        trainer, sampler, config = build(weights, config, scratch)
        near = finder(trainer, config, weights, format)
    except Exception as error:  # said before this process ends, so that a lighter one can be tried
        return failed(report, error, out_of_memory(error))
    report(kind="ready", seconds=round(now() - started, 1), notes=[*sampler.notes, *trainer.notes])
    reporting = (ReportingGroupTrainer if isinstance(trainer, GroupTrainer) else ReportingTrainer)(trainer, report)
    for line in orders:
        order = json.loads(line)
        tasks = [task_from_json(t) for t in order["tasks"]]
        stop = Deadline.after(order["seconds"])
        try:
            if order["round"] == SHARED:
                before = now()
                made = kept(train_shared_adapter(tasks, reporting, config, stop, format), Path(order["keep"]))
                report(kind="shared", seconds=round(now() - before, 3), **made)
            else:
                shared, number, seconds = adapters_from_json(order["shared"]), order["round"], order["train_seconds"]
                hurried = order["hurried"]
                results = solve_batch(
                    tasks, number, reporting, sampler, config, seconds, stop, shared, format, hurried, near
                )
                counters = getattr(sampler, "counters", None)  # of the whole turn, whose tasks shared the engine
                engine = counters.take() if counters else {}
                for result in results:
                    report(kind="result", engine=engine, **result_to_json(result))
            report(kind="done")
        except Exception as error:  # the order failed, not the worker: say why, and serve the next
            failed(report, error, out_of_memory(error))


def serve_searches(orders: TextIO, reports: TextIO, budget: settings.ProgramSettings) -> None:
    """Serve orders of the round of programs until there are no more; there is nothing to build."""
    from solver.runtime.program_search import give_way, search

    give_way()
    report = reporter(reports)
    report(kind="ready", seconds=0.0, notes=[])
    one_by_one(orders, report, lambda task, stop: search(task, budget, stop))


def serve_induction(orders: TextIO, reports: TextIO, config: settings.Config) -> None:
    """Load the code model and try the sandbox, say so, then serve orders of its round until there are no more."""
    from solver.induction.turn import held, turn

    report, asked, started = reporter(reports), config.induction, now()
    try:
        writer = build_writer(config)
        sandbox = sandbox_of(asked)
    except Exception as error:
        return failed(report, error)
    with sandbox:
        report(kind="ready", seconds=round(now() - started, 1), notes=[held(sandbox)])
        one_by_one(orders, report, lambda task, stop: turn(task, writer, sandbox, asked, config.seed, stop))


def one_by_one(orders: TextIO, report: Callable[..., None], answer: Callable[[Task, Deadline], TaskResult]) -> None:
    """Serve orders whose tasks are answered each by itself, within the seconds of the order."""
    for line in orders:
        order = json.loads(line)
        stop = Deadline.after(order["seconds"])
        try:
            for task in order["tasks"]:
                report(kind="result", **result_to_json(answer(task_from_json(task), stop)))
            report(kind="done")
        except Exception as error:  # the order failed, not the worker: say why, and serve the next
            failed(report, error)


def kept(made: TrainReport, folder: Path) -> dict[str, Any]:
    """What a training made, as plain values, its adapter moved to a folder that outlives this process."""
    known: dict[str, Any] = {"adapter": None}
    if made.adapter is not None:
        path = folder / made.adapter.name
        shutil.rmtree(path, ignore_errors=True)
        shutil.move(made.adapter.path, path)
        known = {"adapter": made.adapter.name, "path": str(path.resolve()), "sha256": sha256(path / ADAPTER_FILE)}
    losses = [round(loss, 4) for loss in made.losses]
    return known | {"steps": made.steps, "planned": made.planned, "losses": losses}


def adapters_from_json(data: Mapping[str, Any]) -> dict[str, Adapter]:
    """The shared adapters an order names, by task; one that is no longer what was trained is left out."""
    found = {path: sha256(Path(path) / ADAPTER_FILE) for path in {known["path"] for known in data.values()}}
    whole = {i: known for i, known in data.items() if found[known["path"]] == known["sha256"]}
    return {i: Adapter(known["adapter"], Path(known["path"])) for i, known in whole.items()}


def build(weights: Path, config: settings.Config, scratch: Path) -> tuple[Any, Any, settings.Config]:
    """(trainer, sampler, the settings they were built with): the engine first, whose environment comes before torch."""
    if on_gpu(config.engine.threads):
        return build_on_gpu(weights, config, scratch)
    from solver.inference.vllm_sampler import VllmSampler
    from solver.tokens.registry import load

    end, train = load(config.format, weights).end, config.train
    sampler = VllmSampler(weights, config.engine, end, config.seed, train.head, train.embedding_targets)
    from solver.training.trainer import LoraTrainer

    return LoraTrainer(weights, config.train, scratch, config.engine.context), sampler, config


def build_writer(config: settings.Config) -> Any:
    """The code model in the only engine of this process, in the format of numbers its GPU is fast in."""
    from solver.induction.writer import VllmWriter

    asked = config.induction
    made = replace(asked.writer, threads=config.engine.threads)
    if on_gpu(config.engine.threads):
        made = replace(made, dtype=this_card().dtype)
    return VllmWriter(Path(asked.model), made, config.seed)


def on_gpu(threads: int) -> bool:
    """Whether this process was given a GPU that its torch can use; torch is asked only where there is one."""
    if not os.environ.get("CUDA_VISIBLE_DEVICES", "any") or devices.gpus() == 0:
        return False
    from solver.hardware.engine_environment import prepare

    prepare(threads)  # before torch is imported
    import torch

    return torch.cuda.is_available()


def build_on_gpu(weights: Path, config: settings.Config, scratch: Path) -> tuple[Any, Any, settings.Config]:
    """`build` by the card's memory plan: Unsloth first where it trains, then the engine, then the trainer.

    Unsloth comes before transformers, which the engine imports. `BadInput`: no layout fits the card.
    """
    from solver.inference.vllm_sampler import VllmSampler
    from solver.tokens.registry import load

    how = backends.setup(weights, config.train, config.engine.context, cuda=True)
    if how.library == backends.UNSLOTH:
        os.environ.update(backends.environment(scratch))
        importlib.import_module(backends.UNSLOTH)
    made = memory_plan.plan(architecture.read(weights), this_card(), config)
    planned = made.settings(config)
    how = backends.setup(weights, config.train, made.context, True, made.card.dtype, made.checkpointing)
    end, train = load(config.format, weights).end, config.train
    sampler = VllmSampler(weights, planned.engine, end, config.seed, train.head, train.embedding_targets)
    sampler.notes = (made.line, *sampler.notes)
    if planned.engine.sleeps:
        sampler.offload()
    from solver.training.trainer import LoraTrainer

    trainer = LoraTrainer(weights, planned.train, scratch, made.context, how)
    return (TimeSharedTrainer(trainer, sampler) if planned.engine.sleeps else trainer), sampler, planned


def this_card() -> gpus.Card:
    """The GPU this process sees first, with the memory that is free on it now; or its part of it, beside others."""
    import torch

    shown = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info(0)
    share = float(os.environ.get(devices.CARD_SHARE, "1"))
    return gpus.Shown(shown.name, total, free, (shown.major, shown.minor), "").part(share)


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, however that happens (on Linux; elsewhere not)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before it was asked for
            os.kill(os.getpid(), signal.SIGKILL)


def main(argv: list[str]) -> int:
    """`python -m solver worker --weights DIR --config JSON --reports FD --scratch DIR`, started by `pool`."""
    parser = argparse.ArgumentParser(prog="python -m solver worker", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--config", required=True, help="JSON as written by config.pack")
    parser.add_argument("--reports", type=int, required=True, help="file descriptor to report on")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for adapters; whoever made it removes it")
    parser.add_argument("--programs", action="store_true", help="search for programs alone: no model is loaded")
    parser.add_argument("--induction", action="store_true", help="have the code model write programs, nothing else")
    parser.add_argument("--parent", type=int, help="process id of whoever started this; it ends with that process")
    options = parser.parse_args(argv)
    if options.parent is not None:
        die_with(options.parent)
    config = settings.unpack(json.loads(options.config))
    with os.fdopen(options.reports, "w") as reports:
        if options.programs:
            serve_searches(sys.stdin, reports, config.programs)
        elif options.induction:
            serve_induction(sys.stdin, reports, config)
        else:
            serve(sys.stdin, reports, options.weights, config, options.scratch)
    return 0
