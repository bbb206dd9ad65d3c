"""Texts from a code model the user supplies, in a vLLM engine: a Hugging Face directory with its own tokenizer.

vLLM refuses a second engine in a process, so a writer needs a process without a
`VllmSampler`. Law: a reply depends on its question, the seed and its place in the list, not on what else is
sampled, up to the rounding of the arithmetic.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from solver.config.settings import WriterSettings
from solver.hardware.engine import building, engine_arguments, prepare
from solver.hardware.garbage import uncollected
from solver.induction.induce import SYSTEM, check_model
from solver.interfaces import Stop


class VllmWriter:
    """The engine with its tokenizer. Building it loads the weights."""

    @uncollected()
    def __init__(self, model: Path, settings: WriterSettings, seed: int = 0):
        check_model(model)
        prepare(settings.threads)
        import torch
        from vllm import LLM

        on_gpu = torch.cuda.is_available()
        self.settings = settings
        arguments = engine_arguments(model, settings, seed, on_gpu)
        if on_gpu:
            arguments["kv_cache_memory_bytes"] = None  # what is free
        with building():
            self.llm: Any = LLM(**arguments, load_format="safetensors", trust_remote_code=False)
        self.tokenizer: Any = self.llm.get_tokenizer()
        self.asked = 0
        self.too_long = 0  # questions that were not asked because they leave no room for a reply

    def write(self, questions: Sequence[str], seed: int, stop: Stop) -> list[str | None]:
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

    def _submit(self, question: str, seed: int) -> str | None:
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

    def tokens(self, question: str) -> list[int]:
        """The question in the model's own chat format, or as plain text where it has none."""
        if getattr(self.tokenizer, "chat_template", None) is None:
            return list(self.tokenizer.encode(f"{SYSTEM}\n\n{question}\n\n"))
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return list(self.tokenizer.encode(text, add_special_tokens=False))
