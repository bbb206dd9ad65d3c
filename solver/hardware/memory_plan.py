"""What training and sampling take of a card's memory, and how a run is laid out in it, computed before any is taken.

    python -m solver plan                                  # the table in hardware/README.md
    python submission.py --plan l4 --plan-model qwen3-4b   # one plan in full

Works from a config.json's numbers alone; the numbers a token leaves behind were counted in transformers and peft
(`test_memory_plan.py` counts them again). Laws: base weights are counted once for training and once in the engine;
every estimate is of the worst step, never of the mean one; a plan's parts never add up to more than the card has, and
what doesn't fit is refused by name.

One process holds both: that costs one CUDA context, and as training and sampling take turns in it, the larger of their
working memories serves both. Where they do not fit side by side they take the card in turns (`rounds`): the engine
sleeps while adapters are trained, its weights in the machine's memory and its cache given up, and the trainer's weights
wait there while the engine samples. Adapters are trained several tasks in a row, so a turn each is paid once a group.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from solver.config.presets import PRESETS
from solver.config.settings import EMBED, HEAD, Config, TrainRecipe
from solver.hardware.engine import STEP_TOKENS
from solver.hardware.gpus import CARDS, GIB, Card
from solver.model.architecture import DESCRIBED, GRID, HALF, KEY_NORMS, Model, read
from solver.model.checkpoint import SHIPPED
from solver.tokens.grid import LONGEST_REPLY
from solver.types import BadInput

RESIDENT, ROUNDS = "resident", "rounds"  # both at hand all the time; the engine asleep while adapters are trained
CUDA_CONTEXT = int(0.6 * GIB)  # driver, libraries and kernels of one process: assumed, not measured here
GRAPHS = int(0.75 * GIB)  # what vLLM's captured CUDA graphs keep: assumed
SPARE = 0.04  # of a card stays unplanned: fragments, and what the estimates miss
PROMPTS = (32, 8, 2)  # prompts of full length the cache should hold, and must at the least to be worth starting
NARROWEST = 2 * (LONGEST_REPLY + 1)  # tokens of context below which hardly a task fits
CONTEXT_MULTIPLE = 1024  # tokens: a context is shortened to a multiple of it
LOGPROBS_BYTES = 12  # of one logit in the engine: float32, its log-softmax, and a copy to sort
LOSS_BYTES = 16  # of one logit in training: in 16 bits with its gradient; in float32 itself, its log-softmax, gradient
LOSS_PIECE = 512  # tokens whose logits are computed at a time in training: a vocabulary may be wide
HEAD_LORA_BYTES = 6  # of one logit, added by a LoRA on the head in training: its product, scaled, and its gradient
FACTORED_BYTES = 24  # of one output of the factored head in training: float32, three parts, their sums, gradient
ADAPTER_BYTES = 20  # of one number of an adapter: as served, its gradient, master, its gradient, AdamW's two moments
SAVED_BYTES = 4  # of one number of the adapter that is being saved: copies in 16 bits


@dataclass(frozen=True)
class MemoryPlan:
    """How a model is trained and sampled on a card.

    `layout`: `resident` or `rounds`. `context`, `sequences`: the engine's. `tokens`: of an adapter's training step;
    `together`: adapters in it. `checkpointing`: whether activations are computed again on the way back. `notes`: what
    was shrunk. The others are bytes by what they are for; `CUDA_CONTEXT` and `GRAPHS` come on top.
    """

    model: Model
    card: Card
    layout: str
    context: int
    tokens: int
    together: int
    sequences: int
    trainer_bits: int
    checkpointing: bool
    engine_weights: int
    engine_adapters: int
    cache_bytes: int
    engine_work: int
    trainer_weights: int
    adapters: int
    trainer_work: int
    notes: tuple[str, ...] = ()

    @property
    def engine(self) -> int:
        """All that the engine has to itself between its steps."""
        return self.engine_weights + self.engine_adapters + GRAPHS + self.cache_bytes

    @property
    def trainer(self) -> int:
        """All that training has to itself between its steps; nothing of it stays where it leaves the card."""
        return self.trainer_weights + self.adapters

    @property
    def training(self) -> int:
        """Bytes while an adapter is trained: with the engine beside it, or asleep but for its CUDA graphs."""
        engine = self.engine if self.layout == RESIDENT else GRAPHS
        return CUDA_CONTEXT + engine + self.trainer + self.trainer_work

    @property
    def sampling(self) -> int:
        """Bytes while the engine samples: with the trainer's weights and adapters beside it, or away."""
        return CUDA_CONTEXT + self.engine + self.engine_work + (self.trainer if self.layout == RESIDENT else 0)

    @property
    def peak(self) -> int:
        """Bytes at the worst moment."""
        return max(self.training, self.sampling)

    @property
    def two_processes(self) -> int:
        """Bytes with both at work in processes of their own: a context more, and no working memory shared."""
        return 2 * CUDA_CONTEXT + self.engine + self.engine_work + self.trainer + self.trainer_work

    @property
    def gpu_share(self) -> float:
        """Share of the whole card the engine may take when it starts, before the trainer is there."""
        needed = (CUDA_CONTEXT + self.engine + self.engine_work) / self.card.usable
        return self.card.share * min(0.95, max(0.1, needed))

    @property
    def cached(self) -> int:
        """Tokens the key-value cache holds."""
        return self.cache_bytes // self.model.cache_bytes

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
        several = several_adapters(self.model, config, self.checkpointing)
        together = self.together if several else config.train.adapters_per_batch
        train = replace(config.train, tokens=self.tokens, adapters_per_batch=together)
        return replace(config, engine=engine, train=train)

    @property
    def line(self) -> str:
        """The plan in one line, for the run's log."""
        how = "with" if self.checkpointing else "without"
        weights = f"weights {gib(self.trainer_weights)} + {gib(self.engine_weights)}"
        cache = f"cache {gib(self.cache_bytes)} for {self.cached:,} tokens"
        return (
            f"memory plan for {self.card.name}: {self.layout}, {gib(self.peak)} of {gib(self.card.usable)} GiB "
            f"({weights}, {cache}, {self.sequences} sequences, {self.card.dtype}), {how} gradient checkpointing"
            + "".join(f"; {note}" for note in self.notes)
        )


