"""Sequences in rows of one fixed length, so that every step's matrix products have the shapes of the step before.

A product of a new shape costs a CPU about four times as much as one of a shape seen before: oneDNN writes code for
each. Knows nothing of models or optimizers. Law: every sequence stays whole, within one row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from solver.pretrain.recipe import CHUNK
from solver.tokens.grid import END
from solver.types import Example

WANTED = 256  # the number of places with a wanted token is filled up to a multiple of this

Row: TypeAlias = list[Example]


@dataclass(frozen=True, eq=False)
class Chunk:
    """Queries `first` to `end` of a row, and the keys from `start` on that they may see.

    `start`: a multiple of `CHUNK`, at or before the first place of the sequence that query `first` belongs to.
    `hidden`: (key, mask) for each `CHUNK` keys of which some query must not see some: a later one, or one of another
    sequence. `key`: the first of them, counted from `start`; `mask`: bool [CHUNK, CHUNK], true where it must not.
    """

    start: int
    first: int
    end: int
    hidden: tuple[tuple[int, Tensor], ...]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of sequences as tensors, each sequence without its last token.

    `tokens`, `positions`: int64 [rows, length], positions counted from each sequence's start; what a row has too much
    is filled with padding, a sequence of its own. `chunks`: of each row, in order. `chosen`: int64 [W], places (counted
    through all rows) after which a token is wanted; `targets`: int64 [W], that token; `weights`: float32 [W], 1 where
    it counts and 0 for what fills W up to a multiple of `WANTED`.
    """

    tokens: Tensor
    positions: Tensor
    chunks: tuple[tuple[Chunk, ...], ...]
    chosen: Tensor
    targets: Tensor
    weights: Tensor


def places(example: Example) -> int:
    """Places of a row that a sequence takes: nothing is predicted after its last token."""
    return int(example.tokens.size) - 1


def fill(examples: Sequence[Example], count: int, length: int) -> list[Row]:
    """`count` rows of at most `length` places: the longest sequence first, each where it leaves the least room.

    A sequence that fits nowhere any more is left out.
    """
    rows, free = [Row() for _ in range(count)], np.full(count, length)
    for example in sorted(examples, key=places, reverse=True):
        size = places(example)
        room = np.where(free >= size, free, length + 1)
        best = int(room.argmin())
        if room[best] <= length:
            rows[best].append(example)
            free[best] -= size
    return rows


def to_tensors(rows: Sequence[Row], length: int) -> Rows:
    """The rows as tensors; each has at most `length` places, `length` a multiple of `CHUNK`."""
    shape = (len(rows), length)
    tokens, positions, starts = (np.zeros(shape, np.int64) for _ in range(3))
    wanted = np.full(shape, -1, np.int64)
    for number, row in enumerate(rows):
        at = 0
        for example in row:
            end = at + places(example)
            tokens[number, at:end] = example.tokens[:-1]
            positions[number, at:end] = np.arange(end - at)
            starts[number, at:end] = at
            wanted[number, at:end] = np.where(example.loss[1:], example.tokens[1:], -1)
            at = end
        positions[number, at:] = np.arange(length - at)
        starts[number, at:] = at
    chosen = np.flatnonzero(wanted.ravel() >= 0)
    filler = -len(chosen) % WANTED
    return Rows(
        tokens=torch.from_numpy(tokens),
        positions=torch.from_numpy(positions),
        chunks=tuple(_chunks(row) for row in starts),
        chosen=torch.from_numpy(np.pad(chosen, (0, filler))),
        targets=torch.from_numpy(np.pad(wanted.ravel()[chosen], (0, filler), constant_values=END)),
        weights=torch.from_numpy(np.pad(np.ones(len(chosen), np.float32), (0, filler))),
    )


def _chunks(starts: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> tuple[Chunk, ...]:
    """The chunks of a row; `starts`: [length], the first place of the sequence that each place belongs to."""
    chunks = []
    for first in range(0, len(starts), CHUNK):
        end, start = first + CHUNK, int(starts[first]) // CHUNK * CHUNK
        keys, queries = np.arange(start, end)[None, :], np.arange(first, end)[:, None]
        hidden = (keys > queries) | (keys < starts[first:end, None])
        blocks = ((key, hidden[:, key : key + CHUNK]) for key in range(0, end - start, CHUNK))
        masks = tuple((key, torch.from_numpy(block.copy())) for key, block in blocks if block.any())
        chunks.append(Chunk(start, first, end, masks))
    return tuple(chunks)
