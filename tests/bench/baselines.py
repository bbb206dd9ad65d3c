"""The usual ways, written for comparison from their published descriptions, over transformers and peft.

(a) the recursive threshold search, one token and one model call at a time, over one key-value cache that is cut back
when the recursion returns (arXiv 2505.07859); (b) the same for four prompts of one length at once, a row each (NVARC);
(c) `generate` after `set_adapter`, a task at a time; (d) transformers' Trainer with peft, a task after another; and one
forward a pair for the likelihood of a reply. All but (d) get the grammar and the cheap tricks that ours gets, so that
what differs is how the work is laid out.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache

from solver.clock import Deadline
from solver.config.settings import TrainRecipe
from solver.inference.threshold_search import ROUNDING
from solver.interfaces import Grammar, ScoringRequest
from solver.model import grid_qwen3
from solver.tokens import grid
from solver.training.backends import lora_settings
from solver.training.pace import Pace
from solver.types import Adapter, Example, Prompt, Reply, seed_for
from tests.support.tiny import mean_loss

Found = dict[tuple[int, ...], float]
"""Replies with their nats."""

Ask = Generator[tuple[int, int], Tensor, None]
"""A search that asks for (token, its place in the sequence) and is sent the log-probabilities after it."""


class Peft:
    """One base model with any number of adapters under their names."""

    def __init__(self, weights: Path, adapters: Sequence[Adapter], dtype: torch.dtype):
        from peft import PeftModel

        grid_qwen3.register()
        self.base = AutoModelForCausalLM.from_pretrained(weights, dtype=dtype, local_files_only=True).eval()
        self.model: Any = self.base
        for number, adapter in enumerate(adapters):
            if number == 0:
                self.model = PeftModel.from_pretrained(
                    self.base, adapter.path, adapter_name=adapter.name, autocast_adapter_dtype=False
                ).eval()
            else:
                self.model.load_adapter(adapter.path, adapter_name=adapter.name, autocast_adapter_dtype=False)

    def use(self, adapter: Adapter | None) -> Any:
        """The model with this adapter on; None only where there are none at all."""
        if adapter is not None:
            self.model.set_adapter(adapter.name)
        return self.model


def walk(prompt: Prompt, p_min: float, first: Tensor, found: Found) -> Ask:
    """The recursion itself, whoever calls the model: depth first, the likeliest token first."""
    floor = math.log(p_min) - ROUNDING
    start = len(prompt.tokens)

    def enter(logprobs: Tensor, said: tuple[int, ...], nats: float, grammar: Grammar) -> Ask:
        likely = (logprobs >= floor - nats).nonzero()[:, 0]
        for token in likely[logprobs[likely].argsort(descending=True)].tolist():
            total, after = nats + float(logprobs[token]), grammar.then(token)
            if after is None:
                continue
            if token == grid.END:
                found[(*said, token)] = total
            elif len(said) + 1 < prompt.max_reply:
                following = yield token, start + len(said)
                yield from enter(following, (*said, token), total, after)

    yield from enter(first, (), 0.0, grid.GRID.written)


@torch.no_grad()
def recursion(model: Any, prompt: Prompt, p_min: float) -> Found:
    """(a): one prompt, one token a call, one cache that is cut back to where the recursion is."""
    found: Found = {}
    cache = DynamicCache(config=model.config)
    whole = torch.tensor([prompt.tokens])
    logits = model(input_ids=whole, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
    search = walk(prompt, p_min, logits[0, -1].log_softmax(-1), found)
    wanted = next(search, None)
    while wanted is not None:
        token, place = wanted
        if behind := cache.get_seq_length() - place:
            cache.crop(-behind)
        step = model(input_ids=torch.tensor([[token]]), past_key_values=cache, use_cache=True, logits_to_keep=1)
        wanted = _send(search, step.logits[0, -1].log_softmax(-1))
    return found


def _send(search: Ask, logprobs: Tensor) -> tuple[int, int] | None:
    try:
        return search.send(logprobs)
    except StopIteration:
        return None


class RowCache:
    """A key-value cache of a fixed size whose rows stand at different places; what lies behind a place is hidden."""

    def __init__(self, rows: int, length: int):
        self.rows, self.length = rows, length
        self.places = torch.zeros(rows, dtype=torch.long)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def fill(self, row: int, cache: DynamicCache) -> None:
        """Put what was computed for a prompt alone into a row."""
        for number, layer in enumerate(cache.layers):
            if number == len(self.keys):
                shape = (self.rows, layer.keys.shape[1], self.length, layer.keys.shape[3])
                self.keys.append(layer.keys.new_zeros(shape))
                self.values.append(layer.keys.new_zeros(shape))
            tokens = layer.keys.shape[2]
            self.keys[number][row, :, :tokens], self.values[number][row, :, :tokens] = layer.keys[0], layer.values[0]

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write one token's keys and values a row, [rows, heads, 1, size]; returns all up to the furthest place."""
        index, furthest = torch.arange(self.rows), int(self.places.max()) + 1
        self.keys[layer][index, :, self.places] = keys[:, :, 0]
        self.values[layer][index, :, self.places] = values[:, :, 0]
        return self.keys[layer][:, :, :furthest], self.values[layer][:, :, :furthest]


