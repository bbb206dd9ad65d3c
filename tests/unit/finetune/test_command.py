"""`python -m solver finetune` as a command: what it leaves, and one line with exit status 2 for each bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from solver.finetune import command, weight_files
from solver.model import checkpoint
from solver.pretrain import data
from solver.pretrain.data import Pool
from solver.types import Pair
from tests.support import checkpoints
from tests.support.fakes import random_task
from tests.support.pretraining import HELD_OUT, small_pool

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small pool, and one to measure by."""
    home = tmp_path_factory.mktemp("pools")
    data.save(small_pool(), home / "train.npz")
    data.save(HELD_OUT, home / "held.npz")
    return home


@pytest.fixture
def finetune(tmp_path, pools, capfd):
    """Run the command on these weights; (exit status, what it printed, what it said of errors)."""

    def run(weights: Path, *more: object, pool: Path | None = None) -> tuple[int, str, str]:
        flags = ["--weights", weights, "--export", tmp_path / "export", "--directory", tmp_path / "run"]
        flags += ["--pool", pool or pools / "train.npz", "--held-out", pools / "held.npz"]
        capfd.readouterr()
        status = command.main([str(flag) for flag in [*flags, *more]])
        return status, *capfd.readouterr()

    return run


def refused(answer: tuple[int, str, str], said: str) -> None:
    """The command ended with status 2 and one line that holds this."""
    status, _, errors = answer
    assert status == 2
    assert said in errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


@pytest.mark.slow
def test_a_language_model_is_trained_exported_with_its_origin_and_the_same_command_changes_nothing(
    finetune, weights_of, tmp_path
):
    flags = "--steps 2 --tokens 256 --rank 8 --every 1".split()
    status, printed, errors = finetune(weights_of["text"], *flags)
    assert (status, printed) == (0, f"wrote {tmp_path / 'export'}\n")
    assert "step 2 of 2" in errors
    known = checkpoint.check(tmp_path / "export")
    origin = json.loads((tmp_path / "export" / weight_files.ORIGIN).read_text())
    assert known.format == "text"
    assert origin["sha256"] == checkpoint.check(weights_of["text"]).sha256
    assert (origin["steps"], origin["settings"]["rank"], origin["rate"]) == (2, 8, 2e-3)
    assert finetune(weights_of["text"], *flags)[0] == 0
    assert checkpoint.check(tmp_path / "export").sha256 == known.sha256
    assert json.loads((tmp_path / "export" / weight_files.ORIGIN).read_text()) == origin


def test_no_steps_cut_a_vocabulary_alone_and_a_cut_model_is_trained_like_any(finetune, tmp_path):
    weights = checkpoints.chatml_qwen(tmp_path / "whole")
    export, cut = tmp_path / "export", tmp_path / "run" / "nvarc-16"
    assert finetune(weights, "--steps", 0, "--format", "nvarc-16")[0] == 0
    assert checkpoint.check(export).format == "nvarc-16"
    assert not (tmp_path / "run").exists()
    times = []
    for steps in (0, 1, 2):
        assert finetune(weights, "--format", "nvarc-16", "--steps", steps, "--tokens", 256, "--full")[0] == 0
        assert json.loads((export / "config.json").read_text())["vocab_size"] == 16
        origin = json.loads((export / weight_files.ORIGIN).read_text())
        assert (origin["weights"], origin["sha256"]) == (str(weights), checkpoint.check(weights).sha256)
        times += [(cut / "model.safetensors").stat().st_mtime_ns] if steps else []
    assert times[0] == times[1]  # cut once
    (cut / weight_files.ORIGIN).unlink()
    refused(
        finetune(weights, "--format", "nvarc-16", "--steps", 3, "--tokens", 256),
        f"{cut} holds config.json, which no fine-tuning wrote: expected an empty folder, one that is not there yet, or "
        "an earlier export; give another --directory",
    )


