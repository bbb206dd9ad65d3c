"""Colours, objects, drawing and positions, for model-written programs: what `from common import *` gives them.

Written from the interface BARC's papers and prompts describe (arXiv 2411.02272); what only makes random inputs there is
left out. Throughout: a grid or object is an integer array, `x` its first index and `y` its second, so that a cell is
`grid[x, y]`; width counts x, height counts y; an object is a grid where all that is not the object has the background
colour, so that it also says where it lies; a sprite is an object cropped.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Mask = NDArray[np.bool_]
BLACK = 0
CARDINAL = ((-1, 0), (1, 0), (0, -1), (0, 1))
DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))


class Color:
    """The colours 0 to 9 as integers, by the names of BARC's library (first line) and those of its prompts."""

    BLACK, BLUE, RED, GREEN, YELLOW, GREY, PINK, ORANGE, TEAL, MAROON = range(10)
    GRAY, PURPLE, BROWN, LIGHTBLUE, LIGHT_BLUE = GREY, TEAL, MAROON, TEAL, TEAL
    ALL_COLORS: ClassVar[list[int]] = list(range(10))
    NOT_BLACK: ClassVar[list[int]] = list(range(1, 10))


def _steps(connectivity: int) -> tuple[tuple[int, int], ...]:
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity {connectivity} came, 4 or 8 was expected")
    return CARDINAL if connectivity == 4 else CARDINAL + DIAGONAL


def _grown(mask: Mask, connectivity: int) -> Mask:
    """The mask with the neighbours of its cells."""
    padded = np.pad(mask, 1)
    grown = mask.copy()
    for dx, dy in _steps(connectivity):
        grown |= padded[1 + dx : 1 + dx + mask.shape[0], 1 + dy : 1 + dy + mask.shape[1]]
    return grown


def _region(allowed: Mask, x: int, y: int, connectivity: int) -> Mask:
    """The cells of `allowed` that can be reached from (x, y), which is one of them."""
    region = np.zeros_like(allowed)
    region[x, y] = True
    while not np.array_equal(region, wider := _grown(region, connectivity) & allowed):
        region = wider
    return region


def flood_fill(grid: Array, x: int, y: int, color: int, connectivity: int = 4) -> None:
    """Give the region of one colour around (x, y) another colour, in place."""
    grid[_region(grid == grid[x, y], x, y, connectivity)] = color


@dataclass(frozen=True)
class Stroke:
    """A line from (x, y) to an end, or for `length` cells (None: to the edge) in a direction.

    It ends before a cell whose colour is in `stop_at_color`.
    """

    x: int
    y: int
    end_x: int | None = None
    end_y: int | None = None
    length: int | None = None
    direction: tuple[float, float] | None = None
    color: int | None = None
    stop_at_color: Iterable[int] = ()

    def draw(self, grid: Array) -> tuple[int, int]:
        """Draw it in place; the last cell drawn."""
        if self.direction is None:
            dx = 0 if self.end_x is None else self.end_x - self.x
            dy = 0 if self.end_y is None else self.end_y - self.y
            cells = max(abs(dx), abs(dy)) + 1
            step = (dx / max(cells - 1, 1), dy / max(cells - 1, 1))
        else:
            cells = max(grid.shape) if self.length is None else self.length
            step = self.direction
        stops, last = set(self.stop_at_color), (self.x, self.y)
        for i in range(cells):
            place = (round(self.x + i * step[0]), round(self.y + i * step[1]))
            inside = 0 <= place[0] < grid.shape[0] and 0 <= place[1] < grid.shape[1]
            if not inside or int(grid[place]) in stops:
                break
            if self.color is not None:
                grid[place] = self.color
            last = place
        return last


def draw_line(grid: Array, *arguments: Any, **named: Any) -> tuple[int, int]:
    """Draw a line, with the arguments of `Stroke`, in place; the last cell drawn."""
    return Stroke(*arguments, **named).draw(grid)


def blit(grid: Array, sprite: Array, x: int = 0, y: int = 0, background: int | None = None) -> Array:
    """Copy a sprite into a grid with its first cell at (x, y), in place; what falls outside is cut off.

    Cells of the colour `background` (None: there is none) are transparent.
    """
    left, top = max(0, -x), max(0, -y)
    part = sprite[left : max(left, grid.shape[0] - x), top : max(top, grid.shape[1] - y)]
    target = grid[x + left : x + left + part.shape[0], y + top : y + top + part.shape[1]]
    shown = np.ones(part.shape, dtype=bool) if background is None else part != background
    target[shown] = part[shown]
    return grid


