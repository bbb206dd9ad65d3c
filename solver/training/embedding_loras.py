"""LoRAs on the embedding beside those on the layers: its own learning rate, and its own start, which is peft's."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from solver.training.adapters import Adapters

EMBEDDED = "lora_embedding_"  # how the names of an embedding's A, [rank, ids], and B, [width, rank], begin


class EmbeddingLoras(Adapters):
    """The embedding's matrices lie before all others."""

    def rate_groups(self, parameters: Mapping[str, nn.Parameter]) -> list[tuple[float, Mapping[str, nn.Parameter]]]:
        embedding = {name: p for name, p in parameters.items() if EMBEDDED in name}
        others = {name: p for name, p in parameters.items() if EMBEDDED not in name}
        return [(share, group) for share, group in ((self.recipe.embedding_rate, embedding), (1.0, others)) if group]

    def initial(self, name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Of an embedding A is zero and B random."""
        if EMBEDDED not in name:
            return super().initial(name, shape, generator)
        return torch.zeros(shape) if f"{EMBEDDED}A" in name else torch.randn(shape, generator=generator)
