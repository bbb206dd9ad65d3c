"""Labels of the lists' search against what they say, written plainly in numpy."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from solver.programs.lists.labels import FLAGS, MEASURES
from solver.types import Grid
from tests.support.each import each
from tests.unit.programs.lists.run_function import run
from tests.unit.programs.lists.test_laws import random_grid

Mask = NDArray[np.bool_]
KINDS: dict[str, tuple[int, bool]] = {  # neighbours; whether of one colour
    "regions": (4, False), "regions over corners": (8, False), "regions of a colour": (4, True),
    "regions of a colour over corners": (8, True), "empty regions": (4, True),
}  # fmt: skip


def regions(grid: Grid, kind: str) -> list[Mask]:
    """The regions of a kind, by their first cells in reading order."""
    neighbours, one_colour = KINDS[kind]
    colours = (
        [grid == 0] if kind.startswith("empty") else [grid == c for c in range(1, 10)] if one_colour else [grid > 0]
    )
    masks = []
    for of in colours:
        number, marks = cv2.connectedComponents(of.astype(np.uint8), connectivity=neighbours, ltype=cv2.CV_16U)
        masks += [marks == n for n in range(1, number)]
    return sorted(masks, key=lambda m: int(m.ravel().argmax()))


def box(mask: Mask) -> tuple[slice, slice]:
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def holes(mask: Mask, kind: str) -> int:
    """Other cells that do not reach the rim, over corners where the region's own cells do not join over them."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    return cv2.connectedComponents(outside, connectivity=12 - KINDS[kind][0], ltype=cv2.CV_16U)[0] - 2


def shape(mask: Mask) -> tuple[tuple[int, ...], bytes]:
    own = mask[box(mask)]
    return own.shape, own.tobytes()


def measured(grid: Grid, masks: list[Mask], kind: str, measure: str) -> list[int]:
    one: dict[str, Callable[[Mask], int]] = {
        "size": lambda m: int(m.sum()),
        "holes": lambda m: 1 + holes(m, kind),
        "height": lambda m: m[box(m)].shape[0],
        "width": lambda m: m[box(m)].shape[1],
        "rows from its top on": lambda m: len(grid) - int(m.any(axis=1).argmax()),
        "columns from its left on": lambda m: grid.shape[1] - int(m.any(axis=0).argmax()),
        "equal shapes": lambda m: sum(shape(m) == shape(other) for other in masks),
        "colours": lambda m: len(np.unique(grid[m])),
    }
    return [one[measure](m) for m in masks]


def painted(grid: Grid, masks: list[Mask], values: list[int]) -> Grid:
    result = np.zeros_like(grid)
    for mask, value in zip(masks, values, strict=True):
        result[mask] = min(value, 9)
    return result


@pytest.mark.slow
@each("kind, measure", itertools.product(KINDS, MEASURES))
def test_measures_of_regions_their_ranks_and_extremes(kind: str, measure: str) -> None:
    if measure == "colours" and kind not in ("regions", "regions over corners"):
        return
    rng = np.random.default_rng(8)
    for _ in range(60):
        grid = random_grid(rng)
        masks = regions(grid, kind)
        if not 1 < len(masks) <= 200:
            continue
        values = measured(grid, masks, kind, measure)
        ordered = sorted(set(values), reverse=True)
        cases = {
            measure: values,
            f"rank of {measure}": [1 + ordered.index(v) for v in values],
            f"most {measure}": [1 if v == ordered[0] else 2 for v in values],
            f"least {measure}": [1 if v == ordered[-1] else 2 for v in values],
        }
        for name, expected in cases.items():
            (result,) = run(f"label {kind} {name}", [grid])
            np.testing.assert_array_equal(result, painted(grid, masks, expected), f"{name} of {grid.tolist()}")


def flags(grid: Grid, mask: Mask) -> dict[str, int]:
    own, colours = mask[box(mask)], np.bincount(grid[mask], minlength=10)
    h, w = own.shape
    around = cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))) > 0
    beside = np.bincount(grid[around & ~mask], minlength=10)[1:]
    rows, columns = box(mask)
    return {
        "at the rim": 1 + (rows.start == 0 or columns.start == 0 or (rows.stop, columns.stop) == grid.shape
                           or rows.stop == grid.shape[0] or columns.stop == grid.shape[1]),
        "full box": 1 + bool(own.all()),
        "mirrored columns": 1 + np.array_equal(own, own[:, ::-1]),
        "mirrored rows": 1 + np.array_equal(own, own[::-1]),
        "longer way": 3 if h == w else 1 if h > w else 2,
        "odd size": 1 + int(mask.sum()) % 2,
        "commonest colour": int(colours.argmax()),
        "rarest colour": int(np.where(colours > 0, colours, 9999).argmin()),
        "colour beside it": int(beside.argmax()) + 1 if beside.any() else 0,
    }  # fmt: skip


@each("kind", KINDS)
def test_flags_of_regions(kind: str) -> None:
    rng, told = np.random.default_rng(9), [f for f in FLAGS if f not in ("place in its box", "whole box")]
    for _ in range(60):
        grid = random_grid(rng)
        masks = regions(grid, kind)
        if not 1 <= len(masks) <= 200:
            continue
        expected = [flags(grid, m) for m in masks]
        for name in told:
            if "est colour" not in name or kind in ("regions", "regions over corners"):
                (result,) = run(f"label {kind} {name}", [grid])
                values = [e[name] for e in expected]
                np.testing.assert_array_equal(result, painted(grid, masks, values), f"{name} of {grid.tolist()}")


def test_boxes_of_regions() -> None:
    grid = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 2]], np.uint8)
    (whole,), (place,) = (
        run(f"label regions of a colour {name}", [grid]) for name in ("whole box", "place in its box")
    )
    assert whole.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 2]]
    assert place.tolist() == [[3, 0, 0], [3, 3, 0], [0, 0, 3]]


def test_labels_of_cells_and_lines() -> None:
    grid = np.array([[0, 3, 3], [0, 0, 3], [1, 0, 0], [0, 0, 0]], np.uint8)
    r, c = np.indices(grid.shape)
    filled = (grid > 0).sum(axis=1)
    cases = {
        "row in twos": r % 2 + 1,
        "column in threes": c % 3 + 1,
        "chessboard": (r + c) % 2 + 1,
        "distance to the rim": np.minimum(np.minimum(r, 3 - r), np.minimum(c, 2 - c)) + 1,
        "row": r + 1,
        "box of all": (r < 3) + 1,
        "rank of its colour": np.select([grid == 0, grid == 3], [1, 2], 3),
        "cells of its row": np.broadcast_to(filled[:, None] + 1, grid.shape),
        "most of its row": np.broadcast_to(np.where(filled == 2, 1, 2)[:, None], grid.shape),
        "commonest of its column": np.broadcast_to([1, 3, 3], grid.shape),
        "colours of its column": np.broadcast_to([2, 2, 2], grid.shape),
        "filled beside it": [[2, 2, 3], [2, 3, 2], [1, 2, 2], [2, 1, 1]],
    }
    for name, expected in cases.items():
        np.testing.assert_array_equal(run(f"label {name}", [grid])[0], expected, name)
