"""What the nearest task's adapter is worth, measured."""

from __future__ import annotations

import pytest

from solver.runtime import collect
from tests.bench import reuse
from tests.bench.reuse import Read


def read(task: str, likeness: float, *nats: float) -> Read:
    return Read(task, "other", likeness, dict(zip(reuse.WAYS, nats, strict=True)), dict.fromkeys(reuse.WAYS, 2.0))


def test_the_table_has_a_row_for_each_part_by_likeness_and_one_for_all():
    found = [read("a", 0.2, 1.0, 1.5, 0.5, 0.5, 0.6), read("b", 0.9, 1.0, 0.5, 0.4, 0.2, 0.3)]
    rows = reuse.table(found, 2).splitlines()
    assert rows[0] == (
        "| likeness | tasks | none | outright | own | warm | warm/3 | outright − none | warm − own | warm/3 − own |"
    )
    assert rows[2].startswith("| 0.900 to 0.900 | 1 | 1.0000 | 0.5000 | 0.4000 | 0.2000 | 0.3000 | -0.5000 ± nan |")
    assert rows[3].startswith("| 0.200 to 0.200 | 1 | 1.0000 | 1.5000 |")
    assert rows[4].endswith("| +0.0000 ± 0.5000 | -0.1000 ± 0.1000 | +0.0000 ± 0.1000 |")
    assert rows[5] == "| seconds a task | | 2.0 | 2.0 | 2.0 | 2.0 | 2.0 | | | |"


def test_a_folder_that_is_no_library_is_refused(tmp_path, capsys):
    assert reuse.main([str(tmp_path)]) == 2
    assert "make one with python -m solver collect" in capsys.readouterr().err


@pytest.mark.engine
def test_a_library_without_adapters_is_refused_and_one_with_them_is_read(tmp_path, capsys):
    """With the shipped weights: the library's adapter answers otherwise than the base, and is another start."""
    made = ["--tasks", "arc1-training", "--limit", "2", "--output", str(tmp_path / "library")]
    assert collect.main(made) == 0
    assert reuse.main([str(tmp_path / "library"), "--limit", "1"]) == 2
    assert "has no adapters" in capsys.readouterr().err
    assert collect.main([*made, "--adapters", "2"]) == 0
    given = [str(tmp_path / "library"), "--limit", "1", "--steps", "3", "--views", "1", "--parts", "1"]
    given += ["--workers", "1"]
    assert reuse.main([*given, "--output", str(tmp_path / "o.jsonl")]) == 0
    rows = [row.split("|") for row in capsys.readouterr().out.splitlines() if row.startswith("| ")]
    none, outright, own, warm, third = (float(cell) for cell in rows[1][3:8])
    assert len({none, outright, own, warm, third}) == 5
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 1
