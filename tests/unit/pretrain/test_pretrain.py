"""Pretraining: batches that can be made again, steps, averages, and what is written in the end."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, count, islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from solver.model import checkpoint, grid_qwen3
from solver.pretrain import __main__ as pretrain
from solver.pretrain import ahead, batches, curve, data, losses, train
from solver.pretrain.__main__ import PRESETS, parse, recipe_of
from solver.pretrain.batches import ROUND, one_round
from solver.pretrain.data import Pool
from solver.pretrain.export import export
from solver.pretrain.gauge import held_out_sequences
from solver.pretrain.recipe import Recipe, rate
from solver.pretrain.rows import Row, places
from solver.pretrain.train import Training
from solver.tokens.grid import GRID, SPECIALS, VOCABULARY, encoded_length
from solver.types import BadInput, Pair
from tests.support.fakes import pairs_of, random_task
from tests.support.pretraining import HELD_OUT, TINY, listed, state, unequal

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_batches_of_a_round_are_the_same_whenever_they_are_made(pool: Pool) -> None:
    seeded = replace(TINY, seed=7)
    assert listed(one_round(pool, seeded, 2)) == listed(one_round(pool, seeded, 2))


def test_rounds_and_seeds_differ(pool: Pool) -> None:
    which = ((7, 2), (7, 3), (8, 2))
    rounds = [str(listed(one_round(pool, replace(TINY, seed=seed), number))) for seed, number in which]
    assert len(set(rounds)) == 3


@pytest.mark.parametrize(("tokens", "workers"), [(2048, 1), (4096, 2), (8192, 2)])
def test_a_round_has_exactly_its_steps_and_rows_however_long_the_sequences(
    large_pool: Pool, tokens: int, workers: int
) -> None:
    """A round with fewer batches would leave a run waiting for steps that never come."""
    recipe = Recipe(tokens=tokens, workers=workers)
    for number in range(4):
        steps = one_round(large_pool, recipe, number)
        assert len(steps) == ROUND
        for batch in steps:
            assert len(batch) * recipe.row == tokens
            assert len(batch) % workers == 0, "workers get unequal shares"
            assert all(0 < sum(map(places, row)) <= recipe.row for row in batch)


def test_no_sequence_is_longer_than_a_row_nor_than_any_may_be(large_pool: Pool) -> None:
    for row in (512, 2048):
        drawn = chain.from_iterable(one_round(large_pool, Recipe(tokens=2048, row=row, workers=1), 0))
        longest = max(example.tokens.size for example in chain.from_iterable(drawn))
        assert longest <= min(row, max(n for n, _ in batches.LENGTHS))


def test_sequences_are_whole_pairs_with_the_loss_on_every_output_after_the_first(pool: Pool) -> None:
    for example in chain.from_iterable(chain.from_iterable(one_round(pool, replace(TINY, tokens=512), 0)[:4])):
        own = example.tokens.tolist()
        pairs = pairs_of(own)
        assert 2 <= len(pairs) <= batches.PAIRS[1]
        assert GRID.encode_pairs(pairs)[0].tolist() == own
        assert int(example.loss.sum()) == sum(encoded_length(p.output) + 1 for p in pairs[1:])


def test_a_batch_in_parts_moves_the_masters_as_the_whole_batch_does(pool: Pool) -> None:
    whole, halves = Training(TINY), Training(TINY)
    batch = one_round(pool, replace(TINY, tokens=512), 0)[0]
    assert len(batch) == 2
    halves.sums = losses.by_parts(halves.model, "eager")
    assert float(whole.step(batch)[0]) == pytest.approx(float(halves.step(batch)[0]), rel=1e-2)
    for name in whole.masters:
        gap = (whole.masters[name].grad - halves.masters[name].grad).norm() / whole.masters[name].grad.norm()
        assert gap < 0.02, name


def test_operations_of_a_step_are_those_of_its_matrix_products() -> None:
    """Counted by torch over one sequence, whose attention is written out with half of its mask."""
    training, length = Training(TINY), 120
    ids = torch.randint(SPECIALS, VOCABULARY, (1, length + 1))
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # the fused kernel is not counted
        training.model.summed_loss(ids, torch.ones_like(ids, dtype=torch.bool)).backward()
    wide = TINY.heads * TINY.head_size
    hidden_half = 3 * 2 * TINY.layers * wide * length * length  # of the scores, which the mask hides
    assert counter.get_total_flops() == pytest.approx(train.operations(TINY, [length]) + hidden_half, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [0, 2])
def test_rounds_are_the_same_in_order_whoever_draws_them(pool: Pool, processes: int, tmp_path: Path) -> None:
    data.save(pool, tmp_path / "pool.npz")
    rounds = ahead.rounds(tmp_path / "pool.npz", TINY, 2, processes)
    assert [listed(r) for r in islice(rounds, 3)] == [listed(one_round(pool, TINY, n)) for n in (2, 3, 4)]
    rounds.close()


def test_the_preset_for_a_gpu_fits_what_may_be_shipped_and_wants_a_gpu() -> None:
    with torch.device("meta"):
        size = sum(p.numel() for p in train.build(recipe_of(parse(["--preset", "gpu"]))).parameters())
    assert 15e6 < size <= 20e6
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(SystemExit, match="wants as many GPUs, 0 found"):
        pretrain.main(["--preset", "gpu"])


def test_a_sequence_never_mixes_tasks_nor_generated_with_own_pairs() -> None:
    sides = {"a": (1, 2), "b": (3, 4)}
    pool = Pool(
        ("a", "b"),
        tuple((*_squares(generated, 4), *_squares(own, 4)) for generated, own in sides.values()),
        (4, 4),
    )
    rng = np.random.default_rng(0)
    drawn = [
        {p.input.shape for p in pairs_of(batches.sequence(pool, rng, 2048, GRID).tokens.tolist())} for _ in range(80)
    ]
    assert all(len(shapes) == 1 for shapes in drawn)
    assert {shape for shapes in drawn for shape in shapes} == {(1, 1), (2, 2), (3, 3), (4, 4)}


def _squares(side: int, count: int) -> tuple[Pair, ...]:
    return random_task([(side, side)] * count).demonstrations


def test_the_rate_warms_up_stays_and_falls_to_zero() -> None:
    recipe = Recipe(steps=100, warmup=10, decay=0.3)
    plan = [rate(step, recipe) for step in range(101)]
    assert plan[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert plan[10:70] == [1.0] * 60
    assert all(later < earlier for earlier, later in pairwise(plan[70:]))
    assert plan[85] == pytest.approx(0.5)
    assert plan[99] > plan[100] == 0.0


def drawn(pool: Pool) -> Iterator[ahead.Round]:
    """The tiny recipe's rounds from the first."""
    return (one_round(pool, TINY, number) for number in count())


