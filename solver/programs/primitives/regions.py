"""Connected regions of a grid and their shapes: the ground the primitives stand on.

Law: nothing here changes its arguments; regions are numbered in reading order of their first cell.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from solver.types import COLOURS, Grid

cv2.setNumThreads(1)  # one process, one core

T = TypeVar("T")
Mask = NDArray[np.bool_]
Box = tuple[slice, slice]  # rows, columns
Labels = NDArray[np.int32]
KEPT = 20_000  # results remembered of each function of a grid


def remembered(function: Callable[[Grid], T]) -> Callable[[Grid], T]:
    """The function with its latest results kept by the grid's content; what it returns must not be changed."""

    @lru_cache(maxsize=KEPT)
    def by_content(rows: int, columns: int, cells: bytes) -> T:
        return function(np.frombuffer(cells, np.uint8).reshape(rows, columns))

    @wraps(function)
    def of_grid(grid: Grid) -> T:
        return by_content(grid.shape[0], grid.shape[1], grid.tobytes())

    return of_grid


@dataclass(frozen=True, eq=False)
class Region:
    """Connected cells: `top`, `left` of the bounding box in the grid; `mask` and `cells` over the box.

    `cells`: the grid within the box; `colour`: the most frequent colour of the region.
    """

    top: int
    left: int
    mask: Mask
    cells: Grid
    colour: int

    @property
    def box(self) -> Box:
        """Its bounding box in the grid."""
        rows, columns = self.mask.shape
        return slice(self.top, self.top + rows), slice(self.left, self.left + columns)

    def at_edge(self, shape: tuple[int, ...]) -> bool:
        """Whether it touches the edge of its grid, which has this shape."""
        rows, columns = self.box
        return 0 in (self.top, self.left) or rows.stop == shape[0] or columns.stop == shape[1]

    @property
    def alone(self) -> Grid:
        """The box with everything but the region itself made background."""
        return np.where(self.mask, self.cells, 0).astype(np.uint8)

    @property
    def size(self) -> int:
        """Cells of the region."""
        return int(self.mask.sum())


def label(mask: Mask, diagonal: bool) -> tuple[int, Labels]:
    """How many connected regions the mask has, and their numbers from 1 (0: not in the mask)."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8 if diagonal else 4, ltype=cv2.CV_32S)
    return count - 1, np.asarray(labels, np.int32)


def colour_labels(grid: Grid, diagonal: bool, background: bool = False) -> tuple[int, Labels]:
    """Regions of one colour each; those of the background are left out unless asked for."""
    total, labels = 0, np.zeros(grid.shape, np.int32)
    for colour in np.flatnonzero(np.bincount(grid.ravel(), minlength=COLOURS)):
        if colour or background:
            count, part = label(grid == colour, diagonal)
            labels[part > 0] = part[part > 0] + total
            total += count
    return total, labels


def cut(grid: Grid, count: int, labels: Labels) -> tuple[Region, ...]:
    """The labelled regions, cut out of the grid, in reading order."""
    rows, columns = np.nonzero(labels)
    order = np.argsort(labels[rows, columns], kind="stable")
    numbers = labels[rows, columns][order]
    starts = np.searchsorted(numbers, np.arange(1, count + 1))
    if not count:
        return ()
    down, across = rows[order], columns[order]
    tops, bottoms = np.minimum.reduceat(down, starts), np.maximum.reduceat(down, starts) + 1
    lefts, rights = np.minimum.reduceat(across, starts), np.maximum.reduceat(across, starts) + 1
    present = numbers.astype(np.int64) * COLOURS + grid[down, across]
    colours = np.bincount(present, minlength=(count + 1) * COLOURS).reshape(-1, COLOURS).argmax(1)
    cut_out = []
    for k in np.lexsort((lefts, tops)):
        box = slice(tops[k], bottoms[k]), slice(lefts[k], rights[k])
        cut_out.append(Region(int(tops[k]), int(lefts[k]), labels[box] == k + 1, grid[box], int(colours[k + 1])))
    return tuple(cut_out)


@remembered
def of_colour(grid: Grid) -> tuple[Region, ...]:
    """Regions of one colour, connected by sides."""
    return cut(grid, *colour_labels(grid, diagonal=False))


@remembered
def of_colour_diagonal(grid: Grid) -> tuple[Region, ...]:
    """Regions of one colour, connected by sides or corners."""
    return cut(grid, *colour_labels(grid, diagonal=True))


@remembered
def of_any_diagonal(grid: Grid) -> tuple[Region, ...]:
    """Regions of any colours but the background, connected by sides or corners."""
    return cut(grid, *label(grid != 0, diagonal=True))


@remembered
def by_colour(grid: Grid) -> tuple[Region, ...]:
    """All cells of a colour together, one region for each colour but the background."""
    lookup = np.zeros(COLOURS, np.int32)
    present = [c for c in np.unique(grid) if c]
    lookup[present] = np.arange(1, len(present) + 1)
    return cut(grid, len(present), lookup[grid])


@remembered
def of_background(grid: Grid) -> tuple[Region, ...]:
    """Regions of the background, connected by sides."""
    return cut(grid, *label(grid == 0, diagonal=False))


@remembered
def enclosed(grid: Grid) -> Mask:
    """Background cells from which no path by sides through the background leads to the edge."""
    return inner(grid == 0, diagonal=False)


def inner(mask: Mask, diagonal: bool) -> Mask:
    """The cells of the mask's connected regions that do not reach the edge."""
    count, labels = label(mask, diagonal)
    inside = np.ones(count + 1, bool)
    inside[0] = False
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        inside[edge] = False
    return inside[labels]


