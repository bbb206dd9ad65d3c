"""A directory whose model cannot write programs is refused in one line, before anything is loaded."""

from __future__ import annotations

import json

import pytest

from solver.induction.model_files import SPELT, check_model
from solver.types import BadInput


@pytest.fixture
def model(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    return tmp_path


def test_a_directory_without_weights_or_tokenizer_is_refused(model):
    check_model(model)
    (model / "tokenizer.json").unlink()
    with pytest.raises(BadInput, match="no safetensors or no tokenizer"):
        check_model(model)
    (model / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="no safetensors or no tokenizer"):
        check_model(model)
    (model / "config.json").unlink()
    with pytest.raises(BadInput, match=r"config\.json cannot be read"):
        check_model(model)


def test_pickled_weights_and_a_gguf_file_are_refused(model):
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").touch()
    with pytest.raises(BadInput, match=r"pytorch_model\.bin is pickled, and reading it can run any program"):
        check_model(model)
    (model / "coder.Q4_1.gguf").touch()
    for path in (model, model / "coder.Q4_1.gguf"):
        with pytest.raises(BadInput, match=r"coder\.Q4_1\.gguf is a GGUF file"):
            check_model(path)


def test_a_model_with_code_of_its_own_is_refused(model):
    (model / "config.json").write_text('{"auto_map": {"AutoModel": "evil.Model"}}')
    with pytest.raises(BadInput, match="brings code of its own"):
        check_model(model)


@pytest.mark.parametrize("listed", [False, True])
def test_a_vocabulary_without_digits_or_letters_is_refused(model, listed):
    def spell(tokens):
        vocabulary = [[token, -1.0] for token in tokens] if listed else {token: n for n, token in enumerate(tokens)}
        (model / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))

    spell(SPELT)
    check_model(model)
    spell(character for character in SPELT if not character.isdigit())
    with pytest.raises(BadInput, match=r"has no token for 0 1 2 3 4 5 6 7 8 9, so that it cannot write programs"):
        check_model(model)
    spell("0123456789\n")  # cut to what grids need
    with pytest.raises(BadInput, match=r"has no token for a b c .*: expected the vocabulary of a language model"):
        check_model(model)
