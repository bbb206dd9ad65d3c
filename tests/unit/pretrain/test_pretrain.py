"""Pretraining: what may be trained on, batches that can be made again, and a run that may be killed anywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, count, islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
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
from solver.pretrain.train import Recipe, Training, rate
from solver.tokens.grid import PAD, SPECIALS, VOCABULARY, encode_pairs, encoded_length
from solver.types import Example, Pair
from tests.support.fakes import MIRROR, STACK, pairs_of, random_task

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = Recipe(width=32, layers=1, heads=1, head_size=32, inner=32, steps=4, tokens=256, warmup=2, workers=1)


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Three tasks of a few small pairs, the last two of each ARC's own."""
    tasks = [random_task([(2, 3), (3, 3), (4, 2), (3, 5), (2, 2), (1, 4)], seed) for seed in range(3)]
    return Pool(("a", "b", "c"), tuple(t.demonstrations for t in tasks), (2, 2, 2))


@pytest.fixture(scope="module")
def large_pool() -> Pool:
    """Pairs of all lengths, up to the longest sequence there is."""
    sides = (3, 5, 7, 10, 13, 16, 20, 22, 26)
    tasks = [random_task([(s, s) for s in sides for _ in range(3)], seed) for seed in range(3)]
    return Pool(("a", "b", "c"), tuple(t.demonstrations for t in tasks), (0, 0, 0))


def listed(made: list[list[Example]]) -> list[list[tuple[list[int], list[bool]]]]:
    return [[(example.tokens.tolist(), example.loss.tolist()) for example in batch] for batch in made]


def test_the_batches_of_a_round_are_the_same_whenever_they_are_made(pool: Pool) -> None:
    assert listed(one_round(pool, 7, 2, 256)) == listed(one_round(pool, 7, 2, 256))


def test_rounds_and_seeds_differ(pool: Pool) -> None:
    made = [str(listed(one_round(pool, *which, 256))) for which in ((7, 2), (7, 3), (8, 2))]
    assert len(set(made)) == 3


@pytest.mark.parametrize("tokens", [2048, 4096, 8192])
def test_a_round_has_exactly_its_number_of_steps_however_long_the_sequences(large_pool: Pool, tokens: int) -> None:
    """A round with fewer batches would leave a run waiting for steps that never come."""
    assert [len(one_round(large_pool, 0, number, tokens)) for number in range(6)] == [ROUND] * 6


@pytest.mark.parametrize("tokens", [4096, 8192])
def test_a_batch_is_no_longer_than_the_tokens_of_a_step_and_one_sequence(large_pool: Pool, tokens: int) -> None:
    longest = max(n for n, _ in batches.LENGTHS)
    for batch in one_round(large_pool, 0, 0, tokens):
        assert 0 < sum(example.tokens.size for example in batch) <= tokens + 2 * longest
        assert len(batch) % 2 == 0, "two workers get unequal shares"
        assert max(example.tokens.size for example in batch) <= longest


def test_sequences_are_whole_pairs_with_the_loss_on_every_output_after_the_first(pool: Pool) -> None:
    for example in chain.from_iterable(one_round(pool, 0, 0, 512)[:4]):
        own = example.tokens.tolist()
        pairs = pairs_of(own)
        assert 2 <= len(pairs) <= batches.PAIRS[1]
        assert encode_pairs(pairs)[0].tolist() == own
        assert int(example.loss.sum()) == sum(encoded_length(p.output) + 1 for p in pairs[1:])


@pytest.mark.parametrize("compiled", [None, "aot_eager"])
def test_a_step_has_the_loss_and_gradients_of_its_sequences_one_by_one(
    pool: Pool, compiled: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sum over all wanted tokens, by the model's padded loss in float32; as a CPU does it and, in parts, as a GPU."""
    monkeypatch.setattr(losses, "parts", partial(losses.parts, most=256))
    training, batch = Training(TINY), one_round(pool, TINY.seed, 0, 512)[0]
    training.model.float()
    summed, made = 0.0, 0
    for nats in losses.of(training.model, compiled)(batch):
        nats.backward()
        summed, made = summed + float(nats.detach()), made + 1
    assert made > 1 if compiled else made == 1
    found = {n: p.grad.clone() for n, p in training.model.named_parameters() if p.grad is not None}
    training.model.zero_grad()
    alone = 0.0
    for example in batch:
        ids, mask = torch.from_numpy(example.tokens)[None].long(), torch.from_numpy(example.loss)[None]
        share = training.model.loss(ids, mask) * int(mask[:, 1:].sum())
        share.backward()
        alone += float(share.detach())
    assert summed == pytest.approx(alone, rel=1e-5)
    for name, parameter in training.model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, atol=1e-3, rtol=1e-4, msg=name)


