"""The memory plan: its arithmetic against measured activations, its laws on every card, README's table."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

from solver import cli
from solver.config.presets import PRESETS
from solver.config.settings import EMBEDDINGS, TARGETS, SearchSettings
from solver.hardware import memory_plan
from solver.hardware.gpus import CARDS, GIB, Card, Shown
from solver.hardware.memory_plan import (
    RESIDENT,
    ROUNDS,
    activations,
    contexts,
    engine_work,
    layer_activations,
    lines,
    plan,
    steps,
    trainer_work,
)
from solver.model.architecture import DESCRIBED, LLAMA_3_8B, QWEN3_4B, from_config, read
from solver.model.checkpoint import SHIPPED
from solver.types import BadInput

L4 = PRESETS["kaggle-l4x4"]
H200 = PRESETS["h200"]
every_card = pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
every_model = pytest.mark.parametrize("model", [read(SHIPPED), *DESCRIBED.values()], ids=lambda model: model.name)


def saved_bytes(model, tokens: int) -> int:
    """Bytes a forward pass keeps for the way back, each storage once, weights aside."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model.base_model.model.model(torch.zeros(1, tokens, dtype=torch.long))
    assert output.last_hidden_state.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("config", [Qwen3Config, LlamaConfig])
@pytest.mark.parametrize(("hidden", "inner", "keys", "head"), [(64, 160, 2, 16), (64, 320, 2, 16), (128, 160, 4, 32)])
def test_activations_are_what_transformers_and_peft_keep(config, hidden, inner, keys, head, one_thread):
    import peft

    made = config(
        hidden_size=hidden,
        intermediate_size=inner,
        num_key_value_heads=keys,
        head_dim=head,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=16,
    )
    lora = peft.LoraConfig(task_type="CAUSAL_LM", r=8, target_modules=list(TARGETS))
    base = AutoModelForCausalLM.from_config(made).to(torch.bfloat16)
    model = peft.get_peft_model(base, lora, autocast_adapter_dtype=False).train()
    counted = from_config("tiny", made.to_dict())
    assert activations(counted, 256, 8, False) == pytest.approx(saved_bytes(model, 256), rel=0.08)
    base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    one_layer = 2 * 256 * layer_activations(counted, 8)  # made again one at a time, so not among those kept
    assert activations(counted, 256, 8, True) - one_layer == pytest.approx(saved_bytes(model, 256), rel=0.1)


def test_activations_logits_and_optimizer_of_qwen3_4b_are_those_worked_out_by_hand():
    """8,192 tokens: a layer keeps 6 × 2560 + 4 × 9728 + 4 × 5120 + 7 × 32 = 74,976 numbers a token."""
    assert layer_activations(QWEN3_4B, 32) == 74_976
    again = 2 * 8192 * (36 * 2560 + 74_976 + 2 * 2560)
    assert activations(QWEN3_4B, 8192, 32, True) == again
    assert activations(QWEN3_4B, 8192, 32, False) == 2 * 8192 * (36 * 74_976 + 2 * 128 + 2 * 2560)
    assert trainer_work(QWEN3_4B, 8192, 32, True) == again + 2 * 8192 * 74_976 + 151_936 * 512 * 16
    made = plan(QWEN3_4B, CARDS["h200"], H200)
    assert made.adapters == 66_060_288 * 24
    assert made.engine_adapters == 16 * 66_060_288 * 2
    assert made.trainer_weights == made.engine_weights == 8_044_936_192


def test_a_head_to_be_trained_counts_in_the_place_of_a_lora():
    """Llama 3: 128,256 rows of 4,096; the shipped model: 116 outputs."""
    head = replace(H200, train=replace(H200.train, head=True, adapters_per_batch=1))
    for model, numbers in ((LLAMA_3_8B, 128_256 * 4096), (read(SHIPPED), 116 * read(SHIPPED).hidden)):
        made = plan(model, CARDS["h200"], head)
        assert made.adapters == numbers * 24


