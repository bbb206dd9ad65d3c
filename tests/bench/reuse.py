"""`python -m tests.bench.reuse LIBRARY`: what the nearest task's adapter is worth, from which likeness on.

    python -m tests.bench.reuse runs/library --limit 60 --steps 24

`LIBRARY`: a folder made by `python -m solver collect --adapters STEPS`. For each task the right outputs, which nothing
learns from, are read under a few views by the base model (`none`), by the nearest task's adapter as it is (`outright`),
by the task's own (`own`) and by one that started from the nearest task's (`warm`, and `warm/3` with a third of the
steps). The table has nats a token by likeness: where `outright` beats `none`, and `warm` beats `own`, is where a
threshold pays. Choose on training tasks held out of pretraining alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from solver.analysis.solutions import read_solutions
from solver.clock import Deadline, now
from solver.config.settings import LIKENESSES, Config
from solver.data import tasks
from solver.model import checkpoint
from solver.tokens.grid import GRID
from solver.training import neighbours
from solver.training.examples import build, plain
from solver.types import Adapter, BadInput, Task, TrainJob
from tests.bench.recipes import CONTEXT, a_token, questions, readings

FAR = 24 * 3600.0  # seconds: no deadline
WAYS = ("none", "outright", "own", "warm", "warm/3")
THIRD = 3  # of the steps are as many as `warm/3` has


@dataclass(frozen=True)
class Read:
    """A task's right outputs in each of `WAYS`: nats a token, and seconds that training took.

    `likeness`: cosine of the task and the nearest other one that has an adapter.
    """

    task: str
    nearest: str
    likeness: float
    nats: Mapping[str, float]
    seconds: Mapping[str, float]


def read(task: Task, outputs: Sequence[Any], library: Path, kind: str, steps: int, views: int, weights: Path) -> Read:
    """Train and read one task in every way."""
    import torch

    from solver.training.example_vectors import vectors
    from solver.training.trainer import LoraTrainer

    torch.set_num_threads(1)
    config = Config()
    asked = questions(task, outputs, views, config.seed)
    known = neighbours.load(library, checkpoint.check(weights, "grid").sha256)
    with tempfile.TemporaryDirectory() as folder:
        trainer = LoraTrainer(weights, replace(config.train, steps=steps), Path(folder), CONTEXT)
        vector = neighbours.together(vectors(trainer, list(plain(task, CONTEXT, GRID).values()), kind), kind)
        others = known.nearest(task, vector, kind, len(known.tasks))
        near = next(other for other in others if other.adapter is not None)
        examples = build(task, config.train, config.seed, CONTEXT, GRID)
        ways: dict[str, tuple[Adapter | None, int]] = {
            "none": (None, 0), "outright": (near.adapter, 0), "own": (None, steps),
            "warm": (near.adapter, steps), "warm/3": (near.adapter, steps // THIRD),
        }  # fmt: skip
        nats, seconds = {}, {}
        for way, (start, many) in ways.items():
            started = now()
            trainer.train(TrainJob(task.id, examples, config.seed, start), Deadline.after(FAR), steps=many)
            seconds[way] = now() - started
            nats[way] = a_token(readings(trainer, asked))
    return Read(task.id, near.task.id, near.similarity, nats, seconds)


def table(found: Sequence[Read], parts: int) -> str:
    """A row for each part of the tasks, those most alike first, and one for all; differences with standard errors."""
    ranked = sorted(found, key=lambda r: -r.likeness)
    cuts = [ranked[n * len(ranked) // parts : (n + 1) * len(ranked) // parts] for n in range(parts)]
    lines = [
        f"| likeness | tasks | {' | '.join(WAYS)} | outright − none | warm − own | warm/3 − own |",
        f"|{'---|' * (5 + len(WAYS))}",
    ]
    for some in (*cuts, ranked):
        means = " | ".join(f"{statistics.fmean(r.nats[way] for r in some):.4f}" for way in WAYS)
        pairs = (("outright", "none"), ("warm", "own"), ("warm/3", "own"))
        gaps = " | ".join(gap([r.nats[a] - r.nats[b] for r in some]) for a, b in pairs)
        lines.append(f"| {some[-1].likeness:.3f} to {some[0].likeness:.3f} | {len(some)} | {means} | {gaps} |")
    spent = " | ".join(f"{statistics.fmean(r.seconds[way] for r in ranked):.1f}" for way in WAYS)
    return "\n".join([*lines, f"| seconds a task | | {spent} | | | |"])


def gap(differences: Sequence[float]) -> str:
    """The mean and its standard error."""
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("nan")
    return f"{round(statistics.fmean(differences), 4) + 0.0:+.4f} ± {error:.4f}"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reuse", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("library", type=Path, metavar="LIBRARY", help="made by python -m solver collect --adapters")
    parser.add_argument("--split", default="held-out", help="an embedded set")
    parser.add_argument("--limit", type=int, default=60, help="so many tasks, spread evenly over the set")
    parser.add_argument("--steps", type=int, default=24, help="of training, each of Config's tokens")
    parser.add_argument("--by", choices=LIKENESSES, default=LIKENESSES[0], help="what makes tasks alike")
    parser.add_argument("--views", type=int, default=4, help="under which outputs are read")
    parser.add_argument("--parts", type=int, default=4, help="rows that tasks are cut into, by likeness")
    parser.add_argument("--workers", type=int, default=2, help="processes, one core each")
    parser.add_argument("--weights", type=Path, default=checkpoint.SHIPPED, metavar="DIR")
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON lines, one a task")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Train, read, print; 2 and one line where the input is wrong."""
    options = parse(argv)
    try:
        everyone, right = tasks.load_split(options.split).tasks, read_solutions(options.split)
        weights = checkpoint.check(options.weights, "grid")
        if not neighbours.load(options.library, weights.sha256).adapters:
            raise BadInput(f"{options.library} has no adapters: expected some; python -m solver collect --adapters 24")
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    count = min(options.limit, len(everyone))
    chosen = [everyone[n * len(everyone) // count] for n in range(count)]
    chosen = [task for task in chosen if questions(task, right[task.id], 1, 0)]
    more = (options.library, options.by, options.steps, options.views, weights.path)
    found = []
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        for one in pool.map(read, chosen, [right[t.id] for t in chosen], *([x] * len(chosen) for x in more)):
            found.append(one)
            print(f"{one.task} {one.likeness:.3f} " + " ".join(f"{one.nats[way]:.3f}" for way in WAYS), flush=True)
    if options.output:
        options.output.write_text("".join(json.dumps(asdict(r)) + "\n" for r in found))
    print(table(found, options.parts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
