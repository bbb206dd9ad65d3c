"""What the engine did and how long it took, counted from what it hands out.

Knows nothing of engines but the shape of an output. Law: every token is counted once, however its reply was cut up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Counters:
    """Sums since the start, or since they were last taken.

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
        """Add an adapter that was loaded."""
        self.adapters, self.adapter_seconds = self.adapters + 1, self.adapter_seconds + seconds

    def take(self) -> dict[str, float]:
        """The sums so far, rounded to milliseconds; they begin anew."""
        self._begun.clear()
        sums = {name: round(value, 3) for name, value in asdict(self).items() if name != "_begun"}
        for name in sums:
            setattr(self, name, type(sums[name])())
        return sums


def summary(sums: Mapping[str, float]) -> str:
    """The sums for people."""
    hits = sums["cached_tokens"] / max(1, sums["prompt_tokens"])
    return (
        f"{sums['said_tokens'] / max(1e-9, sums['seconds']):.0f} tokens/s said, {sums['said_tokens']:.0f} in "
        f"{sums['seconds']:.1f} s; {sums['prompt_tokens']:.0f} prompt tokens, {hits:.0%} of them cached; "
        f"{sums['adapters']:.0f} adapters loaded in {sums['adapter_seconds']:.2f} s"
    )
