"""Colours by role, the background, the sizes that simple rules tell."""

from __future__ import annotations

import numpy as np
import pytest

from solver.programs.lists import roles
from solver.types import Grid, Pair, Task


def grid(*rows: str) -> Grid:
    return np.array([[int(c) for c in row] for row in rows], np.uint8)


def task(*pairs: tuple[Grid, Grid], test: Grid) -> Task:
    return Task("12345678", tuple(Pair(*pair) for pair in pairs), (test,))


def test_colours_that_differ_are_numbered_by_how_often_they_stand_and_come_back() -> None:
    one = task((grid("1223"), grid("2")), (grid("4553"), grid("5")), test=grid("6773"))
    changed = roles.by_roles(one)
    assert changed is not None
    assert [p.input.tolist() for p in changed.task.demonstrations] == [[[2, 1, 1, 3]], [[2, 1, 1, 3]]]
    assert changed.task.tests[0].tolist() == [[2, 1, 1, 3]]
    assert [g.tolist() for g in changed.restore([grid("12")])] == [[[7, 6]]]


def test_colours_that_stand_everywhere_stay() -> None:
    assert roles.by_roles(task((grid("12"), grid("1")), test=grid("21"))) is None


def test_the_background_becomes_0_and_comes_back() -> None:
    own = roles.with_background(task((grid("8881"), grid("8")), test=grid("8882")))
    assert own.task.tests[0].tolist() == [[0, 0, 0, 2]]
    assert own.restore([grid("02")])[0].tolist() == [[8, 2]]


def test_mirror_images_are_more_demonstrations() -> None:
    pairs = roles.flipped(task((grid("12", "34"), grid("12")), test=grid("1"))).demonstrations
    assert [p.input.tolist() for p in pairs] == [[[1, 2], [3, 4]], [[1, 3], [2, 4]]]
    assert pairs[1].output.tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(grid("12"), grid("00")), (grid("1"), grid("0"))], [(1, 3)]),
        ([(grid("12"), grid("0", "0")), (grid("1"), grid("0", "0"))], [(2, 1)]),
        ([(grid("12"), grid("0000", "0000")), (grid("1"), grid("00", "00"))], [(2, 6)]),
        ([(grid("12"), grid("0000")), (grid("1"), grid("000"))], [(1, 5)]),
        ([(grid("111"), grid("000", "000", "000")), (grid("11"), grid("00", "00"))], [(3, 3)]),
        ([(grid("112"), grid("00")), (grid("1111"), grid("0"))], [(1, 3)]),
        ([(grid("12"), grid("00")), (grid("1"), grid("000"))], None),
    ],
    ids=["as the input", "always one", "a multiple", "two more", "the other side", "as many as colours", "none"],
)
def test_sizes(pairs: list[tuple[Grid, Grid]], expected: object) -> None:
    assert roles.simple_sizes(task(*pairs, test=grid("123"))) == expected
