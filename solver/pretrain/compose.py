"""New tasks from old grids: the output is a random composition of the program search's primitives.

Knows nothing of files. Law: what `compose` gives is a function of (pool, generator) alone; its pairs are valid grids.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from solver.pretrain.data import Pool
from solver.programs.primitives import colouring, geometry, lines, patterns, pieces, shapes  # noqa: F401
from solver.programs.primitives.registry import (
    INPUT_COLOURED,
    JOINS,
    OUTPUT_COLOURED,
    SPLITS,
    UNARY,
    F,
    Primitive,
    Unary,
    checked,
)
from solver.tokens.grid import pair_length
from solver.types import COLOURS, Grid, Pair, key, same

PAIRS = (4, 12)  # pairs a composed task has at least and at most
LONGEST = 600  # tokens a pair may have
TRIES = 200  # compositions drawn for a task before it is given up
ON_TOP = 0.4  # of the tasks change the output of a known task rather than its input
TWO_STEPS = 0.6  # of those on inputs have two steps, the others one
COLOURED, TAKEN_APART = 0.2, 0.15  # of the steps take a colour; take the grid apart and put parts together


def compose(known: Pool, rng: np.random.Generator) -> list[Pair]:
    """The pairs of a new task on the grids of a known one; [] where none was found."""
    for _ in range(TRIES):
        pairs = known.pairs[int(rng.integers(len(known.pairs)))]
        shown = [pairs[i] for i in rng.permutation(len(pairs))[: 2 * PAIRS[1]]]
        on_top = bool(rng.random() < ON_TOP)
        steps = [_step(rng) for _ in range(1 if on_top or rng.random() >= TWO_STEPS else 2)]
        composed = _applied(shown, on_top, steps)
        if len(composed) >= PAIRS[0] and _is_a_rule(composed):
            return composed[: PAIRS[1]]
    return []


def _applied(shown: Sequence[Pair], on_top: bool, steps: Sequence[Unary]) -> list[Pair]:
    """The pairs that the steps make, without those where one has nothing to say or changes nothing.

    [] where these are more than half of the pairs.
    """
    composed, failed = list[Pair](), 0
    for pair in shown:
        if 2 * failed > len(shown):
            return []
        result = _chain(pair.output if on_top else pair.input, steps)
        if result is None or same(result, pair.input) or pair_length(Pair(pair.input, result)) > LONGEST:
            failed += 1
        else:
            composed.append(Pair(pair.input, result))
    return composed if 2 * failed <= len(shown) else []


def _chain(grid: Grid, steps: Sequence[Unary]) -> Grid | None:
    for step in steps:
        changed = checked(step(grid))
        if changed is None or same(changed, grid):
            return None
        grid = changed
    return grid


def _is_a_rule(pairs: Sequence[Pair]) -> bool:
    """Whether there is something to learn: most outputs differ, and most have more than one colour."""
    distinct = len({key(pair.output) for pair in pairs})
    coloured = sum(bool((pair.output != pair.output.flat[0]).any()) for pair in pairs)
    return 2 * distinct > len(pairs) and 2 * coloured > len(pairs)


def _step(rng: np.random.Generator) -> Unary:
    """A random primitive, its colour bound where it takes one."""
    kind = rng.random()
    if kind < COLOURED:
        paint, colour = _one(INPUT_COLOURED | OUTPUT_COLOURED, rng), int(rng.integers(1, COLOURS))
        return lambda grid: paint(grid, colour)
    if kind < COLOURED + TAKEN_APART:
        split, join = _one(SPLITS, rng), _one(JOINS, rng)
        return lambda grid: join(parts) if (parts := split(grid)) else None
    return _one(UNARY, rng)


def _one(table: Mapping[str, Primitive[F]], rng: np.random.Generator) -> F:
    """One of the primitives, which are in order of their names whatever registered them first."""
    return table[sorted(table)[int(rng.integers(len(table)))]].run
