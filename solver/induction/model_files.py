"""What a directory must hold so that its model can write programs; checked before anything heavy is imported."""

from pathlib import Path

from solver.data.json_files import parse_json, read_bytes, read_json
from solver.model import checkpoint
from solver.types import BadInput

NEEDED = "expected a directory with config.json, tokenizer files and *.safetensors"
SPELT = "0123456789abcdefghijklmnopqrstuvwxyz()[]:,=_"  # characters that no program does without


def check_model(model: Path) -> None:
    """Raise `BadInput` where a directory cannot be a model whose files are data alone: nothing of it is executed."""
    checkpoint.refuse_gguf(model)
    config = read_json(model / "config.json")
    if not list(model.glob("*.safetensors")):
        checkpoint.refuse_pickles(model)
    if not list(model.glob("*.safetensors")) or not list(model.glob("tokenizer*")):
        raise BadInput(f"{model} holds no safetensors or no tokenizer; {NEEDED}; fetch the missing files")
    if not isinstance(config, dict) or "auto_map" in config:
        raise BadInput(f"{model} brings code of its own (auto_map in config.json); {NEEDED}; choose another model")
    if missing := unspelt(model / "tokenizer.json"):
        raise BadInput(
            f"{model} has no token for {' '.join(missing)}, so that it cannot write programs: expected the vocabulary "
            "of a language model, not one cut to what grids need; choose another model"
        )


def unspelt(tokenizer: Path) -> str:
    """The characters of `SPELT` that stand in no token of the vocabulary; none where the file does not tell."""
    content = parse_json(read_bytes(tokenizer, largest=None), str(tokenizer)) if tokenizer.is_file() else {}
    kind = content.get("model") if isinstance(content, dict) else None
    vocabulary = kind.get("vocab") if isinstance(kind, dict) else None
    if isinstance(vocabulary, list):  # of pairs of a token and its score
        vocabulary = [pair[0] for pair in vocabulary if isinstance(pair, list) and pair]
    if not isinstance(vocabulary, dict | list) or not vocabulary:
        return ""
    spelt = set("".join(map(str, vocabulary)))
    return "".join(character for character in SPELT if character not in spelt)
