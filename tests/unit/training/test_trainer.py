"""Training a LoRA on a tiny untrained model: it learns, it is repeatable, it forgets, and it keeps to its seconds."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import Qwen3Config, Qwen3ForCausalLM

from solver.clock import Deadline
from solver.config.settings import EMBEDDINGS, TARGETS, TrainRecipe
from solver.model.grid_qwen3 import GridQwen3ForCausalLM
from solver.tokens import grid
from solver.training import base_model
from solver.training import trainer as module
from solver.training.backends import Setup, setup
from solver.training.example_vectors import vectors
from solver.training.pace import Pace, batches
from solver.training.trainer import LoraTrainer
from solver.types import Adapter, BadInput, Example, Task, TrainJob, TrainReport, seed_for
from tests.support.fakes import MIRROR, STACK, FakeClock, FakeStop, leave_one_out, random_task
from tests.support.tiny import mean_loss, tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = TrainRecipe(rank=8, alpha=8, rate=1e-2, tokens=4096, steps=3)
ROOM = 512  # tokens an example may have
CLOSE = 1e-3  # of an adapter's size: two ways to train it in float32

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model saved as shipped weights are."""
    path = tmp_path_factory.mktemp("weights")
    tiny_model(spread=0.1).to(torch.bfloat16).save_pretrained(path, safe_serialization=True)
    return path