def run(training: Training, pool: Pool, directory: Path) -> None:
    """Train to the end, with a checkpoint and a line of figures every other step."""
    held_out = held_out_sequences(HELD_OUT, 3, GRID)
    train.run(training, drawn(pool), partial(train.tell, training, directory, held_out), every=2)


@pytest.fixture(scope="module")
def undisturbed(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, Path]:
    """A run of four steps that nobody killed, and its directory."""
    directory = tmp_path_factory.mktemp("undisturbed")
    training = Training(TINY)
    run(training, pool, directory)
    return training, directory


def test_two_steps_then_a_checkpoint_then_two_more_are_four_steps_bit_for_bit(
    pool: Pool, undisturbed: tuple[Training, Path], tmp_path: Path
) -> None:
    steps = one_round(pool, TINY, 0)
    first = Training(TINY)
    for batch in steps[:2]:
        first.step(batch)
    first.save(tmp_path)
    second = Training(TINY)
    second.load(tmp_path)
    assert (second.done, second.tokens) == (2, first.tokens)
    assert unequal(state(second), state(first)) == []
    for batch in steps[2:4]:
        second.step(batch)
    assert unequal(state(second), state(undisturbed[0])) == []


def test_a_run_across_the_end_of_a_round_takes_the_next_rounds_batches(pool: Pool) -> None:
    recipe = replace(TINY, steps=ROUND + 2)
    training, seen = Training(recipe), list[list[Row]]()

    def look(batch: list[Row], stop: object) -> tuple[Tensor, Tensor]:
        seen.append(batch)
        training.done += 1
        return torch.zeros(()), torch.zeros(())

    training.step = look  # type: ignore[assignment, method-assign]
    train.run(training, drawn(pool), lambda loss, speeds: None)
    rounds = [*one_round(pool, recipe, 0), *one_round(pool, recipe, 1)]
    assert listed(seen) == listed(rounds[: ROUND + 2])


