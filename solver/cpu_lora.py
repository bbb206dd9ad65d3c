"""LoRA on vLLM's CPU backend with one matrix product per distinct adapter.

vLLM's own operators gather a copy of the adapter for every token, and rows without an adapter are given one's weights.
Here the rows of a batch are grouped by adapter; rows without one (index −1) are left as the base model made them.
Law: for rows with an adapter the results are those of the operators replaced, up to rounding.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any, TypeAlias

import torch
from torch import Tensor

TESTED = ("0.32.",)  # vLLM versions whose operators were read and compared with these


Groups: TypeAlias = tuple[tuple[int, Any], ...]
"""(adapter, the rows that use it: a slice where they lie together, so that nothing is copied, else a tensor)."""


@lru_cache(maxsize=64)  # every layer of a step asks for the same
def _groups(ids: tuple[int, ...], lengths: tuple[int, ...], rows: int) -> Groups:
    """The first `rows` rows by adapter, where ids[k] holds for lengths[k] rows."""
    runs: dict[int, list[list[int]]] = {}
    start, last = 0, None
    for adapter, length in zip(ids, lengths, strict=True):
        end = min(rows, start + length)
        if adapter == last:
            runs[adapter][-1][1] = end
        elif start < end:
            runs.setdefault(adapter, []).append([start, end])
        start, last = end, adapter
    return tuple((adapter, _chosen(spans)) for adapter, spans in runs.items())


def _chosen(spans: list[list[int]]) -> Any:
    if len(spans) == 1:
        return slice(*spans[0])
    return torch.cat([torch.arange(*span) for span in spans])


def _by_row(index: Tensor, rows: int) -> Groups:
    ids = tuple(index[:rows].tolist())
    return _groups(ids, (1,) * len(ids), rows)


def _by_run(ids: Tensor, lengths: Tensor, rows: int) -> Groups:
    return _groups(tuple(ids.tolist()), tuple(lengths.tolist()), rows)


def _product(inputs: Tensor, weights: Tensor, adapter: int, chosen: Any) -> Tensor:
    weight = weights[adapter]
    weight = weight.squeeze(0) if weight.dim() == 3 else weight
    return torch.mm(inputs[chosen].to(weight.dtype), weight.t())


def _shrink(inputs: Tensor, weights: Tensor, output: Tensor, groups: Groups, scaling: float) -> None:
    for adapter, chosen in groups:
        if adapter < 0:
            output[chosen] = 0
            continue
        product = _product(inputs, weights, adapter, chosen).to(output.dtype)
        output[chosen, : product.shape[1]] = product * scaling if scaling != 1 else product


def _expand(
    inputs: Tensor, weights: Tensor, output: Tensor, groups: Groups, offset: int, size: int, add_inputs: bool
) -> None:
    for adapter, chosen in groups:
        if adapter < 0:
            continue
        product = _product(inputs, weights, adapter, chosen).to(output.dtype)
        width = min(size, product.shape[1], output.shape[1] - offset)
        place, product = output[:, offset : offset + width], product[:, :width]
        if not add_inputs:
            place[chosen] = product
        elif isinstance(chosen, slice):
            place[chosen] += product
        else:
            place.index_add_(0, chosen, product)


def shrink(inputs: Tensor, weights: Tensor, output: Tensor, index: Tensor, scaling: float = 1.0) -> None:
    """output[i] = scaling × inputs[i] · A of adapter index[i], transposed; 0 where there is none."""
    _shrink(inputs, weights, output, _by_row(index, inputs.shape[0]), scaling)


def expand_slice(
    inputs: Tensor,
    weights: Tensor,
    output: Tensor,
    index: Tensor,
    offset: int,
    size: int,
    add_inputs: bool = True,
) -> None:
    """output[i, offset:offset + size] += inputs[i] · B of adapter index[i], transposed; unchanged where none."""
    _expand(inputs, weights, output, _by_row(index, inputs.shape[0]), offset, size, add_inputs)


def expand(inputs: Tensor, weights: Tensor, output: Tensor, index: Tensor, add_inputs: bool = True) -> None:
    """`expand_slice` over the whole width."""
    expand_slice(inputs, weights, output, index, 0, output.shape[1], add_inputs)


def shrink_runs(x: Tensor, w: Tensor, out: Tensor, _s: Any, lengths: Tensor, ids: Tensor, *rest: Any) -> None:
    """`shrink` for sequences: ids[k] holds for lengths[k] rows; the last of `rest` is the scaling."""
    _shrink(x, w, out, _by_run(ids, lengths, x.shape[0]), rest[3])


def expand_runs(
    x: Tensor, w: Tensor, out: Tensor, _s: Any, lengths: Tensor, ids: Tensor, *rest: Any, add_inputs: bool = False
) -> None:
    """`expand` for sequences."""
    add = rest[3] if len(rest) > 3 else add_inputs
    _expand(x, w, out, _by_run(ids, lengths, x.shape[0]), 0, out.shape[1], add)


def expand_slice_runs(
    x: Tensor, w: Tensor, out: Tensor, _s: Any, lengths: Tensor, ids: Tensor, *rest: Any, add_inputs: bool = False
) -> None:
    """`expand_slice` for sequences; `rest` is (batches, longest, tokens, offset, size[, add_inputs])."""
    add = rest[5] if len(rest) > 5 else add_inputs
    _expand(x, w, out, _by_run(ids, lengths, x.shape[0]), rest[3], rest[4], add)


REPLACED = {
    "bgmv_shrink": shrink,
    "bgmv_expand": expand,
    "bgmv_expand_slice": expand_slice,
    "sgmv_shrink": shrink_runs,
    "sgmv_expand": expand_runs,
    "sgmv_expand_slice": expand_slice_runs,
}


def install(version: str) -> str:
    """Put these operators in the place of vLLM's if its version is one they were tested with; says what was done."""
    if not version.startswith(TESTED):
        return (
            f"vLLM {version}'s own CPU LoRA operators are used: the faster ones were tested with {TESTED[0]}x only; "
            "beware: where some training failed, rows without an adapter may get another's weights"
        )
    wrapper = import_module("vllm.lora.punica_wrapper.punica_cpu")
    for name, operator in REPLACED.items():
        getattr(wrapper, name)  # a missing name is an error here, not a silent loss of speed
        setattr(wrapper, name, operator)
    return "CPU LoRA operators: one matrix product an adapter"
