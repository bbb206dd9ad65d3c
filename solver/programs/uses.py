"""Which tasks each primitive helped to solve, as a table made from results; and which helped none.

Knows nothing of the search. Law: a primitive counts only where the attempt that was right names it.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from solver.programs import enumerate as _all  # noqa: F401  the primitives register themselves
from solver.programs.registry import INPUT_COLOURED, JOINS, OUTPUT_COLOURED, SPLITS, UNARY

SHOWN = 4  # tasks named for each primitive


def names() -> list[str]:
    """Every primitive."""
    return [name for table in (UNARY, INPUT_COLOURED, OUTPUT_COLOURED, SPLITS, JOINS) for name in table]


def used(files: Sequence[Path]) -> dict[str, list[str]]:
    """The solved tasks whose programs name each primitive, from files of results."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in files:
        for text in path.read_text().splitlines()[1:]:
            line = json.loads(text)
            for program in line["programs"] if line["solved"] else ():
                for word in re.findall(r"[a-z_0-9]+", program):
                    found[word].add(line["task"])
    return {name: sorted(found.get(name, ())) for name in names()}


def table(files: Sequence[Path]) -> str:
    """The table as Markdown; a primitive without a task is dead."""
    return rendered(used(files))


def rendered(tasks: Mapping[str, Sequence[str]]) -> str:
    """One line for each primitive: its name, how many tasks, some of them."""
    lines = ["| primitive | tasks | such as |", "|---|---|---|"]
    lines += [f"| `{name}` | {len(ids)} | {' '.join(ids[:SHOWN]) or '–'} |" for name, ids in tasks.items()]
    return "\n".join(lines)
