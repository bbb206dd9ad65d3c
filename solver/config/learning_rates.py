"""The learning rate of an adapter by the family and size of the model it is for, and where each is from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from solver.config.sources import MEASURED, NVARC, OURS, PRODUCT, TRAINING

ANY = "any"


@dataclass(frozen=True)
class LearningRate:
    """Peak rate of AdamW for models of a family (`model_type` of their config.json) up to so many parameters."""

    family: str
    parameters: float
    rate: float
    source: str


RATES = (  # the first row that fits a model is its own
    LearningRate(ANY, 2e6, 2e-3, f"{MEASURED}, at 1.3 million"),
    LearningRate(ANY, 1e8, 1e-3, f"{MEASURED}, at 2.7 million"),
    LearningRate(ANY, 1e9, 2e-4, f"{OURS}, between the two sizes; not tuned"),
    LearningRate("llama", math.inf, 5e-5, f"{TRAINING}: Llama 3 of 1, 3 and 8 billion"),
    LearningRate("mistral", math.inf, 1e-4, f"{PRODUCT}: Mistral NeMo of 8 billion"),
    LearningRate(ANY, math.inf, 5e-5, f"{NVARC}: Qwen3 of 4 billion"),
)


def learning_rate(family: str, parameters: int) -> float:
    """The rate for a model that has no other asked for."""
    return next(row.rate for row in RATES if row.family in (ANY, family) and parameters <= row.parameters)
