"""Which token format a checkpoint speaks: recognised by its files, or named; and the format itself.

Law: a format never writes an id the checkpoint's model does not have.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from solver.data.json_files import read_json
from solver.tokens import huggingface
from solver.tokens.grid import GRID, Format
from solver.tokens.rows import NVARC, Lines
from solver.types import BadInput

Name: TypeAlias = Literal["grid", "nvarc-16", "architects", "text"]
NAMES: tuple[Name, ...] = get_args(Name)
OWN_MODEL = "grid_qwen3"  # the model type of weights in the grid format
NVARC_TOKENS = 16
FEW = 256  # a vocabulary below this was cut to what grids need: a byte-level one has more tokens by its bytes alone


def recognise(directory: Path) -> Name:
    """The name of the format, from config.json and tokenizer.json. Raises `BadInput` where they do not tell."""
    config = settings(directory)
    if is_own(directory):
        return "grid"
    if config.get("vocab_size") == NVARC_TOKENS and str(config.get("model_type")).startswith("qwen"):
        return "nvarc-16"
    if not (directory / huggingface.FILE).is_file():
        raise BadInput(
            f"{directory}: no {huggingface.FILE}, and config.json (model_type {config.get('model_type')!r}, vocab_size "
            f"{config.get('vocab_size')!r}) is of no format that does without: put it there, or give --format"
        )
    words = huggingface.read(directory)
    has_all = all(words.first_id(*spellings) is not None for spellings in huggingface.SPELLINGS.values())
    small = words.library.get_vocab_size(with_added_tokens=True) < FEW
    return "architects" if small and has_all else "text"


def is_own(directory: Path) -> bool:
    """Whether the weights are of the model this project makes, which reads the grid format alone."""
    return settings(directory).get("model_type") == OWN_MODEL


@cache
def load(name: str, directory: Path) -> Format:
    """The format of this name for a checkpoint. `BadInput`: that lacks its tokens or ids, or there is no such name."""
    if name not in NAMES:
        raise BadInput(f"format is {name!r}: expected one of {', '.join(NAMES)}")
    if name == GRID.name:
        return GRID
    if name == NVARC.name:
        format = _nvarc(directory)
    else:
        read = huggingface.architects if name == huggingface.ARCHITECTS else huggingface.text
        format = read(huggingface.read(directory))
    known = settings(directory).get("vocab_size")
    if known is not None and format.vocabulary > known:
        raise BadInput(
            f"{directory}: the {name} format writes ids up to {format.vocabulary - 1}, but config.json has vocab_size "
            f"{known}: expected a tokenizer and a format that belong to these weights"
        )
    return format


def _nvarc(directory: Path) -> Lines:
    """NVARC's format, which needs no tokenizer; one that lies there must number the cells alike."""
    if (directory / huggingface.FILE).is_file():
        words = huggingface.read(directory)
        numbered = tuple(words.first_id(*huggingface.SPELLINGS[sign]) for sign in [*huggingface.DIGITS, "newline"])
        if numbered != (*NVARC.cells, NVARC.newline):
            raise BadInput(
                f"{directory / huggingface.FILE}: digits and newline are {numbered}: expected 0 to 10 in the nvarc-16 "
                "format; give another --format"
            )
    return NVARC


def positions(directory: Path) -> int | None:
    """Tokens of the longest sequence the model was made for; None where config.json does not say."""
    longest = settings(directory).get("max_position_embeddings")
    return longest if isinstance(longest, int) else None


def settings(directory: Path) -> Mapping[str, Any]:
    """What config.json says of the language model; a model that also sees images says it in a part of it."""
    try:
        config: Any = read_json(directory / "config.json")
        language: Mapping[str, Any] = config.get("text_config", config)
        language.get("vocab_size")
    except (BadInput, AttributeError):
        raise BadInput(f"{directory / 'config.json'}: expected a model's configuration, one JSON object") from None
    return language
