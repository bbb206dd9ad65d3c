"""The real engine and the real trainer with the shipped weights, on whatever this machine has."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from solver.clock import Deadline
from solver.config import settings
from solver.data import tasks, views
from solver.inference import threshold_search
from solver.model import checkpoint
from solver.model.checkpoint import ADAPTER_FILE
from solver.tokens import grid
from solver.types import Prompt, TrainJob
from tests.support.fakes import leave_one_out

pytestmark = pytest.mark.engine
SETTINGS = settings.EngineSettings(context=8192, cache_bytes=256 << 20, adapters=4, sequences=64)
RECIPE = settings.TrainRecipe(steps=3, tokens=1024, rate=5e-3)
ADAPTERS = 20  # distinct adapters one engine has to serve


@pytest.fixture(scope="module")
def sampler():
    from solver.inference.head_sampler import HeadSampler

    return HeadSampler(checkpoint.SHIPPED, SETTINGS, grid.END)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    from solver.training.trainer import LoraTrainer

    return LoraTrainer(checkpoint.SHIPPED, RECIPE, tmp_path_factory.mktemp("adapters"), SETTINGS.context)


@pytest.fixture(scope="module")
def small_tasks():
    chosen = tasks.load_split("arc1-training").tasks
    size = {t.id: sum(map(grid.pair_length, t.demonstrations)) for t in chosen}
    return sorted(chosen, key=lambda t: (size[t.id], t.id))[:ADAPTERS]


def soon() -> Deadline:
    return Deadline.after(600)


def prompt_for(task, number=0):
    view = views.views(task, number + 1, 0, "test")[number]
    seen = views.apply_task(view, task)
    return Prompt(task.id, 0, view, tuple(grid.GRID.encode_prompt(seen.demonstrations, seen.tests[0]).tolist()), 120)


def hf_logprobs(model, prompt, reply):
    """Log-probabilities of a reply's tokens under a transformers model, in one forward pass."""
    ids = torch.tensor([[*prompt.tokens, *reply.tokens]])
    with torch.no_grad():
        logits = model(ids).logits[0, len(prompt.tokens) - 1 : -1].log_softmax(-1)
    return logits.gather(-1, ids[0, len(prompt.tokens) :, None])[:, 0].numpy()


def test_one_engine_serves_twenty_adapters_and_agrees_with_peft(sampler, trainer, small_tasks):
    """Log-probabilities from vLLM with an adapter equal those of transformers + peft for the same tokens."""
    trained = {}
    for task in small_tasks:
        report = trainer.train(TrainJob(f"parity-{task.id}", leave_one_out(task, 8, 0, 1024), 0), soon())
        trained[task.id] = report.adapter
    prompts = [prompt_for(task, number) for task in small_tasks for number in range(2)]
    replies = sampler.sample([(p, trained[p.task_id]) for p in prompts], soon())
    assert len({a.name for a in trained.values()}) == ADAPTERS

    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    gaps, base_gaps = [], []
    for task in small_tasks[::3]:  # on each of the places that the engine has for adapters
        base = AutoModelForCausalLM.from_pretrained(checkpoint.SHIPPED, dtype=torch.bfloat16)
        mine = [(p, r) for p, r in zip(prompts, replies, strict=True) if p.task_id == task.id]
        base_gaps += [np.abs(hf_logprobs(base, p, r) - r.logprobs) for p, r in mine]
        model = PeftModel.from_pretrained(base, trained[task.id].path, autocast_adapter_dtype=False)
        gaps += [np.abs(hf_logprobs(model, p, r) - r.logprobs) for p, r in mine]
    assert np.concatenate(gaps).mean() < 0.02
    assert np.concatenate(base_gaps).mean() > 2 * np.concatenate(gaps).mean()  # the adapters do change something


def test_rows_without_an_adapter_are_the_base_model_also_beside_adapters(sampler, trainer, small_tasks):
    task = small_tasks[0]
    adapter = trainer.train(TrainJob("beside", leave_one_out(task, 8, 0, 1024), 0), soon()).adapter
    prompts = [prompt_for(t) for t in small_tasks[:6]]
    alone = sampler.sample([(p, None) for p in prompts], soon())
    beside = sampler.sample([r for p in prompts for r in ((p, None), (p, adapter))], soon())[::2]
    assert [r.tokens[:5] for r in alone] == [r.tokens[:5] for r in beside]
    assert (
        abs(
            np.mean([a.logprob / len(a.tokens) - b.logprob / len(b.tokens) for a, b in zip(alone, beside, strict=True)])
        )
        < 0.01
    )


