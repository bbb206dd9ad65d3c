"""Training batches from a pool of pairs: in-context sequences of one task each, augmented, cut to a token budget.

Knows nothing of models. Law: the batches of a round are a function of (pool, seed, round, augmentation) alone, so
that a run can be resumed anywhere without any state of a generator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from solver import augment
from solver.core import MAX_SIDE, Example, Pair, View, seed_for
from solver.examples import to_example
from solver.pretrain.data import COMPOSED, Pool
from solver.tasks import BadInput

LENGTHS = ((512, 0.45), (1024, 0.45), (2048, 0.1))  # tokens a sequence may have: share of sequences
PAIRS = (3, 7)  # pairs a sequence has at least (where they fit) and at most
ORIGINAL_SHARE = 0.12  # of the sequences are ARC's own pairs rather than generated ones
KEEP_BLACK = 0.7  # of the colour permutations leave colour 0 as it is
TURN_ONE_SIDE = 0.25  # of the sequences turn the outputs differently from the inputs: new tasks from old ones
RECOLOUR_ONE_SIDE = 0.1  # of the sequences recolour the outputs differently from the inputs
COMPOSED_SHARE = 0.15  # of the sequences are of composed tasks, where the pool has some
MANY = 12  # pairs from which on a task is drawn as often as any; with fewer, as much less often
MARGIN = 4  # cells of canvas on each side, one of them 1 more
TRIES = 1000  # tasks drawn for a sequence before the pool is given up
ROUND = 16  # steps drawn and sorted by length together, so that workers get equal shares


@dataclass(frozen=True)
class Augmentation:
    """What makes new tasks of the pool's, beside views. Shares are of the sequences, 0 to 1, where a draw fits.

    `upscale`: every cell becomes 2 x 2 or 3 x 3, in both grids, in the inputs or in the outputs alone. `pad`: all grids
    lie in a larger canvas of the background (the pair's commonest input colour), with margins that are the same for
    the whole sequence; never where a pair's grids differ in shape.
    """

    upscale: float = 0.0
    pad: float = 0.0


NONE = Augmentation()


class Change(Protocol):
    """What an augmentation does to each pair of a sequence."""

    def sides(self, sides: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows and columns of inputs and of outputs, shape [pairs, 4], as they become; beyond 30 where it cannot be."""
        ...

    def apply(self, pair: Pair) -> Pair:
        """The changed pair."""
        ...


@dataclass(frozen=True)
class Upscale:
    """Every cell of inputs and of outputs becomes a square of these sides."""

    inputs: int
    outputs: int

    def sides(self, sides: NDArray[np.int64]) -> NDArray[np.int64]:
        scaled: NDArray[np.int64] = sides * np.array([self.inputs, self.inputs, self.outputs, self.outputs])
        return scaled

    def apply(self, pair: Pair) -> Pair:
        sized = ((pair.input, self.inputs), (pair.output, self.outputs))
        return Pair(*(grid.repeat(factor, 0).repeat(factor, 1) for grid, factor in sized))


@dataclass(frozen=True)
class Pad:
    """Both grids lie in a larger canvas of the input's commonest colour: so many cells more on each side."""

    above: int
    below: int
    left: int
    right: int

    def sides(self, sides: NDArray[np.int64]) -> NDArray[np.int64]:
        alike = (sides[:, :2] == sides[:, 2:]).all(axis=1, keepdims=True)
        rows, columns = self.above + self.below, self.left + self.right
        return np.where(alike, sides + np.array([rows, columns, rows, columns]), MAX_SIDE + 1)

    def apply(self, pair: Pair) -> Pair:
        margins = ((self.above, self.below), (self.left, self.right))
        background = int(np.bincount(pair.input.ravel()).argmax())
        return Pair(*(np.pad(grid, margins, constant_values=background) for grid in (pair.input, pair.output)))


def sequence(pool: Pool, rng: np.random.Generator, augmentation: Augmentation = NONE) -> Example:
    """One task's pairs under random augmentation, the loss on every output after the first.

    Raises `BadInput` where hardly any task of the pool has two pairs short enough.
    """
    cap = int(rng.choice([n for n, _ in LENGTHS], p=[p for _, p in LENGTHS]))
    for _ in range(TRIES):
        task = draw_task(pool, rng)
        chosen = _choose(pool, task, cap, rng, _change(augmentation, rng))
        if len(chosen) >= 2:
            return to_example(_augment(chosen, rng))
    raise BadInput(f"no two pairs of one task with together {cap} tokens came in {TRIES} draws; expected shorter grids")


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


def _choose(pool: Pool, task: int, cap: int, rng: np.random.Generator, change: Change | None = None) -> list[Pair]:
    """Pairs of a task, its own or generated ones, changed, with at most `cap` tokens; fewer than 2 where few fit."""
    count, own = len(pool.pairs[task]), pool.originals[task]
    takes_own = rng.random() < ORIGINAL_SHARE
    if own < 2 or count - own < 2:
        takes_own = 2 * own > count  # there are hardly any of the others
    first, last = (count - own, count) if takes_own else (0, count - own)
    wanted = int(rng.integers(PAIRS[0], PAIRS[1] + 1))
    order = first + rng.permutation(last - first)
    sides = _sides(pool)[task][order].astype(np.int64)
    if change:
        sides = change.sides(sides)
    lengths = sides[:, 0] * (sides[:, 1] + 1) + sides[:, 2] * (sides[:, 3] + 1) + 3  # as `formats.pair_length` has it
    chosen: list[Pair] = []
    for place in np.flatnonzero((lengths <= cap) & (sides <= MAX_SIDE).all(axis=1)):
        if lengths[place] <= cap:
            pair = pool.pairs[task][order[place]]
            chosen.append(change.apply(pair) if change else pair)
            cap -= int(lengths[place])
        if len(chosen) == wanted:
            break
    return chosen


@lru_cache(maxsize=2)
def _sides(pool: Pool) -> tuple[NDArray[np.uint8], ...]:
    """For each task: rows and columns of inputs and of outputs, shape [pairs, 4]."""
    return tuple(
        np.array([p.input.shape + p.output.shape for p in pairs], np.uint8).reshape(-1, 4) for pairs in pool.pairs
    )


def _change(augmentation: Augmentation, rng: np.random.Generator) -> Change | None:
    """The sequence's augmentation, drawn; None where it has none. A share of 0 draws nothing."""
    if augmentation.upscale and rng.random() < augmentation.upscale:
        factor = int(rng.integers(2, 4))
        return (Upscale(factor, factor), Upscale(factor, 1), Upscale(1, factor))[int(rng.integers(3))]
    if augmentation.pad and rng.random() < augmentation.pad:
        margins = rng.integers(0, MARGIN + 1, 4)
        margins[int(rng.integers(4))] += 1
        return Pad(*margins.tolist())
    return None


def _augment(pairs: list[Pair], rng: np.random.Generator) -> list[Pair]:
    shown = View(int(rng.integers(8)), augment.draw_colours(rng, bool(rng.random() < KEEP_BLACK)))
    turn = int(rng.integers(8)) if rng.random() < TURN_ONE_SIDE else shown.dihedral
    colours = augment.draw_colours(rng, True) if rng.random() < RECOLOUR_ONE_SIDE else shown.colours
    answered = View(turn, colours)
    return [Pair(augment.apply(shown, p.input), augment.apply(answered, p.output)) for p in pairs]


def one_round(
    pool: Pool, seed: int, number: int, tokens_a_step: int, augmentation: Augmentation = NONE
) -> list[list[Example]]:
    """The `ROUND` batches of round `number`, each of about `tokens_a_step` tokens.

    Every batch has an even number of sequences, neighbours in length, so that two workers get equal shares.
    """
    rng = np.random.default_rng(seed_for(seed, str(number), "pretrain batches"))
    drawn, size = list[Example](), 0
    while size < ROUND * tokens_a_step or len(drawn) < 2 * ROUND or len(drawn) % 2:
        drawn.append(sequence(pool, rng, augmentation))
        size += drawn[-1].tokens.size
    drawn.sort(key=lambda e: e.tokens.size)
    batches = list(_cut(drawn, size / ROUND))
    return [batches[i] for i in rng.permutation(len(batches))]


def _cut(examples: list[Example], budget: float) -> Iterator[list[Example]]:
    total, group, made = 0.0, list[Example](), 1
    for start in range(0, len(examples), 2):
        group += examples[start : start + 2]
        total += sum(e.tokens.size for e in examples[start : start + 2])
        left = (len(examples) - start) // 2 - 1
        if made < ROUND and (total >= made * budget or left <= ROUND - made):
            yield group
            made, group = made + 1, []
    if group:
        yield group
