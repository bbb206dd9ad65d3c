"""The time plan for a CPU: what is counted against what torch counts, its arithmetic, what it says and refuses."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from torch.utils.flop_counter import FlopCounterMode

import submission
from solver import cli
from solver.clock import Deadline
from solver.config.flags import seconds
from solver.config.presets import PRESETS
from solver.config.settings import Config, TrainRecipe
from solver.hardware import cpu_work, time_plan
from solver.hardware.cpu_work import CpuRates, CpuWork, decoding_step, prefill, training_step
from solver.hardware.gpus import GIB
from solver.hardware.time_plan import CpuMachine, Lengths, at_once, lengths, lines, plan, process_bytes
from solver.model.architecture import LLAMA_3_8B, Model, read
from solver.model.checkpoint import SHIPPED
from solver.runtime import prepare
from solver.tokens.grid import GRID
from solver.training import machine_rates, packed_attention
from solver.training.trainer import LoraTrainer
from solver.types import BadInput, TrainJob
from tests.support.checkpoints import random_weights
from tests.support.fakes import MIRROR, STACK, FakeStop, leave_one_out, random_task

TINY = Model("tiny", "llama", 2, 8, 2, 1, 4, 16, 10, tied=True)
SMOL = Model("smollm2", "llama", 30, 576, 9, 3, 64, 1536, 49152, tied=True)
RATES = CpuRates(layers=1e11, lora=5e10, attention=5e10, elementwise=1e10, weights=1e10, launches=1e5)
MACHINE = CpuMachine(processes=2, threads=1, memory=64 * GIB, rates=RATES)
SIZES = Lengths(count=20, tests=1.0, example=1000, prompt=900, reply=100, longest=3000)
CONFIG = PRESETS["cpu"]


def test_operations_of_a_tiny_training_step_are_those_worked_out_by_hand():
    """A layer's projections have 192 + 384 weights, a LoRA of rank 2 on them 256 numbers; 4 tokens attend to all 4."""
    work = training_step(TINY, 2, 1, 4)
    assert work.layers == 4 * 4 * (2 * (192 + 384) + 10 * 8)
    assert work.lora == 6 * 4 * 2 * 256
    assert work.attention == 6 * (2 * 4) * (2 * 2) * (4 * 4)
    assert training_step(TINY, 2, 3, 4).layers == 3 * work.layers
    assert training_step(TINY, 2, 3, 4).attention == 3 * work.attention


@pytest.mark.usefixtures("one_thread")
def test_operations_of_a_training_step_are_those_that_torch_counts(tmp_path):
    """But for the first layer, whose inputs have no gradients."""
    weights = random_weights(tmp_path / "weights", "llama", 64, num_hidden_layers=8)
    trainer = LoraTrainer(weights, TrainRecipe(rank=8, tokens=600), tmp_path, 2048)
    task = random_task([(8, 8)] * 2)
    [example] = leave_one_out(task, 1, 0, 2048)
    trainer.train(TrainJob("first", [replace(example, tokens=example.tokens % 64)], 0), FakeStop(), 1)
    with FlopCounterMode(display=False) as counter:
        trainer.train(TrainJob("second", [replace(example, tokens=example.tokens % 64)], 0), FakeStop(), 1)
    work = training_step(read(weights), 8, 1, example.tokens.size - 1)
    assert work.layers + work.lora + work.attention == pytest.approx(counter.get_total_flops(), rel=0.06)


def test_what_the_trainer_s_attention_and_searches_are_like_is_what_was_counted():
    assert (packed_attention.CHUNK, packed_attention.KEPT) == (cpu_work.ATTENDED, cpu_work.KEPT)
    assert prepare.LONGEST_SEARCH == time_plan.LONGEST_SEARCH


def test_a_prompt_takes_half_of_a_training_step_s_products_and_an_engine_s_step_reads_every_matrix_once():
    step, prompt = training_step(SMOL, 32, 1, 1024), prefill(SMOL, 32, 1024)
    assert prompt.layers - 2 * 49152 * 576 == pytest.approx(2 * 1024 * SMOL.projections)
    assert prompt.lora == step.lora / 3
    assert prefill(SMOL, 0, 1024).lora == 0
    said = decoding_step(SMOL, 32, 4, 8, 1000)
    assert said.weights == 2 * (SMOL.projections + 49152 * 576 + 4 * SMOL.adapter(32))
    assert decoding_step(SMOL, 32, 0, 8, 1000).launches < said.launches


@pytest.mark.parametrize("model", [SMOL, read(SHIPPED)], ids=lambda model: model.name)
def test_more_of_anything_never_takes_less(model):
    def step(sequences, length):
        return training_step(model, 32, sequences, length).seconds(RATES)

    assert step(1, 1000) < step(1, 1100) < step(1, 2048) < step(1, 2049) < step(2, 2049)
    assert prefill(model, 32, 100).seconds(RATES) < prefill(model, 32, 200).seconds(RATES)
    few = decoding_step(model, 32, 1, 1, 100).seconds(RATES)
    assert few < min(decoding_step(model, 32, *more).seconds(RATES) for more in ((2, 1, 100), (1, 2, 100), (1, 1, 200)))


