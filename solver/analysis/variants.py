"""The variants of the method that can be compared, by name: a change of a run's settings, or another vote over one."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from solver.analysis.variant_table import ORACLE
from solver.config.setting import changed
from solver.config.settings import EMBEDDINGS, NEVER, TARGETS, Config, require
from solver.config.training import TRANSFORMATIONS
from solver.voting.candidates import MODEL_ALONE, PROGRAMS_ALONE
from solver.voting.rules import RULES, RuleName

Values: TypeAlias = Mapping[str, Any]
"""The path of a setting in `Config` → its value."""

LIKELY = 0.09  # probability from which on an answer is searched for (arXiv 2505.07859)
WHOLE = 256  # a rank from 192 on, at which an adapter of the shipped weights can be any change of a matrix
WHOLE_RATE = 0.1  # of an adapter's learning rate: a whole matrix moves by the rate itself, not by a product
HEAD_RATE = 1e-2  # of a head alone, which begins from a random one; not tuned
NEAREST = 4  # tasks of the library that are learnt from, too
SCORING_VIEWS = 8  # views under which its candidates are re-read (NVARC, 2025)
DRAWN = 2  # replies a view, at temperature 1, to half as many views
FULL = "full"  # what the others are compared with, and whose candidates are voted on where no run is named
OVER = "@"  # between a vote and the run it is over


def searching(rule: RuleName, views: int = 0) -> Values:
    """Every likely answer in the greedy one's place, re-read under so many views, voted on by a rule."""
    return {"rule": rule, "search.p_min": LIKELY, "search.views": views, "search.temperature": 0.0, "search.samples": 1}


def sampled(config: Config) -> Values:
    """As many replies, but drawn at temperature 1, several from each view, of which there are fewer."""
    views = max(1, config.views // DRAWN)
    search = {"search.p_min": 0.0, "search.temperature": 1.0, "search.samples": DRAWN}
    return {"views": views, "orders": min(config.orders, views), **search}


def whole(config: Config) -> Values:
    """Whole matrices are trained, not adapters of a low rank."""
    size = {"train.rank": WHOLE, "train.alpha": round(WHOLE**0.5), "engine.rank": WHOLE}
    return {"train.whole": True, "train.rate": WHOLE_RATE * config.train.rate, **size}


VARIANTS: Mapping[str, Values | Callable[[Config], Values]] = {
    FULL: {},
    "no-ttt": {  # and nothing that would come into training
        **{"train_share": 0.0, "train.steps": 0, "train.scope": "task"},
        **{"near.count": 0, "near.warm_start_threshold": NEVER, "near.reuse_threshold": NEVER},
    },
    "end-to-end": {"train.data.form": "end-to-end", "train.data.leave_two_out": False},
    "no-transformations": {"train.data.transformations": (), "train.data.sides": "both"},
    "no-demonstration-loss": {"train.data.loss": "test"},
    "all-outputs-loss": {"train.data.loss": "all"},
    "shuffled": {"train.data.form": "shuffled", "train.data.leave_two_out": False},
    "all-transformations": {"train.data.transformations": TRANSFORMATIONS},
    "input-only": {"train.data.sides": "input"},
    "output-only": {"train.data.sides": "output"},
    "greedy-flat": {"rule": "flat", "search.p_min": 0.0},
    "identity": lambda config: {"views": 1, "orders": 1, "quick_views": min(1, config.quick_views)},
    "two-orders": {"orders": 2},
    "temperature": sampled,
    "search-flat": searching("flat"),
    "search-poe": searching("product_of_experts", SCORING_VIEWS),
    "search-count-nll": searching("count_minus_nll", SCORING_VIEWS),
    "shared": {"train.scope": "shared"},
    "shared-then-task": {"train.scope": "shared-then-task"},
    "whole": whole,
    "head": {"train.head": True, "train.adapters_per_batch": 1, "train.rate": HEAD_RATE},
    "embeddings": {"train.targets": (*TARGETS, *EMBEDDINGS)},
    "nearest": {"near.count": NEAREST},
    "nearest-by-gradients": {"near.count": NEAREST, "near.by": "gradients"},
    "nearest-alone": {"near.count": NEAREST, "near.share": 1.0},
    "warm": {"near.warm_start_threshold": -1.0, "near.reuse_threshold": NEVER},
    "outright": {"near.reuse_threshold": -1.0, "near.warm_start_threshold": NEVER, "near.count": 0},
    "qlora": {"train.bits": 4},
}
"""Whole runs. Leave-two-out is not among them, as under random colours leave-one-out has at least 217 distinct ones
among its 250 examples in each of 150 tasks looked at (`held-out` and `comparison`, seed 0), and all 250 in 117."""

REPLAYS: Mapping[str, str] = {**{f"vote-{rule}": rule for rule in RULES}, ORACLE: ORACLE}
"""Votes over the candidates of a run → their rule."""

ALONE: Mapping[str, str] = {"programs-only": PROGRAMS_ALONE, "no-programs": MODEL_ALONE}
"""One mind's part of a run's candidates, by the run's rule → whose. What the other took of the time is not given back:
for that, run without programs, `--programs 0`."""

PAPER = (
    *(FULL, "no-ttt", "end-to-end", "no-transformations", "shared", "no-demonstration-loss", "qlora"),
    *("vote-none", "vote-flat", "vote-hierarchical", "search-poe", ORACLE),
)
"""arXiv 2411.07279, sections 3 and 4, and the product of experts of arXiv 2505.07859, over candidates of its kind."""


def variant(name: str, config: Config) -> Config:
    """The settings of a run of its own, of `VARIANTS`."""
    values = VARIANTS[name]
    return changed(config, values(config) if callable(values) else values)


def parts(name: str) -> tuple[str, str]:
    """(What votes, over which run's candidates) of a variant that is no run of its own."""
    kind, _, source = name.partition(OVER)
    return kind, source or FULL


def refuse_unknown(name: str) -> None:
    """Raise `BadInput` for what is no variant."""
    kind, source = parts(name)
    known = name in VARIANTS or (kind in (*REPLAYS, *ALONE) and source in VARIANTS)
    votes = f"a vote: {', '.join((*REPLAYS, *ALONE))}, with {OVER}RUN behind it where that is over another than {FULL}"
    require("--variants", name, known, f"a run: {', '.join(VARIANTS)}; or {votes}")
