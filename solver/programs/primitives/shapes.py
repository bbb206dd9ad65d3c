"""Primitives that paint, keep, fill, outline and move cells of some kind or regions."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Labels, Mask, Region, commonest, commonest_of_all, rarest
from solver.programs.primitives.registry import INPUT_COLOURED, OUTPUT_COLOURED, UNARY, register, variants
from solver.types import COLOURS, Grid

MANY = 80  # regions in a grid beyond which none is moved
SQUARE = np.ones((3, 3), np.uint8)
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def around(mask: Mask) -> Mask:
    """The cells next to the mask, corners too."""
    return (cv2.dilate(mask.astype(np.uint8), SQUARE) > 0) & ~mask


def shrunk(mask: Mask) -> Mask:
    """The cells of the mask whose eight neighbours are all in it; cells outside the grid count as not in it."""
    return cv2.erode(mask.astype(np.uint8), SQUARE, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0


def place(canvas: Grid, things: Iterable[Region], colour: Callable[[Region], int] | None = None) -> Grid:
    """The canvas with the regions painted at their places, each as it is or in one colour."""
    painted = canvas.copy()
    for region in things:
        painted[region.box][region.mask] = colour(region) if colour else region.cells[region.mask]
    return painted


def only(grid: Grid, things: Iterable[Region], keep: Callable[[Region], bool]) -> Grid:
    """Those of the regions for which `keep` says so, on background."""
    return place(np.zeros_like(grid), filter(keep, things))


def _in_boxes(grid: Grid) -> Mask:
    """Background within the bounding box of a region."""
    boxed = np.zeros(grid.shape, bool)
    for region in regions.of_any_diagonal(grid):
        boxed[region.box] = True
    return np.asarray(boxed & (grid == 0))


@variants(OUTPUT_COLOURED, 0.8, paint_all=(lambda g: g != 0, "Everything but the background in one colour."))
@variants(
    OUTPUT_COLOURED,
    fill_enclosed=(regions.enclosed, "Enclosed background in this colour."),
    fill_outside=(lambda g: (g == 0) & ~regions.enclosed(g), "Background that reaches the edge in this colour."),
    outline=(lambda g: around(g != 0), "The background next to anything, corners too, in this colour."),
    paint_edge=(lambda g: regions.ring(*g.shape) == 0, "The outermost cells in this colour."),
    paint_inside=(lambda g: shrunk(g != 0), "Cells whose eight neighbours are all not background in this colour."),
    fill_boxes_with=(_in_boxes, "The background within each region's bounding box in this colour."),
)
def painted(grid: Grid, colour: int, mask: Callable[[Grid], NDArray[Any]]) -> Grid:
    """The grid with the cells of a mask, those that are not 0 in it, in this colour."""
    return np.where(mask(grid), colour, grid)


@variants(
    cost=0.8,
    keep_commonest=(lambda g: g == commonest(g), "The cells of the most frequent colour but the background alone."),
    keep_rarest=(lambda g: g == rarest(g), "The cells of the least frequent colour alone."),
    remove_commonest=(lambda g: g != commonest(g), "The most frequent colour but background made background."),
)
@variants(
    commonest_to_background=(lambda g: g != commonest_of_all(g), "The most frequent colour of all made background."),
    uniform_rows=(lambda g: (g == g[:, :1]).all(1, keepdims=True), "The rows of a single colour alone."),
    hollow=(lambda g: ~shrunk(g != 0), "Without the cells whose eight neighbours are all not background."),
)
def _kept(grid: Grid, mask: Callable[[Grid], Mask]) -> Grid:
    return np.where(mask(grid), grid, 0)


def _as_most(grid: Grid, labels: Labels, numbers: Iterable[int], asked: Callable[[Mask], Mask]) -> Grid:
    """Each region that has one of the numbers in the most frequent colour of the cells `asked` for it, if there are."""
    coloured = grid.copy()
    for number in numbers:
        own = labels == number
        if (cells := grid[asked(own)]).size:
            coloured[own] = np.bincount(cells).argmax()
    return coloured


@register(UNARY)
def fill_enclosed_as_around(grid: Grid) -> Grid:
    """Enclosed background in the most frequent colour around it."""
    count, labels = regions.label(regions.enclosed(grid), diagonal=False)
    return _as_most(grid, labels, range(1, count + 1), around)


@register(UNARY)
def enclosed_only(grid: Grid) -> Grid:
    """Enclosed background in the most frequent colour, all else background."""
    return np.where(regions.enclosed(grid), commonest(grid), 0)


@register(OUTPUT_COLOURED)
def fill_box_of_all(grid: Grid, colour: int) -> Grid | None:
    """The background within the box around everything in this colour."""
    box = regions.box(grid != 0)
    if box is None:
        return None
    filled = grid.copy()
    filled[box][grid[box] == 0] = colour
    return filled


@variants(
    grow=(SQUARE, "Everything a cell larger, corners too."),
    grow_sides=(CROSS, "Everything a cell larger, by its sides."),
)
def _larger(grid: Grid, kernel: np.ndarray) -> Grid:
    return np.where(grid == 0, cv2.dilate(np.ascontiguousarray(grid), kernel), grid)


@register(UNARY)
def fill_each_as_commonest(grid: Grid) -> Grid:
    """Every region of any colours in its own most frequent colour."""
    return place(grid, regions.of_any_diagonal(grid), lambda r: r.colour)


@register(UNARY)
def remove_single(grid: Grid) -> Grid:
    """Without regions of a single cell."""
    return only(grid, regions.of_colour_diagonal(grid), lambda r: r.size > 1)


@variants(
    largest_only=(lambda size, sizes: size == max(sizes), "The largest region of one colour alone."),
    largest_removed=(lambda size, sizes: size < max(sizes), "Without the largest region of one colour."),
    smallest_only=(lambda size, sizes: size == min(sizes), "The smallest region of one colour alone."),
)
def _by_size(grid: Grid, keep: Callable[[int, Sequence[int]], bool]) -> Grid | None:
    sizes = [region.size for region in regions.of_colour(grid)]
    return only(grid, regions.of_colour(grid), lambda r: keep(r.size, sizes)) if sizes else None


@register(UNARY)
def at_edge_removed(grid: Grid) -> Grid:
    """Without regions that touch the edge."""
    return only(grid, regions.of_colour(grid), lambda r: not r.at_edge(grid.shape))


@register(UNARY)
def denoise(grid: Grid) -> Grid:
    """Every cell in the most frequent colour of the nine around it, if that colour has at least five of them."""
    colours = [(grid == c).astype(np.float32) for c in range(COLOURS)]
    votes = np.stack([cv2.blur(mask, (3, 3), borderType=cv2.BORDER_REPLICATE) for mask in colours])
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
    _, labels = regions.colour_labels(grid, diagonal=False, background=True)
    sizes = np.bincount(labels.ravel())
    return _as_most(grid, labels, np.flatnonzero((sizes > 0) & (sizes <= 2)), around)


@register(UNARY)
def number_of_cells_as_colour(grid: Grid) -> Grid:
    """Every region in the colour whose number is the count of its cells, at most nine."""
    return place(np.zeros_like(grid), regions.of_colour_diagonal(grid), lambda r: min(r.size, 9))


def exchanged(grid: Grid, one: int, other: int) -> Grid:
    """The grid with two colours exchanged."""
    lookup = np.arange(COLOURS, dtype=np.uint8)
    lookup[[one, other]] = other, one
    return lookup[grid]


@register(UNARY)
def exchange_two(grid: Grid) -> Grid | None:
    """The only two colours but the background exchanged."""
    present = regions.by_frequency(grid)
    return exchanged(grid, *present) if len(present) == 2 else None


@variants(  # not by turning the grid: where boxes overlap, their order matters
    each_flipped_left_right=(np.fliplr, "Every region of any colours exchanged left and right in its place."),
    each_flipped_up_down=(np.flipud, "Every region of any colours exchanged top and bottom in its place."),
    each_inside_out=(exchange_two, "Every region of two colours with its colours exchanged."),
)
def _each(grid: Grid, change: Callable[[Grid], Grid | None]) -> Grid | None:
    """Every region of any colours changed within its box, or as it was where it cannot be."""
    things = regions.of_any_diagonal(grid)
    changed = np.zeros_like(grid)
    for region in things:
        own = change(region.alone)
        own = region.alone if own is None else own
        changed[region.box][own != 0] = own[own != 0]
    return changed if things else None


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
    return _as_most(grid, labels, range(1, count + 1), lambda own: own & seeds)


@register(INPUT_COLOURED)
def flood(grid: Grid, colour: int) -> Grid:
    """Cells of this colour spread over all background they reach by sides."""
    return _flood(grid, np.asarray(grid == colour))


@register(UNARY)
def flood_from_rare(grid: Grid) -> Grid:
    """All colours but the most frequent one spread over all background they reach by sides."""
    return _flood(grid, np.asarray((grid != 0) & (grid != commonest(grid))))
