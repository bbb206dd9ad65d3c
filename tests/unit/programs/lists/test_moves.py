"""Functions of the lists' search that move, keep, copy and complete things: cases worked out by hand, and laws."""

from __future__ import annotations

import numpy as np

from solver.programs.lists.functions import BOXED, COMPLETED, EXTENDED, FLOODED
from solver.programs.lists.layout import DRAWING
from solver.programs.lists.moves import KINDS
from solver.types import Grid
from tests.support.each import each
from tests.unit.programs.lists.run_function import NAMED, run, run_placed
from tests.unit.programs.lists.test_laws import random_grid


def grid(*rows: str) -> Grid:
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], np.uint8)


CASES: dict[str, tuple[Grid, Grid | None]] = {
    "regions largest alone": (grid("11..2", "....2", "3...2"), grid("....2", "....2", "....2")),
    "without regions single cells": (grid("11..2", "....."), grid("11...", ".....")),
    "regions of a colour with holes alone": (grid("111.2", "1.1.2", "111.."), grid("111..", "1.1..", "111..")),
    "regions tall alone": (grid("11..2"), None),
    "slide regions down": (grid("12.", "1..", "..3", "..."), grid("...", "...", "12.", "1.3")),
    "slide regions of a colour right": (grid("1.22.", "1....", ".3..."), grid("..122", "..1..", "....3")),
    "move to the largest": (grid("3...", "...1", "11.1", "11.."), grid("....", "3.1.", "111.", "11..")),
    "move to a larger one of their colour": (grid("3..4", "3...", "3..3"), grid("3..4", "3...", "33..")),
    "move alone to the commonest colour": (grid("2..11", "...11", "3...."), grid("..211", "...11", ".....")),
    "lines to the largest": (grid("2..11", "...11", "3...."), grid("22211", "...11", "3....")),
    "copy the template about single cells": (grid("123....", ".....5."), grid("123....", "....123")),
    "move the template over equal boxes": (grid("12.55", "33.55"), grid("...12", "...33")),
    "copy the template over its parts": (grid("123..", ".....", "...2."), grid("123..", ".....", "..123")),
    "copy the template over its parts turned": (grid("123", "...", "32."), grid("123", "...", "321")),
    "dotted right": (grid("2....", ".3..."), grid("2.2.2", ".3.3.")),
    "dotted, between the dots right": (grid("2....", ".3..."), grid(".2.2.", "..3.3")),
    "extend rows": (grid(".12..", "....."), grid("1122.".replace(".", "2"), ".....")),
    "inside of boxes": (grid("44.4", "4..4", "4444"), grid("..4.", ".44.", "....")),
    "inside of boxes and out of gaps": (
        grid(".....", "44.44", "4...4", "44444"), grid("..4..", "..4..", ".444.", ".....")),
    "inside of boxes and aslant out of gaps": (
        grid(".....", "44.44", "4...4", "44444"), grid(".444.", "..4..", ".444.", ".....")),
    "boxes of regions filled": (grid("5..", ".5.", "55."), grid("55.", "55.", "55.")),
    "around boxes of regions of a colour": (grid("...", ".6.", "..."), grid("666", "666", "666")),
    "flood holes": (grid("111222", "1.12.2", "111222"), grid("111222", "111222", "111222")),
    "flood holes from the rarest": (grid("1111", "1..1", "12.1", "1111"), grid("1111", "1221", "1221", "1111")),
    "complete by quarter turns": (grid(".1.", ".21", ".1."), grid(".1.", "121", ".1.")),
    "complete by half a turn": (grid("12.", ".3.", ".21"), None),
    "colours as a row, most first": (grid("221", "2.3", "3.."), grid("231")),
    "colours but the commonest as a column, from the left": (grid("221", "2.3", "4.."), grid("4", "1", "3")),
    "bars of colours as rows, fewest first": (grid("221", "2.3", "3.."), grid("1..", "33.", "222")),
    "largest empty rectangle": (grid("7....", ".7...", "7...7"), grid("..777", "..777", "..77.")),
    "largest square of a colour": (grid("111", "11.", "222"), grid("11.", "11.", "...")),
    "lines in their commonest": (grid("1121", "2222", "3133"), grid("1111", "2222", "3333")),
    "single cells in the commonest about them": (grid("333", "353", "333"), grid("333", "333", "333")),
}  # fmt: skip


@each("name", CASES)
def test_a_case_worked_out_by_hand(name: str) -> None:
    given, expected = CASES[name]
    result = run(name, [given])
    assert [g.tolist() for g in result] == ([] if expected is None else [expected.tolist()])


def given() -> list[Grid]:
    rng = np.random.default_rng(8)
    return [random_grid(rng) for _ in range(100)]


@each("kind", KINDS)
def test_what_is_alone_and_what_is_left_make_up_the_grid(kind: str) -> None:
    for regions in ("regions", "regions of a colour"):
        for one in given():
            alone, left = run(f"{regions} {kind} alone", [one]), run(f"without {regions} {kind}", [one])
            assert len(alone) == len(left)
            if alone:
                np.testing.assert_array_equal(np.where(alone[0] == 0, left[0], alone[0]), one)
                assert not (alone[0] * left[0]).any()


@each("direction", ["right", "left", "down", "up"])
def test_what_slides_keeps_its_cells(direction: str) -> None:
    for regions in ("regions", "regions of a colour"):
        for one in given():
            for moved in run(f"slide {regions} {direction}", [one]):
                np.testing.assert_array_equal(
                    np.bincount(moved.ravel(), minlength=10), np.bincount(one.ravel(), minlength=10)
                )


ADDING = (EXTENDED, BOXED, FLOODED, COMPLETED)


@each("name", [name for name, f in NAMED.items() if f.unit == DRAWING and f.number in ADDING])
def test_what_is_completed_keeps_what_was_there(name: str) -> None:
    for one in given():
        for more in run(name, [one]):
            np.testing.assert_array_equal(more[one > 0], one[one > 0])
            assert (more != one).any()


def test_parts_are_put_on_the_canvas_where_they_were() -> None:
    for one in given():
        parts = run_placed("regions of a colour", [(one, (0, 0))])
        if len(parts) > 1:
            (whole,) = run_placed("on the canvas, last on top", parts, one.shape)
            np.testing.assert_array_equal(whole[0], one)
    assert run("on the canvas, last on top", [grid("1"), grid("2")]) == []


def test_middles_are_laid_together() -> None:
    small, large = grid("5"), grid("111", "1.1", "111")
    assert run("middles together, first on top", [small, large])[0].tolist() == [[1, 1, 1], [1, 5, 1], [1, 1, 1]]
    assert run("middles together, first on top", [grid("55"), large]) == []