def test_sampling_stops_when_told_to_and_the_engine_goes_on_serving(sampler, small_tasks):
    prompts = [prompt_for(t) for t in small_tasks]
    assert sampler.sample([(p, None) for p in prompts], Deadline.after(0)) == [None] * len(prompts)
    assert all(sampler.sample([(p, None) for p in prompts[:2]], soon()))


@pytest.mark.skipif(torch.cuda.is_available(), reason="NOT TESTED: the engine compiles on a GPU")
def test_on_a_cpu_no_request_waits_for_a_compiler(sampler, small_tasks):
    from torch._dynamo.utils import counters

    assert sampler.sample([(prompt_for(small_tasks[0]), None)], soon())[0] is not None
    assert sum(counters["frames"].values()) == 0


def test_the_same_batch_gives_the_same_replies_twice(sampler, small_tasks):
    requests = [(prompt_for(t), None) for t in small_tasks]
    assert sampler.sample(requests, soon()) == sampler.sample(requests, soon())


def test_drawn_replies_depend_on_their_seed_and_have_the_models_own_log_probabilities(sampler, small_tasks):
    prompts = [prompt_for(t) for t in small_tasks]
    by_seed = {
        seed: sampler.sample([(replace(p, temperature=2.0, seed=seed), None) for p in prompts], soon())
        for seed in (1, 2)
    }
    again = sampler.sample([(replace(p, temperature=2.0, seed=1), None) for p in prompts], soon())
    assert [r.tokens for r in again] == [r.tokens for r in by_seed[1]]
    assert [r.tokens for r in by_seed[2]] != [r.tokens for r in by_seed[1]]
    said = [(p.tokens, r.tokens, None) for p, r in zip(prompts, by_seed[1], strict=True)]
    read = sampler.score(said, soon())
    assert read == pytest.approx([r.logprob for r in by_seed[1]], rel=0.02, abs=0.5)


def test_a_reply_does_not_depend_on_what_else_is_in_the_batch(sampler, trainer, small_tasks):
    """Up to rounding: alone and in a crowd of other lengths and adapters, the same tokens but for near ties."""
    adapter = trainer.train(TrainJob("crowd", leave_one_out(small_tasks[0], 8, 0, 1024), 0), soon()).adapter
    requests = [(prompt_for(t), adapter if n % 2 else None) for n, t in enumerate(small_tasks[:8])]
    crowd = sampler.sample(requests, soon())
    gaps, equal = [], 0
    for request, together in zip(requests, crowd, strict=True):
        sampler.llm.reset_prefix_cache()
        [alone] = sampler.sample([request], soon())
        equal += alone.tokens == together.tokens
        same = next((n for n, (a, b) in enumerate(zip(alone.tokens, together.tokens, strict=False)) if a != b), None)
        gaps += np.abs(np.subtract(alone.logprobs[:same], together.logprobs[: len(alone.logprobs[:same])])).tolist()
    assert equal >= 6
    assert np.mean(gaps) < 0.02


def test_the_tally_counts_replies_prompts_the_cache_and_adapters(sampler, trainer, small_tasks):
    adapter = trainer.train(TrainJob("tally", leave_one_out(small_tasks[0], 8, 0, 1024), 0), soon()).adapter
    requests = [(prompt_for(t), adapter) for t in small_tasks[:4]]
    sampler.llm.reset_prefix_cache()
    sampler.counters.take()
    replies = sampler.sample(requests, soon())
    sums = sampler.counters.take()
    assert sums["said_tokens"] == sum(len(r.tokens) for r in replies)
    assert sums["prompt_tokens"] == sum(len(p.tokens) for p, _ in requests)
    assert (sums["prompts"], sums["cached_tokens"]) == (4, 0)
    assert sums["adapters"] <= 1
    assert sums["seconds"] > 0
    sampler.sample(requests, soon())
    assert sampler.counters.take()["cached_tokens"] > 0


