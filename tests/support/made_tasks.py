"""Tasks made from a rule, and grids from text, for tests of the search for programs."""

from __future__ import annotations

import numpy as np

from solver.clock import Deadline
from solver.programs.solve import search_programs
from solver.types import Grid, Pair, Task, seed_for

NODES = 500


def always() -> bool:
    """There is time left."""
    return True


def grid(*rows: str) -> Grid:
    """A grid from text: one string a row, `.` is background."""
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], np.uint8)


def draw(rng: np.random.Generator, rows: int = 6, columns: int = 7, colours: int = 4) -> Grid:
    """A grid of about half background."""
    cells_ = rng.integers(1, colours, size=(rows, columns)) * (rng.random((rows, columns)) < 0.5)
    return cells_.astype(np.uint8)


def made(change, number: int = 3, **shape: int) -> tuple[Task, list[Grid]]:
    """A task whose outputs are `change` of random inputs, and the right answers."""
    rng = np.random.default_rng(seed_for(0, "made", "test"))
    inputs = [draw(rng, **shape) for _ in range(number + 1)]
    pairs = tuple(Pair(g, change(g)) for g in inputs[:-1])
    return Task("made", pairs, (inputs[-1],)), [change(inputs[-1])]


def answers(task: Task, nodes: int = NODES) -> list[Grid]:
    return [p.grids[0] for p in search_programs(task, Deadline.after(30), nodes)[:2]]


def recolour_tall(grid: Grid) -> Grid:
    """Cells with something above become 7."""
    above = np.vstack([np.zeros_like(grid[:1]), grid[:-1]])
    return np.where((grid != 0) & (above != 0), 7, grid).astype(np.uint8)


TRUTHS = {
    "two steps": lambda g: np.rot90(g)[::-1].copy(),
    "a step and a map": lambda g: np.array([0, 5, 6, 3, 4, 5, 6, 7, 8, 9], np.uint8)[g[:, ::-1]],
    "a rule of cells": recolour_tall,
    "pieces": lambda g: np.where(g != 0, g, g[::-1]),
    "scaled": lambda g: np.kron(g, np.ones((3, 1), np.uint8)),
    "both halves": lambda g: np.where((g[:, :3] != 0) & (g[:, -3:] == 0), 8, 0).astype(np.uint8),
}
