"""One frozen tree of settings, checked at birth.

Knows nothing of models or files. Law: settings that contradict each other never leave this module.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from solver.data.transforms import VARIANTS
from solver.tokens import grid, registry
from solver.types import BadInput
from solver.voting.rules import DEFAULT, PLAIN, RULES, VOTE_WORTH

HOUR = 3600.0
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")  # what the LoRA is put on
EMBED, HEAD = EMBEDDINGS = ("embed_tokens", "lm_head")  # what it can be put on, too
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # LoRA ranks the engine can reserve room for
SCOPES = ("task", "shared", "shared-then-task")  # whose an adapter is
BITS = (4, 16)  # bits a base weight has while adapters are trained; 4 is QLoRA
FORMS = ("leave-one-out", "end-to-end", "shuffled")  # how pairs become training sequences
MOVES = ("dihedral", *VARIANTS)  # transformations that move cells; `sides` says of which grids
TRANSFORMATIONS = (*MOVES, "chains", "colours", "order")
SIDES = ("both", "input", "output")
LOSSES = ("after-first", "all", "test")
MOST_ALTERNATIVES = 100  # other tokens the engine names beside each one said: enough for a p_min of 0.01
LONGEST_ANSWER = grid.longest_reply()  # tokens, in every format: a shorter context could not even answer

LIKENESSES = ("states", "gradients")  # what makes tasks alike
NEVER = 2.0  # a likeness no two tasks have
OFF = "induction is off: no code model was given (--code-model)"  # none is shipped
UNSERVED = {  # forms of test-time training the engine has no way to serve → what to do instead
    "all": "task, with `whole` set: every matrix of the seven projections is trained itself and served as an adapter "
    "of full rank; embeddings, norms and the head stay as they are",
}


def require(name: str, value: object, fits: bool, expected: str) -> None:
    """Raise `BadInput`, naming the setting, what came and what was expected, unless `fits`."""
    if not fits:
        raise BadInput(f"{name} is {value!r}: expected {expected}")


@dataclass(frozen=True)
class DataRecipe:
    """What a task's training sequences are made of; `examples.build` makes them.

    `form`: `leave-one-out` (each demonstration in turn is asked for last, after the others), `end-to-end` (each pair
    alone), `shuffled` (all of them in random order). `leave_two_out`: repeated examples are left out, and ones that
    lack another demonstration fill their places. `transformations`: of `TRANSFORMATIONS`; none of them: the
    demonstrations as they are. `sides`: the grids whose cells the transformations move; colours change on both.
    `loss`: on the outputs `after-first`, on `all` of them, or on the last, which plays the `test`.
    """

    form: str = "leave-one-out"
    leave_two_out: bool = False
    transformations: tuple[str, ...] = ("dihedral", "colours", "order")
    sides: str = "both"
    loss: str = "after-first"

    def __post_init__(self) -> None:
        require("form of the training data", self.form, self.form in FORMS, f"one of {', '.join(FORMS)}")
        require("sides", self.sides, self.sides in SIDES, f"one of {', '.join(SIDES)}")
        require("loss", self.loss, self.loss in LOSSES, f"one of {', '.join(LOSSES)}")
        for name in self.transformations:
            require("transformation", name, name in TRANSFORMATIONS, f"one of {', '.join(TRANSFORMATIONS)}")
        self._refuse_contradictions()

    def _refuse_contradictions(self) -> None:
        chosen = set(self.transformations)
        fills = self.form == "leave-one-out" or not self.leave_two_out
        require("form with leave_two_out", self.form, fills, "leave-one-out, which it fills up; or leave it out")
        expected = f"to come with one it can chain: {', '.join(VARIANTS)}"
        require("transformation", "chains", "chains" not in chosen or bool(chosen & set(VARIANTS)), expected)
        expected = f"both, as no transformation chosen moves cells; or choose one of {', '.join(MOVES)}"
        require("sides", self.sides, self.sides == "both" or bool(chosen & set(MOVES)), expected)


@dataclass(frozen=True)
class TrainRecipe:
    """How an adapter is trained.

    `rank`, `alpha`: LoRA, scaled by alpha / √rank with `rslora`, by alpha / rank without. `targets`: the projections
    it is put on, and `EMBEDDINGS`. `rate`: peak learning rate of AdamW; it warms up over the share `warmup` of the
    steps and falls as a cosine. `embedding_rate`: share of it that the embedding's LoRA is trained with.
    `tokens`: tokens a step, padding included, but at least one example. `steps`: at most so many; 0 is no test-time
    training. `clip`: largest gradient norm. `examples`: at most so many examples a task (arXiv 2411.07279: 250), made
    as `data` says. `scope`: whose the adapter is, of `SCOPES`; one that is `shared` is trained on the examples of
    several tasks, and adapters of tasks `shared-then-task` start from it. `whole`: no low rank, every matrix of the
    targets is trained itself; it is served as an adapter of full rank, for which `rank` must be as large as the model
    is wide. `head`: the layers are frozen, and an output head of the task's own is trained from a fresh
    draw; what is said of LoRAs then plays no part. `shared_steps`: steps of a shared adapter at most, for each of its
    tasks. `bits`: of the base weights in training. `side_by_side`: tasks whose adapters are trained in one batch, each
    on its own `tokens` a step.
    """

    rank: int = 32
    alpha: int = 32
    rslora: bool = True
    targets: tuple[str, ...] = TARGETS
    rate: float = 2e-3
    embedding_rate: float = 0.1
    warmup: float = 0.1
    tokens: int = 2048
    steps: int = 48
    clip: float = 1.0
    examples: int = 250
    scope: str = "task"
    whole: bool = False
    head: bool = False
    shared_steps: int = 8
    bits: int = 16
    side_by_side: int = 1
    data: DataRecipe = field(default_factory=DataRecipe)

    def __post_init__(self) -> None:
        nearest = min(RANKS, key=lambda rank: abs(rank - self.rank))
        expected = f"one of {', '.join(map(str, RANKS))}; the nearest is {nearest}"
        require("LoRA rank", self.rank, self.rank in RANKS, expected)
        require("LoRA alpha", self.alpha, self.alpha > 0, "more than 0")
        expected = f"at least one, and each one of {', '.join((*TARGETS, *EMBEDDINGS))}: the engine serves no others"
        known = bool(self.targets) and set(self.targets) <= {*TARGETS, *EMBEDDINGS}
        require("LoRA targets", self.targets, known, expected)
        require(
            "adapter scope", self.scope, self.scope in SCOPES, UNSERVED.get(self.scope, f"one of {', '.join(SCOPES)}")
        )
        expected = "no `whole` beside it, which trains the layers that a head leaves frozen; choose one of them"
        require("head", self.head, not (self.head and self.whole), expected)
        for name, chosen in (("whole", self.whole), ("head", self.head)):
            expected = f"neither {EMBED} nor {HEAD} beside `{name}`, which trains no LoRA on them; leave out either"
            require("LoRA targets", self.targets, not (chosen and self.embedding_targets), expected)
        require("bits", self.bits, self.bits in BITS, "16, or 4 for QLoRA")
        require("adapters side by side", self.side_by_side, self.side_by_side >= 1, "at least 1")
        alone = not self.head or self.side_by_side == 1
        require("adapters side by side", self.side_by_side, alone, "1, as heads are trained one after another")
        require("training steps", self.steps, self.steps >= 0, "0 (no test-time training) or more")
        require("steps of a shared adapter", self.shared_steps, self.shared_steps >= 1, "at least 1 for each task")
        require("learning rate", self.rate, 0 < self.rate < 1, "a number between 0 and 1")
        share = 0 < self.embedding_rate <= 1
        require("share of the learning rate", self.embedding_rate, share, "a share above 0 and at most 1")
        require("warmup", self.warmup, 0 <= self.warmup <= 1, "a share of the steps from 0 to 1")
        require("tokens a step", self.tokens, self.tokens >= 1, "at least 1, which is one example a step")
        require("largest gradient norm", self.clip, self.clip > 0, "more than 0")
        expected = "16, as whole matrices and heads are trained in 16 bits; or neither `whole` nor `head`, for LoRAs"
        require("bits", self.bits, self.bits == 16 or not (self.whole or self.head), expected)
        require("examples a task", self.examples, self.examples >= 1, "at least 1")

    @property
    def embedding_targets(self) -> tuple[str, ...]:
        """The targets that are no projections of the layers."""
        return tuple(target for target in EMBEDDINGS if target in self.targets)


@dataclass(frozen=True)
class EngineSettings:
    """How the engine is built.

    `context`: tokens of the longest prompt with its reply. `cache_bytes`: size of the key-value cache; on a GPU at
    most so much, `memory_plan.plan` says how much. `adapters`: distinct adapters in one batch. `rank`: the LoRA rank
    served. `sequences`: prompts in flight. `threads`: of the CPU backend. `gpu_share`: of a GPU's memory for the
    engine. `sleeps`: on a GPU, whether the engine gives its memory up while adapters are trained.
    """

    context: int = 6144
    cache_bytes: int = 1 << 30
    adapters: int = 4
    rank: int = 32
    sequences: int = 128
    dtype: str = "bfloat16"
    threads: int = 2
    gpu_share: float = 0.9
    sleeps: bool = False

    def __post_init__(self) -> None:
        require("context", self.context, self.context > LONGEST_ANSWER, f"more than {LONGEST_ANSWER} tokens")
        require("gpu_share", self.gpu_share, 0 < self.gpu_share < 1, "a share between 0 and 1")


@dataclass(frozen=True)
class SearchSettings:
    """How likely answers are looked for, or drawn.

    `p_min`: every answer at least so probable under a view is found; 0 is the greedy one alone. `nodes`: engine
    requests one prompt's search may cost. `views`: views under which candidates are re-read before the vote, the first
    of those sampled; 0 is none. `share`: of the sampling seconds for the search, the rest being for re-reading.
    `temperature`: 0 takes the greedy reply to a view, above it `samples` of them are drawn; quick answers stay greedy.
    """

    p_min: float = 0.0
    nodes: int = 256
    views: int = 0
    share: float = 0.75
    temperature: float = 0.0
    samples: int = 1

    def __post_init__(self) -> None:
        lowest = 1 / MOST_ALTERNATIVES
        require("p_min", self.p_min, self.p_min == 0 or lowest <= self.p_min <= 1, f"0 (greedy), or {lowest} to 1")
        require("nodes", self.nodes, self.nodes >= 1, "at least 1")
        require("scoring views", self.views, self.views >= 0, "0 (none) or more")
        require("search share", self.share, 0 < self.share <= 1, "a share above 0 and at most 1")
        warm = 0 <= self.temperature < math.inf
        require("temperature", self.temperature, warm, "0 (greedy) or more")
        expected = "0, as p_min has every likely reply found, not some drawn; or p_min 0"
        require("temperature", self.temperature, not (self.temperature and self.p_min), expected)
        require("replies a view", self.samples, self.samples >= 1, "at least 1")
        expected = "1, as greedy replies to a view are all the same; or a temperature above 0"
        require("replies a view", self.samples, self.samples == 1 or self.temperature > 0, expected)


@dataclass(frozen=True)
class ProgramSettings:
    """How programs are searched for. `seconds`: of one core, for each task at most; 0: they are not. `nodes`: uses of a
    primitive for each task at most.
    """

    seconds: float = 10.0
    nodes: int = 200_000

    def __post_init__(self) -> None:
        require("seconds for programs", self.seconds, 0 <= self.seconds < math.inf, "0 (no programs) or more")
        require("nodes for programs", self.nodes, self.nodes >= 1, "at least 1")


@dataclass(frozen=True)
class NearSettings:
    """How a task learns from others.

    `library`: the folder of one that `collect` made; "": none, and nothing of this is done. `by`: what makes
    tasks alike, of `LIKENESSES`: the base model's states, or the gradients of an adapter, by which single examples are
    chosen (in the manner of LESS, arXiv 2402.04333): those of a demonstration asked for after its task's others that
    are most aligned with the mean of the given task's own. `count`: nearest tasks whose demonstrations are trained on,
    too; by gradients, as many examples as so many tasks of the library have on average, rounded up, and each is trained
    on under the recipe's views. `share`: of the examples that are theirs, taken in turns; 1: theirs alone. `warm`:
    likeness (cosine) from which training starts from the adapter of the task that is, or has, the nearest; `outright`:
    from which that adapter is used as it is; `NEVER`: not at all. `content`: what the library's hash has to be
    (`neighbours.digest`), so that a run is not gone on with when another lies in its place.
    """

    library: str = ""
    by: str = LIKENESSES[0]
    count: int = 0
    share: float = 0.5
    warm: float = NEVER
    outright: float = NEVER
    content: str = ""

    def __post_init__(self) -> None:
        require("likeness of tasks", self.by, self.by in LIKENESSES, f"one of {', '.join(LIKENESSES)}")
        require("nearest tasks", self.count, self.count >= 0, "0 (none) or more")
        require("share of the nearest tasks", self.share, 0 < self.share <= 1, "a share above 0 and at most 1")
        expected = "a folder that python -m solver collect made, as other tasks are to be learnt from"
        require("library", self.library, bool(self.library) or not self.asked, expected)
        for name, likeness in (("near.warm", self.warm), ("near.outright", self.outright)):
            expected = f"a cosine from -1 to 1, or {NEVER:g} for never"
            require(name, likeness, -1 <= likeness <= 1 or likeness == NEVER, expected)
        self._refuse_what_would_be_ignored()

    def _refuse_what_would_be_ignored(self) -> None:
        expected = (
            f"more than near.warm, {self.warm:g}, as nothing would be trained from there on; or near.warm {NEVER:g}"
        )
        require("near.outright", self.outright, self.warm >= NEVER or self.outright > self.warm, expected)
        expected = f"0, as with near.outright {self.outright:g} nothing is trained on them; or near.outright above -1"
        require("nearest tasks", self.count, self.count == 0 or self.outright > -1, expected)

    @property
    def asked(self) -> bool:
        """Whether anything is learnt from other tasks."""
        return bool(self.count) or min(self.warm, self.outright) < NEVER


@dataclass(frozen=True)
class Cost:
    """What one task's turn costs: `fixed` seconds + `per_token` seconds × tokens."""

    fixed: float = 5.0
    per_token: float = 0.01

    def seconds(self, tokens: int) -> float:
        """Seconds for a task of that many tokens."""
        return self.fixed + self.per_token * tokens


