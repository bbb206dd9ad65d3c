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
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from solver.clock import Deadline, now
from solver.config.settings import LIKENESSES, Config, TrainRecipe
from solver.data import tasks
from solver.hardware import malloc
from solver.model.checkpoint import SHIPPED, check
from solver.runtime.child import SCRATCH
from solver.runtime.machines import executor
from solver.tokens import registry
from solver.training import neighbours
from solver.training.examples import build, plain
from solver.types import BadInput, Task, TrainJob

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
    parser.add_argument(
        "--cluster", metavar="ADDRESS", help="train adapters on the cores of a Ray cluster, as in a run"
    )
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


@dataclass(frozen=True)
class AdapterRecipe:
    """Of every adapter: the tasks' weights and their format, the LoRA, and the seed."""

    weights: Path
    format: registry.Name
    recipe: TrainRecipe
    seed: int
    context: int


@cache
def _trainer(weights: Path, recipe: TrainRecipe, context: int) -> Any:
    """This process's trainer, which leaves adapters in a folder of its own."""
    for name, value in (*malloc.BY_SHAPE.items(), ASLEEP):
        os.environ.setdefault(name, value)
    malloc.keep()
    from solver.training.trainer import LoraTrainer

    folder = tempfile.TemporaryDirectory(prefix=SCRATCH)
    trainer = LoraTrainer(weights, recipe, Path(folder.name), context)
    weakref.finalize(trainer, folder.cleanup)
    return trainer


def trained(task: Task, wanted: AdapterRecipe, weights: Path) -> tuple[str, dict[str, bytes]]:
    """A task's adapter: what there is to say of it, and its files; none where nothing was learned."""
    try:
        trainer = _trainer(weights, wanted.recipe, wanted.context)
        own = build(task, Config().train, wanted.seed, wanted.context, registry.load(wanted.format, weights))
        report = trainer.train(TrainJob(task.id, own, wanted.seed), Deadline.after(FAR))
        outcome = f"{report.steps} steps, loss {report.losses[-1]:.3f}" if report.losses else "no example fits"
        if not report.adapter:
            return outcome, {}
        files = {path.name: path.read_bytes() for path in report.adapter.path.iterdir()}
        shutil.rmtree(report.adapter.path)
        return outcome, files
    except Exception as error:  # one task's failure is its own
        return _without_adapter(error)


def _without_adapter(error: BaseException) -> tuple[str, dict[str, bytes]]:
    return f"has no adapter: {type(error).__name__}: {error}", {}


def _all(
    tasks_: Sequence[Task], wanted: AdapterRecipe, cluster: str | None
) -> Iterator[tuple[str, str, dict[str, bytes]]]:
    """Each task's id with what `trained` gives, here one after another, on a cluster as they come."""
    if cluster is None:
        yield from ((task.id, *trained(task, wanted, wanted.weights)) for task in tasks_)
        return
    with executor(cluster, [wanted.weights]) as pool:
        asked = {pool.submit(trained, task, wanted, wanted.weights): task.id for task in tasks_}
        for future in as_completed(asked):
            error = future.exception()
            yield asked[future], *(_without_adapter(error) if error else future.result())


def collect(options: argparse.Namespace, chosen: tasks.TaskSet) -> None:
    """Vectors first, which are written together; then the adapters that are not there yet."""
    weights = check(options.weights)
    config, started = Config(seed=options.seed), now()
    recipe = replace(config.train, steps=options.adapters or config.train.steps, rank=options.rank)
    wanted = AdapterRecipe(options.weights, weights.format, recipe, options.seed, config.engine.context)
    rows, examples = _vectors(chosen, wanted)
    neighbours.save(options.output, chosen, rows, weights.sha256, recipe, examples)
    print(f"{len(chosen.tasks)} tasks in {options.output}, vectors made in {now() - started:.0f} s", flush=True)
    said = {neighbours.WEIGHTS: weights.sha256, "seed": options.seed, "steps": options.adapters}
    said |= neighbours.lora(recipe)
    folder = options.output / neighbours.ADAPTERS
    missing = [t for t in chosen.tasks if not neighbours.provenance(folder / t.id).items() >= said.items()]
    for task_id, outcome, files in _all(missing if options.adapters else (), wanted, options.cluster):
        shutil.rmtree(folder / task_id, ignore_errors=True)
        if files:
            (folder / task_id).mkdir(parents=True)
            for name, contents in files.items():
                (folder / task_id / name).write_bytes(contents)
            neighbours.finish(folder / task_id, **said)
        print(f"{task_id} {outcome}", flush=True)


def _vectors(chosen: tasks.TaskSet, wanted: AdapterRecipe) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """Rows of vectors by kind, and which task and demonstration each row of gradients is of."""
    import numpy as np

    trainer = _trainer(wanted.weights, wanted.recipe, wanted.context)
    format = registry.load(wanted.format, wanted.weights)
    from solver.training.example_vectors import vectors

    shown = [plain(task, wanted.context, format) for task in chosen.tasks]
    by_kind = {kind: [vectors(trainer, list(one_each.values()), kind) for one_each in shown] for kind in LIKENESSES}
    states = np.stack([neighbours.together(of_task, "states") for of_task in by_kind["states"]])
    rows = {"states": states, "gradients": np.concatenate(by_kind["gradients"])}
    return rows, [(place, left_out) for place, one_each in enumerate(shown) for left_out in one_each]
