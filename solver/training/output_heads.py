"""Output heads trained in the LoRAs' place, from a fresh draw, over layers that are frozen.

Their files, and how an engine serves them: `solver/model/output_heads.py`.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from solver.model import output_heads
from solver.training.adapters import Adapters


class OutputHeads(Adapters):
    """One matrix each, [outputs, width]."""

    @staticmethod
    def trained(model: Any) -> dict[str, nn.Parameter]:
        """The head; the LoRAs have no part in any product any more. ValueError: the head is the embedding."""
        if model.config.tie_word_embeddings:
            raise ValueError("the head is the embedding and can't be trained alone: train LoRAs, or take other weights")
        model.base_model.disable_adapter_layers()
        model.base_model.model.get_output_embeddings().weight.requires_grad_(True)
        return Adapters.trained(model)

    def saved_name(self, name: str) -> str:
        return name.removeprefix("base_model.model.")

    def settings(self) -> dict[str, Any]:
        return {"head": True}

    def save(self, adapter: int, model: Any, path: Path, dtype: torch.dtype) -> None:  # noqa: ARG002
        [head] = self.views(self.served, adapter).values()
        output_heads.save(head.to(dtype), path)
