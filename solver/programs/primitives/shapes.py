"""Primitives that fill, outline, clean and select regions.

Knows nothing of tasks. Law: as in `registry`; colour 0 is the background.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Mask, Region
from solver.programs.primitives.registry import INPUT_COLOURED, OUTPUT_COLOURED, UNARY, register
from solver.types import Grid

MANY = 80  # regions in a grid beyond which none is moved
SQUARE = np.ones((3, 3), np.uint8)
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def grown(mask: Mask, kernel: np.ndarray) -> Mask:
    """The mask and its neighbours."""
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


def shrunk(mask: Mask, kernel: np.ndarray) -> Mask:
    """The cells of the mask whose neighbours are all in it; cells outside the grid count as not in it."""
    return cv2.erode(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0


def place(canvas: Grid, found: Iterable[Region]) -> Grid:
    """The canvas with the regions painted at their places."""
    made = canvas.copy()
    for region in found:
        rows, columns = region.mask.shape
        part = made[region.top : region.top + rows, region.left : region.left + columns]
        part[region.mask] = region.cells[region.mask]
    return made


def only(grid: Grid, found: Sequence[Region], keep: Callable[[Region], bool]) -> Grid:
    """Those of the regions for which `keep` says so, on background."""
    return place(np.zeros_like(grid), (r for r in found if keep(r)))


@register(OUTPUT_COLOURED)
def fill_enclosed(grid: Grid, colour: int) -> Grid:
    """Enclosed background in this colour."""
    return np.where(regions.enclosed(grid), colour, grid)


@register(OUTPUT_COLOURED)
def fill_outside(grid: Grid, colour: int) -> Grid:
    """Background that reaches the edge in this colour."""
    return np.where((grid == 0) & ~regions.enclosed(grid), colour, grid)


@register(UNARY)
def fill_enclosed_as_around(grid: Grid) -> Grid:
    """Enclosed background in the most frequent colour around it."""
    count, labels = regions.label(regions.enclosed(grid), diagonal=False)
    made = grid.copy()
    for number in range(1, count + 1):
        inside = labels == number
        made[inside] = np.bincount(grid[grown(inside, SQUARE) & ~inside]).argmax()
    return made


@register(UNARY)
def enclosed_only(grid: Grid) -> Grid:
    """Enclosed background in the most frequent colour, all else background."""
    return np.where(regions.enclosed(grid), regions.commonest(grid), 0)


@register(OUTPUT_COLOURED)
def fill_boxes_with(grid: Grid, colour: int) -> Grid:
    """The background within each region's bounding box in this colour."""
    made = grid.copy()
    for region in regions.of_any_diagonal(grid):
        rows, columns = region.mask.shape
        part = made[region.top : region.top + rows, region.left : region.left + columns]
        part[part == 0] = colour
    return made


@register(OUTPUT_COLOURED)
def fill_box_of_all(grid: Grid, colour: int) -> Grid | None:
    """The background within the box around everything in this colour."""
    found = regions.box(grid != 0)
    if found is None:
        return None
    made = grid.copy()
    made[found][made[found] == 0] = colour
    return made


@register(OUTPUT_COLOURED)
def outline(grid: Grid, colour: int) -> Grid:
    """The background next to anything, corners too, in this colour."""
    return np.where((grid == 0) & grown(grid != 0, SQUARE), colour, grid)


@register(OUTPUT_COLOURED)
def paint_edge(grid: Grid, colour: int) -> Grid:
    """The outermost cells in this colour."""
    made = np.full_like(grid, colour)
    made[1:-1, 1:-1] = grid[1:-1, 1:-1]
    return made


@register(OUTPUT_COLOURED)
def paint_inside(grid: Grid, colour: int) -> Grid:
    """Cells whose eight neighbours are all not background in this colour."""
    return np.where(shrunk(grid != 0, SQUARE), colour, grid)


