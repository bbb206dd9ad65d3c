"""What training and sampling take of a card's memory, and how a run is laid out in it, computed before any is taken.

    python -m solver plan                                  # the table in hardware/README.md
    python submission.py --plan l4 --plan-model qwen3-4b   # one plan in full

Knows nothing of torch; works from a config.json's numbers alone. Laws: base weights are counted once for training and
once in the engine; a plan's parts never add up to more than the card has, and what doesn't fit is refused by name.

One process holds both: that costs one CUDA context, and as training and sampling take turns in it, the larger of their
working memories serves both. Where they do not fit side by side they take the card in turns (`rounds`): the engine
sleeps while adapters are trained, its weights in the machine's memory and its cache given up, and the trainer's weights
wait there while the engine samples. Adapters are trained several tasks in a row, so a turn each is paid once a group.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from solver.config.presets import PRESETS
from solver.config.settings import EMBED, HEAD, Config
from solver.hardware.footprint import LORA_BYTES, OPTIMIZER_BYTES, Parts, beyond_work, engine_work, trainer_work
from solver.hardware.gpus import CARDS, GIB, Card
from solver.model.architecture import DESCRIBED, HALF, Model, read
from solver.model.checkpoint import SHIPPED
from solver.tokens.grid import LONGEST_REPLY
from solver.types import BadInput

RESIDENT, ROUNDS = "resident", "rounds"  # both at hand all the time; the engine asleep while adapters are trained
CUDA_CONTEXT = int(0.6 * GIB)  # driver, libraries and kernels of one process; 0.4 to 0.6 are common
GRAPHS = int(0.75 * GIB)  # what vLLM's captured CUDA graphs keep
SPARE = 0.04  # of a card stays unplanned: fragments, and what the estimates miss
PROMPTS = (32, 8, 2)  # prompts of full length the cache should hold, and must at the least to be worth starting
NARROWEST = 2 * (LONGEST_REPLY + 1)  # tokens of context below which hardly a task fits
SMALLEST_STEP = 1024  # a context is shortened to a multiple of this


@dataclass(frozen=True)
class MemoryPlan:
    """How a model is trained and sampled on a card.

    `layout`: `resident` or `rounds`. `peak`: bytes at the worst moment. `cache_bytes`, `sequences`, `context`, `dtype`:
    the engine's. `tokens`: of a training step. `checkpointing`: whether activations are computed again on the way
    back. `two_processes`: bytes it would take with training and engine in a process each. `notes`: what was shrunk.
    """

    model: Model
    card: Card
    layout: str
    parts: Parts
    context: int
    tokens: int
    sequences: int
    trainer_bits: int
    checkpointing: bool
    notes: tuple[str, ...] = ()

    @property
    def cache_bytes(self) -> int:
        """Bytes of the key-value cache."""
        return self.parts.cache

    @property
    def training(self) -> int:
        """Bytes while an adapter is trained: with the engine beside it, or asleep but for its CUDA graphs."""
        p = self.parts
        engine = p.engine if self.layout == RESIDENT else p.engine_graphs
        return p.context + engine + p.trainer + p.optimizer + p.trainer_work

    @property
    def sampling(self) -> int:
        """Bytes while the engine samples: with the trainer's weights beside it, or away."""
        p = self.parts
        return p.context + p.engine + p.engine_work + (p.trainer if self.layout == RESIDENT else 0)

    @property
    def peak(self) -> int:
        """Bytes at the worst moment."""
        return max(self.training, self.sampling)

    @property
    def two_processes(self) -> int:
        """Bytes with both at work in processes of their own: a context more, and no working memory shared."""
        p = self.parts
        return 2 * p.context + p.engine + p.engine_work + p.trainer + p.optimizer + p.trainer_work

    @property
    def gpu_share(self) -> float:
        """Share of the whole card the engine may take when it starts, before the trainer is there."""
        p = self.parts
        return self.card.share * min(0.95, max(0.1, (p.context + p.engine + p.engine_work) / self.card.usable))

    def settings(self, config: Config) -> Config:
        """The run's settings with the plan's in their place."""
        engine = replace(
            config.engine,
            context=self.context,
            cache_bytes=self.cache_bytes,
            sequences=self.sequences,
            dtype=self.card.dtype,
            gpu_share=round(self.gpu_share, 4),
            sleeps=self.layout == ROUNDS,
        )
        return replace(config, engine=engine, train=replace(config.train, tokens=self.tokens))

    @property
    def line(self) -> str:
        """The plan in one line, for the run's log."""
        p, how = self.parts, "with" if self.checkpointing else "without"
        shrunk = "".join(f"; {note}" for note in self.notes)
        return (
            f"memory plan for {self.card.name}: {self.layout}, {gib(self.peak)} of {gib(self.card.usable)} GiB "
            f"(weights {gib(p.trainer_weights)} + {gib(p.engine_weights)}, cache {gib(p.cache)} for "
            f"{p.cache // self.model.cache_bytes:,} tokens, {self.sequences} sequences, {self.card.dtype}), "
            f"{how} gradient checkpointing{shrunk}"
        )


