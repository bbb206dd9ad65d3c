"""Grids as token ids and back, in the shipped weights' own format; lengths, and what fits, in any format.

Law: the grammar is the decoder, so a reply can be written token by token exactly when it can be decoded.

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

from solver.types import COLOURS, MAX_SIDE, Grid, Pair

SPECIALS = 16  # ids 0–15; the ones not named here are free
PAD, IN, OUT, END = 0, 1, 2, 3
INPUT, OUTPUT = 0, 1  # roles
ROW_SPAN = 1 + MAX_SIDE * COLOURS  # ids a row: its marker, then (column, colour)
ROLE_SPAN = MAX_SIDE * ROW_SPAN  # ids a role
VOCABULARY = SPECIALS + 2 * ROLE_SPAN  # 18,076
LONGEST_REPLY = MAX_SIDE * (MAX_SIDE + 1) + 1  # tokens, in every format, the end included

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


@dataclass(frozen=True)
class Format:
    """How a checkpoint spells grids: a token a cell, at most one a row, one that ends a reply, a few around them.

    Pairs read `opening, grid, answer, grid, end, between, grid, answer, grid, end, …`. How a grid is spelled and what a
    reply may say next are each format's own. Laws: `decode(encode_reply(grid)) == grid`; whatever else comes is
    rejected, never repaired; a grid takes as many tokens as `encoded_length` says, or one fewer: prompts, sizes and
    memory plans count on it.
    """

    name: str
    opening: tuple[int, ...]  # before the first input
    answer: tuple[int, ...]  # between an input and its output
    end: int  # finishes an output
    between: tuple[int, ...]  # from there to the next input

    def spelled(self, grid: Grid, role: int) -> NDArray[np.int32]:
        """A grid as ids, [`spelled_length`], in the role of an input or an output."""
        raise NotImplementedError

    def spelled_length(self, grid: Grid) -> int:
        """Tokens of `spelled`."""
        return encoded_length(grid)

    def colours(self, reply: Sequence[int]) -> list[int]:
        """The colours that the cells of a reply have, in order."""
        raise NotImplementedError

    @property
    def vocabulary(self) -> int:
        """Every id it writes is below this."""
        raise NotImplementedError

    @property
    def written(self) -> Written:
        """A reply of which nothing is said yet."""
        raise NotImplementedError

    def encode_pairs(self, pairs: Sequence[Pair]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Pairs in one sequence: (ids, which pair's reply a token belongs to: −1 where none), both [length]."""
        ids: list[NDArray[np.int32]] = []
        owner: list[NDArray[np.int32]] = []
        for index, pair in enumerate(pairs):
            shown = self._asked(pair.input, first=index == 0)
            reply = np.append(self.spelled(pair.output, OUTPUT), np.int32(self.end))
            ids += [shown, reply]
            owner += [np.full(shown.size, -1, np.int32), np.full(reply.size, index, np.int32)]
        return np.concatenate(ids), np.concatenate(owner)

    def encode_prompt(self, demonstrations: Sequence[Pair], test: Grid) -> NDArray[np.int32]:
        """The demonstrations and a test input, up to where the reply begins, [length]."""
        question = self._asked(test, first=not demonstrations)
        return np.concatenate([self.encode_pairs(demonstrations)[0], question]) if demonstrations else question

    def _asked(self, shown: Grid, first: bool) -> NDArray[np.int32]:
        """An input from the end of the pair before it, or from the start, to where its output begins."""
        before = self.opening if first else self.between
        return np.concatenate([before, self.spelled(shown, INPUT), self.answer], dtype=np.int32, casting="unsafe")

    def encode_reply(self, grid: Grid) -> tuple[int, ...]:
        """The reply that spells a grid, its end included."""
        return (*self.spelled(grid, OUTPUT).tolist(), self.end)

    def decode(self, reply: Sequence[int]) -> Grid | None:
        """The grid a reply spells; None where it is not exactly what `encode_reply` would have written."""
        written: Written | None = self.written
        for token in reply:
            written = written.then(token) if written else None
        if written is None or not written.ended:
            return None
        return np.array(self.colours(reply), np.uint8).reshape(-1, written.width)

    def pairs_length(self, pairs: Sequence[Pair]) -> int:
        """Tokens of `encode_pairs`."""
        grids = sum(self.spelled_length(p.input) + self.spelled_length(p.output) for p in pairs)
        around = len(pairs) * (len(self.between) + len(self.answer) + 1)
        return grids + around + (len(self.opening) - len(self.between) if pairs else 0)

    def longest_pair(self, pair: Pair) -> int:
        """Tokens of a pair with what stands around it, wherever in a sequence it comes: at most so many."""
        around = max(len(self.opening), len(self.between)) + len(self.answer) + 1
        return self.spelled_length(pair.input) + self.spelled_length(pair.output) + around

    def prompt_length(self, demonstrations: Sequence[Pair], test: Grid) -> int:
        """Tokens of `encode_prompt`."""
        before = self.between if demonstrations else self.opening
        return self.pairs_length(demonstrations) + len(before) + self.spelled_length(test) + len(self.answer)


