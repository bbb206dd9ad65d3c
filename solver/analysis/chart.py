"""The table of variants as a picture: a bar of what each solved, its interval across the bar's end, as SVG.

Knows nothing of runs or files. Law: the same rows give the same picture, byte for byte, and it shows what they hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from solver.analysis.page import filled
from solver.analysis.variant_table import ComparisonRow

LETTER = 7.2  # pixels a letter of a name takes at most
SCALE = 420  # pixels from nothing solved to the end of the scale
STEP = 0.1  # of all outputs, between two lines of the scale
BAR, GAP = 14, 10  # pixels
AROUND = 24  # pixels


@dataclass(frozen=True)
class Bar:
    """A variant's bar, in pixels: its top and width, the ends of its interval; `text`: what stands behind it."""

    name: str
    text: str
    top: int
    width: float
    low: float
    high: float


def svg(rows: Sequence[ComparisonRow]) -> str:
    """pass@2 of the rows, one under the other, in their order; the scale ends behind the longest interval."""
    end = STEP * math.ceil(max(max(row.scores.high, STEP) for row in rows) / STEP - 1e-9)
    each = SCALE / end
    bars = [
        Bar(
            name=row.name,
            text=f"{row.scores.outputs_solved} of {row.scores.outputs}",
            top=2 * AROUND + at * (BAR + GAP),
            width=round(each * row.scores.score, 1),
            low=round(each * row.scores.low, 1),
            high=round(each * row.scores.high, 1),
        )
        for at, row in enumerate(rows)
    ]
    lines = [(round(each * STEP * n, 1), f"{STEP * n:.0%}") for n in range(round(end / STEP) + 1)]
    left = AROUND + round(LETTER * max(len(row.name) for row in rows))
    return filled(
        "variants.svg",
        bars=bars,
        lines=lines,
        left=left,
        width=left + SCALE + 5 * AROUND,
        height=bars[-1].top + BAR + 2 * AROUND,
        tasks=rows[0].scores.tasks,
        bar=BAR,
        around=AROUND,
    )
