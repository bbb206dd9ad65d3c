"""Prompts and adapters to replies, in one vLLM engine for the whole run, on a CPU as on a GPU.

Laws: a LoRA's name stands for one content for ever (the prefix cache relies on it); a reply depends on its prompt and
adapter, not on what else is in the batch, up to the rounding of the arithmetic; so do the log-probabilities of a reply
that is handed in.
"""

import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from solver.clock import now
from solver.config.settings import EngineSettings
from solver.hardware.engine import building, engine_arguments, gpu_arguments, lora_arguments, prepare
from solver.hardware.garbage import uncollected
from solver.inference.engine_outputs import Counters, PartialCompletion, hide_tail, scored_nats
from solver.interfaces import OnTokens, ScoringRequest, Stop
from solver.types import Adapter, Prompt, Reply

T = TypeVar("T")


class VllmSampler:
    """The engine. Building it loads the weights; building a second one in the same process is refused by vLLM.

    `embedding_targets`: what LoRAs are put on beside the projections, of `EMBEDDINGS`; where the head is among them,
    `score` is of no use (`config`).
    """

    swaps_heads = False  # see `head_sampler`

    @uncollected()
    def __init__(
        self, weights: Path, settings: EngineSettings, end: int, seed: int = 0, embedding_targets: Sequence[str] = ()
    ):
        prepare(settings.threads)
        import torch

        on_gpu = torch.cuda.is_available()
        if not on_gpu:  # all it would compile is a comparison of log-probabilities, and the first batch waits for that
            import torch._dynamo

            torch._dynamo.config.disable = True
        import vllm
        from vllm import LLM, ModelRegistry

        from solver.inference import cpu_operators
        from solver.model import grid_qwen3

        grid_qwen3.register()
        ModelRegistry.register_model("GridQwen3ForCausalLM", "solver.model.grid_qwen3_vllm:VllmGridQwen3")
        arguments = engine_arguments(weights, settings, seed, on_gpu) | lora_arguments(settings, embedding_targets)
        self.notes: tuple[str, ...] = ()
        priorities = {}
        if on_gpu:
            arguments |= gpu_arguments(settings, self.swaps_heads)
        else:
            self.notes = (cpu_operators.install_lora(vllm.__version__),)
            priorities = cpu_operators.install_norms(vllm.__version__)
        with building():
            self.llm: Any = LLM(**arguments, ir_op_priority=priorities)
        self.offloaded = False
        self.before_reload: Callable[[], None] = lambda: None  # what must happen to make room
        self.end, self.vocabulary = end, int(self.llm.llm_engine.model_config.get_vocab_size())
        self.ids: dict[str, int] = {}  # the engine's numbers of LoRAs, by name
        self.asked, self.resident = 0, 2 * settings.adapters
        self.counters = Counters()

    def sample(self, requests: Sequence[tuple[Prompt, Adapter | None]], stop: Stop) -> list[Reply | None]:
        """One reply a request, in order; None where `stop` came first (its request is withdrawn)."""
        running = {
            self._add(prompt, adapter, watched=prompt.floor > -math.inf): PartialCompletion(prompt)
            for prompt, adapter in requests
        }
        replies: dict[str, Reply | None] = dict.fromkeys(running)

        def on_output(output: Any, completion: PartialCompletion) -> bool:
            completion.take(output.outputs[0])
            if output.finished or completion.hopeless:
                replies[output.request_id] = completion.reply(output.outputs[0].finish_reason == "stop")
            return not completion.hopeless

        self._follow(running, stop, on_output)
        return list(replies.values())

    def stream(self, requests: Sequence[tuple[Prompt, Adapter | None]], stop: Stop, on_tokens: OnTokens) -> None:
        """Complete requests greedily, and those that `on_tokens` adds, piece by piece, until all ended or `stop` came.

        What `on_tokens` no longer wants is withdrawn at once; what it adds joins the engine's next step.
        """
        running, numbers = dict[str, tuple[int, PartialCompletion]](), count()

        def begin(asked: Sequence[tuple[Prompt, Adapter | None]]) -> None:
            for prompt, adapter in asked:
                running[self._add(prompt, adapter, watched=True)] = next(numbers), PartialCompletion(prompt)

        def on_output(output: Any, numbered: tuple[int, PartialCompletion]) -> bool:
            number, completion = numbered
            completion.take(output.outputs[0])
            goes_on, added = on_tokens(number, completion.piece(output.outputs[0].finish_reason == "stop"))
            begin(added)
            return goes_on

        begin(requests)
        self._follow(running, stop, on_output)

    def score(self, requests: Sequence[ScoringRequest], stop: Stop) -> list[float | None]:
        """Nats of each whole reply given its prompt, in order; None where `stop` came first.

        Each distinct prompt is computed once, or not at all where it still is in the cache; then the replies to it are
        read in one step each, over the cached prompt.
        """
        by_prompt: defaultdict[tuple[tuple[int, ...], Adapter | None], list[int]] = defaultdict(list)
        for place, (tokens, _, adapter) in enumerate(requests):
            by_prompt[tokens, adapter].append(place)
        running: dict[str, int | None] = {}  # the place of the request; None: a prompt alone
        for (tokens, adapter), places in by_prompt.items():
            running[self._submit(tokens, self._reading(), adapter)[0]] = None
            running |= {self._submit_scoring(requests[place]): place for place in places}
        nats: list[float | None] = [None] * len(requests)

        def on_output(output: Any, place: int | None) -> bool:
            if place is not None:
                nats[place] = scored_nats(output, requests[place])
                if nats[place] is None:  # part of the reply was found in the cache, not computed: again, in full
                    running[self._submit_scoring(requests[place], whole=True)] = place
            return True

        self._follow(running, stop, on_output, said=False)
        return nats

    def _follow(
        self, running: dict[str, T], stop: Stop, on_output: Callable[[Any, T], bool], said: bool = True
    ) -> None:
        """Step until no request is `running`, which `on_output` may add to, or `stop` came; what is left is withdrawn.

        `on_output` takes an output and what stands for its request; False: withdraw that. `said`: whether the engine
        says something, else it reads.
        """
        engine = self.llm.llm_engine
        try:
            while running and stop.remaining() > 0:
                for output in self._step(said):
                    goes_on = on_output(output, running[output.request_id])
                    if output.finished or not goes_on:
                        del running[output.request_id]
                    if not output.finished and not goes_on:
                        engine.abort_request([output.request_id])
        finally:
            engine.abort_request(sorted(running))

    def _step(self, said: bool) -> Any:
        started = now()
        outputs = self.llm.llm_engine.step()
        self.counters.step(outputs, now() - started, said)
        return outputs

    def _add(self, prompt: Prompt, adapter: Adapter | None, watched: bool) -> str:
        """Ask for a reply, `watched` token by token or given as a whole; the name its outputs bear.

        Its log-probabilities are the model's own, whatever the temperature.
        """
        settings = _sampling(
            watched,
            temperature=prompt.temperature,
            seed=prompt.seed if prompt.temperature else None,
            max_tokens=prompt.max_reply,
            logprobs=min(prompt.alternatives + 1, self.vocabulary) if prompt.alternatives else 0,
            stop_token_ids=[self.end],
        )
        return self._submit(prompt.tokens, settings, adapter)[0]

    def _submit_scoring(self, request: ScoringRequest, whole: bool = False) -> str:
        """Ask for a reply's log-probabilities; with `whole`, the prompt is computed again rather than looked up."""
        prompt, reply, adapter = request
        self.counters.recomputed += whole
        settings = self._reading(prompt_logprobs=0, skip_reading_prefix_cache=whole)
        name, inside = self._submit(prompt + reply, settings, adapter)
        if not whole and not hide_tail(self.llm.llm_engine, inside, len(prompt) - 1):
            self.llm.llm_engine.abort_request([name])
            return self._submit_scoring(request, whole=True)
        return name

    def _reading(self, **more: Any) -> Any:
        """Settings for a prompt to be read; one token is the least the engine says."""
        return _sampling(watched=False, temperature=0.0, max_tokens=1, flat_logprobs=True, **more)

    def _submit(self, tokens: Sequence[int], settings: Any, adapter: Adapter | None) -> tuple[str, str]:
        """Hand a request to the engine; the name its outputs bear, and the one the engine gave it inside."""
        self.reload()
        self.asked += 1
        name, lora = str(self.asked), self._lora(adapter) if adapter else None
        inside = self.llm.llm_engine.add_request(name, {"prompt_token_ids": list(tokens)}, settings, lora_request=lora)
        return name, inside

    def _lora(self, adapter: Adapter) -> Any:
        """An adapter as the engine knows it; a new one is loaded at once, as far as there is room."""
        from vllm.lora.request import LoRARequest

        new = adapter.name not in self.ids
        lora = LoRARequest(adapter.name, self.ids.setdefault(adapter.name, len(self.ids) + 1), str(adapter.path))
        if new and len(self.llm.llm_engine.list_loras()) < self.resident:
            started = now()
            self.llm.llm_engine.add_lora(lora)
            self.counters.load(now() - started)
        return lora

    def forget(self, adapters: Sequence[Adapter]) -> None:
        """Free the memory and the files of adapters that will not be asked for again."""
        self.reload()
        for adapter in adapters:
            shutil.rmtree(adapter.path, ignore_errors=True)
            number = self.ids.get(adapter.name)
            if number is not None and number in self.llm.llm_engine.list_loras():
                self.llm.llm_engine.remove_lora(number)

    def offload(self) -> None:
        """Give the card up until something is asked: weights to the machine's memory, the cache's contents away.

        Level 1 of vLLM's two: on level 2 it forgets the weights, and its LoRA matrices with them.
        """
        if not self.offloaded:
            self.llm.sleep(level=1)
            self.offloaded = True

    def reload(self) -> None:
        if self.offloaded:
            self.before_reload()
            self.llm.wake_up()
            self.offloaded = False


def _sampling(watched: bool, **given: Any) -> Any:
    """vLLM's settings of a request, whose outputs come piece by piece (`watched`) or as a whole."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    kind = RequestOutputKind.DELTA if watched else RequestOutputKind.FINAL_ONLY
    return SamplingParams(detokenize=False, output_kind=kind, **given)