@pytest.mark.slow
def test_tasks_in_json_are_a_pool_and_a_ragged_grid_among_them_is_named(finetune, weights_of, tmp_path):
    task = random_task([(2, 3), (3, 3), (4, 2), (3, 5)], 7)
    pairs = [{"input": p.input.tolist(), "output": p.output.tolist()} for p in task.demonstrations]
    tasks = tmp_path / "tasks.json"
    tasks.write_text(json.dumps({"mine": {"train": pairs, "test": [{"input": [[1]]}]}}))
    assert finetune(weights_of["text"], "--steps", 1, "--tokens", 256, pool=tasks)[0] == 0
    pairs[1]["output"] = [[1, 2], [3]]
    tasks.write_text(json.dumps({"mine": {"train": pairs, "test": [{"input": [[1]]}]}}))
    refused(finetune(weights_of["text"], "--steps", 1, pool=tasks), "mine: train[1].output")


@pytest.mark.slow
def test_pools_with_held_out_or_evaluation_tasks_or_with_ragged_grids_are_refused(finetune, weights_of, tmp_path):
    from solver.pretrain import split

    path, held_out = tmp_path / "pool.npz", split.arc1_split().held_out[0]
    pairs = small_pool().pairs[0]
    data.save(Pool((held_out,), (pairs,), (0,)), path)
    refused(finetune(weights_of["text"], pool=path), f"holds the held-out task {held_out}")
    own = tuple(split.own_pairs(split.raw(split.ARC1)["train"][split.arc1_split().held_out[-1]]))
    data.save(Pool(("mine",), ((*pairs, *own),), (0,)), path)
    refused(finetune(weights_of["text"], pool=path), "holds the held-out task mine, or a pair of one in it")
    data.save(Pool((min(split.evaluation_ids()),), (pairs,), (0,)), path)
    refused(finetune(weights_of["text"], pool=path), "holds the evaluation task")
    import numpy as np

    with np.load(path) as stored:
        np.savez(path, **{**stored, "cells": stored["cells"][:-1]})
    refused(finetune(weights_of["text"], pool=path), "cells came, ")
    path.write_text("no pool")
    refused(finetune(weights_of["text"], pool=path), "is no pool")


def test_a_model_whose_context_holds_no_two_pairs_is_refused_before_it_is_loaded(finetune, tmp_path):
    weights = tmp_path / "short"
    weights.mkdir()
    size = checkpoints.architects_tokenizer(weights)
    checkpoints.random_weights(weights, "llama", size, max_position_embeddings=16, bos_token_id=0, eos_token_id=1)
    refused(finetune(weights), "a sequence has 16 tokens at most, and the shortest two pairs take ")


def test_a_pool_in_which_no_task_has_two_pairs_is_refused(finetune, weights_of, tmp_path):
    path, pair = tmp_path / "pool.npz", small_pool().pairs[0][0]
    assert isinstance(pair, Pair)
    data.save(Pool(("a",), ((pair,),), (0,)), path)
    refused(finetune(weights_of["text"], pool=path), "no task of the pool has two pairs")


@pytest.mark.parametrize("folder", [False, True])
def test_a_gguf_is_refused_with_what_to_do_instead(finetune, tmp_path, folder):
    path = tmp_path / "gguf" / "model.Q4_1.gguf"
    path.parent.mkdir()
    path.write_bytes(b"GGUF")
    refused(finetune(path.parent if folder else path), "is a GGUF file, which neither trainer nor engine here reads")


