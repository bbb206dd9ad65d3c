"""The scaling table: lines through known points, and refusals."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from solver.hardware import gpus
from solver.model import checkpoint
from solver.types import BadInput
from tests.bench import scaling
from tests.bench.scaling import Point

AT = 0.35 * 989e12 * 3600


def made(parameters: int, tokens: float, nats: float, likely: float, tasks: int = 3) -> Point:
    """A point whose tasks are all alike."""
    names = tuple(f"task {n}" for n in range(tasks))
    return Point("a", "abc", parameters, tokens, names, np.full(tasks, nats), np.full(tasks, likely))


def law(operations: float) -> float:
    """A power law of nats."""
    return float(1e3 * operations**-0.2)


def test_points_on_a_power_law_are_gone_on_with():
    points = [made(n, t, law(6 * n * t), 0.1) for n, t in ((10, 1e9), (10, 1e10), (20, 1e11))]
    found = scaling.forecast(points, AT, 0)
    assert found["nats"] == pytest.approx([law(AT)] * 3)
    assert found["likely"] == pytest.approx([0.1] * 3)


def test_log_odds_go_on_straight():
    odds = {1e12: -3.0, 1e13: -2.0, 1e14: -1.0}
    points = [made(1, o / 6, 0.3, 1 / (1 + math.exp(-v))) for o, v in odds.items()]
    assert scaling.forecast(points, 1e15, 0)["likely"][0] == pytest.approx(0.5)


def test_the_interval_is_from_tasks_drawn_again():
    points = [made(1, t, 0.3, 0.1, 40) for t in (1e9, 1e10, 1e11)]
    spread = [Point(**{**vars(p), "nats": np.linspace(0.1, 0.5, 40)}) for p in points]
    fitted, low, high = scaling.forecast(spread, AT, 0)["nats"]
    assert low < fitted < high
    assert fitted == pytest.approx(0.3)
    error = np.linspace(0.1, 0.5, 40).std() / 40**0.5
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_the_table_has_the_fewest_operations_first_and_says_how_far_it_looks():
    points = [made(2_000_000, 4e7, 0.2, 0.5), made(1_000_000, 1e7, 0.4, 0.25), made(1_000_000, 4e7, 0.3, 0.4)]
    rows = scaling.table(points, gpus.named("h200"), 0).splitlines()
    assert rows[0] == "3 tasks"
    assert rows[4].startswith("| `abc` | 1.00 M | 10.0 M | 6.0e+13 | 0.400 ± 0.000 | 25.0% |")
    assert rows[6].startswith("| `abc` | 2.00 M | 40.0 M")
    assert "1.2e+18 operations, 2,596 times the last row" in rows[-1]


def test_a_point_reads_one_recipe_of_a_file(tmp_path):
    file = tmp_path / "a.jsonl"
    lines = [
        {"task": task, "recipe": recipe, "nats": nats, "likely": 0.5}
        for task, recipe, nats in (("b", 0, 0.2), ("a", 0, 0.1), ("a", 1, 9.0))
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = scaling.point(f"{checkpoint.SHIPPED}:48.8e6:{file}", 0)
    assert found.tasks == ("a", "b")
    assert found.nats.tolist() == [0.1, 0.2]
    assert found.operations == 6 * found.parameters * 48.8e6
    assert found.parameters > 1_000_000
    assert found.sha == checkpoint.check(checkpoint.SHIPPED).sha256[:12]


@pytest.mark.parametrize("text", ["weights/grid-3m", "weights/grid-3m:many:a", "weights/grid-3m:1e6:missing.jsonl"])
def test_what_is_no_point_is_refused(text, capsys):
    with pytest.raises(BadInput, match="expected DIR:TOKENS:FILE"):
        scaling.point(text, 0)
    assert scaling.main([text]) == 2
    assert "expected DIR:TOKENS:FILE" in capsys.readouterr().err


def test_points_over_other_tasks_and_too_few_are_refused(tmp_path, capsys):
    texts = []
    for name in "abc":
        file = tmp_path / name
        file.write_text(json.dumps({"task": name, "recipe": 0, "nats": 0.1, "likely": 0.5}) + "\n")
        texts.append(f"{checkpoint.SHIPPED}:1e6:{file}")
    assert scaling.main(texts) == 2
    assert "read over other tasks than" in capsys.readouterr().err
    assert scaling.main(texts[:2]) == 2
    assert "expected at least 3" in capsys.readouterr().err
