"""Sequences of several batches laid end to end without padding, and attention that keeps them apart.

On a CPU the attention is written out as matrix products: torch's own fused kernel runs at a sixth to a third of their
rate there. On a GPU torch's FlashAttention takes sequences of any lengths; on one without it, older than Ampere, they
are padded for the attention alone. What depends on the batch alone is computed once, not in every layer.
Law: a sequence's results are those it would have alone, up to rounding.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, groupby
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from solver.types import Example

NAME = "packed"  # what the attention is called in transformers' registry
CHUNK = 128  # queries multiplied at once: half of what a causal mask hides is never computed, measured best of 64–512
KEPT = 2048  # tokens of the longest sequence whose probabilities are kept for the way back, not computed again
HALVES, FLASH_SINCE = (torch.float16, torch.bfloat16), (8, 0)  # what FlashAttention computes in, and on which cards

Runs: TypeAlias = tuple[tuple[int, int, int], ...]
"""(first row, sequences, tokens of each): neighbouring sequences of one length, which are multiplied together."""
Spans: TypeAlias = tuple[tuple[int, int], ...]
"""(first, end) of parts, one after another."""


@dataclass(frozen=True, eq=False)
class Packed:
    """Batches as one: integer tensors. `tokens`, `positions` [T]: the sequences without their last tokens, each counted
    from 0. `runs`: where they lie; `starts` [sequences + 1]: the first row of each, and the end; `longest`: rows of the
    longest; `places` [T]: each row's place once all are padded to that. `rows`: (first, end) of each batch's rows.
    `chosen` [W]: rows after which a token is wanted; `targets` [W]: that token; `owner` [W]: the batch it belongs to,
    the number of batches where it fills one up; `counts` [batches]: tokens wanted of each; `asked`: (first, end) of
    each batch's part of `chosen`.
    """

    tokens: Tensor
    positions: Tensor
    runs: Runs
    starts: Tensor
    longest: int
    places: Tensor
    rows: Spans
    chosen: Tensor
    targets: Tensor
    owner: Tensor
    counts: Tensor
    asked: Spans

    def to(self, device: str) -> Packed:
        """The same on a device."""
        moved: dict[str, Any] = {n: t.to(device) for n, t in vars(self).items() if isinstance(t, Tensor)}
        return replace(self, **moved)


def pack(batches: Sequence[Sequence[Example]], even: bool = False) -> Packed:
    """The batches one after another, sequences of one length side by side.

    `even`: batches are filled up to as many rows as the largest has, with sequences nobody wants anything of, none
    longer than the longest real one, and to as many wanted tokens, with some that count for none of them.
    """
    most = max(sum(e.tokens.size - 1 for e in batch) for batch in batches)
    longest = max(e.tokens.size - 1 for batch in batches for e in batch)
    tokens, wanted, lengths, totals = [], [], list[int](), list[int]()
    for batch in batches:
        ordered = sorted(batch, key=lambda e: e.tokens.size)
        own = [e.tokens.size - 1 for e in ordered]
        tokens += [torch.from_numpy(e.tokens[:-1]).long() for e in ordered]
        wanted += [
            torch.where(torch.from_numpy(e.loss[1:]), torch.from_numpy(e.tokens[1:]).long(), -1) for e in ordered
        ]
        if even and (missing := most - sum(own)):
            own += [min(longest, missing - done) for done in range(0, missing, longest)]
            tokens.append(torch.zeros(missing, dtype=torch.long))
            wanted.append(torch.full((missing,), -1))
        lengths += own
        totals.append(sum(own))
    rows, targets, sizes = spans(totals), torch.cat(wanted), torch.tensor(lengths)
    asked = [(targets[first:end] >= 0).nonzero()[:, 0] + first for first, end in rows]
    counts = [len(places) for places in asked]
    extra = [max(counts) - count if even else 0 for count in counts]
    chosen, owners = list[Tensor](), list[int]()
    for n, (places, (first, _), more) in enumerate(zip(asked, rows, extra, strict=True)):
        chosen += [places, torch.arange(first, first + more)]  # no row twice: that is slow on the way back
        owners += [n] * len(places) + [len(batches)] * more
    number = torch.arange(len(lengths)).repeat_interleave(sizes)  # of the sequence that a row belongs to
    starts = functional.pad(sizes.cumsum(0), (1, 0))
    positions = torch.arange(len(targets)) - starts[number]
    picked = torch.cat(chosen)
    return Packed(
        tokens=torch.cat(tokens),
        positions=positions,
        runs=_runs(lengths),
        starts=starts.int(),
        longest=max(lengths),
        places=positions + number * max(lengths),
        rows=rows,
        chosen=picked,
        targets=targets[picked].clamp(min=0),
        owner=torch.tensor(owners),
        counts=torch.tensor(counts),
        asked=spans([count + more for count, more in zip(counts, extra, strict=True)]),
    )


def _runs(lengths: Sequence[int]) -> Runs:
    counted = [(length, len(list(same))) for length, same in groupby(lengths)]
    starts = (start for start, _ in spans([length * count for length, count in counted]))
    return tuple((start, count, length) for start, (length, count) in zip(starts, counted, strict=True) if length)


def spans(sizes: Sequence[int]) -> Spans:
    """Parts of these sizes."""
    return tuple((end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True))


class PackedAttention(torch.autograd.Function):
    """Causal attention within each sequence by matrix products; queries, keys, values [T, heads, size], as is what
    comes out. Scores are those of `functional.scaled_dot_product_attention`; products are summed in float32.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, runs: Runs, scale: float) -> Tensor:
        out, saved = torch.empty_like(queries), []
        queries = queries * scale
        for run in runs:
            q, k, v = (_heads(x, run) for x in (queries, keys, values))
            said, kept = torch.empty_like(q), []
            for start, end in _chunks(run[2]):
                shares = _shares(q, k, start, end)
                said[:, start:end] = torch.bmm(shares, v[:, :end])
                kept += [shares] if run[2] <= KEPT else []
            _put(out, run, said)
            saved += [q, k, v, said, *kept]
        ctx.save_for_backward(*saved)
        ctx.runs, ctx.scale = runs, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        given, saved = grads[0], list(ctx.saved_tensors)
        back = [torch.empty_like(given) for _ in range(3)]
        for run in ctx.runs:
            chunks = _chunks(run[2])
            (q, k, v, said), saved = saved[:4], saved[4:]
            count = len(chunks) if run[2] <= KEPT else 0
            kept, saved = saved[:count], saved[count:]
            gradients = _back(_heads(given, run), q, k, v, said, kept, chunks)
            for place, gradient in zip(back, gradients, strict=True):
                _put(place, run, gradient)
        return back[0] * ctx.scale, back[1], back[2], None, None


