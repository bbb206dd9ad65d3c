"""What an output obeys if it obeys what every demonstration does: its sides and its colours. It only lowers answers.

Of the 1,302 demonstrations of ARC-AGI-1 training 42 break what the others of their task prove (`test_limits.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from solver.types import MAX_SIDE, Grid, Pair


@dataclass(frozen=True)
class OutputLimits:
    """Of one test input's output. An empty set: the demonstrations prove nothing."""

    rows: frozenset[int] = frozenset()
    columns: frozenset[int] = frozenset()
    colours: frozenset[int] = frozenset()

    def broken_by(self, grid: Grid) -> bool:
        """Whether a grid has a side or a colour that no demonstration speaks for."""
        sides = zip(grid.shape, (self.rows, self.columns), strict=True)
        if any(allowed and side not in allowed for side, allowed in sides):
            return True
        return bool(self.colours) and not self.colours.issuperset(map(int, np.unique(grid)))


UNLIMITED = OutputLimits()


def limits(demonstrations: Sequence[Pair], test: Grid) -> OutputLimits:
    """The limits of a test input's output.

    A side is kept, constant or scaled by a factor: what those rules say that hold in all demonstrations. A colour is in
    the test input or in a demonstration's output.
    """
    if not demonstrations:
        return UNLIMITED
    rows, columns = (
        _sides(test.shape[axis], [(pair.input.shape[axis], pair.output.shape[axis]) for pair in demonstrations])
        for axis in (0, 1)
    )
    seen = np.concatenate([test.ravel(), *(pair.output.ravel() for pair in demonstrations)])
    return OutputLimits(rows, columns, frozenset(map(int, np.unique(seen))))


def _sides(side: int, shown: Sequence[tuple[int, int]]) -> frozenset[int]:
    """What each rule makes of a side that holds in all of `shown`, (input's, output's), as far as a grid can be so."""
    factors = {Fraction(after, before) for before, after in shown}
    constants = {after for _, after in shown}
    expected = [side * factor for factor in factors if len(factors) == 1]  # kept is scaled by 1
    expected += [Fraction(after) for after in constants if len(constants) == 1]
    return frozenset(int(one) for one in expected if one.denominator == 1 and 1 <= one <= MAX_SIDE)
