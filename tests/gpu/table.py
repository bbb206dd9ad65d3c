"""The rows of all checks as one table: `python -m tests.gpu.table FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.gpu.measures import Row, load, table
from tests.gpu.test_gpu import SECONDS


def gathered(folder: Path) -> list[Row]:
    """All rows, in the checks' order; a check that left none says so."""
    rows: list[Row] = []
    for name in SECONDS:
        rows += load(folder / f"{name}.json") or [Row(name, "a result", "none: not run, or broken off", False)]
    return rows


if __name__ == "__main__":
    print(table(gathered(Path(sys.argv[1]))))
