"""Tiny checkpoints as others make them: tokenizers of some kinds, and random weights of a few thousand numbers."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

LETTERS = [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
DIGITS = [*"0123456789"]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES = {
    **{"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": 2048, "tie_word_embeddings": True},
}


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))


def words_tokenizer(directory: Path, words: list[str], **settings: object) -> int:
    """A tokenizer of whole words, numbered in order; the size of its vocabulary."""
    numbered = {word: number for number, word in enumerate(words)}
    Tokenizer(models.WordLevel(numbered, unk_token=words[0])).save(str(directory / "tokenizer.json"))
    write(directory / "tokenizer_config.json", settings)
    return len(words)


def architects_tokenizer(directory: Path) -> int:
    """bos 0, eos 1, letters from 2 on (so I is 10 and O is 16), digits from 28 on, newline 38."""
    return words_tokenizer(
        directory, ["<s>", "</s>", *LETTERS, *DIGITS, "\n"], bos_token="<s>", eos_token={"content": "</s>"}
    )


def byte_level(directory: Path, added: list[str], merges: list[tuple[str, str]] = (), **settings: object) -> Tokenizer:
    """A byte-level tokenizer: 256 byte tokens in the order of their letters, merged pairs, then the added tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    numbered = {token: number for number, token in enumerate([*letters, *(a + b for a, b in merges)])}
    made = Tokenizer(models.BPE(numbered, list(merges)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True) for token in added])
    made.save(str(directory / "tokenizer.json"))
    write(directory / "tokenizer_config.json", settings)
    return made


def chat_tokenizer(directory: Path, template: str = CHATML) -> Tokenizer:
    """Byte-level with `<|im_start|>` 256 and `<|im_end|>` 257, and a chat template."""
    return byte_level(directory, ["<|im_start|>", "<|im_end|>"], eos_token="<|im_end|>", chat_template=template)


def random_weights(
    directory: Path, family: str, vocabulary: int, shards: bool = False, **more: int | bool | None
) -> Path:
    """A `qwen3` or `llama` of two layers in bfloat16, as transformers saves it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    settings, model = {"qwen3": (Qwen3Config, Qwen3ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}[family]
    made = model(settings(vocab_size=vocabulary, **{**SIZES, **more})).to(torch.bfloat16)
    made.save_pretrained(directory, max_shard_size="64KB" if shards else "1GB")
    return directory


def nvarc(directory: Path) -> Path:
    """A Qwen3 of 16 tokens, which needs no tokenizer."""
    return random_weights(directory, "qwen3", 16, bos_token_id=None, eos_token_id=15, pad_token_id=13)


def architects(directory: Path) -> Path:
    """A Llama with a token for each letter and digit."""
    directory.mkdir(parents=True)
    size = architects_tokenizer(directory)
    return random_weights(directory, "llama", size, bos_token_id=0, eos_token_id=1)


def text(directory: Path) -> Path:
    """A Qwen3 with a byte-level tokenizer and a chat template, in shards."""
    directory.mkdir(parents=True)
    size = chat_tokenizer(directory).get_vocab_size()
    return random_weights(directory, "qwen3", size, shards=True, bos_token_id=None, eos_token_id=257)


def chatml_qwen(directory: Path, tied: bool = True) -> Path:
    """A Qwen3 with a ChatML tokenizer with its roles as tokens, and rows for some tokens more, as Qwen's own."""
    directory.mkdir(parents=True)
    words = ("user", "assistant")
    merges = [(word[:end], word[end]) for word in words for end in range(1, len(word))]
    library = byte_level(
        directory,
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        list(dict.fromkeys(merges)),
        eos_token="<|im_end|>",
        chat_template=CHATML,
    )
    size, end = library.get_vocab_size() + 7, library.token_to_id("<|im_end|>")
    return random_weights(directory, "qwen3", size, tie_word_embeddings=tied, bos_token_id=None, eos_token_id=end)
