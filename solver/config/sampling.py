"""How replies are sampled: the engine, and the search for likely answers.

Does not import: models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from solver.config.setting import Settings, require, setting
from solver.config.sources import COMMON, NVARC, OURS, PRODUCT
from solver.tokens import grid

MOST_ALTERNATIVES = 100  # other tokens the engine names beside each one said: enough for a p_min of 0.01
LONGEST_ANSWER = grid.longest_reply()  # tokens, in every format: a shorter context could not even answer

_DRAWN = "replies_are_drawn_as_often_as_asked_each_by_a_seed_of_its_own"


@dataclass(frozen=True)
class EngineSettings(Settings):
    """How the engine is built."""

    context: int = setting(
        6144,
        "tokens of the longest prompt with its reply",
        fits=lambda tokens: tokens > LONGEST_ANSWER,
        expected=f"more than {LONGEST_ANSWER} tokens",
    )
    cache_bytes: int = setting(
        1 << 30, "bytes of the key-value cache; on a GPU at most so many, the memory plan says how many"
    )
    adapters: int = setting(4, "distinct adapters in one batch")
    rank: int = setting(32, "LoRA rank served")
    sequences: int = setting(128, "prompts in flight")
    dtype: str = setting("bfloat16", "type of its numbers")
    threads: int = setting(2, "threads of the CPU backend")
    gpu_share: float = setting(
        0.9,
        "share of a GPU's memory for the engine",
        fits=lambda share: 0 < share < 1,
        expected="a share between 0 and 1",
    )
    sleeps: bool = setting(False, "whether, on a GPU, the engine gives its memory up while adapters are trained")


@dataclass(frozen=True)
class SearchSettings(Settings):
    """How likely answers are looked for, or drawn."""

    p_min: float = setting(
        0.0,
        "every answer at least so probable under a view is found; 0: the greedy one alone",
        flag="--p-min P",
        name="p_min",
        fits=lambda p: p == 0 or 1 / MOST_ALTERNATIVES <= p <= 1,
        expected=f"0 (greedy), or {1 / MOST_ALTERNATIVES} to 1",
        basis=(PRODUCT, "what_is_found_is_what_brute_force_finds"),
    )
    nodes: int = setting(
        256,
        "requests to the engine that the search under one view may cost",
        least=1,
        basis=(OURS, "a_limit_on_requests_is_kept_and_what_it_cost_is_bounded_by_what_is_said"),
    )
    views: int = setting(
        0,
        "views under which candidates are re-read before the vote, the first of those sampled; 0: none",
        flag="--reread N",
        name="scoring views",
        least=0,
        expected="0 (none) or more",
        basis=(NVARC, "the_two_best_and_their_values_are_those_of_reading_everything"),
    )
    share: float = setting(
        0.75,
        "share of a batch's sampling seconds for the search, where candidates are re-read after it",
        name="search share",
        fits=lambda share: 0 < share <= 1,
        expected="a share above 0 and at most 1",
        basis=(OURS, "a_search_gets_its_share_of_the_seconds_and_all_where_nothing_is_re_read"),
    )
    temperature: float = setting(
        0.0,
        "0: the greedy reply to each view; above it `samples` are drawn; quick answers stay greedy",
        fits=lambda temperature: 0 <= temperature < math.inf,
        expected="0 (greedy) or more",
        basis=(COMMON, _DRAWN),
    )
    samples: int = setting(
        1,
        "replies drawn under each view",
        name="replies a view",
        least=1,
        basis=(OURS, _DRAWN),
    )

    def refuse_contradictions(self) -> None:
        expected = "0, as p_min has every likely reply found, not some drawn; or p_min 0"
        require("temperature", self.temperature, not (self.temperature and self.p_min), expected)
        expected = "1, as greedy replies to a view are all the same; or a temperature above 0"
        require("replies a view", self.samples, self.samples == 1 or self.temperature > 0, expected)
