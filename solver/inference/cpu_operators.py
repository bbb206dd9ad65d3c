"""LoRA and RMS norms on vLLM's CPU backend with fewer and faster operations than its own.

LoRA with few matrix products a layer, however many adapters are in a batch: vLLM's own operators gather a copy of the
adapter for every token, and rows without an adapter are given one's weights. Here a long run of rows with one adapter,
as in a prompt, gets that adapter's two products; the short runs between are multiplied with the matrices of all
adapters at once and what is of other adapters is set to zero: a little more arithmetic, but each product costs some
20 µs however small it is. Rows without an adapter (slot −1) are left as the base model made them, which vLLM's own
operators for embedding and head don't do either. Norms by the kernel that vLLM has for them and by itself leaves to
GPUs: its eager norm is seven operators in float32, for 4,096 tokens of the shipped weights 2.9 ms where the kernel
takes 0.2.

Law: the results are those of the operators replaced, up to rounding, for rows with an adapter as long as the numbers
of every adapter are finite (`adapters` writes no others).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import accumulate, groupby
from typing import Any, TypeAlias

import torch
from torch import Tensor

TESTED = ("0.32.",)  # vLLM versions whose operators were read and compared with these
PROVIDER = "solver_cpu"  # of the norms, as vLLM calls it
LONG = 64  # rows from which a run of one adapter is multiplied by itself
Stacked: TypeAlias = tuple[Tensor, ...]

# ruff: noqa: ARG001  the engine gives each of a kind the same arguments


@dataclass(frozen=True)
class Block:
    """Adjacent rows that are multiplied together. `one`: the adapter's place of all; else `slots`: of each, −1 none."""

    rows: slice
    slots: tuple[int, ...]
    one: int | None


@lru_cache(maxsize=64)  # every layer of a step asks for the same
def blocks(ids: tuple[int, ...], lengths: tuple[int, ...], rows: int) -> tuple[Block, ...]:
    """The first `rows` rows that have an adapter, where ids[k] holds for lengths[k] rows."""
    ends = [min(end, rows) for end in accumulate(lengths)]
    runs = list(zip(ids, [0, *ends], ends, strict=False))
    together = []
    for _, adjacent in groupby(runs, lambda run: run[1] if run[2] - run[1] >= LONG else -1):  # one long, or short ones
        members = list(adjacent)
        slots = tuple(slot for slot, start, end in members for _ in range(start, end))
        if max(slots, default=-1) >= 0:
            one = slots[0] if len(set(slots)) == 1 else None
            together.append(Block(slice(members[0][1], members[-1][2]), () if one is not None else slots, one))
    return tuple(together)


@lru_cache(maxsize=64)
def others(slots: tuple[int, ...], adapters: int, rank: int) -> Tensor:
    """What is of other adapters than the row's: [rows, adapters × rank]."""
    return (torch.tensor(slots)[:, None] != torch.arange(adapters)).repeat_interleave(rank, 1)


def blocks_of(wrapper: Any, rows: int) -> tuple[Block, ...]:
    """The batch's rows as the engine has told this wrapper of them."""
    if wrapper.is_prefill:
        _, lengths, ids, *_ = wrapper.prefill_metadata
        return blocks(tuple(ids.tolist()), tuple(lengths.tolist()), rows)
    return blocks_of_slots(wrapper.token_lora_indices.tolist(), rows)


def blocks_of_slots(slots: Sequence[int], rows: int) -> tuple[Block, ...]:
    """The first `rows` rows as blocks, from the adapter's place of each."""
    runs = [(slot, len(list(run))) for slot, run in groupby(slots)]
    return blocks(tuple(slot for slot, _ in runs), tuple(length for _, length in runs), rows)


def add_lora_linear(
    wrapper: Any,
    y: Tensor,
    x: Tensor,
    lora_a_stacked: Stacked,
    lora_b_stacked: Stacked,
    scale: float,
    _sizes: Any = None,
    **_: Any,
) -> None:
    """y[i, slice] += scale × x[i] · Aᵀ · Bᵀ for every slice, with the matrices of row i's adapter.

    `x`: [rows, in]; `y`: [rows, the slices' sizes together]; of each slice A: [adapters, 1, rank, in] and B:
    [adapters, 1, size, rank].
    """
    _add(blocks_of(wrapper, len(x)), y, x, lora_a_stacked, lora_b_stacked, scale)


