"""What all demonstrations obey, an output is held to."""

import numpy as np
import pytest

from solver.data.tasks import load_split
from solver.types import Pair
from solver.voting.limits import UNLIMITED, limits
from tests.support import fakes


def sized(rows: int, columns: int, colour: int = 1):
    return np.full((rows, columns), colour, dtype=np.uint8)


def pairs(*sides: tuple[tuple[int, int], tuple[int, int]]) -> list[Pair]:
    return [Pair(sized(*before), sized(*after)) for before, after in sides]


@pytest.mark.parametrize(
    ("shown", "rows", "columns"),
    [
        (pairs(((2, 3), (2, 3)), ((4, 5), (4, 5))), {6}, {7}),  # kept
        (pairs(((2, 3), (5, 1)), ((4, 5), (5, 1))), {5}, {1}),  # constant
        (pairs(((2, 3), (4, 9)), ((4, 5), (8, 15))), {12}, {21}),  # scaled
        (pairs(((2, 4), (1, 2)), ((4, 6), (2, 3))), {3}, set()),  # halved, where it can be
        (pairs(((2, 3), (4, 9))), {4, 12}, {9, 21}),  # one demonstration leaves open by which rule
        (pairs(((2, 3), (1, 2)), ((4, 5), (4, 9))), set(), set()),  # no rule holds
        (pairs(((2, 3), (20, 3)), ((3, 3), (30, 3))), set(), {3, 7}),  # no grid is so large
    ],
)
def test_a_side_is_what_every_rule_says_that_holds_in_all_demonstrations(shown, rows, columns):
    proven = limits(shown, sized(6, 7))
    assert (proven.rows, proven.columns) == (rows, columns)


def test_a_grid_breaks_a_limit_by_a_side_or_by_a_colour_nobody_has_shown():
    proven = limits([Pair(sized(1, 2, 5), sized(1, 2, 3)), Pair(sized(2, 2, 5), sized(2, 2, 3))], sized(1, 3, 7))
    assert not proven.broken_by(fakes.grid([[3, 7, 7]]))
    assert proven.broken_by(fakes.grid([[3]]))
    assert proven.broken_by(fakes.grid([[3, 7, 5]]))  # an input's colour, which no output has


def test_without_demonstrations_nothing_is_proven():
    assert limits([], sized(3, 3)) == UNLIMITED
    assert not UNLIMITED.broken_by(sized(30, 30))


def test_few_demonstrations_break_what_the_others_of_their_task_prove():
    """Each demonstration is held against the limits that the others prove."""
    broken = total = 0
    for task in load_split("arc1-training").tasks:
        for pair in task.demonstrations:
            others = [other for other in task.demonstrations if other is not pair]
            total += 1
            broken += limits(others, pair.input).broken_by(pair.output)
    assert (broken, total) == (42, 1302)
