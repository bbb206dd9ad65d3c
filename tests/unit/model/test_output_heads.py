"""Heads and the engine's own: which is on, and that nothing is left of one that was taken off."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from solver.model import output_heads
from solver.model.output_heads import Heads, by_head, head_of
from solver.types import Adapter

OUTPUTS, WIDTH, PADDED = 5, 4, 8


class Engine:
    """As much of vLLM's `LLM` as changing heads needs; `asked`: how often the model was reached for."""

    def __init__(self, rows: int = OUTPUTS):
        torch.manual_seed(0)
        self.model, self.asked = SimpleNamespace(lm_head=nn.Linear(WIDTH, rows, bias=False).to(torch.bfloat16)), 0

    @property
    def weight(self) -> Tensor:
        return self.model.lm_head.weight.detach().clone()

    def apply_model(self, function):
        self.asked += 1
        return [function(self.model)]


def head(folder: Path, name: str, value: float = 1.0) -> Adapter:
    output_heads.save(torch.full((OUTPUTS, WIDTH), value, dtype=torch.bfloat16), folder / name)
    return Adapter(name, folder / name)


def lora(folder: Path, name: str = "lora") -> Adapter:
    (folder / name).mkdir()
    (folder / name / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8}))
    return Adapter(name, folder / name)


def test_a_head_serves_until_another_does_and_the_own_one_comes_back_bit_by_bit(tmp_path):
    engine = Engine()
    worn, own = Heads(engine), engine.weight
    address = engine.model.lm_head.weight.data_ptr()
    for name, value in (("a", 2.0), ("b", 3.0), ("a", 2.0)):
        worn.activate(made := head(tmp_path, name, value))
        assert worn.on == made
        assert (engine.weight == value).all()
    worn.activate(None)
    assert worn.on is None
    assert torch.equal(engine.weight, own)
    assert engine.model.lm_head.weight.data_ptr() == address  # in place: captured graphs hold on to it


def test_an_engine_without_heads_is_never_reached_for():
    engine = Engine()
    Heads(engine).activate(None)
    assert engine.asked == 0


def test_a_head_trained_again_under_its_name_takes_the_place_of_the_first(tmp_path):
    engine = Engine()
    worn = Heads(engine)
    worn.activate(head(tmp_path, "a", 2.0))
    worn.activate(head(tmp_path, "a", 3.0))
    assert (engine.weight == 3.0).all()


def test_rows_the_engine_padded_its_vocabulary_with_stay_as_they_are(tmp_path):
    engine = Engine(PADDED)
    own, worn = engine.weight, Heads(engine)
    worn.activate(head(tmp_path, "a", 2.0))
    assert (engine.weight[:OUTPUTS] == 2.0).all()
    assert torch.equal(engine.weight[OUTPUTS:], own[OUTPUTS:])
    worn.activate(None)
    assert torch.equal(engine.weight, own)


def test_a_layer_that_multiplies_with_a_copy_of_its_weight_makes_it_again(tmp_path):
    engine = Engine()
    seen: list[float] = []
    process = SimpleNamespace(
        process_weights_after_loading=lambda layer: seen.append(float(layer.weight.detach()[0, 0]))
    )
    engine.model.lm_head.quant_method = process
    worn, own = Heads(engine), float(engine.weight[0, 0])
    worn.activate(head(tmp_path, "a", 2.0))
    worn.activate(None)
    assert seen == [2.0, own]


def test_a_head_that_could_not_be_put_on_is_taken_off_again(tmp_path):
    engine = Engine()
    worn, own = Heads(engine), engine.weight
    made = head(tmp_path, "a")
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(Exception, match="header"):
        worn.activate(made)
    output_heads.save(torch.ones(OUTPUTS, WIDTH + 1), tmp_path / "a")  # of a model of another width
    with pytest.raises(RuntimeError, match="size"):
        worn.activate(made)
    worn.activate(None)
    assert torch.equal(engine.weight, own)


def test_the_file_of_a_head_holds_its_matrix_alone(tmp_path):
    made = head(tmp_path, "a", 2.0)
    tensors = load_file(made.path / "adapter_model.safetensors")
    assert [*tensors] == ["lm_head.weight"]
    assert head_of(made) == made


def test_requests_are_put_together_by_their_heads_and_loras_have_the_base_models(tmp_path):
    a, b, other = head(tmp_path, "a"), head(tmp_path, "b"), lora(tmp_path)
    found = by_head([b, None, a, other, b, None])
    assert list(found.items()) == [(b, [0, 4]), (None, [1, 3, 5]), (a, [2])]
