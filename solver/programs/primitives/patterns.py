"""Primitives that complete symmetric and repeating patterns, and copies of a picture; what they do not say stays."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from solver.data.views import DIHEDRALS, dihedral
from solver.programs.primitives import regions
from solver.programs.primitives.regions import Labels, Mask, Region, box, of_colour_diagonal, period, under
from solver.programs.primitives.registry import INPUT_COLOURED, UNARY, in_directions, register, variants
from solver.programs.primitives.shapes import place
from solver.types import Grid, key

T = TypeVar("T", bound=np.generic)
SLACK = 8  # cells an axis of symmetry may lie off the middle
THINGS = 24  # things in a grid beyond which none is a copy
MODELS = 4  # things of several colours that may be a model, the largest first
LEAST, CELLS = 3, 80  # cells of a model, at least and at most
TRIED = 10_000  # cells of all places tried for one model, beyond which it is none


@in_directions(
    with_mirror_left_right=(0, "Background taken from the mirror image, left and right exchanged."),
    with_mirror_up_down=(4, "Background taken from the mirror image, top and bottom exchanged."),
)
def _with_mirror(grid: Grid) -> Grid:
    return under(grid, grid[:, ::-1])


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
    completed[around] = reduce(under, (dihedral(part, element) for element in range(DIHEDRALS)))
    return completed


@register(UNARY)
def mirrors_around_symmetric(grid: Grid) -> Grid | None:
    """Everything with its mirror images across the middle of the largest region that is its own mirror image."""
    both = [r for r in of_colour_diagonal(grid) if min(r.mask.shape) > 1
            and (r.mask == r.mask[::-1]).all() and (r.mask == r.mask[:, ::-1]).all()]  # fmt: skip
    if not both:
        return None
    rows, columns = max(both, key=lambda r: r.size).box
    down, across = rows.start + rows.stop - 1, columns.start + columns.stop - 1
    upside_down = _mirrored(grid, down)
    return reduce(under, (grid, upside_down, _mirrored(grid.T, across).T, _mirrored(upside_down.T, across).T))


def _mirrored(cells: NDArray[T], total: int) -> NDArray[T]:
    """The mirror image, top and bottom exchanged, in which each two rows with this sum of numbers change places."""
    rows = total - np.arange(len(cells))
    inside = (rows >= 0) & (rows < len(cells))
    mirrored = np.zeros_like(cells)
    mirrored[inside] = cells[rows[inside]]
    return mirrored


def _reflections(grid: Grid, unknown: Mask) -> Iterator[tuple[Grid, Mask]]:
    """Mirror images that agree with the grid wherever both are known, best axis of each kind: (colours, known)."""
    for way in (np.asarray, np.transpose):  # up and down, left and right
        cells, hidden = way(grid), way(unknown)
        middle, images = len(cells) - 1, []
        for total in sorted(range(middle - SLACK, middle + SLACK + 1), key=lambda t: abs(t - middle)):
            image, known = _mirrored(cells, total), _mirrored(~hidden, total)
            both = known & ~hidden
            if both.sum() * 3 >= grid.size and (image == cells)[both].all():
                images.append((image, known))
        if images:
            image, known = max(images, key=lambda pair: np.count_nonzero(pair[1] & hidden))
            yield way(image), way(known)
    if grid.shape[0] == grid.shape[1] and (grid == grid.T)[~unknown & ~unknown.T].all():
        yield grid.T, ~unknown.T


def symmetric(grid: Grid, unknown: Mask) -> Grid | None:
    """The unknown cells filled from mirror images, as far as they go; None where none agrees."""
    filled, before = grid, np.zeros_like(unknown)
    for _ in range(3):
        if (unknown == before).all():
            break
        before = unknown
        for image, known in list(_reflections(filled, unknown)):
            filled = np.where(unknown & known, image, filled)
            unknown = unknown & ~known
    return None if unknown.all() or (filled == grid).all() else filled


def _tiled(cells: Grid, tiles: Iterable[tuple[int, NDArray[np.int64]]]) -> Grid | None:
    """All cells from the first tile that fits: (its cells, which of them each cell repeats).

    A tile is read off what is not background; it must not contradict itself or say nothing of some place.
    """
    known = cells != 0
    for size, places in tiles:
        tile = np.zeros(size, np.uint8)
        tile[places[known]] = cells[known]
        if tile.all() and (tile[places[known]] == cells[known]).all():
            return tile[places]
    return None


def _periods(grid: Grid) -> list[int]:
    """Numbers of rows, and all rows together, after which nothing contradicts what was there before."""
    against = ((grid[by:] != grid[:-by]) & (grid[by:] != 0) & (grid[:-by] != 0) for by in range(1, len(grid)))
    return [by for by, cells in enumerate(against, 1) if not cells.any()] + [len(grid)]


@register(INPUT_COLOURED)
def complete_symmetry(grid: Grid, colour: int) -> Grid | None:
    """Cells of this colour filled from the grid's mirror images."""
    return symmetric(grid, np.asarray(grid == colour))


@register(UNARY)
def complete_symmetry_of_background(grid: Grid) -> Grid | None:
    """Background filled from the grid's mirror images."""
    return symmetric(grid, np.asarray(grid == 0))


