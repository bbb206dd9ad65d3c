"""Weights that are not what they say are refused in one line that says what to do; the others are recognised."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from solver.model.checkpoint import MANIFEST, Checkpoint, check
from solver.tokens import registry
from solver.types import BadInput
from tests.support.checkpoints import architects_tokenizer, byte_level, chat_tokenizer, words_tokenizer, write

FILES = {"config.json": b"{}", "model.safetensors": b"many bytes", "small.safetensors": b"few"}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A directory that `check` accepts."""
    directory = tmp_path / "weights"
    directory.mkdir()
    for name, content in FILES.items():
        (directory / name).write_bytes(content)
    write_manifest(directory, {"format": "grid", "sha256": {n: sha256(c) for n, c in FILES.items()}})
    return directory


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_manifest(directory: Path, content: object) -> None:
    (directory / MANIFEST).write_text(json.dumps(content))


def refusal(directory: Path, given: str | None = None) -> str:
    """The message of the refusal, checked to be a single line."""
    with pytest.raises(BadInput) as refused:
        check(directory, given)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_weights_that_are_what_they_say_are_accepted_under_the_hash_of_the_largest_file(weights: Path) -> None:
    assert check(weights) == Checkpoint(
        weights,
        "grid",
        sha256(FILES["model.safetensors"]),
        sum(len(data) for name, data in FILES.items() if name.endswith(".safetensors")),
    )


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nowhere")
    assert message == (
        f"no weights in {tmp_path / 'nowhere'}: expected a directory with config.json and model.safetensors"
    )


def test_a_file_in_the_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path / "file").startswith(f"no weights in {tmp_path / 'file'}: ")


def test_a_directory_without_a_configuration_is_refused(weights: Path) -> None:
    (weights / "config.json").unlink()
    assert refusal(weights).startswith(f"no weights in {weights}: ")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_changed_by_one_byte_is_refused_by_both_hashes(weights: Path, name: str) -> None:
    changed = FILES[name] + b"!"
    (weights / name).write_bytes(changed)
    assert refusal(weights) == (
        f"{weights / name}: sha256 {sha256(changed)[:12]} differs from the manifest's {sha256(FILES[name])[:12]}: "
        "the file was changed or cut short; copy the weights again"
    )


def test_a_file_cut_short_is_refused(weights: Path) -> None:
    (weights / "model.safetensors").write_bytes(FILES["model.safetensors"][:-1])
    assert "was changed or cut short" in refusal(weights)


def test_a_missing_file_is_refused_by_name(weights: Path) -> None:
    (weights / "model.safetensors").unlink()
    message = refusal(weights)
    assert message.startswith(f"{weights / 'model.safetensors'}: sha256 no such file differs from the manifest's")


@pytest.mark.parametrize("given", [None, "grid", "text"])
def test_a_missing_manifest_of_the_projects_own_weights_is_refused(weights: Path, given: str | None) -> None:
    (weights / MANIFEST).unlink()
    (weights / "config.json").write_text('{"model_type": "grid_qwen3"}')
    assert refusal(weights, given) == (
        f"{weights / MANIFEST}: no manifest of weights in a known format (grid, nvarc-16, architects, text): expected "
        '{"format": "grid", "sha256": {file: hash}} with a .safetensors file in it; use the shipped weights'
    )


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        "grid",
        {},
        {"format": "grid"},
        {"format": "grid", "sha256": {}},
        {"format": "grid", "sha256": {"config.json": "00"}},
        {"format": "words", "sha256": {"model.safetensors": "00"}},
        {"format": "grid", "sha256": ["model.safetensors"]},
        {"format": "grid", "sha256": "model.safetensors"},
        {"format": "grid", "sha256": None},
    ],
)
def test_a_manifest_of_anything_else_is_refused(weights: Path, content: object) -> None:
    write_manifest(weights, content)
    assert refusal(weights).startswith(f"{weights / MANIFEST}: no manifest of weights in a known format ")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"format": "grid"'])
def test_a_manifest_that_is_no_json_is_refused(weights: Path, content: bytes) -> None:
    (weights / MANIFEST).write_bytes(content)
    assert refusal(weights).startswith(f"{weights / MANIFEST}: no manifest of weights in a known format ")


def test_a_hash_that_is_no_text_is_refused(weights: Path) -> None:
    hashes = {**{n: sha256(c) for n, c in FILES.items()}, "model.safetensors": 12}
    write_manifest(weights, {"format": "grid", "sha256": hashes})
    assert "differs from the manifest's 12: " in refusal(weights)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_that_would_be_loaded_but_is_not_in_the_manifest_is_refused_by_name(weights: Path, name: str) -> None:
    write_manifest(weights, {"format": "grid", "sha256": {n: sha256(c) for n, c in FILES.items() if n != name}})
    assert str(weights / name) in refusal(weights)


# ---- weights from elsewhere ------------------------------------------------------------------------------------------

