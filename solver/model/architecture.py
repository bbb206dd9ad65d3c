"""What of a model decides its memory: the numbers of its `config.json`, its parameter count and its key-value bytes.

Law: the parameter count is the one the model has once it is loaded.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from solver.tokens import grid, registry
from solver.types import COLOURS, MAX_SIDE, BadInput

GRID = registry.OWN_MODEL  # the shipped weights' own architecture: factored embedding and head
TABLES = (3, MAX_SIDE + 1, MAX_SIDE + 1, COLOURS + 1 + grid.SPECIALS)
"""Rows of its embedding's tables: roles, rows, columns, and the ten colours, the row marker and the specials."""
HEAD = (MAX_SIDE, MAX_SIDE, COLOURS, MAX_SIDE, grid.SPECIALS)  # its outputs: row, column, colour, row marker, special
KEY_NORMS = ("qwen3", GRID)  # architectures that normalise queries and keys, one weight a head dimension each
QUERY_BIASES = ("qwen2",)  # architectures whose queries, keys and values always have a bias
KNOWN = ("llama", "mistral", "qwen2", "qwen3", GRID)  # architectures whose parameters are counted here
FOUR_BIT_BYTES = 0.5625  # a 4-bit weight with its share of its block's float32 scale: 1/2 + 4/64 (arXiv 2305.14314)
HALF = 2  # bytes of a bfloat16 or float16 number


@dataclass(frozen=True)
class Model:
    """A causal language model of the Llama family by its numbers, as `config.json` names them."""

    name: str
    kind: str
    layers: int
    hidden: int
    heads: int
    key_heads: int  # attention heads of keys and values
    head_dim: int
    intermediate: int
    vocabulary: int  # token ids, which is the width of the logits
    tied: bool  # whether the head is the embedding
    biased: bool = False  # whether the config asks for attention biases
    bits: int = 16  # of a projection's weight in the checkpoint, 16 or 4
    stored: int | None = None  # bytes of its safetensors files' tensors; None: there are none to look at

    @property
    def projections(self) -> int:
        """Weights of all layers' seven projections: what 4 bits are for."""
        attention = 2 * self.hidden * (self.heads + self.key_heads) * self.head_dim
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def embedding(self) -> int:
        """Weights of the embedding and, where it has weights of its own, of the head."""
        if self.kind == GRID:
            return (sum(TABLES) + sum(HEAD)) * self.hidden
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All weights: projections, embedding and head, norms and biases."""
        queries = (self.heads + 2 * self.key_heads) * self.head_dim
        layer = 2 * self.hidden + (2 * self.head_dim if self.kind in KEY_NORMS else 0)
        if self.kind in QUERY_BIASES:
            layer += queries
        elif self.biased:
            layer += queries + self.hidden
        return self.projections + self.embedding + self.layers * layer + self.hidden

    @property
    def head_outputs(self) -> int:
        """Width of what the training loss is computed from: the vocabulary, or the factored head's outputs."""
        return sum(HEAD) if self.kind == GRID else self.vocabulary

    @property
    def cache_bytes(self) -> int:
        """Bytes of the key-value cache a token: a key and a value for each layer and key head, 16 bits a number."""
        return 2 * self.layers * self.key_heads * self.head_dim * HALF

    def weight_bytes(self, bits: int) -> int:
        """Bytes of the weights on a card with the projections in 16 or 4 bits, all others in 16."""
        rest = self.parameters - self.projections
        return HALF * rest + int(self.projections * (FOUR_BIT_BYTES if bits == 4 else HALF))

    def adapter(self, rank: int, embedding_targets: int = 0) -> int:
        """Weights of a LoRA of this rank: rank × (inputs + outputs) for each matrix it is on.

        These are all seven projections, and of embedding and head as many as `embedding_targets` says.
        """
        queries, keys = self.heads * self.head_dim, self.key_heads * self.head_dim
        attention = 2 * (self.hidden + queries) + 2 * (self.hidden + keys)
        layer = attention + 3 * (self.hidden + self.intermediate)
        return rank * (self.layers * layer + embedding_targets * (self.vocabulary + self.hidden))


QWEN3_4B = Model("qwen3-4b", "qwen3", 36, 2560, 32, 8, 128, 9728, 151936, tied=True)
LLAMA_3_8B = Model("llama-3-8b", "llama", 32, 4096, 32, 8, 128, 14336, 128256, tied=False)
DESCRIBED: Mapping[str, Model] = {  # models that can be planned for without their checkpoint, from their configs
    m.name: m
    for m in (
        QWEN3_4B,
        replace(QWEN3_4B, name="qwen3-4b-16", vocabulary=16),  # with the 16 tokens of NVARC's format
        LLAMA_3_8B,
        replace(LLAMA_3_8B, name="llama-3-8b-4bit", bits=4),
    )
}


def described(name: str) -> Model:
    """A model by its name in `DESCRIBED`; `BadInput` otherwise."""
    if name not in DESCRIBED:
        raise BadInput(f"--plan-model is {name!r}: expected one of {', '.join(DESCRIBED)}; or give its --weights")
    return DESCRIBED[name]


def read(weights: Path) -> Model:
    """The model of a directory of weights. `BadInput`: no readable config.json, or an architecture not counted here."""
    path = weights / "config.json"
    try:
        config = json.loads(path.read_text())
        model = from_config(weights.name, config)
    except FileNotFoundError:
        raise BadInput(f"no weights in {weights}: expected a directory with config.json") from None
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise BadInput(f"{path}: {error!r}: expected the config.json of a model as transformers writes it") from None
    return replace(model, stored=stored_bytes(weights))


def from_config(name: str, config: Mapping[str, Any]) -> Model:
    """The model that a config.json describes; KeyError for a number it lacks, `BadInput` for another architecture."""
    kind = config["model_type"]
    if kind not in KNOWN:
        raise BadInput(f"{name} is a {kind} model: its memory is known of {', '.join(KNOWN)} alone")
    heads = config["num_attention_heads"]
    quantized = config.get("quantization_config") or {}
    return Model(
        name=name,
        kind=kind,
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        heads=heads,
        key_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        intermediate=config["intermediate_size"],
        vocabulary=config["vocab_size"],
        tied=bool(config.get("tie_word_embeddings", False)),
        biased=bool(config.get("attention_bias", False)),
        bits=4 if quantized.get("load_in_4bit") else 16,
    )


def stored_bytes(weights: Path) -> int | None:
    """Bytes of all tensors in a directory's safetensors files, from their headers; None where there are none.

    `BadInput`: a file that is no safetensors, or is shorter than its header says.
    """
    files = sorted(weights.glob("*.safetensors"))
    return sum(map(tensor_bytes, files)) if files else None


def tensor_bytes(path: Path) -> int:
    """Bytes of a safetensors file's tensors, of which its header (8 bytes of length, JSON) tells; none are read."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, path.stat().st_size)))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise BadInput(f"{path}: no readable safetensors header ({error}): copy the weights again") from None
    size, expected = path.stat().st_size, 8 + length + max(ends, default=0)
    if size != expected:
        raise BadInput(f"{path} has {size} bytes: its header says {expected}: it was cut short; copy the weights again")
    return max(ends, default=0)
