"""Sequences laid end to end: what lies where, and attention that gives each what it would have alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from solver.training import packed_attention
from solver.types import Example

pytestmark = pytest.mark.usefixtures("one_thread")
SCALE = 0.3


def example(*tokens: int, wanted: int) -> Example:
    """A sequence whose last `wanted` tokens are to be predicted."""
    return Example(np.array(tokens, np.int32), np.arange(len(tokens)) >= len(tokens) - wanted)


BATCHES = [[example(1, 2, 3, 4, wanted=2), example(5, 6, wanted=1)], [example(7, 8, 9, wanted=1)]]


def test_sequences_lie_end_to_end_shortest_first_in_each_batch_without_their_last_tokens():
    found = packed_attention.pack(BATCHES)
    assert found.tokens.tolist() == [5, 1, 2, 3, 7, 8]
    assert found.positions.tolist() == [0, 0, 1, 2, 0, 1]
    assert found.runs == ((0, 1, 1), (1, 1, 3), (4, 1, 2))
    assert found.rows == ((0, 4), (4, 6))


def test_what_is_wanted_is_the_token_after_a_row_and_belongs_to_its_batch():
    found = packed_attention.pack(BATCHES)
    assert found.chosen.tolist() == [0, 2, 3, 5]
    assert found.targets.tolist() == [6, 3, 4, 9]
    assert found.owner.tolist() == [0, 0, 0, 1]


def test_even_batches_have_equally_many_rows_and_nothing_is_wanted_of_what_fills_them_up():
    found, plain = packed_attention.pack(BATCHES, even=True), packed_attention.pack(BATCHES)
    assert found.rows == ((0, 4), (4, 8))
    assert found.positions.tolist()[6:] == [0, 1]
    assert torch.equal(found.targets, plain.targets)
    assert torch.equal(found.owner, plain.owner)


def test_neighbours_of_one_length_are_multiplied_together():
    batch = [example(*range(n), wanted=1) for n in (4, 3, 4, 3, 4)]
    assert packed_attention.pack([batch]).runs == ((0, 2, 2), (4, 3, 3))


def inputs(lengths: list[int], heads: int = 2, size: int = 8) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(sum(lengths), heads, size, generator=generator, requires_grad=True) for _ in range(3)]


def one_by_one(lengths: list[int], rows: list[Tensor]) -> Tensor:
    """Each sequence by itself through torch's own attention, in float64."""
    said = []
    for own in zip(*(x.double().split(lengths) for x in rows), strict=True):
        q, k, v = (x.transpose(0, 1)[None] for x in own)
        said.append(functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=SCALE)[0].transpose(0, 1))
    return torch.cat(said)


@pytest.mark.parametrize(
    "attend", [packed_attention.PackedAttention.apply, packed_attention.padded], ids=["products", "padded"]
)
@pytest.mark.parametrize("kept", [0, 40, 999], ids=["nothing kept", "the short ones kept", "all kept"])
def test_every_sequence_attends_to_itself_alone_there_and_back(attend, kept, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packed_attention, "CHUNK", 16)
    monkeypatch.setattr(packed_attention, "KEPT", kept)
    lengths = [1, 7, 7, 16, 33, 50, 50]
    rows = inputs(lengths)
    runs = ((0, 1, 1), (1, 2, 7), (15, 1, 16), (31, 1, 33), (64, 2, 50))
    weights = torch.randn(sum(lengths), 2, 8, generator=torch.Generator().manual_seed(1))
    said, expected = attend(*rows, runs, SCALE), one_by_one(lengths, rows)
    assert torch.allclose(said.double(), expected, atol=1e-5)
    back, wanted = (torch.autograd.grad((x * weights).sum(), rows) for x in (said, expected))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(back, wanted, strict=True))


def test_heads_that_share_keys_and_plain_batches_go_through_the_same_interface():
    q, k, v = (x.detach().transpose(0, 1)[None] for x in inputs([5, 6], heads=4))
    module = SimpleNamespace()
    few = packed_attention.attention(module, q, k[:, :2], v[:, :2], None, SCALE, runs=((0, 1, 5), (5, 1, 6)))[0]
    doubled = [x[:, :2].repeat_interleave(2, dim=1) for x in (k, v)]
    assert torch.equal(
        few, packed_attention.attention(module, q, *doubled, None, SCALE, runs=((0, 1, 5), (5, 1, 6)))[0]
    )
    plain = packed_attention.attention(module, q[:, :, :5], k[:, :, :5], v[:, :, :5], None, SCALE)[0]
    alone = packed_attention.attention(module, q, k, v, None, SCALE, runs=((0, 1, 5), (5, 1, 6)))[0][:, :5]
    assert torch.allclose(plain, alone, atol=1e-6)
