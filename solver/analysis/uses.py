"""Which tasks each primitive helped to solve, as a table made from results; and which helped none.

Knows nothing of the search. Law: a primitive counts only where the task is solved and an attempt that solved it uses
the primitive.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from solver.programs import search as _all  # noqa: F401  the primitives register themselves
from solver.programs.batch import every
from solver.programs.primitives.registry import INPUT_COLOURED, JOINS, OUTPUT_COLOURED, SPLITS, UNARY, Primitive

SHOWN = 3  # tasks named for each primitive
TABLES: Mapping[str, Mapping[str, Primitive[Any]]] = {
    "grid → grid": UNARY,
    "grid, colour of the input → grid": INPUT_COLOURED,
    "grid, colour of the output → grid": OUTPUT_COLOURED,
    "grid → parts": SPLITS,
    "parts → grid": JOINS,
}


def names() -> list[str]:
    """Every primitive, by type and name."""
    return [name for table in TABLES.values() for name in sorted(table)]


def used(files: Sequence[Path]) -> dict[str, list[str]]:
    """The solved tasks whose programs name each primitive, from files of results.

    A task that was seen turned or mirrored has its view after an @; those that were not come first.
    """
    tasks: dict[str, set[str]] = defaultdict(set)
    for path in files:
        view, lines = every(path)
        for line in lines:
            for primitives, right in zip(line.primitives, line.right, strict=False):
                for name in primitives if line.solved and right else ():
                    tasks[name].add(f"{line.task}@{view}" if view else line.task)
    return {name: sorted(tasks.get(name, ()), key=lambda task: ("@" in task, task)) for name in names()}


def table(tasks: Mapping[str, Sequence[str]]) -> str:
    """As Markdown, a line a primitive: name, type, what it does, how many tasks (none: it is dead), some of them."""
    lines = ["| primitive | type | what it gives | tasks | such as |", "|---|---|---|---|---|"]
    for kind, table_ in TABLES.items():
        for name, primitive in sorted(table_.items()):
            ids = tasks.get(name, ())
            doc = " ".join((inspect.getdoc(primitive.run) or "").split())
            lines.append(f"| `{name}` | {kind} | {doc} | {len(ids)} | {' '.join(ids[:SHOWN]) or '–'} |")
    return "\n".join(lines)