@torch.no_grad()
def batched(model: Any, prompts: Sequence[Prompt], p_min: float) -> list[Found]:
    """(b): a row for each prompt, each row its own recursion, one token a row and call, until the last row is done."""
    finds: list[Found] = [{} for _ in prompts]
    cache = RowCache(len(prompts), max(len(p.tokens) + p.max_reply for p in prompts))
    searches = []
    for row, prompt in enumerate(prompts):
        alone, whole = DynamicCache(config=model.config), torch.tensor([prompt.tokens])
        logits = model(input_ids=whole, past_key_values=alone, use_cache=True, logits_to_keep=1).logits
        cache.fill(row, alone)
        searches.append(walk(prompt, p_min, logits[0, -1].log_softmax(-1), finds[row]))
    wanted = [next(search, None) for search in searches]
    while any(wanted):
        tokens = torch.tensor([[w[0] if w else grid.PAD] for w in wanted])
        cache.places = torch.tensor([w[1] if w else 0 for w in wanted])
        logprobs = _step(model, tokens, cache).log_softmax(-1)
        wanted = [w and _send(s, logprobs[row]) for row, (w, s) in enumerate(zip(wanted, searches, strict=True))]
    return finds


def _step(model: Any, tokens: Tensor, cache: RowCache) -> Tensor:
    """Logits after one token a row, [rows, vocabulary]; each row sees its own past alone."""
    seen = torch.arange(int(cache.places.max()) + 1)[None] <= cache.places[:, None]
    dtype = next(model.parameters()).dtype
    mask = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)[:, None, None]
    output = model(
        input_ids=tokens,
        attention_mask=mask,
        position_ids=cache.places[:, None],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits: Tensor = output.logits[:, -1]
    return logits


@torch.no_grad()
def generated(peft: Peft, requests: Sequence[tuple[Prompt, Adapter | None]]) -> list[tuple[int, ...]]:
    """(c): for each adapter, its prompts in batches of one length, greedily; the replies' tokens in order."""
    groups: dict[tuple[str, int], list[int]] = {}
    for at, (prompt, adapter) in enumerate(requests):
        groups.setdefault((adapter.name if adapter else "", len(prompt.tokens)), []).append(at)
    replies: list[tuple[int, ...]] = [()] * len(requests)
    for members in groups.values():
        model = peft.use(requests[members[0]][1])
        tokens = torch.tensor([requests[at][0].tokens for at in members])
        longest = max(requests[at][0].max_reply for at in members)
        said = model.generate(
            input_ids=tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=longest, do_sample=False
        )
        for at, row in zip(members, said[:, tokens.shape[1] :].tolist(), strict=True):
            end = row.index(grid.END) + 1 if grid.END in row else len(row)
            replies[at] = tuple(row[: min(end, requests[at][0].max_reply)])
    return replies


@torch.no_grad()
def read_one_by_one(peft: Peft, readings: Sequence[ScoringRequest]) -> list[float]:
    """One forward a pair: the nats of each reply, the prompt computed again every time."""
    nats = []
    for tokens, reply, adapter in readings:
        ids = torch.tensor([[*tokens, *reply]])
        logits = peft.use(adapter)(input_ids=ids, logits_to_keep=len(reply) + 1).logits[0, :-1]
        nats.append(float(logits.log_softmax(-1).gather(-1, ids[0, len(tokens) :, None]).sum()))
    return nats


def nats_of(model: Any, prompt: Prompt, reply: Reply) -> float:
    """The log-probability of one reply by one plain forward."""
    ids = torch.tensor([[*prompt.tokens, *reply.tokens]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(prompt.tokens) - 1 : -1]
    return float(logits.log_softmax(-1).gather(-1, ids[0, len(prompt.tokens) :, None]).sum())


def hugging_face_trainer(
    weights: Path,
    recipe: TrainRecipe,
    tasks: Sequence[Sequence[Example]],
    batch: int,
    directory: Path,
    factored: bool = False,
) -> tuple[int, list[list[float]]]:
    """(d): on one base model a fresh LoRA and a Trainer for each task; (tokens trained on, losses by task).

    The loss is from the logits over the vocabulary, as the Trainer would have it, or `factored`: the model's own. The
    starts and the rates of the steps are those of our trainer, so that the losses can be compared.
    """
    import peft
    from transformers import Trainer, TrainingArguments

    class Plain(Trainer):  # type: ignore[misc]
        """The Trainer with the one thing this model needs: the loss from its logits."""

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            if factored:
                return mean_loss(model.base_model.model, inputs["input_ids"], inputs["labels"] != -100)
            return plain_loss(model, inputs)

    grid_qwen3.register()
    trained, losses = 0, []
    base = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.bfloat16, local_files_only=True)
    for number, examples in enumerate(tasks):
        lora = peft.LoraConfig(task_type="CAUSAL_LM", **lora_settings(recipe))
        model = peft.get_peft_model(base, lora, autocast_adapter_dtype=False)
        draw(model, seed_for(0, f"bench-{number}", "adapter"))
        rows = [row(example) for example in examples[: batch * recipe.steps]]
        settings = TrainingArguments(
            output_dir=str(directory / str(number)),
            per_device_train_batch_size=batch,
            max_steps=min(recipe.steps, len(rows) // batch),
            learning_rate=recipe.rate,
            max_grad_norm=recipe.clip,
            logging_steps=1,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            remove_unused_columns=False,
            train_sampling_strategy="sequential",
            seed=0,
        )
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], recipe.rate, weight_decay=0.0)
        plan = torch.optim.lr_scheduler.LambdaLR(optimizer, shares(recipe).__getitem__)
        trainer = Plain(
            model=model, args=settings, train_dataset=rows, data_collator=collate, optimizers=(optimizer, plan)
        )
        trainer.train()
        model.save_pretrained(directory / f"hf-{number}", safe_serialization=True)
        trained += sum(len(row["input_ids"]) for row in rows[: settings.max_steps * batch])
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
        base = model.unload()
    return trained, losses


