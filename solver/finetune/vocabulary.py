"""A language model's vocabulary cut to the 16 tokens of NVARC's format: the rows of its embedding and head that remain.

Law: among the tokens that remain, the cut model's probabilities are the whole model's, renormalised.
"""

import json
from pathlib import Path
from typing import Any

from solver.data.json_files import read_json
from solver.finetune import weight_files
from solver.tokens import huggingface, registry
from solver.tokens.rows import NVARC
from solver.types import BadInput

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TOKENS = (*huggingface.DIGITS, "\n", "user", "assistant", *SPECIAL)  # in the order of their new ids
PAD, END = TOKENS.index("<|endoftext|>"), NVARC.end
ROWS = ("embed_tokens.weight", "lm_head.weight", "lm_head.bias")  # how tensors end that have a row a token
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPLIT = r"user|assistant|\n|[0-9]"


def is_larger(weights: Path) -> bool:
    """Whether the model has more tokens than the format."""
    size = registry.settings(weights).get("vocab_size")
    return isinstance(size, int) and size > len(TOKENS)


def kept_ids(weights: Path) -> list[int]:
    """The ids that the 16 tokens have in the checkpoint's own tokenizer. Raises `BadInput` for one it lacks."""
    words = huggingface.read(weights)
    ids = [words.one(digit) for digit in huggingface.DIGITS] + [words.one("newline")]
    for token in TOKENS[len(ids) :]:
        own_id = words.first_id(token)
        if own_id is None:
            raise BadInput(
                f"{weights / huggingface.FILE}: no single token for {token!r}, which the nvarc-16 format has: expected "
                "the tokenizer of a Qwen or another ChatML model; give another --format"
            )
        ids.append(own_id)
    return ids


def is_cut_of(directory: Path, sha256: str) -> bool:
    """Whether `cut` wrote the directory, from the weights of this hash."""
    try:
        origin: Any = read_json(directory / weight_files.ORIGIN)
        return bool(origin["sha256"] == sha256)
    except (BadInput, TypeError, KeyError):
        return False


def cut(weights: Path, target: Path, flag: str, origin: dict[str, object]) -> None:
    """Write the model of these weights, cut, into the directory `target`, which `submission.py --weights` takes.

    Raises `BadInput` for a token that the tokenizer lacks, and for weights without plain rows a token; and, as
    `weight_files.written_whole` does, that and `OSError` for a `target`, which `flag` says, that cannot be written.
    """
    ids = kept_ids(weights)
    config = json.loads((weights / "config.json").read_text())
    if "vocab_size" not in config or config.get("quantization_config"):
        raise BadInput(
            f"{weights / 'config.json'}: quantized, or of more than a language model: expected a plain one in 16 "
            "or 32 bits, whose embedding can be cut; take such weights"
        )
    with weight_files.written_whole(target, flag) as directory:
        weight_files.copy_tensors(
            weights, directory, lambda name, tensor: tensor[ids] if name.endswith(ROWS) else tensor
        )
        write_config(directory, config)
        write_tokenizer(directory)
        weight_files.finish(directory, NVARC.name, origin)


def write_config(directory: Path, config: dict[str, Any]) -> None:
    """The model's configuration, of 16 tokens."""
    sizes = {"vocab_size": len(TOKENS), "bos_token_id": None, "eos_token_id": END, "pad_token_id": PAD}
    (directory / "config.json").write_text(json.dumps({**config, **sizes}, indent=2) + "\n")


def write_tokenizer(directory: Path) -> None:
    """A tokenizer of the 16 tokens, which transformers, Unsloth and vLLM load."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    library = Tokenizer(models.WordLevel({token: number for number, token in enumerate(TOKENS)}, unk_token=SPECIAL[0]))
    library.pre_tokenizer = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    library.decoder = decoders.Fuse()
    library.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    library.save(str(directory / huggingface.FILE))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": TOKENS[END],
        "pad_token": TOKENS[PAD],
        "chat_template": TEMPLATE,
    }
    (directory / huggingface.SETTINGS).write_text(json.dumps(settings, indent=2) + "\n")
