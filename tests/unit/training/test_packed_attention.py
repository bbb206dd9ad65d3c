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
    assert found.asked == ((0, 3), (3, 6))
    assert found.chosen.tolist() == [0, 2, 3, 5, 4, 5]
    assert found.owner.tolist() == [0, 0, 0, 1, 2, 2]  # 2: nobody's
    own = found.owner < 2
    assert torch.equal(found.targets[own], plain.targets)
    assert torch.equal(found.counts, plain.counts)


def test_what_fills_a_batch_up_is_no_longer_than_its_longest_sequence_and_wants_no_row_twice():
    many = [example(1, 2, 3, 4, wanted=3) for _ in range(3)]
    found = packed_attention.pack([many, [example(5, 6, wanted=1)], []], even=True)
    assert found.rows == ((0, 9), (9, 18), (18, 27))
    assert found.starts.tolist() == [0, 3, 6, 9, 10, 13, 16, 18, 21, 24, 27]
    assert found.longest == 3
    assert found.chosen.tolist() == [*range(9), 9, *range(9, 17), *range(18, 27)]
    assert found.owner.tolist() == [0] * 9 + [1] + [3] * 17
    assert found.asked == found.rows


def test_where_each_sequence_begins_and_lies_once_padded_is_known_of_the_batch():
    found = packed_attention.pack(BATCHES)
    assert (found.starts.tolist(), found.starts.dtype, found.longest) == ([0, 1, 4, 6], torch.int32, 3)
    assert found.places.tolist() == [0, 3, 4, 5, 6, 7]
    assert found.counts.tolist() == [3, 1]


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


def batch_of(lengths: list[int]) -> packed_attention.Packed:
    """A batch of sequences of these lengths."""
    return packed_attention.pack([[example(*range(length + 1), wanted=1) for length in lengths]])


def flash(q, k, v, starts, ends, longest, most, *, scale, window_size) -> Tensor:
    """What torch's kernel of that name computes, which runs on a GPU alone."""
    assert (starts.dtype, longest, most, window_size, scale) == (torch.int32, longest, longest, (-1, 0), SCALE)
    lengths = starts.diff().tolist()
    assert max(lengths) == longest
    return one_by_one(lengths, [q, k, v]).to(q.dtype)


@pytest.mark.parametrize(
    ("attend", "kept"),
    [
        pytest.param(packed_attention.by_products, 0, id="products, nothing kept"),
        pytest.param(packed_attention.by_products, 40, id="products, the short ones kept"),
        pytest.param(packed_attention.by_products, 999, id="products, all kept"),
        pytest.param(packed_attention.padded, 0, id="padded"),
        pytest.param(packed_attention.by_lengths, 0, id="by lengths"),
    ],
)
def test_every_sequence_attends_to_itself_alone_there_and_back(attend, kept, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packed_attention, "CHUNK", 16)
    monkeypatch.setattr(packed_attention, "KEPT", kept)
    lengths = [1, 7, 7, 16, 33, 50, 50]
    rows = inputs(lengths)
    monkeypatch.setattr(packed_attention, "varlen_attention", lambda: flash)
    weights = torch.randn(sum(lengths), 2, 8, generator=torch.Generator().manual_seed(1))
    said, expected = attend(*rows, batch_of(lengths), SCALE), one_by_one(lengths, rows)
    assert torch.allclose(said.double(), expected, atol=1e-5)
    back, wanted = (torch.autograd.grad((x * weights).sum(), rows) for x in (said, expected))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(back, wanted, strict=True))


def test_heads_that_share_keys_and_plain_batches_go_through_the_same_interface():
    q, k, v = (x.detach().transpose(0, 1)[None] for x in inputs([5, 6], heads=4))
    module, packed = SimpleNamespace(), batch_of([5, 6])
    few = packed_attention.attention(module, q, k[:, :2], v[:, :2], None, SCALE, packed)[0]
    doubled = [x[:, :2].repeat_interleave(2, dim=1) for x in (k, v)]
    assert torch.equal(few, packed_attention.attention(module, q, *doubled, None, SCALE, packed)[0])
    plain = packed_attention.attention(module, q[:, :, :5], k[:, :, :5], v[:, :, :5], None, SCALE)[0]
    alone = packed_attention.attention(module, q, k, v, None, SCALE, packed)[0][:, :5]
    assert torch.allclose(plain, alone, atol=1e-6)


@pytest.mark.parametrize(
    ("cuda", "capability", "dtype", "size", "torch_has_it", "chosen"),
    [
        (True, (9, 0), torch.bfloat16, 64, True, "by_lengths"),
        (True, (7, 5), torch.float16, 64, True, "padded"),  # a T4
        (True, (9, 0), torch.float32, 64, True, "padded"),
        (True, (9, 0), torch.bfloat16, 20, True, "padded"),
        (True, (8, 9), torch.bfloat16, 64, False, "padded"),
        (False, (9, 0), torch.bfloat16, 64, True, "by_products"),
    ],
)
def test_a_gpu_takes_sequences_by_their_lengths_where_it_and_torch_can(
    cuda, capability, dtype, size, torch_has_it, chosen, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(packed_attention, "varlen_attention", lambda: flash if torch_has_it else None)
    queries = SimpleNamespace(is_cuda=cuda, device="cuda:0", dtype=dtype, shape=(10, 2, size))
    assert packed_attention.kernel(queries).__name__ == chosen


def test_the_installed_torch_takes_what_its_kernel_is_given():
    """Shapes alone, on `meta`: the kernel itself runs on a GPU."""
    q, k, v = (x.detach().bfloat16().to("meta") for x in inputs([5, 6]))
    assert packed_attention.varlen_attention() is not None
    assert packed_attention.by_lengths(q, k, v, batch_of([5, 6]).to("meta"), SCALE).shape == q.shape
