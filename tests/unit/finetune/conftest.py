"""Tiny checkpoints that the tests of fine-tuning start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import checkpoints
from tests.support.finetuning import grid_weights

MAKERS = {"text": checkpoints.text, "nvarc-16": checkpoints.nvarc, "architects": checkpoints.architects}


@pytest.fixture(scope="session")
def weights_of(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A directory of tiny weights for each format."""
    home = tmp_path_factory.mktemp("tiny")
    made = {name: make(home / name) for name, make in MAKERS.items()}
    return {**made, "grid": grid_weights(home / "grid")}
