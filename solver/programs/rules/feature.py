"""A cell feature: one thing known of every cell of a grid.

Kinds: a "colour" is 0–9, or `NONE`; a "number" is a small integer; a "flag" is 0 or 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NONE = 10  # of a colour: there is no such cell

Values = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Feature:
    """One thing known of every cell: `values` int16 [rows, columns]; `cost` is what a rule pays to use it."""

    name: str
    kind: str
    values: Values
    cost: float


def feature(kind: str, name: str, values: NDArray[np.generic], cost: float) -> Feature:
    """A feature from values of any type that fit into int16."""
    return Feature(name, kind, np.asarray(values, np.int16), cost)
