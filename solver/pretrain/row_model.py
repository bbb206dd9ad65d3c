"""GridQwen3's training loss over rows of packed sequences, written for few, large operations on a CPU.

The same sums as `GridQwen3ForCausalLM.loss`, in four functions of tensors alone, which torch.compile fuses where there
is a C++ compiler: what comes before a layer's attention, the attention (matrix products, `Attend`), what comes after
it, and the last layer with the loss, for the wanted places alone. Law: loss and gradients equal the model's own, up to
rounding.
"""

import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from solver.model.grid_qwen3 import GridQwen3ForCausalLM, token_loss
from solver.pretrain.recipe import CHUNK
from solver.pretrain.rows import Chunk, Rows

HIDDEN = -1e30  # score of a key that a query must not see: a number, not −inf, so that sums stay finite


class Attend(torch.autograd.Function):
    """Attention within each sequence by matrix products; queries (already scaled), keys, values and what comes out
    [rows, heads, length, size]. Shares are rounded as the queries are; their sums are taken in float32. Keys and values
    are laid out anew where a product takes their transpose: a quarter less for each such product.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, chunks: tuple[tuple[Chunk, ...], ...]
    ) -> Tensor:
        attended, shares = torch.empty_like(queries), []
        for q, k, v, out, of_row in zip(queries, _laid(keys), values, attended, chunks, strict=True):
            for c in of_row:
                scores = torch.bmm(q[:, c.first : c.end], k[..., c.start : c.end])
                for key, mask in c.hidden:
                    scores[..., key : key + CHUNK].masked_fill_(mask, HIDDEN)
                share = scores.softmax(-1)
                out[:, c.first : c.end] = torch.bmm(share, v[:, c.start : c.end])
                shares.append(share)
        ctx.save_for_backward(queries, keys, values, attended, *shares)
        ctx.chunks = chunks
        return attended

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        given = grads[0]
        queries, keys, values, attended, *shares = ctx.saved_tensors
        to_queries, to_keys, to_values = torch.empty_like(queries), torch.zeros_like(keys), torch.zeros_like(values)
        mean = (given.float() * attended.float()).sum(-1, keepdim=True).to(given.dtype)
        tensors = (queries, keys, _laid(values), given, mean, to_queries, to_keys, to_values)
        left = iter(shares)
        for *of_row, chunks in zip(*tensors, ctx.chunks, strict=True):
            for chunk in chunks:
                _chunk_backward(chunk, next(left), *of_row)
        return to_queries, to_keys, to_values, None


def _laid(x: Tensor) -> Tensor:
    """The transpose of the last two dimensions, laid out in its own order."""
    return x.transpose(-2, -1).contiguous()


def _chunk_backward(chunk: Chunk, share: Tensor, *of_row: Tensor) -> None:
    """Add one chunk's part to a row's gradients, the last three of `of_row`; its values are [heads, size, length]."""
    q, k, v, given, mean, to_q, to_k, to_v = of_row
    seen, own = slice(chunk.start, chunk.end), slice(chunk.first, chunk.end)
    scores = torch.bmm(given[:, own], v[..., seen]).sub_(mean[:, own]).mul_(share)
    to_q[:, own] = torch.bmm(scores, k[:, seen])
    to_v[:, seen].baddbmm_(share.transpose(1, 2), given[:, own])
    to_k[:, seen].baddbmm_(scores.transpose(1, 2), q[:, own])


def norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Root-mean-square norm over the last dimension, taken in float32, as transformers' Qwen3 has it."""
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)).to(x.dtype)


def before(hidden: Tensor, cosine: Tensor, sine: Tensor, epsilon: float, *weights: Tensor) -> tuple[Tensor, ...]:
    """Queries (scaled), keys and values [rows, heads, length, size] from hidden states [rows, length, width]."""
    norm_in, to_q, to_k, to_v, norm_q, norm_k = weights
    size = norm_q.shape[0]
    joined = functional.linear(norm(hidden, norm_in, epsilon), torch.cat([to_q, to_k, to_v]))
    parts = joined.split([w.shape[0] for w in (to_q, to_k, to_v)], -1)
    q, k, v = (part.unflatten(-1, (-1, size)).transpose(1, 2) for part in parts)
    q = turned(norm(q, norm_q, epsilon), cosine, sine) * size**-0.5
    return q.contiguous(), turned(norm(k, norm_k, epsilon), cosine, sine).contiguous(), v.contiguous()


