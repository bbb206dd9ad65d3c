"""The notebooks run from top to bottom, on a small run that lies among the tests' data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from solver.analysis import history
from tests.support import runs

nbformat = pytest.importorskip("nbformat", reason="the notebooks are NOT run: nbformat is not installed")
nbclient = pytest.importorskip("nbclient", reason="the notebooks are NOT run: nbclient is not installed")
pytest.importorskip("ipykernel", reason="the notebooks are NOT run: ipykernel is not installed")

ROOT = Path(__file__).resolve().parents[2]
SMALL = ROOT / "tests" / "data" / "small.run"  # runs.of_split(SMALL, "dry-run", 9, views=4) made it
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def explored() -> Any:
    """notebooks/explore.ipynb after it was run where it lies, by a kernel of this very Python."""
    notebook = nbformat.read(ROOT / "notebooks" / "explore.ipynb", as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(ROOT / "notebooks")}})
    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline", "RUN": str(SMALL)}
    client.execute(env=environment)
    return notebook


def outputs(notebook: Any) -> dict[str, str]:
    """Everything it showed, by media type."""
    shown = {"text": ""}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            shown["text"] += output.get("text", "")
            for kind, content in output.get("data", {}).items():
                shown[kind] = shown.get(kind, "") + content
    return shown


def test_the_run_among_the_tests_data_is_the_made_up_one(tmp_path: Path) -> None:
    """Byte for byte, so that it can be made again when the record's form changes."""
    made = runs.of_split(tmp_path / "small.run", "dry-run", 9, views=4)
    for name in ("challenges.json", "record.jsonl"):
        assert (made / name).read_bytes() == (SMALL / name).read_bytes()
    assert made.with_suffix(".json").read_bytes() == SMALL.with_suffix(".json").read_bytes()
    assert sum(file.stat().st_size for file in SMALL.iterdir()) < 300_000


@pytest.mark.slow
def test_explore_opens_a_run_plots_it_shows_a_task_and_votes_again(explored: Any) -> None:
    shown = outputs(explored)
    assert shown["text"].startswith("9 tasks, stages (1, 3, 4), ")
    assert len(shown["image/png"]) > 1000
    assert shown["image/svg+xml"].count(next(iter(history.load(SMALL).stories))) == 4  # four views of one task
    for rule in ("none", "flat", "hierarchical", "logprob"):
        assert f"| {rule} | " in shown["text/markdown"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_notebooks_are_kept_without_their_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []
