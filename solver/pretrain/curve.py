"""`python -m solver.pretrain.curve DIR OUT.svg`: the loss curve of a pretraining run, from its curve.jsonl."""

from __future__ import annotations

import json
import sys
from pathlib import Path

LINES = (("loss", "training"), ("held_out_loss", "held-out tasks, last output"))


def main(argv: list[str]) -> int:
    """Draw loss against tokens on logarithmic axes."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    rows = [json.loads(line) for line in (Path(argv[0]) / "curve.jsonl").read_text().splitlines()]
    figure, axes = pyplot.subplots(figsize=(6, 3.5))
    for field, label in LINES:
        axes.plot([r["tokens"] / 1e6 for r in rows], [r[field] for r in rows], marker=".", label=label)
    axes.set(xlabel="million tokens", ylabel="nats a token", xscale="log", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.tight_layout()
    figure.savefig(argv[1], metadata={"Date": None})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
