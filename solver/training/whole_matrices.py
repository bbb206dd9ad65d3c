"""Whole matrices trained in the shape of LoRAs: of A and B one is the identity and stays so.

Their product is then any change of the whole matrix.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from solver.config.settings import TrainRecipe
from solver.training.adapters import Adapters


class WholeMatrices(Adapters):
    """`fixed`: the names of the identities. ValueError: the rank is below the narrower side of a matrix."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], count: int, recipe: TrainRecipe):
        super().__init__(parameters, count, recipe)
        self.fixed = {name for name in parameters if self._is_fixed(name)}

    def _is_fixed(self, name: str) -> bool:
        rank, width = self.parameters[name.replace("lora_B", "lora_A")].shape
        height = self.parameters[name.replace("lora_A", "lora_B")].shape[0]
        if rank < min(width, height):
            raise ValueError(
                f"{name}: whole matrices of {height} × {width} want a LoRA rank of at least {min(width, height)}, and "
                f"it is {rank}: raise the rank, or train LoRAs"
            )
        return ("lora_A" in name) == (width <= rank)

    def initial(self, name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        return torch.eye(*shape) if name in self.fixed else torch.zeros(shape)

    def step(self, count: int, rate: float, clip: float, scaler: torch.amp.GradScaler) -> None:
        gradients = self.views(self.grads, None)
        for name in self.fixed:
            gradients[name].zero_()
        super().step(count, rate, clip, scaler)
