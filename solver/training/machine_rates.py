"""How much of each kind of work (`cpu_work`) this machine does a second, measured in about three seconds.

As many threads as a run would have processes do the same at once, each with matrices of its own and as many threads
under it: processes that are at work together have less of a machine's memory and clock each than one has alone.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from statistics import mean
from threading import Barrier
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from solver.clock import now
from solver.hardware import malloc
from solver.hardware.cpu_work import ADD, ATTENDED, GATE, NORM, CpuRates
from solver.model.architecture import HALF, Model

Measured: TypeAlias = tuple[float, Callable[[], object]]
"""How much of its kind a call does, and the call."""

SECONDS = 0.35  # of each kind, after a call that warms up
DTYPE = torch.bfloat16  # of trainer and engine on a CPU
ROWS = 2048  # tokens that are multiplied with a layer at once, or fewer, down to `SMALL`, where that would take more
LARGEST = 2e10  # operations
KEYS = 512  # of a query: as many as in the middle of a sequence of twice as many tokens
STREAMED = 2 << 30  # bytes of weights that all processes together read again and again, at most
SMALL = 32  # rows and columns of a product that costs its start alone


def measure(
    model: Model, rank: int, rows: int, processes: int, threads: int, read: Callable[[], float] = now
) -> CpuRates:
    """The rates of each of so many processes, for LoRAs of this rank and an engine's batch of so many rows.

    By the clock that `read` reads, in seconds.
    """
    malloc.keep()
    barrier, before = Barrier(processes), torch.get_num_threads()

    def one(_: int) -> list[float]:
        torch.set_num_threads(threads)  # under this thread
        rates = []
        try:
            with torch.inference_mode():
                for work in kinds(model, rank, rows, STREAMED // processes):
                    barrier.wait()
                    rates.append(rate(*work, read))
        except Exception:
            barrier.abort()  # nobody is to wait for this one
            raise
        return rates

    with ThreadPoolExecutor(processes) as pool:
        measured = list(pool.map(one, range(processes)))
    torch.set_num_threads(before)
    means = map(mean, zip(*measured, strict=True))
    return CpuRates(**{each.name: value for each, value in zip(fields(CpuRates), means, strict=True)})


def rate(amount: float, call: Callable[[], object], read: Callable[[], float]) -> float:
    """How much is done a second."""
    call()
    started, calls = read(), 0
    while (seconds := read() - started) < SECONDS:
        call()
        calls += 1
    return amount * calls / seconds


def kinds(model: Model, rank: int, rows: int, streamed: int) -> Iterator[Measured]:
    """What stands for each kind of work, in the order of `CpuRates`' fields; made when it is its turn."""
    shapes, of_layer = matrices(model), model.projections // model.layers
    tokens = int(min(ROWS, max(SMALL, LARGEST / (2 * of_layer))))
    yield layer_products(shapes, tokens)
    yield lora_products(model, rank, tokens)
    yield attention(model)
    yield elementwise(model, tokens)
    layers = min(model.layers, max(1, streamed // (HALF * of_layer)))
    yield weights([filled(*shape) for _ in range(layers) for shape in shapes], rows)
    small = filled(SMALL, SMALL)
    yield 1.0, lambda: small @ small


def filled(*shape: int) -> Tensor:
    """A tensor in memory of its own."""
    return torch.full(shape, 0.01, dtype=DTYPE)


def matrices(model: Model) -> list[tuple[int, int]]:
    """(outputs, inputs) of a layer's seven projections."""
    queries, keys = model.heads * model.head_dim, model.key_heads * model.head_dim
    attending = [(queries, model.hidden), (keys, model.hidden), (keys, model.hidden), (model.hidden, queries)]
    return [*attending, *2 * [(model.intermediate, model.hidden)], (model.hidden, model.intermediate)]


def layer_products(shapes: list[tuple[int, int]], tokens: int) -> Measured:
    """A layer's products with many rows, each forward and backward."""
    operands = [(filled(tokens, wide), filled(out, wide), filled(tokens, out)) for out, wide in shapes]

    def call() -> None:
        for x, weight, gradient in operands:
            functional.linear(x, weight)
            gradient @ weight

    return 4.0 * tokens * sum(outputs * inputs for outputs, inputs in shapes), call


def lora_products(model: Model, rank: int, tokens: int) -> Measured:
    """A LoRA on one of the wide projections, added to its outputs."""
    rank = max(1, rank)
    x, out = filled(tokens, model.hidden), filled(tokens, model.intermediate)
    a, b = filled(rank, model.hidden), filled(model.intermediate, rank)
    return 2.0 * tokens * rank * (model.hidden + model.intermediate), lambda: out.addmm_(x @ a.t(), b.t(), alpha=1e-3)


def attention(model: Model) -> Measured:
    """Queries with their keys and values in all heads, the softmax between."""
    queries, keys, values = (filled(model.heads, n, model.head_dim) for n in (ATTENDED, KEYS, KEYS))
    products = 4.0 * model.heads * ATTENDED * KEYS * model.head_dim
    return products, lambda: torch.bmm(torch.bmm(queries, keys.transpose(1, 2)).softmax(-1), values)


def elementwise(model: Model, tokens: int) -> Measured:
    """An RMS norm as transformers has it, a sum and a gate."""
    x, inner, weight = filled(tokens, model.hidden), filled(tokens, model.intermediate), filled(model.hidden)

    def call() -> None:
        wide = x.float()
        weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(DTYPE)
        x + x
        functional.silu(inner) * inner

    return float(tokens * ((NORM + ADD) * model.hidden + GATE * model.intermediate)), call


def weights(read: list[Tensor], rows: int) -> Measured:
    """Many layers' products with few rows, one after another, so that they come from where a model's come from."""
    given = {width: filled(rows, width) for width in {weight.shape[1] for weight in read}}

    def call() -> None:
        for weight in read:
            functional.linear(given[weight.shape[1]], weight)

    return float(sum(HALF * weight.numel() for weight in read)), call
