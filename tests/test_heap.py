"""Freed memory is kept: large blocks cost no fresh pages each time. In processes of their own, as it is for good."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FAULTS = """
import json, resource
import numpy as np
from solver import heap
if {keep}:
    heap.keep()
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
