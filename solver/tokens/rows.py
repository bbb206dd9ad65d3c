"""Grids as lines of digits: a token a cell, a newline a row. The formats of models that know no coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.tokens.grid import Format, Written, encoded_length
from solver.types import COLOURS, MAX_SIDE, Grid


@dataclass(frozen=True)
class Lines(Format):
    """The format of these ids. ValueError: colours, newline and end are not twelve different ones."""

    cells: tuple[int, ...]  # of the ten colours
    newline: int  # between two rows
    closed: bool  # whether one follows the last row, too

    def __post_init__(self) -> None:
        if len(self.cells) != COLOURS or len({*self.cells, self.newline, self.end}) != COLOURS + 2:
            raise ValueError(f"colours {self.cells}, newline {self.newline}, end {self.end}: expected twelve ids")

    @property
    def vocabulary(self) -> int:
        return 1 + max(*self.cells, self.newline, self.end, *self.opening, *self.answer, *self.between)

    @property
    def written(self) -> WrittenLines:
        return WrittenLines(format=self)

    def spelled(self, grid: Grid, role: int) -> NDArray[np.int32]:  # noqa: ARG002
        ids = np.full((grid.shape[0], grid.shape[1] + 1), self.newline, np.int32)
        ids[:, :-1] = np.array(self.cells, np.int32)[grid]
        return ids.ravel()[: self.spelled_length(grid)]

    def spelled_length(self, grid: Grid) -> int:
        return encoded_length(grid) - (not self.closed)

    def colours(self, reply: Sequence[int]) -> list[int]:
        return [self.cells.index(token) for token in reply if token in self.cells]


@dataclass(frozen=True, kw_only=True)
class WrittenLines(Written):
    """A reply in lines, of which `rows` newlines are said."""

    format: Lines

    def then(self, token: int) -> WrittenLines | None:
        if self.ended:
            return None
        if token == self.format.newline:
            fits = self.row_is_full and (self.format.closed or self.rows + 1 < MAX_SIDE)
            return replace(self, rows=self.rows + 1, cells=0, width=self.cells) if fits else None
        if token == self.format.end:
            fits = self.rows > 0 and self.cells == 0 if self.format.closed else self.row_is_full
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
