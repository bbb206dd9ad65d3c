"""What vLLM's engine is told, for whatever model it serves, on a CPU as on a GPU: its environment and its arguments."""

import gc
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from solver.config.settings import MOST_ALTERNATIVES, TARGETS, EngineSettings, WriterSettings
from solver.hardware import malloc

STEP_TOKENS = 4096  # tokens of a step at least
BLOCK = {True: 16, False: 32}  # tokens of a cache block on a GPU, and on a CPU
QUIET = {  # what the engine must know before it is imported
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine lives in this process: one process start less
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_USE_FLASHINFER_SAMPLER": "0",  # its just-in-time build needs nvcc, which contest machines lack
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "passive",  # as fast alone, and three times faster where something else uses a core
    **malloc.BY_SHAPE,
}


def prepare(threads: int, environment: Mapping[str, str] = QUIET) -> None:
    """Set the environment the engine reads on import; settings the user made stay."""
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    malloc.keep()


@contextmanager
def building() -> Iterator[None]:
    """Build an engine within this.

    vLLM collects garbage again and again, of which what was imported is no part any more. On a CPU it (0.32) looks
    through what every loaded module holds, and fails on llvmlite's `lib` (0.47), which numba loads and which claims to
    have any attribute.
    """
    gc.collect()
    gc.freeze()
    ffi = sys.modules.get("llvmlite.binding.ffi")
    lib = vars(ffi).pop("lib", None) if ffi else None
    try:
        yield
    finally:
        if ffi and lib is not None:
            vars(ffi)["lib"] = lib


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