def turned(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary position embedding of [..., length, size]."""
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat([-second, first], -1) * sine


def added(hidden: Tensor, attended: Tensor, to_out: Tensor) -> Tensor:
    """Hidden states [rows, length, width] with what attention, [rows, heads, length, size], adds to them."""
    return hidden + functional.linear(attended.transpose(1, 2).flatten(2), to_out)


def mlp(hidden: Tensor, epsilon: float, *weights: Tensor) -> Tensor:
    """Hidden states with what the layer's MLP adds to them; the same shape."""
    norm_in, gate, up, down = weights
    first, second = functional.linear(norm(hidden, norm_in, epsilon), torch.cat([gate, up])).chunk(2, -1)
    return hidden + functional.linear(functional.silu(first) * second, down)


def after(hidden: Tensor, attended: Tensor, epsilon: float, to_out: Tensor, *weights: Tensor) -> Tensor:
    """A layer's output [rows, length, width] from its input and its attention."""
    return mlp(added(hidden, attended, to_out), epsilon, *weights)


def last(
    hidden: Tensor, attended: Tensor, chosen: Tensor, targets: Tensor, weights: Tensor, epsilon: float, *tensors: Tensor
) -> Tensor:
    """Summed nats of the wanted tokens: the last layer's MLP, final norm, head and loss at these places alone."""
    to_out, norm_in, gate, up, down, norm_out, head = tensors
    narrow = mlp(added(hidden, attended, to_out).flatten(0, 1)[chosen], epsilon, norm_in, gate, up, down)
    parts = functional.linear(norm(narrow, norm_out, epsilon).float(), head.float())
    return (token_loss(parts, targets) * weights).sum()


def can_compile() -> bool:
    """Whether there is a C++ compiler for torch.compile."""
    return any(shutil.which(name) for name in ("g++", "c++", "clang++"))


class RowModel:
    """The summed loss of a GridQwen3 over `Rows`, as a function of its own parameters.

    `compiled`: fuse the elementwise operations (some seconds at the first step; needs a C++ compiler). The head's
    number of places changes from step to step, so that its function is compiled for any.
    """

    def __init__(self, model: GridQwen3ForCausalLM, compiled: bool):
        self.model = model
        self.before, self.after, self.last = before, after, last
        if compiled:
            self.before, self.after = _compiled(before, False), _compiled(after, False)
            self.last = _compiled(last, True)

    def loss(self, rows: Rows) -> Tensor:
        """Nats of all wanted tokens, summed; float32 []."""
        inner, epsilon = self.model.model, float(self.model.config.rms_norm_eps)
        hidden = inner.embed_tokens(rows.tokens).to(inner.norm.weight.dtype)
        cosine, sine = (x.to(hidden.dtype)[:, None] for x in inner.rotary_emb(rows.positions, rows.tokens))
        for number, layer in enumerate(inner.layers, 1):
            own = layer.self_attn
            maps = (own.q_proj.weight, own.k_proj.weight, own.v_proj.weight, own.q_norm.weight, own.k_norm.weight)
            q, k, v = self.before(hidden, cosine, sine, epsilon, layer.input_layernorm.weight, *maps)
            attended = Attend.apply(q, k, v, rows.chunks)
            inside = (layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight, layer.mlp.down_proj.weight)
            weights = (own.o_proj.weight, layer.post_attention_layernorm.weight, *inside)
            if number < len(inner.layers):
                hidden = self.after(hidden, attended, epsilon, *weights)
        ends = (inner.norm.weight, self.model.lm_head.weight)
        wanted = (rows.chosen, rows.targets, rows.weights)
        return self.last(hidden, attended, *wanted, epsilon, *weights, *ends)


def _compiled(function: Callable[..., Any], dynamic: bool) -> Callable[..., Any]:
    made: Callable[..., Any] = torch.compile(function, dynamic=dynamic, fullgraph=True)
    return made
