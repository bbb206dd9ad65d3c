"""The GPU checks themselves, each in a process of its own: an engine a process, and the card free for the next.

    python -m tests.gpu.checks NAME ROWS.json FOLDER [--rehearse]        # NAME: of `CHECKS`

Each writes its rows as they are known, so that a check that dies half-way still says what it saw. A rehearsal is the
same code at another `Scale`, with the card replaced (`tests.gpu.rehearsal`).
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from solver.clock import Deadline, now
from solver.config.presets import PRESETS
from solver.config.settings import Config
from solver.data import tasks, views
from solver.hardware import memory_plan, preflight
from solver.hardware.gpus import CARDS, GIB, Card
from solver.model import checkpoint
from solver.model.architecture import DESCRIBED, Model, read
from solver.pretrain import recipe
from solver.runtime import load_models
from solver.tokens import registry
from solver.tokens.grid import GRID, Format
from solver.tokens.rows import NVARC
from solver.training import backends
from solver.training.examples import build
from solver.types import Adapter, Example, Prompt, Task, TrainJob
from tests.gpu.calls import PATIENCE, SECONDS
from tests.gpu.measures import Row, projected, save, share_of_limit, utilisation

CLOSE = 0.02  # nats a token: what served and trained log-probabilities may differ by in 16 bits
QLORA_CLOSE = 0.1  # nats a token: what losses in 4 and in 16 bits may differ by; reasoned, not measured yet
LLAMA_CONTEXT = 2048  # of the small Llama that is trained in 4 bits
PLACES = 32  # of a reply whose log-probabilities are computed again
START = 15.0  # seconds of a check that go by before its first line: torch is imported
CARD = replace(PRESETS["h200"], engine=replace(PRESETS["h200"].engine, adapters=4, sequences=128), group=4)
WORDS = (*"0123456789", "\n", "user", "assistant", "<|endoftext|>", "<|im_start|>", "<|im_end|>")  # of NVARC's format


@dataclass(frozen=True)
class Scale:
    """How large the checks are.

    `model`: of random weights. `median`, `longest`: tokens of an ARC prompt with its reply. `reply`: tokens asked for
    at most. `formats`: of numbers, the second compared with the first. `run`: flags of submission.py; `answering`:
    seconds its workers have, its preset's reserve comes on top;
    `over`: seconds after which the whole run must have ended. `pretraining`: a recipe's numbers.
    """

    config: Config
    model: Model
    median: int
    longest: int
    reply: int
    formats: tuple[str, str]
    run: tuple[str, ...]
    answering: float
    over: float
    pretraining: Mapping[str, Any]

    @property
    def context(self) -> int:
        return self.config.engine.context


scale = Scale(
    config=CARD,
    model=DESCRIBED["qwen3-4b-16"],
    median=2600,
    longest=CARD.engine.context - 512,
    reply=256,
    formats=("bfloat16", "float16"),
    run=("--split", "arc1-evaluation", "--limit", "40", "--preset", "h200", "--devices", "0"),
    answering=240.0,
    over=300.0,
    pretraining=recipe.PRESETS["gpu"],
)


def installed(name: str) -> bool:
    """Whether a package is."""
    return importlib.util.find_spec(name) is not None


def preflight_says(folder: Path, _: Deadline) -> Iterator[Row]:
    """Nothing keeps a run from working here."""
    findings = preflight.judge(preflight.gather(checkpoint.SHIPPED, folder / "o.json"), PRESETS["h200"])
    for finding in findings:
        yield Row("preflight", "no fault", str(finding).replace("|", "/"), finding.level != preflight.FAULT)


def unsloth_takes_our_arguments(folder: Path, _: Deadline) -> Iterator[Row]:
    """Every argument the trainer hands to Unsloth is one it names, or passes on by `**kwargs` on purpose."""
    if not installed("unsloth"):
        yield Row("unsloth's arguments", "unsloth installed", "it is not", False)
        return
    made = random_weights(replace(scale.model, layers=1))
    how = backends.setup(made, scale.config.train, scale.context, cuda=True)
    prepare_unsloth(folder)
    from unsloth import FastLanguageModel

    passed_on = {"local_files_only"}
    for call, given in (
        (FastLanguageModel.from_pretrained, backends.unsloth_model(made, how)),
        (FastLanguageModel.get_peft_model, backends.unsloth_lora(scale.config.train, how)),
    ):
        unknown = set(given) - set(inspect.signature(call).parameters) - passed_on
        yield Row(f"arguments of {call.__name__}", "none unknown", ", ".join(sorted(unknown)) or "none", not unknown)


def qwen3_4b(folder: Path, stop: Deadline) -> Iterator[Row]:
    """A random-weight Qwen3-4B with 16 tokens: Unsloth and the engine side by side, timed, and compared."""
    yield from both(random_weights(scale.model), folder, load_models.this_card(), "unsloth", stop)


def qwen3_4b_on_22_gib(folder: Path, stop: Deadline) -> Iterator[Row]:
    """The same in rounds, as a plan for a card of 22 GiB has it, on whatever card this is."""
    card = replace(load_models.this_card(), usable=22 * GIB)
    yield from both(random_weights(scale.model), folder, card, "unsloth", stop, timed=False)


def shipped(folder: Path, stop: Deadline) -> Iterator[Row]:
    """The shipped weights, which peft trains: the same again."""
    yield from both(checkpoint.SHIPPED, folder, load_models.this_card(), "peft", stop)


def four_bits(folder: Path, stop: Deadline) -> Iterator[Row]:
    """A small Llama with random weights, trained by peft with the base weights in 16 bits and in 4 (QLoRA)."""
    if not installed("bitsandbytes"):
        yield Row("QLoRA", "bitsandbytes installed", "it is not", False)
        return
    from solver.training.trainer import LoraTrainer
    from tests.support import checkpoints

    weights = checkpoints.architects(folder / "llama")
    made = build(of_length(600, GRID), scale.config.train, 0, LLAMA_CONTEXT, registry.load("architects", weights))
    losses, left = {}, stop.remaining()
    for bits in (16, 4):
        trained = replace(scale.config.train, steps=min(16, scale.config.train.steps), bits=bits, adapters_per_batch=1)
        how = replace(backends.setup(weights, trained, LLAMA_CONTEXT, cuda=True), library=backends.PEFT)
        trainer = LoraTrainer(weights, trained, folder / f"{bits}", LLAMA_CONTEXT, how)
        losses[bits] = trainer.train(TrainJob("llama", made, 0), stop.within(0.4 * left)).losses
        first, last = losses[bits][0], losses[bits][-1]
        yield Row(f"training in {bits} bits", "the loss falls", f"{first:.3f} to {last:.3f}", last < first)
    apart = [abs(losses[4][at] - losses[16][at]) for at in (0, -1)]
    seen = f"{apart[0]:.4f} at the first step, {apart[1]:.4f} at the last"
    yield Row("4 and 16 bits", f"{QLORA_CLOSE} nats a token apart", seen, max(apart) <= QLORA_CLOSE)


def run(folder: Path, _: Deadline) -> Iterator[Row]:
    """submission.py on 40 evaluation tasks: in time, complete, valid, and the model's own answers."""
    output = folder / "submission.json"
    preset = PRESETS[scale.run[scale.run.index("--preset") + 1]]
    limit = scale.answering + preset.reserve  # what is reserved for the end is not spent where there is nothing to do
    command = [sys.executable, "submission.py", *scale.run, "--time-limit", f"{limit:.0f}s", "--output", str(output)]
    started = now()
    done = subprocess.run(command, capture_output=True, text=True, timeout=scale.over, check=False)
    seconds = now() - started
    lines = [line for line in done.stdout.splitlines() if "from the model" in line or "pass@2" in line]
    wanted = f"exit 0 within {scale.over:.0f} s"
    yield Row("run", wanted, f"{done.returncode}, {seconds:.0f} s", done.returncode == 0 and seconds < scale.over)
    valid = "complete and valid" in done.stdout and " 0 from the model" not in done.stdout
    yield Row("its answers", "valid, the model's", "; ".join(lines).replace("|", "/")[:200], valid)


