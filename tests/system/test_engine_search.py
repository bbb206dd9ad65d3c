"""The search and the scoring on the real engine, in float32, against the recursion over transformers and peft.

The comparison is the benchmark's own, in a process of its own: an engine of another arithmetic can't be had in one.
"""

from __future__ import annotations

import contextlib
import io
import json
import re

import pytest

from tests.bench import __main__ as bench
from tests.support import forked

pytestmark = pytest.mark.engine
SIZE = ["--prompts", "2", "--adapters", "2", "--steps", "8", "--limit", "120", "--split", "arc1-training"]
CLOSE = 1e-3  # nats on a whole reply


def parity() -> str:
    """What the benchmark's command prints last."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert bench.main(["--only", "parity", "--json", *SIZE]) == 0
    return printed.getvalue().splitlines()[-1]


@pytest.fixture(scope="module")
def rows():
    return {row["name"]: row["note"] for row in json.loads(forked.call(parity, timeout=600))}


def numbers(note: str) -> list[float]:
    return [float(n) for n in re.findall(r"(?<![\w.])\d[\d.]*(?:e[+-]\d+)?", note)]


@pytest.mark.parametrize("p_min", [0.2, 0.09, 0.02])
def test_the_search_finds_exactly_the_replies_of_the_exhaustive_recursion(rows, p_min):
    _, replies, only_in_one, gap = numbers(rows[f"parity: search at {p_min}"])
    assert only_in_one == 0
    assert gap < CLOSE
    assert replies > 0 or p_min > 0.02


def test_the_scores_over_cached_prompts_are_those_of_a_plain_forward(rows):
    readings, missing, gap = numbers(rows["parity: scoring"])
    assert readings > 0
    assert missing == 0
    assert gap < CLOSE
