"""From flags to a plan that is checked: reads what they point to, before anything heavy is imported.

Does not import: models. Invariant: whatever is wrong with the input is said in one line, before an output file is
touched.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from solver.config.presets import PRESETS
from solver.config.setting import changed, entries, require
from solver.config.settings import Config, unpack
from solver.data import tasks
from solver.data.tasks import TaskSet
from solver.hardware import devices
from solver.induction.induce import check_model, sandbox_of
from solver.induction.sandbox.sandbox import readable
from solver.model import checkpoint
from solver.model.architecture import read
from solver.model.checkpoint import Checkpoint
from solver.runtime import record
from solver.runtime.plan import RunPlan, fingerprint, recorded_fingerprint
from solver.tokens import registry
from solver.training import adapter_kinds, neighbours
from solver.types import BadInput, Grid

Right: TypeAlias = Mapping[str, tuple[Grid, ...]]  # id → the right answer to each test input
ReadSolutions: TypeAlias = Callable[[str | Path], Right]  # of an embedded set, by its name, or of a file


def configure(options: argparse.Namespace) -> Config:
    """The preset with what the flags change. Raises `BadInput` for settings that contradict each other."""
    flags = {entry.path: getattr(options, entry.path) for entry in entries(Config) if entry.about.flag}
    config = changed(PRESETS[options.preset], {path: value for path, value in flags.items() if value is not None})
    return replace(config, train_share=0.0) if config.train.steps == 0 else config


def prepare(options: argparse.Namespace, read_solutions: ReadSolutions) -> RunPlan:
    """Read and check all the flags point to; `read_solutions` is for the score alone. Raises `BadInput`."""
    if options.resume is not None:
        return _resumed(options, read_solutions)
    if options.challenges is not None:
        task_set, name = tasks.load_challenges(options.challenges), None
        solutions = _scored(options.solutions, task_set, read_solutions)
    else:
        task_set, name = tasks.load_split(options.split), options.split
        solutions = partial(read_solutions, name)
    if options.task_ids or options.limit:
        task_set = tasks.select(task_set, options.task_ids, options.limit)
    weights = checkpoint.check(options.weights, options.format)
    config = inducing(suited(configure(options), weights))
    return RunPlan(
        task_set=task_set,
        checkpoint=weights,
        config=config,
        output=options.output,
        solutions=solutions,
        devices=devices.here(options.devices, _largest(weights, config)),
        scored_by={"split": name, "solutions": str(options.solutions.resolve()) if options.solutions else None},
    )


def _resumed(options: argparse.Namespace, read_solutions: ReadSolutions) -> RunPlan:
    """The plan of a run directory: its tasks, weights and settings. Raises `BadInput` where anything of it changed."""
    directory = options.resume
    kept = record.load(directory)
    headers = kept.headers
    if not headers:
        raise BadInput(f"{directory} has no whole first line in its record: nothing to resume; start the run again")
    header = headers[0]
    try:
        begun, config, kept_weights = recorded_fingerprint(header), unpack(header["config"]), header["weights"]["path"]
        name, sha256, output = header["name"], header["data_sha256"], header["output"]
        split, path = header["split"], header["solutions"]
    except KeyError as missing:
        raise BadInput(
            f"{directory} says nothing of its {missing}: expected the record of a run that this program can go on "
            "with; start the run again"
        ) from None
    task_set = replace(tasks.load_challenges(directory / record.CHALLENGES), name=name, sha256=sha256)
    if options.time_limit is not None:
        config = replace(config, time_limit=options.time_limit)
    solutions: Callable[[], Right] | None = partial(read_solutions, split) if split else None
    if path and Path(path).exists():
        solutions = _scored(Path(path), task_set, read_solutions)
    weights = checkpoint.check(Path(kept_weights), config.format)
    config = inducing(suited(config, weights))
    plan = RunPlan(
        task_set=task_set,
        checkpoint=weights,
        config=config,
        output=Path(output),
        solutions=solutions,
        devices=devices.here(options.devices, _largest(weights, config)),
        scored_by={"split": split, "solutions": path},
        resumed=kept,
    )
    if fingerprint(plan) != begun:
        raise BadInput(
            f"{directory} is the run {begun}, but with the weights, library and settings of today it would be "
            f"{fingerprint(plan)}: expected nothing changed since; put back what changed, or start the run again"
        )
    return plan


def _scored(path: Path | None, task_set: TaskSet, read: ReadSolutions) -> Callable[[], Right] | None:
    """A reader of the solutions file, which must be there and must name every task; what it holds is not kept."""
    if path is None:
        return None
    known = read(path)
    missing = [i for i in task_set.tests if i not in known]
    if missing:
        raise BadInput(f"{path} has no solution for {missing[0]}: expected the solutions of the same challenges")
    for task in task_set.tasks:
        if len(known[task.id]) != len(task.tests):
            raise BadInput(f"{path} has {len(known[task.id])} solutions for {task.id}: expected {len(task.tests)}")
    return partial(read, path)


def suited(config: Config, weights: Checkpoint) -> Config:
    """The settings for these weights: their token format, a context no longer than they know positions, their library.

    Raises `BadInput` where the library is none, or was made for others, or lacks what is wanted of it, where the rank
    is too low for `whole`, where a `head` would be the embedding, and where there is nothing to put the LoRA on.
    """
    context = min(config.engine.context, registry.positions(weights.path) or config.engine.context)
    near, train = config.near, config.train
    if near.library:
        library = neighbours.load(Path(near.library), weights.sha256)
        neighbours.require_use(library, near, train, config.engine.rank)
        near = replace(near, content=neighbours.digest(Path(near.library)))
    adapter_kinds.require_targets(weights.path, train)
    if train.whole:
        width = read(weights.path).hidden
        expected = f"at least {width}, the width of {weights.path.name}, as whole matrices are trained"
        require("LoRA rank", train.rank, train.rank >= width, expected)
    if train.head:
        expected = f"False, as the head of {weights.path.name} is its embedding; take weights where it is not, or LoRAs"
        require("head", train.head, not read(weights.path).tied, expected)
    return replace(config, format=weights.format, near=near, engine=replace(config.engine, context=context))


def inducing(config: Config) -> Config:
    """The settings with the code model's hash, and a context no longer than it knows positions.

    Raises `BadInput` where the model is none, or nothing on this machine can contain what it writes.
    """
    asked = config.induction
    if not asked.model:
        return config
    model = Path(asked.model)
    check_model(model)
    context = min(asked.writer.context, registry.positions(model) or asked.writer.context)
    writer = replace(asked.writer, context=context)
    try:
        sandbox_of(asked).close()
    except RuntimeError as error:
        raise BadInput(f"{readable(str(error))}: expected a place for programs; leave --code-model out") from None
    return replace(config, induction=replace(asked, content=checkpoint.digest(model), writer=writer))


def _largest(weights: Checkpoint, config: Config) -> int:
    """Bytes of the largest model that a worker loads: they come one after another."""
    return max(weights.bytes, checkpoint.size(Path(config.induction.model)) if config.induction.model else 0)