def draw(model: Any, seed: int) -> None:
    """The random halves of a LoRA as our trainer draws them."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if p.requires_grad:
            drawn = (torch.rand(p.shape, generator=generator) * 2 - 1) / math.sqrt(p.shape[1])
            p.data.copy_(drawn if "lora_A" in name else torch.zeros_like(drawn))


def shares(recipe: TrainRecipe) -> list[float]:
    """Shares of the peak rate, step by step, and one more for the scheduler's last look."""
    pace = Pace(recipe, Deadline.after(24 * 3600.0))
    pace.planned = recipe.steps
    return [*iter(pace.next_share, None), 0.0]


def plain_loss(model: Any, inputs: Any) -> Tensor:
    """Mean nats a wanted token from the logits over the whole vocabulary."""
    logits = model(input_ids=inputs["input_ids"]).logits[:, :-1]
    labels = inputs["labels"][:, 1:]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=-100)


def collate(examples: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Rows in one batch, padded to the longest."""
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad([e["input_ids"] for e in examples], batch_first=True, padding_value=grid.PAD)
    return {"input_ids": ids, "labels": pad([e["labels"] for e in examples], True, -100)}


def row(example: Example) -> dict[str, Tensor]:
    """An example as the Trainer takes it."""
    ids = torch.from_numpy(example.tokens).long()
    return {"input_ids": ids, "labels": torch.where(torch.from_numpy(example.loss), ids, -100)}