def add_lora_logits(
    wrapper: Any, y: Tensor, x: Tensor, lora_a_stacked: Tensor, lora_b_stacked: Tensor, scale: float, **_: Any
) -> None:
    """The same for the head, whose rows are one a request: x [requests, width], y [requests, ids, or more of them].

    ValueError: the rows are others, as where log-probabilities of a prompt are asked for, and several adapters' is told
    of, so that it can't be known whose they are.
    """
    slots = wrapper.sampler_indices.tolist()
    if len(slots) != len(x):
        if len(set(slots)) > 1:
            raise ValueError("a prompt's log-probabilities beside other adapters: a LoRA on the head can't give them")
        slots = slots[:1] * len(x)
    _add(blocks_of_slots(slots, len(x)), y, x, (lora_a_stacked,), (lora_b_stacked,), scale)


def add_lora_embedding(wrapper: Any, y: Tensor, x: Tensor, lora_b_stacked: Tensor, **_: Any) -> None:
    """y[i] += x[i] · Bᵀ with row i's adapter, in whose A x[i] was looked up; `x`: [rows, rank]; `y`: [rows, width]."""
    for block in blocks_of(wrapper, len(x)):
        between = x[block.rows].to(lora_b_stacked.dtype)
        if block.one is None:
            between = between.repeat(1, len(lora_b_stacked))
        y[block.rows] += torch.mm(between, _expanding(block, between, lora_b_stacked))


def _add(
    own: Sequence[Block], y: Tensor, x: Tensor, lora_a_stacked: Stacked, lora_b_stacked: Stacked, scale: float
) -> None:
    """`add_lora_linear` for the rows of these blocks."""
    for block in own:
        rows, start = x[block.rows].to(lora_a_stacked[0].dtype), 0
        for a, b in zip(lora_a_stacked, lora_b_stacked, strict=True):
            between = torch.mm(rows, (a.flatten(0, 2) if block.one is None else a[block.one, 0]).t())
            up = _expanding(block, between, b)
            if scale != 1:
                between *= scale
            part = y[block.rows, start : start + b.shape[2]]
            if part.dtype == between.dtype:
                part.addmm_(between, up)
            else:
                part += torch.mm(between, up)
            start += b.shape[2]


def _expanding(block: Block, between: Tensor, b: Tensor) -> Tensor:
    """What `between` is multiplied with, from B [adapters, 1, size, rank]: [rank, size], of the block's one adapter.

    Or [adapters × rank, size], of all; then what is of other adapters than a row's is set to zero in `between`.
    """
    if block.one is not None:
        return b[block.one, 0].t()
    between.masked_fill_(others(block.slots, len(b), b.shape[3]), 0)
    return b[:, 0].transpose(0, 1).flatten(1).t()


def install_lora(version: str) -> str:
    """Put this in the place of vLLM's own if its version is one it was tested with; says what was done."""
    if not version.startswith(TESTED):
        return (
            f"vLLM {version}'s own CPU LoRA operators are used: the faster ones were tested with {TESTED[0]}x only; "
            "beware: where some training failed, rows without an adapter may get another's weights"
        )
    wrapper = import_module("vllm.lora.punica_wrapper.punica_cpu").PunicaWrapperCPU
    for ours in (add_lora_linear, add_lora_logits, add_lora_embedding):
        getattr(wrapper, ours.__name__)  # a missing name is an error here, not a silent loss of speed
        setattr(wrapper, ours.__name__, ours)
    return "CPU LoRA operators: few matrix products a layer"


def fits(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> bool:
    """Whether the kernel has what is asked for."""
    return variance_size is None and weight is not None and weight.dtype == x.dtype


def rms_norm(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> Tensor:
    """x / √(mean of squares over the last dimension + epsilon) × weight."""
    output = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    torch.ops._C.rms_norm(output, x.contiguous(), weight, epsilon)
    return output


def both_fit(
    x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> bool:
    """`fits`, and both can be written to in place."""
    return fits(x, weight, epsilon, variance_size) and x.is_contiguous() and x_residual.is_contiguous()


def fused_add_rms_norm(
    x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """The norm of x + residual in the place of x, and the sum in that of the residual."""
    torch.ops._C.fused_add_rms_norm(x, x_residual, weight, epsilon)
    return x, x_residual


def install_norms(version: str) -> dict[str, list[str]]:
    """Offer both to the engine; its priorities of operators, {} where its version is not one they were tried in."""
    if not version.startswith(TESTED):
        return {}
    ops: Any = import_module("vllm.ir").ops
    priorities = {}
    for op, kernel, supports, inplace in (
        (ops.rms_norm, rms_norm, fits, False),
        (ops.fused_add_rms_norm, fused_add_rms_norm, both_fit, True),
    ):
        if PROVIDER not in op.impls:
            op.register_impl(PROVIDER, supports_args=supports, inplace=inplace)(kernel)
        priorities[op.name] = [PROVIDER, "native"]
    return priorities
