"""A directory of weights written anew, tensor by tensor, with some of them changed; and the LoRA merged into them.

Laws: a tensor keeps its name, its file and its type; the directory appears whole or not at all.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from safetensors import SafetensorError, safe_open
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


def weight_of(matrix: str) -> str:
    """The name of the weight that a LoRA's matrix A, under peft's name, is on."""
    return matrix.removeprefix("base_model.model.").partition(".lora_A.")[0] + ".weight"


def changed_names(trained: Iterable[str], full: bool) -> set[str]:
    """The names of the weights that training changes; `trained`: those of what is trained, `full`: no LoRA."""
    return set(trained) if full else {weight_of(name) for name in trained if ".lora_A." in name}


def merging(lora: Mapping[str, Tensor], recipe: TrainRecipe) -> Change:
    """A change that adds a LoRA to the weights it is on; `lora`: its matrices under peft's names, float32.

    The sum is scaled by alpha / √rank, or alpha / rank without rsLoRA (arXiv 2106.09685, 2312.03732).
    """
    scale = recipe.alpha / (math.sqrt(recipe.rank) if recipe.rslora else recipe.rank)
    halves = {
        weight_of(name): (a, lora[name.replace(".lora_A.", ".lora_B.")])
        for name, a in lora.items()
        if ".lora_A." in name
    }

    def change(name: str, tensor: Tensor) -> Tensor:
        if name not in halves:
            return tensor
        a, b = halves[name]
        return (tensor.float() + scale * (b.float() @ a.float())).to(tensor.dtype)

    return change


def replacing(trained: Mapping[str, Tensor]) -> Change:
    """A change that puts all trained weights in place; a head that is not among them is the embedding."""

    def change(name: str, tensor: Tensor) -> Tensor:
        value = trained.get(EMBEDDING if name == HEAD and name not in trained else name)
        return tensor if value is None else value.to(tensor.dtype)

    return change


def names(source: Path) -> set[str]:
    """The names of all tensors in a directory's safetensors files."""
    kept = set[str]()
    for path in source.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            kept |= set(file.keys())
    return kept


def require_names(source: Path, wanted: set[str]) -> None:
    """Raises `BadInput` where weights that are to be trained are not in a directory's files under the model's names."""
    if missing := sorted(wanted - names(source)):
        raise BadInput(
            f"{source} holds no tensor {missing[0]!r}, which is to be trained: expected transformers' own names; save "
            "the weights again with its save_pretrained"
        )


def write(source: Path, target: Path, change: Change, format: str, origin: Mapping[str, object]) -> None:
    """Write the export `target`: the tensors of `source` changed, those of `BESIDE` that it has, manifest and origin.

    `format`: the token format's name. Raises `BadInput` and `OSError` as `written_whole` does.
    """
    with written_whole(target, "--export") as directory:
        copy_tensors(source, directory, change)
        for name in BESIDE:
            if (source / name).is_file():
                shutil.copyfile(source / name, directory / name)
        finish(directory, format, origin)


@contextmanager
def written_whole(target: Path, flag: str) -> Iterator[Path]:
    """A new directory to write into, which then takes the place of an earlier export at `target`, or is removed.

    `flag`: what says where `target` is. Raises `BadInput` as `refuse_other_content` does, and `OSError` in one line
    where it cannot be written.
    """
    refuse_other_content(target, flag)
    whole = target.resolve()
    partial = whole.with_name(f".{whole.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        refuse_other_content(target, flag)  # it took its time
        if whole.exists():
            shutil.rmtree(whole)
        partial.rename(whole)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OSError(
            f"{target} could not be written ({reason}): expected a folder to write to, with room for all weights; make "
            f"some, or give another {flag}"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def copy_tensors(source: Path, target: Path, change: Change) -> None:
    """Write the tensors of `source`, changed, into files of the same names in the directory `target`."""
    for path in sorted(source.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            names = file.keys()
            tensors = {name: change(name, file.get_tensor(name)).contiguous() for name in names}
        save_file(tensors, target / path.name, {"format": "pt"})
    if (source / INDEX).is_file():
        shutil.copyfile(source / INDEX, target / INDEX)


def finish(directory: Path, format: str, origin: Mapping[str, object]) -> None:
    """Add how it was made, and the manifest, which says the token format."""
    (directory / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n")
    for path in directory.glob("*.safetensors"):
        shutil.copymode(directory / ORIGIN, path)  # save_file's are for their owner alone
    write_manifest(directory, format)


def refuse_other_content(target: Path, flag: str) -> None:
    """Raises `BadInput` where something else than an earlier export, or an empty folder, lies at `target`."""
    if target.exists() and not target.is_dir():
        raise BadInput(f"{target} is a file: expected a folder; give another {flag}")
    if not target.exists() or (target / ORIGIN).is_file():
        return
    if other := sorted(path.name for path in target.iterdir() if path.name != MANIFEST):
        raise BadInput(
            f"{target} holds {other[0]}, which no fine-tuning wrote: expected an empty folder, one that is not there "
            f"yet, or an earlier export; give another {flag}"
        )
