"""Rounds of batches drawn by other processes while the last are trained on: a GPU takes more tokens than one draws.

Law: the rounds are those that `one_round` gives, in order, whoever draws them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

from solver.core import Example
from solver.pretrain.batches import NONE, Augmentation, one_round
from solver.pretrain.data import load
from solver.worker import die_with

Round: TypeAlias = list[list[Example]]

pool_of = lru_cache(maxsize=1)(load)


def rounds(
    source: Path, seed: int, tokens: int, first: int, processes: int, augmentation: Augmentation = NONE
) -> Generator[Round, None, None]:
    """Round `first` and all after it, of the pool in a file; `processes`: how many draw, 0: this one, when asked."""
    if processes == 0:
        for number in count(first):
            yield _draw(source, seed, number, tokens, augmentation)
    with ProcessPoolExecutor(processes, get_context("spawn"), die_with, (os.getpid(),)) as drawers:
        waiting: deque[Future[Round]] = deque()
        for number in count(first):
            waiting.append(drawers.submit(_draw, source, seed, number, tokens, augmentation))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()


def _draw(source: Path, seed: int, number: int, tokens: int, augmentation: Augmentation) -> Round:
    return one_round(pool_of(source), seed, number, tokens, augmentation)
