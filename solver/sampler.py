"""Prompts and adapters to replies, in one vLLM engine for the whole run, on a CPU as on a GPU.

Knows nothing of grids or tasks. Laws: an adapter name stands for one content for ever (the prefix cache relies on it);
a reply depends on its prompt and adapter, not on what else is in the batch, up to the rounding of the arithmetic.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from solver.config import TARGETS, EngineSettings
from solver.core import Adapter, Prompt, Reply, Stop

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
}


def prepare(threads: int, environment: Mapping[str, str] = QUIET) -> None:
    """Set the environment the engine reads on import; settings the user made stay."""
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


class VllmSampler:
    """The engine. Building it loads the weights; building a second one in the same process is refused by vLLM."""

    def __init__(self, weights: Path, settings: EngineSettings, end: int, seed: int = 0):
        prepare(settings.threads)
        import torch
        import vllm
        from vllm import LLM, ModelRegistry

        from solver import cpu_lora, grid_qwen3

        self.notes: tuple[str, ...] = ()
        on_gpu = torch.cuda.is_available()
        if not on_gpu:
            self.notes = (cpu_lora.install(vllm.__version__),)
        grid_qwen3.register()
        ModelRegistry.register_model("GridQwen3ForCausalLM", "solver.grid_qwen3_vllm:GridQwen3ForCausalLM")
        self.llm: Any = LLM(
            model=str(weights),
            skip_tokenizer_init=True,
            dtype=settings.dtype,
            max_model_len=settings.context,
            max_num_seqs=settings.sequences,
            max_num_batched_tokens=max(4096, settings.context),
            kv_cache_memory_bytes=settings.cache_bytes,
            enable_prefix_caching=True,
            block_size=16 if on_gpu else 32,
            enforce_eager=not on_gpu,
            enable_lora=True,
            max_loras=settings.adapters,
            max_cpu_loras=2 * settings.adapters,
            max_lora_rank=settings.rank,
            lora_target_modules=list(TARGETS),
            seed=seed,
            disable_log_stats=True,
        )
        self.end, self.next_id = end, 1
        self.ids: dict[str, int] = {}
        self.asked = 0

    def sample(self, requests: Sequence[tuple[Prompt, Adapter | None]], stop: Stop) -> list[Reply | None]:
        """One greedy reply a request, in order; None where `stop` came first (its request is withdrawn)."""
        engine = self.llm.llm_engine
        replies: dict[str, Reply] = {}
        names = [self._add(engine, prompt, adapter) for prompt, adapter in requests]
        waiting = set(names)
        while engine.has_unfinished_requests() and stop.remaining() > 0:
            for output in engine.step():
                if output.finished:
                    replies[output.request_id] = _reply(output.outputs[0])
                    waiting.discard(output.request_id)
        if waiting:
            engine.abort_request(sorted(waiting))
        return [replies.get(name) for name in names]

    def _add(self, engine: Any, prompt: Prompt, adapter: Adapter | None) -> str:
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        self.asked += 1
        name = str(self.asked)
        settings = SamplingParams(
            temperature=0.0,
            max_tokens=prompt.max_reply,
            logprobs=0,
            stop_token_ids=[self.end],
            detokenize=False,
        )
        lora = None
        if adapter is not None:
            lora = LoRARequest(adapter.name, self._id(adapter), str(adapter.path))
        engine.add_request(name, {"prompt_token_ids": list(prompt.tokens)}, settings, lora_request=lora)
        return name

    def _id(self, adapter: Adapter) -> int:
        if adapter.name not in self.ids:
            self.ids[adapter.name], self.next_id = self.next_id, self.next_id + 1
        return self.ids[adapter.name]

    def forget(self, adapters: Sequence[Adapter]) -> None:
        """Free the memory and the files of adapters that will not be asked for again."""
        for adapter in adapters:
            shutil.rmtree(adapter.path, ignore_errors=True)
            number = self.ids.get(adapter.name)
            if number is not None and number in self.llm.llm_engine.list_loras():
                self.llm.llm_engine.remove_lora(number)


def _reply(output: Any) -> Reply:
    tokens = tuple(int(t) for t in output.token_ids)
    logprobs = tuple(float(step[token].logprob) for token, step in zip(tokens, output.logprobs, strict=True))
    return Reply(tokens, logprobs, output.finish_reason == "stop")