def blit_object(grid: Array, obj: Array, background: int = BLACK) -> Array:
    """Draw an object where it lies, in place."""
    return blit(grid, obj, 0, 0, background)


def blit_sprite(grid: Array, sprite: Array, x: int, y: int, background: int = BLACK) -> Array:
    """Draw a sprite with its first cell at (x, y), in place."""
    return blit(grid, sprite, x, y, background)


def scale_sprite(sprite: Array, factor: int) -> Array:
    """Each cell as a square of factor × factor cells."""
    return np.kron(sprite, np.ones((factor, factor), dtype=sprite.dtype))


def scale_pattern(pattern: Array, scale_factor: int) -> Array:
    """The same as `scale_sprite`."""
    return scale_sprite(pattern, scale_factor)


def bounding_box(grid: Array, background: int = BLACK) -> tuple[int, int, int, int]:
    """(x, y, width, height) of what is not background; (0, 0, 0, 0) where there is nothing."""
    cells = np.argwhere(grid != background)
    if not len(cells):
        return 0, 0, 0, 0
    (x, y), (far_x, far_y) = cells.min(axis=0).tolist(), cells.max(axis=0).tolist()
    return x, y, far_x - x + 1, far_y - y + 1


def bounding_box_mask(grid: Array, background: int = BLACK) -> Mask:
    """True inside the bounding box."""
    x, y, width, height = bounding_box(grid, background)
    mask = np.zeros(grid.shape, dtype=bool)
    mask[x : x + width, y : y + height] = True
    return mask


def crop(grid: Array, background: int = BLACK) -> Array:
    """What is inside the bounding box, as an array of its own."""
    x, y, width, height = bounding_box(grid, background)
    return grid[x : x + width, y : y + height].copy()


def translate(obj: Array, x: int, y: int, background: int = BLACK) -> Array:
    """The object moved by (x, y) in a grid of the same shape; what falls outside is lost."""
    return blit(np.full_like(obj, background), obj, x, y)


def object_position(obj: Array, background: int = BLACK, anchor: str = "upper left") -> tuple[float, float]:
    """(x, y) of a point of the bounding box: `upper`, `lower`, `center` for y, `left`, `right`, `center` for x."""
    x, y, width, height = bounding_box(obj, background)
    words = anchor.split()
    if not set(words) <= {"upper", "lower", "left", "right", "center"} or not words:
        raise ValueError(f"anchor {anchor!r} came, such as 'upper left' or 'center' was expected")
    at_x = x if "left" in words else x + width - 1 if "right" in words else x + (width - 1) / 2
    at_y = y if "upper" in words else y + height - 1 if "lower" in words else y + (height - 1) / 2
    return (int(at_x) if at_x == int(at_x) else at_x), (int(at_y) if at_y == int(at_y) else at_y)


def object_colors(obj: Array, background: int = BLACK) -> list[int]:
    """The colours of an object, ascending."""
    return [int(colour) for colour in np.unique(obj) if colour != background]


@dataclass(frozen=True, eq=False)
class Placed:
    """Two objects or sprites, moved by (x1, y1) and (x2, y2). The first argument is not looked at.

    `connectivity`: they may touch along a side (4), or at a corner as well (8).
    """

    _: object = None
    object1: Array | None = None
    object2: Array | None = None
    x1: int = 0
    y1: int = 0
    x2: int = 0
    y2: int = 0
    background: int = BLACK
    connectivity: int = 4

    def cells(self) -> list[set[tuple[int, int]]]:
        """The cells of each."""
        if self.object1 is None or self.object2 is None:
            raise TypeError("no object1 or object2 came, both were expected")
        both = ((self.object1, self.x1, self.y1), (self.object2, self.x2, self.y2))
        return [{(int(i) + x, int(j) + y) for i, j in np.argwhere(o != self.background)} for o, x, y in both]


def collision(*arguments: Any, **named: Any) -> bool:
    """Whether two objects or sprites, with the arguments of `Placed`, share a cell."""
    first, second = Placed(*arguments, **named).cells()
    return bool(first & second)


