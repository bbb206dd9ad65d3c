"""Transformations for training data alone: grids shifted, doubled by their mirror image, scaled, repeated, and chains.

Not views: most cannot be taken back, so nothing is sampled through them (`views` has those that can). Law:
no transformation that `draw` gives makes a grid taller or wider than 30 cells.

The kinds are those of arXiv 2411.07279, section 3 and its appendix. There each variant is used once; here one is
drawn for each example, so any number of examples has its share of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from solver.types import MAX_SIDE, Grid

MOST_SHIFT = 4  # cells: the farthest a translation moves a grid along a side
LONGEST_CHAIN = 2  # transformations applied one after another


@dataclass(frozen=True)
class Step:
    """One transformation of a grid."""

    kind: str  # a key of `VARIANTS`
    rows: int = 1  # how many times taller the grid becomes, 1 or 2
    columns: int = 1  # the same of its width
    before: bool = False  # a reflection's mirror image comes above or left of the grid, not below or right of it
    shift: tuple[int, int] = (0, 0)  # cells a translation moves (down, right), around the edges


VARIANTS: dict[str, tuple[Step, ...]] = {
    "translation": (Step("translation"),),
    "reflection": tuple(Step("reflection", *twice, before) for twice in ((2, 1), (1, 2)) for before in (False, True)),
    "scaling": tuple(Step("scaling", *twice) for twice in ((2, 1), (1, 2), (2, 2))),
    "repetition": tuple(Step("repetition", *twice) for twice in ((2, 1), (1, 2), (2, 2))),
}
"""Every kind of transformation with its variants."""


def apply(steps: Sequence[Step], grid: Grid) -> Grid:
    """The grid after these steps, in order."""
    for step in steps:
        grid = _apply(step, grid)
    return grid


def _apply(step: Step, grid: Grid) -> Grid:
    if step.kind == "translation":
        return np.roll(grid, step.shift, axis=(0, 1))
    if step.kind == "scaling":
        return grid.repeat(step.rows, axis=0).repeat(step.columns, axis=1)
    if step.kind == "repetition":
        return np.tile(grid, (step.rows, step.columns))
    axis = 0 if step.rows == 2 else 1
    image = np.flip(grid, axis)
    return np.concatenate([image, grid] if step.before else [grid, image], axis=axis)


def draw(rng: np.random.Generator, kinds: Sequence[str], chains: bool, rows: int, columns: int) -> tuple[Step, ...]:
    """No step, one or, with `chains`, also two, each of a random one of these kinds.

    `rows`, `columns`: of the tallest and the widest grid. What would make them exceed 30 is not drawn from.
    """
    steps: list[Step] = []
    for _ in range(int(rng.integers(1 + (LONGEST_CHAIN if chains else 1)))):
        fitting = ([s for s in VARIANTS[kind] if max(rows * s.rows, columns * s.columns) <= MAX_SIDE] for kind in kinds)
        options = [variants for variants in fitting if variants]
        if not options:
            break
        variants = options[int(rng.integers(len(options)))]
        step = variants[int(rng.integers(len(variants)))]
        if step.kind == "translation":
            down, right = (int(cells) for cells in rng.integers(1, MOST_SHIFT + 1, 2))
            step = replace(step, shift=(down, right))
        steps.append(step)
        rows, columns = rows * step.rows, columns * step.columns
    return tuple(steps)
