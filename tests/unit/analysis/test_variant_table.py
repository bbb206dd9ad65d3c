"""Variants side by side: their rows, the oracle, and the tables."""

from __future__ import annotations

import re
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest

from solver.analysis import variant_table
from solver.analysis.scoring import Scores, wilson
from solver.analysis.variant_table import Answered, ComparisonRow, oracle, row, svg, table, tables
from solver.types import Candidate, Grid, View


def grid(*rows: list[int]) -> Grid:
    return np.array(rows, dtype=np.uint8)


def entry(first: Grid, second: Grid) -> dict[str, list[list[int]]]:
    return {"attempt_1": first.tolist(), "attempt_2": second.tolist()}


ONE, TWO, THREE, WRONG = grid([1]), grid([2, 2]), grid([3], [3]), grid([0])
RIGHT = {"a": (ONE, TWO), "b": (THREE,)}


def answered(name: str = "full", **answers: list[dict]) -> Answered:
    """Candidates: right for the first output of a, and for b; a's second output has a wrong one, b's two."""
    found = {"a": ({3: (Candidate(ONE, View(), -1.0),)}, {3: (Candidate(WRONG, View(), -1.0),)})}
    found["b"] = ({1: (Candidate(WRONG, View(), -1.0),), 3: (Candidate(THREE, View(1), -2.0),)},)
    return Answered(name, answers, found, {"a": 3.0, "b": 1.0}, {"a": 40})


def test_a_row_counts_solved_outputs_right_candidates_and_seconds_a_task():
    made = row(answered(a=[entry(ONE, WRONG), entry(WRONG, ONE)], b=[entry(WRONG, THREE)]), RIGHT)
    assert made.solved == (True, False, True)
    assert (made.scores.outputs_solved, made.scores.score, made.found, made.seconds) == (2, 0.75, 2, 2.0)
    alone = row(answered(b=[entry(WRONG, THREE)]), {"b": RIGHT["b"]})
    assert (alone.solved, alone.found, alone.seconds) == ((True,), 1, 1.0)


def test_a_row_counts_the_tasks_with_an_adapter_and_the_median_of_its_steps():
    made = row(answered(), RIGHT)
    assert (made.adapters, made.steps) == (1, 40)
    several = Answered("full", {}, {}, {}, {"a": 10, "b": 17, "elsewhere": 99})
    assert (row(several, RIGHT).adapters, row(several, RIGHT).steps) == (2, 13.5)
    assert (row(several, {"b": RIGHT["b"]}).adapters, row(several, {"b": RIGHT["b"]}).steps) == (1, 17)
    assert (row(Answered("none", {}, {}, {}), RIGHT).adapters) == 0


def test_what_a_placeholder_solved_counts_as_found_though_it_is_no_candidate():
    lucky = answered(a=[entry(WRONG, WRONG), entry(WRONG, TWO)])
    made = row(lucky, RIGHT)
    assert (made.scores.outputs_solved, made.found) == (1, 3)
    assert row(oracle(lucky, RIGHT), RIGHT).solved == (True, True, True)


def test_a_task_without_answers_or_candidates_is_unsolved_and_stays_in_the_row():
    made = row(Answered("none", {}, {}, {}), RIGHT)
    assert (made.solved, made.found, made.seconds) == ((False,) * 3, 0, 0.0)


def test_the_oracle_solves_exactly_the_outputs_with_a_right_candidate():
    made = row(oracle(answered(), RIGHT), RIGHT)
    assert made.name == variant_table.ORACLE
    assert made.solved == (True, False, True)
    assert made.scores.outputs_solved == made.found == 2


