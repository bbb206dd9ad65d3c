"""What a code model's directory must hold, and how its engine is built: known before anything heavy is imported.

Knows nothing of torch, grids or programs. Law: nothing of the directory is ever executed: weights are safetensors
alone, and models that bring code of their own are refused.
"""

from __future__ import annotations

from pathlib import Path

from solver.data.json_files import read_json
from solver.types import BadInput

NEEDED = "expected a directory with config.json, tokenizer files and *.safetensors"


def check(model: Path) -> None:
    """Raise `BadInput` where a directory cannot be a model whose files are data alone."""
    config = read_json(model / "config.json")
    if not list(model.glob("*.safetensors")) or not list(model.glob("tokenizer*")):
        raise BadInput(f"{model} holds no safetensors or no tokenizer; {NEEDED}; fetch the missing files")
    if not isinstance(config, dict) or "auto_map" in config:
        raise BadInput(f"{model} brings code of its own (auto_map in config.json); {NEEDED}; choose another model")
