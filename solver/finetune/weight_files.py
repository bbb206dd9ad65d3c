"""A directory of weights written anew, tensor by tensor, with some of them changed; and the LoRA merged into them.

Laws: a tensor keeps its name, its file and its type; the directory appears whole or not at all.
"""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from solver.config.settings import TrainRecipe
from solver.model.checkpoint import INDEX, MANIFEST
from solver.pretrain.export import write_manifest
from solver.types import BadInput

BESIDE = (  # what transformers and vLLM read beside tensors
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model"),
    *("vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
)
ORIGIN = "finetune.json"  # says of an exported directory how it was made
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"

Change: TypeAlias = Callable[[str, Tensor], Tensor]
"""(name, tensor as stored) → what is written in its place"""


def unchanged(_name: str, tensor: Tensor) -> Tensor:
    """The tensor as it is."""
    return tensor


def merged_lora(masters: Mapping[str, Tensor], recipe: TrainRecipe) -> dict[str, Tensor]:
    """What a LoRA adds to each weight, by the weight's name; `masters`: its matrices under peft's names, float32.

    The sum is scaled by alpha / √rank, or alpha / rank without rsLoRA (arXiv 2106.09685, 2312.03732).
    """
    scale = recipe.alpha / (math.sqrt(recipe.rank) if recipe.rslora else recipe.rank)
    added = {}
    for name, a in masters.items():
        if ".lora_A." in name:
            b = masters[name.replace(".lora_A.", ".lora_B.")]
            weight = name.removeprefix("base_model.model.").partition(".lora_A.")[0] + ".weight"
            added[weight] = scale * (b.float() @ a.float())
    return added


def adding(added: Mapping[str, Tensor]) -> Change:
    """A change that adds to the weights of these names; a `Change` of others leaves them as they are."""

    def change(name: str, tensor: Tensor) -> Tensor:
        delta = added.get(name)
        return tensor if delta is None else (tensor.float() + delta).to(tensor.dtype)

    return change


def replacing(trained: Mapping[str, Tensor]) -> Change:
    """A change that puts all trained weights in place; a head that is not among them is the embedding."""

    def change(name: str, tensor: Tensor) -> Tensor:
        known = trained.get(EMBEDDING if name == HEAD and name not in trained else name)
        return tensor if known is None else known.to(tensor.dtype)

    return change


def names(source: Path) -> set[str]:
    """The names of all tensors in a directory's safetensors files."""
    kept = set[str]()
    for path in source.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            kept |= set(file.keys())
    return kept


def require_names(source: Path, wanted: set[str]) -> None:
    """Raises `BadInput` where weights that were trained are not in a directory's files under the model's names."""
    if missing := sorted(wanted - names(source)):
        raise BadInput(
            f"{source} holds no tensor {missing[0]!r}, which was trained: expected transformers' own names; save the "
            "weights again with its save_pretrained"
        )


def write(source: Path, target: Path, change: Change, format: str, origin: Mapping[str, object]) -> None:
    """Write the directory `target`: the tensors of `source` changed, its other files, a manifest, and its origin.

    `format`: the token format's name. What an earlier export left at `target` is replaced. Raises `OSError`.
    """
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    copy_tensors(source, partial, change)
    for name in BESIDE:
        if (source / name).is_file():
            shutil.copyfile(source / name, partial / name)
    finish(partial, format, origin)
    put(partial, target)


def copy_tensors(source: Path, target: Path, change: Change) -> None:
    """Write the tensors of `source`, changed, into files of the same names in the new directory `target`."""
    target.mkdir(parents=True)
    for path in sorted(source.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        tensors = {name: change(name, tensor).contiguous() for name, tensor in stored.items()}
        save_file(tensors, target / path.name, {"format": "pt"})
    if (source / INDEX).is_file():
        shutil.copyfile(source / INDEX, target / INDEX)


def finish(directory: Path, format: str, origin: Mapping[str, object]) -> None:
    """Add how it was made, and the manifest, which says the token format."""
    (directory / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n")
    write_manifest(directory, format)


def put(partial: Path, target: Path) -> None:
    """Have the whole directory stand at `target`, in the place of an earlier export."""
    refuse_other_content(target)
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(target)


def refuse_other_content(target: Path) -> None:
    """Raises `BadInput` where something else than an earlier export, or an empty folder, lies at `target`."""
    if target.exists() and not target.is_dir():
        raise BadInput(f"--export {target} is a file: expected a folder; give another")
    if not target.exists() or (target / ORIGIN).is_file():
        return
    if other := sorted(path.name for path in target.iterdir() if path.name != MANIFEST):
        raise BadInput(
            f"--export {target} holds {other[0]}, which no fine-tuning wrote: expected an empty folder, one that is "
            "not there yet, or an earlier export; give another"
        )
