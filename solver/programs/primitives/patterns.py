"""Primitives that complete symmetric and repeating patterns; what a pattern does not say stays as it was."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from solver.data.views import DIHEDRALS, dihedral
from solver.programs.primitives.regions import Mask, box, of_colour_diagonal
from solver.programs.primitives.registry import INPUT_COLOURED, UNARY, in_directions, register
from solver.types import Grid

SLACK = 8  # cells an axis of symmetry may lie off the middle


def _under(grid: Grid, other: Grid) -> Grid:
    return np.where(grid != 0, grid, other)


@in_directions(
    with_mirror_left_right=(0, "Background taken from the mirror image, left and right exchanged."),
    with_mirror_up_down=(4, "Background taken from the mirror image, top and bottom exchanged."),
)
def _with_mirror(grid: Grid) -> Grid:
    return _under(grid, grid[:, ::-1])


@register(UNARY)
def all_symmetries_in_place(grid: Grid) -> Grid | None:
    """What is there made symmetric in all eight ways within the square around it."""
    around = box(grid != 0)
    if around is None:
        return None
    part = grid[around]
    if part.shape[0] != part.shape[1]:
        return None
    completed = grid.copy()
    for element in range(DIHEDRALS):
        completed[around] = _under(completed[around], dihedral(part, element))
    return completed


@register(UNARY)
def mirrors_around_symmetric(grid: Grid) -> Grid | None:
    """Everything with its mirror images across the middle of the largest region that is its own mirror image."""
    both = [r for r in of_colour_diagonal(grid) if min(r.mask.shape) > 1
            and (r.mask == r.mask[::-1]).all() and (r.mask == r.mask[:, ::-1]).all()]  # fmt: skip
    if not both:
        return None
    r = max(both, key=lambda r: r.size)
    down, across = 2 * r.top + r.mask.shape[0] - 1, 2 * r.left + r.mask.shape[1] - 1
    i, j = np.nonzero(grid)
    mirrored = grid.copy()
    for rows, columns in ((down - i, j), (i, across - j), (down - i, across - j)):
        inside = (rows >= 0) & (rows < grid.shape[0]) & (columns >= 0) & (columns < grid.shape[1])
        free = mirrored[rows[inside], columns[inside]] == 0
        mirrored[rows[inside][free], columns[inside][free]] = grid[i[inside][free], j[inside][free]]
    return mirrored


def _reflections(grid: Grid, unknown: Mask) -> Iterator[tuple[Grid, Mask]]:
    """Mirror images that agree with the grid wherever both are known, best axis of each kind: (colours, known)."""
    for axis in (0, 1):
        best: tuple[int, Grid, Mask] | None = None
        size = grid.shape[axis]
        for total in sorted(range(size - 1 - SLACK, size + SLACK), key=lambda t: abs(t - size + 1)):
            index = total - np.arange(size)
            inside = (index >= 0) & (index < size)
            source = np.clip(index, 0, size - 1)
            image, hidden = np.take(grid, source, axis), np.take(unknown, source, axis)
            shape = (-1, 1) if axis == 0 else (1, -1)
            known = ~hidden & inside.reshape(shape)
            both = known & ~unknown
            if both.sum() * 3 >= grid.size and (image == grid)[both].all():
                score = int((known & unknown).sum())
                if best is None or score > best[0]:
                    best = score, image, known
        if best is not None and best[0]:
            yield best[1], best[2]
    if grid.shape[0] == grid.shape[1]:
        both = ~unknown & ~unknown.T
        if (grid == grid.T)[both].all():
            yield grid.T, ~unknown.T


def symmetric(grid: Grid, unknown: Mask) -> Grid | None:
    """The unknown cells filled from mirror images, as far as they go; None where none agrees."""
    filled, unknown = grid.copy(), unknown.copy()
    for _ in range(3):
        progress = False
        for image, known in list(_reflections(filled, unknown)):
            use = unknown & known
            filled[use], progress = image[use], progress or bool(use.any())
            unknown &= ~use
        if not progress or not unknown.any():
            break
    return None if unknown.all() or (filled == grid).all() else filled


def _tiled(cells: Grid, places: NDArray[np.int64], size: int) -> Grid | None:
    """All cells from a tile: `places` says which of its `size` cells each repeats.

    The tile is read off what is not background; None where that contradicts itself or says nothing of some place.
    """
    known, tile = cells != 0, np.zeros(size, np.uint8)
    tile[places[known]] = cells[known]
    agree = tile.all() and (tile[places[known]] == cells[known]).all()
    return tile[places] if agree else None


def _periods(grid: Grid) -> list[int]:
    """Numbers of rows, and all rows together, after which nothing contradicts what was there before."""

    def repeats(by: int) -> bool:
        return not ((grid[by:] != grid[:-by]) & (grid[by:] != 0) & (grid[:-by] != 0)).any()

    return [by for by in range(1, len(grid)) if repeats(by)] + [len(grid)]


@register(INPUT_COLOURED)
def complete_symmetry(grid: Grid, colour: int) -> Grid | None:
    """Cells of this colour filled from the grid's mirror images."""
    unknown = grid == colour
    return symmetric(grid, unknown) if unknown.any() else None


