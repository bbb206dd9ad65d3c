"""Grids as token ids and back, in the shipped weights' own format; lengths, and what fits, in any format.

Knows nothing of files or models. Laws: `decode(encode(grid)) == grid`; a decoder never repairs: what is not a
rectangle of 1–30 by 1–30 colours, written exactly as `encode` writes it, is rejected.

**The coordinate format.** Every cell is one token that carries its role (input or output), row, column and colour;
every row begins with a marker token that carries its role and row. A model can so look up all of a cell's
coordinates from its token id alone, also in an engine that hands it nothing but ids. A pair reads
`IN, marker 0, cells…, marker 1, cells…, OUT, marker 0, cells…, END`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.interfaces import Format
from solver.types import COLOURS, MAX_SIDE, Grid, Pair

SPECIALS = 16  # ids 0–15; the ones not named here are free
PAD, IN, OUT, END = 0, 1, 2, 3
INPUT, OUTPUT = 0, 1  # roles
ROW_SPAN = 1 + MAX_SIDE * COLOURS  # ids a row: its marker, then (column, colour)
ROLE_SPAN = MAX_SIDE * ROW_SPAN  # ids a role
VOCABULARY = SPECIALS + 2 * ROLE_SPAN  # 18,076

_MARKERS = (SPECIALS + np.arange(2)[:, None] * ROLE_SPAN + np.arange(MAX_SIDE)[None, :] * ROW_SPAN).astype(np.int32)
_FIRST_COLOUR = (_MARKERS[:, :, None] + 1 + np.arange(MAX_SIDE)[None, None, :] * COLOURS).astype(np.int32)


def encode(grid: Grid, role: int) -> NDArray[np.int32]:
    """A grid as ids, shape [rows × (1 + columns)]: each row's marker, then its cells."""
    rows, columns = grid.shape
    ids = np.empty((rows, columns + 1), dtype=np.int32)
    ids[:, 0] = _MARKERS[role, :rows]
    ids[:, 1:] = _FIRST_COLOUR[role, :rows, :columns] + grid
    return ids.ravel()


def encoded_length(grid: Grid) -> int:
    """Tokens that `encode` makes of a grid; in other formats one fewer where its last row has no token of its own."""
    return int(grid.shape[0] * (grid.shape[1] + 1))


def _turned(grid: Grid) -> int:
    """Tokens of a grid at most, whichever way a view turns it: its longer side is counted as its rows."""
    return int(grid.size + max(grid.shape))


def pair_length(pair: Pair) -> int:
    """Tokens of a whole pair: both grids, IN, OUT and END."""
    return encoded_length(pair.input) + encoded_length(pair.output) + 3