@pytest.fixture(scope="module")
def trainer(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> LoraTrainer:
    """One trainer for all tests, as one serves all tasks: no training may leave anything behind."""
    return LoraTrainer(weights, RECIPE, tmp_path_factory.mktemp("adapters"), 2048)


def examples(task: Task = MIRROR, cap: int = 6) -> list[Example]:
    return leave_one_out(task, cap, 0, ROOM)


def learned(trainer: LoraTrainer, name: str = "one", task: Task = MIRROR, seed: int = 0) -> dict[str, bytes]:
    """The files of an adapter trained now."""
    report = trainer.train(TrainJob(name, examples(task), seed), FakeStop())
    assert report.adapter is not None
    return {p.name: p.read_bytes() for p in report.adapter.path.iterdir()}


def of_length(*sizes: int) -> list[Example]:
    """Examples told apart by their first token."""
    return [Example(np.full(n, i, np.int32), np.ones(n, np.bool_)) for i, n in enumerate(sizes)]


def numbers(group: list[Example]) -> list[int]:
    return [int(e.tokens[0]) for e in group]


def shares(pace: Pace, clock: FakeClock, seconds_a_step: float) -> list[float]:
    """All shares of the peak rate a plan gives, each step taking so many seconds."""
    given_out = []
    while (share := pace.next_share()) is not None:
        given_out.append(share)
        clock.advance(seconds_a_step)
    return given_out


def test_three_steps_lower_the_loss_on_the_examples(trainer: LoraTrainer) -> None:
    report = trainer.train(TrainJob("one", examples(), 0), FakeStop())
    assert (report.steps, report.planned, len(report.losses)) == (3, 3, 3)
    assert all(later < earlier for earlier, later in pairwise(report.losses))


def test_a_saved_adapter_holds_the_matrices_of_every_target_and_nothing_else(trainer: LoraTrainer) -> None:
    report = trainer.train(TrainJob("one", examples(), 0), FakeStop())
    assert report.adapter is not None
    assert (report.adapter.name, report.adapter.path) == ("one", trainer.directory / "one")
    tensors = load_file(report.adapter.path / "adapter_model.safetensors")
    assert Counter(name.split(".")[-3] for name in tensors) == dict.fromkeys(TARGETS, 4)  # A and B in two layers
    assert all(bool(tensor.isfinite().all()) and bool(tensor.any()) for tensor in tensors.values())
    settings = json.loads((report.adapter.path / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"], settings["use_rslora"]) == (8, 8, True)
    assert sorted(settings["target_modules"]) == sorted(TARGETS)
    assert {p.suffix for p in report.adapter.path.iterdir()} <= {".json", ".safetensors", ".md"}


def test_the_same_seed_gives_the_same_adapter_byte_for_byte(trainer: LoraTrainer) -> None:
    assert learned(trainer) == learned(trainer)


def test_another_task_in_between_changes_nothing(trainer: LoraTrainer) -> None:
    first = learned(trainer)
    assert learned(trainer, "two", STACK) != first
    assert learned(trainer) == first


def test_a_new_trainer_gives_the_same_adapter_as_one_that_has_trained_others(
    trainer: LoraTrainer, weights: Path, tmp_path: Path
) -> None:
    assert learned(LoraTrainer(weights, RECIPE, tmp_path, 2048)) == learned(trainer)


def test_another_seed_or_name_gives_another_adapter(trainer: LoraTrainer) -> None:
    adapters = [learned(trainer)["adapter_model.safetensors"]]
    adapters += [learned(trainer, seed=1)["adapter_model.safetensors"]]
    adapters += [learned(trainer, "another")["adapter_model.safetensors"]]
    assert len(set(adapters)) == 3


def test_the_state_of_the_global_generator_plays_no_part(trainer: LoraTrainer) -> None:
    torch.manual_seed(1)
    first = learned(trainer)
    torch.manual_seed(2)
    assert learned(trainer) == first


def test_a_training_that_broke_off_leaves_nothing_to_the_next(
    trainer: LoraTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(groups: list[list[Example]]) -> torch.Tensor:
        losses(groups).sum().backward()
        raise RuntimeError("out of memory")

    before, losses = learned(trainer), trainer.losses
    monkeypatch.setattr(trainer, "losses", breaks)
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer.train(TrainJob("broken", examples(STACK), 0), FakeStop())
    monkeypatch.undo()
    assert learned(trainer) == before


def test_the_base_weights_never_change(trainer: LoraTrainer) -> None:
    base = {n: p.detach().clone() for n, p in trainer.model.named_parameters() if "lora_" not in n}
    learned(trainer, "two", STACK)
    after = dict(trainer.model.named_parameters())
    assert all(torch.equal(after[n], p) for n, p in base.items())
    assert all(not after[n].requires_grad for n in base)


def test_an_adapter_of_some_targets_without_rslora_says_so_and_holds_nothing_else(
    weights: Path, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, targets=("q_proj", "v_proj"), rslora=False, alpha=16)
    report = LoraTrainer(weights, recipe, tmp_path, 2048).train(TrainJob("few", examples(), 0), FakeStop())
    assert report.adapter is not None
    assert report.losses[-1] < report.losses[0]
    settings = json.loads((report.adapter.path / "adapter_config.json").read_text())
    assert (settings["lora_alpha"], settings["use_rslora"]) == (16, False)
    assert sorted(settings["target_modules"]) == ["q_proj", "v_proj"]
    tensors = load_file(report.adapter.path / "adapter_model.safetensors")
    assert Counter(name.split(".")[-3] for name in tensors) == {"q_proj": 4, "v_proj": 4}


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_can_be_trained_alone(weights: Path, tmp_path: Path, target: str) -> None:
    report = LoraTrainer(weights, replace(RECIPE, targets=(target,)), tmp_path, 2048).train(
        TrainJob("one", examples(), 0), FakeStop()
    )
    assert report.adapter is not None
    assert report.losses[-1] < report.losses[0]
    tensors = load_file(report.adapter.path / "adapter_model.safetensors")
    assert Counter(name.split(".")[-3] for name in tensors) == {target: 4}  # A and B in two layers


@pytest.mark.parametrize("rank", [8, 16])
def test_an_adapter_has_the_rank_of_its_recipe(weights: Path, tmp_path: Path, rank: int) -> None:
    report = LoraTrainer(weights, replace(RECIPE, rank=rank, steps=1), tmp_path, 2048).train(
        TrainJob("one", examples(), 0), FakeStop()
    )
    assert report.adapter is not None
    tensors = load_file(report.adapter.path / "adapter_model.safetensors")
    assert {tensor.shape[0] for name, tensor in tensors.items() if "lora_A" in name} == {rank}
    assert {tensor.shape[1] for name, tensor in tensors.items() if "lora_B" in name} == {rank}


def test_no_step_follows_a_gradient_longer_than_the_recipe_allows(
    trainer: LoraTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = {}
    for clip in (1e-3, 1e9):
        monkeypatch.setattr(trainer, "recipe", replace(RECIPE, clip=clip))
        trainer.train(TrainJob("one", examples(), 0), FakeStop())
        longest[clip] = float(trainer.adapters.optimizer.param_groups[0]["params"][0].grad.norm())
    assert longest[1e-3] == pytest.approx(1e-3, rel=1e-3)
    assert longest[1e9] > 0.01


def saved(trainer: LoraTrainer, folder: Path, name: str = "one", task: Task = MIRROR) -> Adapter:
    """An adapter trained now, moved to where no later training writes."""
    report = trainer.train(TrainJob(name, examples(task), 0), FakeStop())
    assert report.adapter is not None
    return Adapter(name, report.adapter.path.rename(folder / name))


def test_a_training_that_starts_from_an_adapter_goes_on_where_that_one_ended(
    trainer: LoraTrainer, tmp_path: Path
) -> None:
    start = saved(trainer, tmp_path)
    before = {p.name: p.read_bytes() for p in start.path.iterdir()}
    first = trainer.train(TrainJob("two", examples(), 0), FakeStop())
    later = trainer.train(TrainJob("two", examples(), 0, start), FakeStop())
    assert later.losses[0] < first.losses[-1]
    assert {p.name: p.read_bytes() for p in start.path.iterdir()} == before


def test_an_adapter_that_is_loaded_and_not_trained_is_the_one_that_was_saved(
    trainer: LoraTrainer, tmp_path: Path
) -> None:
    start = saved(trainer, tmp_path)
    trainer.adapters.load(0, start.path)
    tensors = load_file(start.path / "adapter_model.safetensors")
    masters = trainer.adapters.views(trainer.adapters.masters[0][None], 0)
    assert {n.replace(".default.", "."): m.shape for n, m in masters.items()} == {
        n: t.shape for n, t in tensors.items()
    }
    for name, parameter in trainer.adapters.parameters.items():
        assert torch.equal(parameter, tensors[name.replace(".default.", ".")])
        assert torch.equal(masters[name], parameter.float())


def test_a_start_leaves_nothing_to_the_next_training_and_can_be_repeated(trainer: LoraTrainer, tmp_path: Path) -> None:
    start, plain = saved(trainer, tmp_path), learned(trainer)

    def started() -> bytes:
        report = trainer.train(TrainJob("two", examples(STACK), 0, start), FakeStop())
        assert report.adapter is not None
        return (report.adapter.path / "adapter_model.safetensors").read_bytes()

    first = started()
    assert learned(trainer) == plain
    assert started() == first


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(RECIPE, rank=16), "r is 16: expected 8"),
        (replace(RECIPE, alpha=16), "lora_alpha is 16: expected 8"),
        (replace(RECIPE, rslora=False), "use_rslora is False: expected True"),
        (replace(RECIPE, targets=("q_proj",)), r"target_modules is \['q_proj'\]: expected \['down_proj', .*'v_proj'\]"),
    ],
)
def test_a_start_of_another_recipe_is_refused_by_the_setting_that_differs(
    trainer: LoraTrainer, weights: Path, tmp_path: Path, other: TrainRecipe, message: str
) -> None:
    start = LoraTrainer(weights, replace(other, steps=1), tmp_path, 2048).train(
        TrainJob("other", examples(), 0), FakeStop()
    )
    with pytest.raises(ValueError, match=f"{message}, as in the recipe"):
        trainer.train(TrainJob("one", examples(), 0, start.adapter), FakeStop())


def test_a_start_whose_matrices_are_another_models_is_refused(trainer: LoraTrainer, tmp_path: Path) -> None:
    start = saved(trainer, tmp_path)
    path = start.path / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file(dict(list(tensors.items())[2:]), path)
    with pytest.raises(ValueError, match="holds other matrices than this base model's LoRA"):
        trainer.train(TrainJob("one", examples(), 0, start), FakeStop())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_four_bit_weights_are_refused_on_a_cpu_before_any_are_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="bits is 4: expected 16, as there is no CUDA GPU to hold 4-bit weights"):
        LoraTrainer(tmp_path / "no weights", replace(RECIPE, bits=4), tmp_path, 2048)


def test_no_seconds_left_at_the_start_is_no_adapter_and_no_files(trainer: LoraTrainer) -> None:
    report = trainer.train(TrainJob("late", examples(), 0), FakeStop(left=0.0))
    assert (report.adapter, report.steps, report.planned, report.losses) == (None, 0, 3, ())
    assert not (trainer.directory / "late").exists()


@pytest.mark.parametrize(
    ("budget", "tokens", "steps"), [(0, 300, 5), (650, 300, 2), (650, 200, 3), (650, 900, 1), (9999, 300, 5)]
)
def test_a_budget_of_tokens_has_as_many_steps_as_it_pays_for_and_at_most_the_recipe_s(
    trainer: LoraTrainer, monkeypatch: pytest.MonkeyPatch, budget: int, tokens: int, steps: int
) -> None:
    monkeypatch.setattr(trainer, "recipe", replace(RECIPE, steps=5, tokens=tokens, budget=budget))
    report = trainer.train(TrainJob("one", examples(), 0), FakeStop())
    assert (report.steps, report.planned) == (steps, steps)


def test_no_examples_are_no_adapter(trainer: LoraTrainer) -> None:
    assert trainer.train(TrainJob("empty", [], 0), FakeStop()).adapter is None


def test_what_was_learned_before_the_seconds_ran_out_is_kept(trainer: LoraTrainer) -> None:
    report = trainer.train(TrainJob("short", examples(), 0), FakeStop(left=2.0, cost=1.0))
    assert (report.steps, report.planned) == (2, 3)
    assert report.adapter is not None
    assert (report.adapter.path / "adapter_model.safetensors").exists()


def test_the_loss_of_a_batch_weighs_every_wanted_token_alike(trainer: LoraTrainer) -> None:
    group = leave_one_out(random_task([(2, 2), (3, 3), (1, 1)]), 3, 0, ROOM)
    counts = [int(e.loss.sum()) for e in group]
    with torch.no_grad():
        apart = sum(float(trainer.losses([[e]])) * n for e, n in zip(group, counts, strict=True)) / sum(counts)
        together = float(trainer.losses([group]))
    assert together == pytest.approx(apart, rel=2e-3)  # bf16: the order of the sums differs


def test_a_plan_that_fits_is_the_recipes_own_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, plans = TrainRecipe(steps=20), []
    for seconds_a_step in (0.001, 0.5, 0.99):
        clock = FakeClock()
        monkeypatch.setattr("solver.training.pace.now", clock)
        plans.append(shares(Pace(recipe, Deadline.after(20.0, clock)), clock, seconds_a_step))
    assert [len(p) for p in plans] == [20, 20, 20]
    assert plans[0] == plans[1] == plans[2]


def test_the_rate_warms_up_and_falls_as_a_cosine_to_nearly_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr("solver.training.pace.now", clock)
    plan = shares(Pace(TrainRecipe(steps=40, warmup=0.1), Deadline.after(1e6, clock)), clock, 1.0)
    assert plan[:4] == pytest.approx([0.25, 0.5, 0.75, 0.986], abs=0.01)
    assert all(later < earlier for earlier, later in pairwise(plan[4:]))
    assert plan[20] == pytest.approx(0.5)
    assert 0 < plan[-1] < 0.01


def test_a_plan_that_does_not_fit_is_shortened_so_that_the_rate_still_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr("solver.training.pace.now", clock)
    stop = Deadline.after(10.5, clock)
    plan = shares(Pace(TrainRecipe(steps=100), stop), clock, 1.0)
    assert len(plan) == 10
    assert plan[-1] < 0.05
    assert stop.remaining() > 0


def test_a_plan_is_shortened_further_where_the_steps_get_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr("solver.training.pace.now", clock)
    pace, taken = Pace(TrainRecipe(steps=100), Deadline.after(60.0, clock)), 0
    while pace.next_share() is not None:
        taken += 1
        clock.advance(0.5 if taken < 20 else 4.0)
    assert 20 < taken < 40
    assert pace.planned <= taken + 1


def test_a_slow_first_step_alone_does_not_shorten_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr("solver.training.pace.now", clock)
    pace = Pace(TrainRecipe(steps=20), Deadline.after(40.0, clock))
    assert pace.next_share() is not None
    clock.advance(15.0)
    assert len(shares(pace, clock, 1.0)) == 19


@given(sizes=lengths, tokens=st.integers(1, 200), seed=st.integers(0, 99))
def test_a_batch_never_exceeds_the_tokens_of_a_step_unless_it_is_a_single_example(
    sizes: list[int], tokens: int, seed: int
) -> None:
    for group in islice(batches(of_length(*sizes), tokens, seed), 30):
        padded = max(e.tokens.size for e in group) * len(group)
        assert group
        assert padded <= tokens or len(group) == 1


@given(sizes=lengths, tokens=st.integers(1, 200), seed=st.integers(0, 99))
def test_a_packed_batch_counts_its_tokens_alone_and_takes_the_next_example_if_it_fits(
    sizes: list[int], tokens: int, seed: int
) -> None:
    stream, taken = batches(of_length(*sizes), tokens, seed, padded=False), list[list[Example]]()
    while sum(map(len, taken)) < len(sizes):
        taken.append(next(stream))
    for group, following in pairwise(taken):
        total = sum(e.tokens.size for e in group)
        assert total <= tokens or len(group) == 1
        assert total + following[0].tokens.size > tokens


@given(sizes=lengths, tokens=st.integers(1, 200), seed=st.integers(0, 99))
def test_the_first_pass_takes_the_examples_in_their_order_and_each_pass_takes_each_once(
    sizes: list[int], tokens: int, seed: int
) -> None:
    passes, stream = [], batches(of_length(*sizes), tokens, seed)
    for _ in range(3):
        taken: list[int] = []
        while len(taken) < len(sizes):
            taken += numbers(next(stream))
        passes.append(taken)
    assert passes[0] == list(range(len(sizes)))
    assert all(sorted(p) == passes[0] for p in passes)


def test_later_passes_depend_on_the_seed_alone() -> None:
    first, again, other = (
        [numbers(g) for g in islice(batches(of_length(*[5] * 10), 10, seed), 20)] for seed in (0, 0, 1)
    )
    assert first == again
    assert first[:5] == other[:5]
    assert first[5:] != other[5:]


def test_there_are_no_batches_of_no_examples() -> None:
    assert list(batches([], 100, 0)) == []


def gpu_like(weights: Path, **how) -> Setup:
    """How a GPU would train these weights, but for the library, which is peft's on every machine here."""
    return replace(setup(weights, RECIPE, 2048, cuda=False), **how)


def gradients(trainer: LoraTrainer, batch: list[Example]) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss of a batch and its gradients with a LoRA whose B is not zero."""
    trainer.begin()
    trainer.adapters.draw(0, 1)
    trainer.adapters.grads.zero_()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in trainer.adapters.parameters.items():
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    loss = trainer.losses([batch])[0]
    loss.backward()
    return float(loss.detach()), {
        n: p.grad.float().clone() for n, p in trainer.adapters.parameters.items() if p.grad is not None
    }


def test_activations_computed_again_give_the_same_gradients(plain: Path, tmp_path: Path):
    """Bit by bit: the second pass through a layer is the first one again; and there is such a pass for each layer."""
    trainer = LoraTrainer(plain, RECIPE, tmp_path, 2048, gpu_like(plain))
    again = LoraTrainer(plain, RECIPE, tmp_path, 2048, gpu_like(plain, checkpointing=True))
    passes: list[int] = []
    for layer in again.model.base_model.model.model.layers:
        layer.mlp.register_forward_pre_hook(lambda *_: passes.append(1))
    kept, repeated = gradients(trainer, examples()), gradients(again, examples())
    assert kept[0] == repeated[0]
    assert kept[1].keys() == repeated[1].keys()
    assert all(torch.equal(kept[1][name], repeated[1][name]) for name in kept[1])
    assert len(passes) == 2 * 2  # layers, each forwards twice
    assert not any(p.requires_grad for n, p in again.model.named_parameters() if n not in again.adapters.parameters)


@pytest.mark.parametrize("pieces", [False, True])
def test_sequences_end_to_end_have_the_loss_and_gradients_of_padded_ones(plain: Path, tmp_path: Path, pieces: bool):
    """Of an architecture that is not the shipped one; the padded ones are what any other gets."""
    hows = [gpu_like(plain, packed=packed, dtype="float32", pieces=pieces) for packed in (True, False)]
    packed, padded = (gradients(LoraTrainer(plain, RECIPE, tmp_path, 2048, how), examples()) for how in hows)
    assert packed[0] == pytest.approx(padded[0], rel=1e-5)
    assert apart(packed[1], padded[1]) < CLOSE


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3 as transformers has it, with as many ids as the examples use."""
    path = tmp_path_factory.mktemp("qwen3")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    config = Qwen3Config(vocab_size=grid.VOCABULARY, **sizes, **heads, tie_word_embeddings=False)
    Qwen3ForCausalLM(config).to(torch.float32).save_pretrained(path)
    return path


BEYOND = replace(RECIPE, targets=(*TARGETS, *EMBEDDINGS))


@pytest.fixture(scope="module")
def beyond(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> LoraTrainer:
    return LoraTrainer(plain, BEYOND, tmp_path_factory.mktemp("beyond"), 2048)


def test_embedding_and_head_are_trained_and_saved_beside_the_projections(beyond: LoraTrainer) -> None:
    """And the embedding under the LoRA is not: it would be a copy of the base model's in every adapter."""
    base = {n: p.detach().clone() for n, p in beyond.model.named_parameters() if "lora_" not in n}
    report = beyond.train(TrainJob("one", examples(), 0), FakeStop())
    assert all(later < earlier for earlier, later in pairwise(report.losses))
    found, expected = matrices(report), dict.fromkeys(TARGETS, 4)
    embedding, head = "base_model.model.model.embed_tokens.lora_embedding_", "base_model.model.lm_head.lora_"
    assert Counter(n.split(".")[-3] for n in found if "layers" in n) == expected
    assert {n: [*t.shape] for n, t in found.items() if "layers" not in n} == {
        f"{embedding}A": [8, grid.VOCABULARY],
        f"{embedding}B": [32, 8],
        f"{head}A.weight": [8, 32],
        f"{head}B.weight": [grid.VOCABULARY, 8],
    }
    assert all(bool(tensor.any()) and tensor.dtype == torch.bfloat16 for tensor in found.values())
    settings = json.loads((report.adapter.path / "adapter_config.json").read_text())
    assert sorted(settings["target_modules"]) == sorted(BEYOND.targets)
    assert settings["modules_to_save"] is None
    after = dict(beyond.model.named_parameters())
    assert all(torch.equal(after[n], p) for n, p in base.items())


def test_adapters_with_embedding_and_head_are_repeatable_and_can_be_gone_on_with(
    beyond: LoraTrainer, tmp_path: Path
) -> None:
    first, start = learned(beyond), saved(beyond, tmp_path)
    assert learned(beyond, "two", STACK) != first
    assert learned(beyond) == first
    begun = beyond.train(TrainJob("two", examples(), 0), FakeStop())
    assert beyond.train(TrainJob("two", examples(), 0, start), FakeStop()).losses[0] < begun.losses[-1]
    assert vectors(beyond, examples(), "gradients").any()


def test_the_adapter_with_embedding_and_head_is_the_one_peft_and_adamw_come_to_by_the_book(
    plain: Path, tmp_path: Path
) -> None:
    """Of each step all matrices move by the rate but the embedding's, which move by a tenth of it."""
    recipe = replace(BEYOND, tokens=10**6, steps=5)
    trainer, mixed = LoraTrainer(plain, recipe, tmp_path, 2048, gpu_like(plain, dtype="float32")), examples(cap=3)
    trainer.adapters.draw(0, seed_for(0, "one", "adapter"))
    start = {n: v.clone() for n, v in trainer.adapters.views(trainer.adapters.served, 0).items()}
    report = trainer.train(TrainJob("one", mixed, 0), FakeStop())
    model = base_model.with_peft(plain, recipe, trainer.how)
    slow = {n for n, _ in model.named_parameters() if "lora_embedding" in n}
    assert len(slow) == 2
    losses = by_the_book(model, start, recipe, mixed, slow)
    assert report.losses == pytest.approx(losses, rel=1e-5)
    expected = {trainer.adapters.saved_name(n): p.detach() for n, p in model.named_parameters() if p.requires_grad}
    assert apart(matrices(report), expected) < CLOSE


def test_loras_on_embedding_or_head_of_the_shipped_architecture_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected the seven projections alone, as embedding and head of"):
        LoraTrainer(weights, BEYOND, tmp_path, 2048)


@pytest.mark.parametrize("recipe", [RECIPE, BEYOND], ids=["projections", "embedding and head, too"])
def test_the_loss_in_pieces_is_the_loss_over_the_whole_vocabulary(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: TrainRecipe
):
    """In float32, with pieces that do not divide the tokens."""
    monkeypatch.setattr(base_model, "LOSS_PIECE", 7)
    trainer = LoraTrainer(plain, recipe, tmp_path, 2048, gpu_like(plain, dtype="float32"))
    whole = gradients(trainer, examples())
    trainer.how = replace(trainer.how, pieces=True)
    pieces = gradients(trainer, examples())
    assert pieces[0] == pytest.approx(whole[0], rel=1e-5)
    for name, gradient in whole[1].items():
        assert torch.allclose(pieces[1][name], gradient, atol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "weights"])
@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_norms_in_one_operation_give_transformers_loss_and_gradients(
    kind: str, dtype: str, most: float, request: pytest.FixtureRequest, tmp_path: Path
):
    path = request.getfixturevalue(kind)
    trainer = LoraTrainer(path, RECIPE, tmp_path, 2048, gpu_like(path, dtype=dtype))
    before = gradients(trainer, examples())
    base_model.fuse_norms(trainer.model)
    after = gradients(trainer, examples())
    assert after[0] == pytest.approx(before[0], rel=most)
    assert apart(after[1], before[1]) < most


def test_in_float16_a_training_learns_as_in_bfloat16(plain: Path, tmp_path: Path):
    losses = {}
    for dtype in ("float16", "bfloat16"):
        trainer = LoraTrainer(plain, RECIPE, tmp_path / dtype, 2048, gpu_like(plain, dtype=dtype, pieces=True))
        report = trainer.train(TrainJob("one", examples(cap=2), 0), FakeStop())
        assert trainer.scaler.is_enabled() == (dtype == "float16")
        losses[dtype] = report.losses
    assert losses["float16"][-1] < losses["float16"][0]
    assert losses["float16"] == pytest.approx(losses["bfloat16"], rel=0.02)


def test_in_float16_a_step_whose_gradients_overflow_is_left_out_and_the_scale_halved(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trainer = LoraTrainer(plain, RECIPE, tmp_path, 2048, gpu_like(plain, dtype="float16"))
    trainer.begin()
    trainer.adapters.draw(0, 0)
    [master] = trainer.adapters.masters
    before = master.clone()

    def overflowing(groups: list[list[Example]]) -> torch.Tensor:
        return torch.stack([p.float().sum() for p in trainer.adapters.parameters.values()]).sum()[None] * 1000.0

    monkeypatch.setattr(trainer, "losses", overflowing)
    trainer.step([examples()], 0.1)
    assert torch.equal(master, before)
    assert trainer.scaler.get_scale() == module.FIRST_SCALE / 2
    trainer.begin()
    assert trainer.scaler.get_scale() == module.FIRST_SCALE  # the next task's training starts as this one did


def test_the_arguments_for_four_bits_are_those_bitsandbytes_knows():
    made = base_model.four_bits(torch.float16)
    assert made.load_in_4bit
    assert (made.bnb_4bit_quant_type, made.bnb_4bit_compute_dtype) == ("nf4", torch.float16)


def test_a_trainer_that_rests_takes_its_weights_along_and_back(plain: Path, tmp_path: Path):
    """To a device without storage, which stands for the machine's memory: there is no other one here."""
    trainer = LoraTrainer(plain, RECIPE, tmp_path, 2048, gpu_like(plain))
    parameters = dict(trainer.adapters.parameters)
    trainer.offload()
    trainer.reload()
    assert all(trainer.adapters.parameters[name] is parameters[name] for name in parameters)
    trainer._move("meta")
    assert {p.device.type for p in trainer.model.parameters()} == {"meta"}


@pytest.fixture
def exact(weights: Path) -> Callable[[TrainRecipe, Path], LoraTrainer]:
    """Makes trainers whose model is in float32, where rounding hides nothing."""
    how = gpu_like(weights, dtype="float32")
    return lambda recipe, folder: LoraTrainer(weights, recipe, folder, 2048, how)


def matrices(report: TrainReport) -> dict[str, torch.Tensor]:
    assert report.adapter is not None
    return load_file(report.adapter.path / "adapter_model.safetensors")


def apart(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """How far two adapters are from each other, of their size; AdamW makes much of gradients next to nothing."""
    assert found.keys() == expected.keys()
    gap = sum(float((tensor - expected[name]).square().sum()) for name, tensor in found.items())
    return math.sqrt(gap / sum(float(tensor.square().sum()) for tensor in expected.values()))


def by_the_book(
    model: Any, start: dict[str, torch.Tensor], recipe: TrainRecipe, examples: list[Example], slow: Collection[str] = ()
) -> list[float]:
    """The same training with peft's own layers, one padded batch of all examples a step, and torch's AdamW.

    `slow`: what is trained at the embedding's rate.
    """
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(start[name])
    groups = [[p for n, p in parameters.items() if (n in slow) == late] for late in (False, True)]
    optimizer = torch.optim.AdamW([{"params": own} for own in groups if own], weight_decay=0.0)
    ids = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(e.tokens).long() for e in examples], True)
    wanted = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(e.loss) for e in examples], True)
    pace, losses = Pace(recipe, FakeStop()), []
    while (share := pace.next_share()) is not None:
        for group, factor in zip(optimizer.param_groups, (1.0, recipe.embedding_rate), strict=False):
            group["lr"] = recipe.rate * share * factor
        if isinstance(inner := model.base_model.model, GridQwen3ForCausalLM):
            loss = mean_loss(inner, ids, wanted)
        else:
            logits = model(input_ids=ids[:, :-1]).logits[wanted[:, 1:]]
            loss = torch.nn.functional.cross_entropy(logits, ids[:, 1:][wanted[:, 1:]])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), recipe.clip)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_the_adapter_is_the_one_peft_and_adamw_come_to_by_the_book(exact: Any, weights: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, tokens=10**6, steps=5)
    trainer, mixed = exact(recipe, tmp_path), [*examples(cap=3), *examples(STACK, cap=3)]
    trainer.adapters.draw(0, seed_for(0, "one", "adapter"))
    start = {n: v.clone() for n, v in trainer.adapters.views(trainer.adapters.served, 0).items()}
    report = trainer.train(TrainJob("one", mixed, 0), FakeStop())
    model = base_model.with_peft(weights, recipe, trainer.how)
    losses = by_the_book(model, start, recipe, mixed)
    assert report.losses == pytest.approx(losses, rel=1e-5)
    expected = {n.replace(".default.", "."): p.detach() for n, p in model.named_parameters() if p.requires_grad}
    assert apart(matrices(report), expected) < CLOSE


