"""`python -m tests.bench.scaling POINT...`: accuracy against parameters × tokens, and what one hour of a GPU promises.

    python -m tests.bench.recipes --weights DIR --limit 60 --seconds 1000 --output runs/a.jsonl
    python -m tests.bench.scaling weights/grid-3m:48.8e6:runs/a.jsonl DIR:TOKENS:FILE DIR:TOKENS:FILE

A point is a model's directory, the tokens it was trained on, and what `tests.bench.recipes` read with it after a fixed
test-time training, over the same tasks for all points. Operations are 6 × parameters × tokens. A power law of nats a
token is fitted, and a straight line of log-odds for `likely` (views in which greedy decoding must find the answer);
neither has a floor or a ceiling, which so few points could not show, so the prediction is a hope, not a promise. Its
interval is from tasks drawn again (bootstrap), and knows nothing of what a law that bends would do.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from solver.hardware import gpus
from solver.model import checkpoint
from solver.types import BadInput

BUSY = 0.35  # of a card's peak: the share that pretraining is meant to make use of, not measured on one yet
DRAWS = 2000  # of tasks, for the interval
LEAST_POINTS = 3  # two for a line and one that could contradict it
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Point:
    """A model, the tokens it was trained on, and its readings by task: nats a token, and share of likely views."""

    name: str
    sha: str
    parameters: int
    tokens: float
    tasks: tuple[str, ...]
    nats: Floats
    likely: Floats

    @property
    def operations(self) -> float:
        """Floating-point operations of its pretraining."""
        return 6.0 * self.parameters * self.tokens


def point(text: str, recipe: int) -> Point:
    """The point of `DIR:TOKENS:FILE`; readings by the recipe of that number. Raises `BadInput`."""
    pieces = text.split(":")
    try:
        folder, tokens, file = pieces[0], float(pieces[1]), pieces[2]
        lines = [json.loads(line) for line in Path(file).read_text().splitlines()]
    except (IndexError, ValueError, OSError) as error:
        expected = "expected DIR:TOKENS:FILE, such as weights/grid-3m:48.8e6:runs/a.jsonl"
        raise BadInput(f"point {text!r}: {expected} ({error})") from None
    known = checkpoint.check(Path(folder), "grid")
    with safe_open(known.path / "model.safetensors", "np") as stored:
        parameters = sum(math.prod(stored.get_slice(name).get_shape()) for name in stored.keys())  # noqa: SIM118
    lines = sorted((line for line in lines if line["recipe"] == recipe), key=lambda line: line["task"])
    if not lines or tokens <= 0:
        raise BadInput(f"point {text!r}: expected tokens above 0, and readings by recipe {recipe}; {len(lines)} found")
    columns = (np.array([line[name] for line in lines], float) for name in ("nats", "likely"))
    tasks = tuple(line["task"] for line in lines)
    return Point(folder, known.sha256[:12], parameters, tokens, tasks, *columns)


def predicted(operations: Floats, values: Floats, at: float) -> Floats:
    """The straight line through `values`, [..., points], over log operations, [points], read off at `at`: [...]."""
    x = np.log(operations)
    centred = x - x.mean()
    slope = values @ centred / (centred @ centred)
    return np.asarray(values.mean(-1) + slope * (math.log(at) - x.mean()))


def odds(share: Floats) -> Floats:
    """Log-odds; shares of 0 and 1 are taken as a thousandth from them."""
    kept = np.clip(share, 1e-3, 1 - 1e-3)
    return np.log(kept / (1 - kept))


def forecast(points: Sequence[Point], at: float, seed: int) -> dict[str, Floats]:
    """Nats a token and `likely` at so many operations: each [3], as fitted and the ends of the 95 % interval."""
    operations = np.array([p.operations for p in points])
    count, rng = len(points[0].tasks), np.random.default_rng(seed)
    draws = np.vstack([np.arange(count), rng.integers(0, count, (DRAWS, count))])
    nats = np.stack([p.nats[draws].mean(1) for p in points], -1)
    likely = np.stack([p.likely[draws].mean(1) for p in points], -1)
    at_nats = np.exp(predicted(operations, np.log(nats), at))
    at_likely = 1 / (1 + np.exp(-predicted(operations, odds(likely), at)))
    found = {"nats": at_nats, "likely": at_likely}
    return {name: np.array([v[0], *np.quantile(v[1:], (0.025, 0.975))]) for name, v in found.items()}


def table(points: Sequence[Point], card: gpus.Card, seed: int) -> str:
    """The points, fewest operations first, and the prediction."""
    points = sorted(points, key=lambda p: p.operations)
    lines = [
        "| weights | parameters | tokens | operations | nats a token | likely |",
        "|---|---|---|---|---|---|",
    ]
    for p in points:
        error = p.nats.std(ddof=1) / len(p.nats) ** 0.5 if len(p.nats) > 1 else math.nan
        size = f"{p.parameters / 1e6:.2f} M | {p.tokens / 1e6:.1f} M | {p.operations:.1e}"
        lines.append(f"| `{p.sha}` | {size} | {p.nats.mean():.3f} ± {error:.3f} | {p.likely.mean():.1%} |")
    at = BUSY * card.flops * 3600
    found = forecast(points, at, seed)
    (nats, low, high), (likely, least, most) = found["nats"], found["likely"]
    told = (
        f"One hour of one {card.name.upper()} at {BUSY:.0%} of its peak is {at:.1e} operations, "
        f"{at / points[-1].operations:,.0f} times the last row: {nats:.3f} nats ({low:.3f} to {high:.3f}), "
        f"likely {likely:.0%} ({least:.0%} to {most:.0%}), if the lines go on as they are."
    )
    return "\n".join([f"{len(points[0].tasks)} tasks", "", *lines, "", told])


def main(argv: Sequence[str]) -> int:
    """Read the points and print; 2 and one line where the input is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scaling", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("points", nargs="+", metavar="DIR:TOKENS:FILE")
    parser.add_argument("--recipe", type=int, default=0, help="whose readings: the number of the --try; 0: the default")
    parser.add_argument("--card", default="h200", help="that the prediction is for")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    try:
        points = [point(text, options.recipe) for text in options.points]
        card = gpus.named(options.card)
        if len(points) < LEAST_POINTS:
            raise BadInput(f"{len(points)} points: expected at least {LEAST_POINTS}")
        for p in points[1:]:
            if p.tasks != points[0].tasks:
                raise BadInput(f"{p.name} was read over other tasks than {points[0].name}: expected the same --limit")
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(points, card, options.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