QWEN = {"model_type": "qwen3", "vocab_size": 16}
LLAMA = {"model_type": "llama", "vocab_size": 300}


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A directory without a manifest; what it holds is no model, but nothing here loads one."""
    directory = tmp_path / "foreign"
    directory.mkdir()
    (directory / "model.safetensors").write_bytes(b"numbers")
    write(directory / "config.json", QWEN)
    return directory


def test_a_qwen_of_sixteen_tokens_speaks_nvarcs_format_and_needs_no_tokenizer(foreign: Path) -> None:
    found = check(foreign)
    assert (found.format, found.bytes) == ("nvarc-16", 7)
    assert registry.load(found.format, foreign).name == "nvarc-16"


def test_a_small_vocabulary_of_digits_newline_i_and_o_is_architects_and_any_other_is_text(foreign: Path) -> None:
    write(foreign / "config.json", LLAMA)
    architects_tokenizer(foreign)
    assert check(foreign).format == "architects"
    byte_level(foreign, ["</s>"], eos_token="</s>")
    assert check(foreign).format == "text"
    words_tokenizer(foreign, ["</s>", *"Input:Output:0123456789", "\n"], eos_token="</s>")
    assert registry.recognise(foreign) == "architects"
    words_tokenizer(foreign, ["</s>", *"0123456789", "\n"], eos_token="</s>")
    assert registry.recognise(foreign) == "text"


def test_the_format_can_be_named_where_it_would_be_recognised_as_another(foreign: Path) -> None:
    write(foreign / "config.json", LLAMA)
    architects_tokenizer(foreign)
    assert check(foreign, "text").format == "text"
    chat_tokenizer(foreign)
    assert check(foreign).format == "text"
    assert check(foreign, "architects").format == "architects"


def test_the_languages_part_of_a_larger_configuration_counts(foreign: Path) -> None:
    write(foreign / "config.json", {"model_type": "seeing", "text_config": QWEN | {"max_position_embeddings": 4096}})
    assert check(foreign).format == "nvarc-16"
    assert registry.positions(foreign) == 4096


def test_files_that_tell_no_format_are_refused_with_what_to_do(foreign: Path) -> None:
    write(foreign / "config.json", LLAMA)
    assert refusal(foreign) == (
        f"{foreign}: no tokenizer.json, and config.json (model_type 'llama', vocab_size 300) is of no format that does "
        "without: put it there, or give --format"
    )


def test_an_unknown_format_is_refused_with_those_there_are(foreign: Path) -> None:
    expected = "format is 'tokens': expected one of grid, nvarc-16, architects, text"
    assert refusal(foreign, "tokens") == expected


def test_a_format_that_writes_ids_the_model_does_not_have_is_refused(foreign: Path) -> None:
    architects_tokenizer(foreign)
    assert refusal(foreign, "architects") == (
        f"{foreign}: the architects format writes ids up to 38, but config.json has vocab_size 16: expected a "
        "tokenizer and a format that belong to these weights"
    )


def test_nvarcs_format_is_refused_where_the_tokenizer_numbers_digits_otherwise(foreign: Path) -> None:
    words_tokenizer(foreign, [*"0123456789", "\n", "user", "assistant", "end", "start", "stop"])
    assert check(foreign).format == "nvarc-16"
    words_tokenizer(foreign, ["\n", *"0123456789", "user", "assistant", "end", "start", "stop"])
    registry.load.cache_clear()
    assert "digits and newline are (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0): expected 0 to 10" in refusal(foreign)


def test_a_format_other_than_the_manifests_is_refused(weights: Path) -> None:
    assert check(weights, "grid").format == "grid"
    assert refusal(weights, "text") == (f"--format is 'text': {weights / MANIFEST} says 'grid'; leave the flag out")


def test_a_manifest_may_name_another_format_and_its_hashes_hold(foreign: Path) -> None:
    hashes = {name: sha256((foreign / name).read_bytes()) for name in ("config.json", "model.safetensors")}
    write_manifest(foreign, {"format": "nvarc-16", "sha256": hashes})
    assert check(foreign) == Checkpoint(foreign, "nvarc-16", hashes["model.safetensors"], 7)
    (foreign / "model.safetensors").write_bytes(b"others")
    assert "differs from the manifest's" in refusal(foreign)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer_config.json"])
def test_the_hash_changes_with_every_file_that_decides_what_the_weights_say(foreign: Path, name: str) -> None:
    before = check(foreign).sha256
    changed = json.dumps(QWEN | {"rope_theta": 7}) if name == "config.json" else "{}"
    (foreign / name).write_text(changed)
    assert check(foreign).sha256 != before
    assert len(before) == 64


def test_shards_count_together_and_a_missing_one_is_refused_by_name(foreign: Path) -> None:
    (foreign / "model.safetensors").unlink()
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name in names:
        (foreign / name).write_bytes(name.encode())
    write(foreign / "model.safetensors.index.json", {"weight_map": dict(zip("ab", names, strict=True))})
    assert check(foreign).bytes == sum(map(len, names))
    (foreign / names[1]).unlink()
    assert refusal(foreign) == (
        f"{foreign / names[1]} is missing, but model.safetensors.index.json names it: copy the weights again"
    )


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": 3}'])
def test_an_index_of_shards_that_is_none_is_refused(foreign: Path, content: str) -> None:
    (foreign / "model.safetensors.index.json").write_text(content)
    assert "expected an index of shards with a weight_map" in refusal(foreign)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt", "model.ckpt"])
def test_pickled_weights_are_refused_with_what_to_do(foreign: Path, name: str) -> None:
    (foreign / "model.safetensors").rename(foreign / name)
    assert refusal(foreign) == (
        f"{foreign / name} is pickled, and reading it can run any program: expected safetensors; save the weights "
        "again with transformers' save_pretrained"
    )


def test_a_directory_without_tensors_is_refused(foreign: Path) -> None:
    (foreign / "model.safetensors").unlink()
    assert refusal(foreign).startswith(f"no weights in {foreign}: expected config.json and model.safetensors")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"text_config": 3}'])
def test_a_configuration_that_is_none_is_refused(foreign: Path, content: str) -> None:
    (foreign / "config.json").write_text(content)
    assert refusal(foreign) == f"{foreign / 'config.json'}: expected a model's configuration, one JSON object"