def together(names: Sequence[str]) -> list[TrainJob]:
    tasks = [MIRROR, STACK, random_task([(2, 2), (3, 5), (4, 4)])]
    return [TrainJob(name, examples(task, cap=5), 0) for name, task in zip(names, tasks, strict=True)]


@pytest.mark.parametrize("even", [False, True], ids=["one after another", "padded to one product"])
def test_adapters_trained_side_by_side_are_those_trained_one_after_another(
    exact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, even: bool
) -> None:
    recipe = replace(RECIPE, steps=4, tokens=300)
    alone, trainer = (
        exact(recipe, tmp_path / "alone"),
        exact(replace(recipe, adapters_per_batch=3), tmp_path / "together"),
    )
    expected = [alone.train(x, FakeStop()) for x in together("abc")]
    if even:  # as on a GPU
        pack = module.packed_attention.pack
        monkeypatch.setattr(module.packed_attention, "pack", lambda groups, even: pack(groups, True))
        monkeypatch.setattr(module.packed_attention, "kernel", lambda _: module.packed_attention.padded)
    for made, wanted in zip(trainer.train_together(together("abc"), FakeStop()), expected, strict=True):
        assert made.losses == pytest.approx(wanted.losses, rel=1e-5)
        assert apart(matrices(made), matrices(wanted)) < CLOSE


