"""The whole program with weights from elsewhere: tiny random checkpoints in each format, trained and served for real.

What random weights answer is no grid, so this shows that every part speaks the format, not that it solves anything.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from solver.clock import Deadline
from solver.config.settings import EMBEDDINGS, TARGETS, EngineSettings, TrainRecipe
from solver.data import tasks
from solver.runtime import record, submission_file
from solver.types import Adapter, Example, Prompt, TrainJob, View
from tests.support import checkpoints, forked, runs

pytestmark = pytest.mark.engine
ROOT = Path(__file__).resolve().parents[2]
LIMIT = 420  # seconds for the whole program, of which the run has five minutes
TASK = {
    "train": [{"input": [[1, 2]], "output": [[2, 1]]}, {"input": [[3]], "output": [[3]]}],
    "test": [{"input": [[4]]}],
}


def finished(command: list, output: Path) -> runs.Lines:
    """The record of a whole program that ended well, with no batch lost and `output` a valid file."""
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    directory = record.directory_of(output)
    assert done.returncode == 0, done.stdout + done.stderr + (directory / record.WORKER_LOG).read_text()[-2000:]
    challenges = Path(command[command.index("--challenges") + 1])
    assert submission_file.validate(json.loads(output.read_text()), tasks.load_challenges(challenges).tests) == []
    assert runs.lines_of(directory).of_kind("failure") == []
    return runs.lines_of(directory)


def check(lines: runs.Lines, name: str, count: int, views: int) -> None:
    """So many tasks were read in the format of this name, trained for the one step asked for, and sampled."""
    [header] = lines.of_kind("run")
    assert header["config"]["format"] == name
    trained = [entry for entry in lines.of_kind("result") if entry["planned"]]
    assert len({entry["task_id"] for entry in trained}) == count
    for entry in trained:
        assert (entry["steps"], len(entry["losses"])) == (1, 1)
        assert sum(map(len, entry["candidates"])) + entry["rejected"] == views
        assert entry["notes"] == []


FLAGS = "--devices cpu --no-report --steps 1 --time-limit 5m --seed 3 --programs 0 --refinement-stages 0".split()


@pytest.mark.parametrize(("make", "name", "count"), [(checkpoints.nvarc, "nvarc-16", 2), (checkpoints.text, "text", 1)])
def test_a_checkpoint_of_each_format_is_trained_and_sampled_and_leaves_a_valid_file(tmp_path, make, name, count):
    weights, output, challenges = make(tmp_path / "weights"), tmp_path / "submission.json", tmp_path / "challenges.json"
    challenges.write_text(json.dumps({f"0000000{n}": TASK for n in range(count)}))
    files = ["--challenges", challenges, "--weights", weights, "--output", output, "--views", count]
    check(finished(["submission.py", *files, *FLAGS], output), name, count, views=count)


def test_a_llama_of_the_architects_format_with_loras_on_embedding_and_head_too_runs_as_a_whole(tmp_path):
    weights, output = checkpoints.architects(tmp_path / "weights"), tmp_path / "runs" / "submission.json"
    for name, content in {"c.json": {"00000000": TASK}, "s.json": {"00000000": [[[4]]]}}.items():
        (tmp_path / name).write_text(json.dumps(content))
    files = ["--challenges", tmp_path / "c.json", "--solutions", tmp_path / "s.json", "--weights", weights]
    files += ["--output", output, "--views", 1, "--variants", "embeddings"]
    lines = finished(["-m", "solver", "ablate", *files, *FLAGS], output.with_name("embeddings.json"))
    check(lines, "architects", 1, views=1)
    [header] = lines.of_kind("run")
    assert set(EMBEDDINGS) <= set(header["config"]["train"]["targets"])


def served_heads(weights: Path, end: int) -> tuple[bool, float, float]:
    """Of random output heads in one engine: whether the base model's replies are the same before and after them, and
    the mean nats a token by which the log-probabilities of replies are off from transformers' with the same head, at
    most, and with another one, at least.
    """
    from transformers import AutoModelForCausalLM

    from solver.inference.head_sampler import HeadSampler
    from solver.model import output_heads

    sampler = HeadSampler(weights, EngineSettings(context=1024, cache_bytes=64 << 20, adapters=2, sequences=8), end)
    model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.bfloat16)
    drawn = {None: model.lm_head.weight.detach().clone()}
    for name in "ab":
        weight = torch.empty_like(drawn[None]).uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(ord(name)))
        output_heads.save(weight, weights.parent / name)
        drawn[Adapter(name, weights.parent / name)] = weight
    prompts = [Prompt("task", 0, View(), tuple(range(1 + n, 9 + n)), 20) for n in range(3)]

    def ask(*users):
        requests = [(prompt, user) for prompt in prompts for user in users]
        return dict(zip(requests, sampler.sample(requests, Deadline.after(100)), strict=True))

    def gap(reply, prompt, user):
        model.lm_head.weight.data.copy_(drawn[user])
        ids = torch.tensor([[*prompt.tokens, *reply.tokens]])
        with torch.no_grad():
            nats = model(ids).logits[0, len(prompt.tokens) - 1 : -1].float().log_softmax(-1)
        said = nats.gather(-1, ids[0, len(prompt.tokens) :, None])[:, 0]
        return float((said - torch.tensor(reply.logprobs)).abs().mean())

    before, replies, after = ask(None), ask(*drawn), ask(None)
    right = [gap(reply, prompt, user) for (prompt, user), reply in replies.items()]
    wrong = [gap(reply, prompt, other) for (prompt, user), reply in replies.items() for other in drawn if other != user]
    return before == after, max(right), min(wrong)


def test_heads_are_served_by_the_engines_own_layer_as_transformers_would(tmp_path, monkeypatch):
    """It pads the vocabulary, and on a CPU multiplies with a copy of its weight: replies must follow each change."""
    monkeypatch.setitem(checkpoints.SIZES, "tie_word_embeddings", False)
    same, right, wrong = forked.call(served_heads, checkpoints.nvarc(tmp_path / "weights"), 15)
    assert same
    assert right < 0.05
    assert wrong > 10 * right


def served_beyond_projections(folders: list[Path], end: int) -> list[tuple[float, float, list[tuple[float, float]]]]:
    """Of adapters on embedding and head, for each checkpoint: the most nats by which a token of a reply is off from
    peft's with the same adapter, the fewest with another one, and the first and last loss of each training.
    """
    from solver.inference.vllm_sampler import VllmSampler

    settings = EngineSettings(context=1024, cache_bytes=64 << 20, adapters=4, sequences=32, dtype="float32")
    samplers = [VllmSampler(folder, settings, end, embedding_targets=EMBEDDINGS) for folder in folders]
    return [compared_with_peft(*both, end, settings.context) for both in zip(folders, samplers, strict=True)]


def compared_with_peft(weights, sampler, end, context):
    """A checkpoint's row of `served_beyond_projections`."""
    import peft
    from transformers import AutoModelForCausalLM

    from solver.training.trainer import LoraTrainer

    recipe = TrainRecipe(rank=8, alpha=32, rate=2e-2, embedding_rate=1.0, tokens=64, steps=6)
    examples = [Example(np.roll(np.arange(end, dtype=np.int32), n), np.ones(end, np.bool_)) for n in range(4)]
    users, losses = [None], []
    chosen = {"all": (*TARGETS, *EMBEDDINGS), "embed": EMBEDDINGS[:1], "head": EMBEDDINGS[1:], "both": EMBEDDINGS}
    for name, targets in chosen.items():
        trainer = LoraTrainer(weights, replace(recipe, targets=targets), weights.parent, context)
        report = trainer.train(TrainJob(name, examples, 0), Deadline.after(100))
        losses.append((report.losses[0], report.losses[-1]))
        users.append(report.adapter)

    def model_of(user):
        base = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32)
        return base if user is None else peft.PeftModel.from_pretrained(base, user.path)

    models = {user: model_of(user) for user in users}
    plain = model_of(users[1])  # without what is on embedding and head
    for name, parameter in plain.named_parameters():
        if "lora_embedding_A" in name or ("lm_head" in name and "lora_B" in name):
            parameter.data.zero_()
    prompts = [Prompt("task", 0, View(), tuple(range(n % end, end)) * (1 + 8 * (n == 0)), 20) for n in range(4)]
    requests = [(prompt, user) for prompt in prompts for user in users]
    replies = dict(zip(requests, sampler.sample(requests, Deadline.after(200)), strict=True))

    def gap(reply, prompt, model):
        ids = torch.tensor([[*prompt.tokens, *reply.tokens]])
        with torch.no_grad():
            nats = model(input_ids=ids).logits[0, len(prompt.tokens) - 1 : -1].log_softmax(-1)
        said = nats.gather(-1, ids[0, len(prompt.tokens) :, None])[:, 0]
        return float((said - torch.tensor(reply.logprobs)).abs().max())

    right = [gap(reply, prompt, models[user]) for (prompt, user), reply in replies.items()]
    wrong = [gap(reply, prompt, models[o]) for (prompt, user), reply in replies.items() for o in users if o != user]
    wrong += [gap(replies[prompt, users[1]], prompt, plain) for prompt in prompts]
    return max(right), min(wrong), losses


def test_adapters_of_embedding_and_head_are_served_as_peft_would(tmp_path, monkeypatch):
    """In float32, several in one batch beside rows of the base model: with a head of its own, and with a tied one.
    Where the head is the embedding, a LoRA on one of them does not change the other, in peft as in the engine."""
    tokens = {"bos_token_id": None, "eos_token_id": 15, "pad_token_id": 13}
    folders = []
    for family, tied in (("llama", False), ("qwen3", True)):
        monkeypatch.setitem(checkpoints.SIZES, "tie_word_embeddings", tied)
        folders.append(checkpoints.random_weights(tmp_path / family / "weights", family, 16, **tokens))
    compared = forked.call(served_beyond_projections, folders, 15)
    assert len(compared) == len(folders)
    for right, wrong, losses in compared:
        assert right < 1e-4
        assert wrong > 100 * right
        assert all(last < first for first, last in losses)
