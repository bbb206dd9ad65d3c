"""The rows of a call's checks as one table: `python -m tests.gpu.table FOLDER CALL`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.gpu.calls import CALLS
from tests.gpu.measures import Row, load, table


def gathered(folder: Path, call: str) -> list[Row]:
    """All rows of a call, in the checks' order; a check that left none says so."""
    rows: list[Row] = []
    for name in CALLS[call]:
        rows += load(folder / f"{name}.json") or [Row(name, "a result", "none: not run, or broken off", False)]
    return rows


if __name__ == "__main__":
    print(table(gathered(Path(sys.argv[1]), sys.argv[2])))
