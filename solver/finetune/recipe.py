"""Everything that decides fine-tuned weights, with the data and the weights they start from. Knows nothing of torch."""

from dataclasses import dataclass

from solver.config.setting import Count, Fraction, Positive, Settings, setting
from solver.config.settings import LARGEST_SEED, TrainRecipe
from solver.tokens.registry import Name

FULL_SHARE = 0.1  # of a LoRA's learning rate, for all weights; not tuned
CUT: Name = "nvarc-16"  # the format that a larger vocabulary is cut to


@dataclass(frozen=True)
class FineTuning(Settings):
    """How a checkpoint is trained on the pool of pretraining (arXiv 2411.07279, section 5)."""

    format: Name | None = setting(
        None,
        "the weights' token format, instead of the recognised one; nvarc-16 cuts a larger vocabulary to its 16 tokens",
        flag="--format NAME",
    )
    steps: Count = setting(
        1000,
        "optimizer steps at most; may grow on resuming; 0: nothing is trained, and the weights are written as they are "
        "or, with --format nvarc-16, cut to 16 tokens",
        flag="--steps N",
    )
    tokens: Positive = setting(2048, "tokens a step, of sequences that lie end to end", flag="--tokens N")
    longest: Positive = setting(
        2048, "tokens of the longest sequence, where a step and the model's context have as many", flag="--longest N"
    )
    rate: float | None = setting(
        None,
        "peak learning rate of AdamW, which warms up and falls as a cosine; default: that of the model's family and "
        f"size (solver/config/settings.md), and {FULL_SHARE:g} of it with --full",
        flag="--rate R",
        fits=lambda rate: 0 < rate < 1,
        expected="a number between 0 and 1",
    )
    warmup: Fraction = setting(0.05, "share of the steps in which the rate rises", flag="--warmup SHARE")
    rank: int = setting(32, "LoRA rank", flag="--rank N")
    full: bool = setting(False, "train all weights, embedding and norms too, instead of a LoRA", flag="--full")
    transform: Fraction = setting(
        0.25,
        "share of the sequences whose grids are shifted, mirrored, scaled or repeated, on one side or both",
        flag="--transform SHARE",
    )
    seed: int = setting(
        0,
        "of the order of the data, of its augmentation and of the LoRA's first values",
        flag="--seed N",
        fits=lambda seed: 0 <= seed <= LARGEST_SEED,
        expected=f"0 to {LARGEST_SEED}",
    )

    def refuse_contradictions(self) -> None:
        self.train_recipe(rate=self.rate or 1e-4)

    def train_recipe(self, rate: float) -> TrainRecipe:
        """The same for the trainer of adapters."""
        return TrainRecipe(rank=self.rank, rate=rate, warmup=self.warmup, tokens=self.tokens, steps=self.steps)
