"""`python -m solver samples FOLDER`: small RE-ARC tasks whose pairs were never trained on, as Kaggle's JSON.

Writes `re_arc_challenges.json` and `re_arc_solutions.json`. The rules are those of pretraining tasks, the pairs
are new: what a model that learned the rules, and did not memorise the pairs, should be able to answer.
"""

import argparse
import json
import zlib
from itertools import islice
from pathlib import Path

from solver.pretrain.data import load
from solver.pretrain.sources import collect, re_arc_pairs
from solver.pretrain.split import arc1_split
from solver.tokens.grid import pair_length
from solver.types import Pair, key

TASKS = 50
PAIRS = 4  # three demonstrations and the test pair
LONGEST = 250  # tokens of a pair
SEED = 20_411  # another than any pool was made with
DRAWS = 400  # pairs drawn from a generator to find four that are small enough


def fresh(task_id: str, seen: set[tuple[object, object]]) -> list[Pair]:
    """`PAIRS` small pairs of a generator that are not among `seen`; fewer where it makes no more."""
    small = (
        p
        for p in re_arc_pairs(task_id, DRAWS, SEED)
        if pair_length(p) <= LONGEST and (key(p.input), key(p.output)) not in seen
    )
    return list(islice(small, PAIRS))


def main(argv: list[str]) -> int:
    """Write the two files; the pool that was trained on is read from runs/pretrain-cpu, or made again."""
    parser = argparse.ArgumentParser(prog="python -m solver samples", description=main.__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where they are written")
    folder, kept = parser.parse_args(argv).folder, Path("runs/pretrain-cpu/train.npz")
    ids = arc1_split().train
    pool = load(kept) if kept.exists() else collect(ids, 200, 0)
    seen: set[tuple[object, object]] = {(key(p.input), key(p.output)) for pairs in pool.pairs for p in pairs}
    chosen: dict[str, list[Pair]] = {}
    for task_id in sorted(ids, key=lambda i: (zlib.crc32(f"sample {i}".encode()), i)):
        pairs = fresh(task_id, seen)
        if len(pairs) == PAIRS and len(chosen) < TASKS:
            chosen[task_id] = pairs
    challenges = {
        i: {
            "train": [{"input": p.input.tolist(), "output": p.output.tolist()} for p in pairs[:-1]],
            "test": [{"input": pairs[-1].input.tolist()}],
        }
        for i, pairs in sorted(chosen.items())
    }
    solutions = {i: [chosen[i][-1].output.tolist()] for i in challenges}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("challenges", challenges), ("solutions", solutions)):
        lines = [f"{json.dumps(i)}: {json.dumps(v, separators=(',', ':'))}" for i, v in content.items()]
        (folder / f"re_arc_{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return 0
