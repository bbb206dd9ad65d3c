"""Training batches from a pool of pairs: in-context sequences of one task each, augmented, cut to a token budget.

Knows nothing of models. Law: the batches of a round are a function of (pool, seed, round, augmentation) alone, so
that a run can be resumed anywhere without any state of a generator.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from solver.data import transforms, views
from solver.pretrain.data import COMPOSED, Pool
from solver.pretrain.recipe import Recipe
from solver.pretrain.rows import Row, fill, places
from solver.tokens.grid import GRID, Format
from solver.training.examples import to_example
from solver.types import MAX_SIDE, BadInput, Example, Pair, View, seed_for

LENGTHS = ((512, 0.45), (1024, 0.45), (2048, 0.1))  # tokens a sequence may have: share of sequences; the last: or more
PAIRS = (3, 7)  # pairs a sequence has at least (where they fit) and at most
ORIGINAL_SHARE = 0.12  # of the sequences are ARC's own pairs rather than generated ones
KEEP_BLACK = 0.7  # of the colour permutations leave colour 0 as it is
TURN_ONE_SIDE = 0.25  # of the sequences turn the outputs differently from the inputs: new tasks from old ones
RECOLOUR_ONE_SIDE = 0.1  # of the sequences recolour the outputs differently from the inputs
COMPOSED_SHARE = 0.15  # of the sequences are of composed tasks, where the pool has some
MANY = 12  # pairs from which on a task is drawn as often as any; with fewer, as much less often
MARGIN = 4  # cells of canvas on each side, one of them 1 more
SIDES = ((True, True), (True, False), (False, True))  # grids of a pair that are scaled: (input, output)
TRIES = 1000  # tasks drawn for a sequence before the pool is given up
ROUND = 16  # steps drawn together, so that few places of their rows stay empty


@dataclass(frozen=True)
class Augmentation:
    """What makes new tasks of the pool's, beside views. Shares are of the sequences, 0 to 1, where a draw fits.

    `upscale`: every cell becomes 2 x 2 or 3 x 3, in both grids, in the inputs or in the outputs alone. `pad`: all grids
    lie in a larger canvas of the background (the pair's commonest input colour), with margins that are the same for
    the whole sequence; never where a pair's grids differ in shape. `transform`: cells are shifted around the edges,
    mirrored, scaled or repeated, or two of these one after the other, in both grids, in the inputs or in the outputs
    alone (arXiv 2411.07279 version 1, section 5.1).
    """

    upscale: float = 0.0
    pad: float = 0.0
    transform: float = 0.0


NONE = Augmentation()
Change: TypeAlias = Callable[[Pair], Pair | None]
"""What an augmentation does to each pair of a sequence; None where it does not fit."""


def sequence(
    pool: Pool, rng: np.random.Generator, most: int, format: Format, augmentation: Augmentation = NONE
) -> Example:
    """One task's pairs under random augmentation, at most `most` tokens, the loss on every output after the first.

    The longest of `LENGTHS` stands for all of `most`; so does a shorter one that no two pairs fit into.
    Raises `BadInput` where hardly any task of the pool has two pairs short enough.
    """
    length = int(rng.choice([n for n, _ in LENGTHS], p=[p for _, p in LENGTHS]))
    caps = (most,) if length >= min(most, LENGTHS[-1][0]) else (length, most)
    for cap in caps:
        for _ in range(TRIES):
            task = draw_task(pool, rng)
            drawn = Draw(cap, format, _change(augmentation, rng))
            chosen = drawn.pairs(pool, task, rng)
            if len(chosen) >= 2:
                return to_example(_augment(chosen, rng), format)
    raise BadInput(
        f"no two pairs of one task with together {most} tokens came in {TRIES} draws; expected shorter grids"
    )


def draw_task(pool: Pool, rng: np.random.Generator) -> int:
    """The index of a task: composed ones have `COMPOSED_SHARE`, those with few pairs are drawn less often."""
    edges = _edges(pool)
    if edges is None:
        return int(rng.integers(len(pool.ids)))
    return int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))


@lru_cache(maxsize=2)
def _edges(pool: Pool) -> NDArray[np.float64] | None:
    """Cumulative weights of the tasks, shape [tasks]; None where all are alike."""
    weights = np.array([min(len(pairs), MANY) for pairs in pool.pairs], float)
    composed = np.array([source == COMPOSED for source in pool.sources or [""] * len(pool.ids)])
    if composed.any() and not composed.all():
        weights[composed] *= COMPOSED_SHARE / weights[composed].sum()
        weights[~composed] *= (1 - COMPOSED_SHARE) / weights[~composed].sum()
    return None if (weights == weights[0]).all() else np.cumsum(weights)


@dataclass(frozen=True)
class Draw:
    """What a sequence is to be: at most `cap` tokens in a format, its pairs changed by `change` where there is one."""

    cap: int
    format: Format
    change: Change | None = None

    def pairs(self, pool: Pool, task: int, rng: np.random.Generator) -> list[Pair]:
        """Pairs of a task, its own or generated ones, changed; fewer than 2 where few fit."""
        pairs, own, left = pool.pairs[task], pool.originals[task], self.cap
        takes_own = rng.random() < ORIGINAL_SHARE
        if own < 2 or len(pairs) - own < 2:
            takes_own = 2 * own > len(pairs)  # there are hardly any of the others
        part = pairs[len(pairs) - own :] if takes_own else pairs[: len(pairs) - own]
        wanted = int(rng.integers(PAIRS[0], PAIRS[1] + 1))
        chosen: list[Pair] = []
        for index in rng.permutation(len(part)):
            pair = self.change(part[index]) if self.change else part[index]
            if pair and (length := self.format.longest_pair(pair)) <= left:
                chosen.append(pair)
                left -= length
            if len(chosen) == wanted:
                break
        return chosen


def _change(augmentation: Augmentation, rng: np.random.Generator) -> Change | None:
    """The sequence's augmentation, drawn; None where it has none. A share of 0 draws nothing."""
    if augmentation.upscale and rng.random() < augmentation.upscale:
        factor, sides = int(rng.integers(2, 4)), SIDES[int(rng.integers(len(SIDES)))]
        return partial(upscaled, factor=factor, sides=sides)
    if augmentation.pad and rng.random() < augmentation.pad:
        margins = rng.integers(0, MARGIN + 1, 4)
        margins[int(rng.integers(4))] += 1
        return partial(padded, margins=tuple(margins.tolist()))
    if augmentation.transform and rng.random() < augmentation.transform:
        steps = transforms.draw(rng, tuple(transforms.VARIANTS), chains=True, rows=1, columns=1)
        return partial(transformed, steps=steps, sides=SIDES[int(rng.integers(len(SIDES)))])
    return None


def upscaled(pair: Pair, factor: int, sides: tuple[bool, bool]) -> Pair | None:
    """The pair with every cell of its input and its output, as `sides` says, as factor x factor; None if too large."""
    grids = []
    for grid, wanted in zip((pair.input, pair.output), sides, strict=True):
        if wanted and factor * max(grid.shape) > MAX_SIDE:
            return None
        grids.append(grid.repeat(factor, 0).repeat(factor, 1) if wanted else grid)
    return Pair(*grids)


def transformed(pair: Pair, steps: Sequence[transforms.Step], sides: tuple[bool, bool]) -> Pair | None:
    """The pair after these steps on its input and its output, as `sides` says; None if too large."""
    shown = (pair.input, pair.output)
    grids = [transforms.apply(steps, grid) if wanted else grid for grid, wanted in zip(shown, sides, strict=True)]
    return Pair(*grids) if max(side for grid in grids for side in grid.shape) <= MAX_SIDE else None


def padded(pair: Pair, margins: tuple[int, int, int, int]) -> Pair | None:
    """The pair with so many cells of background above, below, left and right; None if too large or of two shapes."""
    above, below, left, right = margins
    rows, columns = pair.input.shape
    if pair.output.shape != (rows, columns) or max(rows + above + below, columns + left + right) > MAX_SIDE:
        return None
    background = int(np.bincount(pair.input.ravel()).argmax())
    margin = ((above, below), (left, right))
    return Pair(*(np.pad(grid, margin, constant_values=background) for grid in (pair.input, pair.output)))


def _augment(pairs: list[Pair], rng: np.random.Generator) -> list[Pair]:
    shown = View(int(rng.integers(8)), views.draw_colours(rng, bool(rng.random() < KEEP_BLACK)))
    turn = int(rng.integers(8)) if rng.random() < TURN_ONE_SIDE else shown.dihedral
    colours = views.draw_colours(rng, True) if rng.random() < RECOLOUR_ONE_SIDE else shown.colours
    answered = View(turn, colours)
    return [Pair(views.apply(shown, p.input), views.apply(answered, p.output)) for p in pairs]


def one_round(pool: Pool, recipe: Recipe, number: int) -> list[list[Row]]:
    """The batches of round `number`: of `ROUND` steps, each of `recipe.tokens` places in rows of `recipe.row`."""
    rng, of_step = (
        np.random.default_rng(seed_for(recipe.seed, str(number), "pretrain batches")),
        recipe.tokens // recipe.row,
    )
    augmentation = Augmentation(recipe.upscale, recipe.pad)
    rows = full_rows(lambda: sequence(pool, rng, recipe.row, GRID, augmentation), ROUND * of_step, recipe.row, rng)
    return [rows[first : first + of_step] for first in range(0, len(rows), of_step)]


def full_rows(draw: Callable[[], Example], count: int, length: int, rng: np.random.Generator) -> list[Row]:
    """`count` rows of at most `length` places, in random order.

    Sequences are drawn until they would fill all rows, then put where they fit; the last few may fit nowhere.
    """
    drawn, size = list[Example](), 0
    while size < count * length:
        drawn.append(draw())
        size += places(drawn[-1])
    rows = fill(drawn, count, length)
    return [rows[i] for i in rng.permutation(len(rows))]
