"""Training batches from a pool of pairs: in-context sequences of one task each, augmented, cut to a token budget.

Knows nothing of models. Law: the batches of a round are a function of (pool, seed, round) alone, so that a run can be
resumed anywhere without any state of a generator.
"""

from __future__ import annotations

import numpy as np

from solver.data import views
from solver.pretrain.data import Pool
from solver.pretrain.recipe import Recipe
from solver.pretrain.rows import Row, fill, places
from solver.tokens import grid
from solver.training.examples import to_example
from solver.types import Example, Pair, View, seed_for

LENGTHS = ((512, 0.45), (1024, 0.45), (2048, 0.1))  # tokens a sequence may have: share of sequences
PAIRS = (3, 7)  # pairs a sequence has at least (where they fit) and at most
ORIGINAL_SHARE = 0.12  # of the sequences are ARC's own pairs rather than generated ones
KEEP_BLACK = 0.7  # of the colour permutations leave colour 0 as it is
TURN_ONE_SIDE = 0.25  # of the sequences turn the outputs differently from the inputs: new tasks from old ones
RECOLOUR_ONE_SIDE = 0.1  # of the sequences recolour the outputs differently from the inputs
ROUND = 16  # steps drawn together, so that few places of their rows stay empty


def sequence(pool: Pool, rng: np.random.Generator, most: int) -> Example:
    """One task's pairs under random augmentation, at most `most` tokens, the loss on every output after the first."""
    cap = min(most, int(rng.choice([n for n, _ in LENGTHS], p=[p for _, p in LENGTHS])))
    while True:
        task = int(rng.integers(len(pool.ids)))
        chosen = _choose(pool, task, cap, rng)
        if len(chosen) >= 2:
            return to_example(_augment(chosen, rng))


def _choose(pool: Pool, task: int, cap: int, rng: np.random.Generator) -> list[Pair]:
    pairs, own = pool.pairs[task], pool.originals[task]
    part = pairs[len(pairs) - own :] if rng.random() < ORIGINAL_SHARE else pairs[: len(pairs) - own]
    wanted = int(rng.integers(PAIRS[0], PAIRS[1] + 1))
    chosen: list[Pair] = []
    for index in rng.permutation(len(part)):
        length = grid.pair_length(part[index])
        if length <= cap:
            chosen.append(part[index])
            cap -= length
        if len(chosen) == wanted:
            break
    return chosen


def _augment(pairs: list[Pair], rng: np.random.Generator) -> list[Pair]:
    shown = View(int(rng.integers(8)), views.draw_colours(rng, bool(rng.random() < KEEP_BLACK)))
    turn = int(rng.integers(8)) if rng.random() < TURN_ONE_SIDE else shown.dihedral
    colours = views.draw_colours(rng, True) if rng.random() < RECOLOUR_ONE_SIDE else shown.colours
    answered = View(turn, colours)
    return [Pair(views.apply(shown, p.input), views.apply(answered, p.output)) for p in pairs]


def one_round(pool: Pool, recipe: Recipe, number: int) -> list[list[Row]]:
    """The batches of round `number`: of `ROUND` steps, each of `recipe.tokens` places in rows of `recipe.row`.

    Sequences are drawn until they would fill all rows, then put where they fit; the last few may fit nowhere.
    """
    rng = np.random.default_rng(seed_for(recipe.seed, str(number), "pretrain batches"))
    drawn, size, of_step = list[Example](), 0, recipe.tokens // recipe.row
    while size < ROUND * recipe.tokens:
        drawn.append(sequence(pool, rng, recipe.row))
        size += places(drawn[-1])
    rows = fill(drawn, ROUND * of_step, recipe.row)
    order = rng.permutation(len(rows))
    return [[rows[i] for i in order[first : first + of_step]] for first in range(0, len(rows), of_step)]
