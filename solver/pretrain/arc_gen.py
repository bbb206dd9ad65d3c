"""Pairs of ARC-GEN's generators: stored in a file, or made by a checkout of google/ARC-GEN.

ARC-GEN: Moffitt, arXiv 2511.00162. A checkout's code runs in processes of its own, one a task, which are ended when
they take too long. Law: pairs depend on (seed, task) alone, but for what is cut off.
"""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from solver.data.json_files import parse_json, read_bytes
from solver.pretrain import arc_gen_runner
from solver.pretrain.data import sound
from solver.types import BadInput, Grid, Pair, seed_for

EXPECTED = "expected a checkout of google/ARC-GEN, or JSON (or .json.gz) {id: [[input, output], ...]}, grids as '12/34'"
SECONDS, SECONDS_A_PAIR = 30.0, 0.3  # that a generator may take: for a task, and more for each of its pairs


class ArcGen(Protocol):
    """Where a task's pairs are had from."""

    def pairs(self, task_id: str, count: int, seed: int) -> tuple[list[Pair], bool]:
        """At most `count` pairs of a task, none where it is not there; and whether its generator was cut off."""
        ...

    def foreign_pairs(self, ids: Collection[str]) -> int:
        """How many stored pairs are of other tasks than these."""
        ...


def open_arc_gen(path: Path) -> ArcGen:
    """A checkout, where `path` is a directory, or a file of pairs. Raises `BadInput` where it is neither."""
    if not path.is_dir():
        return _stored(path)
    if not (path / "tasks").is_dir() or not (path / "common.py").is_file():
        raise BadInput(f"{path} has no tasks/ and common.py; {EXPECTED}; clone github.com/google/ARC-GEN")
    return Checkout(path)


@dataclass(frozen=True)
class Stored:
    """Pairs from a file: by task, as text."""

    content: Mapping[str, tuple[Pair, ...]]

    def pairs(self, task_id: str, count: int, seed: int) -> tuple[list[Pair], bool]:  # noqa: ARG002  they are stored
        return list(self.content.get(task_id, ()))[:count], False

    def foreign_pairs(self, ids: Collection[str]) -> int:
        return sum(len(pairs) for task_id, pairs in self.content.items() if task_id not in ids)


def _stored(path: Path) -> Stored:
    """Read and check the whole file. Raises `BadInput`."""
    packed = read_bytes(path, largest=None)
    try:
        data = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
    except (OSError, EOFError) as error:
        raise BadInput(f"{path} is no gzip file ({error}); {EXPECTED}; fetch it again") from None
    content = parse_json(data, str(path))
    if not isinstance(content, dict) or not content:
        raise BadInput(f"{path} holds no tasks; {EXPECTED}; pass such a file")
    pairs = dict[str, tuple[Pair, ...]]()
    for task_id, given in content.items():
        if not isinstance(given, list) or not all(isinstance(p, list) and len(p) == 2 for p in given):
            raise BadInput(f"{path}: task {task_id} is no list of [input, output]; {EXPECTED}; mend it")
        pairs[task_id] = tuple(
            Pair(*(_grid(side, f"{path}: task {task_id}: pair {n}") for side in p)) for n, p in enumerate(given)
        )
    return Stored(pairs)


def _grid(text: object, where: str) -> Grid:
    """A grid from digits, rows parted by '/'. Raises `BadInput`."""
    rows = text.split("/") if isinstance(text, str) and text.isascii() else [""]
    if not all(row.isdigit() and len(row) == len(rows[0]) for row in rows):
        raise BadInput(f"{where}: {str(text)[:40]!r} is no grid; {EXPECTED}; mend it")
    grid = np.array([[int(cell) for cell in row] for row in rows], np.uint8)
    if not sound(grid):
        raise BadInput(
            f"{where}: {len(rows)} x {len(rows[0])} cells came, sides of 1 to 30 were expected; {EXPECTED}; mend it"
        )
    return grid


@dataclass(frozen=True)
class Checkout:
    """A checkout's generators, each run in a process of its own.

    `seconds`: that it may take for a task; `seconds_a_pair`: and more for each pair. A generator that takes longer
    gives no pairs, so that what it gives does not depend on the machine.
    """

    directory: Path
    seconds: float = SECONDS
    seconds_a_pair: float = SECONDS_A_PAIR

    def pairs(self, task_id: str, count: int, seed: int) -> tuple[list[Pair], bool]:
        if not (self.directory / "tasks" / f"task_{task_id}.py").is_file():
            return [], False
        first = seed_for(seed, task_id, "arc-gen")
        command = [sys.executable, arc_gen_runner.__file__, str(self.directory), task_id, str(first), str(count)]
        limit = self.seconds + count * self.seconds_a_pair
        try:
            run = subprocess.run(command, capture_output=True, timeout=limit, env={**os.environ, "PYTHONHASHSEED": "0"})
        except subprocess.TimeoutExpired:
            return [], True
        lines = run.stdout.splitlines() if run.returncode == 0 else []
        raw = [json.loads(line) for line in lines]
        grids = [(np.array(p[0], np.uint8), np.array(p[1], np.uint8)) for p in raw]
        return [Pair(i, o) for i, o in grids if sound(i) and sound(o)], run.returncode != 0

    def foreign_pairs(self, ids: Collection[str]) -> int:  # noqa: ARG002  a checkout makes what it is asked for
        return 0