def test_the_table_compares_each_variant_with_the_one_that_is_named():
    scores = Scores(2, 2, 1, 1, 0.5, 0.5, 0.1, 0.9)
    worse = Scores(2, 2, 0, 1, 0.25, 0.25, 0.1, 0.9)
    rows = [
        variant_table.ComparisonRow("full", scores, (True, False), 2, 3.0, 2, 13.5, (Fraction(1), Fraction(0))),
        variant_table.ComparisonRow("no-ttt", worse, (False, True), 1, 0.25, shares=(Fraction(0), Fraction(1, 2))),
    ]
    assert table(rows, "full").splitlines() == [
        "| variant | outputs solved | pass@2 | 95 % interval | pass@1 | oracle | s a task | adapters | steps "
        "| outputs to full | p (per output) | pass@2 to full |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        "| full | 1 of 2 | 50.0% | 10.0% to 90.0% | 50.0% | 2 of 2 | 3.0 | 2 | 13.5 |  |  |  |",
        "| no-ttt | 1 of 2 | 25.0% | 10.0% to 90.0% | 25.0% | 1 of 2 | 0.2 | 0 |  "
        "| +1 −1 | 1.000 | −25.0 (p = 1.000) |",
    ]
    assert table(rows[::-1], "full").splitlines()[2:] == table(rows, "full").splitlines()[:1:-1]


def test_several_sources_have_a_table_over_all_and_one_each():
    both = [answered(b=[entry(THREE, WRONG)]), answered("no-ttt")]
    made = tables(both, RIGHT, {"first": ["a"], "second": ["b"]}, "full").split("\n\n")
    assert [part.splitlines()[0].split(" | ")[0] for part in made] == [
        "| variant",
        "first, 1 tasks:",
        "| variant",
        "second, 1 tasks:",
        "| variant",
    ]
    assert "| full | 1 of 3 |" in made[0]
    assert "| full | 0 of 2 |" in made[2]
    assert "| full | 1 of 1 |" in made[4]


def test_a_single_source_has_one_table():
    assert tables([answered()], RIGHT, {"all": ["a", "b"]}, "full").count("| variant |") == 1


# ---- the picture -----------------------------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


def bar_row(name: str, solved: int, of: int = 10) -> ComparisonRow:
    """A variant over tasks of one output each."""
    scores = Scores(of, of, solved, solved, solved / of, 0.0, *wilson(solved / of, of))
    return ComparisonRow(name, scores, (True,) * solved + (False,) * (of - solved), solved, 1.0)


def bars(picture: str) -> list[tuple[str, float, float, float, str]]:
    """(name, width, where the interval begins, where it ends, what stands behind it) of each bar."""
    found = []
    for one in ElementTree.fromstring(picture).iter(f"{SVG}g"):
        if (bar := one.find(f"{SVG}rect")) is None:
            continue
        name, behind = (text.text or "" for text in one.findall(f"{SVG}text"))
        line = re.match(r"M([\d.]+) [\d.]+H([\d.]+)", one.find(f"{SVG}path").get("d"))
        assert line is not None
        found.append((name, float(bar.get("width")), float(line[1]), float(line[2]), behind))
    return found


def test_every_row_is_a_bar_in_its_order_whose_ends_are_those_of_the_table():
    rows = [bar_row("full", 5), bar_row("no-ttt", 2), bar_row("<oracle>", 0)]
    found = bars(svg(rows))
    assert [(name, text) for name, *_, text in found] == [
        ("full", "5 of 10"), ("no-ttt", "2 of 10"), ("<oracle>", "0 of 10")
    ]  # fmt: skip
    each = found[0][1] / rows[0].scores.score
    for one, (_, width, low, high, _) in zip(rows, found, strict=True):
        expected = [each * value for value in (one.scores.score, one.scores.low, one.scores.high)]
        assert [width, low, high] == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(("solved", "last"), [(0, "30%"), (3, "70%"), (10, "100%")])
def test_the_scale_ends_behind_the_longest_interval_and_never_beyond_everything(solved, last):
    picture = svg([bar_row("full", solved)])
    assert re.findall(r">(\d+%)<", picture)[-1] == last
    assert bars(picture)[0][3] <= variant_table.SCALE


def test_a_longer_name_leaves_the_bars_where_they_have_room_and_the_picture_is_repeatable():
    def left(name: str) -> int:
        return int(re.search(r"translate\((\d+) 0\)", svg([bar_row(name, 1)]))[1])

    name = "vote-product_of_experts@search-poe"
    assert left(name) > left("full") > 0
    assert left(name) >= variant_table.LETTER * len(name)
    assert svg([bar_row(name, 1)]) == svg([bar_row(name, 1)])
