"""Fine-tuning: what is trained and on what, runs that are stopped anywhere and resumed, and what is seen of them."""

from __future__ import annotations

import io
import json
import math
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from solver.finetune import live_line, train
from solver.finetune.live_line import Figures, LiveLine
from solver.pretrain import checkpoint_file
from solver.pretrain.batches import ROUND
from solver.types import BadInput
from tests.support import finetuning
from tests.support.finetuning import SETTINGS
from tests.support.pretraining import small_pool, unequal

pytestmark = pytest.mark.usefixtures("one_thread")
FORMATS = ["text", "nvarc-16", "architects", "grid"]
FULL = replace(SETTINGS, full=True, rate=1e-3)


def stored(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / checkpoint_file.NAME)


@pytest.fixture(scope="module")
def undisturbed(weights_of: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The directories of two runs of four steps that nothing disturbed, by whether all weights were trained."""
    kept = {}
    for settings in (SETTINGS, FULL):
        kept[settings.full] = tmp_path_factory.mktemp("undisturbed")
        finetuning.run(weights_of["text"], settings, kept[settings.full])
    return kept


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("full", [False, True])
def test_a_model_of_each_format_learns_the_pool_by_a_lora_or_by_all_its_weights(weights_of, tmp_path, format, full):
    settings = replace(SETTINGS, steps=12, full=full, rate=1e-2 if full else 2e-2)
    run, status = finetuning.run(weights_of[format], settings, tmp_path, every=4)
    assert (run.done, status) == (12, 0)
    lines = [json.loads(line) for line in (tmp_path / train.CURVE).read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12]
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.1
    assert {"tokens", "tokens_per_second", "held_out_loss", "held_out_outputs_right"} <= lines[-1].keys()


def test_the_first_weights_are_those_on_disk_and_all_of_them_are_trained(weights_of, tmp_path):
    trainer = finetuning.trainer(weights_of["nvarc-16"], FULL, tmp_path)
    disk = load_file(weights_of["nvarc-16"] / "model.safetensors")
    current = train.TuningRun(trainer, finetuning.job(weights_of["nvarc-16"], FULL, tmp_path))
    assert unequal({n: t.bfloat16() for n, t in current.trained().items()}, disk) == []
    current.step(train.batch(small_pool(), current.job, 0)[0], 1e-2)
    moved = unequal({n: t.bfloat16() for n, t in current.trained().items()}, disk)
    assert {"model.embed_tokens.weight", "model.norm.weight"} <= set(moved)


@pytest.mark.parametrize("settings", [SETTINGS, FULL], ids=["lora", "full"])
@pytest.mark.parametrize("after", [1, 3])
def test_told_to_stop_a_run_leaves_a_checkpoint_and_resumed_ends_with_the_same_weights(
    weights_of, undisturbed, tmp_path, monkeypatch, settings, after
):
    step = train.TuningRun.step

    def stopped(self, row, rate):
        if self.done + 1 == after:
            signal.raise_signal(signal.SIGTERM)
        return step(self, row, rate)

    with monkeypatch.context() as patched:
        patched.setattr(train.TuningRun, "step", stopped)
        run, status = finetuning.run(weights_of["text"], settings, tmp_path)
    assert (run.done, status) == (after, 128 + signal.SIGTERM)
    finetuning.run(weights_of["text"], settings, tmp_path)
    assert unequal(stored(tmp_path), stored(undisturbed[settings.full])) == []
    assert checkpoint_file.counters(tmp_path) == checkpoint_file.counters(undisturbed[settings.full])


def test_in_float16_a_resumed_run_goes_on_with_the_loss_scale_as_it_was_and_ends_with_the_same_weights(
    weights_of, tmp_path
):
    def begun() -> train.TuningRun:
        trainer = finetuning.trainer(weights_of["text"], SETTINGS, tmp_path, dtype="float16")
        return train.TuningRun(trainer, finetuning.job(weights_of["text"], SETTINGS, tmp_path))

    current, resumed = begun(), begun()
    rows = train.batch(small_pool(), current.job, 0)
    for row in rows[:2]:
        current.step(row, SETTINGS.rate)
    current.save()
    resumed.load()
    scaled = current.trainer.scaler.state_dict()
    assert scaled["_growth_tracker"] == 2
    assert resumed.trainer.scaler.state_dict() == scaled
    for run in (current, resumed):
        run.step(rows[2], SETTINGS.rate)
    assert unequal(resumed.trained(), current.trained()) == []


def test_a_run_that_is_finished_measures_again_when_it_is_repeated(weights_of, tmp_path):
    first, _ = finetuning.run(weights_of["text"], SETTINGS, tmp_path)
    again, _ = finetuning.run(weights_of["text"], SETTINGS, tmp_path)
    assert again.figures == first.figures
    assert again.figures["held_out_loss"] > 0


def test_signals_are_handled_as_before_once_a_run_is_over(weights_of, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    finetuning.run(weights_of["nvarc-16"], replace(SETTINGS, steps=1), tmp_path)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_goes_on_where_more_steps_are_asked_for_and_nothing_else_differs(weights_of, undisturbed, tmp_path):
    longer = replace(SETTINGS, steps=6)
    finetuning.run(weights_of["text"], SETTINGS, tmp_path)
    run, _ = finetuning.run(weights_of["text"], longer, tmp_path)
    assert run.done == 6
    for settings, changes in ((replace(SETTINGS, seed=1), {}), (SETTINGS, {"origin": {"pool": "another"}})):
        with pytest.raises(BadInput, match=r"was made with (recipe|pool) .*: resume with the same, or use another"):
            finetuning.run(weights_of["text"], settings, tmp_path, **changes)


def test_a_checkpoint_that_is_none_is_refused_in_one_line(weights_of, tmp_path):
    (tmp_path / checkpoint_file.NAME).write_bytes(b"nothing")
    with pytest.raises(BadInput, match=r"is no checkpoint \(.*\); delete it to begin anew"):
        finetuning.run(weights_of["text"], SETTINGS, tmp_path)


def test_a_run_of_no_time_ends_before_its_first_step_and_one_of_much_takes_all_its_steps(weights_of, tmp_path):
    run, status = finetuning.run(weights_of["text"], SETTINGS, tmp_path, seconds=0.0)
    assert (run.done, status) == (0, 0)
    run, status = finetuning.run(weights_of["text"], SETTINGS, tmp_path, seconds=600.0)
    assert (run.done, status) == (4, 0)


def test_rounds_are_a_function_of_seed_and_number_and_rows_are_packed_in_the_tokens_of_a_step(weights_of, tmp_path):
    job = finetuning.job(weights_of["text"], SETTINGS, tmp_path)

    def drawn(number: int, seed: int = 0) -> list[list[list[int]]]:
        given = replace(job, settings=replace(SETTINGS, seed=seed))
        return [[e.tokens.tolist() for e in row] for row in train.batch(small_pool(), given, number)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(1) != drawn(1, seed=1)
    rows = drawn(1)
    assert len(rows) == ROUND
    filled = [sum(len(tokens) - 1 for tokens in row) for row in rows]
    assert max(filled) <= SETTINGS.tokens
    assert np.mean(filled) > 0.7 * SETTINGS.tokens  # of sequences that long, few fill a row


def test_a_loss_that_is_not_finite_ends_the_run_and_as_the_first_moves_nothing(weights_of, tmp_path):
    current = train.TuningRun(
        finetuning.trainer(weights_of["text"], SETTINGS, tmp_path),
        finetuning.job(weights_of["text"], SETTINGS, tmp_path),
    )
    before = current.trained()["base_model.model.model.layers.0.mlp.up_proj.lora_A.default.weight"].clone()
    current.trainer.causal.get_output_embeddings().weight.data.fill_(math.nan)
    with pytest.raises(FloatingPointError, match=r"step 1 is not finite: .* below 0.01; lower --rate"):
        current.step(train.batch(small_pool(), current.job, 0)[0], 1e-2)
    assert torch.equal(current.trained()["base_model.model.model.layers.0.mlp.up_proj.lora_A.default.weight"], before)


def test_the_live_line_says_speed_losses_exact_match_and_the_time_left():
    figures = Figures(3, 10, 1.25, 812.4, 95.0, {"held_out_loss": 1.5, "held_out_outputs_right": 0.125})
    stream = io.StringIO()
    with LiveLine(stream) as line:
        line.update(figures)  # no terminal: only reports are printed
        line.report(figures)
        line.report(replace(figures, held_out={}, left=math.inf))
    assert stream.getvalue().splitlines() == [
        "step 3 of 10, 812 tokens/s, loss 1.250, held-out loss 1.500, exact match 12.5 %, 1 min 35 s left",
        "step 3 of 10, 812 tokens/s, loss 1.250, time left not known yet",
    ]
    assert live_line.SECOND == 1.0