def test_seconds_are_counts_over_rates():
    assert CpuWork(layers=2e11, launches=1e5).seconds(RATES) == pytest.approx(3.0)
    assert CpuWork().seconds(RATES) == 0
    assert [f.name for f in fields(CpuWork)] == [f.name for f in fields(CpuRates)]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused_by_name(rate):
    with pytest.raises(ValueError, match=r"elementwise is .* a second: expected a number above 0"):
        replace(RATES, elementwise=rate)


def test_lengths_are_medians_over_tasks_and_the_longest_example():
    small, large = random_task([(2, 2)] * 2), random_task([(5, 5)] * 3)
    of_small, of_large = (GRID.pairs_length(task.demonstrations) for task in (small, large))
    sizes = lengths([small, large, large], 4096, GRID)
    assert (sizes.count, sizes.tests, sizes.example, sizes.longest) == (3, 1, of_large, of_large)
    assert sizes.prompt == GRID.prompt_length(large.demonstrations, large.tests[0])
    assert sizes.reply == 5 * 6 + 1
    assert lengths([small], 4096, GRID).example == of_small
    assert lengths([MIRROR, STACK], 4096, GRID).tests == 1.5


def test_what_does_not_fit_the_context_is_counted_as_the_context():
    sizes = lengths([random_task([(30, 30)] * 3)], 2000, GRID)
    assert (sizes.example, sizes.longest) == (2000, 2000)
    assert sizes.prompt < 2000


def test_no_tasks_and_weights_in_four_bits_are_refused():
    with pytest.raises(BadInput, match="there is no well-formed task to plan for"):
        lengths([], 4096, GRID)
    with pytest.raises(BadInput, match="llama-3-8b is stored in 4 bits: expected 16 for a CPU"):
        plan(replace(LLAMA_3_8B, bits=4), CONFIG, SIZES, MACHINE)


def test_as_many_replies_are_said_at_once_as_were_asked_for_or_fit_the_cache_or_the_engine():
    held = (1 << 30) // (SMOL.cache_bytes * 1000)
    assert at_once(SMOL, CONFIG, SIZES) == held < 4 * 16
    assert at_once(read(SHIPPED), CONFIG, SIZES) == 4 * 16
    assert at_once(read(SHIPPED), CONFIG, replace(SIZES, count=1)) == 16
    assert at_once(read(SHIPPED), replace(CONFIG, views=64, group=4), SIZES) == CONFIG.engine.sequences
    assert at_once(SMOL, CONFIG, replace(SIZES, prompt=10**6)) == 1


def test_a_step_is_as_full_as_its_tokens_and_examples_let_it_be():
    assert plan(SMOL, CONFIG, SIZES, MACHINE).sequences == 2
    assert plan(SMOL, CONFIG, replace(SIZES, example=5000), MACHINE).sequences == 1
    assert plan(SMOL, CONFIG, SIZES, MACHINE).step == training_step(SMOL, 32, 2, 1000).seconds(RATES)


def test_steps_have_their_share_of_a_task_s_seconds_and_views_the_rest():
    config = replace(CONFIG, time_limit=3600.0, programs=replace(CONFIG.programs, seconds=0.0))
    planned = plan(SMOL, config, SIZES, MACHINE)
    assert planned.usable == 3600 - config.reserve - time_plan.START
    assert planned.task == pytest.approx(planned.usable / 10 - 2 * planned.reply)
    assert planned.steps == int(0.65 * planned.task / planned.step) < 48
    assert planned.views == min(16, int((planned.task - planned.steps * planned.step) / planned.reply))
    with_programs = plan(SMOL, replace(config, programs=replace(config.programs, seconds=10.0)), SIZES, MACHINE)
    assert with_programs.programs == 10 * 10
    assert with_programs.task == pytest.approx(planned.task - 10)


def test_the_time_limit_it_names_is_enough_for_all_steps_and_views_and_four_fifths_are_not():
    """With searches as long as a run makes them in that time."""
    longest = replace(CONFIG, programs=replace(CONFIG.programs, seconds=time_plan.LONGEST_SEARCH))
    for asked in (
        longest,
        replace(longest, train=TrainRecipe(steps=0), train_share=0.0),
        replace(longest, train_share=0.9),
        replace(longest, programs=replace(CONFIG.programs, seconds=0.0)),
    ):
        enough = plan(SMOL, asked, SIZES, MACHINE).sufficient
        wide, narrow = (plan(SMOL, replace(asked, time_limit=x * enough), SIZES, MACHINE) for x in (1.001, 0.8))
        assert (wide.steps, wide.views) == (asked.train.steps, asked.views)
        assert narrow.steps < asked.train.steps or narrow.views < asked.views


