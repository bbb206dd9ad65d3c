"""Grids and pairs by content: up to the square's eight symmetries and a renaming of colours.

Knows nothing of files or models. Laws: two grids have one canonical form exactly when a symmetry and a renaming turn
one into the other; two pairs, exactly when one symmetry and one renaming do so to both grids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from solver.data.views import DIHEDRALS, dihedral
from solver.types import COLOURS, Grid, Pair, key

SMALLEST = 16  # cells: smaller grids coincide by chance; they are compared as parts of whole pairs alone
BLOCK = 10_000  # pairs whose signatures are computed at once: some 100 MB

Canonical: TypeAlias = tuple[tuple[int, ...], bytes]
"""(sides of the grid, or of both grids of a pair; cells row by row, colours named in the order they first appear)"""


def canonical(grid: Grid) -> Canonical:
    """The smallest of the grid's eight images, each with its colours renamed by first appearance."""
    return min(_named((dihedral(grid, element),)) for element in range(DIHEDRALS))


def canonical_pair(pair: Pair) -> Canonical:
    """The smallest of the pair's eight images, colours renamed by first appearance in the input, then the output."""
    images = ((dihedral(pair.input, e), dihedral(pair.output, e)) for e in range(DIHEDRALS))
    return min(map(_named, images))


def _named(grids: Sequence[Grid]) -> Canonical:
    sides = tuple(side for grid in grids for side in grid.shape)
    cells = b"".join(grid.tobytes() for grid in grids)
    table = bytearray(COLOURS)
    for name, colour in enumerate(dict.fromkeys(cells)):
        table[colour] = name
    return sides, cells.translate(bytes(table).ljust(256, b"\0"))


def signatures(grids: Sequence[Grid]) -> NDArray[np.uint64]:
    """One number a grid, shape [grids]: equal for grids with one canonical form, seldom equal for others.

    It depends on the sorted sides and the sorted counts of colours alone, so that it costs a few additions a cell.
    """
    if not grids:
        return np.zeros(0, np.uint64)
    sides = np.sort(np.array([grid.shape for grid in grids], np.int64), axis=1)
    sizes = sides.prod(axis=1)
    owners = np.repeat(np.arange(len(grids)) * COLOURS, sizes)
    cells = np.concatenate([grid.ravel() for grid in grids])
    counts = np.bincount(owners + cells, minlength=len(grids) * COLOURS).reshape(-1, COLOURS)
    parts = np.concatenate([sides, np.sort(counts, axis=1)], axis=1).astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed: NDArray[np.uint64] = (parts * _FACTORS).sum(axis=1, dtype=np.uint64)
    return mixed


_FACTORS = np.random.default_rng(0).integers(1, 2**63, 2 + COLOURS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def _joint(inputs: NDArray[np.uint64], outputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One number a pair, from its grids' signatures."""
    with np.errstate(over="ignore"):
        return inputs * np.uint64(3) + outputs


@dataclass(frozen=True, eq=False)
class Index:
    """What no pair may hold: canonical forms of whole `pairs`, and of `grids` of at least `smallest` cells.

    The signatures, sorted, are what is looked at first: a pair whose signatures are not among them is not held.
    """

    smallest: int
    grids: frozenset[Canonical]
    pairs: frozenset[Canonical]
    grid_signatures: NDArray[np.uint64]
    pair_signatures: NDArray[np.uint64]

    @staticmethod
    def of(pairs: Iterable[Pair], whole_only: Iterable[Pair] = (), smallest: int = SMALLEST) -> Index:
        """Of these pairs and their grids, and of the pairs of `whole_only` without their grids."""
        distinct = {(key(p.input), key(p.output)): p for p in pairs}
        single = {key(g): g for p in distinct.values() for g in (p.input, p.output) if g.size >= smallest}
        distinct |= {(key(p.input), key(p.output)): p for p in whole_only}
        grids, whole = list(single.values()), list(distinct.values())
        return Index(
            smallest,
            frozenset(map(canonical, grids)),
            frozenset(map(canonical_pair, whole)),
            np.unique(signatures(grids)),
            np.unique(_joint(signatures([p.input for p in whole]), signatures([p.output for p in whole]))),
        )

    def holds(self, pairs: Sequence[Pair]) -> NDArray[np.bool_]:
        """For each pair, shape [pairs]: whether it, or one of its grids, is in the index."""
        blocks = [self._holds(pairs[start : start + BLOCK]) for start in range(0, len(pairs), BLOCK)]
        return np.concatenate([np.zeros(0, bool), *blocks])

    def _holds(self, pairs: Sequence[Pair]) -> NDArray[np.bool_]:
        inputs, outputs = signatures([p.input for p in pairs]), signatures([p.output for p in pairs])
        whole = np.isin(_joint(inputs, outputs), self.pair_signatures)
        single = np.isin(inputs, self.grid_signatures), np.isin(outputs, self.grid_signatures)
        held = np.zeros(len(pairs), bool)
        for index in np.flatnonzero(whole | single[0] | single[1]):
            pair = pairs[index]
            held[index] = (
                (whole[index] and canonical_pair(pair) in self.pairs)
                or (single[0][index] and canonical(pair.input) in self.grids)
                or (single[1][index] and canonical(pair.output) in self.grids)
            )
        return held
