"""Functions of the lists' search against what they say, written plainly in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from solver.programs.lists.functions import Function
from solver.programs.lists.layout import SHAPES
from solver.programs.lists.picks import PROPERTIES
from solver.types import Grid
from tests.support.each import each
from tests.unit.programs.lists.run_function import run, run_placed
from tests.unit.programs.lists.test_laws import random_grid

Plain = Callable[[Grid], Grid | None]


def common(grid: Grid) -> int:
    """The commonest colour that is not 0, the lowest of those; 0 where there is none."""
    counts = np.bincount(grid.ravel(), minlength=10)[1:]
    return int(counts.argmax()) + 1 if counts.any() else 0


def cropped(grid: Grid) -> Grid | None:
    rows, columns = np.nonzero(grid.any(axis=1))[0], np.nonzero(grid.any(axis=0))[0]
    return grid[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else None


def fallen(grid: Grid) -> Grid:
    """All cells at the bottom of their column."""
    result = np.zeros_like(grid)
    for c in range(grid.shape[1]):
        column = grid[:, c][grid[:, c] > 0]
        if len(column):
            result[-len(column) :, c] = column
    return result


def neighbours(grid: Grid, moves: Sequence[tuple[int, int]]) -> list[Grid]:
    """For each move the grid as seen from each cell after that move, 0 beyond the rim."""
    h, w = grid.shape
    padded = np.pad(grid, 1)
    return [padded[1 + r : 1 + r + h, 1 + c : 1 + c + w] for r, c in moves]


SIDES = [(-1, 0), (0, -1), (0, 1), (1, 0)]
CORNERS = [(-1, -1), (-1, 1), (1, -1), (1, 1)]


def outlined(grid: Grid, moves: Sequence[tuple[int, int]]) -> Grid | None:
    result = grid.copy()
    for seen in neighbours(grid, sorted(moves)):
        result = np.where(result == 0, seen, result)
    return None if np.array_equal(result, grid) else result


def outside(grid: Grid, moves: Sequence[tuple[int, int]]) -> Grid:
    """Which empty cells reach the rim over empty cells."""
    free = np.pad(grid == 0, 1, constant_values=True)
    reached = np.zeros_like(free)
    reached[0] = reached[-1] = True
    reached[:, 0] = reached[:, -1] = True
    while True:
        more = reached.copy()
        for r, c in moves:
            more |= np.roll(reached, (r, c), (0, 1)) & free
        if np.array_equal(more, reached):
            return reached[1:-1, 1:-1]
        reached = more


def filled(grid: Grid, moves: Sequence[tuple[int, int]], inside: bool) -> Grid | None:
    reached = outside(grid, moves)
    result = grid.copy()
    result[(grid == 0) & (reached != inside)] = common(grid)
    return None if np.array_equal(result, grid) else result


def fits(h: int, w: int, result: Callable[[], Grid]) -> Grid | None:
    return result() if 1 <= h <= 30 and 1 <= w <= 30 else None


def without_repeats(grid: Grid) -> Grid | None:
    rows = [r for r in range(len(grid)) if r == 0 or (grid[r] != grid[r - 1]).any()]
    columns = [c for c in range(grid.shape[1]) if c == 0 or (grid[:, c] != grid[:, c - 1]).any()]
    result = grid[np.ix_(rows, columns)]
    return None if result.shape == grid.shape else result


PLAIN: dict[str, Plain] = {
    "flip columns": lambda g: g[:, ::-1],
    "flip rows": lambda g: g[::-1],
    "turn half": lambda g: g[::-1, ::-1],
    "transpose": lambda g: g.T,
    "turn left": lambda g: np.rot90(g, 1),
    "turn right": lambda g: np.rot90(g, -1),
    "transpose the other way": lambda g: g[::-1, ::-1].T,
    "crop": cropped,
    "left half": lambda g: g[:, : g.shape[1] // 2] if g.shape[1] > 1 else None,
    "bottom half": lambda g: g[-(len(g) // 2) :] if len(g) > 1 else None,
    "without the rim": lambda g: g[1:-1, 1:-1] if min(g.shape) > 2 else None,
    "mirror right": lambda g: fits(len(g), 2 * g.shape[1], lambda: np.hstack([g, g[:, ::-1]])),
    "mirror up": lambda g: fits(2 * len(g), g.shape[1], lambda: np.vstack([g[::-1], g])),
    "repeat twice each way": lambda g: fits(2 * len(g), 2 * g.shape[1], lambda: np.tile(g, (2, 2))),
    "scale 3": lambda g: fits(3 * len(g), 3 * g.shape[1], lambda: np.kron(g, np.ones((3, 3), np.uint8))),
    "widen empty": lambda g: fits(len(g) + 2, g.shape[1] + 2, lambda: np.pad(g, 1)),
    "widen by its rim": lambda g: fits(len(g) + 2, g.shape[1] + 2, lambda: np.pad(g, 1, mode="edge")),
    "shift down": lambda g: np.vstack([np.zeros_like(g[:1]), g[:-1]]),
    "roll right": lambda g: np.roll(g, 1, axis=1),
    "without repeated lines": without_repeats,
    "0 and the rest exchanged": lambda g: np.where(g == 0, common(g), 0) if common(g) else None,
    "all in the commonest": lambda g: np.where(g > 0, common(g), 0) if len(set(np.unique(g)) - {0}) > 1 else None,
    "whole box": lambda g: np.full_like(g, common(g)) if common(g) else None,
    "fall down": fallen,
    "fall up": lambda g: fallen(g[::-1])[::-1],
    "fall right": lambda g: fallen(g.T).T,
    "outline by sides": lambda g: outlined(g, SIDES),
    "outline over corners": lambda g: outlined(g, SIDES + CORNERS),
    "outline corners alone": lambda g: outlined(g, CORNERS),
    "fill holes": lambda g: filled(g, SIDES, inside=True),
    "fill holes over corners": lambda g: filled(g, SIDES + CORNERS, inside=True),
    "fill outside": lambda g: filled(g, SIDES, inside=False),
    "copies where it is filled": lambda g: (
        fits(len(g) ** 2, g.shape[1] ** 2, lambda: np.kron(g > 0, g)) if g.any() else None
    ),
}


def given() -> list[Grid]:
    rng = np.random.default_rng(5)
    return [random_grid(rng) for _ in range(150)]


@each("name", PLAIN)
def test_a_function_gives_what_it_says(name: str) -> None:
    for grid in given():
        expected, result = PLAIN[name](grid), run(name, [grid])
        if expected is None:
            assert result == [], f"{name} of {grid.tolist()}"
        else:
            assert len(result) == 1, f"{name} of {grid.tolist()}"
            np.testing.assert_array_equal(result[0], expected, f"{name} of {grid.tolist()}")


@each("colour", range(1, 10))
def test_colours_alone_and_left_out_make_up_the_grid(colour: int) -> None:
    for grid in (g for g in given() if g.any()):
        alone, left = (run(Function("", SHAPES, 0, 10 * what + colour, 1), [grid])[0] for what in (0, 1))
        np.testing.assert_array_equal(alone, np.where(grid == colour, grid, 0))
        np.testing.assert_array_equal(left, grid - alone)


def test_regions_laid_over_each_other_make_up_the_cropped_grid() -> None:
    for grid in given():
        for name in ("regions", "regions over corners", "regions of a colour", "by colours"):
            parts = run_placed(name, [(grid, (0, 0))])
            if len(parts) > 1:
                (whole,) = run_placed("overlay last on top", parts)
                np.testing.assert_array_equal(cropped(whole[0]), cropped(grid))


def test_panels_between_lines_are_arranged_as_they_lay() -> None:
    panels = [np.full((2, 3), c, np.uint8) for c in (1, 2, 3, 4)]
    rows = [np.hstack([a, np.full((2, 1), 5, np.uint8), b]) for a, b in (panels[:2], panels[2:])]
    grid = np.vstack([rows[0], np.full((1, 7), 5, np.uint8), rows[1]])
    parts = run_placed("panels between lines", [(grid, (0, 0))])
    assert [place for _, place in parts] == [(0, 0), (0, 4), (3, 0), (3, 4)]
    (whole,) = run_placed("arranged", parts)
    np.testing.assert_array_equal(whole[0], np.block([panels[:2], panels[2:]]))


def test_windows_have_the_deduced_size() -> None:
    grid = np.zeros((5, 5), np.uint8)
    grid[1:3, 1:3] = 4
    assert [g.tolist() for g in run("windows of the answer's size", [grid], (2, 2))] == [[[4, 4], [4, 4]]]
    assert run("windows of the answer's size", [grid]) == []


PROPERTY: dict[str, Callable[[Grid], int]] = {
    "area": lambda g: g.size,
    "cells": lambda g: int((g > 0).sum()),
    "colours": lambda g: len(set(np.unique(g)) - {0}),
    "height": lambda g: g.shape[0],
    "width": lambda g: g.shape[1],
    "empty cells": lambda g: int((g == 0).sum()),
    "colour": common,
    "longer side": lambda g: max(g.shape),
    "density": lambda g: int((g > 0).sum()) * 1000 // g.size,
}


@each("name", PROPERTY)
def test_the_one_with_most_is_picked_and_the_rest_is_kept_in_order(name: str) -> None:
    assert name in PROPERTIES
    rng, value = np.random.default_rng(6), PROPERTY[name]
    for _ in range(60):
        grids = [random_grid(rng) for _ in range(int(rng.integers(2, 7)))]
        values = [value(g) for g in grids]
        if len(set(values)) == 1:
            assert run(f"most {name}", grids) == []
            continue
        (most,) = run(f"most {name}", grids)
        np.testing.assert_array_equal(most, grids[values.index(max(values))])
        rest = run(f"all but least {name}", grids)
        assert [g.tolist() for g in rest] == [g.tolist() for g, v in zip(grids, values, strict=True) if v > min(values)]
        ranked = run(f"least first {name}", grids)
        assert [value(g) for g in ranked] == sorted(values)


def test_logic_of_two_grids() -> None:
    rng = np.random.default_rng(7)
    for _ in range(60):
        one = random_grid(rng)
        other = rng.permutation(one.ravel()).reshape(one.shape)
        a, b = one > 0, other > 0
        cases = {"and": a & b, "one alone": a ^ b, "first not all": a & ~b, "last not all": b & ~a, "or": a | b}
        for name, expected in cases.items():
            (result,) = run(f"cells of {name}", [one, other])
            np.testing.assert_array_equal(result > 0, expected)


def test_lines_between_equal_ends_alone() -> None:
    grid = np.array([[3, 0, 3], [1, 4, 1], [0, 0, 5], [3, 0, 0]], np.uint8)
    (rows,) = run("lines between equal ends in rows", [grid])
    assert rows.tolist() == [[3, 3, 3], [1, 1, 1], [0, 0, 0], [0, 0, 0]]
    (both,) = run("lines between equal ends in rows and columns behind others", [grid])
    assert both.tolist() == [[3, 3, 3], [1, 4, 1], [3, 0, 0], [3, 0, 0]]


def test_boxes_of_colours() -> None:
    grid = np.array([[0, 3, 0, 0, 5], [0, 0, 4, 0, 0], [0, 0, 0, 3, 0]], np.uint8)
    parts = run_placed("boxes of colours", [(grid, (0, 0))])
    assert [(g.tolist(), place) for g, place in parts] == [
        ([[3, 0, 0], [0, 4, 0], [0, 0, 3]], (0, 1)), ([[4]], (1, 2)), ([[5]], (0, 4)),
    ]  # fmt: skip
    assert [g.tolist() for g in run("boxes of colours without their rims", [grid])] == [[[4]]]
    assert run("boxes of colours without the colours", [grid])[0].tolist() == [[0, 0, 0], [0, 4, 0], [0, 0, 0]]
