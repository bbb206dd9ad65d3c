"""Which library trains on a machine, and with what: decided before anything heavy is imported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from solver.config.settings import TARGETS, TrainRecipe
from solver.model.checkpoint import SHIPPED
from solver.training import backends
from solver.training.backends import (
    QLORA,
    choose,
    environment,
    lora_settings,
    setup,
    unsloth_lora,
    unsloth_model,
)
from solver.types import BadInput

RECIPE = TrainRecipe()


@pytest.fixture
def weights(tmp_path):
    """A Qwen3's config with a tokenizer beside it."""

    def made(tokenizer: bool = True, **config) -> Path:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3", **config}))
        if tokenizer:
            (tmp_path / "tokenizer.json").write_text("{}")
        return tmp_path

    return made


@pytest.fixture
def unsloth_is_installed(monkeypatch):
    found = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: object()))
    monkeypatch.setattr(backends, "importlib", found)


@pytest.mark.parametrize(
    ("architecture", "cuda", "installed", "tokenizer", "library", "why"),
    [
        ("qwen3", False, True, True, "peft", "no CUDA GPU"),
        ("qwen3", True, False, True, "peft", "not installed"),
        ("grid_qwen3", True, True, True, "peft", "does not serve grid_qwen3"),
        ("qwen3", True, True, False, "peft", "no model without a tokenizer"),
        ("qwen3", True, True, True, "unsloth", "serves qwen3"),
        ("llama", True, True, True, "unsloth", "serves llama"),
    ],
)
def test_unsloth_is_chosen_where_gpu_package_architecture_and_tokenizer_are_there(
    architecture, cuda, installed, tokenizer, library, why
):
    chosen, reason = choose(architecture, cuda, installed, tokenizer)
    assert chosen == library
    assert why in reason


def test_a_machine_without_a_gpu_trains_as_it_always_did(weights, unsloth_is_installed):
    how = setup(weights(), RECIPE, 4096, cuda=False, dtype="float16", checkpointing=True)
    assert (how.library, how.dtype, how.checkpointing, how.pieces, how.scaled) == (
        "peft",
        "bfloat16",
        False,
        False,
        False,
    )
    assert how.note == "adapters are trained with peft: there is no CUDA GPU"


def test_a_gpu_trains_a_plain_model_with_unsloth_as_the_plan_says(weights, unsloth_is_installed):
    how = setup(weights(), RECIPE, 4096, True, "float16", True)
    assert (how.library, how.dtype, how.checkpointing, how.pieces, how.scaled) == (
        "unsloth",
        "float16",
        True,
        True,
        True,
    )
    assert not setup(weights(), RECIPE, 4096, True, "bfloat16").scaled


def test_the_shipped_weights_train_with_peft_and_their_own_loss_on_a_gpu_too(unsloth_is_installed):
    how = setup(SHIPPED, RECIPE, 4096, True)
    assert (how.library, how.pieces) == ("peft", False)


@pytest.mark.parametrize(
    ("config", "packed"),
    [
        ({"model_type": "llama"}, True),
        ({"model_type": "qwen2", "sliding_window": 4096}, True),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, True),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True}, False),
        ({"model_type": "mistral", "sliding_window": 4096}, False),
        ({"model_type": "mistral", "sliding_window": None}, True),
        ({"model_type": "mistral"}, False),
        ({"model_type": "gemma3_text"}, False),
    ],
)
def test_sequences_lie_end_to_end_where_every_token_sees_all_before_it(weights, config, packed):
    assert setup(weights(**config), RECIPE, 4096, cuda=False).packed == packed
    assert setup(SHIPPED, RECIPE, 4096, cuda=False).packed


def test_a_head_is_trained_with_peft_whatever_is_installed(weights, unsloth_is_installed):
    how = setup(weights(), replace(RECIPE, head=True), 4096, True)
    assert how.note == "adapters are trained with peft: a head alone is trained, no LoRA"