def test_a_batch_in_parts_moves_the_masters_as_the_whole_batch_does(pool: Pool) -> None:
    whole, halves = Training(TINY), Training(TINY)
    batch = one_round(pool, TINY.seed, 0, 512)[0]
    sums = halves.sums
    halves.sums = lambda some: chain(sums(some[::2]), sums(some[1::2]))
    assert float(whole.step(batch)) == pytest.approx(float(halves.step(batch)), rel=1e-2)
    for name in whole.masters:
        gap = (whole.masters[name].grad - halves.masters[name].grad).norm() / whole.masters[name].grad.norm()
        assert gap < 0.02, name


def test_parts_hold_every_example_once_and_no_more_tokens_than_they_may(large_pool: Pool) -> None:
    batch = one_round(large_pool, 0, 0, 8192)[0]
    made = losses.parts(batch, most=2048)
    assert sorted(map(id, chain.from_iterable(made))) == sorted(map(id, batch))
    assert len(made) > 1
    for part in made:
        tokens, wanted = losses.padded(part)
        assert tokens.shape == wanted.shape
        assert (tokens.shape[1] - 1) % losses.MULTIPLE == 0
        assert tokens.shape[0] * (tokens.shape[1] - 1) <= 2048 or len(part) == 1
        for example, ids, mask in zip(part, tokens, wanted, strict=True):
            size = example.tokens.size
            assert ids[:size].tolist() == example.tokens.tolist()
            assert mask[:size].tolist() == example.loss.tolist()
            assert set(ids[size:].tolist()) <= {PAD}
            assert not mask[size:].any()
    assert losses.parts([]) == []


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


@pytest.mark.parametrize("processes", [0, 2])
def test_rounds_are_the_same_in_order_whoever_draws_them(pool: Pool, processes: int, tmp_path: Path) -> None:
    data.save(pool, tmp_path / "pool.npz")
    made = ahead.rounds(tmp_path / "pool.npz", 7, 256, 2, processes)
    assert [listed(r) for r in islice(made, 3)] == [listed(one_round(pool, 7, n, 256)) for n in (2, 3, 4)]
    made.close()


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
    drawn = [{p.input.shape for p in pairs_of(batches.sequence(pool, rng).tokens.tolist())} for _ in range(80)]
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
    return (one_round(pool, TINY.seed, number, TINY.tokens) for number in count())


def held_out() -> list[Example]:
    tasks = [MIRROR, STACK]
    own = Pool(("m", "s"), tuple((*t.demonstrations, *t.demonstrations) for t in tasks), (0, 0))
    return train.gauge(own, 3)


def state(training: Training) -> dict[str, Tensor]:
    """Everything that must come back: masters, the model's own weights, optimizer state."""
    found = {f"master {n}": p.detach().clone() for n, p in training.masters.items()}
    found |= {f"model {n}": p.detach().clone() for n, p in training.model.named_parameters()}
    for label, optimizer in (("muon", training.muon), ("adam", training.adam)):
        for index, entry in optimizer.state_dict()["state"].items():
            found |= {f"{label} {index} {k}": torch.as_tensor(v).clone() for k, v in entry.items()}
    return found