def under(grid: Grid, other: Grid) -> Grid:
    """The grid on top of another of its shape, which shows through its background."""
    return np.where(grid != 0, grid, other)


def holes(mask: Mask) -> int:
    """Regions of cells outside the mask that do not reach its edge."""
    count, _ = label(np.pad(~mask, 1, constant_values=True), diagonal=False)
    return count - 1


def counts(grid: Grid) -> NDArray[np.int64]:
    """Cells of each colour, shape [10]."""
    return np.bincount(grid.ravel(), minlength=COLOURS)


def commonest_of_all(grid: Grid) -> int:
    """The most frequent colour, the background too. The lowest of equals."""
    return int(counts(grid).argmax())


def commonest(grid: Grid) -> int:
    """The most frequent colour but the background; 0 in an empty grid. The lowest of equals."""
    of = counts(grid)
    of[0] = 0
    return int(of.argmax())


def rarest(grid: Grid) -> int:
    """The least frequent colour there is but the background; 0 in an empty grid. The lowest of equals."""
    of = counts(grid)
    present = np.flatnonzero(of[1:]) + 1
    return int(present[of[present].argmin()]) if len(present) else 0


@lru_cache(maxsize=KEPT)
def ring(rows: int, columns: int) -> NDArray[np.int64]:
    """For every cell of a grid of this shape how far it is from the nearest edge, 0 at the edge; not to be changed."""
    i, j = np.indices((rows, columns))
    return np.asarray(np.minimum(np.minimum(i, rows - 1 - i), np.minimum(j, columns - 1 - j)))


def by_frequency(grid: Grid) -> list[int]:
    """The colours there are but the background, the most frequent first, the lowest first of equals."""
    of = counts(grid)
    return sorted((c for c in range(1, COLOURS) if of[c]), key=lambda c: (-of[c], c))


def runs(wanted: Mask) -> list[slice]:
    """The longest stretches of a line that are wanted throughout."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8))).tolist()
    return [slice(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def period(items: Sequence[object]) -> int:
    """After how many items they repeat; all of them where they do not."""
    return next(n for n in range(1, len(items) + 1) if items[n:] == items[: len(items) - n])


def box(mask: Mask) -> Box | None:
    """The rows and columns of the smallest box around the mask; None where it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)) if len(rows) else None
