"""What is known of each cell of a grid: its colour, its surroundings, the region it is in, what lies in its row.

Law: the same features in the same order for every grid, each of the grid's shape.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product, takewhile

import cv2
import numpy as np
from numpy.typing import NDArray

from solver.programs.primitives import regions
from solver.programs.primitives.lines import between_diagonally, last_seen, seen_diagonally
from solver.programs.primitives.regions import Box, Mask, remembered
from solver.programs.primitives.shapes import SQUARE, in_squares
from solver.programs.rules.feature import NONE, Feature, Values, place_features, region_features
from solver.types import Grid

SIDES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
CORNERS = {"up_left": (-1, -1), "up_right": (-1, 1), "down_left": (1, -1), "down_right": (1, 1)}
NEIGHBOURS = SIDES | CORNERS


@remembered
def features(grid: Grid) -> tuple[Feature, ...]:
    """All features of a grid, always in the same order."""
    return (
        Feature("colour", "colour", grid, 0.5),
        *_of_surroundings(grid),
        *_of_rays(grid),
        *_of_lines(grid),
        *_of_mirrors(grid),
        *_of_all_colours(grid),
        *place_features(*grid.shape),
        *_of_enclosure(grid),
        *region_features(grid),
    )


def _shifted(grid: NDArray[np.generic], down: int, right: int, fill: int = NONE) -> Values:
    """What lies `down` rows below and `right` columns to the right of each cell; `fill` outside the grid."""
    rows, columns = grid.shape
    wide = np.pad(grid.astype(np.int16), ((abs(down),) * 2, (abs(right),) * 2), constant_values=fill)
    return wide[abs(down) + down : abs(down) + down + rows, abs(right) + right : abs(right) + right + columns]


def _of_surroundings(grid: Grid) -> Iterator[Feature]:
    for name, step in NEIGHBOURS.items():
        yield Feature("colour", name, _shifted(grid, *step), 1.2 if name in CORNERS else 1.0)
    for name, (down, right) in SIDES.items():
        yield Feature("colour", f"{name}_2", _shifted(grid, 2 * down, 2 * right), 1.6)
    around = np.stack([_shifted(grid, *step, fill=0) for step in NEIGHBOURS.values()])  # the sides first
    alike = np.stack([_shifted(grid, *step) == grid for step in NEIGHBOURS.values()])
    for name, cells, sides in (("neighbours", around != 0, (8, 4)), ("alike", alike, (4, 8))):
        for number in sides:
            yield Feature("number", f"{name}_{number}", cells[:number].sum(0), 1.0)
    votes = np.stack([(around == c).sum(0) for c in range(1, 10)])
    yield Feature("colour", "commonest_around", np.where(votes.max(0) > 0, votes.argmax(0) + 1, 0), 1.1)
    for colour in range(10):
        yield Feature("flag", f"near_{colour}", cv2.dilate((grid == colour).astype(np.uint8), SQUARE), 1.1)


def _of_rays(grid: Grid) -> Iterator[Feature]:
    """The first colour seen from each cell, itself left out, in each direction."""
    rays, diagonal = {}, {}
    for turns, name in enumerate(("left", "up", "right", "down")):
        seen = last_seen(np.rot90(grid, turns))
        rays[name] = np.rot90(np.pad(seen, ((0, 0), (1, 0)))[:, :-1], -turns)
        yield Feature("colour", f"ray_{name}", rays[name], 1.0)
    for name, step in CORNERS.items():
        diagonal[name] = seen_diagonally(grid, *step)
        yield Feature("colour", f"ray_{name}", diagonal[name], 1.2)
    across = np.where(rays["left"] == rays["right"], rays["left"], 0)
    down = np.where(rays["up"] == rays["down"], rays["up"], 0)
    yield Feature("colour", "between_across", across, 0.9)
    yield Feature("colour", "between_down", down, 0.9)
    yield Feature("colour", "between_either", np.where(down != 0, down, across), 0.9)
    yield Feature("colour", "between_diagonally", between_diagonally(grid), 0.9)
    straight, slanting = np.stack(list(rays.values())), np.stack(list(diagonal.values()))
    yield Feature("colour", "ray_any", straight.max(0), 1.0)
    yield Feature("colour", "ray_any_diagonal", slanting.max(0), 1.1)
    yield Feature("number", "rays_4", (straight != 0).sum(0), 1.0)
    yield Feature("number", "rays_diagonal", (slanting != 0).sum(0), 1.1)
    distance = cv2.distanceTransform((grid == 0).astype(np.uint8), cv2.DIST_C, 3) if grid.any() else grid
    yield Feature("number", "distance", np.minimum(np.rint(distance), 9), 1.2)


def _of_lines(grid: Grid) -> Iterator[Feature]:
    for axis, line in ((1, "row"), (0, "column")):
        votes = np.stack([(grid == c).sum(axis) for c in range(10)])
        filled = votes[1:].sum(0)
        for kind, name, values, cost in (
            ("colour", "commonest", np.where(filled > 0, votes[1:].argmax(0) + 1, 0), 1.0),
            ("number", "cells", np.minimum(filled, 12), 1.2),
            ("flag", "most_cells", filled == filled.max(), 1.2),
            ("flag", "plain", votes.max(0) == grid.shape[axis], 1.0),
            ("flag", "symmetric", (grid == np.flip(grid, axis)).all(axis), 1.5),
            *(("flag", f"has_{colour}", votes[colour] > 0, 1.2) for colour in range(10)),
        ):
            yield Feature(kind, f"{line}_{name}", np.broadcast_to(np.expand_dims(values, axis), grid.shape), cost)
    for name, cells in (("top", grid[:1]), ("bottom", grid[-1:]), ("first", grid[:, :1]), ("last", grid[:, -1:])):
        yield Feature("colour", f"{name}_of_line", np.broadcast_to(cells, grid.shape), 1.2)


def _of_mirrors(grid: Grid) -> Iterator[Feature]:
    for name, values in (("left_right", grid[:, ::-1]), ("up_down", grid[::-1]), ("turned_180", grid[::-1, ::-1])):
        yield Feature("colour", f"mirror_{name}", values, 1.1)
    square = grid.shape[0] == grid.shape[1]
    for name, values in (("transposed", grid.T), ("turned_90", np.rot90(grid)), ("turned_270", np.rot90(grid, 3))):
        yield Feature("colour", f"mirror_{name}", values if square else np.full(grid.shape, NONE), 1.2)


def _of_all_colours(grid: Grid) -> Iterator[Feature]:
    order = regions.by_frequency(grid)
    rarest = order[-1] if order else NONE
    for rank, colour in enumerate([*order, NONE, NONE, NONE][:3]):
        yield Feature("colour", f"grid_colour_{rank}", np.full(grid.shape, colour), 1.0 + 0.1 * rank)
    yield Feature("colour", "grid_rarest", np.full(grid.shape, rarest), 1.0)
    ranks = np.full(10, 9, np.int16)
    ranks[order] = np.arange(len(order))
    yield Feature("number", "colour_rank", ranks[grid], 1.0)
    yield Feature("flag", "colour_rarest", grid == rarest, 1.0)
    yield Feature("number", "grid_colours", np.full(grid.shape, len(order)), 1.5)
    for name, colour in (("top_left", grid[0, 0]), ("bottom_right", grid[-1, -1]),
                         ("top_right", grid[0, -1]), ("bottom_left", grid[-1, 0])):  # fmt: skip
        yield Feature("colour", f"corner_{name}", np.full(grid.shape, colour), 1.5)


def _of_enclosure(grid: Grid) -> Iterator[Feature]:
    yield Feature("flag", "enclosed", regions.enclosed(grid), 0.8)
    yield Feature("flag", "enclosed_corners", regions.inner(grid == 0, diagonal=True), 1.0)
    inside = np.zeros(grid.shape, bool)
    if around := regions.box(grid != 0):
        inside[around] = True
    yield Feature("flag", "in_box_of_all", inside, 1.0)
    square = np.zeros(grid.shape, np.uint8)
    for colour, side in product(np.flatnonzero(regions.counts(grid)), (2, 3)):
        mask = np.pad((grid == colour).astype(np.uint8), 1)
        opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))[1:-1, 1:-1]
        square = np.maximum(square, (side - 1) * opened)
    yield Feature("number", "in_square", square, 1.0)
    yield Feature("flag", "largest_empty_box", _largest_box(grid == 0), 1.0)
    squares = (in_squares(grid == 0, side) for side in range(1, min(grid.shape) + 1))
    largest = deque(takewhile(np.any, squares), maxlen=1)
    yield Feature("flag", "largest_empty_square", largest[0] if largest else np.zeros(grid.shape), 1.2)


def _largest_box(mask: Mask) -> Mask:
    """The cells of the largest rectangles, of two cells at least, that are all in the mask."""
    boxes: dict[int, list[Box]] = {}  # by area: those that reach as far to the left and right as their height allows
    heights = np.zeros(mask.shape[1], np.int64)
    for bottom, row in enumerate(mask, 1):
        heights = np.where(row, heights + 1, 0)
        for height in np.unique(heights[heights > 0]).tolist():
            for span in regions.runs(heights >= height):
                boxes.setdefault(height * (span.stop - span.start), []).append((slice(bottom - height, bottom), span))
    largest = np.zeros(mask.shape, bool)
    area = max(boxes, default=0)
    for box in boxes[area] if area > 1 else ():
        largest[box] = True
    return largest


def features_at(grid: Grid, places: Sequence[tuple[int, tuple[int, int]]]) -> list[Feature]:
    """The features of some cells alone, as of one row: (quarter turns of the grid, the cell's place once it is turned).

    What a feature says of up, down, left and right is said of the turned grid.
    """
    turned = [features(np.ascontiguousarray(np.rot90(grid, turns))) for turns in range(4)]
    cells = np.array([(turns, *place) for turns, place in places], np.int64).reshape(-1, 3)
    numbers = [np.flatnonzero(cells[:, 0] == turns) for turns in range(4)]
    index = [tuple(cells[of, 1:].T) for of in numbers]
    row = []
    for ways in zip(*turned, strict=True):
        values = np.zeros((1, len(places)), np.int16)
        for f, of, at in zip(ways, numbers, index, strict=True):
            values[0, of] = f.values[at]
        row.append(replace(ways[0], values=values))
    return row
