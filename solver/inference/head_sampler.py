"""Output heads served by the engine: the one seam for them, as `vllm_sampler` knows LoRAs alone.

One head serves at a time, so the requests of each are answered one group after another; where the seconds run out, the
groups that come last go without.
"""

from collections.abc import Callable, Sequence
from typing import Any

from solver.inference.vllm_sampler import T, VllmSampler
from solver.interfaces import OnTokens, ScoringRequest, Stop
from solver.model.output_heads import Heads, by_head, head_of
from solver.types import Adapter, Prompt, Reply


class HeadSampler(VllmSampler):
    """A sampler whose adapters are output heads, LoRAs or none, in any order. `heads`: what changes the engine's."""

    swaps_heads = True

    def __init__(self, *given: Any):
        super().__init__(*given)
        self.heads = Heads(self.llm)

    def sample(self, requests: Sequence[tuple[Prompt, Adapter | None]], stop: Stop) -> list[Reply | None]:
        return self._head_by_head(super().sample, requests, stop)

    def score(self, requests: Sequence[ScoringRequest], stop: Stop) -> list[float | None]:
        return self._head_by_head(super().score, requests, stop)

    def _head_by_head(
        self, call: Callable[[Sequence[Any], Stop], list[T | None]], requests: Sequence[Any], stop: Stop
    ) -> list[T | None]:
        """What `call` makes of requests, whose last part is their adapter, in order."""
        results: list[T | None] = [None] * len(requests)
        for head, places in by_head([request[-1] for request in requests]).items():
            self._activate(head)
            own = [(*requests[place][:-1], None) if head else requests[place] for place in places]
            for place, result in zip(places, call(own, stop), strict=True):
                results[place] = result
        return results

    def stream(self, requests: Sequence[tuple[Prompt, Adapter | None]], stop: Stop, on_tokens: OnTokens) -> None:
        """What `on_tokens` adds waits for its head where another is on."""
        asked, waiting = list[tuple[Prompt, Adapter | None, Adapter | None]](), list[int]()
        under = list[int]()  # numbers of the requests that the head that is on was given, in that order

        def wait(added: Sequence[tuple[Prompt, Adapter | None]]) -> None:
            waiting.extend(range(len(asked), len(asked) + len(added)))
            asked.extend((prompt, adapter, head_of(adapter)) for prompt, adapter in added)

        def for_this_head() -> list[tuple[Prompt, Adapter | None]]:
            own = [number for number in waiting if asked[number][2] == self.heads.on]
            waiting[:] = [number for number in waiting if asked[number][2] != self.heads.on]
            under.extend(own)
            return [(asked[number][0], None if self.heads.on else asked[number][1]) for number in own]

        def on_piece(place: int, piece: Reply) -> tuple[bool, Sequence[tuple[Prompt, Adapter | None]]]:
            goes_on, added = on_tokens(under[place], piece)
            wait(added)
            return goes_on, for_this_head() if added else ()

        wait(requests)
        while waiting and stop.remaining() > 0:
            self._activate(asked[waiting[0]][2])
            under.clear()
            super().stream(for_this_head(), stop, on_piece)

    def _activate(self, head: Adapter | None) -> None:
        """Have a head serve what is asked next; nothing may be under way."""
        self.reload()
        self.heads.activate(head)
