"""What the tests of generators share: RE-ARC's package, and the sandbox in which its functions can be had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from solver.generators import examples
from solver.induction.sandbox.sandbox import Limits, Sandbox
from solver.types import BadInput

LIMITS = Limits(wall=1.0, seconds=1, memory=256 << 20, output=1 << 18)


@pytest.fixture(scope="session")
def package() -> Path:
    pytest.importorskip("reasoning_gym", reason="RE-ARC's generators come with reasoning-gym, which is not installed")
    return examples.folder()


@pytest.fixture(scope="session")
def sandbox(package: Path) -> Iterator[Sandbox]:
    """For honest generators, also where this machine can contain none."""
    with Sandbox(LIMITS, unsafe=True, modules=examples.LIBRARY, folders=[str(package)]) as one:
        yield one


@pytest.fixture(scope="session")
def containing_sandbox(package: Path) -> Iterator[Sandbox]:
    """For hostile generators, with `ctypes`, which they import; they use up all the time they have."""
    try:
        with Sandbox(replace(LIMITS, wall=0.5), modules=(*examples.LIBRARY, "ctypes"), folders=[str(package)]) as one:
            yield one
    except BadInput as error:
        pytest.skip(f"NOT TESTED: {error}")