def _back(g: Tensor, q: Tensor, k: Tensor, v: Tensor, said: Tensor, kept: Sequence[Tensor], chunks: Any) -> Any:
    """Gradients of (queries, keys, values), each [sequences × heads, tokens, size], from the output's, `g`."""
    to_q, to_k, to_v = torch.empty_like(q), torch.zeros_like(k, dtype=torch.float32), torch.zeros_like(v).float()
    mean = (g.float() * said.float()).sum(-1, keepdim=True).to(g.dtype)
    for number, (start, end) in enumerate(chunks):
        shares = kept[number] if kept else _shares(q, k, start, end)
        own = g[:, start:end]
        to_v[:, :end] += torch.bmm(shares.transpose(1, 2), own)
        scores = torch.bmm(own, v[:, :end].transpose(1, 2)).sub_(mean[:, start:end]).mul_(shares)
        to_q[:, start:end] = torch.bmm(scores, k[:, :end])
        to_k[:, :end] += torch.bmm(scores.transpose(1, 2), q[:, start:end])
    return to_q, to_k.to(g.dtype), to_v.to(g.dtype)


def _shares(q: Tensor, k: Tensor, start: int, end: int) -> Tensor:
    """What queries `start` to `end` give each key up to `end`, [sequences × heads, end − start, end]."""
    scores = torch.bmm(q[:, start:end], k[:, :end].transpose(1, 2))
    later = torch.ones(end - start, end - start, dtype=torch.bool).triu(1)
    scores[:, :, start:].masked_fill_(later, torch.finfo(scores.dtype).min)  # not −inf: sums stay finite
    return scores.softmax(-1)


