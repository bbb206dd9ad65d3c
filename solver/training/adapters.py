"""The matrices of several adapters side by side in flat tensors, and AdamW over them, set back rather than rebuilt.

Knows nothing of examples, batches or clocks. Law: what happens to one adapter does not depend on those beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

EMBEDDED = "lora_embedding_"  # how the names of an embedding's A, [rank, ids], and B, [width, rank], begin

Rows = tuple[tuple[int, int], ...]
"""(first, end) of the rows of a batch that belong to each adapter in turn."""


class Adapters:
    """`count` adapters in the shape of a model's LoRA parameters, or of its head.

    `masters`: float32 [count, numbers], what is trained; `served`: the same in the model's dtype; `grads`: of `served`.
    The model's own parameters are views of the first adapter, gradients included. `whole`: of A and B one is the
    identity and stays so, so that their product is any change of the whole matrix; the rank must be as large as the
    narrower side of each. ValueError: it is not. `embedding_rate`: share of the learning rate for an embedding's, which
    lie before all others.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        count: int,
        whole: bool = False,
        embedding_rate: float = 1.0,
    ):
        self.parameters = dict(sorted(parameters.items(), key=lambda item: EMBEDDED not in item[0]))
        first = next(iter(self.parameters.values()))
        numbers = sum(p.numel() for p in parameters.values())
        self.served = torch.zeros(count, numbers, dtype=first.dtype, device=first.device)
        self.grads = torch.zeros_like(self.served)
        self.masters = [torch.zeros(numbers, device=first.device) for _ in range(count)]
        embedded = sum(p.numel() for name, p in self.parameters.items() if EMBEDDED in name)
        shares = ((slice(0, embedded), embedding_rate), (slice(embedded, numbers), 1.0))
        groups: list[dict[str, Any]] = [
            {"params": [m[own] for m in self.masters], "own": own, "share": share}
            for own, share in shares
            if own.stop > own.start
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
        self.free = torch.ones(numbers, device=first.device)  # 0 where a number stays as it was drawn
        self.whole = whole
        if whole:
            for name, view in self.views(self.free[None], 0).items():
                view.fill_(0.0 if self._fixed(name) else 1.0)
        self.rows: dict[int, Rows] = {}  # by how many rows a product is of: all of a batch's, or those wanted alone
        self.bind()

    def bind(self) -> None:
        """Make the model's own parameters views of the first adapter, as they no longer are where they were moved."""
        grads = self.views(self.grads, 0)
        for name, view in self.views(self.served, 0).items():
            self.parameters[name].data, self.parameters[name].grad = view, grads[name]

    def views(self, flat: Tensor, adapter: int | None) -> dict[str, Tensor]:
        """The matrices by name in one adapter's row of a flat tensor; with None in all rows, [count, *shape]."""
        sizes = [p.numel() for p in self.parameters.values()]
        parts = (flat if adapter is None else flat[adapter]).split(sizes, dim=-1)
        shapes = ((*part.shape[:-1], *p.shape) for part, p in zip(parts, self.parameters.values(), strict=True))
        return {n: part.view(s) for n, part, s in zip(self.parameters, parts, shapes, strict=True)}

    def start(self) -> None:
        """Forget what was trained before."""
        for state in self.optimizer.state.values():
            for value in state.values():
                value.zero_()
        self.optimizer.zero_grad()
        for master in self.masters:
            master.grad = None

    def _fixed(self, name: str) -> bool:
        """Whether this is the factor that stays the identity, where whole matrices are trained."""
        a, b = (self.parameters[_factor(name, which)] for which in "AB")
        rank, width, height = a.shape[0], a.shape[1], b.shape[0]
        if rank < min(width, height):
            raise ValueError(
                f"{name}: whole matrices of {height} × {width} want a LoRA rank of at least {min(width, height)}, and "
                f"it is {rank}: raise the rank, or train LoRAs"
            )
        return ("lora_A" in name) == (width <= rank)

    def draw(self, adapter: int, seed: int) -> None:
        """An adapter's usual start: A random and B zero, of an embedding A zero and B random, as peft has it; or the
        identity and zero where matrices are whole; of a head: random.
        """
        generator = torch.Generator().manual_seed(seed)
        for name, view in self.views(self.served, adapter).items():
            if self.whole:
                view.copy_(torch.eye(*view.shape) if self._fixed(name) else torch.zeros(view.shape))
                continue
            if EMBEDDED in name:
                still = f"{EMBEDDED}A" in name
                view.copy_(torch.zeros(view.shape) if still else torch.randn(view.shape, generator=generator))
                continue
            bound = 0.0 if "lora_B" in name else 1 / math.sqrt(view.shape[1])
            view.copy_((torch.rand(view.shape, generator=generator) * 2 - 1) * bound)
        self.masters[adapter].copy_(self.served[adapter])

    def take(self, adapter: int, tensors: Mapping[str, Tensor]) -> None:
        """An adapter's matrices by name."""
        for name, view in self.views(self.served, adapter).items():
            view.copy_(tensors[name])
        self.masters[adapter].copy_(self.served[adapter])

    def step(self, count: int, rate: float, clip: float, scaler: torch.amp.GradScaler) -> None:
        """One step of AdamW on the first `count` adapters, the gradient of each cut to the norm `clip`.

        `scaler`: of the loss the gradients are of; in float16 it leaves a step out whose gradients overflowed.
        """
        for master, gradient in zip(self.masters[:count], self.grads, strict=False):
            master.grad = gradient.float() * self.free if self.whole else gradient.float()
        for group in self.optimizer.param_groups:
            for part, master in zip(group["params"][:count], self.masters, strict=False):
                part.grad = master.grad[group["own"]] if master.grad is not None else None
            group["lr"] = rate * group["share"]
        scaler.unscale_(self.optimizer)
        for master in self.masters[:count]:
            nn.utils.clip_grad_norm_([master], clip)
        scaler.step(self.optimizer)
        scaler.update()
        with torch.no_grad():
            for master, served in zip(self.masters[:count], self.served, strict=False):
                served.copy_(master)

    def save(self, adapter: int, model: Any, path: Any) -> None:
        """Write an adapter where and as peft does, without the embedding under it. FloatingPointError: its numbers are
        not all finite.

        In an engine such an adapter can spoil the rows of others in its batch.
        """
        if not torch.isfinite(self.served[adapter]).all():
            raise FloatingPointError("the adapter is not finite: the learning rate is too high for this task")
        kept = {name: p.data for name, p in self.parameters.items()}
        for name, view in self.views(self.served, adapter).items():
            self.parameters[name].data = view.clone()
        try:
            model.save_pretrained(path, safe_serialization=True, save_embedding_layers=False)
        finally:
            for name, data in kept.items():
                self.parameters[name].data = data


def saved_name(name: str) -> str:
    """What a parameter of the model is called in the adapter's file."""
    return name.removesuffix(".default").replace(".default.", ".")


def _factor(name: str, which: str) -> str:
    """The name of A or of B beside the one given."""
    return name.replace("lora_A", f"lora_{which}").replace("lora_B", f"lora_{which}")


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
            to_inner = torch.bmm(wide, layer.b[own]).mul_(layer.scale)
            layer.to_a[own] = torch.bmm(to_inner.transpose(1, 2), given)
            layer.to_b[own] = torch.bmm(wide.transpose(1, 2), narrow).mul_(layer.scale)
            if ctx.needs_input_grad[0]:
                to_x.baddbmm_(to_inner, layer.a[own])
        return back if ctx.needs_input_grad[0] else None, None, None


def parts(rows: Rows, *matrices: Tensor) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
    """Adapters that can be multiplied at once, and their rows of each matrix, [adapters, rows, width].

    All of them where each has as many rows, which is what a GPU wants; else one after another.
    """
    (start, end), count = rows[0], len(rows)
    if all(last - first == end - start for first, last in rows):
        yield slice(0, count), tuple(m.view(count, end - start, m.shape[1]) for m in matrices)
        return
    for n, (first, last) in enumerate(rows):
        yield slice(n, n + 1), tuple(m[None, first:last] for m in matrices)


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
        """What the layer gives for [..., in]."""
        out: Tensor = Product.apply(x.flatten(0, -2), self.anchor, self)
        return out.view(*x.shape[:-1], -1)


def fuse(model: Any, adapters: Adapters) -> None:
    """Have every LoRA layer of a peft model serve all adapters. Needs plain linear layers without biases under them."""
    for name, module in model.named_modules():
        if hasattr(module, "lora_A"):
            module.forward = Layer(adapters, name, module)
