"""`python -m solver curve DIR... OUT.svg`: the loss curve of a pretraining run, from its curve.jsonl.

Several directories are stretches of one run, each from the weights of the one before: their tokens add up.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LINES = (("loss", "training"), ("held_out_loss", "held-out tasks, last output"))


def rows(directories: Sequence[Path]) -> list[dict[str, Any]]:
    """The lines of all stretches, `tokens` counted from the first one's start."""
    together, before = list[dict[str, Any]](), 0
    for directory in directories:
        lines = [json.loads(line) for line in (directory / "curve.jsonl").read_text().splitlines()]
        together += [{**line, "tokens": before + line["tokens"]} for line in lines]
        before = together[-1]["tokens"]
    return together


def main(argv: list[str]) -> int:
    """Draw loss against tokens on logarithmic axes."""
    parser = argparse.ArgumentParser(prog="python -m solver curve", description=main.__doc__)
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="stretches of one run, in order")
    parser.add_argument("target", type=Path, metavar="OUT.svg", help="where it is written")
    given = parser.parse_args(argv)
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    together = rows(given.directories)
    figure, axes = pyplot.subplots(figsize=(6, 3.5))
    for field, label in LINES:
        own = [row for row in together if field in row]  # a run may have had nothing to measure by
        axes.plot([row["tokens"] / 1e6 for row in own], [row[field] for row in own], marker=".", label=label)
    axes.set(xlabel="million tokens", ylabel="nats a token", xscale="log", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.tight_layout()
    figure.savefig(given.target, metadata={"Date": None})
    return 0
