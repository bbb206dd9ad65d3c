"""The benchmark's own parts: its baselines agree with each other, and its table says what was measured."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from solver.clock import Deadline
from solver.config.settings import TrainRecipe
from solver.inference.engine_outputs import Counters
from solver.inference.threshold_search import SearchResult
from solver.model import checkpoint
from solver.training.trainer import LoraTrainer
from solver.types import Adapter, Prompt, Reply, TrainJob
from solver.voting.rules import RULES
from tests.bench import __main__ as bench
from tests.bench import baselines, gauges, growth, ratios, setting
from tests.bench.__main__ import parse, summary
from tests.bench.elsewhere import Elsewhere
from tests.support.fakes import MIRROR, SINGLE, STACK, leave_one_out

pytestmark = pytest.mark.usefixtures("one_thread")
P_MIN = 0.01


@pytest.fixture(scope="module")
def peft() -> baselines.Peft:
    return baselines.Peft(checkpoint.SHIPPED, [], torch.float32)


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    return [setting.views_of(task, 1)[0] for task in (MIRROR, SINGLE, STACK)]


@pytest.mark.slow
def test_four_at_a_time_finds_what_one_at_a_time_finds_and_both_are_right(peft, prompts):
    alone = [baselines.recursion(peft.use(None), prompt, P_MIN) for prompt in prompts]
    together = baselines.batched(peft.use(None), prompts, P_MIN)
    assert sum(map(len, alone)) > 0
    for prompt, one, other in zip(prompts, alone, together, strict=True):
        assert one.keys() == other.keys()
        readings = [(prompt.tokens, reply, None) for reply in one]
        assert list(one.values()) == pytest.approx(baselines.read_one_by_one(peft, readings), abs=1e-4)
        assert list(other.values()) == pytest.approx([one[reply] for reply in other], abs=1e-4)
        assert all(nats >= math.log(P_MIN) - 1e-6 for nats in one.values())


@pytest.mark.engine
def test_in_a_process_of_its_own_the_usual_ways_give_what_they_give_here(peft, prompts):
    requests = [(prompt, None) for prompt in prompts]
    away = Elsewhere([], "float32", 1)
    assert away.recursion(requests, P_MIN) == [baselines.recursion(peft.use(None), p, P_MIN) for p in prompts]
    assert away.generated(requests) == baselines.generated(peft, requests)
    assert away.cpu > 0


def test_generation_in_batches_of_one_length_gives_each_prompt_its_own_reply(peft, prompts):
    requests = [(prompt, None) for prompt in prompts]
    assert baselines.generated(peft, requests) == [baselines.generated(peft, [request])[0] for request in requests]


def test_only_replies_clearly_on_one_side_of_p_min_count_as_different():
    edge = math.log(0.1)
    found = SearchResult((Reply((1,), (-1.0,), True), Reply((2,), (edge - 1e-6,), True)), 1)
    assert ratios.compare([found], [{(1,): -1.25}], 0.1) == (0, 0.25)
    assert ratios.compare([found], [{(3,): -1.0}], 0.1) == (2, 0)


def test_fours_share_an_adapter_and_a_length():
    adapters = [Adapter(name, Path(name)) for name in ("one", "two")]
    requests = [(prompt, adapter) for adapter in adapters for prompt in setting.views_of(MIRROR, 12)]
    fours = ratios.in_fours(requests)
    assert sorted(at for four in fours for at in four) == list(range(24))
    assert all(1 <= len(four) <= 4 for four in fours)
    assert all(len({(len(requests[at][0].tokens), requests[at][1].name) for at in four}) == 1 for four in fours)


def test_a_gauge_says_what_was_measured_what_it_must_be_below_and_why_it_was_not_measured():
    assert gauges.Gauge("votes", 0.123, 1.0, "s", "n").line() == "| votes | 0.12 s | under 1 s | n |"
    missing = gauges.Gauge("time to interactive", None, 2.0, "s", "no chromium").line()
    assert missing == "| time to interactive | not measured | under 2 s | no chromium |"


@pytest.mark.slow
def test_the_gauges_are_measured_without_a_model(capsys):
    assert bench.main(["--only", "votes"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(",")[0] for row in rows] == [f"| vote by {rule}" for rule in RULES]


def test_a_command_is_timed_by_the_processor_seconds_of_its_own_process():
    gauge = gauges.command("sleep", 1.0, "-S", "-c", "import time; time.sleep(0.5)")
    assert gauge.value is not None
    assert gauge.value < float(gauge.note.split()[0]) - 0.3


def test_the_ratio_of_a_row_is_the_median_of_its_runs():
    usual, ours = setting.Seconds((4.0, 6.0, 10.0), (3.0, 3.0, 3.0)), setting.Seconds((2.0, 1.0, 2.0), (1.0, 2.0, 3.0))
    line = setting.Row("what", usual, ours, 2.5, "note").line()
    assert line == "| what | 6.00 | 2.00 | 5.00 (2.00 to 6.00) | 1.50 | 2.5 | note |"


@pytest.mark.slow
def test_the_usual_training_starts_where_ours_does_and_takes_its_rates(tmp_path):
    recipe = TrainRecipe(steps=2, tokens=10**6, rank=8, alpha=8)
    examples = leave_one_out(MIRROR, 2, 0, 512)
    ours = LoraTrainer(checkpoint.SHIPPED, recipe, tmp_path, 1024).train(
        TrainJob("bench-0", examples, 0), Deadline.after(999)
    )
    for factored in (False, True):
        tokens, [theirs] = baselines.hugging_face_trainer(
            checkpoint.SHIPPED, recipe, [[*examples, *examples]], 2, tmp_path, factored
        )
        assert tokens == 2 * sum(e.tokens.size for e in examples)
        assert theirs == pytest.approx(ours.losses, rel=0.02)  # bf16, and no float32 masters on their side


def test_growth_is_as_linear_as_its_points_are_on_a_line(tmp_path):
    straight = growth.Growth("views", (2, 4, 8), (1.5, 2.5, 4.5))
    assert straight.line == pytest.approx((0.5, 0.5))
    assert straight.fit == pytest.approx(1.0)
    assert growth.Growth("views", (2, 4, 8), (1.0, 5.0, 2.0)).fit < 0.5
    growth.chart([straight, straight], tmp_path / "growth.svg")
    assert (tmp_path / "growth.svg").stat().st_size < 100_000


def test_parity_is_asked_of_small_held_out_tasks_and_everything_else_of_the_evaluation_split():
    parity, all_of_it = parse(["--parity"]), parse([])
    assert (parity.only, parity.split, parity.limit, parity.prompts) == (["parity"], "held-out", 500, 30)
    assert "parity" not in all_of_it.only
    assert (all_of_it.split, all_of_it.pairs) == ("arc1-evaluation", 5)


def test_memory_in_use_is_some_and_less_than_a_machine_has():
    assert 10 < growth.resident() < 10**6


def test_the_summary_of_an_engine_names_the_rates() -> None:
    counters = Counters(1, 10, 4, 100, 0, 2.0, 1, 0.25)
    assert summary(counters.take()) == (
        "50 tokens/s said, 100 in 2.0 s; 10 prompt tokens, 40% of them cached; 1 adapters loaded in 0.25 s"
    )


def test_nothing_done_is_no_division_by_zero() -> None:
    assert summary(Counters().take()).startswith("0 tokens/s said")
