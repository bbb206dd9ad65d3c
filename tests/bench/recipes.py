"""`python -m tests.bench.recipes`: what recipes of test-time training do to the right answers, at equal time.

    python -m tests.bench.recipes --limit 24 --seconds 12 --try tokens=1024 --try tokens=1024,rate=0.004

Each task gets an adapter by each recipe, the default one first, within the same seconds on one core. Then its test
outputs, which no training sees, are read under a few views: their nats a token, and how often the right answer has more
than half of the probability, so that greedy decoding must find it. Far less noisy than counting solved tasks, and no
vote is in it. Choose on training tasks held out of pretraining alone.
"""

from __future__ import annotations

import argparse
import json
import math
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
from solver.config.settings import Config, TrainRecipe
from solver.data import tasks
from solver.data import views as task_views
from solver.model import checkpoint
from solver.runtime.prepare import usual_rate
from solver.tokens.grid import GRID
from solver.training.examples import build, to_example
from solver.types import BadInput, Example, Grid, Pair, Task, TrainJob

HALF = math.log(2)  # nats: an answer with fewer has more than half of the probability
CONTEXT = Config().engine.context


@dataclass(frozen=True)
class Read:
    """A task's test outputs after a training. `nats`: a token, over all outputs and views. `likely`: share of them."""

    task: str
    recipe: int
    steps: int
    seconds: float
    nats: float
    likely: float


def recipe_of(text: str, base: TrainRecipe) -> TrainRecipe:
    """The recipe with settings such as `tokens=1024,rate=0.004` or `data.form=shuffled`. Raises `BadInput`."""
    for piece in filter(None, text.split(",")):
        name, _, given = piece.partition("=")
        data = name.startswith("data.")
        short, part = name.removeprefix("data."), base.data if data else base
        known = getattr(part, short, None)
        if not isinstance(known, int | float | str):
            raise BadInput(
                f"--try {piece!r}: expected NAME=VALUE, the name of a number or word of TrainRecipe or data."
            )
        try:
            value: Any = json.loads(given.lower()) if isinstance(known, bool) else type(known)(given)
        except ValueError:
            raise BadInput(f"--try {piece!r}: expected a value such as {known!r}") from None
        new: dict[str, Any] = {short: value}
        base = replace(base, data=replace(base.data, **new)) if data else replace(base, **new)
    return base


def questions(task: Task, outputs: Sequence[Grid], views: int, seed: int) -> list[Example]:
    """Each test input under each view, its right output to be predicted; those too long for the context left out."""
    made = []
    for view in task_views.views(task, views, seed, "views 3"):
        seen = task_views.apply_task(view, task)
        for test, output in zip(seen.tests, outputs, strict=True):
            made.append(to_example([*seen.demonstrations, Pair(test, task_views.apply(view, output))], GRID, "test"))
    return [example for example in made if example.tokens.size <= CONTEXT]


def read(
    task: Task,
    outputs: Sequence[Any],
    recipes: Sequence[TrainRecipe],
    seconds: float,
    views: int,
    seed: int,
    weights: Path,
) -> list[Read]:
    """Train the task's adapter by each recipe and read its outputs with it."""
    import torch

    from solver.training.trainer import LoraTrainer

    torch.set_num_threads(1)
    asked, found = questions(task, outputs, views, seed), []
    with tempfile.TemporaryDirectory() as folder:
        for number, recipe in enumerate(recipes):
            trainer = LoraTrainer(weights, recipe, Path(folder), CONTEXT)
            examples = build(task, recipe, seed, CONTEXT, GRID)
            started = now()
            report = trainer.train(TrainJob(task.id, examples, seed), Deadline.after(seconds))
            spent = now() - started
            nats = readings(trainer, asked)
            found.append(
                Read(
                    task.id, number, report.steps, spent,
                    a_token(nats),
                    sum(mean * count < HALF for mean, count in nats) / len(nats),
                )
            )  # fmt: skip
    return found


def readings(trainer: Any, asked: Sequence[Example]) -> list[tuple[float, int]]:
    """Of each example, nats a token and how many tokens are wanted, with the trainer's adapter as it stands."""
    import torch

    with torch.no_grad():
        return [(float(trainer.losses([[example]])[0]), int(example.loss.sum())) for example in asked]


def a_token(nats: Sequence[tuple[float, int]]) -> float:
    """Nats a token over all `readings`."""
    return sum(mean * count for mean, count in nats) / sum(count for _, count in nats)


def table(names: Sequence[str], found: Sequence[Read]) -> str:
    """A row a recipe; differences are to the first, over the same tasks, with their standard error."""
    by: list[Mapping[str, Read]] = [{r.task: r for r in found if r.recipe == n} for n in range(len(names))]
    lines = [
        f"{len(by[0])} tasks",
        "| recipe | steps | s a task | nats a token | likely | difference |",
        "|---|---|---|---|---|---|",
    ]
    for name, reads in zip(names, by, strict=True):
        steps, spent = (statistics.median(getattr(r, what) for r in reads.values()) for what in ("steps", "seconds"))
        nats, likely = (statistics.fmean(getattr(r, what) for r in reads.values()) for what in ("nats", "likely"))
        gaps = [read.nats - by[0][task].nats for task, read in reads.items()]
        error = statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else math.nan
        told = "" if reads is by[0] else f"{statistics.fmean(gaps):+.4f} ± {error:.4f}"
        lines.append(f"| {name or 'default'} | {steps:g} | {spent:.1f} | {nats:.4f} | {likely:.1%} | {told} |")
    return "\n".join(lines)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.recipes", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--split", default="held-out", help="an embedded set")
    parser.add_argument("--limit", type=int, default=24, help="so many tasks, spread evenly over the set")
    parser.add_argument("--seconds", type=float, default=12.0, help="of one core, for each adapter")
    parser.add_argument(
        "--try", dest="tried", action="append", default=[], metavar="NAME=VALUE,…", help="one more recipe"
    )
    parser.add_argument("--views", type=int, default=4, help="under which outputs are read")
    parser.add_argument("--workers", type=int, default=2, help="processes, one core each")
    parser.add_argument("--weights", type=Path, default=checkpoint.SHIPPED, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON lines, one an adapter")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Train, read, print; 2 and one line where the input is wrong."""
    options = parse(argv)
    try:
        names = ["", *options.tried]
        checked = checkpoint.check(options.weights, "grid")
        weights, usual = checked.path, replace(TrainRecipe(), rate=usual_rate(checked))
        recipes = [recipe_of(name, usual) for name in names]
        everyone, right = tasks.load_split(options.split).tasks, read_solutions(options.split)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    count = min(options.limit, len(everyone))
    chosen = [everyone[n * len(everyone) // count] for n in range(count)]
    chosen = [task for task in chosen if questions(task, right[task.id], 1, options.seed)]
    found: list[Read] = []
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        more = (options.seconds, options.views, options.seed, weights)
        for reads in pool.map(read, chosen, [right[t.id] for t in chosen], *([x] * count for x in (recipes, *more))):
            found += reads
            print(f"{reads[0].task} " + " ".join(f"{r.nats:.3f}" for r in reads), flush=True)
    if options.output:
        options.output.write_text("".join(json.dumps(asdict(r)) + "\n" for r in found))
    print(table(names, found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