@pytest.fixture(scope="module")
def heads(tmp_path_factory, small_tasks):
    """Heads of the two smallest tasks, so far trained that they say something of their own."""
    from solver.training.trainer import LoraTrainer

    recipe = replace(RECIPE, head=True, steps=48, rate=1e-2)
    trainer = LoraTrainer(checkpoint.SHIPPED, recipe, tmp_path_factory.mktemp("heads"), SETTINGS.context)
    jobs = [(f"head-{task.id}", leave_one_out(task, 8, 0, 1024)) for task in small_tasks[:2]]
    return [trainer.train(TrainJob(name, examples, 0), soon()).adapter for name, examples in jobs]


def with_head(adapter):
    """The base model in transformers with a head in its own one's place."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint.SHIPPED, dtype=torch.bfloat16)
    if adapter is not None:
        model.lm_head.weight.data.copy_(load_file(adapter.path / ADAPTER_FILE)["lm_head.weight"])
    return model


def test_heads_a_lora_and_the_base_model_in_one_call_each_say_what_transformers_says(
    sampler, trainer, small_tasks, heads
):
    """In order, and the base model's replies are bit by bit those from before any head was on."""
    lora = trainer.train(TrainJob("lora", leave_one_out(small_tasks[0], 8, 0, 1024), 0), soon()).adapter
    prompts = [prompt_for(task) for task in small_tasks[:4]]
    before = sampler.sample([(p, None) for p in prompts], soon())
    users = (heads[0], None, lora, heads[1])
    requests = [(p, user) for p in prompts for user in users]
    replies = dict(zip(requests, sampler.sample(requests, soon()), strict=True))
    assert sampler.sample([(p, None) for p in prompts], soon()) == before
    for head, other in ((heads[0], None), (heads[1], heads[0]), (None, heads[1])):
        said = [(p, replies[p, head]) for p in prompts]
        gaps, wrong = (
            np.concatenate([np.abs(hf_logprobs(model, p, r) - r.logprobs) for p, r in said])
            for model in (with_head(head), with_head(other))
        )
        assert gaps.mean() < 0.02
        assert wrong.mean() > 5 * gaps.mean()
    assert [replies[p, None].tokens for p in prompts] == [r.tokens for r in before]
    assert [replies[p, lora] for p in prompts] != [replies[p, None] for p in prompts]


def test_readings_under_two_heads_are_those_of_transformers(sampler, small_tasks, heads):
    prompts = [prompt_for(task) for task in small_tasks[:4]]
    replies = sampler.sample([(p, None) for p in prompts], soon())
    users = (heads[0], None, heads[1])
    readings = [(p.tokens, r.tokens, user) for p, r in zip(prompts, replies, strict=True) for user in users]
    nats = np.array(sampler.score(readings, soon())).reshape(len(prompts), len(users))
    for column, user in enumerate(users):
        model = with_head(user)
        expected = [hf_logprobs(model, p, r) for p, r in zip(prompts, replies, strict=True)]
        lengths = np.array([len(e) for e in expected])
        assert np.abs(nats[:, column] - [e.sum() for e in expected]).mean() < 0.02 * lengths.mean()
    assert np.ptp(nats, axis=1).min() > 1.0  # heads differ by more


def test_a_search_under_two_heads_finds_what_it_finds_under_each_alone(sampler, small_tasks, heads):
    requests = [(prompt_for(task), user) for task in small_tasks[:3] for user in (heads[0], None, heads[1])]
    p_min = 0.02
    together = threshold_search.search(requests, sampler, soon(), p_min, grid.GRID, greedy=True)
    for request, found in zip(requests, together, strict=True):
        [alone] = threshold_search.search([request], sampler, soon(), p_min, grid.GRID, greedy=True)
        likely = {r.tokens: r.logprob for r in found.replies if r.logprob > np.log(2 * p_min)}
        assert likely.keys() <= {r.tokens for r in alone.replies}
        assert {r.tokens for r in alone.replies if r.logprob > np.log(2 * p_min)} <= {r.tokens for r in found.replies}
        gaps = [abs(r.logprob - likely[r.tokens]) for r in alone.replies if r.tokens in likely]
        assert max(gaps, default=0.0) < 0.2
    assert sum(len(found.replies) for found in together) > len(requests)
