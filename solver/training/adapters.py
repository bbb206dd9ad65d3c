"""The matrices of several adapters side by side in flat tensors, and AdamW over them, set back rather than rebuilt.

Law: what happens to one adapter does not depend on those beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from solver.config.settings import TrainRecipe
from solver.model.checkpoint import ADAPTER_FILE, ADAPTER_SETTINGS

Rows: TypeAlias = tuple[tuple[int, int], ...]
"""(first, end) of the rows of a batch that belong to each adapter in turn."""


class Adapters:
    """`count` LoRAs in the shape of a model's own; what else can be trained (`adapter_kinds`) derives from this.

    `masters`: float32 [count, numbers], what is trained; `served`: the same in the model's dtype; `grads`: of `served`.
    The model's own parameters are views of the first adapter, gradients included.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], count: int, recipe: TrainRecipe):
        self.recipe = recipe
        groups = self.rate_groups(parameters)
        assert count == 1 or len(groups) == 1, "several rates: one adapter at a time"
        self.parameters = {name: p for _, group in groups for name, p in group.items()}
        self.sizes = [sum(p.numel() for p in group.values()) for _, group in groups]  # numbers, by group
        first, numbers = next(iter(self.parameters.values())), sum(self.sizes)
        self.served = torch.zeros(count, numbers, dtype=first.dtype, device=first.device)
        self.grads = torch.zeros_like(self.served)
        self.masters = torch.zeros(count, numbers, device=first.device)
        parts = self.masters.split(self.sizes, dim=1)  # for AdamW's kernel one of several rates is of one adapter alone
        optimized = [{"params": [part], "share": share} for part, (share, _) in zip(parts, groups, strict=True)]
        self.optimizer = torch.optim.AdamW(optimized, weight_decay=0.0, fused=True)
        self.rows: dict[int, Rows] = {}  # by how many rows a product is of: all of a batch's, or those wanted alone
        self.bind()

    @staticmethod
    def trained(model: Any) -> dict[str, nn.Parameter]:
        """The parameters of a peft model that are trained, by name."""
        return {name: p for name, p in model.named_parameters() if p.requires_grad}

    def rate_groups(self, parameters: Mapping[str, nn.Parameter]) -> list[tuple[float, Mapping[str, nn.Parameter]]]:
        """(share of the learning rate, the parameters it is for), in the order they lie in the flat tensors."""
        return [(1.0, parameters)]

    def initial(self, name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """A matrix before training: A random and B zero, as peft has it; `generator` is drawn from for both."""
        bound = 0.0 if "lora_B" in name else 1 / math.sqrt(shape[1])
        return (torch.rand(shape, generator=generator) * 2 - 1) * bound

    def saved_name(self, name: str) -> str:
        """What a parameter of the model is called in an adapter's file."""
        return name.removesuffix(".default").replace(".default.", ".")

    def settings(self) -> dict[str, Any]:
        """What the settings beside an adapter's file must say for it to be gone on with, under peft's names."""
        rank, alpha, targets = self.recipe.rank, self.recipe.alpha, list(self.recipe.targets)
        return {"r": rank, "lora_alpha": alpha, "use_rslora": self.recipe.rslora, "target_modules": targets}

    def bind(self) -> None:
        """Make the model's own parameters views of the first adapter, as they no longer are where they were moved."""
        grads = self.views(self.grads, 0)
        for name, view in self.views(self.served, 0).items():
            self.parameters[name].data, self.parameters[name].grad = view, grads[name]

    def views(self, flat: Tensor, adapter: int | None) -> dict[str, Tensor]:
        """The matrices by name in one adapter's row of a flat tensor; with None in all rows, [count, *shape]."""
        parts = (flat if adapter is None else flat[adapter]).split([p.numel() for p in self.parameters.values()], -1)
        named = zip(self.parameters.items(), parts, strict=True)
        return {name: part.view(*part.shape[:-1], *p.shape) for (name, p), part in named}

    def start(self) -> None:
        """Forget what was trained before."""
        for state in self.optimizer.state.values():
            for value in state.values():
                value.zero_()
        self.optimizer.zero_grad()

    def free(self) -> None:
        """Give all memory back but the model's own; what was trained is lost, and views stay views of what comes."""
        self.optimizer.zero_grad()
        for tensor in self._held():
            tensor.untyped_storage().resize_(0)

    def allocate(self) -> None:
        """Take what was given back."""
        for tensor in self._held():
            if not tensor.untyped_storage().nbytes():
                tensor.untyped_storage().resize_(tensor.numel() * tensor.element_size())
                tensor.zero_()

    def _held(self) -> list[Tensor]:
        """All that is kept from step to step, each memory once."""
        moments = [value for state in self.optimizer.state.values() for value in state.values()]
        return [self.served, self.grads, self.masters, *moments]

    def draw(self, adapter: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.take(adapter, {n: self.initial(n, p.shape, generator) for n, p in self.parameters.items()})

    def take(self, adapter: int, tensors: Mapping[str, Tensor]) -> None:
        for name, view in self.views(self.served, adapter).items():
            view.copy_(tensors[name])
        self.masters[adapter].copy_(self.served[adapter])

    def load(self, adapter: int, path: Path) -> None:
        """Set an adapter to a saved one.

        ValueError: that is of another recipe, whose first setting that differs is named, or of another base model.
        """
        saved = json.loads((path / ADAPTER_SETTINGS).read_text())
        for name, expected in self.settings().items():
            came = saved.get(name)
            if isinstance(expected, list):
                came, expected = sorted(came or ()), sorted(expected)
            if came != expected:
                raise ValueError(
                    f"{path}: {name} is {came!r}: expected {expected!r}, as in the recipe it is trained on with"
                )
        tensors = load_file(path / ADAPTER_FILE)
        own = {self.saved_name(name): name for name in self.parameters}
        if {n: t.shape for n, t in tensors.items()} != {n: self.parameters[o].shape for n, o in own.items()}:
            file = path / ADAPTER_FILE
            raise ValueError(f"{file} holds other matrices than this base model's LoRA: expected an adapter of its own")
        self.take(adapter, {own[n]: t for n, t in tensors.items()})

    def step(self, count: int, rate: float, clip: float, scaler: torch.amp.GradScaler) -> None:
        """One step of AdamW on the first `count` adapters, the gradient of each cut to the norm `clip`.

        All of them in one operation each time, as a card waits for every one to be launched. `scaler`: of the loss the
        gradients are of; in float16 it leaves a step out whose gradients overflowed.
        """
        gradient = self.grads.float()
        gradient[count:] = 0
        for group, part in zip(self.optimizer.param_groups, gradient.split(self.sizes, dim=1), strict=True):
            group["lr"], group["params"][0].grad = rate * group["share"], part
        scaler.unscale_(self.optimizer)
        norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        gradient.mul_((clip / (norms + 1e-6)).clamp(max=1))
        scaler.step(self.optimizer)
        scaler.update()
        with torch.no_grad():
            self.served[:count].copy_(self.masters[:count])

    def save(self, adapter: int, model: Any, path: Path, dtype: torch.dtype) -> None:
        """Write an adapter where and as peft does, without the embedding under it, in the engine's `dtype`.

        FloatingPointError: its numbers are not all finite. In an engine such an adapter can spoil the rows of others
        in its batch.
        """
        numbers = self.served[adapter].to(dtype, copy=True)
        if not torch.isfinite(numbers).all():
            raise FloatingPointError("the adapter is not finite: the learning rate is too high for this task")
        try:
            for name, view in self.views(numbers, None).items():
                self.parameters[name].data = view.clone()
            model.save_pretrained(path, safe_serialization=True, save_embedding_layers=False)
        finally:
            self.bind()

    def fuse(self, model: Any) -> None:
        """Have every layer of a peft model whose LoRA is trained serve all adapters (`Product`).

        Needs plain linear layers without biases under them.
        """
        for name, module in model.named_modules():
            if f"{name}.lora_A.default.weight" in self.parameters:
                module.forward = Layer(self, name, module)


class Product(torch.autograd.Function):
    """x · Wᵀ + scale · x · Aᵀ · Bᵀ, each adapter's rows with its own A and B, whose gradients go where `Layer` says.

    x: [rows, in]; W: [out, in]; A: [adapters, rank, in]; B: [adapters, out, rank].
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, _anchor: Tensor, layer: Layer) -> Tensor:
        out, inner = x @ layer.weight.t(), x.new_empty(x.shape[0], layer.a.shape[1])
        for own, (wide, given, narrow) in parts(layer.adapters.rows[len(x)], out, x, inner):
            torch.bmm(given, layer.a[own].transpose(1, 2), out=narrow)
            wide.baddbmm_(narrow, layer.b[own].transpose(1, 2), alpha=layer.scale)
        ctx.save_for_backward(x, inner)
        ctx.layer = layer
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (x, inner), layer, gradient = ctx.saved_tensors, ctx.layer, grads[0]
        back = gradient @ layer.weight if ctx.needs_input_grad[0] else x[:, :0]
        for own, (wide, given, narrow, to_x) in parts(layer.adapters.rows[len(x)], gradient, x, inner, back):
            to_inner = torch.baddbmm(narrow, wide, layer.b[own], beta=0, alpha=layer.scale)
            layer.to_a[own].baddbmm_(to_inner.transpose(1, 2), given, beta=0)
            layer.to_b[own].baddbmm_(wide.transpose(1, 2), narrow, beta=0, alpha=layer.scale)
            if ctx.needs_input_grad[0]:
                to_x.baddbmm_(to_inner, layer.a[own])
        return back if ctx.needs_input_grad[0] else None, None, None


def parts(rows: Rows, *matrices: Tensor) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
    """Adapters that can be multiplied at once, and their rows of each matrix, [adapters, rows, width].

    All of them where each has as many rows, which is what a GPU wants; else one after another.
    """
    sizes = {end - start for start, end in rows}
    if len(sizes) == 1:
        yield slice(0, len(rows)), tuple(m.view(len(rows), *sizes, m.shape[1]) for m in matrices)
        return
    for n, (start, end) in enumerate(rows):
        yield slice(n, n + 1), tuple(m[None, start:end] for m in matrices)


class Layer:
    """A LoRA layer of peft's served by `Product`: its weight, and the views of all adapters' matrices."""

    def __init__(self, adapters: Adapters, name: str, module: Any):
        self.adapters = adapters
        self.weight: Tensor = module.base_layer.weight
        self.scale = float(module.scaling["default"])
        served, grads = (adapters.views(flat, None) for flat in (adapters.served, adapters.grads))
        names = [f"{name}.lora_{half}.default.weight" for half in "AB"]
        self.a, self.b = (served[n] for n in names)
        self.to_a, self.to_b = (grads[n] for n in names)
        self.anchor = torch.zeros((), requires_grad=True)  # has autograd ask for the way back, whatever x is

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = Product.apply(x.flatten(0, -2), self.anchor, self)
        return out.view(*x.shape[:-1], -1)
