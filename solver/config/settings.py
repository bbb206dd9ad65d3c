"""The settings of a run: one frozen tree, checked at birth.

Each field says what it means; `settings.md` lists them all. Invariant: settings that contradict each other never leave
this package. Does not import: models, files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from solver.config import setting as tree
from solver.config.flags import HOUR, seconds
from solver.config.neighbours import LIKENESSES, NEVER, NearSettings
from solver.config.programs import InductionSettings, ProgramSettings, WriterSettings
from solver.config.sampling import LONGEST_ANSWER, MOST_ALTERNATIVES, EngineSettings, SearchSettings
from solver.config.setting import Choice, Settings, pack, require, setting
from solver.config.sources import NVARC, OURS, PRODUCT, SAMPLING
from solver.config.training import (
    EMBED,
    EMBEDDINGS,
    FORMS,
    HEAD,
    LOSSES,
    SCOPES,
    SIDES,
    TARGETS,
    TRANSFORMATIONS,
    DataRecipe,
    TrainRecipe,
    require_machine,
)
from solver.tokens import grid, registry
from solver.voting.rules import DEFAULT, PLAIN, VOTE_WORTH

__all__ = ["EMBED", "EMBEDDINGS", "FORMS", "HEAD", "HOUR", "LIKENESSES", "LONGEST_ANSWER", "LOSSES"]
__all__ += ["MOST_ALTERNATIVES", "NEVER", "SCOPES", "SIDES", "TARGETS", "TRANSFORMATIONS", "Config", "Cost"]
__all__ += ["DataRecipe", "EngineSettings", "InductionSettings", "NearSettings", "ProgramSettings", "SearchSettings"]
__all__ += ["TrainRecipe", "WriterSettings", "pack", "require", "require_machine", "seconds", "unpack"]

LARGEST_SEED = 2**32 - 1  # what every library's generator takes

_REFINEMENT = "split_votes_get_as_many_refinement_stages_as_the_settings_say_and_settled_ones_none"
_GOLDEN = "golden_case_gives_the_attempts_written_by_hand"
_REREAD = "the_likeliest_under_all_views_together_wins"


@dataclass(frozen=True)
class Cost(Settings):
    """What one task costs in a batch: `fixed` seconds + `per_token` seconds × tokens."""

    fixed: float = setting(5.0, "seconds, whatever the task's size")
    per_token: float = setting(0.01, "seconds for each of its tokens")

    def seconds(self, tokens: int) -> float:
        """Seconds for a task of that many tokens."""
        return self.fixed + self.per_token * tokens


@dataclass(frozen=True)
class Config(Settings):
    """A whole run."""

    time_limit: float = setting(
        600.0,
        "time of the whole run, start-up included, such as 90s, 10m or 11h30m",
        flag="--time-limit TIME",
        read=seconds,
        resumes=True,
        name="time limit",
        fits=lambda seconds: seconds > 0,
        expected="more than 0 seconds",
    )
    seed: int = setting(
        0,
        "the same seed and no hurry give the same file, byte for byte; what is ended by its seconds is hurried",
        flag="--seed",
        fits=lambda seed: 0 <= seed <= LARGEST_SEED,
        expected=f"0 to {LARGEST_SEED}",
    )
    views: int = setting(
        16,
        "views sampled for each test input under an adapter, greedily; 1: the identity alone",
        flag="--views N",
        name="views",
        least=1,
        basis=(SAMPLING, "the_first_view_is_the_identity_and_the_first_eight_turn_without_recolouring"),
    )
    orders: int = setting(
        1,
        "views of the same transformation, each with the demonstrations in another order, before the next colours",
        name="example orders",
        least=1,
        basis=(SAMPLING, "each_transformation_is_shown_in_as_many_orders_as_asked_before_the_colours_change"),
    )
    quick_views: int = setting(
        2,
        "views of the base model's answers before any adapter is trained; 0: none",
        name="quick views",
        least=0,
        expected="0 (no quick answers) or more",
        basis=(OURS, "the_base_stage_trains_nothing_and_samples_the_quick_views"),
    )
    refinement_stages: int = setting(
        2,
        "stages with other adapters and views for tasks whose vote is split, at most",
        formerly=("further", "refinement_rounds"),
        name="refinement stages",
        least=0,
        expected="0 or more",
        basis=(OURS, _REFINEMENT),
    )
    disagreement_threshold: float = setting(
        0.25,
        "share of the views that may be against the first attempt before a vote is split",
        formerly=("settled",),
        name="disagreement threshold",
        fits=lambda share: 0 <= share <= 1,
        expected="a share from 0 to 1",
        basis=(OURS, _REFINEMENT),
    )
    rule: str = setting(
        DEFAULT,
        "how candidates are voted on",
        flag="--rule NAME",
        name="voting rule",
        choices={
            "none": Choice("the identity view's answer, then the likeliest", SAMPLING, _GOLDEN),
            "flat": Choice("the most views win", SAMPLING, _GOLDEN),
            "hierarchical": Choice("three answers of each transformation, then two of those", SAMPLING, _GOLDEN),
            "logprob": Choice("the largest summed probability wins", OURS, _GOLDEN),
            "product_of_experts": Choice(
                "the likeliest under all views that re-read the candidates; wants --reread", PRODUCT, _REREAD
            ),
            "count_minus_nll": Choice(
                "views that found it + mean nats under those that re-read it; wants --reread", NVARC, _REREAD
            ),
        },
    )
    format: str = setting(
        grid.GRID.name, "the weights' token format", choices={name: Choice() for name in registry.NAMES}
    )
    group: int = setting(4, "tasks trained one after another and sampled in one batch")
    train_share: float = setting(0.65, "share of a batch's seconds for training")
    shared_share: float = setting(
        0.25,
        "share of the time limit for shared adapters at most, one a device, where `train.scope` has them",
        name="share of shared adapters",
        fits=lambda share: 0 < share < 1,
        expected="between 0 and 1",
        basis=(OURS, "shared_adapters_are_a_stage_of_their_own_before_the_adapters_of_tasks"),
    )
    reserve: float = setting(8.0, "seconds kept for the end")
    minimum: float = setting(6.0, "seconds below which a batch makes no sense")
    cost: Cost = field(default_factory=lambda: Cost(11.0, 0.006))  # expected of a task, before any was timed
    quick_cost: Cost = field(default_factory=lambda: Cost(0.1, 0.0005))  # the same of its quick answer
    train: TrainRecipe = field(default_factory=TrainRecipe)
    engine: EngineSettings = field(default_factory=EngineSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    programs: ProgramSettings = field(default_factory=ProgramSettings)
    near: NearSettings = field(default_factory=NearSettings)
    induction: InductionSettings = field(default_factory=InductionSettings)

    def refuse_contradictions(self) -> None:
        expected = f"at most the views, {self.views}; lower it, or raise the views to {self.orders}"
        require("example orders", self.orders, self.orders <= self.views, expected)
        reread = self.rule not in VOTE_WORTH or self.search.views > 0
        expected = f"candidates re-read for it (search.views, --reread), or one of {', '.join(PLAIN)}"
        require("voting rule", self.rule, reread, expected)
        require("group", self.group, 1 <= self.group <= self.engine.adapters, "1 to the engine's adapters in a batch")
        expected = f"at most the engine's, {self.engine.rank}; lower it, or raise the engine's to {self.train.rank}"
        require("LoRA rank", self.train.rank, self.train.rank <= self.engine.rank, expected)
        loras = self.near.adapters_asked or (self.near.asked and self.near.by == "gradients")
        expected = "nothing of a library but the nearest tasks by their states: its adapters and gradients are LoRAs'"
        require("head", self.train.head, not (self.train.head and loras), expected)
        expected = (
            f"no {HEAD} where candidates are re-read, as the engine leaves its LoRA out of a prompt's "
            f"log-probabilities; or search.views 0 (no --reread) with a rule of {', '.join(PLAIN)}"
        )
        unread = HEAD in self.train.targets and self.search.views > 0
        require("LoRA targets", self.train.targets, not unread, expected)
        self._refuse_what_would_be_ignored()

    def _refuse_what_would_be_ignored(self) -> None:
        scope, near, steps = self.train.scope, self.near, self.train.steps
        none = f"leave other tasks out (no --nearest, near.warm_start_threshold and near.reuse_threshold {NEVER:g})"
        expected = f"at least 1, as other tasks are learnt from; or {none}"
        require("training steps", steps, steps > 0 or not near.asked, expected)
        expected = "task, as 0 training steps train nothing that could be shared; or at least 1 step"
        require("adapter scope", scope, steps > 0 or scope == "task", expected)
        expected = f"task or shared-then-task, as an adapter that is shared learns from its tasks alone; or {none}"
        require("adapter scope", scope, scope != "shared" or not near.asked, expected)
        expected = (
            "task, as adapters start from other tasks' (near.warm_start_threshold), not from a shared one; or "
            f"near.warm_start_threshold {NEVER:g}"
        )
        lone = scope != "shared-then-task" or near.warm_start_threshold >= NEVER
        require("adapter scope", scope, lone, expected)


def unpack(packed: Mapping[str, Any]) -> Config:
    """The whole tree back from `pack`'s values."""
    return tree.unpack(Config, packed)
