"""What a code model's directory must hold, and how its engine is built: known before anything heavy is imported.

Knows nothing of torch, grids or programs. Law: nothing of the directory is ever executed: weights are safetensors
alone, and models that bring code of their own are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from solver.tasks import BadInput, read_json

NEEDED = "expected a directory with config.json, tokenizer files and *.safetensors"


@dataclass(frozen=True)
class WriterSettings:
    """How the engine is built and sampled from.

    `context`: tokens of the longest question with its reply. `reply`: tokens of a reply at most. `cache_bytes`: size of
    the key-value cache on a CPU; on a GPU vLLM takes what is free. `sequences`: replies in flight. `threads`: of the
    CPU backend. `temperature`: 1 samples from the model as it is. The defaults were not tuned.
    """

    context: int = 12288
    reply: int = 2048
    cache_bytes: int = 4 << 30
    sequences: int = 64
    dtype: str = "bfloat16"
    threads: int = 2
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.reply < self.context:
            came = f"replies of {self.reply} tokens in a context of {self.context} came"
            raise BadInput(f"{came}; expected fewer than the context's and at least 1; change one of them")


def check(model: Path) -> None:
    """Raise `BadInput` where a directory cannot be a model whose files are data alone."""
    config = read_json(model / "config.json")
    if not list(model.glob("*.safetensors")) or not list(model.glob("tokenizer*")):
        raise BadInput(f"{model} holds no safetensors or no tokenizer; {NEEDED}; fetch the missing files")
    if not isinstance(config, dict) or "auto_map" in config:
        raise BadInput(f"{model} brings code of its own (auto_map in config.json); {NEEDED}; choose another model")