def test_pickled_weights_are_refused_unread(finetune, weights_of, tmp_path):
    pickled = shutil.copytree(weights_of["architects"], tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    refused(finetune(pickled), "pytorch_model.bin is pickled, and reading it can run any program")


def test_quantized_weights_are_refused_as_nothing_can_be_merged_into_them(finetune, weights_of, tmp_path):
    quantized = shutil.copytree(weights_of["architects"], tmp_path / "quantized")
    config = json.loads((quantized / "config.json").read_text())
    (quantized / "config.json").write_text(json.dumps({**config, "quantization_config": {"load_in_4bit": True}}))
    refused(finetune(quantized), "is quantized, and what is trained cannot be merged into that")


@pytest.mark.parametrize(
    ("words", "missing"), [([*"ABCDEFGHIJKLMNO", *"012345678", "\n"], "9"), ([*"IO", *"0123456789"], "newline")]
)
def test_a_vocabulary_without_a_digit_or_the_newline_as_one_token_is_refused_by_what_is_missing(
    finetune, tmp_path, words, missing
):
    weights = tmp_path / "wordy"
    weights.mkdir()
    joined = [f"{tens}{ones}" for tens in range(10) for ones in range(10)]  # digits that are joined are no cells
    size = checkpoints.words_tokenizer(weights, ["<s>", "</s>", *words, *joined], eos_token="</s>")
    checkpoints.random_weights(weights, "llama", size, bos_token_id=0, eos_token_id=1)
    refused(finetune(weights), f"no single token for {missing!r}: expected one; give another --format")


def test_a_folder_with_other_content_is_left_as_it_is(finetune, weights_of, tmp_path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "thesis.txt").touch()
    refused(finetune(weights_of["text"]), "holds thesis.txt, which no fine-tuning wrote")
    assert not (tmp_path / "run").exists()


def test_weights_are_not_exported_into_their_own_folder(finetune, weights_of, tmp_path):
    own = shutil.copytree(weights_of["architects"], tmp_path / "export")
    refused(
        finetune(own), f"--export {own} is the folder of --weights, {own}: expected each outside of the other; give"
    )
    (own / weight_files.ORIGIN).write_text("{}")
    refused(finetune(own), "is the folder of --weights")


@pytest.mark.parametrize(
    ("export", "directory", "said"),
    [
        ("run", "run", "--export run is the folder of --directory, run: expected each outside of the other; give"),
        (".", "run", "--export . has in it the folder of --directory, run"),
        ("run/../run/export", "run", "--export run/../run/export lies in the folder of --directory, run"),
        ("base/tuned", "run", "--export base/tuned lies in the folder of --weights, base"),
        ("export", "base", "--directory base is the folder of --weights, base"),
    ],
)
def test_export_run_and_weights_lie_in_folders_apart(
    finetune, weights_of, tmp_path, monkeypatch, export, directory, said
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(weights_of["nvarc-16"], "base")
    refused(finetune(Path("base"), "--export", export, "--directory", directory), said)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_weights_under_other_names_than_their_model_s_are_refused_before_training(finetune, weights_of, tmp_path):
    other = shutil.copytree(weights_of["nvarc-16"], tmp_path / "other")
    tensors = load_file(other / "model.safetensors")
    save_file({n.removeprefix("model."): t for n, t in tensors.items()}, other / "model.safetensors", {"format": "pt"})
    for more in ([], ["--full"]):
        refused(finetune(other, "--steps", 1, "--tokens", 256, *more), "holds no tensor 'model.")
    assert not (tmp_path / "run" / "curve.jsonl").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--rank 7", "LoRA rank is 7: expected one of 8"),
        ("--rate 2", "--rate is 2.0: expected a number between 0 and 1"),
        ("--steps -1", "--steps is -1: expected 0 or more"),
        ("--tokens 0", "--tokens is 0: expected at least 1"),
        ("--minutes 0", "--minutes is 0: expected more than 0"),
        ("--every 0", "--every is 0: expected at least 1"),
        ("--seed -1", "--seed is -1: expected 0 to"),
        ("--transform 2", "--transform is 2.0: expected a share from 0 to 1"),
        ("--format words", "--format is 'words': expected one of grid, nvarc-16, architects, text"),
        ("--pairs 3", "--pairs came with --pool"),
    ],
)
def test_flags_that_make_no_sense_end_with_one_line(finetune, weights_of, flags, said):
    refused(finetune(weights_of["text"], *flags.split()), said)