def gib(size: float) -> str:
    """Bytes as GiB with one decimal, two where that would be 0.0."""
    return f"{size / GIB:.1f}" if size >= 0.05 * GIB else f"{size / GIB:.2f}"


def plan(model: Model, card: Card, config: Config) -> MemoryPlan:
    """The layout that fits with the least taken away; `BadInput`: none does, and what would.

    In this order are tried: a cache of many prompts before one of fewer; both sides resident before rounds; the
    recipe's tokens a step before fewer; activations kept before computed again; as many adapters side by side as the
    recipe has before half of them. The context is shortened last.
    """
    planned = fitting(model, card, config)
    if planned is None:
        raise BadInput(_refusal(model, card, config))
    return planned


def fitting(model: Model, card: Card, config: Config) -> MemoryPlan | None:
    """`plan`, or None where no layout fits."""
    for context, prompts in product(contexts(config), PROMPTS):
        for layout, tokens, checkpointing in product((RESIDENT, ROUNDS), steps(config, context), (False, True)):
            for together in adapter_counts(model, config, checkpointing):
                smaller = _changed(config, context, tokens, together)
                fits = _with_cache(_bare(model, card, smaller, layout, checkpointing), config, prompts)
                if fits is not None:
                    return replace(fits, notes=_shrunk(fits, config))
    return None


def _changed(config: Config, context: int, tokens: int, together: int) -> Config:
    """The settings with another context, other tokens a step, other adapters side by side."""
    train = replace(config.train, tokens=tokens, adapters_per_batch=together)
    return replace(config, engine=replace(config.engine, context=context), train=train)


def several_adapters(model: Model, config: Config, checkpointing: bool) -> bool:
    """Whether the trainer has several adapters in a batch (`LoraTrainer`)."""
    return model.kind == GRID and min(model.bits, config.train.bits) == 16 and not checkpointing


