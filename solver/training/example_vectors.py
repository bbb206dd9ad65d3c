"""What examples are to the base model, as vectors by which tasks are compared (`neighbours`).

`states`: its last hidden state, the mean over the wanted tokens. `gradients`: how an adapter would be changed by the
example at its start, which is the same for all, folded into `FOLDED` numbers whose inner products are, on average,
those of the gradients (a count sketch, arXiv 0902.2206; LESS, arXiv 2402.04333, projects at random, too).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.types import Example, seed_for

FOLDED = 1024  # numbers that stand for an adapter's gradients


def vectors(trainer: Any, examples: Sequence[Example], kind: str) -> NDArray[np.float32]:
    """One vector an example, float32 [examples, numbers], from a `LoraTrainer`."""
    trainer.begin()
    trainer.adapters.draw(0, seed_for(0, kind, "vector"))
    if kind == "gradients":
        fold = folding(trainer.adapters.grads.shape[1])
        rows = [fold(_gradients(trainer, example)) for example in examples]
    else:
        rows = [_state(trainer, example) for example in examples]
    trainer.adapters.grads.zero_()
    size = FOLDED if kind == "gradients" else trainer.model.config.hidden_size
    numbers: NDArray[np.float32] = torch.cat([torch.zeros(0, size), *(row[None] for row in rows)]).numpy()
    return numbers


def _gradients(trainer: Any, example: Example) -> Tensor:
    """What the loss of one example says of every number of the adapter, [numbers]; good until the next one."""
    trainer.adapters.grads.zero_()  # fused layers write their gradients where others add them
    trainer.losses([[example]]).sum().backward()
    gradients: Tensor = trainer.adapters.grads[0].cpu()
    return gradients


@torch.no_grad()
def _state(trainer: Any, example: Example) -> Tensor:
    """The mean of the last hidden states that say the wanted tokens, float32 [width]."""
    tokens = torch.from_numpy(example.tokens[:-1]).long().to(trainer.device)[None]
    chosen = torch.from_numpy(example.loss[1:]).to(trainer.device)
    trainer.adapters.rows = {len(chosen): ((0, len(chosen)),)}
    hidden = trainer.causal.model(tokens).last_hidden_state[0]
    mean: Tensor = hidden[chosen].float().mean(0).cpu()
    return mean


def folding(count: int, size: int = FOLDED) -> Callable[[Tensor], Tensor]:
    """What makes float32 [size] of `count` numbers: each is added, with a sign of its own, to one of the places.

    Signs and places are the same every time.
    """
    generator = torch.Generator().manual_seed(seed_for(0, "gradients", "folding"))
    places = torch.randint(size, (count,), generator=generator)
    signs = torch.randint(2, (count,), generator=generator) * 2 - 1
    return lambda numbers: torch.zeros(size).index_add_(0, places, numbers.float() * signs)