@register(UNARY)
def complete_symmetry_of_background(grid: Grid) -> Grid | None:
    """Background filled from the grid's mirror images."""
    return symmetric(grid, grid == 0) if (grid == 0).any() else None


@register(UNARY)
def complete_tiles_of_background(grid: Grid) -> Grid | None:
    """Background filled so that the whole grid repeats a tile."""
    if grid.all() or not grid.any():
        return None
    i, j = np.ogrid[: grid.shape[0], : grid.shape[1]]
    sizes = [(h, w) for h in _periods(grid) for w in _periods(grid.T) if h * w * 2 <= grid.size]
    tiles = (_tiled(grid, i % h * w + j % w, h * w) for h, w in sorted(sizes, key=lambda s: (s[0] * s[1], s)))
    return next((filled for filled in tiles if filled is not None), None)


def _used_rows(grid: Grid) -> int:
    """The rows above the empty ones at the bottom; 0 where there is none, of either."""
    rows = np.flatnonzero((grid != 0).any(1))
    return int(rows[-1]) + 1 if len(rows) and rows[-1] < len(grid) - 1 else 0


@in_directions(
    repeat_down_pattern=(
        0,
        "Empty rows at the bottom continue the rows above, which repeat as often as they do already or are copied.",
    ),
    repeat_right_pattern=(4, "Empty columns at the right continue the columns before them."),
)
def _repeated(grid: Grid) -> Grid | None:
    used = _used_rows(grid)
    if not used:
        return None
    period = next(p for p in range(1, used + 1) if (grid[p:used] == grid[: used - p]).all())
    return np.asarray(grid[np.arange(len(grid)) % period])


@in_directions(
    alternate_rows=(0, "Every second row of the grid, the others background."),
    alternate_columns=(4, "Every second column of the grid, the others background."),
)
def _alternate(grid: Grid) -> Grid:
    return np.where(np.arange(len(grid))[:, None] % 2, 0, grid)


@register(UNARY)
def diagonal_tiles(grid: Grid) -> Grid | None:
    """Colours that repeat along the diagonals, read off what is there, over the whole grid."""
    i, j = np.indices(grid.shape)
    tiles = (_tiled(grid, line % period, period) for period in range(1, 11) for line in (i + j, i - j))
    return next((filled for filled in tiles if filled is not None), None)


@register(UNARY)
def continue_pattern(grid: Grid) -> Grid | None:
    """Empty rows at the bottom continue the rows above, which repeat every few rows, moved sideways each time."""
    used = _used_rows(grid)
    for down in range(1, used // 2 + 1):
        for right in sorted(range(-down - 1, down + 2), key=abs):
            continued = _moved_on(grid, down, right)
            if (continued[:used] == grid[:used]).all():
                return continued
    return None


def _moved_on(grid: Grid, down: int, right: int) -> Grid:
    moved, outside = grid.copy(), slice(right) if right >= 0 else slice(right, None)
    for row in range(down, len(grid)):
        moved[row] = np.roll(moved[row - down], right)
        moved[row, outside] = grid[row, outside]
    return moved


@in_directions(
    continue_rows=(0, "Every row goes on to the right as it began, with the shortest period."),
    continue_columns=(4, "Every column goes on downwards as it began, with the shortest period."),
    continue_columns_up=(3, "Every column goes on upwards as it began at the bottom, with the shortest period."),
)
def _continued(grid: Grid) -> Grid:
    continued = grid.copy()
    for line in continued:
        known = np.flatnonzero(line)
        if len(known) < 2 or known[-1] == len(line) - 1:
            continue
        begun = line[: known[-1] + 1].tobytes()
        period = next((p for p in range(1, len(begun)) if begun[p:] == begun[:-p]), 0)
        if period:
            line[:] = line[np.arange(len(line)) % period]
    return continued


@in_directions(
    fill_rows_periodically=(0, "Background in each row filled by repeating the shortest tile without background."),
    fill_columns_periodically=(
        4,
        "Background in each column filled by repeating the shortest tile without background.",
    ),
)
def _filled_lines(grid: Grid) -> Grid:
    filled = grid.copy()
    for line in filled:
        known, places = np.count_nonzero(line), np.arange(len(line))
        periods = range(1, len(line) // 2 + 1) if 1 < known < len(line) else ()
        tiles = (_tiled(line, places % period, period) for period in periods)
        line[:] = next((tile for tile in tiles if tile is not None), line)
    return filled
