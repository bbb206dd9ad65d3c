"""Nats of a batch's wanted tokens: laid end to end on a CPU; on a GPU padded, in parts that fit, and compiled.

Knows nothing of optimizers. Law: both ways give the same loss and gradients, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from solver.model.grid_qwen3 import GridQwen3ForCausalLM
from solver.tokens.grid import PAD
from solver.training import packed_attention
from solver.types import Example

MULTIPLE = 64  # tokens: rows are as long as a multiple of this
MOST = 73_728  # tokens computed at once on a GPU, padding included, unless one sequence alone has more

Sums: TypeAlias = Callable[[Sequence[Example]], Iterator[Tensor]]
"""The parts of a batch one by one, of each the sum of its wanted tokens' nats; each wants its way back at once."""


def of(model: GridQwen3ForCausalLM, compiled: str | None) -> Sums:
    """The model's sums. `compiled`: torch.compile's backend, for padded parts; None: end to end, as it is."""
    packed_attention.use(model)
    if compiled is None:
        return lambda examples: (end_to_end(model, some) for some in [examples] if some)
    summed = torch.compile(model.summed_loss, dynamic=True, fullgraph=True, backend=compiled)

    def sums(examples: Sequence[Example]) -> Iterator[Tensor]:
        for part in parts(examples):
            tokens, wanted = (rows.to(model.device) for rows in padded(part))
            yield summed(tokens, wanted)

    return sums


def end_to_end(model: GridQwen3ForCausalLM, examples: Sequence[Example]) -> Tensor:
    """Of all examples at once: no sequence sees another, nothing is padded."""
    laid = packed_attention.pack([examples]).to(str(model.device))
    options = {"position_ids": laid.positions[None], "runs": laid.runs}
    return model.token_losses(laid.tokens, laid.chosen, laid.targets, **options).sum()


def parts(examples: Sequence[Example], most: int = MOST) -> list[list[Example]]:
    """The examples, shortest first, in groups of at most `most` tokens once padded."""
    made: list[list[Example]] = [[]]
    for example in sorted(examples, key=lambda e: e.tokens.size):
        if made[-1] and (len(made[-1]) + 1) * _long(example) > most:
            made.append([])
        made[-1].append(example)
    return made if made[0] else []


def padded(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """(ids, whether wanted), both [examples, length], int64 and bool; padding at the end. All but the last place is
    computed, and those are a multiple."""
    long = max(map(_long, examples)) + 1

    def rows(of: Callable[[Example], Any], filler: int) -> Tensor:
        return torch.stack(
            [functional.pad(torch.from_numpy(of(e)), (0, long - e.tokens.size), value=filler) for e in examples]
        )

    return rows(lambda e: e.tokens, PAD).long(), rows(lambda e: e.loss, 0)


def _long(example: Example) -> int:
    """Places computed of an example: all tokens but the last, up to the next multiple."""
    return -(-(example.tokens.size - 1) // MULTIPLE) * MULTIPLE
