"""Primitives that fill, outline, clean and select regions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Mask, Region
from solver.programs.primitives.registry import INPUT_COLOURED, OUTPUT_COLOURED, UNARY, Unary, define, register
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


def place(canvas: Grid, things: Iterable[Region]) -> Grid:
    """The canvas with the regions painted at their places."""
    painted = canvas.copy()
    for region in things:
        painted[region.box][region.mask] = region.cells[region.mask]
    return painted


def only(grid: Grid, things: Iterable[Region], keep: Callable[[Region], bool]) -> Grid:
    """Those of the regions for which `keep` says so, on background."""
    return place(np.zeros_like(grid), filter(keep, things))


def recoloured(canvas: Grid, things: Iterable[Region], colour: Callable[[Region], int]) -> Grid:
    """The canvas with the regions painted at their places, each in one colour."""
    painted = canvas.copy()
    for region in things:
        painted[region.box][region.mask] = colour(region)
    return painted


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
    filled = grid.copy()
    for number in range(1, count + 1):
        inside = labels == number
        filled[inside] = np.bincount(grid[grown(inside, SQUARE) & ~inside]).argmax()
    return filled


@register(UNARY)
def enclosed_only(grid: Grid) -> Grid:
    """Enclosed background in the most frequent colour, all else background."""
    return np.where(regions.enclosed(grid), regions.commonest(grid), 0)


@register(OUTPUT_COLOURED)
def fill_boxes_with(grid: Grid, colour: int) -> Grid:
    """The background within each region's bounding box in this colour."""
    filled = grid.copy()
    for region in regions.of_any_diagonal(grid):
        part = filled[region.box]
        part[part == 0] = colour
    return filled


@register(OUTPUT_COLOURED)
def fill_box_of_all(grid: Grid, colour: int) -> Grid | None:
    """The background within the box around everything in this colour."""
    around = regions.box(grid != 0)
    if around is None:
        return None
    filled = grid.copy()
    filled[around][filled[around] == 0] = colour
    return filled


@register(OUTPUT_COLOURED)
def outline(grid: Grid, colour: int) -> Grid:
    """The background next to anything, corners too, in this colour."""
    return np.where((grid == 0) & grown(grid != 0, SQUARE), colour, grid)


@register(OUTPUT_COLOURED)
def paint_edge(grid: Grid, colour: int) -> Grid:
    """The outermost cells in this colour."""
    framed = np.full_like(grid, colour)
    framed[1:-1, 1:-1] = grid[1:-1, 1:-1]
    return framed


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
    return recoloured(grid, regions.of_any_diagonal(grid), lambda r: r.colour)


@register(UNARY)
def remove_single(grid: Grid) -> Grid:
    """Without regions of a single cell."""
    return only(grid, regions.of_colour_diagonal(grid), lambda r: r.size > 1)


def _by_size(keep: Callable[[int, Sequence[int]], bool]) -> Unary:
    """Regions of one colour whose size, among the sizes of all, is to be kept."""

    def run(grid: Grid) -> Grid | None:
        sizes = [region.size for region in regions.of_colour(grid)]
        return only(grid, regions.of_colour(grid), lambda r: keep(r.size, sizes)) if sizes else None

    return run


define(UNARY, "largest_only", "The largest region of one colour alone.", _by_size(lambda n, every: n == max(every)))
define(UNARY, "largest_removed", "Without the largest region of one colour.", _by_size(lambda n, every: n < max(every)))
define(UNARY, "smallest_only", "The smallest region of one colour alone.", _by_size(lambda n, every: n == min(every)))


def _at_edge(region: Region, grid: Grid) -> bool:
    rows, columns = region.box
    return 0 in (rows.start, columns.start) or rows.stop == grid.shape[0] or columns.stop == grid.shape[1]


@register(UNARY)
def at_edge_removed(grid: Grid) -> Grid:
    """Without regions that touch the edge."""
    return only(grid, regions.of_colour(grid), lambda r: not _at_edge(r, grid))


@register(UNARY)
def denoise(grid: Grid) -> Grid:
    """Every cell in the most frequent colour of the nine around it, if that colour has at least five of them."""
    padded = np.pad(grid, 1, mode="edge")
    shares = [cv2.blur((padded == c).astype(np.float32), (3, 3), borderType=cv2.BORDER_REPLICATE) for c in range(10)]
    votes = np.stack(shares)[:, 1:-1, 1:-1]
    return np.where(votes.max(0) > 0.5, votes.argmax(0), grid)


