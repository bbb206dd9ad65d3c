"""`python -m solver pretrain pool`: make the pool of pairs to train on, and say what is in it. See `--help`."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from solver.types import BadInput

PAIRS = 1000  # from each generator


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line after `pool`."""
    parser = argparse.ArgumentParser(prog="python -m solver pretrain pool", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the pool, .npz")
    parser.add_argument("--pairs", type=int, default=PAIRS, metavar="N", help="drawn from each generator, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the generators and compositions")
    parser.add_argument(
        "--arc-gen",
        type=Path,
        metavar="PATH",
        help="a checkout of google/ARC-GEN, or JSON {id: [[input, output], ...]}",
    )
    parser.add_argument(
        "--tasks", type=Path, action="append", default=[], metavar="FILE",
        help="more tasks: Kaggle's challenges JSON or a folder of ARC task files; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--composed", type=int, default=0, metavar="N", help="tasks whose rules are compositions of primitives"
    )
    parser.add_argument("--cluster", metavar="ADDRESS", help="draw pairs on the cores of a Ray cluster, as in a run")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Make the pool and print a table of its sources; exit status 2 and one line where the input is wrong."""
    options = parse(argv)
    try:
        for name, least in (("pairs", 1), ("composed", 0)):
            if getattr(options, name) < least:
                raise BadInput(f"--{name} {getattr(options, name)}: expected at least {least}; raise it")
        from solver.pretrain import data, sources
        from solver.runtime.machines import executor
        from solver.runtime.tables import print_sections

        request = sources.Request(options.pairs, options.seed, options.arc_gen, tuple(options.tasks), options.composed)
        with executor(options.cluster) if options.cluster else nullcontext() as pairs_from:
            tell = partial(print, file=sys.stderr, flush=True)
            pool, report = sources.training_pool(request, tell, pairs_from)
        sha256 = data.save(pool, options.output)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_sections([report.section()], sys.stdout)
    print(f"wrote {options.output} ({options.output.stat().st_size / 1e6:.1f} MB, sha256 {sha256})")
    return 0
