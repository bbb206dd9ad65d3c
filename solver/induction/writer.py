"""Texts from a code model the user supplies, in a vLLM engine: a Hugging Face directory with its own tokenizer.

vLLM refuses a second engine in a process, so a writer needs a process without a `VllmSampler`. Law: a reply depends on
its question, the seed and its place in the list, not on what else is sampled, up to the rounding of the arithmetic.
Questions that begin alike are read once as far as they do: the engine's prefix cache has the rest.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from solver.config.settings import WriterSettings
from solver.hardware.engine import building, engine_arguments, prepare
from solver.hardware.garbage import uncollected
from solver.induction.conversation import tokens_of
from solver.induction.forms import Question
from solver.induction.model_files import check_model
from solver.induction.replies import Completion, is_whole
from solver.induction.writing import Piece, ReplyWriter, WritingRequest
from solver.induction.writing_pace import WritingPace
from solver.interfaces import Stop


class VllmTexts:
    """vLLM's engine as a `writing.TextEngine`; `read` and `cached` count the tokens of prompts, and those it knew."""

    def __init__(self, engine: Any, temperature: float):
        self.engine, self.temperature = engine, temperature
        self.asked = self.read = self.cached = 0

    def begin(self, request: WritingRequest) -> str:
        """Hand a request to the engine; the name its outputs bear."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            temperature=self.temperature,
            max_tokens=request.most,
            seed=request.seed % (1 << 32),
            output_kind=RequestOutputKind.DELTA,
        )
        self.asked += 1
        name = f"text-{self.asked}"
        self.engine.add_request(name, {"prompt_token_ids": list(request.prompt)}, params)
        return name

    def step(self) -> list[Piece]:
        """What one step adds to the replies."""
        return [self._piece(output) for output in self.engine.step()]

    def _piece(self, output: Any) -> Piece:
        said = output.outputs[0]
        if output.finished:
            self.read += len(output.prompt_token_ids)
            self.cached += output.num_cached_tokens or 0
        cut = said.finish_reason == "length"
        return Piece(output.request_id, said.text, len(said.token_ids), bool(output.finished), cut)

    def withdraw(self, names: Sequence[str]) -> None:
        """Leave requests off."""
        self.engine.abort_request(list(names))


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
        self.engine = VllmTexts(self.llm.llm_engine, settings.temperature)
        self.replies = ReplyWriter(self.engine, WritingPace(settings.sequences, settings.reply))

    def room(self, question: Question) -> int:
        """Tokens of the context that a question leaves for a reply, 0 or less where it fills it."""
        return self.settings.context - len(self.tokens(question))

    def tokens(self, question: Question) -> tuple[int, ...]:
        """The question as the model reads it."""
        return tokens_of(question, self.tokenizer)

    def write(
        self, questions: Sequence[Question], seed: int, stop: Stop, whole: Callable[[str], bool] = is_whole
    ) -> list[Completion | None]:
        """A sampled completion a question, in order; None where it is too long, or there is no time for it.

        It ends where it is `whole`, and no more are begun than are expected to end before `stop`.
        """
        prompts = {question: self.tokens(question) for question in dict.fromkeys(questions)}
        requests: list[WritingRequest | None] = []
        for place, question in enumerate(questions):
            most = min(self.settings.reply, self.settings.context - len(prompts[question]))
            request = WritingRequest(prompts[question], seed + place, most, question.opening)
            requests.append(request if most > 0 else None)
        return self.replies.write(requests, stop, whole)
