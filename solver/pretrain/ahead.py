"""Rounds of batches drawn by other processes while the last are trained on: a GPU takes more tokens than one draws.

Law: the rounds are those that `one_round` gives, in order, whoever draws them.
"""

import os
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

from solver.pretrain.batches import one_round
from solver.pretrain.data import load
from solver.pretrain.recipe import Recipe
from solver.pretrain.rows import Row
from solver.runtime.worker import die_with

Round: TypeAlias = list[list[Row]]
"""The batches of `ROUND` steps, each of rows of sequences."""

pool_of = lru_cache(maxsize=1)(load)


def rounds(source: Path, recipe: Recipe, first: int, processes: int) -> Generator[Round, None, None]:
    """Round `first` and all after it, of the pool in a file; `processes`: how many draw, 0: this one, when asked."""
    if processes == 0:
        for number in count(first):
            yield _draw(source, recipe, number)
    with ProcessPoolExecutor(processes, get_context("spawn"), die_with, (os.getpid(),)) as drawers:
        waiting: deque[Future[Round]] = deque()
        for number in count(first):
            waiting.append(drawers.submit(_draw, source, recipe, number))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()


def _draw(source: Path, recipe: Recipe, number: int) -> Round:
    return one_round(pool_of(source), recipe, number)