def unequal(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    assert set(a) == set(b)
    return [name for name in a if not torch.equal(a[name], b[name])]


@pytest.fixture(scope="module")
def undisturbed(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, Path]:
    """A run of four steps that nobody killed, and its directory."""
    directory = tmp_path_factory.mktemp("undisturbed")
    training = Training(TINY)
    train.run(training, drawn(pool), directory, held_out(), every=2)
    return training, directory


def test_two_steps_then_a_checkpoint_then_two_more_are_four_steps_bit_for_bit(
    pool: Pool, undisturbed: tuple[Training, Path], tmp_path: Path
) -> None:
    steps = one_round(pool, TINY.seed, 0, TINY.tokens)
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


def test_a_run_killed_between_checkpoints_and_resumed_ends_with_the_same_weights(
    pool: Pool, undisturbed: tuple[Training, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Training(TINY)
    step = killed.step

    def killed_in_the_fourth(batch: list[Example]) -> Tensor:
        if killed.done == 3:
            raise KeyboardInterrupt
        return step(batch)

    monkeypatch.setattr(killed, "step", killed_in_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        train.run(killed, drawn(pool), tmp_path, [], every=2)
    resumed = Training(TINY)
    resumed.load(tmp_path)
    assert resumed.done == 2
    train.run(resumed, drawn(pool), tmp_path, [], every=2)
    assert unequal(state(resumed), state(undisturbed[0])) == []


def test_a_run_across_the_end_of_a_round_takes_the_next_rounds_batches(pool: Pool, tmp_path: Path) -> None:
    recipe = replace(TINY, steps=ROUND + 2)
    training, seen = Training(recipe), list[list[Example]]()

    def look(batch: list[Example]) -> Tensor:
        seen.append(batch)
        training.done += 1
        return torch.zeros(())

    training.step = look  # type: ignore[method-assign]
    train.run(training, drawn(pool), tmp_path, [], every=100)
    rounds = [*one_round(pool, 0, 0, recipe.tokens), *one_round(pool, 0, 1, recipe.tokens)]
    assert listed(seen) == listed(rounds[: ROUND + 2])


def test_a_run_writes_a_line_of_figures_at_every_checkpoint(undisturbed: tuple[Training, Path]) -> None:
    lines = [json.loads(line) for line in (undisturbed[1] / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert lines[1]["tokens"] == undisturbed[0].tokens
    assert all(0 <= line["held_out_tokens_right"] <= 1 and line["held_out_loss"] > 0 for line in lines)
    assert not (undisturbed[1] / "checkpoint.partial").exists()


def test_the_tokens_of_stretches_add_up_in_the_curve(tmp_path: Path) -> None:
    for name, tokens in (("a", (10, 20)), ("b", (5, 15))):
        (tmp_path / name).mkdir()
        lines = "".join(json.dumps({"tokens": t, "loss": 0.5}) + "\n" for t in tokens)
        (tmp_path / name / "curve.jsonl").write_text(lines)
    assert [row["tokens"] for row in curve.rows([tmp_path / "a", tmp_path / "b"])] == [10, 20, 25, 35]


def test_training_lowers_the_loss_on_a_batch_seen_again(pool: Pool) -> None:
    training = Training(replace(TINY, steps=40))
    batch = one_round(pool, 0, 0, TINY.tokens)[0]
    losses = [float(training.step(batch)) for _ in range(6)]
    assert losses[-1] < losses[0] - 1


def test_a_steps_loss_holds_no_more_than_itself_in_memory(pool: Pool) -> None:
    loss = Training(TINY).step(one_round(pool, TINY.seed, 0, 512)[0])
    assert loss.untyped_storage().nbytes() == loss.element_size()


def test_the_model_holds_the_masters_rounded_to_bfloat16(undisturbed: tuple[Training, Path]) -> None:
    training = undisturbed[0]
    for name, parameter in training.model.named_parameters():
        assert parameter.dtype == torch.bfloat16
        assert torch.equal(parameter, training.masters[name].to(torch.bfloat16))


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


def test_exported_weights_pass_their_own_check_and_are_the_trained_ones(
    undisturbed: tuple[Training, Path], tmp_path: Path
) -> None:
    training, directory = undisturbed
    made = export(directory, tmp_path / "weights", TINY)
    assert checkpoint.check(made).format == "grid"
    assert {p.suffix for p in made.iterdir()} == {".json", ".safetensors"}
    grid_qwen3.register()
    model = AutoModelForCausalLM.from_pretrained(made, dtype=torch.bfloat16, local_files_only=True)
    loaded, expected = dict(model.named_parameters()), dict(training.model.named_parameters())
    assert all(torch.equal(loaded[n], expected[n]) for n in expected)


def test_a_training_can_start_from_exported_weights(undisturbed: tuple[Training, Path], tmp_path: Path) -> None:
    training, directory = undisturbed
    made = export(directory, tmp_path / "weights", TINY)
    fresh = Training(TINY)
    fresh.start_from(made)
    assert fresh.done == 0
    mine, expected = dict(fresh.model.named_parameters()), dict(training.model.named_parameters())
    assert all(torch.equal(mine[n], expected[n]) for n in expected)
    assert all(torch.equal(fresh.masters[n], expected[n].float()) for n in expected)


TWO = """
import os, sys, time
from solver.pretrain.__main__ import together
def nap(rank):
    print(os.getpid(), flush=True)
    time.sleep(60)
if __name__ == "__main__":
    together(nap, (), 2)
"""


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO)
    root = Path(__file__).resolve().parents[3]
    started = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert started.stdout is not None
    workers = [int(started.stdout.readline()) for _ in range(2)]
    started.terminate()
    assert started.wait(30) == 128 + signal.SIGTERM
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
