"""Everything that decides pretrained weights, with the data: shape, schedule and rates. Knows nothing of torch."""

from dataclasses import dataclass
from typing import Any

from solver.types import BadInput

CHUNK = 128  # places of a row whose attention is computed at once; measured best of 128 and 256
COUNTS = ("width", "layers", "heads", "head_size", "inner", "steps", "tokens", "row", "warmup", "workers")
SHARES = ("decay", "average", "upscale", "pad")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, with the data.

    `steps`: optimizer steps; the learning rates rise over `warmup` steps, stay, and fall linearly to zero over the
    last `decay` share (warm-up–stable–decay). `tokens`: places a step, in rows of `row` places, divided among `workers`
    processes. `average`: how much of the weights' running average each step keeps, 0: none is kept; it forgets faster
    in the beginning. `upscale`, `pad`: shares of the sequences that are augmented so (`batches.Augmentation`).
    Raises `BadInput` where numbers are out of range or do not go together.
    """

    width: int = 192
    layers: int = 6
    heads: int = 3
    head_size: int = 64
    inner: int = 512
    steps: int = 1400
    tokens: int = 8192
    row: int = 2048
    warmup: int = 60
    decay: float = 0.3
    matrix_rate: float = 4e-3
    other_rate: float = 3e-3
    weight_decay: float = 0.02
    clip: float = 1.0
    average: float = 0.999
    upscale: float = 0.0
    pad: float = 0.0
    workers: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}; expected 1 or more")
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"{name} is {getattr(self, name)}; expected 0 to 1")
        if not self.decay:
            raise BadInput("decay is 0; expected a share above 0: the rates would never fall")
        if self.tokens % (self.row * self.workers) or self.row % CHUNK:
            raise BadInput(
                f"{self.tokens} tokens a step in rows of {self.row} for {self.workers} workers; "
                f"expected as many whole rows for each worker, their length a multiple of {CHUNK}"
            )


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"width": 64, "layers": 2, "heads": 2, "head_size": 32, "inner": 128, "steps": 40, "tokens": 4096},
    "cpu": {},
    "gpu": {  # 17.8 M parameters; 1.3 billion tokens; the rates are those of `cpu`
        **{"width": 384, "layers": 10, "heads": 6, "head_size": 64, "inner": 1024},
        **{"steps": 10_000, "tokens": 131_072, "warmup": 200, "workers": 1},
    },
}


def rate(step: int, recipe: Recipe) -> float:
    """Share of the peak learning rate at a step, counted from 0: warm-up, stable, linear decay."""
    left = (recipe.steps - step) / (recipe.decay * recipe.steps)
    return min(1.0, (step + 1) / recipe.warmup, left)
