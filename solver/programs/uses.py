"""Which tasks each primitive helped to solve, as a table made from results; and which helped none.

Knows nothing of the search. Law: a primitive counts only where the task is solved and an attempt that solved it uses
the primitive.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from solver.programs import enumerate as _all  # noqa: F401  the primitives register themselves
from solver.programs.batch import every
from solver.programs.registry import INPUT_COLOURED, JOINS, OUTPUT_COLOURED, SPLITS, UNARY

SHOWN = 4  # tasks named for each primitive


def names() -> list[str]:
    """Every primitive."""
    return [name for table in (UNARY, INPUT_COLOURED, OUTPUT_COLOURED, SPLITS, JOINS) for name in table]


def used(files: Sequence[Path]) -> dict[str, list[str]]:
    """The solved tasks whose programs name each primitive, from files of results."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in (line for path in files for line in every(path)):
        for used_, right in zip(line.primitives, line.right, strict=False):
            for name in used_ if line.solved and right else ():
                found[name].add(line.task)
    return {name: sorted(found.get(name, ())) for name in names()}


def table(files: Sequence[Path]) -> str:
    """The table as Markdown; a primitive without a task is dead."""
    return rendered(used(files))


def rendered(tasks: Mapping[str, Sequence[str]]) -> str:
    """One line for each primitive: its name, how many tasks, some of them."""
    lines = ["| primitive | tasks | such as |", "|---|---|---|"]
    lines += [f"| `{name}` | {len(ids)} | {' '.join(ids[:SHOWN]) or '–'} |" for name, ids in tasks.items()]
    return "\n".join(lines)
