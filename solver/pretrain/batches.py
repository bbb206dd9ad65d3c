"""Training batches from a pool of pairs: in-context sequences of one task each, augmented, cut to a token budget.

Knows nothing of models. Law: the batches of a round are a function of (pool, seed, round) alone, so that a run can be
resumed anywhere without any state of a generator.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from solver.data import views
from solver.pretrain.data import Pool
from solver.tokens import grid
from solver.training.examples import to_example
from solver.types import Example, Pair, View, seed_for

LENGTHS = ((512, 0.45), (1024, 0.45), (2048, 0.1))  # tokens a sequence may have: share of sequences
PAIRS = (3, 7)  # pairs a sequence has at least (where they fit) and at most
ORIGINAL_SHARE = 0.12  # of the sequences are ARC's own pairs rather than generated ones
KEEP_BLACK = 0.7  # of the colour permutations leave colour 0 as it is
TURN_ONE_SIDE = 0.25  # of the sequences turn the outputs differently from the inputs: new tasks from old ones
RECOLOUR_ONE_SIDE = 0.1  # of the sequences recolour the outputs differently from the inputs
ROUND = 16  # steps drawn and sorted by length together, so that workers get equal shares


def sequence(pool: Pool, rng: np.random.Generator) -> Example:
    """One task's pairs under random augmentation, the loss on every output after the first."""
    cap = int(rng.choice([n for n, _ in LENGTHS], p=[p for _, p in LENGTHS]))
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


def one_round(pool: Pool, seed: int, number: int, tokens_a_step: int) -> list[list[Example]]:
    """The `ROUND` batches of round `number`, each of about `tokens_a_step` tokens.

    Every batch has an even number of sequences, neighbours in length, so that two workers get equal shares.
    """
    rng = np.random.default_rng(seed_for(seed, str(number), "pretrain batches"))
    drawn, size = list[Example](), 0
    while size < ROUND * tokens_a_step or len(drawn) < 2 * ROUND or len(drawn) % 2:
        drawn.append(sequence(pool, rng))
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