@register(UNARY)
def grow(grid: Grid) -> Grid:
    """Everything a cell larger, corners too."""
    return np.where(grid == 0, cv2.dilate(np.ascontiguousarray(grid), SQUARE), grid)


@register(UNARY)
def grow_sides(grid: Grid) -> Grid:
    """Everything a cell larger, by its sides."""
    return np.where(grid == 0, cv2.dilate(np.ascontiguousarray(grid), CROSS), grid)


@register(UNARY)
def hollow(grid: Grid) -> Grid:
    """Without the cells whose eight neighbours are all not background."""
    return np.where(shrunk(grid != 0, SQUARE), 0, grid)


@register(UNARY)
def fill_each_as_commonest(grid: Grid) -> Grid:
    """Every region of any colours in its own most frequent colour."""
    made = grid.copy()
    for r in regions.of_any_diagonal(grid):
        part = made[r.top : r.top + r.mask.shape[0], r.left : r.left + r.mask.shape[1]]
        part[r.mask] = r.colour
    return made


@register(UNARY)
def remove_single(grid: Grid) -> Grid:
    """Without regions of a single cell."""
    return only(grid, regions.of_colour_diagonal(grid), lambda r: r.size > 1)


@register(UNARY)
def largest_only(grid: Grid) -> Grid | None:
    """The largest region of one colour alone."""
    found = regions.of_colour(grid)
    largest = max((r.size for r in found), default=0)
    return only(grid, found, lambda r: r.size == largest) if found else None


@register(UNARY)
def largest_removed(grid: Grid) -> Grid | None:
    """Without the largest region of one colour."""
    found = regions.of_colour(grid)
    largest = max((r.size for r in found), default=0)
    return only(grid, found, lambda r: r.size < largest) if found else None


@register(UNARY)
def smallest_only(grid: Grid) -> Grid | None:
    """The smallest region of one colour alone."""
    found = regions.of_colour(grid)
    smallest = min((r.size for r in found), default=0)
    return only(grid, found, lambda r: r.size == smallest) if found else None


def _at_edge(region: Region, grid: Grid) -> bool:
    rows, columns = region.mask.shape
    bottom, right = region.top + rows, region.left + columns
    return region.top == 0 or region.left == 0 or bottom == grid.shape[0] or right == grid.shape[1]


@register(UNARY)
def at_edge_removed(grid: Grid) -> Grid:
    """Without regions that touch the edge."""
    return only(grid, regions.of_colour(grid), lambda r: not _at_edge(r, grid))


@register(UNARY)
def denoise(grid: Grid) -> Grid:
    """Every cell in the most frequent colour of the nine around it, if that colour has at least five of them."""
    padded = np.pad(grid, 1, mode="edge")
    planes = [cv2.blur((padded == c).astype(np.float32), (3, 3), borderType=cv2.BORDER_REPLICATE) for c in range(10)]
    votes = np.stack(planes)[:, 1:-1, 1:-1]
    return np.where(votes.max(0) > 0.5, votes.argmax(0), grid)


