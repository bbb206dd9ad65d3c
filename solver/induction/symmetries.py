"""Symmetries of grids, for model-written programs: translations, mirror lines, quarter turns, and orbits under them.

Written from the interface BARC's papers and prompts describe (arXiv 2411.02272). Coordinates as in `library`: a cell is
`grid[x, y]`. A symmetry is found only where no cell contradicts it: cells whose colour is to be ignored, cells of the
background and places outside the grid say nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Colors = Sequence[int]


@dataclass(frozen=True)
class TranslationalSymmetry:
    """Moved by (translate_x, translate_y)."""

    translate_x: int
    translate_y: int

    def apply(self, x: Any, y: Any, iters: int = 1) -> tuple[Any, Any]:
        return x + iters * self.translate_x, y + iters * self.translate_y


@dataclass(frozen=True)
class MirrorSymmetry:
    """Mirrored at x = mirror_x, at y = mirror_y, or both; None: not in that direction. Halves lie between cells."""

    mirror_x: float | None = None
    mirror_y: float | None = None

    def apply(self, x: Any, y: Any, iters: int = 1) -> tuple[Any, Any]:
        if iters % 2 == 0:
            return x, y
        there_x = x if self.mirror_x is None else round(2 * self.mirror_x) - x
        return there_x, y if self.mirror_y is None else round(2 * self.mirror_y) - y


@dataclass(frozen=True)
class RotationalSymmetry:
    """A quarter turn around (center_x, center_y); both are whole, or both lie halfway between cells."""

    center_x: float
    center_y: float

    def apply(self, x: Any, y: Any, iters: int = 1) -> tuple[Any, Any]:
        both, gap = round(self.center_x + self.center_y), round(self.center_x - self.center_y)
        for _ in range(iters % 4):
            x, y = y + gap, both - x
        return x, y


Symmetry = TranslationalSymmetry | MirrorSymmetry | RotationalSymmetry
"""What takes a place to another that should look the same: after `iters` applications, negative: backwards."""


def orbit(grid: Array, x: int, y: int, symmetries: Iterable[Symmetry]) -> list[tuple[int, int]]:
    """All places of the grid that (x, y) comes to under the symmetries in any order, itself first."""
    width, height = grid.shape
    places, todo, known = {(x, y): None}, [(x, y)], list(symmetries)
    while todo:
        here = todo.pop()
        for there in (symmetry.apply(*here, iters=way) for symmetry in known for way in (1, -1)):
            near = -width <= there[0] < 2 * width and -height <= there[1] < 2 * height  # ways may lead outside and back
            if near and there not in places:
                places[there] = None
                todo.append(there)
    return [(int(i), int(j)) for i, j in places if 0 <= i < width and 0 <= j < height]


def _evidence(grid: Array, symmetry: Symmetry, ignore: Colors, background: int | None) -> tuple[int, int]:
    """How many pairs of cells a symmetry maps to equals, and how many cells leave the grid; (0, 0): contradicted."""
    says = ~np.isin(grid, list(ignore))
    x, y = np.nonzero(says if background is None else says & (grid != background))
    to_x, to_y = symmetry.apply(x, y)
    inside = (to_x >= 0) & (to_x < grid.shape[0]) & (to_y >= 0) & (to_y < grid.shape[1])
    moved = inside & ((to_x != x) | (to_y != y))
    x, y, to_x, to_y = x[moved], y[moved], to_x[moved], to_y[moved]
    both = says[to_x, to_y]
    equal = grid[x, y][both] == grid[to_x, to_y][both]
    return (int(equal.sum()), int((~inside).sum())) if equal.all() else (0, 0)


def _best(grid: Array, candidates: Iterable[Symmetry], ignore: Colors, background: int | None) -> Symmetry | None:
    """The candidate that most cells speak for, less those that leave the grid; None where more leave than speak."""
    scored = [(equal - lost, c) for c in candidates for equal, lost in [_evidence(grid, c, ignore, background)]]
    score, best = max(scored, key=lambda pair: pair[0], default=(0, None))
    return best if score > 0 else None


def _halves(size: int) -> list[float]:
    """Mirror places along a side: on cells and between them, the middle first."""
    return sorted((half / 2 for half in range(1, 2 * size - 2)), key=lambda place: abs(place - (size - 1) / 2))


def detect_translational_symmetry(
    grid: Array, ignore_colors: Colors = (0,), background: int | None = None
) -> list[Symmetry]:
    """The shortest translation under which the grid repeats, and the shortest in another direction; none: [].

    At least half of the grid must lie on itself in each direction.
    """
    width, height = grid.shape
    moves = [move for move in product(range(width // 2 + 1), range(-(height // 2), height // 2 + 1)) if move > (0, 0)]
    translations: list[TranslationalSymmetry] = []
    for dx, dy in sorted(moves, key=lambda move: (abs(move[0]) + abs(move[1]), move)):
        if translations and translations[0].translate_x * dy == translations[0].translate_y * dx:
            continue
        symmetry = TranslationalSymmetry(dx, dy)
        if _evidence(grid, symmetry, ignore_colors, background)[0]:
            translations.append(symmetry)
        if len(translations) == 2:
            break
    return list(translations)


def detect_mirror_symmetry(grid: Array, ignore_colors: Colors = (0,), background: int | None = None) -> list[Symmetry]:
    """The best mirror line in x and the best in y, where there are any."""
    across = (MirrorSymmetry(mirror_x=place) for place in _halves(grid.shape[0]))
    along = (MirrorSymmetry(mirror_y=place) for place in _halves(grid.shape[1]))
    lines = [_best(grid, candidates, ignore_colors, background) for candidates in (across, along)]
    return [line for line in lines if line is not None]


def detect_rotational_symmetry(
    grid: Array, ignore_colors: Colors = (0,), background: int | None = None
) -> Symmetry | None:
    """The best centre of quarter turns; None where there is none."""
    centres = [(x, y) for x in _halves(grid.shape[0]) for y in _halves(grid.shape[1]) if (x + y) % 1 == 0]
    middle = ((grid.shape[0] - 1) / 2, (grid.shape[1] - 1) / 2)
    centres.sort(key=lambda centre: abs(centre[0] - middle[0]) + abs(centre[1] - middle[1]))
    return _best(grid, (RotationalSymmetry(x, y) for x, y in centres), ignore_colors, background)
