"""What holds for every function of the lists' search, whatever it does."""

from __future__ import annotations

import numpy as np
import pytest

from solver.programs.lists.functions import GENERAL, RECOLOURED, Function, functions
from solver.programs.lists.layout import JOINS, LABELS, PARTS, SPLITS
from tests.support.each import each
from tests.unit.programs.lists.run_function import run, run_placed


def random_grid(rng: np.random.Generator) -> np.ndarray:
    """A grid of a few colours, many cells empty, at times large, symmetric or repeated."""
    h, w = rng.integers(1, 31 if rng.random() < 0.2 else 9, 2)
    grid = rng.choice(10, size=3)[rng.integers(0, 3, (h, w))] * (rng.random((h, w)) < rng.random())
    if rng.random() < 0.2:
        grid = np.tile(grid, (2, 2))[:30, :30]
    if rng.random() < 0.2:
        grid[h // 2 : h // 2 + 1] = 5
    return grid.astype(np.uint8)


def given(function: Function, rng: np.random.Generator) -> list[tuple[np.ndarray, tuple[int, int]]]:
    alike = random_grid(rng) if rng.random() < 0.5 else None
    number = 1 if function.unit <= SPLITS else int(rng.integers(1, 8))
    grids = [
        random_grid(rng) if alike is None else rng.permutation(alike.ravel()).reshape(alike.shape)
        for _ in range(number)
    ]
    return [(g, (int(rng.integers(-2, 20)), int(rng.integers(-2, 20)))) for g in grids]


@pytest.mark.slow
@each("function", functions(range(1, 10), range(1, 10)), lambda f: f.name)
def test_what_a_function_gives_is_a_grid_and_the_same_each_time(function: Function) -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        placed = given(function, rng)
        size = (int(rng.integers(0, 12)), int(rng.integers(1, 12)))
        size = size if size[0] else (0, 0)
        result = run_placed(function, placed, size)
        for grid, _ in result:
            assert 1 <= grid.shape[0] <= 30
            assert 1 <= grid.shape[1] <= 30
            assert grid.max() <= 9
        again = run_placed(function, placed, size)
        assert len(again) == len(result)
        assert all(a[1] == b[1] and np.array_equal(a[0], b[0]) for a, b in zip(result, again, strict=True))


@each("function", [f for f in GENERAL if f.unit < LABELS], lambda f: f.name)
def test_a_list_is_mapped_grid_by_grid(function: Function) -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        one, other = random_grid(rng), random_grid(rng)
        alone = [run(function, [one], (6, 6)), run(function, [other], (6, 6))]
        both = run(function, [one, other], (6, 6))
        assert len(both) == (2 if all(alone) else 0)
        assert all(np.array_equal(a[0], b) for a, b in zip(alone, both, strict=False))


@each("function", [f for f in GENERAL if f.unit in (PARTS, JOINS)], lambda f: f.name)
def test_colours_come_from_the_list_but_for_those_by_place(function: Function) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20 if function.number != RECOLOURED or function.unit != JOINS else 0):
        placed = given(function, rng)
        colours = {0}.union(*(np.unique(g).tolist() for g, _ in placed))
        assert all(set(np.unique(g).tolist()) <= colours for g, _ in run_placed(function, placed))


def test_names_are_distinct() -> None:
    names = [f.name for f in functions(range(1, 10), range(1, 10))]
    assert len(set(names)) == len(names)