def gib(size: float) -> str:
    """Bytes as GiB with one decimal, two where that would be 0.0."""
    return f"{size / GIB:.1f}" if size >= 0.05 * GIB else f"{size / GIB:.2f}"


def plan(model: Model, card: Card, config: Config) -> MemoryPlan:
    """The layout that fits with the least taken away; `BadInput`: none does, and what would.

    In this order are tried: a cache of many prompts before one of fewer; both sides resident before rounds; the
    recipe's tokens a step before fewer; activations kept before computed again. The context is shortened last.
    """
    for context, prompts in product(contexts(config), PROMPTS):
        for layout, tokens, checkpointing in product((RESIDENT, ROUNDS), steps(config, context), (False, True)):
            fitting = _with_cache(_bare(model, card, config, context, layout, tokens, checkpointing), config, prompts)
            if fitting is not None:
                return replace(fitting, notes=_shrunk(fitting, config))
    context = contexts(config)[-1]
    raise BadInput(_refusal(_bare(model, card, config, context, ROUNDS, steps(config, context)[-1], True)))


def contexts(config: Config) -> list[int]:
    """The context asked for, then shorter ones, three quarters each, while tasks fit into them."""
    lengths = [config.engine.context]
    while (shorter := lengths[-1] * 3 // 4 // SMALLEST_STEP * SMALLEST_STEP) >= NARROWEST:
        lengths.append(shorter)
    return lengths


def steps(config: Config, context: int) -> list[int]:
    """The recipe's tokens a step, then halves, as long as they save anything: one example may fill the context."""
    sizes = [config.train.tokens]
    while sizes[-1] > max(context, 1024):
        sizes.append(max(context, 1024, sizes[-1] // 2))
    return sizes


def _bare(
    model: Model, card: Card, config: Config, context: int, layout: str, tokens: int, checkpointing: bool
) -> MemoryPlan:
    """The plan with these choices and the smallest cache worth starting."""
    train, engine = config.train, config.engine
    bits = min(model.bits, train.bits)
    trained = 1 if train.steps else 0
    numbers = (
        model.head_outputs * model.hidden if train.head else model.adapter(train.rank, len(train.embedding_targets))
    )
    least, size = min(engine.sequences, PROMPTS[-1]), max(tokens, context)
    work = trainer_work(model, size, train.rank, checkpointing)
    work += beyond_work(model, size, train.rank, EMBED in train.embedding_targets, HEAD in train.embedding_targets)
    parts = Parts(
        context=CUDA_CONTEXT,
        engine_weights=model.weight_bytes(model.bits),
        engine_adapters=engine.adapters * model.adapter(engine.rank, len(train.embedding_targets)) * HALF,
        engine_graphs=GRAPHS,
        cache=least * context * model.cache_bytes,
        trainer_weights=trained * model.weight_bytes(bits),
        lora=trained * numbers * LORA_BYTES,
        optimizer=trained * numbers * OPTIMIZER_BYTES,
        trainer_work=trained * work,
        engine_work=engine_work(model, context, _logits(config, least)),
    )
    return MemoryPlan(model, card, layout, parts, context, tokens, least, bits, checkpointing)


def _logits(config: Config, sequences: int) -> int:
    """Places an engine's step computes logits for: one a sequence, or a whole reply's where candidates are re-read."""
    return max(sequences, LONGEST_REPLY) if config.search.views else sequences


def _with_cache(bare: MemoryPlan, config: Config, prompts: int) -> MemoryPlan | None:
    """The plan with all the cache there is room and use for; None where that is not enough for so many prompts.

    Sequences are as many as the cache holds at half the context each: more would be started and put off again.
    """
    most, full = config.engine.sequences, bare.context * bare.model.cache_bytes
    work = engine_work(bare.model, bare.context, _logits(config, most))
    widest = replace(bare, sequences=most, parts=replace(bare.parts, cache=0, engine_work=work))
    if prompts == PROMPTS[-1]:  # rather few sequences than none
        widest = replace(bare, parts=replace(bare.parts, cache=0))
        most = min(most, prompts * 2)
    planned = int(bare.card.usable * (1 - SPARE))
    room = planned - (widest.peak if bare.layout == RESIDENT else widest.sampling)
    useful = min(most * full, max(config.engine.cache_bytes, PROMPTS[-1] * full))
    cache = min(room, useful)
    if widest.training > planned or cache < min(prompts * full, useful):
        return None
    fitting = min(most, max(1, 2 * cache // full))
    return replace(widest, parts=replace(widest.parts, cache=cache), sequences=fitting)


def _shrunk(planned: MemoryPlan, config: Config) -> tuple[str, ...]:
    """What the card made smaller than the settings asked for."""
    asked = (
        ("context", config.engine.context, planned.context),
        ("tokens a training step", config.train.tokens, planned.tokens),
        ("sequences", config.engine.sequences, planned.sequences),
    )
    return tuple(f"{name} {came:,} instead of {wanted:,}" for name, wanted, came in asked if came < wanted)


def _refusal(least: MemoryPlan) -> str:
    """One line: what the least takes, what there is, and what to do."""
    what = max(("training", least.training), ("sampling", least.sampling), key=lambda side: side[1])
    advice = "a card with more memory" if least.trainer_bits == 4 else "train.bits 4, or a card with more memory"
    return (
        f"{least.model.name} does not fit on {least.card.name}: {what[0]} takes {gib(what[1])} GiB at the least, "
        f"{gib(least.card.usable * (1 - SPARE))} of {gib(least.card.usable)} are planned with: expected {advice}"
    )


def lines(planned: MemoryPlan) -> Iterator[str]:
    """The plan in full, a line a part, for people."""
    p, model, card = planned.parts, planned.model, planned.card
    bits = {16: card.dtype, 4: "4-bit"}
    yield f"{model.name} on {card.name}: {planned.layout}, {gib(planned.peak)} of {gib(card.usable)} GiB"
    yield from (
        f"  {gib(size):>6} GiB  {what}"
        for size, what in (
            (p.context, "CUDA context, one process"),
            (p.trainer_weights, f"weights for training, {bits[planned.trainer_bits]}"),
            (p.lora + p.optimizer, "LoRA, its gradients and optimizer"),
            (p.trainer_work, f"training step, {max(planned.tokens, planned.context):,} tokens, {_how(planned)}"),
            (p.engine_weights, f"weights in the engine, {bits[model.bits]}"),
            (p.engine_adapters, "adapters in the engine"),
            (p.engine_graphs, "CUDA graphs"),
            (p.engine_work, f"engine step, {planned.context:,} tokens of context, with logits"),
            (p.cache, f"key-value cache, {p.cache // model.cache_bytes:,} tokens of {model.cache_bytes:,} B"),
        )
    )
    yield f"  while training {gib(planned.training)} GiB, while sampling {gib(planned.sampling)} GiB"
    yield f"  as two processes it would be {gib(planned.two_processes)} GiB"
    yield f"  engine: {planned.sequences} sequences, context {planned.context:,}, dtype {card.dtype}"
    yield from (f"  shrunk: {note}" for note in planned.notes)


def _how(planned: MemoryPlan) -> str:
    return "activations computed again" if planned.checkpointing else "activations kept"


PRESET_OF: Mapping[str, str] = {"t4": "kaggle-t4x2", "l4": "kaggle-l4x4", "h100": "h200", "h200": "h200"}


def table() -> str:
    """Plans for the shipped weights and the described models on every card, as Markdown; sizes in GiB."""
    models = (read(SHIPPED), *(DESCRIBED[n] for n in ("qwen3-4b", "qwen3-4b-16", "llama-3-8b-4bit")))
    rows = [row(model, card, PRESETS[PRESET_OF[name]]) for model in models for name, card in CARDS.items()]
    columns = rows[0].keys()
    cells = [columns, ["---"] * len(columns), *([row.get(name, "") for name in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def row(model: Model, card: Card, config: Config) -> Mapping[str, str]:
    """A plan as a row of the table, by column; a model that doesn't fit as one with the reason in place of a layout."""
    names = {"model": model.name, "card": card.name.upper()}
    try:
        planned = plan(model, card, config)
    except BadInput as error:
        return {**names, "layout": str(error)}
    p = planned.parts
    return {
        **names,
        "layout": planned.layout,
        "training": gib(p.trainer + p.optimizer + p.trainer_work),
        "engine": gib(p.engine - p.cache + p.engine_work),
        "cache (tokens)": f"{gib(p.cache)} ({p.cache // model.cache_bytes:,})",
        "at once": str(planned.sequences),
        "context": f"{planned.context:,}",
        "peak": f"{gib(planned.peak)} of {gib(card.usable)}",
        "checkpointing": "yes" if planned.checkpointing else "no",
    }


def main(argv: Sequence[str]) -> int:
    """Print the table."""
    argparse.ArgumentParser(prog="python -m solver plan", description=main.__doc__).parse_args(argv)
    print(table())
    return 0
