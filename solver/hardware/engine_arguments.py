"""The arguments of vLLM's engine, for whatever model it serves, on a CPU as on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from solver.config.settings import MOST_ALTERNATIVES, TARGETS, EngineSettings, WriterSettings

STEP_TOKENS = 4096  # tokens of a step at least
BLOCK = {True: 16, False: 32}  # tokens of a cache block on a GPU, and on a CPU


def engine_arguments(
    weights: Path, settings: EngineSettings | WriterSettings, seed: int, on_gpu: bool
) -> dict[str, Any]:
    """What every engine is built with; compiled where there is a GPU for it."""
    return {
        "model": str(weights),
        "dtype": settings.dtype,
        "max_model_len": settings.context,
        "max_num_seqs": settings.sequences,
        "max_num_batched_tokens": max(STEP_TOKENS, settings.context),
        "kv_cache_memory_bytes": settings.cache_bytes,
        "enable_prefix_caching": True,
        "block_size": BLOCK[on_gpu],
        "enforce_eager": not on_gpu,
        "seed": seed,
        "disable_log_stats": True,
    }


def lora_arguments(settings: EngineSettings, embedding_targets: Sequence[str]) -> dict[str, Any]:
    """Those of one that serves LoRAs on the projections and on `embedding_targets`, and says what else was likely."""
    return {
        "skip_tokenizer_init": True,
        "enable_lora": True,
        "max_loras": settings.adapters,
        "max_cpu_loras": 2 * settings.adapters,
        "max_lora_rank": settings.rank,
        "max_logprobs": MOST_ALTERNATIVES + 1,
        "lora_target_modules": [*TARGETS, *embedding_targets],
    }


def gpu_arguments(settings: EngineSettings, heads: bool = False) -> dict[str, Any]:
    """Those for a GPU alone: what it may take when it starts, and whether it can sleep.

    Where `heads` are swapped no step is begun before the last one is over.
    """
    sleep = {"gpu_memory_utilization": settings.gpu_share, "enable_sleep_mode": settings.sleeps}
    return sleep | ({"async_scheduling": False} if heads else {})
