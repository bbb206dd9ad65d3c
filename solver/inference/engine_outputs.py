"""What vLLM's outputs say: replies, log-probabilities of given ones, and what it all cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from solver.interfaces import ScoringRequest
from solver.types import Prompt, Reply


class PartialCompletion:
    """A reply while the engine says it: takes the pieces as they come and knows when it has become useless."""

    def __init__(self, prompt: Prompt):
        self.prompt, self.total = prompt, 0.0  # nats so far
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.alternatives: list[tuple[tuple[int, float], ...]] = []

    @property
    def hopeless(self) -> bool:
        """Whether whatever else is said, the reply's log-probability stays below what is of use."""
        return self.total < self.prompt.floor

    def take(self, piece: Any) -> None:
        wanted = self.prompt.alternatives
        for token, step in zip(piece.token_ids, piece.logprobs, strict=True):
            if wanted:
                others = [(t, float(s.logprob)) for t, s in step.items() if t != token][:wanted]
                self.alternatives.append(tuple(o for o in others if self.total + o[1] >= self.prompt.floor))
            self.tokens.append(int(token))
            self.logprobs.append(float(step[token].logprob))
            self.total += self.logprobs[-1]

    def piece(self, finished: bool) -> Reply:
        """What was said since the last piece."""
        said = self.reply(finished)
        self.tokens, self.logprobs, self.alternatives = [], [], []
        return said

    def reply(self, finished: bool) -> Reply:
        return Reply(tuple(self.tokens), tuple(self.logprobs), finished, tuple(self.alternatives))


def hide_tail(engine: Any, request: str, visible: int) -> bool:
    """Let the engine look no more than the first `visible` tokens of a waiting request up in its prefix cache.

    Log-probabilities come from computed tokens alone, so vLLM by itself computes the whole prompt again where they are
    asked for. Here the later blocks get names nothing is cached under. False: this engine keeps its requests elsewhere.
    """
    try:
        waiting = engine.engine_core.engine_core.scheduler.requests[request]
        size, names = engine.vllm_config.cache_config.block_size, waiting.block_hashes
        if len(names) != waiting.num_tokens // size:
            return False
    except (AttributeError, KeyError):
        return False
    first = visible // size
    names[first:] = [f"{request}/{place}".encode() for place in range(first, len(names))]
    return True


def scored_nats(output: Any, request: ScoringRequest) -> float | None:
    """The reply's log-probability from the engine's output for prompt and reply; None where part was not computed.

    The engine returns an entry for every token, but those it found in its cache hold nothing.
    """
    prompt, reply, _ = request
    logprobs = output.prompt_logprobs
    starts = logprobs.start_indices[len(logprobs.start_indices) - len(reply) :]
    computed = output.num_cached_tokens < len(prompt) and tuple(logprobs.token_ids[i] for i in starts) == reply
    return math.fsum(logprobs.logprobs[i] for i in starts) if computed else None


@dataclass
class Counters:
    """Sums since the start, or since they were last taken; every token is counted once, however its reply is cut up.

    `prompts`: requests the engine began; `prompt_tokens`: of those; `cached_tokens`: how many of them it had in its
    prefix cache; `said_tokens`: tokens generated, of replies withdrawn only what was watched; `recomputed`: prompts
    computed again because the engine could not read a reply over its cache; `seconds`: in the engine; `adapters`:
    loaded ahead, in `adapter_seconds`.
    """

    prompts: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    said_tokens: int = 0
    recomputed: int = 0
    seconds: float = 0.0
    adapters: int = 0
    adapter_seconds: float = 0.0
    _begun: set[str] = field(default_factory=set, repr=False)

    def step(self, outputs: Sequence[Any], seconds: float, said: bool = True) -> None:
        """Add one step of the engine: its outputs, each with the tokens `said` since the last one, or read."""
        self.seconds += seconds
        for output in outputs:
            self.said_tokens += len(output.outputs[0].token_ids) if said else 0
            if output.request_id not in self._begun:
                self._begun.add(output.request_id)
                self.prompts += 1
                self.prompt_tokens += len(output.prompt_token_ids)
                self.cached_tokens += output.num_cached_tokens or 0
            if output.finished:
                self._begun.discard(output.request_id)

    def load(self, seconds: float) -> None:
        self.adapters += 1
        self.adapter_seconds += seconds

    def take(self) -> dict[str, float]:
        """The sums so far, rounded to milliseconds; they begin anew."""
        sums = {name: round(value, 3) for name, value in vars(self).items() if name != "_begun"}
        vars(self).update(vars(Counters()))
        return sums