@register(UNARY)
def solid_only(grid: Grid) -> Grid:
    """Without whatever no square of 2 × 2 cells of one colour covers."""
    solid = np.zeros_like(grid)
    for colour in np.flatnonzero(regions.counts(grid)[1:]) + 1:
        solid[in_squares(grid == colour, 2)] = colour
    return solid


def in_squares(mask: Mask, side: int) -> Mask:
    """The cells of the mask that lie in squares of so many cells a side that are all in it."""
    square = np.ones((side, side), np.uint8)
    corners = cv2.erode(mask.astype(np.uint8), square, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.dilate(corners, square, anchor=(side - 1, side - 1)) > 0


@register(UNARY)
def noise_as_around(grid: Grid) -> Grid:
    """Regions of one or two cells, background too, in the most frequent colour around them."""
    count, labels = regions.colour_labels(grid, diagonal=False, background=True)
    cleaned = grid.copy()
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    for number in np.flatnonzero((sizes > 0) & (sizes <= 2)):
        inside = labels == number
        around = grown(inside, SQUARE) & ~inside
        if number and around.any():
            cleaned[inside] = np.bincount(grid[around]).argmax()
    return cleaned


@register(UNARY)
def number_of_cells_as_colour(grid: Grid) -> Grid:
    """Every region in the colour whose number is the count of its cells, at most nine."""
    return recoloured(np.zeros_like(grid), regions.of_colour_diagonal(grid), lambda r: min(r.size, 9))


def _each(grid: Grid, change: Callable[[Grid], Grid]) -> Grid | None:
    """Every region of any colours changed within its box."""
    things = regions.of_any_diagonal(grid)
    changed = np.zeros_like(grid)
    for region in things:
        own = change(region.alone)
        changed[region.box][own != 0] = own[own != 0]
    return changed if things else None


@register(UNARY)
def each_flipped_left_right(grid: Grid) -> Grid | None:
    """Every region of any colours exchanged left and right in its place."""
    return _each(grid, lambda part: part[:, ::-1])


@register(UNARY)
def each_flipped_up_down(grid: Grid) -> Grid | None:
    """Every region of any colours exchanged top and bottom in its place."""
    return _each(grid, lambda part: part[::-1])  # not by turning the grid: where boxes overlap, their order matters


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


def slid(ground: Grid, region: Region, step: tuple[int, int]) -> Region:
    """The region moved on, by (rows, columns) at a time, until the edge or something on the ground is in its way."""
    down, right = step
    while True:
        there = replace(region, top=region.top + down, left=region.left + right)
        rows, columns = there.box
        outside = min(there.top, there.left) < 0 or rows.stop > ground.shape[0] or columns.stop > ground.shape[1]
        if outside or not (down or right) or ground[there.box][there.mask].any():
            return region
        region = there


@register(INPUT_COLOURED)
def pull_to(grid: Grid, colour: int) -> Grid | None:
    """Regions of any other colours moved straight towards the cells of this colour until they touch."""
    target = grid == colour
    goal = regions.box(target)
    things = regions.of_any_diagonal(np.where(target, 0, grid))
    if goal is None or len(things) > MANY:
        return None

    def gaps(region: Region) -> list[tuple[int, int]]:
        """Cells between the region and the goal, in rows and in columns: (before it, behind it); negative: none."""
        return [(aim.start - own.stop, own.start - aim.stop) for aim, own in zip(goal, region.box, strict=True)]

    pulled = np.where(target, grid, 0)
    for region in sorted(things, key=lambda r: max(map(max, gaps(r)))):
        down, right = (1 if before >= 0 else -1 if behind >= 0 else 0 for before, behind in gaps(region))
        pulled = place(pulled, [region if down and right else slid(pulled, region, (down, right))])
    return pulled


def _flood(grid: Grid, seeds: Mask) -> Grid:
    """Regions of background and seeds together in the most frequent colour of their seeds, where they have any."""
    count, labels = regions.label((grid == 0) | seeds, diagonal=False)
    flooded = grid.copy()
    for number in range(1, count + 1):
        own = labels == number
        colours = grid[own & seeds]
        if len(colours):
            flooded[own] = np.bincount(colours).argmax()
    return flooded


@register(INPUT_COLOURED)
def flood(grid: Grid, colour: int) -> Grid:
    """Cells of this colour spread over all background they reach by sides."""
    return _flood(grid, np.asarray(grid == colour))


@register(UNARY)
def flood_from_rare(grid: Grid) -> Grid:
    """All colours but the most frequent one spread over all background they reach by sides."""
    return _flood(grid, np.asarray((grid != 0) & (grid != regions.commonest(grid))))
