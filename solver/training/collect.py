"""`python -m solver collect`: make a library of tasks that others can learn from (`neighbours`).

    python -m solver collect --tasks arc1-training --output DIR [--without SPLIT] [--adapters STEPS] [--rank N]

Each task gets a vector of its states, and one of gradients for each of its demonstrations; with `--adapters` also an
adapter of at most so many steps, as a run would train it. Its LoRA is written down, for a run to be refused that has
another. Begun again it makes the vectors anew and the adapters that are not there yet.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from solver.clock import Deadline, now
from solver.config.settings import LIKENESSES, Config, TrainRecipe
from solver.data import tasks
from solver.hardware import malloc
from solver.model.checkpoint import SHIPPED, check
from solver.tokens import registry
from solver.training import neighbours
from solver.training.examples import build, plain
from solver.types import BadInput, TrainJob

FAR = 24 * 3600.0  # seconds: no deadline
ASLEEP = ("OMP_WAIT_POLICY", "passive")  # how threads wait: those that spin crawl where something else uses a core


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m solver collect", description="Make a library of tasks.")
    parser.add_argument("--tasks", required=True, help="an embedded split, or Kaggle's challenges JSON")
    parser.add_argument("--without", metavar="SPLIT", help="an embedded split whose tasks are left out")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the library's folder")
    parser.add_argument("--weights", type=Path, default=SHIPPED, metavar="DIR", help="of the base model")
    parser.add_argument("--adapters", type=int, default=0, metavar="STEPS", help="also train an adapter for each task")
    parser.add_argument("--rank", type=int, default=TrainRecipe().rank, metavar="N", help="of the LoRA")
    parser.add_argument("--limit", type=int, help="only the first N tasks")
    parser.add_argument("--seed", type=int, default=0, help="of the adapters")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Make the library; 2 and one line where the input is wrong."""
    try:
        options = parse(argv)
        path = Path(options.tasks)
        given = tasks.load_challenges(path) if path.exists() else tasks.load_split(options.tasks)
        collect(options, tasks.select(given, kept(given, options.without), options.limit))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def kept(given: tasks.TaskSet, without: str | None) -> list[str] | None:
    """The ids that are not those of an embedded split; None: all. Raises `BadInput`: no such split, or none is left."""
    if without is None:
        return None
    left_out = tasks.load_split(without).tests
    ids = [task_id for task_id in given.tests if task_id not in left_out]
    if not ids:
        raise BadInput(
            f"--without {without} leaves none of the {len(given.tests)} tasks of {given.name}: expected at least one; "
            "name another split or leave it out"
        )
    return ids


def collect(options: argparse.Namespace, chosen: tasks.TaskSet) -> None:
    """Vectors first, which are written together; then the adapters that are not there yet, one by one."""
    weights = check(options.weights)
    for name, value in (*malloc.BY_SHAPE.items(), ASLEEP):
        os.environ.setdefault(name, value)
    malloc.keep()
    from solver.training.example_vectors import vectors
    from solver.training.trainer import LoraTrainer

    config, started = Config(seed=options.seed), now()
    recipe = replace(config.train, steps=options.adapters or config.train.steps, rank=options.rank)
    trainer = LoraTrainer(options.weights, recipe, options.output / neighbours.ADAPTERS, config.engine.context)
    format = registry.load(weights.format, options.weights)
    shown = [plain(task, config.engine.context, format) for task in chosen.tasks]
    import numpy as np

    by_kind = {kind: [vectors(trainer, list(one_each.values()), kind) for one_each in shown] for kind in LIKENESSES}
    states = np.stack([neighbours.together(of_task, "states") for of_task in by_kind["states"]])
    rows = {"states": states, "gradients": np.concatenate(by_kind["gradients"])}
    examples = [(place, left_out) for place, one_each in enumerate(shown) for left_out in one_each]
    neighbours.save(options.output, chosen, rows, weights.sha256, recipe, examples)
    print(f"{len(chosen.tasks)} tasks in {options.output}, vectors made in {now() - started:.0f} s", flush=True)
    said = {neighbours.WEIGHTS: weights.sha256, "seed": options.seed, "steps": options.adapters}
    said |= neighbours.lora(recipe)
    for task in chosen.tasks if options.adapters else ():
        folder = options.output / neighbours.ADAPTERS / task.id
        if neighbours.provenance(folder).items() >= said.items():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        try:
            own = build(task, config.train, config.seed, config.engine.context, format)
            report = trainer.train(TrainJob(task.id, own, config.seed), Deadline.after(FAR))
            if report.adapter:
                neighbours.finish(folder, **said)
            outcome = f"{report.steps} steps, loss {report.losses[-1]:.3f}" if report.losses else "no example fits"
            print(f"{task.id} {outcome}", flush=True)
        except Exception as error:  # one task's failure is its own
            print(f"{task.id} has no adapter: {type(error).__name__}: {error}", flush=True)
