"""Pools that the tests of pretraining train on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch._dynamo

from solver.pretrain.data import Pool
from tests.support.fakes import random_task
from tests.support.pretraining import small_pool


@pytest.fixture(autouse=True)
def _compiling() -> Iterator[None]:
    """An engine that the same process built before on a CPU switched the compiler off."""
    with torch._dynamo.config.patch(disable=False):
        yield


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Three tasks of a few small pairs, the last two of each ARC's own."""
    return small_pool()


@pytest.fixture(scope="module")
def large_pool() -> Pool:
    """Pairs of all lengths, up to the longest sequence there is."""
    sides = (3, 5, 7, 10, 13, 16, 20, 22, 26)
    tasks = [random_task([(s, s) for s in sides for _ in range(3)], seed) for seed in range(3)]
    return Pool(("a", "b", "c"), tuple(t.demonstrations for t in tasks), (0, 0, 0))
