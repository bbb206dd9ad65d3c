"""The models a worker answers with, loaded in the order that their libraries want, as its device's memory allows.

On a GPU: Unsloth first where it trains, then the engine, then the trainer. Unsloth comes before transformers, which the
engine imports; the engine's environment comes before torch. What Unsloth's import sets in torch's compilers and memory
is not there while the engine is built, which compiles in the same process: why that is one, hardware/README.md says.
"""

import contextlib
import importlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from solver.config.settings import Config
from solver.hardware import devices, gpus, memory_plan
from solver.model import architecture
from solver.tokens import registry
from solver.training import backends

# Unsloth's is True; a sleeping engine wants False
ALLOCATOR = ("PYTORCH_ALLOC_CONF", "expandable_segments:False")


def load_models(weights: Path, config: Config, scratch: Path) -> tuple[Any, Any, Config]:
    """(trainer, sampler, the settings they were built with)."""
    if on_gpu(config.engine.threads):
        return load_on_gpu(weights, config, scratch)
    sampler = _load_sampler(weights, config)
    from solver.training.trainer import LoraTrainer

    return LoraTrainer(weights, config.train, scratch, config.engine.context), sampler, config


def _load_sampler(weights: Path, config: Config) -> Any:
    name, kind = ("head_sampler", "HeadSampler") if config.train.head else ("vllm_sampler", "VllmSampler")
    sampler = getattr(importlib.import_module(f"solver.inference.{name}"), kind)
    end = registry.load(config.format, weights).end
    return sampler(weights, config.engine, end, config.seed, config.train.embedding_targets)


def load_on_gpu(weights: Path, config: Config, scratch: Path) -> tuple[Any, Any, Config]:
    """`load_models` by the card's memory plan. `BadInput`: no layout fits the card."""
    how = backends.setup(weights, config.train, config.engine.context, cuda=True)
    stock: list[tuple[Any, Mapping[str, Any]]] = []
    if how.library == backends.UNSLOTH:
        compilers = [importlib.import_module(f"torch.{name}.config") for name in ("_dynamo", "_inductor")]
        stock = [(module, module.get_config_copy()) for module in compilers]
        os.environ.setdefault(*ALLOCATOR)
        backends.import_unsloth(scratch)
    plan = memory_plan.plan(architecture.read(weights), this_card(), config)
    planned = plan.settings(config)
    how = backends.setup(weights, config.train, plan.context, True, plan.card.dtype, plan.checkpointing)
    with contextlib.ExitStack() as compilers_as_before:
        for module, settings in stock:
            current = module.get_config_copy()
            changed = {name: value for name, value in settings.items() if current[name] != value}
            compilers_as_before.enter_context(module.patch(changed))
        sampler = _load_sampler(weights, planned)
    sampler.notes = (plan.line, *sampler.notes)
    if planned.engine.sleeps:
        sampler.offload()
    from solver.training.trainer import LoraTrainer

    trainer = LoraTrainer(weights, planned.train, scratch, plan.context, how)
    if planned.engine.sleeps:
        trainer.before_reload, sampler.before_reload = sampler.offload, trainer.offload
    return trainer, sampler, planned


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
