"""Weights that are not what their manifest says are refused in one line that says what came and what to do."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from solver.checkpoint import MANIFEST, Checkpoint, check
from solver.tasks import BadInput

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


def refusal(directory: Path) -> str:
    """The message of the refusal, checked to be a single line."""
    with pytest.raises(BadInput) as refused:
        check(directory)
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


def test_a_missing_manifest_is_refused(weights: Path) -> None:
    (weights / MANIFEST).unlink()
    assert refusal(weights) == (
        f"{weights / MANIFEST}: no manifest of weights in the grid format: expected "
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
        {"format": "text", "sha256": {"model.safetensors": "00"}},
        {"format": "grid", "sha256": ["model.safetensors"]},
        {"format": "grid", "sha256": "model.safetensors"},
        {"format": "grid", "sha256": None},
    ],
)
def test_a_manifest_of_anything_else_is_refused(weights: Path, content: object) -> None:
    write_manifest(weights, content)
    assert refusal(weights).startswith(f"{weights / MANIFEST}: no manifest of weights in the grid format: ")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"format": "grid"'])
def test_a_manifest_that_is_no_json_is_refused(weights: Path, content: bytes) -> None:
    (weights / MANIFEST).write_bytes(content)
    assert refusal(weights).startswith(f"{weights / MANIFEST}: no manifest of weights in the grid format: ")


def test_a_hash_that_is_no_text_is_refused(weights: Path) -> None:
    hashes = {**{n: sha256(c) for n, c in FILES.items()}, "model.safetensors": 12}
    write_manifest(weights, {"format": "grid", "sha256": hashes})
    assert "differs from the manifest's 12: " in refusal(weights)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_that_would_be_loaded_but_is_not_in_the_manifest_is_refused_by_name(weights: Path, name: str) -> None:
    write_manifest(weights, {"format": "grid", "sha256": {n: sha256(c) for n, c in FILES.items() if n != name}})
    assert str(weights / name) in refusal(weights)