def contact(*arguments: Any, **named: Any) -> bool:
    """Whether two objects or sprites, with the arguments of `Placed`, share a cell or touch."""
    placed = Placed(*arguments, **named)
    first, second = placed.cells()
    near = {(x + dx, y + dy) for x, y in first for dx, dy in (*_steps(placed.connectivity), (0, 0))}
    return bool(near & second)


def check_between_objects(obj1: Array, obj2: Array, x: int, y: int, padding: int = 0, background: int = BLACK) -> bool:
    """Whether (x, y) lies in the gap between two objects that face each other, `padding` cells from the gap's sides."""
    boxes = [bounding_box(obj, background) for obj in (obj1, obj2)]
    spans = [((i, i + width - 1), (j, j + height - 1)) for i, j, width, height in boxes]
    for axis, place, across in ((0, x, y), (1, y, x)):
        (_, near), (far, _) = sorted(span[axis] for span in spans)
        low, high = max(span[1 - axis][0] for span in spans), min(span[1 - axis][1] for span in spans)
        if near < place < far and low + padding <= across <= high - padding:
            return True
    return False


def find_connected_components(
    grid: Array, background: int = BLACK, connectivity: int = 4, monochromatic: bool = True
) -> list[Array]:
    """The connected regions that are not background, each as an object, in the order of their first cells.

    `monochromatic`: a region ends where the colour changes.
    """
    left, components = grid != background, []
    for x, y in np.argwhere(left):
        if left[x, y]:
            same = (grid == grid[x, y]) & left if monochromatic else left
            region = _region(same, int(x), int(y), connectivity)
            left = left & ~region
            components.append(np.where(region, grid, background))
    return components


@dataclass(frozen=True, eq=False)
class Wanted:
    """What objects are looked for: of these (width, height) and colours alone (None: any), as the predicate says.

    `connectivity` None: regions that touch at corners are tried first, then those that touch along sides. Unless
    `can_overlap`, an object that shares a cell with one found before it is left out.
    """

    predicate: Callable[[Array], bool] | None = None
    background: int = BLACK
    monochromatic: bool = False
    connectivity: int | None = None
    allowed_dimensions: Sequence[tuple[int, int]] | None = None
    colors: Sequence[int] | None = None
    can_overlap: bool = False

    def admits(self, obj: Array, others: Sequence[Array]) -> bool:
        """Whether an object is as wanted, none of the others, and apart from them where it must be."""
        own, shape = obj != self.background, bounding_box(obj, self.background)[2:]
        if self.allowed_dimensions is not None and shape not in map(tuple, self.allowed_dimensions):
            return False
        if self.colors is not None and not set(object_colors(obj, self.background)) <= set(self.colors):
            return False
        if any(np.array_equal(obj, other) for other in others):
            return False
        if not self.can_overlap and any((own & (other != self.background)).any() for other in others):
            return False
        return self.predicate is None or bool(self.predicate(obj))


def detect_objects(grid: Array | None = None, _: object = None, *arguments: Any, **named: Any) -> list[Array]:
    """Connected regions that fit a description: the arguments of `Wanted`."""
    wanted = Wanted(*arguments, **named)
    if grid is None:
        raise TypeError("no grid came, one was expected")
    objects: list[Array] = []
    for kind in (8, 4) if wanted.connectivity is None else (wanted.connectivity,):
        for obj in find_connected_components(grid, wanted.background, kind, wanted.monochromatic):
            if wanted.admits(obj, objects):
                objects.append(obj)
    return objects


def is_contiguous(bitmask: Array, background: int = BLACK, connectivity: int = 4) -> bool:
    """Whether what is not background is one connected region."""
    return len(find_connected_components(bitmask, background, connectivity, monochromatic=False)) == 1


def object_interior(grid: Array, background: int = BLACK) -> Mask:
    """True on the object and on what it encloses: what cannot be reached from outside along the background's sides."""
    around = np.pad(grid == background, 1, constant_values=True)
    return ~_region(around, 0, 0, 4)[1:-1, 1:-1]


def object_boundary(grid: Array, background: int = BLACK) -> Mask:
    """True on the cells of the object that have a side towards the outside or at the edge of the grid."""
    outside = np.pad(~object_interior(grid, background), 1, constant_values=True)
    return _grown(outside, 4)[1:-1, 1:-1] & ~outside[1:-1, 1:-1]


def object_neighbors(grid: Array, background: int = BLACK, connectivity: int = 4) -> Mask:
    """True on the background cells beside the object."""
    mask: Mask = grid != background
    return _grown(mask, connectivity) & ~mask
