"""The cut to NVARC's 16 tokens, on a Qwen3 of the real architecture with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from solver.finetune import vocabulary
from solver.model import checkpoint
from solver.tokens.rows import NVARC
from solver.types import BadInput
from tests.support import checkpoints


def loaded(directory: Path):
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, local_files_only=True).eval()


@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_log_probabilities_over_the_kept_tokens_are_the_whole_model_s_renormalised(tmp_path, tied):
    weights, cut = checkpoints.chatml_qwen(tmp_path / "whole", tied), tmp_path / "cut"
    ids = torch.tensor(vocabulary.kept_ids(weights))
    vocabulary.cut(weights, cut, "--export", {})
    assert AutoModelForCausalLM.from_pretrained(cut).config.vocab_size == 16
    spoken = torch.randint(0, 16, (2, 60), generator=torch.Generator().manual_seed(0))
    before = loaded(weights)(ids[spoken]).logits[..., ids].log_softmax(-1)
    after = loaded(cut)(spoken).logits.log_softmax(-1)
    assert torch.allclose(before, after, atol=1e-5)
    assert before.std() > 0.01


def test_what_is_cut_is_recognised_and_its_tokenizer_writes_the_format(tmp_path):
    cut = tmp_path / "cut"
    vocabulary.cut(checkpoints.chatml_qwen(tmp_path / "whole"), cut, "--export", {})
    assert checkpoint.check(cut).format == "nvarc-16"
    (cut / checkpoint.MANIFEST).unlink()
    assert checkpoint.check(cut).format == "nvarc-16"
    tokenizer = AutoTokenizer.from_pretrained(cut, local_files_only=True)
    said = "<|im_start|>user\n12\n30<|im_end|><|im_start|>assistant\n4<|im_end|>"
    ids = tokenizer.encode(said, add_special_tokens=False)
    assert ids == [*NVARC.opening, 1, 2, NVARC.newline, 3, 0, *NVARC.answer, 4, NVARC.end]
    assert tokenizer.decode(ids) == said
    chat = [{"role": "user", "content": "12\n30"}, {"role": "assistant", "content": "4"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False) == said


def test_a_tokenizer_without_one_of_the_sixteen_tokens_is_refused_by_name(tmp_path):
    weights = checkpoints.text(tmp_path / "weights")  # joins nothing, so it has no token for a role
    with pytest.raises(BadInput, match=r"no single token for 'user', which the nvarc-16 format has: .* --format"):
        vocabulary.cut(weights, tmp_path / "cut", "--export", {})
    assert not (tmp_path / "cut").exists()


def test_quantized_weights_are_not_cut(tmp_path):
    weights = checkpoints.chatml_qwen(tmp_path / "weights")
    config = json.loads((weights / "config.json").read_text())
    (weights / "config.json").write_text(json.dumps({**config, "quantization_config": {"load_in_4bit": True}}))
    with pytest.raises(BadInput, match=r"config\.json: quantized, .*: expected a plain one in 16 or 32 bits"):
        vocabulary.cut(weights, tmp_path / "cut", "--export", {})