def test_too_short_a_limit_fits_nothing_and_is_no_error():
    planned = plan(SMOL, replace(CONFIG, time_limit=5.0), SIZES, MACHINE)
    assert (planned.task, planned.steps, planned.views) == (0, 0, 0)
    assert "each task has 0.00 s: 0 of 48 training steps and 0 of 16 views fit" in "\n".join(lines(planned))


def test_memory_of_a_process_grows_with_the_longest_example_and_is_less_without_training():
    with_training = process_bytes(SMOL, CONFIG, SIZES)
    assert with_training > process_bytes(SMOL, CONFIG, replace(SIZES, longest=1000))
    untrained = process_bytes(SMOL, replace(CONFIG, train=TrainRecipe(steps=0)), SIZES)
    assert with_training - untrained > SMOL.weight_bytes(16)


def printed(config: Config, machine: CpuMachine = MACHINE) -> list[str]:
    return list(lines(plan(SMOL, config, SIZES, machine)))


def test_the_printed_plan_is_about_ten_lines_and_names_what_it_leaves_out():
    planned, text = plan(SMOL, CONFIG, SIZES, MACHINE), printed(CONFIG)
    assert len(text) <= 10
    assert text[0].startswith("smollm2 on this machine's CPU: 2 × 1 (processes × threads), at most ")
    assert "tasks: 20, 1.0 test inputs each; median tokens: 1,000 of an example, 900 of a prompt, 100" in text[2]
    assert f"of 48 training steps and {planned.views} of 16 views fit" in text[6]
    named = text[7].partition("--time-limit ")[2]
    assert 0 <= seconds(named) - planned.sufficient < 60
    assert not any("note" in line for line in text)
    little = printed(CONFIG, replace(MACHINE, memory=10 * GIB))
    assert "  note: memory may run out: expected --devices cpu:1 and --plan again" in little
    shared = printed(replace(CONFIG, train=replace(CONFIG.train, scope="shared-then-task")))
    assert shared[-1] == "  note: not counted: the adapter scope shared-then-task"
    untrained = printed(replace(CONFIG, train=TrainRecipe(steps=0), train_share=0.0))
    assert not any("training" in line for line in untrained)


@pytest.mark.parametrize(("amount", "text"), [(0.1234, "0.12 s"), (5.0, "5.0 s"), (90.4, "90 s"), (7200.0, "120 min")])
def test_seconds_are_shown_with_two_digits_at_least(amount, text):
    assert time_plan.time(amount) == text


@pytest.fixture
def quickly(monkeypatch):
    """Rates are measured in less than a tenth of a second."""
    monkeypatch.setattr(machine_rates, "SECONDS", 0.01)


@pytest.mark.parametrize("model", [TINY, read(SHIPPED)], ids=lambda model: model.name)
def test_every_kind_of_work_is_measured_as_a_rate(model, quickly):
    rates = machine_rates.measure(model, 8, 4, processes=2, threads=1)
    assert all(rate > 0 for rate in vars(rates).values())


def test_a_plan_for_this_machine_s_cpu_is_printed_in_place_of_a_run(quickly, capsys):
    assert (
        submission.main(["--plan", "cpu", "--limit", "2", "--devices", "cpu:1", "--steps", "7"], Deadline.after(0)) == 0
    )
    text = capsys.readouterr().out
    assert text.startswith("grid-3m on this machine's CPU: 1 × ")
    assert "tasks: 2, " in text
    assert " of 7 training steps and " in text


def test_a_plan_without_a_name_is_the_cpu_s_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert cli.cpu_is_meant(cli.parse(["--plan"]))
    assert cli.cpu_is_meant(cli.parse(["--plan", "CPU"]))
    assert not cli.cpu_is_meant(cli.parse(["--plan", "l4"]))
    assert not cli.cpu_is_meant(cli.parse([]))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            "--plan-model qwen3-4b",
            "--plan-model qwen3-4b came with --plan for a CPU: expected --weights with a directory",
        ),
        ("--devices 0,1", "--devices 0,1 came with --plan for a CPU: expected auto, cpu, or cpu:N for N processes"),
        ("--cluster auto", "--cluster auto came with --plan for a CPU: expected none, as this machine is measured"),
    ],
)
def test_flags_for_other_machines_are_refused_beside_it(flags, message, capsys):
    assert submission.main(["--plan", "cpu", *flags.split()], Deadline.after(0)) == 2
    assert message in capsys.readouterr().err


def test_settings_without_a_plan_of_their_own_are_all_named():
    config = Config(search=replace(CONFIG.search, p_min=0.1, views=2), train=replace(CONFIG.train, scope="shared"))
    assert len(time_plan.uncounted(config)) == 3
    assert time_plan.uncounted(CONFIG) == []