@register(UNARY)
def solid_only(grid: Grid) -> Grid:
    """Without whatever no square of 2 × 2 cells of one colour covers."""
    made = np.zeros_like(grid)
    square = np.ones((2, 2), np.uint8)
    for colour in np.flatnonzero(regions.counts(grid)[1:]) + 1:
        mask = (grid == colour).astype(np.uint8)
        kept = cv2.erode(mask, square, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        made[cv2.dilate(kept, square, anchor=(1, 1)) > 0] = colour
    return made


@register(UNARY)
def noise_as_around(grid: Grid) -> Grid:
    """Regions of one or two cells, background too, in the most frequent colour around them."""
    count, labels = regions.colour_labels(grid, diagonal=False, background=True)
    made = grid.copy()
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    for number in np.flatnonzero((sizes > 0) & (sizes <= 2)):
        inside = labels == number
        around = grown(inside, SQUARE) & ~inside
        if number and around.any():
            made[inside] = np.bincount(grid[around]).argmax()
    return made


@register(UNARY)
def number_of_cells_as_colour(grid: Grid) -> Grid:
    """Every region in the colour whose number is the count of its cells, at most nine."""
    made = np.zeros_like(grid)
    for r in regions.of_colour_diagonal(grid):
        part = made[r.top : r.top + r.mask.shape[0], r.left : r.left + r.mask.shape[1]]
        part[r.mask] = min(r.size, 9)
    return made


def _each(grid: Grid, change: Callable[[Grid], Grid]) -> Grid | None:
    """Every region of any colours changed within its box."""
    found = regions.of_any_diagonal(grid)
    if not found:
        return None
    made = np.zeros_like(grid)
    for r in found:
        part = made[r.top : r.top + r.mask.shape[0], r.left : r.left + r.mask.shape[1]]
        own = change(r.alone)
        part[own != 0] = own[own != 0]
    return made


@register(UNARY)
def each_flipped_left_right(grid: Grid) -> Grid | None:
    """Every region of any colours exchanged left and right in its place."""
    return _each(grid, lambda p: p[:, ::-1])


@register(UNARY)
def each_flipped_up_down(grid: Grid) -> Grid | None:
    """Every region of any colours exchanged top and bottom in its place."""
    return _each(grid, lambda p: p[::-1])


@register(UNARY)
def each_inside_out(grid: Grid) -> Grid | None:
    """Every region of two colours with its colours exchanged."""

    def exchanged(part: Grid) -> Grid:
        present = np.flatnonzero(regions.counts(part)[1:]) + 1
        if len(present) != 2:
            return part
        swapped = np.where(part == present[0], present[1], present[0])
        return np.where(part != 0, swapped, 0)

    return _each(grid, exchanged)


@register(INPUT_COLOURED)
def pull_to(grid: Grid, colour: int) -> Grid | None:
    """Regions of any other colours moved straight towards the cells of this colour until they touch."""
    target = grid == colour
    goal = regions.box(target)
    if goal is None:
        return None
    made = np.where(target, grid, 0)
    rest = np.where(target, 0, grid)
    found = regions.of_any_diagonal(rest)
    if len(found) > MANY:
        return None
    top, bottom, left, right = goal[0].start, goal[0].stop, goal[1].start, goal[1].stop

    def away(r: Region) -> int:
        gap: int = max(top - r.top - r.mask.shape[0], r.top - bottom, left - r.left - r.mask.shape[1], r.left - right)
        return gap

    for r in sorted(found, key=away):
        rows, columns = r.mask.shape
        down = 1 if r.top + rows <= top else -1 if r.top >= bottom else 0
        across = 1 if r.left + columns <= left else -1 if r.left >= right else 0
        if down and across:
            down, across = 0, 0
        i, j = r.top, r.left
        for _ in range(max(grid.shape) if down or across else 0):
            a, b = i + down, j + across
            if a < 0 or b < 0 or a + rows > grid.shape[0] or b + columns > grid.shape[1]:
                break
            if made[a : a + rows, b : b + columns][r.mask].any():
                break
            i, j = a, b
        made = place(made, [Region(i, j, r.mask, r.cells, r.colour)])
    return made


def _flood(grid: Grid, seeds: Mask) -> Grid:
    """Regions of background and seeds together in the most frequent colour of their seeds, where they have any."""
    count, labels = regions.label((grid == 0) | seeds, diagonal=False)
    made = grid.copy()
    for number in range(1, count + 1):
        own = labels == number
        found = grid[own & seeds]
        if len(found):
            made[own] = np.bincount(found).argmax()
    return made


@register(INPUT_COLOURED)
def flood(grid: Grid, colour: int) -> Grid:
    """Cells of this colour spread over all background they reach by sides."""
    return _flood(grid, np.asarray(grid == colour))


@register(UNARY)
def flood_from_rare(grid: Grid) -> Grid:
    """All colours but the most frequent one spread over all background they reach by sides."""
    return _flood(grid, np.asarray((grid != 0) & (grid != regions.commonest(grid))))
