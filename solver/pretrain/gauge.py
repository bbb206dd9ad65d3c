"""How a model does on held-out tasks: fixed sequences of theirs, and the loss and the exact matches over them."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from solver.pretrain.data import Pool
from solver.tokens.grid import Format, pair_length
from solver.types import Example, seed_for

SEQUENCES = 64  # of held-out tasks that the figures on the way are computed over
GAUGE_PAIR = 300  # tokens a pair may have, in the coordinate format, to be in one
PAIRS = 4  # of a sequence, the last of which is asked for

Logits: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(ids int64 [1, length], places int64 [n]) → logits of what follows these places, [n, vocabulary]."""


def held_out_sequences(pool: Pool, count: int, format: Format) -> list[Example]:
    """At most `count` fixed sequences of the pool (held-out tasks), the loss on the last output alone."""
    drawn = []
    for index in range(count):
        rng = np.random.default_rng(seed_for(0, str(index), "gauge"))
        known = pool.pairs[index % len(pool.ids)]
        pairs = [known[i] for i in rng.permutation(len(known)) if pair_length(known[i]) <= GAUGE_PAIR][:PAIRS]
        if len(pairs) == PAIRS:
            tokens, owner = format.encode_pairs(pairs)
            drawn.append(Example(tokens, owner == PAIRS - 1))
    return drawn


@torch.no_grad()
def held_out_figures(logits: Logits, examples: Sequence[Example], device: torch.device | str) -> dict[str, float]:
    """Teacher-forced, over the wanted tokens of each sequence: nats a token, tokens right, whole outputs right.

    An output is whole right exactly where greedy decoding would have written it.
    """
    nats, right, tokens, whole, outputs = 0.0, 0, 0, 0, 0
    for example in examples:
        ids = torch.from_numpy(example.tokens).long().to(device)
        chosen = torch.from_numpy(example.loss)[1:].nonzero()[:, 0].to(device)
        said = logits(ids[None, :-1], chosen).float().log_softmax(-1)
        target = ids[1:][chosen]
        nats -= float(said.gather(-1, target[:, None]).sum())
        hits = said.argmax(-1) == target
        right, tokens = right + int(hits.sum()), tokens + len(target)
        whole, outputs = whole + int(hits.all()), outputs + 1
    if not outputs:
        return {}
    return {
        "held_out_loss": round(nats / tokens, 4),
        "held_out_tokens_right": round(right / tokens, 4),
        "held_out_outputs_right": round(whole / outputs, 4),
    }
