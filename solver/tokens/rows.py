"""Grids as lines of digits: a token a cell, a newline a row. The formats of models that know no coordinates.

Knows nothing of files, tokenizers or models: the ids are handed in. Laws: those of `Format`; the grammar is the
decoder, so a reply can be written token by token exactly when it can be decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.tokens.grid import encoded_length
from solver.types import COLOURS, MAX_SIDE, Grid, Pair


@dataclass(frozen=True)
class Lines:
    """A `interfaces.Format` whose pairs read `opening, rows, answer, rows, end, between, rows, answer, rows, end, …`.

    `cells`: the ids of the ten colours. `newline`: between two rows and, where `closed`, after the last one too.
    `opening`: before the first input. `answer`: between an input and its output. `end`: finishes an output.
    `between`: from there to the next input. ValueError: colours, newline and end are not twelve different ids.
    """

    name: str
    cells: tuple[int, ...]
    newline: int
    opening: tuple[int, ...]
    answer: tuple[int, ...]
    end: int
    between: tuple[int, ...]
    closed: bool

    def __post_init__(self) -> None:
        if len(self.cells) != COLOURS or len({*self.cells, self.newline, self.end}) != COLOURS + 2:
            raise ValueError(f"colours {self.cells}, newline {self.newline}, end {self.end}: expected twelve ids")

    @property
    def vocabulary(self) -> int:
        """Every id it writes is below this."""
        return 1 + max(*self.cells, self.newline, self.end, *self.opening, *self.answer, *self.between)

    @property
    def written(self) -> Writing:
        """The grammar of a reply of which nothing is said yet."""
        return Writing(self)

    def rows(self, grid: Grid) -> NDArray[np.int32]:
        """A grid's lines as ids, [`rows_length`]."""
        ids = np.full((grid.shape[0], grid.shape[1] + 1), self.newline, np.int32)
        ids[:, :-1] = np.array(self.cells, np.int32)[grid]
        return ids.ravel()[: self.rows_length(grid)]

    def rows_length(self, grid: Grid) -> int:
        """Tokens of `rows`."""
        return encoded_length(grid) - (not self.closed)

    def encode_pairs(self, pairs: Sequence[Pair]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Pairs in one sequence: (ids, which pair's reply a token belongs to: −1 where none); its end is part of it."""
        ids, owner = list[NDArray[np.int32]](), list[NDArray[np.int32]]()
        for index, pair in enumerate(pairs):
            shown = self._asked(pair.input, first=index == 0)
            reply = np.array(self.encode_reply(pair.output), np.int32)
            ids += [shown, reply]
            owner += [np.full(shown.size, -1, np.int32), np.full(reply.size, index, np.int32)]
        return np.concatenate(ids), np.concatenate(owner)

    def encode_prompt(self, demonstrations: Sequence[Pair], test: Grid) -> NDArray[np.int32]:
        """The demonstrations and a test input, up to and with what asks for the answer."""
        question = self._asked(test, first=not demonstrations)
        return np.concatenate([self.encode_pairs(demonstrations)[0], question]) if demonstrations else question

    def _asked(self, shown: Grid, first: bool) -> NDArray[np.int32]:
        """An input from the end of the pair before it, or from the start, to where its output begins."""
        before = self.opening if first else self.between
        return np.concatenate([np.array(before, np.int32), self.rows(shown), np.array(self.answer, np.int32)])

    def encode_reply(self, grid: Grid) -> tuple[int, ...]:
        """The lines of a grid and the end."""
        return (*self.rows(grid).tolist(), self.end)

    def decode(self, reply: Sequence[int]) -> Grid | None:
        """The grid a reply spells, its end included; None where it is not exactly what `encode_reply` writes."""
        written: Writing | None = self.written
        for token in reply:
            written = written.then(token) if written else None
        if written is None or not written.ended:
            return None
        colours = [self.cells.index(token) for token in reply if token in self.cells]
        return np.array(colours, np.uint8).reshape(-1, written.width)

    def pairs_length(self, pairs: Sequence[Pair]) -> int:
        """Tokens of `encode_pairs`."""
        grids = sum(self.rows_length(p.input) + self.rows_length(p.output) for p in pairs)
        around = len(pairs) * (len(self.between) + len(self.answer) + 1)
        return grids + around + (len(self.opening) - len(self.between) if pairs else 0)

    def prompt_length(self, demonstrations: Sequence[Pair], test: Grid) -> int:
        """Tokens of `encode_prompt`."""
        before = self.between if demonstrations else self.opening
        return self.pairs_length(demonstrations) + len(before) + self.rows_length(test) + len(self.answer)


@dataclass(frozen=True)
class Writing:
    """How far a reply has come in spelling a grid; frozen, so that many continuations share one beginning.

    `rows`: newlines said. `cells`: cells since the last one. `width`: cells a row, 0 as long as it is open.
    """

    format: Lines
    rows: int = 0
    cells: int = 0
    width: int = 0
    ended: bool = False

    def then(self, token: int) -> Writing | None:
        """The same with one token more; None where no reply that `decode` accepts begins so."""
        row_is_full = self.cells > 0 and self.width in (0, self.cells)
        if self.ended:
            return None
        if token == self.format.newline:
            fits = row_is_full and (self.format.closed or self.rows + 1 < MAX_SIDE)
            return replace(self, rows=self.rows + 1, cells=0, width=self.cells) if fits else None
        if token == self.format.end:
            fits = self.rows > 0 and self.cells == 0 if self.format.closed else row_is_full
            return replace(self, width=self.width or self.cells, ended=True) if fits else None
        fits = token in self.format.cells and self.rows < MAX_SIDE and self.cells < (self.width or MAX_SIDE)
        return replace(self, cells=self.cells + 1) if fits else None


NVARC = Lines(
    name="nvarc-16",
    cells=tuple(range(COLOURS)),
    newline=10,
    opening=(14, 11, 10),
    answer=(15, 14, 12, 10),
    end=15,
    between=(14, 11, 10),
    closed=False,
)
"""NVARC's Qwen3 cut to 16 tokens: 0–9 colours, 10 newline, 11 user, 12 assistant, 13 endoftext, 14 im_start, 15 im_end.

A pair reads `<|im_start|>user\\n{rows}<|im_end|><|im_start|>assistant\\n{rows}<|im_end|>`. Assumed of its newlines: one
after each role, one between two rows, none after a grid's last row (its `<|im_end|>` follows at once), none after an
`<|im_end|>` (which ordinary ChatML would have). Nothing stands before the first pair, and endoftext is not used.
"""
