"""Unsloth's own forward, backward, checkpointing and save on a CPU, through this project's trainer.

    python -m tests.support.unsloth_on_cpu train FOLDER    # prints what came as JSON
    python -m tests.support.unsloth_on_cpu serve FOLDER    # the mean nats a token of the saved adapter, from the engine

Unsloth wants a card, asks its driver for sizes, and keeps tables of angles by card: that is what is replaced here, its
Triton kernels are interpreted, and nothing else is changed. Each command has a process to itself, as Unsloth changes
torch for good.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from solver.config.settings import EngineSettings, TrainRecipe
from solver.model.architecture import DESCRIBED
from solver.training import backends
from solver.types import Example, TrainJob

CONTEXT, LENGTH, WANTED = 1024, 40, 10  # tokens; of the longest example; before the first that is learnt
RECIPE = TrainRecipe(rank=8, alpha=8, rate=1e-2, tokens=1024, steps=3)
SIZES = {"layers": 2, "hidden": 64, "heads": 2, "key_heads": 1, "head_dim": 32, "intermediate": 96}
MODEL = replace(DESCRIBED["qwen3-4b-16"], name="tiny", **SIZES)  # type: ignore[arg-type]
INTERPRETED = {"UNSLOTH_ALLOW_CPU": "1", "TRITON_INTERPRET": "1", "UNSLOTH_DISABLE_PINNED_MEMORY": "1"}


def examples() -> list[Example]:
    """Four random sequences of the sixteen ids, of four lengths, the same every time."""
    ids = np.random.default_rng(0).integers(0, MODEL.vocabulary, (4, LENGTH)).astype(np.int32)
    rows = [row[: LENGTH - 7 * n] for n, row in enumerate(ids)]
    return [Example(row, np.arange(len(row)) > WANTED) for row in rows]


class Everywhere(dict[Any, Any]):
    """One value whatever the card's number; there is one card."""

    def __init__(self, value: Any):
        super().__init__()
        self.value = value

    def __missing__(self, _: Any) -> Any:
        return self.value

    def __len__(self) -> int:
        return 1


def import_unsloth(folder: Path) -> Any:
    """Unsloth with a card that is not there; torch comes with it."""
    os.environ.update({**backends.environment(folder), **INTERPRETED})
    import torch

    empty = torch.empty
    torch.empty = lambda *given, pin_memory=False, **named: empty(*given, **named)
    import unsloth

    torch.empty = empty
    torch.set_num_threads(1)
    card = {"name": "none", "total_memory": 1 << 34, "major": 8, "minor": 0, "multi_processor_count": 1}
    answers = {
        "current_device": 0,
        "synchronize": None,
        "empty_cache": None,
        "get_device_properties": SimpleNamespace(**card, is_integrated=False),
        "get_device_capability": (8, 0),
        "mem_get_info": (1 << 34, 1 << 34),
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
    torch.cuda.device = lambda *_: contextlib.nullcontext()
    llama = sys.modules["unsloth.models.llama"]
    llama.get_device_stats, llama.get_current_device = (lambda *_: ("cpu", "", 0)), (lambda: "cpu")  # type: ignore[attr-defined]
    return unsloth


def angles(model: Any) -> Any:
    """Have the rotary embedding keep its tables for the CPU, where it would ask for each card's."""
    import torch

    rotary = model.base_model.model.model.rotary_emb
    for name, value in list(vars(rotary).items()):
        if isinstance(value, list):
            object.__setattr__(rotary, name, Everywhere(value[0] if value else None))
    turns = torch.outer(torch.arange(CONTEXT).float(), rotary._unsloth_recompute_inv_freq()).repeat(1, 2)
    type(rotary).extend_rope_embedding = lambda *_, **__: None
    type(rotary).get_cached = lambda *_, **__: (turns.cos(), turns.sin())
    return model


def nodes(loss: Any) -> set[str]:
    """The kinds of step on a loss's way back."""
    left, seen = [loss.grad_fn], set()
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            left += [after for after, _ in node.next_functions]
    return {type(node).__name__ for node in seen}


def train(folder: Path) -> dict[str, Any]:
    """What a training through Unsloth comes to; the weights and the adapter lie in the folder."""
    started = time.monotonic()
    version = import_unsloth(folder).__version__
    import torch
    from safetensors.torch import load_file

    from solver.training import base_model
    from solver.training.trainer import LoraTrainer
    from tests.gpu.checks import random_weights

    weights = folder / "weights"
    weights.symlink_to(random_weights(MODEL))
    load = base_model.with_unsloth
    base_model.with_unsloth = lambda *given: angles(load(*given))
    chosen = {"library": backends.UNSLOTH, "dtype": "float16", "checkpointing": True, "pieces": True}
    how = replace(backends.setup(weights, RECIPE, CONTEXT, cuda=False), **chosen)  # type: ignore[arg-type]
    trainer = LoraTrainer(weights, RECIPE, folder, CONTEXT, how)
    trainer.begin()
    trainer.adapters.draw(0, 0)
    steps = nodes(trainer.losses([examples()]).sum())
    report = trainer.train(TrainJob("adapter", examples(), 0), SimpleNamespace(remaining=lambda: 1e6))
    with torch.no_grad():
        nats = float(trainer.losses([examples()]))
        trainer.how = replace(how, packed=False)
        padded = float(trainer.losses([examples()]))
    saved = load_file(folder / "adapter" / "adapter_model.safetensors")
    return {
        "version": version,
        "losses": report.losses,
        "checkpoints": sorted(name for name in steps if "Checkpoint" in name),
        "trained_in": sorted({str(p.dtype) for p in trainer.adapters.parameters.values()}),
        "saved_in": sorted({str(tensor.dtype) for tensor in saved.values()}),
        "nats": nats,
        "padded": padded,
        "seconds": round(time.monotonic() - started, 1),
    }


def serve(folder: Path) -> dict[str, Any]:
    """What the engine gives the same tokens with the adapter."""
    from solver.hardware.engine import prepare

    prepare(1)
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest

    from solver.inference.vllm_sampler import VllmSampler

    settings = EngineSettings(context=CONTEXT, cache_bytes=64 << 20, dtype="float32", rank=RECIPE.rank)
    llm = VllmSampler(folder / "weights", settings, MODEL.vocabulary - 1, 0, ()).llm
    nats = []
    for ids in (example.tokens.tolist() for example in examples()):
        asked = SamplingParams(max_tokens=1, prompt_logprobs=0, temperature=0)
        adapter = LoRARequest("adapter", 1, str(folder / "adapter"))
        [reply] = llm.generate([{"prompt_token_ids": ids}], asked, lora_request=adapter, use_tqdm=False)
        places = range(WANTED + 1, len(ids))
        nats += [-reply.prompt_logprobs[place][ids[place]].logprob for place in places]
    return {"nats": float(np.mean(nats))}


if __name__ == "__main__":
    print(json.dumps({"train": train, "serve": serve}[sys.argv[1]](Path(sys.argv[2]))))