def test_a_task_without_examples_has_no_part_in_the_batch(exact: Any, tmp_path: Path) -> None:
    trainer = exact(replace(RECIPE, steps=2, adapters_per_batch=3), tmp_path)
    first, _, last = together("abc")
    reports = trainer.train_together([first, TrainJob("b", [], 0), last], FakeStop())
    assert [r.adapter and r.adapter.name for r in reports] == ["a", None, "c"]
    assert [len(r.losses) for r in reports] == [2, 0, 2]


@pytest.mark.parametrize("side_by_side", [3, 1], ids=["side by side", "one after another"])
@pytest.mark.parametrize("even", [False, True], ids=["each its rows", "padded to one product"])
def test_a_task_whose_loss_is_not_finite_costs_itself_alone(
    exact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side_by_side: int, even: bool
) -> None:
    """Its adapter starts from numbers whose products overflow; the others come out as if it had not been there."""
    recipe = replace(RECIPE, steps=3, tokens=300, adapters_per_batch=side_by_side)
    trainer = exact(recipe, tmp_path)
    start = saved(trainer, tmp_path, "start")
    path = start.path / "adapter_model.safetensors"
    save_file({n: torch.full_like(tensor, 1e30) for n, tensor in load_file(path).items()}, path)
    if even:  # as on a GPU
        pack = module.packed_attention.pack
        monkeypatch.setattr(module.packed_attention, "pack", lambda groups, even: pack(groups, True))
        monkeypatch.setattr(module.packed_attention, "kernel", lambda _: module.packed_attention.padded)
    jobs = together("abc")
    wanted = [trainer.train(job, FakeStop()) for job in (jobs[0], jobs[2])]
    expected = [(one.losses, matrices(one)) for one in wanted]
    jobs[1] = replace(jobs[1], start_from=start)
    first, failed, last = trainer.train_together(jobs, FakeStop())
    reason = "the loss is not finite: the learning rate is too high for this task"
    assert (failed.adapter, failed.steps, failed.losses, failed.failure) == (None, 0, (), reason)
    for made, (losses, tensors) in zip((first, last), expected, strict=True):
        assert made.losses == pytest.approx(losses, rel=1e-5)
        assert apart(matrices(made), tensors) < CLOSE
    with pytest.raises(FloatingPointError, match=reason):
        trainer.train(jobs[1], FakeStop())


