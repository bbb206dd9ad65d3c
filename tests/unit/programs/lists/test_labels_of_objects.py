"""Labels by what a cell sees, how far it is, its place in a box, and by what is around a region, in plain numpy."""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from solver.programs.lists.labels_of_objects import PLACES
from solver.types import Grid
from tests.support.each import each
from tests.unit.programs.lists.run_function import run
from tests.unit.programs.lists.test_labels import box, regions
from tests.unit.programs.lists.test_laws import random_grid

STEPS = {
    "right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0), "down right": (1, 1), "up left": (-1, -1),
    "down left": (1, -1), "up right": (-1, 1),
}  # fmt: skip


def looked(grid: Grid, place: tuple[int, int], way: str, past: bool = False) -> tuple[int, int]:
    """The first filled cell that way, with `past` of another colour: its colour, or 0, and the steps to it."""
    (r, c), (dr, dc) = place, STEPS[way]
    for far in itertools.count(1):
        y, x = r + far * dr, c + far * dc
        if not (0 <= y < grid.shape[0] and 0 <= x < grid.shape[1]):
            return 0, far
        if grid[y, x] and not (past and grid[y, x] == grid[r, c]):
            return int(grid[y, x]), far
    raise AssertionError


def given() -> list[Grid]:
    rng = np.random.default_rng(11)
    return [random_grid(rng) for _ in range(40)]


def check(name: str, grid: Grid, expected: Grid) -> None:
    """Equal, or nothing where every label would be 0."""
    result = run(name, [grid])
    if expected.any():
        np.testing.assert_array_equal(result[0], np.minimum(expected, 9), f"{name} of {grid.tolist()}")
    else:
        assert result == []


@each("way", STEPS)
def test_a_cell_is_told_by_what_it_sees_one_way(way: str) -> None:
    for grid in given():
        places = list(np.ndindex(grid.shape))
        seen = [looked(grid, p, way) for p in places]
        check(f"label colour seen {way}", grid, np.array([v for v, _ in seen]).reshape(grid.shape))
        if " " not in way:
            past = [looked(grid, p, way, past=True)[0] for p in places]
            check(f"label other colour seen {way}", grid, np.array(past).reshape(grid.shape))
            far = np.array([f if v else 0 for v, f in seen]).reshape(grid.shape)
            check(f"label steps to what is seen {way}", grid, far)
            check(f"label steps in twos to what is seen {way}", grid, np.where(far > 0, 1 + far % 2, 0))


def test_a_cell_is_told_by_what_it_sees_all_ways() -> None:
    lines = {"row": ("right", "left"), "column": ("down", "up"), "falling line": ("down right", "up left")}
    for grid in given():
        for line, (one, other) in lines.items():
            pairs = [(looked(grid, p, one)[0], looked(grid, p, other)[0]) for p in np.ndindex(grid.shape)]
            expected = np.array([a if a == b else 0 for a, b in pairs]).reshape(grid.shape)
            check(f"label one colour seen both ways in its {line}", grid, expected)
        for name, ways in (("by sides", list(STEPS)[:4]), ("by diagonals", list(STEPS)[4:]), ("by all ways", STEPS)):
            number = [1 + sum(looked(grid, p, way)[0] > 0 for way in ways) for p in np.ndindex(grid.shape)]
            check(f"label how often it sees any {name}", grid, np.array(number).reshape(grid.shape))
        for name, ways in ((" by sides", list(STEPS)[:4]), ("", list(STEPS))):
            others = [{looked(grid, p, way)[0] for way in ways} - {0, grid[p]} for p in np.ndindex(grid.shape)]
            expected = np.array([next(iter(o)) if len(o) == 1 else 0 for o in others]).reshape(grid.shape)
            check(f"label the one other colour seen{name}", grid, expected)


def test_the_nearest_other_colour() -> None:
    grid = np.array([[0, 0, 3, 0], [5, 0, 0, 0], [0, 0, 0, 0], [0, 0, 4, 0]], np.uint8)
    (colour,) = run("label the nearest other colour seen by sides", [grid])
    assert colour.tolist() == [[5, 3, 4, 3], [0, 5, 3, 5], [5, 0, 4, 0], [4, 4, 3, 4]]
    (way,) = run("label way to the nearest other colour seen", [grid])
    assert way.tolist() == [[3, 1, 3, 2], [0, 2, 4, 2], [4, 0, 3, 0], [1, 1, 4, 2]]


@each("over", ["", " over corners"])
def test_distances(over: str) -> None:
    measure = cv2.DIST_C if over else cv2.DIST_L1
    for grid in given():
        for what, there in (("filled cells", grid > 0), ("empty cells", grid == 0)):
            if not grid.any() or not there.any():
                assert run(f"label distance from {what}{over}", [grid]) == []
                continue
            far = np.round(cv2.distanceTransform((~there).astype(np.uint8), measure, 3)).astype(int)
            check(f"label distance from {what}{over}", grid, far + 1)
            check(f"label distance from {what}{over} in twos", grid, far % 2 + 1)
            check(f"label distance from {what}{over} in threes", grid, far % 3 + 1)


