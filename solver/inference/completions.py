"""Completions and scored replies as the engine's outputs tell of them.

Knows vLLM's outputs and how its requests wait, but no engine of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from solver.interfaces import ScoringRequest
from solver.model.output_heads import head_of
from solver.types import Adapter, Prompt, Reply

Waiting: TypeAlias = tuple[int, Prompt, Adapter | None, Adapter | None]
"""(number of a request, what is asked, its adapter, its head: None the base model's)."""


def queued(requests: Sequence[tuple[Prompt, Adapter | None]], first: int) -> list[Waiting]:
    """The requests as they wait, numbered from `first` on."""
    return [(number, *request, head_of(request[1])) for number, request in enumerate(requests, first)]


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
        """Add what the engine said since it was last asked."""
        wanted = self.prompt.alternatives
        for token, step in zip(piece.token_ids, piece.logprobs, strict=True):
            if wanted:
                others = [(t, float(s.logprob)) for t, s in step.items() if t != token][:wanted]
                useful = tuple(o for o in others if self.total + o[1] >= self.prompt.floor)
                self.alternatives.append(useful)
            self.tokens.append(int(token))
            self.logprobs.append(float(step[token].logprob))
            self.total += self.logprobs[-1]

    def piece(self, finished: bool) -> Reply:
        """What was said since the last piece."""
        said = self.reply(finished)
        self.tokens, self.logprobs, self.alternatives = [], [], []
        return said

    def reply(self, finished: bool) -> Reply:
        """What was said."""
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
    names[visible // size :] = [f"{request}/{place}".encode() for place in range(visible // size, len(names))]
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
