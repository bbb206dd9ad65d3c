"""A training run's checkpoint: one safetensors file, replaced atomically, that says of itself what it was made of."""

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from solver.types import BadInput

NAME = "checkpoint.safetensors"


def write(directory: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, object]) -> None:
    """Write the checkpoint; the old one stays until it is whole. Raises `OSError` where it cannot be written."""
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / "checkpoint.partial"
    try:
        partial.write_bytes(save(dict(tensors), metadata={k: str(v) for k, v in counters.items()}))
        os.replace(partial, directory / NAME)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def counters(directory: Path) -> dict[str, str]:
    """What the directory's checkpoint says of itself. Raises `BadInput` where it is none."""
    path = directory / NAME
    try:
        with safe_open(path, "pt") as file:
            said = dict(file.metadata())
        if "recipe" not in said:
            raise KeyError("recipe")
    except (OSError, SafetensorError, TypeError, KeyError) as error:
        raise BadInput(
            f"{path} is no checkpoint ({error}); delete it to begin anew, or use another --directory"
        ) from None
    return said