@register(UNARY)
def complete_tiles_of_background(grid: Grid) -> Grid | None:
    """Background filled so that the whole grid repeats a tile."""
    if grid.all() or not grid.any():
        return None
    i, j = np.ogrid[: grid.shape[0], : grid.shape[1]]
    sizes = sorted((h * w, h, w) for h in _periods(grid) for w in _periods(grid.T) if h * w * 2 <= grid.size)
    return _tiled(grid, ((size, i % h * w + j % w) for size, h, w in sizes))


def _used_rows(grid: Grid) -> int:
    """The rows above the empty ones at the bottom; 0 where there is none, of either."""
    rows = np.flatnonzero((grid != 0).any(1))
    return int(rows[-1]) + 1 if len(rows) and rows[-1] < len(grid) - 1 else 0


@in_directions(
    repeat_down_pattern=(0, "Empty rows at the bottom continue the rows above: their own repetition, or a copy."),
    repeat_right_pattern=(4, "Empty columns at the right continue the columns before them."),
)
def _repeated(grid: Grid) -> Grid | None:
    used = _used_rows(grid)
    return grid[np.arange(len(grid)) % period(grid[:used].tolist())] if used else None


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
    return _tiled(grid, ((size, line % size) for size in range(1, 11) for line in (i + j, i - j)))


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
        every = period(line[: known[-1] + 1].tobytes())
        if every <= known[-1]:
            line[:] = line[np.arange(len(line)) % every]
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
        if 1 < np.count_nonzero(line) < len(line):
            tiles = ((size, np.arange(len(line)) % size) for size in range(1, len(line) // 2 + 1))
            tiled = _tiled(line, tiles)
            line[:] = line if tiled is None else tiled
    return filled


@dataclass(frozen=True, eq=False)
class Copy:
    """Where a model's cells would lie around a thing, [cells, 2], and in which colours; how many are there already."""

    thing: int
    model: Region
    places: NDArray[np.int64]
    colours: NDArray[np.uint8]
    alike: int


def _fitting(grid: Grid, labels: Labels, things: dict[int, tuple[int, int]], model: Region) -> Iterator[Copy]:
    """Copies of the model, laid in all ways, that hold a whole smaller thing and contradict nothing."""
    side = max(grid.shape)
    wide, wide_labels = np.pad(grid, side), np.pad(labels, side)
    sizes = np.bincount(labels.ravel())
    ways = [np.rot90(part, turns) for part in (model.alone, model.alone[:, ::-1]) for turns in range(4)]
    for laid in {key(way): way for way in ways}.values():  # each different way to lay it once
        cells, colours = np.argwhere(laid != 0), laid[laid != 0]
        starts = {n: np.array(p) - cells[colours == grid[p]] for n, p in things.items() if sizes[n] < model.size}
        numbers = np.repeat(list(starts), [len(s) for s in starts.values()]).astype(np.int64)
        if not 0 < len(numbers) * len(cells) <= TRIED:
            continue
        places = np.concatenate(list(starts.values()))[:, None] + cells
        at = np.clip(places + side, 0, np.array(wide.shape) - 1)
        under = wide[at[..., 0], at[..., 1]]
        alike = under == colours
        held = (alike & (wide_labels[at[..., 0], at[..., 1]] == numbers[:, None])).sum(1)
        fits = (alike | (under == 0)).all(1) & (held == sizes[numbers]) & (alike.sum(1) < model.size)
        for k in np.flatnonzero(fits):
            yield Copy(int(numbers[k]), model, places[k], colours, int(alike[k].sum()))


@regions.remembered
def _completed(grid: Grid) -> tuple[Grid, Grid] | None:
    """The grid with copies completed, and the models they are copies of alone; None where there are none."""
    all_things = regions.of_any_diagonal(grid)
    models = [r for r in all_things if len(np.unique(r.cells[r.mask])) > 1 and LEAST <= r.size <= CELLS]
    if not models or not 2 <= len(all_things) <= THINGS:
        return None
    _, labels = regions.label(grid != 0, diagonal=True)
    firsts = np.argwhere(labels > 0)[np.unique(labels[labels > 0], return_index=True)[1]]
    things = {int(labels[i, j]): (int(i), int(j)) for i, j in firsts}
    best: dict[int, Copy] = {}
    for model in sorted(models, key=lambda r: -r.size)[:MODELS]:
        for copy in _fitting(grid, labels, things, model):
            if copy.thing not in best or copy.alike > best[copy.thing].alike:
                best[copy.thing] = copy
    if not best:
        return None
    completed = grid.copy()
    for copy in best.values():
        inside = ((copy.places >= 0) & (copy.places < np.array(grid.shape))).all(1)
        completed[copy.places[inside, 0], copy.places[inside, 1]] = copy.colours[inside]
    return completed, place(np.zeros_like(grid), (copy.model for copy in best.values()))


@variants(
    copies_completed=(False, "Parts of a larger thing of several colours, turned or mirrored, made the whole of it."),
    copies_without_model=(True, "Parts of a larger thing of several colours made the whole of it, which goes itself."),
)
def _copies(grid: Grid, without_model: bool) -> Grid | None:
    if (both := _completed(grid)) is None:
        return None
    completed, models = both
    return np.where(models != 0, 0, completed) if without_model else completed
