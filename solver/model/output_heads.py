"""Output heads trained for single tasks: their files, and which head the engine has on.

Where the layers are frozen the hidden states are the base model's whatever the head, and so is the key-value cache.
Serving a head is copying it over the engine's own, in place; nothing that is cached is lost by it. Law: with
no head on, the engine's is the checkpoint's, bit by bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solver.model.checkpoint import ADAPTER_FILE, ADAPTER_SETTINGS
from solver.types import Adapter

if TYPE_CHECKING:  # `vllm_sampler` sets the environment before torch is imported
    from torch import Tensor

WEIGHT = "lm_head.weight"  # what the head's matrix, [outputs, width], is called in its file


def save(weight: Tensor, path: Path) -> None:
    """Write a head under the names that an adapter's files have."""
    from safetensors.torch import save_file

    path.mkdir(parents=True, exist_ok=True)
    save_file({WEIGHT: weight.detach().cpu().clone()}, path / ADAPTER_FILE)
    (path / ADAPTER_SETTINGS).write_text(json.dumps({"head": True}))


def head_of(adapter: Adapter | None) -> Adapter | None:
    """The adapter where it is a head; None where the base model's head serves: for a LoRA, and without an adapter."""
    if adapter is None:
        return None
    return adapter if json.loads((adapter.path / ADAPTER_SETTINGS).read_text()).get("head") else None


def by_head(adapters: Sequence[Adapter | None]) -> Mapping[Adapter | None, list[int]]:
    """The places that each head serves, heads in the order they first come; None: the base model's."""
    places: dict[Adapter | None, list[int]] = {}
    for place, adapter in enumerate(adapters):
        places.setdefault(head_of(adapter), []).append(place)
    return places


class Heads:
    """The heads of an engine, `llm`, that lives in this process; `on`: the one that serves now, None the base model's.

    The base model's is kept in the machine's memory from the moment another takes its place.
    """

    def __init__(self, llm: Any):
        self.llm = llm
        self.on: Adapter | None = None
        self.own: Tensor | None = None

    def activate(self, head: Adapter | None) -> None:
        """Have a head serve what is asked from now on. The engine has to be awake, and nothing under way in it."""
        if head is None and self.on is None:
            return
        from safetensors.torch import load_file

        if self.own is None:
            [self.own] = self.llm.apply_model(taken)
        weight = self.own if head is None else load_file(head.path / ADAPTER_FILE)[WEIGHT]
        self.on = head  # also where loading it fails, so that it is taken off again
        self.llm.apply_model(partial(load_into, weight=weight))


def taken(model: Any) -> Tensor:
    """A copy of an engine's head in the machine's memory."""
    copy: Tensor = model.lm_head.weight.detach().cpu().clone()
    return copy


def load_into(model: Any, weight: Tensor) -> None:
    """Copy a head over an engine's, whose rows may be more: it pads a vocabulary.

    On a CPU vLLM's own layer multiplies with a copy in another layout, which it makes where it has loaded weights.
    """
    head = model.lm_head
    head.weight.data[: len(weight)].copy_(weight)
    if hasattr(head, "quant_method"):
        head.quant_method.process_weights_after_loading(head)
