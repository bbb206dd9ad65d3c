"""The environment vLLM reads when it is imported: offline, quiet, and with as many threads as were given."""

from __future__ import annotations

import os
from collections.abc import Mapping

from solver.hardware import malloc

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
