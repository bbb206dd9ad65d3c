"""The GPU checks on a CPU: their own code at a small scale, with what only a card has replaced.

Replaced are the card and what the driver and torch say of it, sleeping (vLLM's CPU build cannot), and packages that
are not installed (`stand_ins/`). Everything else runs: trainer, engine, comparison, the run of submission.py.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import torch

from solver.config.settings import EngineSettings
from solver.hardware import preflight
from solver.hardware.gpus import GIB, Card, Shown
from solver.inference.vllm_sampler import VllmSampler
from solver.model.architecture import DESCRIBED
from solver.pretrain import recipe
from solver.runtime import load_models
from solver.training import base_model, trainer
from tests.gpu import checks

CARD = Card("a card replaced", 24 * GIB, (9, 0), 1e12, 1e11)
STAND_INS = Path(__file__).parent / "stand_ins"
TRAIN = replace(checks.CARD.train, steps=3, tokens=1024, adapters_per_batch=2)
SMALL = checks.Scale(
    config=replace(checks.CARD, views=2, group=2, train=TRAIN, engine=EngineSettings(2048, 64 << 20, 2, sequences=4)),
    model=replace(DESCRIBED["qwen3-4b-16"], layers=2, hidden=64, heads=2, key_heads=1, head_dim=32, intermediate=96),
    median=400,
    longest=600,
    reply=16,
    formats=("bfloat16", "float32"),  # a CPU takes ten times as long in float16
    run=("--split", "dry-run", "--limit", "1", "--preset", "smoke", "--devices", "cpu", "--programs", "0"),
    answering=100.0,
    over=160.0,
    pretraining=recipe.PRESETS["smoke"] | {"workers": 1},
)


def replace_the_card() -> None:
    """For the rest of this process."""
    checks.scale = SMALL
    load_models.this_card = lambda: CARD
    torch.cuda.init = torch.cuda.reset_peak_memory_stats = lambda *_: None
    torch.cuda.mem_get_info = lambda *_: (CARD.usable, CARD.usable)
    preflight.shown = lambda *_: (Shown(CARD.name, CARD.usable, CARD.usable, CARD.capability, "580.95.05"),)
    preflight.ask_torch = lambda: preflight.Torch(torch.__version__, "13.0", ("sm_90",))
    VllmSampler.offload = VllmSampler.reload = lambda _: None
    missing = [name for name in ("unsloth", "bitsandbytes") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"NOT INSTALLED, stand-ins are used: {', '.join(missing)}", file=sys.stderr)
        sys.path.append(str(STAND_INS))
    if "bitsandbytes" in missing:  # without it the base weights of both trainings are in 16 bits
        checks.installed = lambda _: True
        base_model.four_bits, trainer.require_machine = (lambda _: None), (lambda *_: None)
