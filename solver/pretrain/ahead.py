"""Rounds of batches drawn by other processes while the last are trained on: a GPU takes more tokens than one draws.

Law: the rounds are those that `one_round` gives, in order, whoever draws them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TypeAlias

from solver.core import Example
from solver.pretrain.batches import one_round
from solver.pretrain.data import Pool, load
from solver.worker import die_with

Round: TypeAlias = list[list[Example]]

_pool: Pool | None = None  # of a process that draws


def rounds(source: Path, seed: int, tokens: int, first: int, processes: int) -> Generator[Round, None, None]:
    """Round `first` and all after it, of the pool in a file; `processes`: how many draw, 0: this one, when asked."""
    if processes == 0:
        pool = load(source)
        yield from (one_round(pool, seed, number, tokens) for number in count(first))  # without end
    with ProcessPoolExecutor(processes, get_context("spawn"), _hold, (source,)) as drawers:
        waiting: deque[Future[Round]] = deque()
        for number in count(first):
            waiting.append(drawers.submit(_draw, seed, number, tokens))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()


def _hold(source: Path) -> None:
    global _pool
    starter = parent_process()
    assert starter is not None
    die_with(starter.pid or 0)
    _pool = load(source)


def _draw(seed: int, number: int, tokens: int) -> Round:
    assert _pool is not None
    return one_round(_pool, seed, number, tokens)