def _chunks(length: int) -> list[tuple[int, int]]:
    return [(start, min(length, start + CHUNK)) for start in range(0, length, CHUNK)]


def _heads(x: Tensor, run: tuple[int, int, int]) -> Tensor:
    """A run's rows of [T, heads, size] as [sequences × heads, tokens, size]."""
    start, count, length = run
    rows = x[start : start + count * length].view(count, length, *x.shape[1:])
    return rows.transpose(1, 2).reshape(-1, length, x.shape[2])


def _put(into: Tensor, run: tuple[int, int, int], rows: Tensor) -> None:
    """What `_heads` took, back in its place."""
    start, count, length = run
    place = into[start : start + count * length].view(count, length, *into.shape[1:])
    place.copy_(rows.view(count, -1, length, into.shape[2]).transpose(1, 2))


def by_products(queries: Tensor, keys: Tensor, values: Tensor, packed: Packed, scale: float) -> Tensor:
    """`PackedAttention`."""
    attended: Tensor = PackedAttention.apply(queries, keys, values, packed.runs, scale)
    return attended


def padded(queries: Tensor, keys: Tensor, values: Tensor, packed: Packed, scale: float) -> Tensor:
    """`PackedAttention` through torch's fused kernels: all sequences in one call, padded to the longest."""
    count = len(packed.starts) - 1

    def spread(x: Tensor) -> Tensor:
        wide = x.new_zeros(count * packed.longest, *x.shape[1:]).index_copy(0, packed.places, x)
        return wide.view(count, packed.longest, *x.shape[1:]).transpose(1, 2)

    queries, keys, values = spread(queries), spread(keys), spread(values)
    said = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True, scale=scale)
    return said.transpose(1, 2).flatten(0, 1)[packed.places]


@cache
def varlen_attention() -> Callable[..., Tensor] | None:
    """torch's attention over sequences of any lengths, without padding; None: it has none with a mask and a scale."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known: Any = varlen_attn
    return known if {"window_size", "scale"} <= inspect.signature(varlen_attn).parameters.keys() else None


def by_lengths(queries: Tensor, keys: Tensor, values: Tensor, packed: Packed, scale: float) -> Tensor:
    """`PackedAttention` through `varlen_attention`: one kernel, nothing padded."""
    attend, longest = varlen_attention(), packed.longest
    assert attend is not None
    ends = (packed.starts, packed.starts, longest, longest)
    return attend(queries, keys, values, *ends, scale=scale, window_size=(-1, 0))  # (-1, 0): causal


def kernel(queries: Tensor) -> Callable[..., Tensor]:
    """How attention is computed where these lie: `padded` where a card or a torch has nothing better."""
    if not queries.is_cuda:
        return by_products
    flash = torch.cuda.get_device_capability(queries.device) >= FLASH_SINCE and varlen_attention() is not None
    return by_lengths if flash and queries.dtype in HALVES and queries.shape[-1] % 8 == 0 else padded


def pads(model: Any, device: str) -> bool:
    """Whether a model there has its sequences padded for the attention, whose memory is then that of padded ones."""
    config = model.config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return kernel(torch.empty(0, 1, size, dtype=model.dtype, device=device)) is padded


def attention(
    _module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Any,
    scaling: float,
    packed: Packed | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Transformers' attention interface, [batch, heads, tokens, size] → [batch, tokens, heads, size].

    With `packed` the batch is one row of packed sequences; without, rows of one length, padded at the end if at all.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, dim=1) if groups > 1 else x for x in (key, value))
    if packed is None:
        said = functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
        return said.transpose(1, 2), None
    query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))
    return kernel(query)(query, key, value, packed, scaling)[None], None


def use(model: Any) -> None:
    """Have a transformers model attend this way."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attention)
    torch.backends.cuda.enable_cudnn_sdp(False)  # it would plan anew for every shape, and each batch has another
    model.config._attn_implementation = NAME
