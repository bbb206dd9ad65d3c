"""Loads the models a worker answers with, in the order that their libraries want, as its device's memory allows.

On a GPU: Unsloth first where it trains, then the engine, then the trainer. Unsloth comes before transformers, which the
engine imports; the engine's environment comes before torch. What Unsloth's import sets in torch's compilers and memory
is not there while the engine is built, which compiles in the same process: why that is one, hardware/README.md says.
"""

import contextlib
import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from solver.config.settings import Config
from solver.hardware import devices, gpus, memory_plan
from solver.model import architecture
from solver.tokens.registry import load
from solver.training import backends

ALLOCATOR = (
    "PYTORCH_ALLOC_CONF",
    "expandable_segments:False",
)  # Unsloth's is True; a sleeping engine wants False


def load_models(weights: Path, config: Config, scratch: Path) -> tuple[Any, Any, Config]:
    """(trainer, sampler, the settings they were built with)."""
    if on_gpu(config.engine.threads):
        return load_on_gpu(weights, config, scratch)
    sampler = _load_sampler(weights, config)
    from solver.training.trainer import LoraTrainer

    return LoraTrainer(weights, config.train, scratch, config.engine.context), sampler, config


def _load_sampler(weights: Path, config: Config) -> Any:
    from solver.inference import vllm_sampler

    kind: Any = vllm_sampler.VllmSampler
    if config.train.head:
        from solver.inference.head_sampler import HeadSampler

        kind = HeadSampler
    end = load(config.format, weights).end
    return kind(weights, config.engine, end, config.seed, config.train.embedding_targets)


def load_on_gpu(weights: Path, config: Config, scratch: Path) -> tuple[Any, Any, Config]:
    """`load_models` by the card's memory plan. `BadInput`: no layout fits the card."""
    how = backends.setup(weights, config.train, config.engine.context, cuda=True)
    stock: Sequence[Mapping[str, Any]] = ()
    if how.library == backends.UNSLOTH:
        stock = [module.get_config_copy() for module in compilers()]
        os.environ.update(backends.environment(scratch))
        os.environ.setdefault(*ALLOCATOR)
        importlib.import_module(backends.UNSLOTH)
    plan = memory_plan.plan(architecture.read(weights), this_card(), config)
    planned = plan.settings(config)
    how = backends.setup(weights, config.train, plan.context, True, plan.card.dtype, plan.checkpointing)
    with compiling_as(stock):
        sampler = _load_sampler(weights, planned)
    sampler.notes = (plan.line, *sampler.notes)
    if planned.engine.sleeps:
        sampler.offload()
    from solver.training.trainer import LoraTrainer

    trainer = LoraTrainer(weights, planned.train, scratch, plan.context, how)
    if planned.engine.sleeps:
        trainer.before_reload, sampler.before_reload = sampler.offload, trainer.offload
    return trainer, sampler, planned


def compilers() -> list[Any]:
    """The settings of torch's compilers, as modules."""
    return [importlib.import_module(f"torch.{name}.config") for name in ("_dynamo", "_inductor")]


@contextlib.contextmanager
def compiling_as(settings: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """Torch's compilers have these settings inside, none for as they are, and afterwards those they had before."""
    before = [module.get_config_copy() for module in compilers()] if settings else []
    try:
        _set(settings)
        yield
    finally:
        _set(before)


def _set(settings: Sequence[Mapping[str, Any]]) -> None:
    for module, wanted in zip(compilers() if settings else (), settings, strict=True):
        now = module.get_config_copy()
        module.load_config({name: value for name, value in wanted.items() if now[name] != value})


def load_writer(config: Config) -> Any:
    """The code model in the only engine of this process, in the format of numbers its GPU is fast in."""
    from solver.induction.writer import VllmWriter

    asked = config.induction
    writer = replace(asked.writer, threads=config.engine.threads)
    if on_gpu(config.engine.threads):
        writer = replace(writer, dtype=this_card().dtype)
    return VllmWriter(Path(asked.model), writer, config.seed)


def on_gpu(threads: int) -> bool:
    """Whether this process was given a GPU that its torch can use; torch is asked only where there is one."""
    if not os.environ.get("CUDA_VISIBLE_DEVICES", "any") or devices.gpus() == 0:
        return False
    from solver.hardware.engine import prepare

    prepare(threads)  # before torch is imported
    import torch

    return torch.cuda.is_available()


def this_card() -> gpus.Card:
    """The GPU this process sees first, with the memory that is free on it now; or its part of it, beside others."""
    import torch

    shown = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info(0)
    share = float(os.environ.get(devices.CARD_SHARE, "1"))
    return gpus.Shown(shown.name, total, free, (shown.major, shown.minor), "").part(share)