def test_loras_on_embedding_and_head_count_beside_those_on_the_projections():
    """Llama 3, rank 32: 128,256 ids and 4,096 numbers each; another product of 512 tokens' logits in a step."""
    plain = plan(LLAMA_3_8B, CARDS["h200"], H200)
    more = 0
    for targets, work in {
        ("embed_tokens",): 2 * (16384 * (32 + 2 * 4096) + 128_256 * 32),
        ("lm_head",): 2 * 16384 * 32 + 512 * 128_256 * 6,
    }.items():
        wider = replace(H200, train=replace(H200.train, targets=(*TARGETS, *targets)))
        found, numbers = plan(LLAMA_3_8B, CARDS["h200"], wider), 32 * (128_256 + 4096)
        assert found.adapters - plain.adapters == numbers * 24
        assert found.engine_adapters - plain.engine_adapters == 16 * numbers * 2
        assert found.trainer_work - plain.trainer_work == work
        more += work
    both = replace(H200, train=replace(H200.train, targets=(*TARGETS, *EMBEDDINGS)))
    assert plan(LLAMA_3_8B, CARDS["h200"], both).trainer_work - plain.trainer_work == more


def test_the_whole_vocabulary_costs_the_engine_a_row_a_sequence_and_a_whole_reply_where_candidates_are_read_again():
    assert engine_work(QWEN3_4B, 4096, 300) - engine_work(QWEN3_4B, 4096, 0) == 300 * 151_936 * 12
    reread = replace(H200, search=SearchSettings(views=4))
    plain, more = (plan(QWEN3_4B, CARDS["h200"], c).engine_work for c in (H200, reread))
    assert more - plain == (931 - 512) * 151_936 * 12


@every_card
@every_model
def test_a_plan_stays_within_the_card_and_holds_what_its_engine_must(model, card):
    preset = PRESETS[memory_plan.PRESET_OF[card.name]]
    if (model.name, card.name) == ("llama-3-8b", "t4"):  # 15 GiB of weights on a card with 14.5
        with pytest.raises(BadInput, match="does not fit on t4"):
            plan(model, card, preset)
        return
    made = plan(model, card, preset)
    assert made.peak == max(made.training, made.sampling) <= card.usable * (1 - memory_plan.SPARE)
    assert made.cache_bytes >= min(2, made.sequences) * made.context * model.cache_bytes
    assert 1 <= made.sequences <= preset.engine.sequences
    assert made.context <= preset.engine.context
    assert all(getattr(made, f.name) >= 0 for f in fields(made) if f.type == "int")
    assert made.trainer_weights > 0
    assert made.engine_weights > 0
    assert 0 < made.gpu_share < 1
    assert made.two_processes > made.training


def test_a_process_that_shares_a_card_asks_the_engine_for_a_share_of_the_whole():
    card = Shown("NVIDIA H200", 140 * GIB, 139 * GIB, (9, 0), "").part(0.25)
    made = plan(read(SHIPPED), card, PRESETS["h200"])
    assert made.peak <= card.usable < 35 * GIB
    engine = (memory_plan.CUDA_CONTEXT + made.engine + made.engine_work) / (140 * GIB)
    assert 0.025 <= made.gpu_share <= max(0.025, 1.1 * engine)


@pytest.mark.parametrize(
    ("model", "card", "layout"),
    [
        (read(SHIPPED), "t4", RESIDENT),
        (QWEN3_4B, "h100", RESIDENT),
        (LLAMA_3_8B, "h200", RESIDENT),
        (QWEN3_4B, "l4", ROUNDS),
        (DESCRIBED["qwen3-4b-16"], "l4", ROUNDS),
        (DESCRIBED["llama-3-8b-4bit"], "t4", ROUNDS),
    ],
)
def test_both_stay_resident_where_they_fit_and_take_turns_where_they_do_not(model, card, layout):
    made = plan(model, CARDS[card], PRESETS[memory_plan.PRESET_OF[card]])
    assert made.layout == layout
    if layout == ROUNDS:
        assert made.training + made.engine > CARDS[card].usable  # no room for the engine beside training