def adapter_counts(model: Model, config: Config, checkpointing: bool) -> list[int]:
    """The adapters in a batch that the recipe has, then halves, where the trainer has several at all."""
    counts = [config.train.adapters_per_batch]
    while several_adapters(model, config, checkpointing) and counts[-1] > 1:
        counts.append(counts[-1] // 2)
    return counts


def contexts(config: Config) -> list[int]:
    """The context asked for, then shorter ones, three quarters each, while tasks fit into them."""
    lengths = [config.engine.context]
    while (shorter := lengths[-1] * 3 // 4 // CONTEXT_MULTIPLE * CONTEXT_MULTIPLE) >= NARROWEST:
        lengths.append(shorter)
    return lengths


def steps(config: Config, context: int) -> list[int]:
    """The recipe's tokens a step, then halves, as long as they save anything: one example may fill the context."""
    sizes = [config.train.tokens]
    while sizes[-1] > context:
        sizes.append(max(context, sizes[-1] // 2))
    return sizes


def _bare(model: Model, card: Card, config: Config, layout: str, checkpointing: bool) -> MemoryPlan:
    """The plan with these choices and the smallest cache worth starting."""
    train, engine, targets = config.train, config.engine, config.train.embedding_targets
    together = train.adapters_per_batch if several_adapters(model, config, checkpointing) else 1
    context, bits, trained = engine.context, min(model.bits, train.bits), 1 if train.steps else 0
    least = min(engine.sequences, PROMPTS[-1])
    tokens = together * max(train.tokens, context)  # of a step
    work = trainer_work(model, tokens, train.rank, checkpointing, EMBED in targets, HEAD in targets)
    return MemoryPlan(
        model=model,
        card=card,
        layout=layout,
        context=context,
        tokens=train.tokens,
        together=together,
        sequences=least,
        trainer_bits=bits,
        checkpointing=checkpointing,
        engine_weights=model.weight_bytes(model.bits),
        engine_adapters=engine.adapters * model.adapter(engine.rank, len(targets)) * HALF,
        cache_bytes=least * context * model.cache_bytes,
        engine_work=engine_work(model, context, _logits(config, least)),
        trainer_weights=trained * model.weight_bytes(bits),
        adapters=trained * adapter_numbers(model, train) * (together * ADAPTER_BYTES + SAVED_BYTES),
        trainer_work=trained * work,
    )


def adapter_numbers(model: Model, train: TrainRecipe) -> int:
    """How many numbers an adapter of this recipe has."""
    lora = model.adapter(train.rank, len(train.embedding_targets))
    return model.head_outputs * model.hidden if train.head else lora


def _logits(config: Config, sequences: int) -> int:
    """Places an engine's step computes logits for: one a sequence, or a whole reply's where candidates are re-read."""
    return max(sequences, LONGEST_REPLY) if config.search.views else sequences


def _with_cache(bare: MemoryPlan, config: Config, prompts: int) -> MemoryPlan | None:
    """The plan with all the cache there is room and use for; None where that is not enough for so many prompts.

    Sequences are as many as the cache holds at half the context each: more would be started and put off again.
    """
    most, full = config.engine.sequences, bare.context * bare.model.cache_bytes
    work = engine_work(bare.model, bare.context, _logits(config, most))
    if prompts == PROMPTS[-1]:  # rather few sequences than none
        most, work = min(most, prompts * 2), bare.engine_work
    widest = replace(bare, cache_bytes=0, engine_work=work)
    planned = int(bare.card.usable * (1 - SPARE))
    room = planned - (widest.peak if bare.layout == RESIDENT else widest.sampling)
    useful = min(most * full, max(config.engine.cache_bytes, PROMPTS[-1] * full))
    cache = min(room, useful)
    if widest.training > planned or cache < min(prompts * full, useful):
        return None
    return replace(widest, cache_bytes=cache, sequences=min(most, max(1, 2 * cache // full)))


def layer_activations(model: Model, rank: int) -> int:
    """Numbers a layer keeps of each token for the way back, as transformers and peft compute it (fused attention).

    Six hidden-wide (both norms' float32 copies are two each), four as wide as the inner layer, two as wide as queries
    and keys together and, where those are normalised, two more; and the LoRAs' inner values.
    """
    attention = (4 if model.kind in KEY_NORMS else 2) * (model.heads + model.key_heads) * model.head_dim
    return 6 * model.hidden + 4 * model.intermediate + attention + 7 * rank


def activations(model: Model, tokens: int, rank: int, checkpointing: bool) -> int:
    """Bytes kept of a training step's tokens for the way back: all layers', or each layer's input and one layer's."""
    layer = layer_activations(model, rank)
    every = model.layers * layer + 2 * model.head_dim  # with the rotary tables
    kept = model.layers * model.hidden + layer if checkpointing else every
    return HALF * tokens * (kept + 2 * model.hidden)  # with the last norm's float32 copy


def trainer_work(
    model: Model, tokens: int, rank: int, checkpointing: bool, embedding: bool = False, head: bool = False
) -> int:
    """Bytes of a training step: what is kept, one layer's gradients, and the loss over the vocabulary.

    LoRAs on `embedding` and `head` add the inner values of each; the embedding's product beside its sum, and its A's
    gradient before it is added; another product for each of the head's logits.
    """
    loss = tokens * FACTORED_BYTES if model.kind == GRID else min(tokens, LOSS_PIECE) * LOSS_BYTES
    layer, inner = HALF * tokens * layer_activations(model, rank), HALF * tokens * rank
    lookups = inner + HALF * (2 * tokens * model.hidden + model.vocabulary * rank)
    logits = inner + min(tokens, LOSS_PIECE) * model.vocabulary * HEAD_LORA_BYTES
    step = activations(model, tokens, rank, checkpointing) + layer + model.head_outputs * loss
    return step + lookups * embedding + logits * head


def engine_work(model: Model, context: int, logits: int) -> int:
    """Bytes of an engine's step: a layer's values for its tokens, and logits for so many places."""
    width = 4 * model.hidden + 3 * model.intermediate + 2 * (model.heads + 2 * model.key_heads) * model.head_dim
    return max(STEP_TOKENS, context) * width * HALF + logits * model.vocabulary * LOGPROBS_BYTES


def _shrunk(planned: MemoryPlan, config: Config) -> tuple[str, ...]:
    """What the card made smaller than the settings asked for."""
    several = several_adapters(planned.model, config, False)  # what was asked for, before anything was shrunk
    asked = (
        ("context", config.engine.context, planned.context),
        ("tokens a training step", config.train.tokens, planned.tokens),
        ("adapters in a training batch", config.train.adapters_per_batch * several, planned.together),
        ("sequences", config.engine.sequences, planned.sequences),
    )
    return tuple(f"{name} {came:,} instead of {wanted:,}" for name, wanted, came in asked if came < wanted)


def _refusal(model: Model, card: Card, config: Config) -> str:
    """One line: what the least takes, what there is, and what would fit."""
    context = contexts(config)[-1]
    smallest = _changed(config, context, steps(config, context)[-1], 1)
    least = _bare(model, card, smallest, ROUNDS, True)
    size, name = max((least.training, "training"), (least.sampling, "sampling"))
    would = []
    if least.trainer_bits == 16 and not (config.train.whole or config.train.head):
        quantized = replace(config, train=replace(config.train, bits=4))
        if fitting(model, card, quantized):
            would.append("train.bits 4")
        elif fitting(replace(model, bits=4), card, quantized):
            would.append("weights stored in 4 bits")
    larger = [c for c in CARDS.values() if c.usable > card.usable and fitting(model, c, config)]
    would += [f"a card like {c.name} ({gib(c.usable)} GiB)" for c in sorted(larger, key=lambda c: c.usable)[:1]]
    return (
        f"{model.name} does not fit on {card.name}: {name} takes {gib(size)} GiB at the least, "
        f"{gib(card.usable * (1 - SPARE))} of {gib(card.usable)} are planned with: "
        f"expected {', or '.join(would) or 'a smaller model'}"
    )


def lines(planned: MemoryPlan) -> Iterator[str]:
    """The plan in full, with a line for each part."""
    model, card, bits = planned.model, planned.card, {16: planned.card.dtype, 4: "4-bit"}
    parts = {
        "CUDA context, one process": CUDA_CONTEXT,
        f"weights for training, {bits[planned.trainer_bits]}": planned.trainer_weights,
        f"adapters in training, {planned.together}, their gradients and optimizer": planned.adapters,
        f"training step, {planned.together * max(planned.tokens, planned.context):,} tokens, "
        f"activations {'computed again' if planned.checkpointing else 'kept'}": planned.trainer_work,
        f"weights in the engine, {bits[model.bits]}": planned.engine_weights,
        "adapters in the engine": planned.engine_adapters,
        "CUDA graphs": GRAPHS,
        f"engine step, {planned.context:,} tokens of context, with logits": planned.engine_work,
        f"key-value cache, {planned.cached:,} tokens of {model.cache_bytes:,} B": planned.cache_bytes,
    }
    yield f"{model.name} on {card.name}: {planned.layout}, {gib(planned.peak)} of {gib(card.usable)} GiB"
    yield from (f"  {gib(size):>6} GiB  {what}" for what, size in parts.items())
    yield f"  while training {gib(planned.training)} GiB, while sampling {gib(planned.sampling)} GiB"
    yield f"  as two processes it would be {gib(planned.two_processes)} GiB"
    yield f"  engine: {planned.sequences} sequences, context {planned.context:,}, dtype {card.dtype}"
    yield from (f"  shrunk: {note}" for note in planned.notes)


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
        return names | {"layout": str(error)}
    return names | {
        "layout": planned.layout,
        "training": gib(planned.trainer + planned.trainer_work),
        "engine": gib(planned.engine - planned.cache_bytes + planned.engine_work),
        "cache (tokens)": f"{gib(planned.cache_bytes)} ({planned.cached:,})",
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
