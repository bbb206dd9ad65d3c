"""Which library puts the base model under a LoRA on this machine, with which environment, formats and arguments.

Imports no torch: everything here is decided before any library is imported, because Unsloth has to be imported
before transformers and peft, and raises without a GPU. Law: the choice depends on what the machine can do, and on
nothing that was tried and failed.
"""

import importlib.util
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solver.config.settings import TrainRecipe
from solver.model.architecture import GRID
from solver.training import adapter_kinds

UNSLOTH, PEFT = "unsloth", "peft"
UNSLOTH_SERVES = ("llama", "mistral", "qwen2", "qwen3")  # architectures it has code of its own for
PLAIN_HEADS = UNSLOTH_SERVES  # architectures whose logits are the head times the last hidden state, and nothing more
PACKED = (GRID, *PLAIN_HEADS)  # architectures that hand what says where sequences lie to their attention
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")  # one of them Unsloth must find to load
SWITCHED_ON = (  # in Unsloth's environment
    *("UNSLOTH_DISABLE_STATISTICS", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY"),  # else it asks the network for these,
    *("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),  # and for what it doesn't find
    "UNSLOTH_RETURN_HIDDEN_STATES",  # in the logits' place: the loss is computed here, piece by piece
    "UNSLOTH_RETURN_LOGITS",  # where a version of it knows no such switch: no loss of its own, either
)
QLORA = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}  # of `BitsAndBytesConfig` (arXiv 2305.14314, section 3)


@dataclass(frozen=True)
class Setup:
    """How the base model is held for training. `library` and `why`: see `choose`. `dtype`: of weights and arithmetic.
    `bits`: of a projection's weight. `checkpointing`: activations are computed again on the way back. `pieces`: the
    loss is computed from the last hidden states, some tokens at a time. `packed`: sequences lie end to end, without
    padding. `context`: tokens of the longest example."""

    library: str
    why: str
    dtype: str
    bits: int
    checkpointing: bool
    pieces: bool
    packed: bool
    context: int

    @property
    def scaled(self) -> bool:
        """Whether the loss is scaled so that small gradients don't vanish: float16 has five bits for the exponent."""
        return self.dtype == "float16"

    @property
    def note(self) -> str:
        """The choice and its reason, for the run's log."""
        return f"adapters are trained with {self.library}: {self.why}"


def choose(architecture: str, cuda: bool, installed: bool, tokenizer: bool = True) -> tuple[str, str]:
    """(`unsloth` or `peft`, why), decided by what the machine can do and nothing else.

    `installed`: whether the unsloth package is. `tokenizer`: whether one lies beside the weights.
    """
    against = {
        "there is no CUDA GPU": not cuda,
        "unsloth is not installed": not installed,
        f"unsloth does not serve {architecture}": architecture not in UNSLOTH_SERVES,
        "unsloth loads no model without a tokenizer, and none lies beside the weights": not tokenizer,
    }
    why = next((reason for reason, applies in against.items() if applies), None)
    return (PEFT, why) if why else (UNSLOTH, f"a GPU that serves {architecture}")


def setup(
    weights: Path, recipe: TrainRecipe, context: int, cuda: bool, dtype: str = "bfloat16", checkpointing: bool = False
) -> Setup:
    """The setup for a directory of weights; `cuda`: whether there is a GPU; `dtype` and `checkpointing`: its plan's.

    Raises `BadInput` where these weights have nothing to put the LoRA on.
    """
    adapter_kinds.require_targets(weights, recipe)
    config = json.loads((weights / "config.json").read_text())
    architecture = config["model_type"]
    installed = importlib.util.find_spec("unsloth") is not None
    library, why = choose(architecture, cuda, installed, any((weights / name).is_file() for name in TOKENIZERS))
    if reason := adapter_kinds.peft_alone(recipe):
        library, why = PEFT, reason
    return Setup(
        library=library,
        why=why,
        dtype=dtype if cuda else "bfloat16",
        bits=4 if (config.get("quantization_config") or {}).get("load_in_4bit") else recipe.bits,
        checkpointing=cuda and checkpointing,
        pieces=cuda and architecture in PLAIN_HEADS,
        packed=architecture in PACKED and not _windowed(config),
        context=context,
    )


def _windowed(config: Mapping[str, Any]) -> bool:
    """Whether tokens attend to those near them alone, by transformers' defaults where the configuration says nothing.

    Mistral has a window of 4,096 tokens; Qwen's configurations name one that isn't used unless they say so.
    """
    architecture = config["model_type"]
    window = config.get("sliding_window", 4096 if architecture == "mistral" else None)
    return bool(window and config.get("use_sliding_window", not architecture.startswith("qwen")))


def environment(scratch: Path) -> Mapping[str, str]:
    """What Unsloth must find in the environment when it is imported; its compiled files are this process's own."""
    return {**dict.fromkeys(SWITCHED_ON, "1"), "UNSLOTH_COMPILE_LOCATION": str(scratch / "unsloth_compiled")}


def import_unsloth(scratch: Path) -> None:
    """Import it with its environment, before transformers and peft are imported."""
    os.environ.update(environment(scratch))
    importlib.import_module(UNSLOTH)


def lora_settings(recipe: TrainRecipe) -> dict[str, Any]:
    """The LoRA as both libraries spell it."""
    return {
        "r": recipe.rank,
        "lora_alpha": recipe.alpha,
        "target_modules": list(recipe.targets),
        "use_rslora": recipe.rslora,
        "lora_dropout": 0.0,
        "bias": "none",
    }


def unsloth_model(weights: Path, how: Setup) -> dict[str, Any]:
    """Arguments of `FastLanguageModel.from_pretrained` (unsloth 2026.10.7) but for `dtype`, which is torch's.

    Left alone it would cut examples at 2,048 tokens, load 4-bit weights and map a known name to a download.
    """
    return {
        "model_name": str(weights),
        "max_seq_length": how.context,
        "load_in_4bit": how.bits == 4,
        "use_gradient_checkpointing": UNSLOTH if how.checkpointing else False,
        "use_exact_model_name": True,
        "offload_embedding": False,
        "fast_inference": False,  # the engine is vLLM's own
        "local_files_only": True,
    }


def unsloth_lora(recipe: TrainRecipe, how: Setup) -> dict[str, Any]:
    """Arguments of `FastLanguageModel.get_peft_model` (unsloth 2026.10.7); `unsloth` checkpointing keeps activations
    in the machine's memory. Embedding and head are never among the targets (`setup`): they would become whole saved
    modules, which the engine refuses."""
    return {**lora_settings(recipe), "use_gradient_checkpointing": UNSLOTH if how.checkpointing else False}
