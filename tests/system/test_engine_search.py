"""The search and the scoring on the real engine, in float32, against the recursion over transformers and peft.

The comparison is the benchmark's own, in a process of its own: an engine of another arithmetic can't be had in one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine
ROOT = Path(__file__).resolve().parents[2]
SIZE = ["--prompts", "2", "--adapters", "2", "--steps", "8", "--limit", "120", "--split", "arc1-training"]
CLOSE = 1e-3  # nats on a whole reply


@pytest.fixture(scope="module")
def rows():
    command = [sys.executable, "-m", "tests.bench", "--only", "parity", "--json", *SIZE]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, env=environment)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return {row["name"]: row["note"] for row in json.loads(ran.stdout.splitlines()[-1])}


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