@dataclass(frozen=True)
class WriterSettings:
    """How the engine is built and sampled from.

    `context`: tokens of the longest question with its reply. `reply`: tokens of a reply at most. `cache_bytes`: size of
    the key-value cache on a CPU; on a GPU vLLM takes what is free. `sequences`: replies in flight. `threads`: of the
    CPU backend. `temperature`: 1 samples from the model as it is. The defaults were not tuned.
    """

    context: int = 12288
    reply: int = 2048
    cache_bytes: int = 4 << 30
    sequences: int = 64
    dtype: str = "bfloat16"
    threads: int = 2
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.reply < self.context:
            came = f"replies of {self.reply} tokens in a context of {self.context} came"
            raise BadInput(f"{came}; expected fewer than the context's and at least 1; change one of them")


@dataclass(frozen=True)
class InductionSettings:
    """Whether and how programs are asked for.

    `model`: a directory with a model that writes code and its tokenizer; "": off. `content`: what its files' hash has
    to be, so that a run is not gone on with when another lies in its place. `samples`: replies sampled a task. `share`:
    of the run's seconds at most, the model's start included. `seconds`: wall seconds a program may take for all grids
    of its task. `memory`: bytes it may add. `unsafe`: run programs even where nothing can contain them. `writer`: how
    the model's engine is built.
    """

    model: str = ""
    content: str = ""
    samples: int = 64
    share: float = 0.25
    seconds: float = 5.0
    memory: int = 512 << 20
    unsafe: bool = False
    writer: WriterSettings = field(default_factory=WriterSettings)

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise BadInput(f"{self.samples} samples a task came; expected at least 1; raise it, or give no code model")
        if not 0 < self.share < 1:
            raise BadInput(f"a share of {self.share} for the code model came; expected one between 0 and 1; change it")

    def line(self) -> str:
        """What is going to happen, in words."""
        return f"induction: {self.samples} programs a task from {self.model}" if self.model else OFF


