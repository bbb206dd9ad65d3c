"""Nats of a step's wanted tokens: on a CPU by rows of one length; on a GPU padded, in parts that fit, and compiled.

Knows nothing of optimizers. Law: both ways give the same loss and gradients, up to rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from solver.model.grid_qwen3 import GridQwen3ForCausalLM
from solver.pretrain.row_model import RowModel
from solver.pretrain.rows import Row, to_tensors
from solver.tokens.grid import PAD
from solver.training import packed_attention
from solver.types import Example

ROWS = 2  # computed at once on a CPU, measured best of 1, 2 and 4
MULTIPLE = 64  # tokens: rows are as long as a multiple of this
MOST = 73_728  # tokens computed at once on a GPU, padding included, unless one sequence alone has more

Sums: TypeAlias = Callable[[Sequence[Row]], Iterator[Tensor]]
"""The parts of a batch one by one, of each the sum of its wanted tokens' nats; each wants its way back at once."""


def by_rows(model: GridQwen3ForCausalLM, length: int, compiled: bool) -> Sums:
    """The model's sums over rows of this length, ROWS at a time."""
    by_row = RowModel(model, compiled)

    def sums(rows: Sequence[Row]) -> Iterator[Tensor]:
        for start in range(0, len(rows), ROWS):
            yield by_row.loss(to_tensors(rows[start : start + ROWS], length))

    return sums


def by_parts(model: GridQwen3ForCausalLM, backend: str = "inductor") -> Sums:
    """The model's sums over padded parts, compiled by this backend of torch.compile."""
    packed_attention.use(model)
    summed = torch.compile(model.summed_loss, dynamic=True, fullgraph=True, backend=backend)

    def sums(rows: Sequence[Row]) -> Iterator[Tensor]:
        for part in parts([example for row in rows for example in row]):
            tokens, wanted = (side.to(model.device) for side in padded(part))
            yield summed(tokens, wanted)

    return sums


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
