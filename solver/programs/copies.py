"""Primitives that complete copies of a picture from what is there of them.

Knows nothing of tasks. Law: as in `registry`; colour 0 is the background.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solver.core import Grid
from solver.programs import regions
from solver.programs.registry import UNARY, register

THINGS = 24  # things in a grid beyond which none is a copy
MODELS = 4  # things of several colours that may be a model, the largest first
CELLS = 80  # cells of a model at most
LEAST = 3  # cells of a model at least
TRIED = 10_000  # cells of all places tried for one model, beyond which it is none

Places = NDArray[np.int64]


def _turns(part: Grid) -> list[Grid]:
    """The eight ways to lay it, each different one once, as it is first."""
    every = [np.rot90(p, k) for p in (part, part[:, ::-1]) for k in range(4)]
    return list({(p.shape, p.tobytes()): p for p in every}.values())


@regions.remembered
def _completed(grid: Grid) -> tuple[Grid, Grid] | None:
    """The grid with copies completed, and the models they are copies of alone; None where there are none."""
    found = regions.of_any_diagonal(grid)
    models = [r for r in found if len(np.unique(r.cells[r.mask])) > 1 and LEAST <= r.size <= CELLS]
    if not models or not 2 <= len(found) <= THINGS:
        return None
    _, labels = regions.label(grid != 0, diagonal=True)
    side = max(grid.shape)
    wide, wide_labels = np.pad(grid, side), np.pad(labels, side)
    first = {int(labels[labels > 0][k]): tuple(np.argwhere(labels > 0)[k]) for k in _firsts(labels)}
    sizes = np.bincount(labels.ravel())
    best: dict[int, tuple[int, int, Places, NDArray[np.uint8]]] = {}
    for m, model in enumerate(sorted(models, key=lambda r: -r.size)[:MODELS]):
        own = int(labels[model.top : model.top + model.mask.shape[0]][:, model.left : model.left + model.mask.shape[1]]
                  [model.mask][0])  # fmt: skip
        for laid in _turns(model.alone):
            cells = np.argwhere(laid != 0)
            colours = laid[laid != 0]
            numbers, offsets = [], []
            for number, place in first.items():
                if number != own and sizes[number] < model.size:
                    alike = np.asarray(place) - cells[colours == grid[place]]
                    numbers += [number] * len(alike)
                    offsets.append(alike)
            if not 0 < len(numbers) * len(cells) <= TRIED:
                continue
            places = np.concatenate(offsets)[:, None] + cells[None]
            at = np.clip(places + side, 0, 3 * side - 1)
            at = np.minimum(at, np.array(wide.shape) - 1)
            under = wide[at[..., 0], at[..., 1]]
            alike_ = under == colours
            wholly = (alike_ & (wide_labels[at[..., 0], at[..., 1]] == np.array(numbers)[:, None])).sum(1)
            fits = (alike_ | (under == 0)).all(1) & (wholly == sizes[numbers])
            for k in np.flatnonzero(fits):
                score = int(alike_[k].sum())
                if score < model.size and score > best.get(numbers[k], (0,))[0]:
                    best[numbers[k]] = score, m, places[k], colours
    if not best:
        return None
    made, used = grid.copy(), np.zeros_like(grid)
    for _, m, places, colours in best.values():
        inside = ((places >= 0) & (places < np.array(grid.shape))).all(1)
        made[places[inside, 0], places[inside, 1]] = colours[inside]
        model = sorted(models, key=lambda r: -r.size)[m]
        part = used[model.top : model.top + model.mask.shape[0], model.left : model.left + model.mask.shape[1]]
        part[model.mask] = model.cells[model.mask]
    return made, used


def _firsts(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """For each label where it comes first among the labelled cells."""
    return np.unique(labels[labels > 0], return_index=True)[1]


@register(UNARY)
def copies_completed(grid: Grid) -> Grid | None:
    """Things that are part of a larger one of several colours, turned or mirrored, made the whole of it."""
    found = _completed(grid)
    return found[0] if found else None


@register(UNARY)
def copies_without_model(grid: Grid) -> Grid | None:
    """Things that are part of a larger one of several colours made the whole of it, and that one taken away."""
    found = _completed(grid)
    return np.where(found[1] != 0, 0, found[0]) if found else None
