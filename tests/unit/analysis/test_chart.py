"""The picture of a comparison: what its table says of each variant, in the table's order, at one scale."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from solver.analysis import chart
from solver.analysis.scoring import Scores, wilson
from solver.analysis.variant_table import ComparisonRow

SVG = "{http://www.w3.org/2000/svg}"


def row(name: str, solved: int, of: int = 10) -> ComparisonRow:
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
    rows = [row("full", 5), row("no-ttt", 2), row("<oracle>", 0)]
    found = bars(chart.svg(rows))
    assert [(name, text) for name, *_, text in found] == [
        ("full", "5 of 10"), ("no-ttt", "2 of 10"), ("<oracle>", "0 of 10")
    ]  # fmt: skip
    each = found[0][1] / rows[0].scores.score
    for one, (_, width, low, high, _) in zip(rows, found, strict=True):
        expected = [each * value for value in (one.scores.score, one.scores.low, one.scores.high)]
        assert [width, low, high] == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(("solved", "last"), [(0, "30%"), (3, "70%"), (10, "100%")])
def test_the_scale_ends_behind_the_longest_interval_and_never_beyond_everything(solved, last):
    picture = chart.svg([row("full", solved)])
    assert re.findall(r">(\d+%)<", picture)[-1] == last
    assert bars(picture)[0][3] <= chart.SCALE


def test_a_longer_name_leaves_the_bars_where_they_have_room_and_the_picture_is_repeatable():
    def left(name: str) -> int:
        return int(re.search(r"translate\((\d+) 0\)", chart.svg([row(name, 1)]))[1])

    name = "vote-product_of_experts@search-poe"
    assert left(name) > left("full") > 0
    assert left(name) >= chart.LETTER * len(name)
    assert chart.svg([row(name, 1)]) == chart.svg([row(name, 1)])
