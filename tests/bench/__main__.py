"""`python -m tests.bench`: the engine's work against the usual ways, medians of paired runs; and the `gauges`.

    python -m tests.bench                                    # everything, as it is meant to be reported
    python -m tests.bench --pairs 1 --tasks 2 --views 2 --steps 2 --limit 400 --p-min 0.09     # a quick look
    python -m tests.bench --only votes report                # the gauges alone: no model, half a minute
    python -m tests.bench --parity                           # the same replies as the recursion's, in float32
    python -m tests.bench --linearity notebooks/growth.svg   # seconds against views, candidates and prompt tokens
    python -m tests.bench --memory 400                       # resident memory over so many adapters

Run it with nothing else on the machine. Ours starts every run with an empty prefix cache. The usual ways of search,
sampling and scoring run in a process of their own; threads spin for a moment before they sleep on both sides, which is
fastest for both as long as nothing else wants the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench import gauges, growth, ratios
from tests.bench.setting import Bench, Row

SPINS = "300000"  # what GNU's OpenMP does where nothing is said of it
HEAD = "| what | usual, s | ours, s | times faster (lowest to highest) | by processor time | goal | |"
PARTS: dict[str, Callable[[Bench], Iterable[Row]]] = {
    "parity": ratios.parity,
    "search": ratios.searching,
    "greedy": ratios.greedy,
    "scoring": ratios.scoring,
    "training": ratios.training,
    "side-by-side": ratios.side_by_side,
}


def summary(sums: Mapping[str, float]) -> str:
    """What an engine's counters came to."""
    hits = sums["cached_tokens"] / max(1, sums["prompt_tokens"])
    return (
        f"{sums['said_tokens'] / max(1e-9, sums['seconds']):.0f} tokens/s said, {sums['said_tokens']:.0f} in "
        f"{sums['seconds']:.1f} s; {sums['prompt_tokens']:.0f} prompt tokens, {hits:.0%} of them cached; "
        f"{sums['adapters']:.0f} adapters loaded in {sums['adapter_seconds']:.2f} s"
    )


def parse(argv: list[str]) -> argparse.Namespace:
    """The options, the three special runs spelled out."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--only", nargs="+", choices=[*PARTS, *gauges.GAUGES], help="default: all but parity, which is in float32"
    )
    parser.add_argument("--parity", action="store_true", help="parity alone, on small tasks of the held-out split")
    parser.add_argument("--linearity", type=Path, metavar="CHART", help="only this; SVG or PNG to write")
    parser.add_argument("--memory", type=int, metavar="N", help="only this, over N adapters")
    parser.add_argument("--pairs", "--runs", type=int, default=5, help="paired runs a comparison")
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--views", type=int, default=16, help="views a task")
    parser.add_argument("--prompts", type=int, default=30, help="prompts of the parity check")
    parser.add_argument("--adapters", type=int, default=3, help="adapters of the parity check")
    parser.add_argument("--candidates", type=int, default=5, help="candidates a task that are scored")
    parser.add_argument("--scoring-views", type=int, default=8)
    parser.add_argument("--p-min", type=float, nargs="+", default=[0.2, 0.09, 0.02])
    parser.add_argument("--steps", type=int, default=12, help="training steps a task")
    parser.add_argument("--limit", type=int, help="tokens of the longest prompt: 1500, for --parity 500")
    parser.add_argument("--split", help="arc1-evaluation, for --parity held-out")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON instead")
    parser.add_argument("--output", type=Path, help="file for the rows as JSON beside the table")
    options = parser.parse_args(argv)
    options.only = (
        ["parity"]
        if options.parity
        else options.only or [name for name in (*PARTS, *gauges.GAUGES) if name != "parity"]
    )
    options.limit = options.limit or (500 if options.parity else 1500)
    options.split = options.split or ("held-out" if options.parity else "arc1-evaluation")
    return options


def main(argv: list[str]) -> int:
    """Run what was asked for and print it."""
    options = parse(argv)
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # before torch is imported
    values: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as directory:
        if options.linearity or options.memory:
            return grown(Bench(options, Path(directory)))
        if compared := [name for name in options.only if name in PARTS]:
            values += [row.values() for row in compare(Bench(options, Path(directory)), compared)]
        wanted = [gauges.GAUGES[name] for name in options.only if name in gauges.GAUGES]
        measured = [gauge for part in wanted for gauge in part(Path(directory))]
    values += [asdict(gauge) for gauge in measured]
    if measured and not options.json:
        print("| what | measured | goal | |\n|---|---|---|---|")
        print("\n".join(gauge.line() for gauge in measured))
    keep(options.output, values)
    if options.json:
        print(json.dumps(values))
    return 0


def compare(bench: Bench, names: Sequence[str]) -> list[Row]:
    """The comparisons' rows, each told as soon as it is there."""
    rows: list[Row] = []
    say: Callable[..., None] = (lambda *_, **__: None) if bench.options.json else print
    say(f"{HEAD}\n|---|---|---|---|---|---|---|")
    for name in names:
        for row in PARTS[name](bench):
            rows.append(row)
            say(row.line(), flush=True)
    if "sampler" in bench.__dict__:
        say(f"\nThe engine in all: {summary(bench.sampler.counters.take())}\n")
    return rows


def grown(bench: Bench) -> int:
    """How the cost grows with the work, and the memory with the adapters."""
    found: dict[str, Any] = {}
    if bench.options.linearity:
        growths = growth.linearity(bench)
        print("\n".join(each.text() for each in growths))
        growth.chart(growths, bench.options.linearity)
        found["linearity"] = [{"what": g.what, "sizes": g.sizes, "seconds": g.seconds, "fit": g.fit} for g in growths]
    if bench.options.memory:
        found["memory"] = growth.memory(bench)
    keep(bench.options.output, found)
    return 0


def keep(path: Path | None, found: Any) -> None:
    """Write what was found where it was asked for."""
    if path is not None:
        path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
