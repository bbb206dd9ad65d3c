"""What can be trained instead of LoRAs on the projections: the one seam for it, as none of it has measured a gain.

Whole matrices (`whole_matrices`), an output head for each task (`output_heads`), LoRAs on embedding and head as well
(`embedding_loras`). Imports no torch: what is asked here is asked before any library is imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from solver.config.settings import EMBED, TrainRecipe, require
from solver.tokens import registry

if TYPE_CHECKING:
    from solver.training.adapters import Adapters


def adapters_of(recipe: TrainRecipe) -> type[Adapters]:
    """The class of what is trained."""
    from solver.training import adapters, embedding_loras, output_heads, whole_matrices

    if recipe.head:
        return output_heads.OutputHeads
    if recipe.whole:
        return whole_matrices.WholeMatrices
    return embedding_loras.EmbeddingLoras if EMBED in recipe.targets else adapters.Adapters


def peft_alone(recipe: TrainRecipe) -> str | None:
    """Why only peft can train this; None where Unsloth can as well."""
    if recipe.head:
        return "a head alone is trained, no LoRA"
    named = " and ".join(recipe.embedding_targets)
    return f"unsloth trains {named} whole, which the engine refuses to serve" if named else None


def require_targets(weights: Path, recipe: TrainRecipe) -> None:
    """Raise `BadInput` where the LoRA is to be put on the embedding or head of the shipped weights."""
    expected = (
        f"the seven projections alone, as embedding and head of {weights.name} are put together from parts, on which "
        "there is no LoRA; or train.head (the variant head of ablate) for a head of each task's own"
    )
    require("LoRA targets", recipe.targets, not (recipe.embedding_targets and registry.is_own(weights)), expected)