def test_in_rounds_neither_side_counts_the_others_weights():
    made = plan(QWEN3_4B, CARDS["l4"], L4)
    trainer = made.trainer + made.trainer_work
    assert made.training == memory_plan.CUDA_CONTEXT + memory_plan.GRAPHS + trainer
    assert made.sampling == memory_plan.CUDA_CONTEXT + made.engine + made.engine_work


def test_adapters_stay_beside_an_engine_that_samples_where_both_are_resident():
    made = plan(QWEN3_4B, CARDS["h200"], H200)
    kept = made.sampling - memory_plan.CUDA_CONTEXT - made.engine - made.engine_work
    assert kept == 8_044_936_192 + 66_060_288 * 24


def test_activations_are_computed_again_before_the_step_or_the_context_is_made_smaller():
    def at(usable: float, context: int = 2048):
        engine = replace(L4.engine, context=context, adapters=1, sequences=2, rank=8)
        config = replace(L4, group=1, engine=engine, train=replace(L4.train, tokens=16384, rank=8))
        return plan(QWEN3_4B, Card("card", int(usable * GIB), (9, 0)), config)

    wide, less, small = at(150), at(40), at(12)
    assert (wide.layout, wide.checkpointing, wide.tokens) == (RESIDENT, False, 16384)
    assert (less.checkpointing, less.tokens) == (True, 16384)
    assert small.tokens < 16384
    assert small.context == 2048
    assert "tokens a training step" in small.notes[0]


def test_the_context_is_shortened_last_and_the_plan_says_so():
    made = plan(QWEN3_4B, CARDS["t4"], PRESETS["kaggle-t4x2"])
    assert made.context < 8192
    assert f"context {made.context:,} instead of 8,192" in made.notes
    assert made.line.endswith("; ".join(made.notes))
    assert contexts(PRESETS["kaggle-t4x2"]) == [8192, 6144, 4096, 3072, 2048]


def test_a_step_is_never_planned_below_the_longest_example():
    assert steps(H200, 8192) == [16384, 8192]
    assert steps(replace(H200, train=replace(H200.train, tokens=1000)), 8192) == [1000]


