"""Weights written anew: the merge, what is trained in place, other files beside them, and what is never replaced."""

from __future__ import annotations

import os
import resource
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from solver.finetune import train, weight_files
from solver.model import checkpoint
from solver.types import BadInput
from tests.support import finetuning
from tests.support.finetuning import SETTINGS
from tests.support.pretraining import small_pool, unequal

pytestmark = pytest.mark.usefixtures("one_thread")


def trained(weights: Path, settings, directory: Path) -> train.TuningRun:
    """A run that took a few large steps."""
    current = train.TuningRun(
        finetuning.trainer(weights, settings, directory), finetuning.job(weights, settings, directory)
    )
    for row in train.batch(small_pool(), current.job, 0)[:4]:
        current.step(row, settings.rate)
    return current


def tensors(directory: Path) -> dict[str, torch.Tensor]:
    return {n: t for path in sorted(directory.glob("*.safetensors")) for n, t in load_file(path).items()}


@pytest.mark.parametrize("name", ["text", "architects", "nvarc-16", "grid"])
def test_merged_weights_say_what_the_trainer_says_with_its_adapter(weights_of, tmp_path, name):
    settings = replace(SETTINGS, rate=3e-2)
    current = trained(weights_of[name], settings, tmp_path / "run")
    changed = weight_files.changed_names(current.trainer.adapters.parameters, full=False)
    weight_files.require_names(weights_of[name], changed)
    merged = weight_files.merging(current.trained(), current.trainer.recipe)
    export = tmp_path / "export"
    weight_files.write(weights_of[name], export, merged, name, {})
    assert set(unequal(tensors(export), tensors(weights_of[name]))) == changed
    assert checkpoint.check(export).format == name
    row = train.batch(small_pool(), current.job, 1)[0]
    ids = torch.from_numpy(row[0].tokens).long()[None]
    places = torch.arange(ids.shape[1])
    own = AutoModelForCausalLM.from_pretrained(export, dtype=torch.bfloat16, local_files_only=True)
    before = AutoModelForCausalLM.from_pretrained(weights_of[name], dtype=torch.bfloat16, local_files_only=True)
    with torch.no_grad():
        logits = (current.trainer.logits(ids, places), own(ids).logits[0], before(ids).logits[0])
    said, again, base = (each.float().log_softmax(-1) for each in logits)
    assert (said - again).abs().mean() < 0.02 < (said - base).abs().mean()


def test_all_trained_weights_stand_in_the_place_of_the_old_ones_and_shards_stay(weights_of, tmp_path):
    settings = replace(SETTINGS, full=True)
    current = trained(weights_of["text"], settings, tmp_path / "run")
    masters = current.trained()
    export = tmp_path / "export"
    weight_files.write(weights_of["text"], export, weight_files.replacing(masters), "text", {})
    assert unequal(tensors(export), {n: t.bfloat16() for n, t in masters.items()}) == []
    kept = {path.name for path in weights_of["text"].iterdir()}
    assert {path.name for path in export.iterdir()} == kept | {checkpoint.MANIFEST, weight_files.ORIGIN}


def test_a_head_that_is_stored_beside_the_embedding_it_is_gets_the_embedding_s_trained_values():
    change = weight_files.replacing({"model.embed_tokens.weight": torch.ones(2, 2)})
    assert change("lm_head.weight", torch.zeros(2, 2, dtype=torch.bfloat16)).tolist() == [[1, 1], [1, 1]]
    assert change("other", torch.zeros(1)).tolist() == [0]


def test_without_changes_all_tensors_are_written_as_they_are(weights_of, tmp_path):
    weight_files.write(weights_of["text"], tmp_path / "export", weight_files.unchanged, "text", {})
    assert unequal(tensors(tmp_path / "export"), tensors(weights_of["text"])) == []


def test_an_earlier_export_is_replaced_whole_and_anything_else_is_refused(weights_of, tmp_path):
    export = tmp_path / "export"
    export.mkdir()
    for name in ("text", "nvarc-16"):
        weight_files.write(weights_of[name], export, weight_files.unchanged, name, {})
    assert checkpoint.check(export).format == "nvarc-16"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(BadInput, match=r"holds thesis.txt, which no fine-tuning wrote: expected an empty folder"):
        weight_files.write(weights_of["text"], tmp_path / "other", weight_files.unchanged, "text", {})
    with pytest.raises(BadInput, match="is a file: expected a folder"):
        weight_files.refuse_other_content(tmp_path / "other" / "thesis.txt", "--export")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("room", [4000, 20_000])  # bytes a file may have: less than the configuration, than a shard
def test_without_room_it_ends_in_one_line_and_leaves_an_earlier_export_and_nothing_else(weights_of, tmp_path, room):
    export = tmp_path / "export"
    weight_files.write(weights_of["nvarc-16"], export, weight_files.unchanged, "nvarc-16", {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        with pytest.raises(
            OSError, match=r"could not be written \(.*[Tt]oo large.*\): expected a folder to write to, with room"
        ) as ended:
            weight_files.write(weights_of["text"], export, weight_files.unchanged, "text", {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(ended.value)
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    assert checkpoint.check(export).format == "nvarc-16"


def test_all_files_may_be_read_by_whom_the_umask_lets(weights_of, tmp_path):
    before = os.umask(0o027)
    try:
        weight_files.write(weights_of["text"], tmp_path / "export", weight_files.unchanged, "text", {})
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "export").iterdir()} == {0o640}


def test_a_relative_path_to_the_folder_at_hand_is_written_to(weights_of, tmp_path, monkeypatch):
    (tmp_path / "export").mkdir()
    monkeypatch.chdir(tmp_path / "export")
    weight_files.write(weights_of["nvarc-16"], Path(), weight_files.unchanged, "nvarc-16", {})
    assert checkpoint.check(tmp_path / "export").format == "nvarc-16"


def test_weights_whose_tensors_have_other_names_than_the_model_s_are_refused(weights_of):
    with pytest.raises(BadInput, match=r"holds no tensor 'model.x.weight', which is to be trained: .* save_pretrained"):
        weight_files.require_names(weights_of["text"], {"model.x.weight"})
