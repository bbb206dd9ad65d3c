"""All of a model's own weights trained in place, by the trainer that trains adapters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from solver.config.settings import TrainRecipe
from solver.training import base_model
from solver.training.adapters import Adapters
from solver.training.trainer import LoraTrainer


class AllWeights(Adapters):
    """The weights as one adapter, which begins where the base model stands: embedding, norms and head as well."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], count: int, recipe: TrainRecipe):
        assert count == 1, "there is one model"
        first = {name: parameter.data for name, parameter in parameters.items()}
        super().__init__(parameters, count, recipe)
        self.take(0, first)

    def draw(self, adapter: int, seed: int) -> None:
        """Nothing: the base model's weights are what is begun with."""


class AllWeightsTrainer(LoraTrainer):
    """A trainer of the model itself, through transformers alone: what is trained is no adapter that peft could hold."""

    def load(self, weights: Path) -> Any:
        return base_model.alone(weights, self.how)

    def kind(self) -> type[Adapters]:
        return AllWeights
