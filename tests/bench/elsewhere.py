"""The usual ways in a process of their own, which nothing of the engine's settings, threads or memory reaches.

Knows nothing of what is compared. Law: what comes back is what the same functions of `baselines` give in place.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from solver.interfaces import ScoringRequest
from solver.model import checkpoint
from solver.types import Adapter, Prompt

Requests = Sequence[tuple[Prompt, Adapter | None]]
_peft: Any = None  # of the process that works


class Elsewhere:
    """A process with one base model and all adapters. `cpu`: seconds of its processor time so far."""

    def __init__(self, adapters: Sequence[Adapter], dtype: str, threads: int):
        self.cpu = 0.0
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (list(adapters), dtype, threads))

    def recursion(self, requests: Requests, p_min: float) -> Any:
        """(a), a prompt after the other."""
        return self._ask(_recursion, requests, p_min)

    def by_fours(self, requests: Requests, fours: Sequence[Sequence[int]], p_min: float) -> Any:
        """(b), a group of four after the other."""
        return self._ask(_by_fours, requests, fours, p_min)

    def generated(self, requests: Requests) -> Any:
        """(c)."""
        return self._ask(_generated, requests)

    def read(self, readings: Sequence[ScoringRequest]) -> Any:
        """One forward a pair."""
        return self._ask(_read, readings)

    def _ask(self, work: Any, *given: Any) -> Any:
        spent, made = self._pool.submit(_timed, work, *given).result()
        self.cpu += spent
        return made


def _begin(adapters: Sequence[Adapter], dtype: str, threads: int) -> None:
    """Load the model, on all cores."""
    global _peft
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    import torch

    from tests.bench import baselines

    torch.set_num_threads(threads)
    _peft = baselines.Peft(checkpoint.SHIPPED, adapters, getattr(torch, dtype))


def _timed(work: Any, *given: Any) -> tuple[float, Any]:
    started = time.process_time()
    made = work(*given)
    return time.process_time() - started, made


def _recursion(requests: Requests, p_min: float) -> Any:
    from tests.bench import baselines

    return [baselines.recursion(_peft.use(adapter), prompt, p_min) for prompt, adapter in requests]


def _by_fours(requests: Requests, fours: Sequence[Sequence[int]], p_min: float) -> Any:
    from tests.bench import baselines

    found: list[Any] = [None] * len(requests)
    for four in fours:
        model = _peft.use(requests[four[0]][1])
        for at, one in zip(four, baselines.batched(model, [requests[at][0] for at in four], p_min), strict=True):
            found[at] = one
    return found


def _generated(requests: Requests) -> Any:
    from tests.bench import baselines

    return baselines.generated(_peft, requests)


def _read(readings: Sequence[ScoringRequest]) -> Any:
    from tests.bench import baselines

    return baselines.read_one_by_one(_peft, readings)