def test_in_float16_a_task_whose_loss_is_not_finite_leaves_the_steps_of_the_others(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Padded to one product, it is computed on: its gradients must not count as an overflow of all."""
    how = gpu_like(weights, dtype="float16")
    trainer = LoraTrainer(weights, replace(RECIPE, tokens=300, adapters_per_batch=3), tmp_path, 2048, how)
    start = saved(trainer, tmp_path, "start")
    path = start.path / "adapter_model.safetensors"
    save_file({n: torch.full_like(tensor, 1e4) for n, tensor in load_file(path).items()}, path)
    pack, steps = module.packed_attention.pack, list[torch.Tensor]()
    monkeypatch.setattr(module.packed_attention, "pack", lambda groups, even: pack(groups, True))
    monkeypatch.setattr(module.packed_attention, "kernel", lambda _: module.packed_attention.padded)
    jobs = together("abc")
    jobs[1] = replace(jobs[1], start_from=start)
    step = trainer.adapters.step

    def watched(*given: Any) -> None:
        before = trainer.adapters.masters.clone()
        step(*given)
        steps.append((trainer.adapters.masters != before).any(dim=1))

    monkeypatch.setattr(trainer.adapters, "step", watched)
    first, failed, last = trainer.train_together(jobs, FakeStop())
    assert [moved.tolist() for moved in steps] == [[True, False, True]] * 3
    assert failed.failure is not None
    assert all(one.losses[-1] < one.losses[0] for one in (first, last))


def test_where_the_attention_pads_sequences_each_counts_as_the_longest_of_its_batch(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, jobs = replace(RECIPE, tokens=300), [TrainJob("one", of_length(100, 30, 30, 30, 100, 30), 0)]
    pack, sizes = module.packed_attention.pack, list[list[int]]()

    def watched(groups: Sequence[Sequence[Example]], even: bool) -> Any:
        sizes.append([example.tokens.size for example in groups[0]])
        return pack(groups, even)

    monkeypatch.setattr(module.packed_attention, "pack", watched)
    for kernel, expected in (
        (module.packed_attention.by_products, [100, 30, 30, 30, 100]),
        (module.packed_attention.padded, [100, 30, 30]),
    ):
        monkeypatch.setattr(module.packed_attention, "kernel", lambda _, kernel=kernel: kernel)
        LoraTrainer(weights, recipe, tmp_path, 2048, gpu_like(weights)).train_together(jobs, FakeStop(), steps=1)
        assert sizes.pop() == expected


def test_more_adapters_than_fit_a_batch_share_the_seconds(exact: Any, tmp_path: Path) -> None:
    trainer = exact(replace(RECIPE, steps=50, adapters_per_batch=2), tmp_path)
    reports = trainer.train_together(together("abc"), FakeStop(left=12.0, cost=1.0))
    steps = [r.steps for r in reports]
    assert steps[0] == steps[1] > steps[2] > 0  # two thirds of the seconds for the first two, a third for the last
    assert sum(steps[1:]) <= 12


def test_whole_matrices_are_trained_as_if_they_were_the_model_s_own(weights: Path, tmp_path: Path) -> None:
    """AdamW's first step moves every number of a matrix against its own gradient's sign, all by the same."""
    recipe = replace(RECIPE, whole=True, rank=64, alpha=8, rate=1e-3, steps=1, clip=1e9)  # with rsLoRA scaled by 1
    trained = LoraTrainer(weights, recipe, tmp_path, 2048)
    report = trained.train(TrainJob("whole", examples(), 0), FakeStop())
    assert report.adapter is not None
    saved = load_file(report.adapter.path / "adapter_model.safetensors")
    model = GridQwen3ForCausalLM.from_pretrained(weights, dtype=torch.float32)
    wanted = sum(int(example.loss[1:].sum()) for example in examples())
    for example in examples():
        mask = torch.from_numpy(example.loss)[None]
        loss = mean_loss(model, torch.from_numpy(example.tokens)[None].long(), mask)
        (loss * int(mask[:, 1:].sum()) / wanted).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if n.endswith("proj.weight")}
    assert len(gradients) == 7 * 2
    for name, gradient in gradients.items():
        assert gradient is not None
        place = f"base_model.model.{name.removesuffix('.weight')}"
        change = saved[f"{place}.lora_B.weight"].float() @ saved[f"{place}.lora_A.weight"].float()
        large = gradient.abs() > gradient.abs().median()
        assert (change.sign() == -gradient.sign())[large].float().mean() > 0.97, name
        assert change[large].abs().median() == pytest.approx(float(change.abs().max()), rel=0.01), name


def test_whole_matrices_of_a_model_wider_than_the_rank_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"want a LoRA rank of at least .*: raise the rank, or train LoRAs"):
        LoraTrainer(weights, replace(RECIPE, whole=True, rank=8), tmp_path, 2048)


# ---- a head alone ----------------------------------------------------------------------------------------------------

HEAD = replace(RECIPE, head=True)


@pytest.fixture(scope="module")
def headed(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> LoraTrainer:
    return LoraTrainer(weights, HEAD, tmp_path_factory.mktemp("heads"), 2048)


def test_a_head_is_trained_alone_and_saved_alone(headed: LoraTrainer, weights: Path) -> None:
    frozen = {n: p.detach().clone() for n, p in headed.model.named_parameters() if "lm_head" not in n}
    report = headed.train(TrainJob("head", examples(), 0), FakeStop())
    after = dict(headed.model.named_parameters())
    assert all(torch.equal(after[n], p) for n, p in frozen.items())
    trained = {n for n, p in after.items() if p.requires_grad}
    assert after.keys() - frozen.keys() == trained == {*headed.adapters.parameters}
    assert all(later < earlier for earlier, later in pairwise(report.losses))
    assert report.adapter is not None
    settings = report.adapter.path / "adapter_config.json"
    assert {*report.adapter.path.iterdir()} == {report.adapter.path / "adapter_model.safetensors", settings}
    assert json.loads(settings.read_text()) == {"head": True}
    [(name, saved)] = matrices(report).items()
    base = load_file(weights / "model.safetensors")[name]
    assert (name, saved.shape, saved.dtype) == ("lm_head.weight", base.shape, base.dtype)


def test_a_head_is_the_same_byte_for_byte_by_seed_and_name_whatever_was_trained_before(
    headed: LoraTrainer, weights: Path, tmp_path: Path
) -> None:
    first = learned(headed)
    assert learned(headed, "two", STACK) != first
    assert learned(headed, seed=1) != first
    assert learned(headed) == first
    assert learned(LoraTrainer(weights, HEAD, tmp_path, 2048)) == first


def test_a_head_is_the_one_adamw_comes_to_from_a_fresh_draw_over_the_base_models_states(
    exact: Any, weights: Path, tmp_path: Path
) -> None:
    recipe = replace(HEAD, tokens=10**6, steps=5)
    trainer, mixed = exact(recipe, tmp_path), [*examples(cap=3), *examples(STACK, cap=3)]
    trainer.adapters.draw(0, seed_for(0, "one", "adapter"))
    [start] = trainer.adapters.views(trainer.adapters.served.clone(), 0).values()
    report = trainer.train(TrainJob("one", mixed, 0), FakeStop())
    model = GridQwen3ForCausalLM.from_pretrained(weights, dtype=torch.float32).requires_grad_(False)
    assert start.abs().max() == pytest.approx(1 / math.sqrt(model.config.hidden_size), rel=0.01)
    assert not torch.allclose(start, model.lm_head.weight, atol=0.1)
    model.lm_head.requires_grad_(True)
    book = SimpleNamespace(
        named_parameters=lambda: [("head", model.lm_head.weight)], base_model=SimpleNamespace(model=model)
    )
    assert report.losses == pytest.approx(by_the_book(book, {"head": start}, recipe, mixed), rel=1e-5)
    assert apart(matrices(report), {"lm_head.weight": model.lm_head.weight.detach()}) < CLOSE


def test_a_head_can_start_from_another_and_from_no_lora(
    headed: LoraTrainer, trainer: LoraTrainer, tmp_path: Path
) -> None:
    start = saved(headed, tmp_path)
    first = headed.train(TrainJob("two", examples(), 0), FakeStop())
    later = headed.train(TrainJob("two", examples(), 0, start), FakeStop())
    assert later.losses[0] < first.losses[-1]
    with pytest.raises(ValueError, match="head is None: expected True"):
        headed.train(TrainJob("two", examples(), 0, saved(trainer, tmp_path, "lora")), FakeStop())
    with pytest.raises(ValueError, match="r is None: expected 8"):
        trainer.train(TrainJob("two", examples(), 0, start), FakeStop())


@pytest.mark.parametrize("pieces", [False, True])
def test_the_head_of_a_model_of_another_architecture_is_trained_alone_too(
    plain: Path, tmp_path: Path, pieces: bool
) -> None:
    trainer = LoraTrainer(plain, HEAD, tmp_path, 2048, gpu_like(plain, pieces=pieces, checkpointing=pieces))
    report = trainer.train(TrainJob("one", examples(cap=2), 0), FakeStop())
    assert report.losses[-1] < report.losses[0]
    assert {*trainer.adapters.parameters} == {"base_model.model.lm_head.weight"}
    assert matrices(report)["lm_head.weight"].shape == (grid.VOCABULARY, 32)


def test_a_head_that_is_the_embedding_is_refused(plain: Path, tmp_path: Path) -> None:
    model = Qwen3ForCausalLM.from_pretrained(plain)
    model.config.tie_word_embeddings = True
    model.save_pretrained(tmp_path / "tied")
    with pytest.raises(ValueError, match="the head is the embedding and can't be trained alone"):
        LoraTrainer(tmp_path / "tied", HEAD, tmp_path, 2048)
