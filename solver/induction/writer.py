"""Texts from a code model the user supplies, in a vLLM engine: a Hugging Face directory with its own tokenizer.

Knows nothing of grids or programs. Nothing of the directory is executed: weights are safetensors alone, and models that
bring code of their own are refused. vLLM refuses a second engine in a process, so a writer needs a process without a
`sampler.VllmSampler`. Law: a reply depends on its question, the seed and its place in the list, not on what else is
sampled, up to the rounding of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solver.core import Stop
from solver.induction.barc import Question
from solver.sampler import prepare
from solver.tasks import BadInput, read_json

NEEDED = "expected a directory with config.json, tokenizer files and *.safetensors"


@dataclass(frozen=True)
class WriterSettings:
    """How the engine is built and sampled from.

    `context`: tokens of the longest question with its reply. `reply`: tokens of a reply at most. `cache_bytes`: size of
    the key-value cache. `sequences`: replies in flight. `threads`: of the CPU backend. `temperature`: 1 samples from
    the model as it is. The defaults were not tuned.
    """

    context: int = 12288
    reply: int = 2048
    cache_bytes: int = 4 << 30
    sequences: int = 64
    dtype: str = "bfloat16"
    threads: int = 2
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.reply < self.context:
            came = f"replies of {self.reply} tokens in a context of {self.context} came"
            raise BadInput(f"{came}; expected fewer than the context's and at least 1; change one of them")


def check(model: Path) -> None:
    """Raise `BadInput` where a directory cannot be a model whose files are data alone."""
    config = read_json(model / "config.json")
    if not list(model.glob("*.safetensors")) or not list(model.glob("tokenizer*")):
        raise BadInput(f"{model} holds no safetensors or no tokenizer; {NEEDED}; fetch the missing files")
    if not isinstance(config, dict) or "auto_map" in config:
        raise BadInput(f"{model} brings code of its own (auto_map in config.json); {NEEDED}; choose another model")


class VllmWriter:
    """The engine with its tokenizer. Building it loads the weights."""

    def __init__(self, model: Path, settings: WriterSettings, seed: int = 0):
        check(model)
        prepare(settings.threads)
        import torch
        from vllm import LLM

        on_gpu = torch.cuda.is_available()
        self.settings = settings
        self.llm: Any = LLM(
            model=str(model),
            dtype=settings.dtype,
            load_format="safetensors",
            trust_remote_code=False,
            max_model_len=settings.context,
            max_num_seqs=settings.sequences,
            max_num_batched_tokens=max(4096, settings.context),
            kv_cache_memory_bytes=settings.cache_bytes,
            enable_prefix_caching=True,
            block_size=16 if on_gpu else 32,
            enforce_eager=not on_gpu,
            seed=seed,
            disable_log_stats=True,
        )
        self.tokenizer: Any = self.llm.get_tokenizer()
        self.asked = 0
        self.too_long = 0  # questions that were not asked because they leave no room for a reply

    def write(self, questions: Sequence[Question], seed: int, stop: Stop) -> list[str | None]:
        """One sampled reply a question, in order; None where `stop` came first or the question is too long."""
        engine = self.llm.llm_engine
        waiting: dict[str, int] = {}
        texts: list[str | None] = [None] * len(questions)
        try:
            for place, question in enumerate(questions):
                if (name := self._submit(question, seed + place)) is not None:
                    waiting[name] = place
            while waiting and stop.remaining() > 0:
                for output in engine.step():
                    if output.finished:
                        texts[waiting.pop(output.request_id)] = output.outputs[0].text
        finally:
            engine.abort_request(sorted(waiting))
        return texts

    def _submit(self, question: Question, seed: int) -> str | None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        tokens = self.tokens(question)
        room = self.settings.context - len(tokens)
        if room < 1:
            self.too_long += 1
            return None
        params = SamplingParams(
            temperature=self.settings.temperature,
            max_tokens=min(self.settings.reply, room),
            seed=seed % (1 << 32),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        self.asked += 1
        self.llm.llm_engine.add_request(f"text-{self.asked}", {"prompt_token_ids": tokens}, params)
        return f"text-{self.asked}"

    def tokens(self, question: Question) -> list[int]:
        """The question in the model's own chat format, or as plain text where it has none."""
        if getattr(self.tokenizer, "chat_template", None) is None:
            return list(self.tokenizer.encode(f"{question.system}\n\n{question.user}\n\n"))
        messages = [{"role": "system", "content": question.system}, {"role": "user", "content": question.user}]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return list(self.tokenizer.encode(text, add_special_tokens=False))