def both(weights: Path, folder: Path, card: Card, library: str, stop: Deadline, timed: bool = True) -> Iterator[Row]:
    """Trainer and engine of these weights as a worker builds them for a card, trained, timed, served and compared."""
    import torch

    torch.cuda.init()  # the context is there before memory is watched
    model = read(weights)
    made = memory_plan.plan(model, card, scale.config)
    name = f"{model.name}, {made.layout}"
    watch = Watch(torch.cuda.mem_get_info)
    load_models.this_card = lambda: card
    asked = replace(scale.config, format=registry.recognise(weights))
    trainer, sampler, config = load_models.load_on_gpu(weights, asked, folder)
    format = registry.load(config.format, weights)
    inner = getattr(trainer, "trainer", trainer)
    yield Row(f"{name}: library", library, inner.how.library, inner.how.library == library)
    seconds: dict[int, tuple[float, float]] = {}
    left = stop.remaining()  # for two trainings, two samplings and a comparison
    for tokens in (scale.median, scale.longest):
        report, train = train_once(trainer, f"of-{tokens}", examples(tokens, format), stop.within(0.25 * left))
        asked = [prompt(tokens, n, format) for n in range(config.views)]
        replies, sample = sample_once(sampler, report.adapter, asked, stop.within(0.15 * left))
        seconds[tokens] = (train, sample)
        yield Row(
            f"{name}: replies of {tokens:,} tokens", "all", f"{replies} of {config.views}", replies == config.views
        )
        if timed and tokens == scale.longest and card.flops:
            each = max(1, config.train.tokens // tokens) * tokens  # of a step: whole examples
            used = utilisation(model, report.steps * each, train, card)
            yield Row(f"{name}: training MFU at {tokens:,} tokens", "", f"{used:.1%}")
    if timed:
        yield from told(name, seconds, card)
    taken = watch.taken()
    within = f"{memory_plan.gib(made.peak)} GiB planned, of {memory_plan.gib(card.usable)}"
    yield Row(f"{name}: memory at its peak", within, f"{taken / GIB:.1f} GiB", taken <= made.peak * 1.1)
    yield compare(name, inner, sampler, report.adapter, prompt(600, 0, format), stop.within(0.1 * left))


class Watch:
    """The least memory that was free since it was made, looked at every 20 ms."""

    def __init__(self, ask: Callable[[], tuple[int, int]]):
        self.ask, self.ended = ask, threading.Event()
        self.before = self.least = ask()[0]
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self.ended.wait(0.02):
            self.least = min(self.least, self.ask()[0])

    def taken(self) -> int:
        """Bytes taken at the worst moment, beside what was taken before; the watch ends."""
        self.ended.set()
        return self.before - self.least


def told(name: str, seconds: dict[int, tuple[float, float]], card: Card) -> Iterator[Row]:
    """Seconds a task by stage, and what they make of 240 tasks in 12 hours on four L4."""
    for tokens, (train, sample) in seconds.items():
        yield Row(f"{name}: a task of {tokens:,} tokens", "", f"training {train:.1f} s, sampling {sample:.1f} s")
        if card.flops and card.bandwidth:
            there = projected(train, sample, card, CARDS["l4"])
            share = f"{there:.0f} s a task, {share_of_limit(there):.0%} of 12 h"
            yield Row(f"{name}: 240 such tasks on 4 L4, projected", "", share)


def train_once(trainer: Any, name: str, made: list[Example], stop: Deadline) -> tuple[Any, float]:
    """A training of the recipe's steps on a task's examples, and its seconds; kernels are warm before."""
    trainer.train(TrainJob(f"{name}-warm", made, 0), stop.within(0.1 * stop.remaining()))
    started = now()
    report = trainer.train(TrainJob(name, made, 0), stop)
    return report, now() - started


def sample_once(sampler: Any, adapter: Adapter, asked: list[Prompt], stop: Deadline) -> tuple[int, float]:
    """How many of a test input's views were answered, and the seconds."""
    started = now()
    replies = sampler.sample([(one, adapter) for one in asked], stop)
    return sum(reply is not None for reply in replies), now() - started


def compare(name: str, trainer: Any, sampler: Any, adapter: Adapter, asked: Prompt, stop: Deadline) -> Row:
    """Log-probabilities of a reply with the adapter as it is served, and as the trainer computes its loss from them."""
    import torch

    expected = f"{CLOSE} nats a token apart"
    [reply] = sampler.sample([(asked, adapter)], stop)
    if reply is None:
        return Row(f"{name}: served and trained", expected, "no reply in its seconds", False)
    trainer.begin()  # the engine makes place, where the card holds one of the two
    trainer.adapters.load(0, adapter.path)
    tokens, first = np.array([*asked.tokens, *reply.tokens]), len(asked.tokens)
    places = np.unique(np.linspace(first, len(tokens) - 1, PLACES).astype(int))
    with torch.no_grad():
        own = [float(trainer.losses([[Example(tokens, np.arange(len(tokens)) == at)]])[0]) for at in places]
    apart = np.abs(np.array(own) + np.array(reply.logprobs)[places - first])
    seen = f"{apart.mean():.4f}, {apart.max():.4f} at most, over {len(apart)} tokens"
    return Row(f"{name}: served and trained", expected, seen, bool(apart.mean() <= CLOSE))


def of_length(tokens: int, format: Format) -> Task:
    """The ARC-AGI-1 training task whose demonstrations come nearest to so many tokens in a format."""
    known = tasks.load_split("arc1-training").tasks
    return min(known, key=lambda task: (abs(format.pairs_length(task.demonstrations) - tokens), task.id))


def examples(tokens: int, format: Format) -> list[Example]:
    """A task's training sequences, of about so many tokens each."""
    return build(of_length(tokens, format), scale.config.train, 0, scale.context, format)


def prompt(tokens: int, number: int, format: Format) -> Prompt:
    """A prompt of about so many tokens, another view for each number, that asks for up to `scale.reply` more."""
    task = of_length(tokens, format)
    view = views.views(task, number + 1, 0, "test")[number]
    seen = views.apply_task(view, task)
    ids = format.encode_prompt(seen.demonstrations, seen.tests[0]).tolist()
    return Prompt("task", 0, view, tuple(ids[-(scale.context - 300) :]), scale.reply)


def random_weights(model: Model) -> Path:
    """A Qwen3 of these numbers with random weights and a tokenizer of as many words, made once and kept."""
    path = Path(tempfile.gettempdir()) / f"arc-ttt-random-{model.name}-{model.layers}-{model.hidden}"
    if (path / "tokenizer.json").is_file():
        return path
    import torch
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=model.vocabulary,
        hidden_size=model.hidden,
        intermediate_size=model.intermediate,
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        num_key_value_heads=model.key_heads,
        head_dim=model.head_dim,
        max_position_embeddings=40960,
        tie_word_embeddings=model.tied,
        eos_token_id=NVARC.end,
        pad_token_id=WORDS.index("<|endoftext|>"),
        bos_token_id=None,
        dtype="bfloat16",
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(path)
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="0"))
    made = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<|endoftext|>", eos_token="<|im_end|>")
    made.save_pretrained(path)
    torch.cuda.empty_cache()
    return path


