"""LoRA on vLLM's CPU backend with one matrix product per distinct adapter.

vLLM's own operators gather a copy of the adapter for every token, and rows without an adapter are given one's weights.
Here the rows of a batch are grouped by adapter; rows without one (index −1) are left as the base model made them.
Law: for rows with an adapter the results are those of the operators replaced, up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

TESTED = ("0.32.",)  # vLLM versions whose operators were read and compared with these


def _groups(index: Tensor, rows: int) -> Iterator[tuple[int, Any]]:
    """(adapter, rows that use it); a slice where one adapter serves all, so that nothing is copied."""
    index = index[:rows]
    first = int(index[0])
    if bool((index == first).all()):
        yield first, slice(0, rows)
        return
    for adapter in torch.unique(index).tolist():
        yield adapter, (index == adapter).nonzero()[:, 0]


def _product(inputs: Tensor, weights: Tensor, adapter: int, chosen: Any) -> Tensor:
    weight = weights[adapter]
    weight = weight.squeeze(0) if weight.dim() == 3 else weight
    return torch.mm(inputs[chosen].to(weight.dtype), weight.t())


def shrink(inputs: Tensor, weights: Tensor, output: Tensor, index: Tensor, scaling: float = 1.0) -> None:
    """output[i] = scaling × inputs[i] · A of adapter index[i], transposed; 0 where there is none."""
    for adapter, chosen in _groups(index, inputs.shape[0]):
        if adapter < 0:
            output[chosen] = 0
            continue
        product = _product(inputs, weights, adapter, chosen).to(output.dtype)
        output[chosen, : product.shape[1]] = product * scaling


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
    for adapter, chosen in _groups(index, inputs.shape[0]):
        if adapter < 0:
            continue
        product = _product(inputs, weights, adapter, chosen).to(output.dtype)
        width = min(size, product.shape[1], output.shape[1] - offset)
        place = (chosen, slice(offset, offset + width))
        output[place] = output[place] + product[:, :width] if add_inputs else product[:, :width]


def expand(inputs: Tensor, weights: Tensor, output: Tensor, index: Tensor, add_inputs: bool = True) -> None:
    """`expand_slice` over the whole width."""
    expand_slice(inputs, weights, output, index, 0, output.shape[1], add_inputs)


def shrink_runs(x: Tensor, w: Tensor, out: Tensor, _s: Any, lengths: Tensor, ids: Tensor, *rest: Any) -> None:
    """`shrink` for sequences: ids[k] holds for lengths[k] rows; the last of `rest` is the scaling."""
    shrink(x, w, out, torch.repeat_interleave(ids, lengths), rest[3])


def expand_runs(
    x: Tensor, w: Tensor, out: Tensor, _s: Any, lengths: Tensor, ids: Tensor, *rest: Any, add_inputs: bool = False
) -> None:
    """`expand` for sequences."""
    expand(x, w, out, torch.repeat_interleave(ids, lengths), rest[3] if len(rest) > 3 else add_inputs)


def expand_slice_runs(
    x: Tensor, w: Tensor, out: Tensor, _s: Any, lengths: Tensor, ids: Tensor, *rest: Any, add_inputs: bool = False
) -> None:
    """`expand_slice` for sequences; `rest` is (batches, longest, tokens, offset, size[, add_inputs])."""
    add = rest[5] if len(rest) > 5 else add_inputs
    expand_slice(x, w, out, torch.repeat_interleave(ids, lengths), rest[3], rest[4], add)


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