def placed(high: int, wide: int) -> dict[str, Grid]:
    """Every label of a box's cells."""
    r, c = np.indices((high, wide))
    ring = np.minimum(np.minimum(r, high - 1 - r), np.minimum(c, wide - 1 - c))
    return {
        "row from the top": r + 1,
        "row from the bottom": high - r,
        "column from the left": c + 1,
        "column from the right": wide - c,
        "ring": ring + 1,
        "ring in twos": ring % 2 + 1,
        "row in twos": r % 2 + 1,
        "column in twos": c % 2 + 1,
        "chessboard": (r + c) % 2 + 1,
        "upper or lower half": 2 + np.sign(2 * r - high + 1),
        "left or right half": 2 + np.sign(2 * c - wide + 1),
        "on its diagonals": 1 + (r == c) + 2 * (r + c == wide - 1),
        "on its middle lines": 1 + (abs(2 * r - high + 1) < 2) + 2 * (abs(2 * c - wide + 1) < 2),
    }


@each("name", PLACES)
def test_a_cell_is_told_by_its_place_in_the_smallest_box_or_its_own(name: str) -> None:
    for kind in ("regions over corners", "regions of a colour", "empty regions"):
        for grid in given():
            masks = regions(grid, kind)
            if not 0 < len(masks) <= 200:
                continue
            expected = np.zeros(grid.shape, int)
            for mask in sorted(masks, key=lambda m: m[box(m)].size)[::-1]:
                expected[box(mask)] = placed(*mask[box(mask)].shape)[name]
            for mask in masks:
                expected[mask] = placed(*mask[box(mask)].shape)[name][mask[box(mask)]]
            check(f"label {kind} {name}", grid, expected)


def test_lines_through_regions() -> None:
    grid = np.zeros((5, 6), np.uint8)
    grid[1:4, 2:4] = 3
    rows, columns = np.array([0, 1, 1, 1, 0]), np.array([0, 0, 1, 1, 0, 0])
    for name, r in (("any part", rows), ("the middle", [0, 0, 1, 0, 0]), ("ends", [0, 1, 0, 1, 0])):
        expected = 1 + np.array(r)[:, None] + 2 * columns
        np.testing.assert_array_equal(run(f"label lines of regions of a colour {name}", [grid])[0], expected)


def told(name: str, rows: list[str]) -> list[str]:
    (result,) = run(f"label regions of a colour {name}", [np.array([[int(v) for v in row] for row in rows], np.uint8)])
    return ["".join(str(v) for v in row) for row in result]


def test_what_is_around_a_region() -> None:
    rows = ["3330004", "3030000", "3330050", "0000055", "6600000"]
    assert told("solid shape", rows) == ["1110002", "1010000", "1110010", "0000011", "4400000"]
    assert told("nearest other's colour", rows) == ["6660005", "6060000", "6660040", "0000044", "3300000"]
    assert told("way to the nearest other", rows) == ["3330003", "3030000", "3330040", "0000044", "4400000"]
    assert told("sides of the rim", rows) == ["8880009", "8080000", "8880030", "0000033", "9900000"]
    assert told("in line with others", rows) == ["4440004", "4040000", "4440040", "0000044", "3300000"]


def test_what_is_in_a_region_and_which_contains_it() -> None:
    rows = ["33330", "30030", "30430", "33330", "00004"]
    assert told("colour around it", rows) == ["00000", "00000", "00300", "00000", "00000"]
    assert told("regions in its box", rows) == ["22220", "20020", "20120", "22220", "00001"]
    assert told("colour within its box", rows) == ["44440", "40040", "40040", "44440", "00000"]
    assert told("touching others", rows) == ["22220", "20020", "20220", "22220", "00002"]
    assert told("regions of its colour", rows) == ["11110", "10010", "10210", "11110", "00002"]


def test_shapes_tell_a_region() -> None:
    rows = ["330004400", "300000400", "000000000", "550660000", "500600000"]
    exact, turned = told("shape, first", rows), told("shape turned, first", rows)
    assert exact[0][0] == exact[3][0] == exact[3][3]
    assert turned[0][0] == turned[0][5] == turned[3][0]
    assert told("colour of an equal shape", rows)[0] == "440003300"
    assert told("order from the left in twos", ["3040506"]) == ["1020102"]
    assert told("order from the left in threes", ["3040506"]) == ["1020301"]
    assert told("order from the top in twos", ["304", "000", "506"]) == ["101", "000", "101"]
    assert told("extreme of its colour", ["330300"]) == ["220300"]