@dataclass(frozen=True)
class Config:
    """A whole run.

    `views`: views sampled for each test input under an adapter. `orders`: so many of them have the same dihedral and
    colours, each with the demonstrations in another order, before the colours change. `quick_views`: views of the base
    model's quick answers in the first round, 0: no such round. `further`: rounds that give tasks whose vote is split
    another adapter and other views, at most. `settled`: a vote is split if more than this share of the views disagrees
    with the first attempt. `rule`: see `voting.rules`. `group`: tasks trained one after another, sampled in one batch.
    `format`: the weights' token format. `train_share`: of a turn's seconds for training. `shared_share`: of the time
    limit at most for shared adapters, one a device, where `train.scope` has them. `reserve`: seconds kept for the end.
    `minimum`: seconds below which a turn makes no sense. `cost`, `quick_cost`: what a task is expected to cost, and its
    quick answer, before any was timed. `time_limit`: seconds, start-up included.
    """

    time_limit: float = 600.0
    seed: int = 0
    views: int = 16
    orders: int = 1
    quick_views: int = 2
    further: int = 2
    settled: float = 0.25
    rule: str = DEFAULT
    format: str = grid.GRID.name
    group: int = 4
    train_share: float = 0.65
    shared_share: float = 0.25
    reserve: float = 8.0
    minimum: float = 6.0
    cost: Cost = field(default_factory=lambda: Cost(11.0, 0.006))
    quick_cost: Cost = field(default_factory=lambda: Cost(0.1, 0.0005))
    train: TrainRecipe = field(default_factory=TrainRecipe)
    engine: EngineSettings = field(default_factory=EngineSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    programs: ProgramSettings = field(default_factory=ProgramSettings)
    near: NearSettings = field(default_factory=NearSettings)
    induction: InductionSettings = field(default_factory=InductionSettings)

    def __post_init__(self) -> None:
        require("time limit", self.time_limit, self.time_limit > 0, "more than 0 seconds")
        require("views", self.views, self.views >= 1, "at least 1")
        require("example orders", self.orders, self.orders >= 1, "at least 1")
        expected = f"at most the views, {self.views}; lower it, or raise the views to {self.orders}"
        require("example orders", self.orders, self.orders <= self.views, expected)
        require("quick views", self.quick_views, self.quick_views >= 0, "0 (no quick answers) or more")
        require("further rounds", self.further, self.further >= 0, "0 or more")
        require("settled", self.settled, 0 <= self.settled <= 1, "a share from 0 to 1")
        require("share of shared adapters", self.shared_share, 0 < self.shared_share < 1, "between 0 and 1")
        require("voting rule", self.rule, self.rule in RULES, f"one of {', '.join(RULES)}")
        reread = self.rule not in VOTE_WORTH or self.search.views > 0
        expected = f"candidates re-read for it (search.views, --reread), or one of {', '.join(PLAIN)}"
        require("voting rule", self.rule, reread, expected)
        require("format", self.format, self.format in registry.NAMES, f"one of {', '.join(registry.NAMES)}")
        require("group", self.group, 1 <= self.group <= self.engine.adapters, "1 to the engine's adapters in a batch")
        expected = f"at most the engine's, {self.engine.rank}; lower it, or raise the engine's to {self.train.rank}"
        require("LoRA rank", self.train.rank, self.train.rank <= self.engine.rank, expected)
        borrowed = min(self.near.warm, self.near.outright) < NEVER or (self.near.asked and self.near.by == "gradients")
        expected = "nothing of a library but the nearest tasks by their states: its adapters and gradients are LoRAs'"
        require("head", self.train.head, not (self.train.head and borrowed), expected)
        expected = (
            f"no {HEAD} where candidates are re-read, as the engine leaves its LoRA out of a prompt's "
            f"log-probabilities; or search.views 0 (no --reread) with a rule of {', '.join(PLAIN)}"
        )
        unread = HEAD in self.train.targets and self.search.views > 0
        require("LoRA targets", self.train.targets, not unread, expected)
        self._refuse_what_would_be_ignored()

    def _refuse_what_would_be_ignored(self) -> None:
        scope, near, steps = self.train.scope, self.near, self.train.steps
        none = f"leave other tasks out (no --nearest, near.warm and near.outright {NEVER:g})"
        expected = f"at least 1, as other tasks are learnt from; or {none}"
        require("training steps", steps, steps > 0 or not near.asked, expected)
        expected = "task, as 0 training steps train nothing that could be shared; or at least 1 step"
        require("adapter scope", scope, steps > 0 or scope == "task", expected)
        expected = f"task or shared-then-task, as an adapter that is shared learns from its tasks alone; or {none}"
        require("adapter scope", scope, scope != "shared" or not near.asked, expected)
        expected = (
            f"task, as adapters start from other tasks' (near.warm), not from a shared one; or near.warm {NEVER:g}"
        )
        require("adapter scope", scope, scope != "shared-then-task" or near.warm >= NEVER, expected)


_UNITS = {"s": 1.0, "m": 60.0, "h": HOUR}


def seconds(text: str, name: str = "time") -> float:
    """`90`, `90s`, `10m`, `1.5h` or `1h30m` as seconds; `BadInput`, calling it `name`, otherwise."""
    plain = re.fullmatch(r"\d+(\.\d+)?", text)
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    whole = "".join(number + unit for number, unit in parts)
    total = float(text) if plain else sum(float(number) * _UNITS[unit] for number, unit in parts)
    fits = (bool(plain) or (bool(parts) and whole == text)) and total > 0
    require(name, text, fits, "a time such as 90s, 10m or 1h30m")
    return total


def pack(config: Config) -> dict[str, Any]:
    """The tree as plain values for JSON."""
    return asdict(config)


def unpack(tree: Mapping[str, Any]) -> Config:
    """The tree back from `pack`'s values; an unknown name is an error that names it."""
    return Config(**{name: _part(name, value) for name, value in tree.items()})


PARTS: Mapping[str, type] = {
    **{"cost": Cost, "quick_cost": Cost},
    **{"train": TrainRecipe, "engine": EngineSettings, "search": SearchSettings, "data": DataRecipe},
    **{"programs": ProgramSettings, "near": NearSettings, "induction": InductionSettings, "writer": WriterSettings},
}


def _part(name: str, value: Any) -> Any:
    """A value of the tree as the dataclasses have it: what JSON made a list was a tuple."""
    if name in PARTS:
        return PARTS[name](**{inner: _part(inner, part) for inner, part in value.items()})
    return tuple(value) if isinstance(value, list) else value


def require_machine(recipe: TrainRecipe, cuda: bool, bitsandbytes: bool) -> None:
    """Raise `BadInput` where this machine cannot train as the recipe says."""
    reason = "16, as there is no CUDA GPU to hold 4-bit weights" if not cuda else "16, or bitsandbytes to be installed"
    require("bits", recipe.bits, recipe.bits == 16 or (cuda and bitsandbytes), reason)
