"""Training data for a task from its own demonstrations: leave-one-out under random views (arXiv 2411.07279, 3).

Knows nothing of models. Laws: the examples are a function of (task, seed, cap, room) alone; every example's last pair
is the one left out, its context the others; nothing of the test outputs is in reach.
"""

from __future__ import annotations

import numpy as np

from solver import augment, formats
from solver.augment import DIHEDRALS
from solver.core import Example, Pair, Task, View, seed_for

KEEP_BLACK = 0.7  # share of the colour permutations that leave colour 0, the usual background, as it is


def leave_one_out(task: Task, cap: int, seed: int, room: int) -> list[Example]:
    """At most `cap` examples, each of at most `room` tokens, in the order they should be trained on.

    Each demonstration in turn is the one left out and asked for last; the others come before it in random order; the
    whole is seen through a random dihedral and colour permutation. The loss is on every output after the first. A task
    with a single demonstration is trained on that pair alone, end to end, as is any pair whose context does not fit.
    """
    rng = np.random.default_rng(seed_for(seed, task.id, "leave one out"))
    examples = []
    for index in range(cap):
        left_out = index % len(task.demonstrations)
        if left_out == 0 and index // len(task.demonstrations) % DIHEDRALS == 0:
            turns = rng.permutation(DIHEDRALS)
        view = View(
            int(turns[index // len(task.demonstrations) % DIHEDRALS]),
            augment.draw_colours(rng, bool(rng.random() < KEEP_BLACK)),
        )
        pairs = _ordered(augment.apply_task(view, task).demonstrations, left_out, rng, room)
        if pairs:
            examples.append(to_example(pairs))
    return examples


def _ordered(pairs: tuple[Pair, ...], left_out: int, rng: np.random.Generator, room: int) -> list[Pair]:
    """The other demonstrations in random order, the longest dropped until all fit, then the one left out."""
    others = [int(i) for i in rng.permutation(len(pairs)) if i != left_out]
    context, asked = [pairs[i] for i in others], pairs[left_out]
    spare = room - formats.pair_length(asked)
    if spare < 0:
        return []
    while sum(map(formats.pair_length, context)) > spare:
        context.remove(max(context, key=formats.pair_length))
    return [*context, asked]


def to_example(pairs: list[Pair]) -> Example:
    """Pairs in one sequence; the loss is on every output after the first, or on the only one."""
    tokens, owner = formats.encode_pairs(pairs)
    return Example(tokens, owner >= min(1, len(pairs) - 1))