@pytest.mark.parametrize(
    ("beyond", "named"),
    [
        (("embed_tokens",), "embed_tokens"),
        (("lm_head",), "lm_head"),
        (("lm_head", "embed_tokens"), "embed_tokens and lm_head"),
    ],
)
def test_loras_on_embedding_or_head_are_trained_with_peft_whatever_is_installed(
    weights, unsloth_is_installed, beyond, named
):
    how = setup(weights(), replace(RECIPE, targets=(*TARGETS, *beyond)), 4096, True)
    assert how.note == (
        f"adapters are trained with peft: unsloth trains {named} whole, which the engine refuses to serve"
    )
    assert how.pieces


def test_loras_on_embedding_or_head_of_the_shipped_weights_are_refused_with_what_works():
    for target in ("embed_tokens", "lm_head"):
        with pytest.raises(BadInput) as caught:
            setup(SHIPPED, replace(RECIPE, targets=("q_proj", target)), 4096, False)
        assert str(caught.value) == (
            f"LoRA targets is ('q_proj', '{target}'): expected the seven projections alone, as embedding and head of "
            "grid-3m are put together from parts, on which there is no LoRA; or train.head (the variant head of "
            "ablate) for a head of each task's own"
        )


def test_weights_that_are_stored_in_four_bits_are_trained_in_four_bits(weights, unsloth_is_installed):
    assert setup(weights(quantization_config={"load_in_4bit": True}), RECIPE, 4096, True).bits == 4
    assert setup(weights(), replace(RECIPE, bits=4), 4096, True).bits == 4
    assert setup(weights(), RECIPE, 4096, True).bits == 16


def test_four_bits_are_asked_of_both_libraries_where_the_recipe_has_them(weights, unsloth_is_installed):
    path = weights()
    for bits in (4, 16):
        how = setup(path, replace(RECIPE, bits=bits), 4096, True)
        assert how.bits == bits
        assert unsloth_model(path, how)["load_in_4bit"] == (bits == 4)
    assert QLORA == {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}


def test_unsloth_is_told_the_context_the_bits_and_to_stay_offline(weights, unsloth_is_installed):
    """Left alone it cuts examples at 2,048 tokens, loads 4-bit weights and asks for a download by the model's name."""
    path = weights()
    given = unsloth_model(path, setup(path, RECIPE, 8192, True))
    assert given == {
        "model_name": str(path),
        "max_seq_length": 8192,
        "load_in_4bit": False,
        "use_gradient_checkpointing": False,
        "use_exact_model_name": True,
        "offload_embedding": False,
        "fast_inference": False,
        "local_files_only": True,
    }
    again = setup(path, replace(RECIPE, bits=4), 8192, True, checkpointing=True)
    assert unsloth_model(path, again)["load_in_4bit"] is True
    assert unsloth_model(path, again)["use_gradient_checkpointing"] == "unsloth"


def test_the_lora_is_the_same_for_both_libraries_and_by_default_on_no_embedding_or_head(weights, unsloth_is_installed):
    given = unsloth_lora(RECIPE, setup(weights(), RECIPE, 8192, True))
    assert given == {**lora_settings(RECIPE), "use_gradient_checkpointing": False}
    assert given["target_modules"] == list(TARGETS)


def test_the_environment_turns_off_telemetry_and_network_and_gives_each_process_its_own_cache(tmp_path):
    one, other = environment(tmp_path / "0"), environment(tmp_path / "1")
    assert one["UNSLOTH_COMPILE_LOCATION"] != other["UNSLOTH_COMPILE_LOCATION"]
    assert {n: one[n] for n in ("UNSLOTH_DISABLE_STATISTICS", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")} == {
        "UNSLOTH_DISABLE_STATISTICS": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }
    assert one["UNSLOTH_RETURN_HIDDEN_STATES"] == one["UNSLOTH_RETURN_LOGITS"] == "1"
