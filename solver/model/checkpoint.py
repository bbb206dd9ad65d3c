"""What a directory of weights says of itself, checked before anything heavy is imported.

Laws: weights whose bytes differ from their manifest are refused; weights without one, which
others made, are hashed as they are; pickled ones are never loaded.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solver.data.json_files import read_json
from solver.tokens import registry
from solver.types import BadInput

MANIFEST = "manifest.json"
ADAPTER_FILE, ADAPTER_SETTINGS = "adapter_model.safetensors", "adapter_config.json"  # what peft calls an adapter's
HOME = Path(__file__).resolve().parents[2] / "weights"
SHIPPED = HOME / "grid-3m"
INDEX = "model.safetensors.index.json"  # says which shard holds what
DECIDING = ("config.json", INDEX, "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")  # beside tensors
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True)
class Checkpoint:
    """Weights, checked."""

    path: Path
    format: registry.Name
    sha256: str  # of the largest safetensors file or, without a manifest, of the hashes of all files
    bytes: int  # of all safetensors files


def check(directory: Path, format: registry.Name | None = None) -> Checkpoint:
    """The checkpoint in a directory; its files are compared with its manifest, if it has one.

    `format`: the token format by name; None: the manifest's, or what `registry` recognises. Raises `BadInput` where
    the directory or its configuration is missing, the weights are pickled or incomplete, a file's hash differs, the
    manifest is missing in a directory of the grid format, or the format does not fit the checkpoint.
    """
    refuse_gguf(directory)
    if not (directory / "config.json").is_file():
        raise BadInput(f"no weights in {directory}: expected a directory with config.json and model.safetensors")
    if (directory / MANIFEST).exists() or format == "grid" or registry.is_own(directory):
        checkpoint = _with_manifest(directory)  # made by this project
    else:
        known = format or registry.recognise(directory)
        checkpoint = Checkpoint(directory, known, digest(directory), size(directory))
    if format not in (None, checkpoint.format):
        raise BadInput(f"--format is {format!r}: {directory / MANIFEST} says {checkpoint.format!r}; leave the flag out")
    registry.load(checkpoint.format, directory)
    return checkpoint


def refuse_gguf(directory: Path) -> None:
    """Raise `BadInput` where the path is a GGUF file, or a directory that holds weights in no other format."""
    gguf = [directory] if directory.suffix == ".gguf" else [*directory.glob("*.gguf")]
    if gguf and not any(directory.glob("*.safetensors")):
        raise BadInput(
            f"{gguf[0]} is a GGUF file, which neither trainer nor engine here reads: expected a directory of "
            "safetensors; take the model's original weights, or save what transformers reads from it "
            "(from_pretrained with gguf_file) as safetensors"
        )


def refuse_pickles(directory: Path) -> None:
    """Raise `BadInput`, naming the first, where a directory holds pickled weights."""
    pickled = sorted(path.name for kind in PICKLES for path in directory.glob(kind))
    if pickled:
        raise BadInput(
            f"{directory / pickled[0]} is pickled, and reading it can run any program: expected safetensors; save the "
            "weights again with transformers' save_pretrained"
        )


def digest(directory: Path) -> str:
    """The hash of the hashes of all files that decide what others' weights say.

    Raises `BadInput` where there are no safetensors, or a shard is missing.
    """
    files = [p for p in (*map(directory.joinpath, DECIDING), *_tensors(directory)) if p.is_file()]
    hashes = json.dumps({p.name: sha256(p) for p in files})
    return hashlib.sha256(hashes.encode()).hexdigest()


def _tensors(directory: Path) -> list[Path]:
    """The safetensors files, in order. Raises `BadInput` where there are none, or a shard is missing."""
    tensors = sorted(directory.glob("*.safetensors"))
    if not tensors:
        refuse_pickles(directory)
        raise BadInput(f"no weights in {directory}: expected config.json and model.safetensors, or its shards")
    if missing := sorted(_shards(directory / INDEX) - {path.name for path in tensors}):
        raise BadInput(f"{directory / missing[0]} is missing, but {INDEX} names it: copy the weights again")
    return tensors


def _shards(index: Path) -> set[str]:
    """The files an index of shards names; none where there is no index."""
    try:
        content: Any = read_json(index) if index.is_file() else {"weight_map": {}}
        return set(content["weight_map"].values())
    except (BadInput, TypeError, KeyError, AttributeError):
        raise BadInput(f"{index}: expected an index of shards with a weight_map: copy the weights again") from None


def size(directory: Path) -> int:
    """Bytes of a directory's tensors."""
    return sum(path.stat().st_size for path in _tensors(directory))


def _with_manifest(directory: Path) -> Checkpoint:
    manifest = _manifest(directory / MANIFEST)
    loaded = {p.name: "no hash" for p in (directory / "config.json", *directory.glob("*.safetensors"))}
    for name, expected in {**loaded, **manifest["sha256"]}.items():
        path = directory / name
        actual = sha256(path)
        if actual != expected:
            raise BadInput(
                f"{path}: sha256 {actual[:12]} differs from the manifest's {str(expected)[:12]}: "
                "the file was changed or cut short; copy the weights again"
            )
    largest = max(_tensors(directory), key=lambda path: path.stat().st_size)
    return Checkpoint(directory, manifest["format"], manifest["sha256"][largest.name], size(directory))


def sha256(path: Path) -> str:
    """A file's hash; `no such file` where there is none. Raises `BadInput` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}): expected a readable weights file") from None


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: Any = read_json(path)
        sound = manifest["format"] in registry.NAMES and isinstance(manifest["sha256"], dict)
        sound = sound and any(n.endswith(".safetensors") for n in manifest["sha256"])
    except (BadInput, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise BadInput(
            f"{path}: no manifest of weights in a known format ({', '.join(registry.NAMES)}): expected "
            '{"format": "grid", "sha256": {file: hash}} with a .safetensors file in it; use the shipped weights'
        )
    return dict(manifest)
