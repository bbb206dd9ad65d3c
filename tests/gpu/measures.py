"""The arithmetic behind the GPU checks' table: utilisation, projection to a contest's machine, the table itself.

Knows nothing of torch. Law: a projection names what it scales by, and scales nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from solver.hardware.gpus import Card
from solver.model.architecture import Model

HOUR = 3600.0


@dataclass(frozen=True)
class Row:
    """A line of the table: what was looked at, what was expected, what was seen, and whether that will do (None: a
    number to know, which nothing is expected of)."""

    check: str
    expected: str
    seen: str
    good: bool | None = None


def training_flops(model: Model, tokens: int) -> float:
    """Operations of a training step with frozen weights: 2 a weight and token forwards, 2 for the gradients that pass
    through; attention's own, a recomputation's and the adapter's are left out, so utilisation is understated."""
    used = (
        model.projections + (model.vocabulary if model.tied else model.embedding // (2 * model.hidden)) * model.hidden
    )
    return 4.0 * used * tokens


def utilisation(model: Model, tokens: int, seconds: float, card: Card) -> float:
    """Share of the card's peak that a training step of so many tokens and seconds made use of (MFU)."""
    return training_flops(model, tokens) / seconds / card.flops


def projected(train: float, sample: float, measured: Card, other: Card) -> float:
    """Seconds a task on another card: training scaled by peak arithmetic, sampling by memory bandwidth."""
    return train * measured.flops / other.flops + sample * measured.bandwidth / other.bandwidth


def share_of_limit(seconds: float, tasks: int = 240, workers: int = 4, limit: float = 12 * HOUR) -> float:
    """Share of the limit that so many tasks take at so many seconds each on so many workers."""
    return seconds * tasks / workers / limit


def save(rows: Sequence[Row], path: Path) -> None:
    """Write rows as JSON."""
    path.write_text(json.dumps([asdict(row) for row in rows]))


def load(path: Path) -> list[Row]:
    """The rows that `save` wrote; none where the file is not there."""
    return [Row(**row) for row in json.loads(path.read_text())] if path.is_file() else []


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    words = {True: "yes", False: "NO", None: ""}
    lines = [f"| {r.check} | {r.expected} | {r.seen} | {words[r.good]} |" for r in rows]
    return "\n".join(["| check | expected | seen | good |", "|---|---|---|---|", *lines])
