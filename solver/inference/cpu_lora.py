"""LoRA on vLLM's CPU backend with few matrix products a layer, however many adapters are in a batch.

vLLM's own operators gather a copy of the adapter for every token, and rows without an adapter are given one's weights.
Here a long run of rows with one adapter, as in a prompt, gets that adapter's two products; the short runs between are
multiplied with the matrices of all adapters at once and what is of other adapters is blotted out: a little more
arithmetic, but each product costs some 20 µs however small it is. Rows without an adapter (slot −1) are left as the
base model made them, which vLLM's own operators for embedding and head don't do either.

Law: for rows with an adapter the results are those of the operators replaced, up to rounding, as long as the numbers of
every adapter are finite (`adapters` writes no others).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

TESTED = ("0.32.",)  # vLLM versions whose operators were read and compared with these
LONG = 64  # rows from which a run of one adapter is multiplied by itself


@dataclass(frozen=True)
class Block:
    """Adjacent rows that are multiplied together. `slots`: the adapter's place of each row, −1: none; `one`: of all."""

    rows: slice
    slots: tuple[int, ...]
    one: int | None


@lru_cache(maxsize=64)  # every layer of a step asks for the same
def blocks(ids: tuple[int, ...], lengths: tuple[int, ...], rows: int) -> tuple[Block, ...]:
    """The first `rows` rows that have an adapter, where ids[k] holds for lengths[k] rows."""
    together: list[Block] = []
    short: list[int] = []  # slots of the short runs since the last long one
    start = 0

    def close() -> None:
        if any(slot >= 0 for slot in short):
            one = short[0] if len(set(short)) == 1 else None
            together.append(Block(slice(start - len(short), start), tuple(short), one))
        short.clear()

    for slot, length in zip(ids, lengths, strict=True):
        length = max(0, min(length, rows - start))
        if length < LONG:
            short += [slot] * length
        else:
            close()
            if slot >= 0:
                together.append(Block(slice(start, start + length), (), slot))
        start += length
    close()
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
    lora_a_stacked: tuple[Tensor, ...],
    lora_b_stacked: tuple[Tensor, ...],
    scale: float,
    output_slices: tuple[int, ...],
    **_: Any,
) -> None:
    """y[i, slice] += scale × x[i] · Aᵀ · Bᵀ for every slice, with the matrices of row i's adapter.

    `x`: [rows, in]; `y`: [rows, the slices' sizes together]; of each slice A: [adapters, 1, rank, in] and B:
    [adapters, 1, size, rank].
    """
    _add(blocks_of(wrapper, x.shape[0]), y, x, lora_a_stacked, lora_b_stacked, scale, output_slices)


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
    own, sizes = blocks_of_slots(slots, len(x)), (lora_b_stacked.shape[2],)
    _add(own, y, x, (lora_a_stacked,), (lora_b_stacked,), scale, sizes)


def add_lora_embedding(wrapper: Any, y: Tensor, x: Tensor, lora_b_stacked: Tensor, **_: Any) -> None:
    """y[i] += x[i] · Bᵀ with row i's adapter, in whose A x[i] was looked up; `x`: [rows, rank]; `y`: [rows, width]."""
    for block in blocks_of(wrapper, x.shape[0]):
        rows, up = x[block.rows].to(lora_b_stacked.dtype), lora_b_stacked[:, 0]
        if block.one is None:
            rows = rows.repeat(1, len(up)).masked_fill_(others(block.slots, len(up), up.shape[2]), 0)
        y[block.rows] += torch.mm(rows, (_wide(up) if block.one is None else up[block.one]).t())


def _add(
    own: Sequence[Block],
    y: Tensor,
    x: Tensor,
    lora_a_stacked: tuple[Tensor, ...],
    lora_b_stacked: tuple[Tensor, ...],
    scale: float,
    output_slices: tuple[int, ...],
) -> None:
    """`add_lora_linear` for the rows of these blocks."""
    for block in own:
        rows, place = x[block.rows].to(lora_a_stacked[0].dtype), y[block.rows]
        start = 0
        for a, b, size in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
            down, up = (a[block.one, 0], b[block.one, 0]) if block.one is not None else _stacked(a, b)
            between = torch.mm(rows, down.t())
            if block.one is None:
                between.masked_fill_(others(block.slots, a.shape[0], a.shape[2]), 0)
            if scale != 1:
                between *= scale
            part = place[:, start : start + size]
            if part.dtype == between.dtype:
                part.addmm_(between, up.t())
            else:
                part += torch.mm(between, up.t())
            start += size


def _stacked(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """All adapters' A, [adapters × rank, in], and B, [size, adapters × rank]."""
    return a.flatten(0, 2), _wide(b[:, 0])


def _wide(b: Tensor) -> Tensor:
    """All adapters' B, [adapters, size, rank], as [size, adapters × rank]."""
    return b.transpose(0, 1).flatten(1)


def install(version: str) -> str:
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
