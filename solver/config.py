"""One frozen tree of settings, checked at birth, and the presets a run starts from.

Knows nothing of models or files. Law: settings that contradict each other never leave this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from solver import formats
from solver.scheduler import Cost
from solver.tasks import BadInput
from solver.vote import RULES

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")  # what the LoRA is put on
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # LoRA ranks the engine can reserve room for
MOST_ALTERNATIVES = 100  # other tokens the engine names beside each one said: enough for a p_min of 0.01
LONGEST_ANSWER = formats.longest_reply()  # tokens: a context shorter than this could not even answer


def require(name: str, value: object, fits: bool, expected: str) -> None:
    """Raise `BadInput`, naming the setting, what came and what was expected, unless `fits`."""
    if not fits:
        raise BadInput(f"{name} is {value!r}: expected {expected}")


@dataclass(frozen=True)
class TrainRecipe:
    """How an adapter is trained.

    `rank`, `alpha`: LoRA, scaled by alpha / √rank (rsLoRA). `rate`: peak learning rate of AdamW; it warms up over the
    share `warmup` of the steps and falls as a cosine. `tokens`: tokens a step, padding included, but at least one
    example. `steps`: at most so many; 0 is no test-time training. `clip`: largest gradient norm. `examples`: at most
    so many examples a task (arXiv 2411.07279: 250).
    """

    rank: int = 32
    alpha: int = 32
    rate: float = 2e-3
    warmup: float = 0.1
    tokens: int = 2048
    steps: int = 48
    clip: float = 1.0
    examples: int = 250

    def __post_init__(self) -> None:
        require("LoRA rank", self.rank, self.rank in RANKS, f"one of {', '.join(map(str, RANKS))}")
        require("training steps", self.steps, self.steps >= 0, "0 (no test-time training) or more")
        require("learning rate", self.rate, 0 < self.rate < 1, "a number between 0 and 1")
        require("examples a task", self.examples, self.examples >= 1, "at least 1")


@dataclass(frozen=True)
class EngineSettings:
    """How the engine is built.

    `context`: tokens of the longest prompt with its reply. `cache_bytes`: size of the key-value cache. `adapters`:
    distinct adapters in one batch. `rank`: the LoRA rank served. `sequences`: prompts in flight. `threads`: of the
    CPU backend.
    """

    context: int = 6144
    cache_bytes: int = 1 << 30
    adapters: int = 4
    rank: int = 32
    sequences: int = 128
    dtype: str = "bfloat16"
    threads: int = 2

    def __post_init__(self) -> None:
        require("context", self.context, self.context > LONGEST_ANSWER, f"more than {LONGEST_ANSWER} tokens")


@dataclass(frozen=True)
class SearchSettings:
    """How likely answers are looked for.

    `p_min`: every answer at least so probable under a view is found; 0 is the greedy one alone. `nodes`: engine
    requests one prompt's search may cost. `views`: views under which candidates are re-read before the vote, the first
    of those sampled; 0 is none. `share`: of the sampling seconds for the search, the rest being for re-reading.
    """

    p_min: float = 0.0
    nodes: int = 256
    views: int = 0
    share: float = 0.75

    def __post_init__(self) -> None:
        lowest = 1 / MOST_ALTERNATIVES
        require("p_min", self.p_min, self.p_min == 0 or lowest <= self.p_min <= 1, f"0 (greedy), or {lowest} to 1")
        require("nodes", self.nodes, self.nodes >= 1, "at least 1")
        require("scoring views", self.views, self.views >= 0, "0 (none) or more")
        require("search share", self.share, 0 < self.share <= 1, "a share above 0 and at most 1")


@dataclass(frozen=True)
class Config:
    """A whole run.

    `views`: views sampled for each test input. `rule`: see `vote.RULES`. `group`: tasks trained one after another and
    sampled in one batch. `train_share`: of a turn's seconds for training. `reserve`: seconds kept for the end.
    `minimum`: seconds below which a turn makes no sense. `cost`: what a task is expected to cost before any was timed.
    `time_limit`: seconds, start-up included.
    """

    time_limit: float = 600.0
    seed: int = 0
    views: int = 16
    rule: str = "hierarchical"
    group: int = 4
    train_share: float = 0.65
    reserve: float = 8.0
    minimum: float = 6.0
    cost: Cost = field(default_factory=lambda: Cost(3.0, 0.012))
    train: TrainRecipe = field(default_factory=TrainRecipe)
    engine: EngineSettings = field(default_factory=EngineSettings)
    search: SearchSettings = field(default_factory=SearchSettings)

    def __post_init__(self) -> None:
        require("time limit", self.time_limit, self.time_limit > 0, "more than 0 seconds")
        require("views", self.views, self.views >= 1, "at least 1")
        require("voting rule", self.rule, self.rule in RULES, f"one of {', '.join(RULES)}")
        require("group", self.group, 1 <= self.group <= self.engine.adapters, "1 to the engine's adapters in a batch")
        require("LoRA rank", self.train.rank, self.train.rank <= self.engine.rank, "at most the engine's rank")


HOUR = 3600.0
PRESETS: Mapping[str, Config] = {
    "cpu": Config(),
    "smoke": Config(time_limit=120.0, views=4, group=2, train=TrainRecipe(steps=2, tokens=1024)),
    "h200": Config(
        time_limit=12 * HOUR,
        views=64,
        group=16,
        reserve=120.0,
        train=TrainRecipe(steps=64, tokens=16384),
        engine=EngineSettings(context=8192, cache_bytes=32 << 30, adapters=16, sequences=512),
    ),
    "kaggle-l4x4": Config(
        time_limit=10.5 * HOUR,
        views=32,
        group=8,
        reserve=600.0,
        train=TrainRecipe(steps=64, tokens=8192),
        engine=EngineSettings(context=8192, cache_bytes=8 << 30, adapters=8, sequences=256),
    ),
    "kaggle-t4x2": Config(
        time_limit=10.5 * HOUR,
        views=32,
        group=8,
        reserve=600.0,
        train=TrainRecipe(steps=64, tokens=8192),
        engine=EngineSettings(context=8192, cache_bytes=4 << 30, adapters=8, sequences=128, dtype="float16"),
    ),
}

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
    from dataclasses import asdict

    return asdict(config)


def unpack(tree: Mapping[str, Any]) -> Config:
    """The tree back from `pack`'s values; an unknown name is an error that names it."""
    parts = {"cost": Cost, "train": TrainRecipe, "engine": EngineSettings, "search": SearchSettings}
    return Config(**{k: parts[k](**v) if k in parts else v for k, v in tree.items()})