@pytest.mark.parametrize(
    ("model", "card", "bits", "advice"),
    [
        (LLAMA_3_8B, CARDS["t4"], 16, "weights stored in 4 bits, or a card like l4 (22.0 GiB)"),
        (LLAMA_3_8B, Card("a card", 20 * GIB, (8, 0)), 16, "train.bits 4, or a card like l4 (22.0 GiB)"),
        (DESCRIBED["llama-3-8b-4bit"], Card("a card", 6 * GIB, (8, 0)), 4, "a card like t4 (14.5 GiB)"),
        (replace(LLAMA_3_8B, layers=400), CARDS["l4"], 16, "a smaller model"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_with_what_it_takes_and_what_would(model, card, bits, advice):
    config = replace(L4, train=replace(L4.train, bits=bits))
    with pytest.raises(BadInput) as caught:
        plan(model, card, config)
    planned = f"{card.usable * (1 - memory_plan.SPARE) / GIB:.1f} of {card.usable / GIB:.1f} are planned with"
    assert str(caught.value).endswith(f"{planned}: expected {advice}")
    assert str(caught.value).startswith(f"{model.name} does not fit on {card.name}: ")


def test_each_adapter_of_a_batch_counts_with_its_optimizer_and_its_tokens():
    """And where they don't fit, fewer are trained at a time, before anything else is given up."""
    model, sixteen = read(SHIPPED), plan(read(SHIPPED), CARDS["h200"], H200)
    alone = plan(model, CARDS["h200"], replace(H200, train=replace(H200.train, adapters_per_batch=1)))
    numbers = model.adapter(H200.train.rank)
    assert (sixteen.together, alone.together) == (16, 1)
    assert sixteen.adapters - alone.adapters == 15 * 20 * numbers
    assert sixteen.trainer_work == trainer_work(model, 16 * 16384, 32, False) > 15 * alone.trainer_work
    fewer = plan(model, Card("card", 13 * GIB, (9, 0)), H200)
    assert 1 < fewer.together < 16
    assert (fewer.layout, fewer.tokens, fewer.checkpointing) == (RESIDENT, 16384, False)
    assert f"adapters in a training batch {fewer.together} instead of 16" in fewer.line
    assert fewer.settings(H200).train.adapters_per_batch == fewer.together
    assert plan(QWEN3_4B, CARDS["h200"], H200).together == 1  # the trainer takes these one after another
    assert plan(QWEN3_4B, CARDS["h200"], H200).settings(H200).train.adapters_per_batch == 16


def test_training_in_four_bits_shrinks_the_trainers_weights_alone():
    four = plan(QWEN3_4B, CARDS["h100"], replace(H200, train=replace(H200.train, bits=4)))
    assert four.trainer_weights == QWEN3_4B.weight_bytes(4) < four.engine_weights
    assert four.engine_weights == QWEN3_4B.weight_bytes(16)


def test_without_training_steps_nothing_is_kept_for_a_trainer():
    made = plan(QWEN3_4B, CARDS["l4"], replace(L4, train=replace(L4.train, steps=0), train_share=0.0))
    assert made.trainer == made.trainer_work == 0
    assert made.layout == RESIDENT


def test_the_plans_settings_take_the_place_of_the_runs():
    made = plan(QWEN3_4B, CARDS["t4"], PRESETS["kaggle-t4x2"])
    config = made.settings(PRESETS["kaggle-t4x2"])
    engine = config.engine
    assert (engine.context, engine.cache_bytes, engine.sequences) == (made.context, made.cache_bytes, made.sequences)
    assert (engine.dtype, engine.sleeps) == ("float16", True)
    assert config.train.tokens == made.tokens
    assert config.views == PRESETS["kaggle-t4x2"].views


def test_the_printed_plan_adds_up_to_what_it_says():
    made = plan(QWEN3_4B, CARDS["h100"], H200)
    text = list(lines(made))
    assert text[0].startswith("qwen3-4b on h100: resident")
    parts = [float(line.split()[0]) for line in text[1:10]]
    beside = made.engine_work / GIB  # training is the worse moment here, and the engine's step not part of it
    assert made.peak == made.training
    assert sum(parts) == pytest.approx(made.peak / GIB + beside, abs=0.3)


def test_the_readme_has_the_table_as_it_is_now():
    readme = Path(memory_plan.__file__).with_name("README.md").read_text()
    assert f"\n\n{memory_plan.table()}\n\n" in readme, "put what `python -m solver plan` prints into hardware/README.md"


def said(*argv: str) -> str:
    return cli.planned(cli.parse(["--plan", *argv]))


def test_a_plan_is_printed_for_a_card_that_is_not_there_with_the_preset_meant_for_it():
    assert said("L4", "--plan-model", "qwen3-4b").startswith("qwen3-4b on l4: rounds")
    assert said("t4").startswith("grid-3m on t4: resident")
    assert "256 sequences" in said("l4", "--views", "4")
    assert "128 sequences" in said("l4", "--preset", "kaggle-t4x2")


def test_a_model_without_weights_needs_a_card_and_a_plan(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BadInput, match="--plan-model qwen3-4b came with --plan for a CPU: expected --weights"):
        cli.cpu_is_meant(cli.parse(["--plan", "--plan-model", "qwen3-4b"]))
    with pytest.raises(SystemExit):
        cli.parse(["--plan-model", "qwen3-4b"])
    assert "--plan-model is 'qwen3-4b': expected to come with --plan" in capsys.readouterr().err