def encode_pairs(pairs: Sequence[Pair]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pairs in one sequence: (ids, which pair's output a token belongs to: −1 where none); END counts as output."""
    ids: list[NDArray[np.int32]] = []
    owner: list[NDArray[np.int32]] = []
    for index, pair in enumerate(pairs):
        shown, reply = encode(pair.input, INPUT), encode(pair.output, OUTPUT)
        ids += [np.array([IN], np.int32), shown, np.array([OUT], np.int32), reply, np.array([END], np.int32)]
        owner += [np.full(shown.size + 2, -1, np.int32), np.full(reply.size + 1, index, np.int32)]
    return np.concatenate(ids), np.concatenate(owner)


def encode_prompt(demonstrations: Sequence[Pair], test: Grid) -> NDArray[np.int32]:
    """The demonstrations and a test input, up to and with the OUT that asks for the answer."""
    question = np.concatenate([np.array([IN], np.int32), encode(test, INPUT), np.array([OUT], np.int32)])
    return np.concatenate([encode_pairs(demonstrations)[0], question]) if demonstrations else question


def decode(reply: Sequence[int]) -> Grid | None:
    """The grid that a reply spells, END included; None where it is not exactly what `encode` would have written."""
    ids = np.asarray(reply, dtype=np.int64)
    if ids.size < 3 or ids[-1] != END:
        return None
    body = ids[:-1] - SPECIALS - OUTPUT * ROLE_SPAN
    rows = int((body % ROW_SPAN == 0).sum())
    if not 1 <= rows <= MAX_SIDE or body.size % rows or not 2 <= body.size // rows <= MAX_SIDE + 1:
        return None
    cells = body.reshape(rows, -1)[:, 1:] % ROW_SPAN - 1
    grid: Grid = (cells % COLOURS).astype(np.uint8)
    return grid if np.array_equal(encode(grid, OUTPUT), ids[:-1]) else None


@dataclass(frozen=True)
class Written:
    """How far a reply has come in spelling a grid; frozen, so that many continuations share one beginning.

    `rows`: row markers said. `cells`: cells of the row begun last. `width`: cells a row, 0 as long as it is open.
    """

    rows: int = 0
    cells: int = 0
    width: int = 0
    ended: bool = False

    def then(self, token: int) -> Written | None:
        """The same with one token more; None where no reply that `decode` accepts begins so."""
        row_is_full = self.cells > 0 and self.width in (0, self.cells)
        if self.ended or (token == END and not row_is_full):
            return None
        if token == END:
            return Written(self.rows, self.cells, self.cells, ended=True)
        row, place = divmod(token - SPECIALS - OUTPUT * ROLE_SPAN, ROW_SPAN)
        if place == 0:
            fits = row == self.rows < MAX_SIDE and (row == 0 or row_is_full)
            return Written(row + 1, 0, self.cells) if fits else None
        fits = 0 <= row == self.rows - 1 and (place - 1) // COLOURS == self.cells and self.cells != (self.width or -1)
        return Written(self.rows, self.cells + 1, self.width) if fits else None


NOTHING_WRITTEN = Written()


def longest_reply(side_rows: int = MAX_SIDE, side_columns: int = MAX_SIDE) -> int:
    """Tokens of the longest reply for a grid of at most these sides, END included."""
    return side_rows * (side_columns + 1) + 1


@dataclass(frozen=True)
class GridFormat:
    """The functions above as a `interfaces.Format`."""

    name: str = "grid"
    end: int = END
    vocabulary: int = VOCABULARY
    written: Written = NOTHING_WRITTEN

    encode_pairs = staticmethod(encode_pairs)
    encode_prompt = staticmethod(encode_prompt)
    decode = staticmethod(decode)

    def encode_reply(self, grid: Grid) -> tuple[int, ...]:
        return (*encode(grid, OUTPUT).tolist(), END)

    def pairs_length(self, pairs: Sequence[Pair]) -> int:
        return sum(map(pair_length, pairs))

    def prompt_length(self, demonstrations: Sequence[Pair], test: Grid) -> int:
        return self.pairs_length(demonstrations) + encoded_length(test) + 2


GRID = GridFormat()


def fit(demonstrations: Sequence[Pair], test: Grid, room: int, format: Format) -> tuple[tuple[Pair, ...], int]:
    """The demonstrations that leave prompt and reply within `room` tokens, and how many were dropped, longest first.

    The room kept for the reply is that of the longest demonstration output or of the test input, whichever is larger;
    every grid is counted as its longest turn.
    """
    kept = list(demonstrations)
    reply = max([_turned(p.output) for p in kept] + [_turned(test)]) + 1
    while kept and format.prompt_length(kept, test) + _spare(kept, test) + reply > room:
        kept.remove(max(kept, key=pair_length))
    return tuple(kept), len(demonstrations) - len(kept)


def _spare(pairs: Sequence[Pair], test: Grid) -> int:
    """Tokens that turning the grids of a prompt can add to it."""
    grids = [grid for pair in pairs for grid in (pair.input, pair.output)]
    return sum(_turned(grid) - encoded_length(grid) for grid in [*grids, test])


def coordinates() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each id: role (0 special, 1 input, 2 output), row (0, or 1–30), column (0, or 1–30), colour.

    Colour is 0–9 for cells, 10 for row markers and 11 + id for specials.
    """
    ids = np.arange(VOCABULARY)
    inside = ids >= SPECIALS
    body = np.where(inside, ids - SPECIALS, 0)
    in_row = body % ROW_SPAN
    role = np.where(inside, 1 + body // ROLE_SPAN, 0)
    row = np.where(inside, 1 + body % ROLE_SPAN // ROW_SPAN, 0)
    column = np.where(inside & (in_row > 0), 1 + (in_row - 1) // COLOURS, 0)
    colour = np.where(inside, np.where(in_row > 0, (in_row - 1) % COLOURS, COLOURS), COLOURS + 1 + ids)
    return role, row, column, colour
