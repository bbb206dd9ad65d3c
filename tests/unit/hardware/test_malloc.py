"""Memory: large blocks cost no fresh pages each time, new shapes no memory for ever. In processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from solver.hardware import engine, malloc

FAULTS = """
import json, resource
import numpy as np
from solver.hardware import malloc
if {keep}:
    malloc.keep()
block = np.ones(2_000_000)
del block
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.empty(2_000_000).fill(1.0)
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))
"""


def faults(keep: bool) -> int:
    """Pages touched first while twenty blocks of 16 MB come and go."""
    done = subprocess.run([sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is asked")
def test_blocks_that_come_and_go_touch_no_fresh_pages() -> None:
    assert faults(keep=True) < 0.2 * faults(keep=False)


SHAPES = """
import os
from solver.hardware import malloc
if {told}:
    os.environ.update(malloc.BY_SHAPE)
import torch
torch.set_num_threads(1)
right = torch.ones(256, 768, dtype=torch.bfloat16)
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) / 256
def multiply(shapes):
    for rows in shapes:
        torch.mm(torch.ones(rows, 256, dtype=torch.bfloat16), right)
    return resident()
print(-multiply(range(1, 800)) + multiply(range(800, 1200)))  # products of few rows are smaller on some processors
"""


def grown(told: bool) -> float:
    """MiB more after 400 products of shapes not seen before."""
    inherited = {n: v for n, v in os.environ.items() if not n.endswith("CACHE_CAPACITY")}
    command = [sys.executable, "-c", SHAPES.format(told=told)]
    done = subprocess.run(command, env=inherited, capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is read")
@pytest.mark.slow
def test_products_of_ever_new_shapes_take_no_more_memory() -> None:
    assert malloc.BY_SHAPE.items() <= engine.QUIET.items()  # what an engine's process is told
    free = grown(told=False)
    if free < 100:
        pytest.skip("this processor's products keep nothing by shape")
    assert grown(told=True) < 0.4 * free