def prepare_unsloth(folder: Path) -> None:
    """Environment and import as the worker does them."""
    os.environ.update(backends.environment(folder))
    importlib.import_module(backends.UNSLOTH)


def checks() -> dict[str, Callable[[Path, Deadline], Iterator[Row]]]:
    """By name; those that need no engine lie in a file of their own."""
    from tests.gpu import bare

    here = (preflight_says, unsloth_takes_our_arguments, qwen3_4b, qwen3_4b_on_22_gib, shipped, four_bits, run)
    return {check.__name__: check for check in (*here, bare.trainer_alone, bare.pretraining)}


def main(argv: list[str]) -> int:
    """Run one check; 1 where a row is not good."""
    name, path, folder, *rehearse = argv
    seconds = SECONDS[name] - START
    if rehearse:
        from tests.gpu import rehearsal

        rehearsal.replace_the_card()
        seconds *= PATIENCE
    rows: list[Row] = []
    for row in checks()[name](Path(folder), Deadline.after(seconds)):
        rows.append(row)
        save(rows, Path(path))
        print(json.dumps(row.__dict__), flush=True)
    return 1 if any(row.good is False for row in rows) else 0


if __name__ == "__main__":
    from tests.gpu import checks as module  # the one whose scale a rehearsal sets, not this `__main__`

    sys.exit(module.main(sys.argv[1:]))
