"""The variants of the method that can be compared, by name: a change of a run's settings, or another vote over one.

Knows nothing of runs, files or models. Law: a variant differs in what its name says and in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from solver.analysis.variant_table import ORACLE
from solver.config.settings import EMBEDDINGS, NEVER, TARGETS, Config, require
from solver.config.training import TRANSFORMATIONS
from solver.voting.candidates import MODEL_ALONE, PROGRAMS_ALONE
from solver.voting.rules import RULES, RuleName

Change: TypeAlias = Callable[[Config], Config]

LIKELY = 0.09  # probability from which on an answer is searched for (arXiv 2505.07859)
WHOLE = 256  # a rank from 128 on, at which an adapter of the shipped weights can be any change of a matrix
WHOLE_RATE = 0.1  # of an adapter's learning rate: a whole matrix moves by the rate itself, not by a product
HEAD_RATE = 1e-2  # of a head alone, which begins from a random one; not tuned
NEAREST = 4  # tasks of the library that are learnt from, too
SCORING_VIEWS = 8  # views under which its candidates are re-read (NVARC, 2025)
DRAWN = 2  # replies a view, at temperature 1, to half as many views
FULL = "full"  # what the others are compared with, and whose candidates are voted on where no run is named
OVER = "@"  # between a vote and the run it is over


def training(**settings: Any) -> Change:
    """A variant that trains otherwise."""
    return lambda config: replace(config, train=replace(config.train, **settings))


def examples(**settings: Any) -> Change:
    """A variant that trains on other examples."""
    return lambda config: training(data=replace(config.train.data, **settings))(config)


def nearing(**settings: Any) -> Change:
    """A variant that learns from the tasks of `--library`."""
    return lambda config: replace(config, near=replace(config.near, **settings))


def searching(rule: RuleName, views: int = 0) -> Change:
    """A variant with every likely answer in the greedy one's place, re-read under so many views, voted on by a rule."""
    likely: dict[str, Any] = {"p_min": LIKELY, "views": views, "temperature": 0.0, "samples": 1}
    return lambda config: replace(config, rule=rule, search=replace(config.search, **likely))


def sampled(config: Config) -> Config:
    """As many replies, but drawn at temperature 1, several from each view, of which there are fewer."""
    search = replace(config.search, p_min=0.0, temperature=1.0, samples=DRAWN)
    views = max(1, config.views // DRAWN)
    return replace(config, views=views, orders=min(config.orders, views), search=search)


def untrained(config: Config) -> Config:
    """No test-time training, and so nothing that would come into it."""
    near = replace(config.near, count=0, warm_start_threshold=NEVER, reuse_threshold=NEVER)
    return replace(config, train_share=0.0, train=replace(config.train, steps=0, scope="task"), near=near)


def whole(config: Config) -> Config:
    """Whole matrices are trained, not adapters of a low rank."""
    change = training(whole=True, rank=WHOLE, alpha=round(WHOLE**0.5), rate=WHOLE_RATE * config.train.rate)
    return change(replace(config, engine=replace(config.engine, rank=WHOLE)))


VARIANTS: Mapping[str, Change] = {
    FULL: lambda c: c,
    "no-ttt": untrained,
    "end-to-end": examples(form="end-to-end", leave_two_out=False),
    "no-transformations": examples(transformations=(), sides="both"),
    "no-demonstration-loss": examples(loss="test"),
    "all-outputs-loss": examples(loss="all"),
    "shuffled": examples(form="shuffled", leave_two_out=False),
    "all-transformations": examples(transformations=TRANSFORMATIONS),
    "input-only": examples(sides="input"),
    "output-only": examples(sides="output"),
    "greedy-flat": lambda c: replace(c, rule="flat", search=replace(c.search, p_min=0.0)),
    "identity": lambda c: replace(c, views=1, orders=1, quick_views=min(1, c.quick_views)),
    "two-orders": lambda c: replace(c, orders=2),
    "temperature": sampled,
    "search-flat": searching("flat"),
    "search-poe": searching("product_of_experts", SCORING_VIEWS),
    "search-count-nll": searching("count_minus_nll", SCORING_VIEWS),
    "shared": training(scope="shared"),
    "shared-then-task": training(scope="shared-then-task"),
    "whole": whole,
    "head": training(head=True, adapters_per_batch=1, rate=HEAD_RATE),
    "embeddings": training(targets=(*TARGETS, *EMBEDDINGS)),
    "nearest": nearing(count=NEAREST),
    "nearest-by-gradients": nearing(count=NEAREST, by="gradients"),
    "nearest-alone": nearing(count=NEAREST, share=1.0),
    "warm": nearing(warm_start_threshold=-1.0, reuse_threshold=NEVER),
    "outright": nearing(reuse_threshold=-1.0, warm_start_threshold=NEVER, count=0),
    "qlora": training(bits=4),
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
