"""The learning rate follows the model unless one is asked for."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from solver.cli import parse
from solver.model import checkpoint
from solver.model.architecture import LLAMA_3_8B, QWEN3_4B, Model
from solver.model.checkpoint import SHIPPED, Checkpoint
from solver.runtime.prepare import prepare

NEMO = replace(LLAMA_3_8B, kind="mistral")
SMALL = Model("smollm2", "llama", 30, 576, 9, 3, 64, 1536, 49152, tied=True)


def planned_rate(*flags: str) -> float:
    return prepare(parse(["--limit", "1", "--devices", "cpu:1", *flags]), lambda name: {}).config.train.rate


@pytest.mark.parametrize(
    ("model", "rate"), [(QWEN3_4B, 5e-5), (LLAMA_3_8B, 5e-5), (NEMO, 1e-4), (SMALL, 2e-4)], ids=lambda case: str(case)
)
def test_a_large_models_rate_is_that_of_who_trained_one_like_it(model, rate, tmp_path, monkeypatch):
    names = {"layers": "num_hidden_layers", "hidden": "hidden_size", "heads": "num_attention_heads"}
    names |= {"key_heads": "num_key_value_heads", "intermediate": "intermediate_size", "vocabulary": "vocab_size"}
    names |= {"kind": "model_type", "tied": "tie_word_embeddings", "head_dim": "head_dim"}
    config = {names[name]: value for name, value in asdict(model).items() if name in names}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(checkpoint, "check", lambda *_: Checkpoint(tmp_path, "text", "0" * 64, 1))
    assert planned_rate("--weights", str(tmp_path)) == rate
    assert planned_rate("--weights", str(tmp_path), "--rate", "3e-4") == 3e-4


def test_an_architecture_that_is_not_counted_goes_by_its_files_size(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "phi"}))
    for size, rate in ((1 << 20, 2e-3), (8 << 30, 5e-5)):
        monkeypatch.setattr(checkpoint, "check", lambda *_, size=size: Checkpoint(tmp_path, "text", "0" * 64, size))
        assert planned_rate("--weights", str(tmp_path)) == rate


def test_the_shipped_weights_keep_the_rate_that_was_measured_on_them():
    assert planned_rate("--weights", str(SHIPPED)) == 1e-3


@pytest.mark.parametrize("rate", ["0", "1"])
def test_a_rate_out_of_range_is_refused_in_one_line(rate, capsys):
    with pytest.raises(SystemExit):
        parse(["--rate", rate])
    assert f"learning rate is {float(rate)}: expected a number between 0 and 1" in capsys.readouterr().err
