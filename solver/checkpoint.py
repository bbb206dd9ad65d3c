"""What a directory of weights says of itself, checked before anything heavy is imported.

Knows nothing of torch. Law: weights whose bytes differ from their manifest are refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solver.tasks import BadInput

MANIFEST = "manifest.json"
ADAPTER_FILE = "adapter_model.safetensors"  # what peft calls an adapter's weights
HOME = Path(__file__).resolve().parent.parent / "weights"
SHIPPED = HOME / "grid-5m"


@dataclass(frozen=True)
class Checkpoint:
    """Weights: their directory, token format, the sha256 of the largest safetensors file, the bytes of all of them."""

    path: Path
    format: str
    sha256: str
    bytes: int


def check(directory: Path) -> Checkpoint:
    """The checkpoint in a directory, its files compared with its manifest.

    Raises `BadInput` where the directory, its configuration or manifest is missing, or a file's hash differs.
    """
    if not (directory / "config.json").is_file():
        raise BadInput(f"no weights in {directory}: expected a directory with config.json and model.safetensors")
    manifest = _manifest(directory / MANIFEST)
    loaded = {p.name: "no hash" for p in (directory / "config.json", *directory.glob("*.safetensors"))}
    for name, expected in {**loaded, **manifest["sha256"]}.items():
        path = directory / name
        found = sha256(path)
        if found != expected:
            raise BadInput(
                f"{path}: sha256 {found[:12]} differs from the manifest's {str(expected)[:12]}: "
                "the file was changed or cut short; copy the weights again"
            )
    tensors = [n for n in manifest["sha256"] if n.endswith(".safetensors")]
    largest = max(tensors, key=lambda n: (directory / n).stat().st_size)
    size = sum((directory / n).stat().st_size for n in tensors)
    return Checkpoint(directory, manifest["format"], manifest["sha256"][largest], size)


def sha256(path: Path) -> str:
    """A file's hash; `no such file` where there is none. Raises `BadInput` where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}): expected a readable weights file") from None


def _manifest(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        sound = found["format"] == "grid" and isinstance(found["sha256"], dict)
        sound = sound and any(n.endswith(".safetensors") for n in found["sha256"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise BadInput(
            f"{path}: no manifest of weights in the grid format: expected "
            '{"format": "grid", "sha256": {file: hash}} with a .safetensors file in it; use the shipped weights'
        )
    return dict(found)