def test_a_run_writes_a_line_of_figures_at_every_checkpoint(undisturbed: tuple[Training, Path]) -> None:
    lines = [json.loads(line) for line in (undisturbed[1] / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert lines[1]["tokens"] == undisturbed[0].tokens
    for line in lines:
        assert line["loss"] > 0
        assert line["tokens_per_second"] > 0
        for now in ("", "now_"):  # of the averages; of the weights as they are
            assert 0 <= line[f"{now}held_out_tokens_right"] <= 1
            assert line[f"{now}held_out_loss"] > 0
    assert not (undisturbed[1] / "checkpoint.partial").exists()


def test_the_tokens_of_stretches_add_up_in_the_curve(tmp_path: Path) -> None:
    for name, tokens in (("a", (10, 20)), ("b", (5, 15))):
        (tmp_path / name).mkdir()
        lines = "".join(json.dumps({"tokens": t, "loss": 0.5}) + "\n" for t in tokens)
        (tmp_path / name / "curve.jsonl").write_text(lines)
    assert [row["tokens"] for row in curve.rows([tmp_path / "a", tmp_path / "b"])] == [10, 20, 25, 35]


def test_a_curve_without_held_out_losses_in_some_lines_is_drawn(tmp_path: Path) -> None:
    lines = [{"tokens": 10, "loss": 2.0}, {"tokens": 20, "loss": 1.0, "held_out_loss": 1.5}]
    (tmp_path / "curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert curve.main([str(tmp_path), str(tmp_path / "curve.svg")]) == 0
    assert (tmp_path / "curve.svg").read_text().count("<svg") == 1


def test_training_lowers_the_loss_on_a_batch_seen_again(pool: Pool) -> None:
    training = Training(replace(TINY, steps=40))
    batch = one_round(pool, TINY, 0)[0]
    nats = [float(training.step(batch)[0]) for _ in range(6)]
    assert nats[-1] < nats[0] - 1


def test_a_steps_loss_holds_no_more_than_itself_in_memory(pool: Pool) -> None:
    for scalar in Training(TINY).step(one_round(pool, TINY, 0)[0]):
        assert scalar.untyped_storage().nbytes() == scalar.element_size()


def test_the_model_holds_the_masters_rounded_to_bfloat16(undisturbed: tuple[Training, Path]) -> None:
    training = undisturbed[0]
    for name, parameter in training.model.named_parameters():
        assert parameter.dtype == torch.bfloat16
        assert torch.equal(parameter, training.masters[name].to(torch.bfloat16))


@pytest.mark.parametrize("most", [0.5, 0.999])
def test_an_average_keeps_more_of_itself_with_every_step_up_to_the_recipes_share(pool: Pool, most: float) -> None:
    training = Training(replace(TINY, steps=40, average=most))
    expected = {n: master.detach().double() for n, master in training.masters.items()}
    for number, batch in enumerate(one_round(pool, TINY, 0), 1):
        training.step(batch)
        kept = min(most, number / (number + 10))
        expected = {n: kept * old + (1 - kept) * training.masters[n].detach() for n, old in expected.items()}
    for name, average in training.averages.items():
        torch.testing.assert_close(average, expected[name].float(), atol=1e-6, rtol=1e-5, msg=name)
        assert not torch.equal(average, training.masters[name])


def test_the_averages_are_the_models_weights_for_a_while_and_never_its_training(pool: Pool) -> None:
    training, plain = Training(TINY), Training(replace(TINY, average=0.0))
    assert plain.averages == {}
    for batch in one_round(pool, TINY, 0)[:3]:
        training.step(batch)
        plain.step(batch)
        for one in (training, plain):
            with one.averaged() as model:
                for name, parameter in model.named_parameters():
                    assert torch.equal(parameter, one.averages.get(name, one.masters[name]).to(torch.bfloat16))
    without = {name: tensor for name, tensor in state(training).items() if not name.startswith("average ")}
    assert unequal(without, state(plain)) == []


def test_a_batchs_loss_is_the_mean_over_its_wanted_tokens_and_all_hear_who_wants_to_stop(pool: Pool) -> None:
    """The loss of untrained weights is near that of a guess."""
    batch = one_round(pool, TINY, 0)[0]
    for stop in (True, False):
        loss, told = Training(TINY).step(batch, lambda stop=stop: stop)  # type: ignore[misc]
        assert 0 < float(loss) < 2 * math.log(VOCABULARY)
        assert float(told) == stop


def test_the_same_seed_builds_the_same_model_and_another_seed_another() -> None:
    first, again, other = (dict(train.build(replace(TINY, seed=s)).named_parameters()) for s in (0, 0, 1))
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])


def test_a_model_of_another_size_is_asked_for_on_the_command_line() -> None:
    asked = recipe_of(parse(["--width", "192", "--heads", "3", "--inner", "576", "--steps", "9"]))
    assert asked == Recipe(width=192, heads=3, inner=576, steps=9)
    assert recipe_of(parse(["--preset", "smoke", "--layers", "1"])) == replace(Recipe(**PRESETS["smoke"]), layers=1)


def test_the_preset_of_the_shipped_weights_has_their_shape() -> None:
    stored = json.loads((checkpoint.SHIPPED / "config.json").read_text())
    recipe = recipe_of(parse([]))
    names = {"width": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads"}
    names |= {"head_size": "head_dim", "inner": "intermediate_size"}
    assert {n: getattr(recipe, n) for n in names} == {n: stored[key] for n, key in names.items()}


@pytest.fixture(scope="module")
def exported(undisturbed: tuple[Training, Path]) -> Path:
    return export(undisturbed[1], undisturbed[1] / "weights", TINY)


def test_exported_weights_pass_their_own_check_and_are_the_averages(
    undisturbed: tuple[Training, Path], exported: Path
) -> None:
    assert checkpoint.check(exported).format == "grid"
    assert {p.suffix for p in exported.iterdir()} == {".json", ".safetensors"}
    grid_qwen3.register()
    model = AutoModelForCausalLM.from_pretrained(exported, dtype=torch.bfloat16, local_files_only=True)
    averages = undisturbed[0].averages
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, averages[name].to(torch.bfloat16))
    assert any(not torch.equal(averages[name], master) for name, master in undisturbed[0].masters.items())


def test_the_last_weights_are_exported_where_they_are_asked_for(
    undisturbed: tuple[Training, Path], tmp_path: Path
) -> None:
    stored = load_file(export(undisturbed[1], tmp_path / "last", TINY, last=True) / "model.safetensors")
    masters = undisturbed[0].masters
    assert all(torch.equal(stored[name], master.to(torch.bfloat16)) for name, master in masters.items())


def test_where_no_averages_are_kept_the_weights_themselves_are_exported(pool: Pool, tmp_path: Path) -> None:
    recipe = replace(TINY, average=0.0)
    training = Training(recipe)
    training.step(one_round(pool, TINY, 0)[0])
    training.save(tmp_path / "run")
    stored = load_file(export(tmp_path / "run", tmp_path / "weights", recipe) / "model.safetensors")
    assert all(torch.equal(stored[n], p) for n, p in training.model.named_parameters())


def test_weights_of_another_shape_are_no_start(exported: Path, tmp_path: Path) -> None:
    train.check_start(exported, TINY)
    with pytest.raises(BadInput, match=r"are of another shape: model\..*, this recipe .*; give --width, --layers"):
        train.check_start(exported, replace(TINY, inner=2 * TINY.inner))
    with pytest.raises(BadInput, match=r"is no exported model .*; expected a folder that --export wrote"):
        train.check_start(tmp_path, TINY)


def test_a_training_can_start_from_exported_weights(undisturbed: tuple[Training, Path], exported: Path) -> None:
    fresh = Training(TINY)
    fresh.start_from(exported)
    assert fresh.done == 0
    for name, parameter in fresh.model.named_parameters():
        expected = undisturbed[0].averages[name].to(torch.bfloat16)
        assert torch.equal(parameter, expected)
        assert torch.equal(fresh.masters[name], expected.float())
        assert torch.equal(fresh.averages[name], fresh.masters[name])
