"""Primitives that complete copies of a picture from what is there of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Labels, Region
from solver.programs.primitives.registry import UNARY, register
from solver.programs.primitives.shapes import place
from solver.types import Grid, key

THINGS = 24  # things in a grid beyond which none is a copy
MODELS = 4  # things of several colours that may be a model, the largest first
CELLS = 80  # cells of a model at most
LEAST = 3  # cells of a model at least
TRIED = 10_000  # cells of all places tried for one model, beyond which it is none

Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Copy:
    """Where a model's cells would lie, and in which colours. `alike`: how many of them are there already."""

    model: Region
    places: Places
    colours: NDArray[np.uint8]
    alike: int


def _fitting(
    grid: Grid, labels: Labels, things: dict[int, tuple[int, int]], model: Region
) -> Iterator[tuple[int, Copy]]:
    """Copies of the model, laid in all ways, that hold a whole smaller thing and contradict nothing: its number, it."""
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
            yield int(numbers[k]), Copy(model, places[k], colours, int(alike[k].sum()))


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
        for number, copy in _fitting(grid, labels, things, model):
            if number not in best or copy.alike > best[number].alike:
                best[number] = copy
    if not best:
        return None
    completed = grid.copy()
    for copy in best.values():
        inside = ((copy.places >= 0) & (copy.places < np.array(grid.shape))).all(1)
        completed[copy.places[inside, 0], copy.places[inside, 1]] = copy.colours[inside]
    return completed, place(np.zeros_like(grid), (copy.model for copy in best.values()))


@register(UNARY)
def copies_completed(grid: Grid) -> Grid | None:
    """Things that are part of a larger one of several colours, turned or mirrored, made the whole of it."""
    both = _completed(grid)
    return both[0] if both else None


@register(UNARY)
def copies_without_model(grid: Grid) -> Grid | None:
    """Things that are part of a larger one of several colours made the whole of it, and that one taken away."""
    both = _completed(grid)
    return np.where(both[1] != 0, 0, both[0]) if both else None
