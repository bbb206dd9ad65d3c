"""A model's numbers against sums worked out by hand, against transformers' own models, and against broken files."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from solver.config.settings import EMBEDDINGS, TARGETS
from solver.model import architecture, checkpoint
from solver.model.architecture import LLAMA_3_8B, QWEN3_4B, Model, from_config, read
from solver.types import BadInput
from tests.support.tiny import tiny_model

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 40,
}


def test_qwen3_4b_adds_up_as_by_hand():
    """36 layers of q and o 2560 × 4096, k and v 2560 × 1024, three matrices 2560 × 9728, norms 2 × 2560 + 2 × 128."""
    layer = 2 * 10_485_760 + 2 * 2_621_440 + 3 * 24_903_680 + 5_120 + 256
    assert layer == 100_930_816
    assert QWEN3_4B.parameters == 36 * 100_930_816 + 2_560 + 151_936 * 2_560 == 4_022_468_096
    assert replace(QWEN3_4B, vocabulary=16).parameters == 3_633_552_896
    assert QWEN3_4B.weight_bytes(16) == 8_044_936_192
    assert QWEN3_4B.cache_bytes == 2 * 36 * 8 * 128 * 2 == 147_456


def test_llama_3_8b_adds_up_as_by_hand():
    """32 layers of q and o 4096 × 4096, k and v 4096 × 1024, three 4096 × 14336, norms 2 × 4096; embedding and head."""
    layer = 2 * 16_777_216 + 2 * 4_194_304 + 3 * 58_720_256 + 8_192
    assert LLAMA_3_8B.parameters == 32 * layer + 4_096 + 2 * 128_256 * 4_096 == 8_030_261_248
    assert LLAMA_3_8B.cache_bytes == 2 * 32 * 8 * 128 * 2 == 131_072
    in_four_bits, others = 32 * (layer - 8_192), 32 * 8_192 + 4_096 + 1_050_673_152
    assert LLAMA_3_8B.weight_bytes(4) == in_four_bits * 9 // 16 + 2 * others


def test_a_lora_of_rank_32_on_qwen3_4b_adds_up_as_by_hand():
    """Inputs + outputs: q and o 6656 each, k and v 3584 each, gate, up and down 12288 each."""
    assert QWEN3_4B.adapter(32) == 36 * 32 * (2 * 6656 + 2 * 3584 + 3 * 12288) == 66_060_288


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("config", "more"),
    [
        (Qwen3Config, {"head_dim": 16}),
        (Qwen2Config, {}),
        (LlamaConfig, {}),
        (LlamaConfig, {"attention_bias": True}),
        (MistralConfig, {"head_dim": 16}),
    ],
)
def test_the_count_is_that_of_transformers_own_model(config, more, tied):
    made = config(**SIZES, **more, tie_word_embeddings=tied)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(made)
    assert from_config("tiny", made.to_dict()).parameters == model.num_parameters()


def test_the_count_is_that_of_the_shipped_architecture():
    model = tiny_model()
    assert from_config("tiny", model.config.to_dict()).parameters == model.num_parameters()


def test_the_shipped_weights_hold_as_many_bytes_as_their_config_says():
    shipped = read(checkpoint.SHIPPED)
    assert shipped.stored == shipped.weight_bytes(16) == 2 * shipped.parameters


@pytest.mark.parametrize("beyond", [(), EMBEDDINGS[:1], EMBEDDINGS])
def test_a_lora_has_as_many_weights_as_peft_gives_it(beyond):
    import peft

    made = Qwen3Config(**SIZES, head_dim=16)
    with torch.device("meta"):
        model = peft.get_peft_model(
            AutoModelForCausalLM.from_config(made), peft.LoraConfig(r=8, target_modules=[*TARGETS, *beyond])
        )
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert from_config("tiny", made.to_dict()).adapter(8, len(beyond)) == trained


def test_weights_quantized_to_four_bits_say_so_in_their_config():
    config = Qwen3Config(**SIZES).to_dict()
    assert from_config("m", config).bits == 16
    assert from_config("m", config | {"quantization_config": {"load_in_4bit": True}}).bits == 4


def write(folder, config, **files):
    (folder / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (folder / f"{name}.safetensors").write_bytes(content)
    return folder


def tensors(size: int, claimed: int) -> bytes:
    header = json.dumps({"__metadata__": {}, "a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, claimed]}})
    return struct.pack("<Q", len(header)) + header.encode() + bytes(size)


def test_the_bytes_of_all_files_are_read_from_their_headers(tmp_path):
    found = read(write(tmp_path, Qwen3Config(**SIZES).to_dict(), a=tensors(64, 64), b=tensors(32, 32)))
    assert found.stored == 96
    assert isinstance(found, Model)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tensors(10, 64), "bytes: its header says .* it was cut short; copy the weights again"),
        (b"\x05\x00", "no readable safetensors header"),
        (struct.pack("<Q", 1 << 60) + b"{", "no readable safetensors header"),
        (struct.pack("<Q", 2) + b"[]", "no readable safetensors header"),
    ],
)
def test_a_file_that_is_broken_is_refused_by_name(tmp_path, content, message):
    with pytest.raises(BadInput, match=rf"a\.safetensors.*{message}"):
        read(write(tmp_path, Qwen3Config(**SIZES).to_dict(), a=content))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "gpt_oss"}, "is a gpt_oss model: its memory is known of llama, mistral"),
        ({"model_type": "llama"}, "KeyError.*expected the config.json of a model"),
        ([], "expected the config.json of a model"),
    ],
)
def test_a_config_that_can_not_be_counted_is_refused_with_what_was_expected(tmp_path, config, message):
    with pytest.raises(BadInput, match=message):
        read(write(tmp_path, config))


def test_a_folder_without_a_config_and_a_name_that_is_not_described_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"no weights in .*: expected a directory with config\.json"):
        read(tmp_path)
    with pytest.raises(BadInput, match="--plan-model is 'gpt': expected one of qwen3-4b, qwen3-4b-16, llama-3-8b"):
        architecture.described("gpt")
