"""Primitives that choose one of the parts of a grid, of equals the first, or put parts together."""

from collections.abc import Callable
from functools import reduce

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.registry import JOINS, Parts, define, register, variants
from solver.types import Grid, key

Score = Callable[[Grid], float]


def _same_shapes(parts: Parts) -> bool:
    return len(parts) > 1 and all(p.shape == parts[0].shape for p in parts)


SCORES: dict[str, Score] = {
    "cells": lambda p: float((p != 0).sum()),
    "area": lambda p: float(p.size),
    "colours": lambda p: float((regions.counts(p)[1:] > 0).sum()),
    "height": lambda p: float(p.shape[0]),
    "width": lambda p: float(p.shape[1]),
    "empty": lambda p: float((p == 0).sum()),
    "density": lambda p: float((p != 0).mean()),
    "holes": lambda p: float(regions.holes(p != 0)),
    "regions": lambda p: float(len(regions.of_colour_diagonal(p))),
    "asymmetry": lambda p: -float((p == p[:, ::-1]).all()) - float((p == p[::-1]).all()),
    "other_colours": lambda p: float(((p != 0) & (p != regions.commonest(p))).sum()),
    "colour": lambda p: float(regions.commonest(p)),
}


@variants(
    JOINS,
    most_cells=(("cells", 1), "The part with the highest score for cells."),
    most_area=(("area", 1), "The part with the highest score for area."),
    most_colours=(("colours", 1), "The part with the highest score for colours."),
    most_other_colours=(("other_colours", 1), "The part with the highest score for other colours."),
    least_density=(("density", -1), "The part with the lowest score for density."),
    least_asymmetry=(("asymmetry", -1), "The part with the lowest score for asymmetry."),
)
def _chosen(parts: Parts, by: tuple[str, int]) -> Grid | None:
    values = [by[1] * SCORES[by[0]](p) for p in parts]
    best = max(values)
    return parts[values.index(best)] if len(parts) > 1 and min(values) < best else None


@register(JOINS)
def odd_one_out(parts: Parts) -> Grid | None:
    """The part that is there least often."""
    kinds = [key(p) for p in parts]
    number = [kinds.count(k) for k in kinds]
    if len(parts) < 3 or min(number) == max(number):
        return None
    return parts[number.index(min(number))]


define(JOINS, "only_part", "The part, where there is just one.", lambda parts: parts[0] if len(parts) == 1 else None)


@register(JOINS)
def overlay(parts: Parts) -> Grid | None:
    """Parts of one shape on top of each other, the first on top."""
    return reduce(lambda pile, part: np.where(part != 0, part, pile), parts[::-1]) if _same_shapes(parts) else None


@register(JOINS)
def overlay_reversed(parts: Parts) -> Grid | None:
    """Parts of one shape on top of each other, the last on top."""
    return overlay(parts[::-1])


@register(JOINS)
def in_one(parts: Parts) -> Grid | None:
    """Cells that are not background in exactly one of the parts of one shape."""
    if not _same_shapes(parts):
        return None
    alone = np.sum([p != 0 for p in parts], axis=0) == 1
    return np.where(alone, np.max(parts, axis=0), 0)


@register(JOINS)
def in_none(parts: Parts) -> Grid | None:
    """The most frequent colour where all parts of one shape are background."""
    if not _same_shapes(parts):
        return None
    colour = regions.commonest(np.vstack(parts))
    return np.where(np.any([p != 0 for p in parts], axis=0), 0, colour)


@register(JOINS)
def by_majority(parts: Parts) -> Grid | None:
    """For each cell the colour that most parts of one shape have there."""
    if not _same_shapes(parts):
        return None
    stack = np.array(parts)
    return np.asarray(np.array([(stack == c).sum(0) for c in range(10)]).argmax(0), np.uint8)


@register(JOINS)
def larger_in_colours_of_smaller(parts: Parts) -> Grid | None:
    """The largest part, its cells in the colours the smallest with any, scaled up to its shape, has there."""
    some = sorted((p for p in parts if p.any()), key=lambda p: p.size)
    if not 2 <= len(some) <= 4 or some[0].size == some[-1].size:
        return None
    colours, shape = some[0], some[-1]
    down, right = shape.shape[0] / colours.shape[0], shape.shape[1] / colours.shape[1]
    if down % 1 or right % 1:
        return None
    return np.where(shape != 0, np.kron(colours, np.ones((int(down), int(right)), np.uint8)), 0)


@register(JOINS)
def shape_in_each_colour(parts: Parts) -> Grid | None:
    """Of two parts the one with fewer colours, painted in the colour of each cell of the other in its place."""
    if len(parts) != 2:
        return None
    shape, cells = sorted(parts, key=lambda p: int((regions.counts(p)[1:] > 0).sum()))
    small = shape.shape[0] * cells.shape[0] <= 30 and shape.shape[1] * cells.shape[1] <= 30
    return np.kron(cells, (shape != 0).astype(np.uint8)) if small else None
