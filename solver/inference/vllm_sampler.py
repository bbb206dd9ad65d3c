"""Prompts and adapters to replies, in one vLLM engine for the whole run, on a CPU as on a GPU.

Knows nothing of grids or tasks. Laws: a LoRA's name stands for one content for ever (the prefix cache relies on it);
a reply depends on its prompt and adapter, not on what else is in the batch, up to the rounding of the arithmetic; so
do the log-probabilities of a reply that is handed in.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from solver.clock import now
from solver.config.settings import EngineSettings
from solver.hardware.engine import engine_arguments, gpu_arguments, lora_arguments, prepare
from solver.inference.completions import PartialCompletion, Waiting, hide_tail, queued, scored_nats
from solver.inference.counters import Counters
from solver.interfaces import OnTokens, ScoringRequest, Stop
from solver.model.output_heads import Heads, by_head, head_of
from solver.types import Adapter, Prompt, Reply

T = TypeVar("T")


class VllmSampler:
    """The engine. Building it loads the weights; building a second one in the same process is refused by vLLM.

    `heads`: whether adapters will be output heads. One of them serves at a time, so the requests of each are answered
    one group after another. `embedding_targets`: what LoRAs are put on beside the projections, of `EMBEDDINGS`; where
    the head is among them, `score` is of no use (`config`).
    """

    def __init__(
        self,
        weights: Path,
        settings: EngineSettings,
        end: int,
        seed: int = 0,
        heads: bool = False,
        embedding_targets: Sequence[str] = (),
    ):
        prepare(settings.threads)
        import torch

        on_gpu = torch.cuda.is_available()
        if not on_gpu:  # all it would compile is a comparison of log-probabilities, and the first batch waits for that
            import torch._dynamo

            torch._dynamo.config.disable = True
        import vllm
        from vllm import LLM, ModelRegistry

        from solver.inference import cpu_lora, cpu_norm
        from solver.model import grid_qwen3

        self.notes: tuple[str, ...] = ()
        priorities = {}
        if not on_gpu:
            self.notes = (cpu_lora.install(vllm.__version__),)
            priorities = cpu_norm.install(vllm.__version__)
        grid_qwen3.register()
        ModelRegistry.register_model("GridQwen3ForCausalLM", "solver.model.grid_qwen3_vllm:VllmGridQwen3")
        arguments = engine_arguments(weights, settings, seed, on_gpu) | lora_arguments(settings, embedding_targets)
        extra = gpu_arguments(settings, heads) if on_gpu else {}
        self.llm: Any = LLM(**arguments, ir_op_priority=priorities, **extra)
        self.heads = Heads(self.llm)
        self.offloaded = False
        self.before_reload: Callable[[], None] = lambda: None  # what must happen to make room
        self.end, self.next_id = end, 1
        self.vocabulary = int(self.llm.llm_engine.model_config.get_vocab_size())
        self.ids: dict[str, int] = {}
        self.asked, self.resident = 0, 2 * settings.adapters
        self.counters = Counters()

    def sample(self, requests: Sequence[tuple[Prompt, Adapter | None]], stop: Stop) -> list[Reply | None]:
        """One reply a request, in order; None where `stop` came first (its request is withdrawn)."""
        return self._group_by_group(self._sample, requests, stop)

    def _group_by_group(
        self, call: Callable[[Sequence[Any], Stop], list[T | None]], requests: Sequence[Any], stop: Stop
    ) -> list[T | None]:
        """What `call` makes of requests, whose last part is their adapter, in order; a head's are asked together.

        Where the seconds run out, the groups that come last go without.
        """
        results: list[T | None] = [None] * len(requests)
        for head, places in by_head([request[-1] for request in requests]).items():
            self._activate(head)
            for place, result in zip(places, call([requests[p] for p in places], stop), strict=True):
                results[place] = result
        return results

    def _activate(self, head: Adapter | None) -> None:
        """Have a head serve what is asked next; nothing may be under way."""
        self.reload()
        self.heads.activate(head)

    def _sample(self, requests: Sequence[tuple[Prompt, Adapter | None]], stop: Stop) -> list[Reply | None]:
        """`sample` under the head that is on."""
        engine = self.llm.llm_engine
        replies: dict[str, Reply] = {}
        names = [self._add(prompt, adapter, watched=prompt.floor > -math.inf) for prompt, adapter in requests]
        said = {name: PartialCompletion(prompt) for name, (prompt, _) in zip(names, requests, strict=True)}
        try:
            while said and stop.remaining() > 0:
                for output in self._step():
                    completion = said[output.request_id]
                    completion.take(output.outputs[0])
                    if output.finished or completion.hopeless:
                        replies[output.request_id] = completion.reply(output.outputs[0].finish_reason == "stop")
                        del said[output.request_id]
                    if not output.finished and completion.hopeless:
                        engine.abort_request([output.request_id])
        finally:
            engine.abort_request(sorted(said))
        return [replies.get(name) for name in names]

    def stream(self, requests: Sequence[tuple[Prompt, Adapter | None]], stop: Stop, on_tokens: OnTokens) -> None:
        """Complete requests greedily, and those that `on_tokens` adds, piece by piece, until all ended or `stop` came.

        What `on_tokens` no longer wants is withdrawn at once; what it adds joins the engine's next step, or waits for
        its head where another is on.
        """
        engine, running = self.llm.llm_engine, dict[str, tuple[int, PartialCompletion]]()
        waiting, count = queued(requests, 0), len(requests)
        try:
            while (running or waiting) and stop.remaining() > 0:
                waiting = self._begin(waiting, running)
                for output in self._step():
                    number, completion = running[output.request_id]
                    completion.take(output.outputs[0])
                    goes_on, added = on_tokens(number, completion.piece(output.outputs[0].finish_reason == "stop"))
                    waiting += queued(added, count)
                    count += len(added)
                    if output.finished or not goes_on:
                        del running[output.request_id]
                    if not output.finished and not goes_on:
                        engine.abort_request([output.request_id])
        finally:
            engine.abort_request(sorted(running))

    def _begin(self, waiting: Sequence[Waiting], running: dict[str, tuple[int, PartialCompletion]]) -> list[Waiting]:
        """Ask what waits for the head that is on, which changes once nobody speaks; what has to wait on."""
        if waiting and not running:
            self._activate(waiting[0][-1])
        for number, prompt, adapter, head in waiting:
            if head == self.heads.on:
                running[self._add(prompt, adapter, watched=True)] = number, PartialCompletion(prompt)
        return [one for one in waiting if one[-1] != self.heads.on]

    def score(self, requests: Sequence[ScoringRequest], stop: Stop) -> list[float | None]:
        """Nats of each whole reply given its prompt, in order; None where `stop` came first.

        Each distinct prompt is computed once, or not at all where it still is in the cache; then the replies to it are
        read in one step each, over the cached prompt.
        """
        return self._group_by_group(self._score, requests, stop)

    def _score(self, requests: Sequence[ScoringRequest], stop: Stop) -> list[float | None]:
        """`score` under the head that is on."""
        engine = self.llm.llm_engine
        by_prompt: dict[tuple[tuple[int, ...], Adapter | None], list[int]] = {}
        for at, (tokens, _, adapter) in enumerate(requests):
            by_prompt.setdefault((tokens, adapter), []).append(at)
        asked: dict[str, int | None] = {}
        for (tokens, adapter), places in by_prompt.items():
            asked[self._submit(tokens, self._scoring_settings(score=False), adapter)[0]] = None
            asked |= {self._submit_scoring(requests[at]): at for at in places}
        nats: list[float | None] = [None] * len(requests)
        try:
            while asked and stop.remaining() > 0:
                for output in self._step(said=False):
                    place = asked.pop(output.request_id)
                    if place is None:
                        continue
                    nats[place] = scored_nats(output, requests[place])
                    if nats[place] is None:  # part of the reply was found in the cache, not computed: again, in full
                        asked[self._submit_scoring(requests[place], whole=True)] = place
        finally:
            engine.abort_request(sorted(asked))
        return nats

    def _submit_scoring(self, request: ScoringRequest, whole: bool = False) -> str:
        """Ask for a reply's log-probabilities; with `whole`, the prompt is computed again rather than looked up."""
        prompt, reply, adapter = request
        self.counters.recomputed += whole
        name, inside = self._submit(prompt + reply, self._scoring_settings(score=True, whole=whole), adapter)
        if not whole and not hide_tail(self.llm.llm_engine, inside, len(prompt) - 1):
            self.llm.llm_engine.abort_request([name])
            return self._submit_scoring(request, whole=True)
        return name

    def _scoring_settings(self, score: bool, whole: bool = False) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            temperature=0.0,
            max_tokens=1,  # the least the engine does
            prompt_logprobs=0 if score else None,
            skip_reading_prefix_cache=whole,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _add(self, prompt: Prompt, adapter: Adapter | None, watched: bool) -> str:
        """Ask for a reply, `watched` token by token or given as a whole; the name its outputs bear.

        Its log-probabilities are the model's own, whatever the temperature.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        settings = SamplingParams(
            temperature=prompt.temperature,
            seed=prompt.seed if prompt.temperature else None,
            max_tokens=prompt.max_reply,
            logprobs=min(prompt.alternatives + 1, self.vocabulary) if prompt.alternatives else 0,
            stop_token_ids=[self.end],
            detokenize=False,
            output_kind=RequestOutputKind.DELTA if watched else RequestOutputKind.FINAL_ONLY,
        )
        return self._submit(prompt.tokens, settings, adapter)[0]

    def _submit(self, tokens: Sequence[int], settings: Any, adapter: Adapter | None) -> tuple[str, str]:
        """Hand a request to the engine; the name its outputs bear, and the one the engine gave it inside."""
        self.reload()
        self.asked += 1
        name = str(self.asked)
        lora = self._lora(adapter) if adapter and not head_of(adapter) else None
        inside = self.llm.llm_engine.add_request(name, {"prompt_token_ids": list(tokens)}, settings, lora_request=lora)
        return name, inside

    def _step(self, said: bool = True) -> Any:
        """What the engine has to say next; not `said`: what it has read."""
        started = now()
        outputs = self.llm.llm_engine.step()
        self.counters.step(outputs, now() - started, said)
        return outputs

    def _lora(self, adapter: Adapter) -> Any:
        """An adapter as the engine knows it; a new one is loaded at once, as far as there is room."""
        from vllm.lora.request import LoRARequest

        new = adapter.name not in self.ids
        if new:
            self.ids[adapter.name], self.next_id = self.next_id, self.next_id + 1
        lora = LoRARequest(adapter.name, self.ids[adapter.name], str(adapter.path))
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
        """Take the card again, where it was given up."""
        if self.offloaded:
            self.before_reload()
            self.llm.wake_up()
            self.offloaded = False