@dataclass(frozen=True)
class Written:
    """How far a reply has come in spelling a grid; frozen, so that many continuations share one beginning."""

    rows: int = 0  # begun or, in lines, ended
    cells: int = 0  # of the row at hand
    width: int = 0  # cells a row, 0 as long as it is open
    ended: bool = False

    @property
    def row_is_full(self) -> bool:
        """Whether the row at hand may end here."""
        return self.cells > 0 and self.width in (0, self.cells)

    def then(self, token: int) -> Written | None:
        """The same with one token more; None where no reply that `decode` accepts begins so."""
        raise NotImplementedError


@dataclass(frozen=True)
class WrittenGrid(Written):
    """A reply in the coordinate format, every token of which says where it stands."""

    def then(self, token: int) -> Written | None:
        if self.ended or (token == END and not self.row_is_full):
            return None
        if token == END:
            return WrittenGrid(self.rows, self.cells, self.cells, ended=True)
        row, place = divmod(token - SPECIALS - OUTPUT * ROLE_SPAN, ROW_SPAN)
        if place == 0:
            fits = row == self.rows < MAX_SIDE and (row == 0 or self.row_is_full)
            return WrittenGrid(row + 1, 0, self.cells) if fits else None
        fits = 0 <= row == self.rows - 1 and (place - 1) // COLOURS == self.cells and self.cells != (self.width or -1)
        return WrittenGrid(self.rows, self.cells + 1, self.width) if fits else None


class GridFormat(Format):
    """The coordinate format."""

    vocabulary = VOCABULARY
    written = WrittenGrid()

    def spelled(self, grid: Grid, role: int) -> NDArray[np.int32]:
        return encode(grid, role)

    def colours(self, reply: Sequence[int]) -> list[int]:
        places = [(token - SPECIALS) % ROW_SPAN for token in reply[:-1]]
        return [(place - 1) % COLOURS for place in places if place]


GRID = GridFormat("grid", opening=(IN,), answer=(OUT,), end=END, between=(IN,))


def fit(demonstrations: Sequence[Pair], test: Grid, room: int, format: Format) -> tuple[tuple[Pair, ...], int]:
    """The demonstrations that leave prompt and reply within `room` tokens, and how many were dropped, longest first.

    The room kept for the reply is that of the longest demonstration output or of the test input, whichever is larger;
    every grid is counted as its longest turn.
    """
    kept = list(demonstrations)
    reply = max([_turned(p.output) for p in kept] + [_turned(test)]) + 1
    while kept:
        grids = [test, *(grid for pair in kept for grid in (pair.input, pair.output))]
        turning = sum(_turned(grid) - encoded_length(grid) for grid in grids)  # can add so many tokens
        if format.prompt_length(kept, test) + turning + reply <= room:
            break
        kept.remove(max(kept, key=pair_length))
    return tuple(kept), len(demonstrations) - len(kept)


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
