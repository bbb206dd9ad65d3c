"""The settings of a run: one frozen tree, checked at birth.

Each field says what it means; `settings.md` lists them all. Invariant: settings that contradict each other never leave
this package.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from solver.config.flags import HOUR, absolute, seconds, seconds_or_none
from solver.config.setting import Count, Part, Positive, Settings, Share, require, setting
from solver.config.sources import COMMON, NVARC, OURS, PAPER, PRODUCT, SAMPLING
from solver.config.training import (
    EMBED,
    EMBEDDINGS,
    HEAD,
    LIKENESSES,
    NEVER,
    TARGETS,
    DataRecipe,
    NearSettings,
    TrainRecipe,
    require_machine,
)
from solver.tokens import registry
from solver.tokens.grid import LONGEST_REPLY
from solver.types import BadInput
from solver.voting.rules import DEFAULT, PLAIN, VOTE_WORTH, RuleName

__all__ = ["EMBED", "EMBEDDINGS", "HEAD", "HOUR", "LIKENESSES", "MOST_ALTERNATIVES", "NEVER"]
__all__ += ["TARGETS", "Config", "Cost", "DataRecipe", "EngineSettings", "InductionSettings", "NearSettings"]
__all__ += ["ProgramSettings", "SearchSettings", "TrainRecipe", "WriterSettings", "require", "require_machine"]
__all__ += ["seconds"]

LARGEST_SEED = 2**32 - 1  # what every library's generator takes
MOST_ALTERNATIVES = 100  # other tokens the engine names beside each one said: enough for a p_min of 0.01

_DRAWN = "replies_are_drawn_as_often_as_asked_each_by_a_seed_of_its_own"
_REFINEMENT = "split_votes_get_as_many_refinement_stages_as_the_settings_say_and_settled_ones_none"
_GOLDEN = "golden_case_gives_the_attempts_written_by_hand"
_REREAD = "the_likeliest_under_all_views_together_wins"


@dataclass(frozen=True)
class EngineSettings(Settings):
    """How the engine is built."""

    context: int = setting(
        6144,
        "tokens of the longest prompt with its reply",
        fits=lambda tokens: tokens > LONGEST_REPLY,  # a shorter one could not even answer
        expected=f"more than {LONGEST_REPLY} tokens",
    )
    cache_bytes: int = setting(
        1 << 30, "bytes of the key-value cache; on a GPU at most so many, the memory plan says how many"
    )
    adapters: int = setting(4, "distinct adapters in one batch")
    rank: int = setting(32, "LoRA rank served")
    sequences: int = setting(128, "prompts in flight")
    dtype: str = setting("bfloat16", "type of its numbers")
    threads: int = setting(2, "threads of the CPU backend")
    gpu_share: Part = setting(0.9, "share of a GPU's memory for the engine")
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
    )
    nodes: Positive = setting(256, "requests to the engine that the search under one view may cost")
    views: Count = setting(
        0,
        "views under which candidates are re-read before the vote, the first of those sampled; 0: none",
        flag="--reread N",
        name="scoring views",
        expected="0 (none) or more",
    )
    share: Share = setting(
        0.75,
        "share of a batch's sampling seconds for the search, where candidates are re-read after it",
        name="search share",
    )
    temperature: float = setting(
        0.0,
        "0: the greedy reply to each view; above it `samples` are drawn; quick answers stay greedy",
        fits=lambda temperature: 0 <= temperature < math.inf,
        expected="0 (greedy) or more",
    )
    samples: Positive = setting(1, "replies drawn under each view", name="replies a view")

    BASIS: ClassVar = {
        "p_min": (PRODUCT, "what_is_found_is_what_brute_force_finds"),
        "nodes": (OURS, "a_limit_on_requests_is_kept_and_what_it_cost_is_bounded_by_what_is_said"),
        "views": (NVARC, "the_two_best_and_their_values_are_those_of_reading_everything"),
        "share": (OURS, "a_search_gets_its_share_of_the_seconds_and_all_where_nothing_is_re_read"),
        "temperature": (COMMON, _DRAWN),
        "samples": (OURS, _DRAWN),
    }

    def refuse_contradictions(self) -> None:
        expected = "0, as p_min has every likely reply found, not some drawn; or p_min 0"
        require("temperature", self.temperature, not (self.temperature and self.p_min), expected)
        expected = "1, as greedy replies to a view are all the same; or a temperature above 0"
        require("replies a view", self.samples, self.samples == 1 or self.temperature > 0, expected)


PROGRAMS_SHARE = 0.4  # of the usable seconds, at most, for programs where they and the model take turns on the cores


@dataclass(frozen=True)
class ProgramSettings(Settings):
    """How programs are searched for."""

    seconds: float = setting(
        10.0,
        "seconds of one core for each task's search for programs, whose best answer may take an attempt; 0: none; "
        "without the flag more, up to 60, where four tenths of the time have room for them",
        flag="--programs TIME",
        read=seconds_or_none,
        name="seconds for programs",
        fits=lambda seconds: 0 <= seconds < math.inf,
        expected="0 (no programs) or more",
    )
    nodes: Positive = setting(
        200_000, "uses of a primitive in each task's search for programs at most", name="nodes for programs"
    )

    BASIS: ClassVar = {
        "seconds": (
            f"{PAPER}, which joins BARC's programs; this project's search",
            "a_trusted_program_has_the_first_attempt_and_the_vote_the_second",
        ),
        "nodes": (OURS, "a_search_gets_its_nodes_and_no_more_seconds_than_its_own_and_its_batch_s"),
    }


@dataclass(frozen=True)
class WriterSettings(Settings):
    """How the engine of the code model is built and sampled from. The defaults were not tuned."""

    context: int = setting(12288, "tokens of the longest question with its reply")
    reply: int = setting(2048, "tokens of a reply at most")
    cache_bytes: int = setting(4 << 30, "bytes of the key-value cache on a CPU; on a GPU vLLM takes what is free")
    sequences: int = setting(64, "replies in flight")
    dtype: str = setting("bfloat16", "type of its numbers")
    threads: int = setting(2, "threads of the CPU backend")
    temperature: float = setting(1.0, "1: samples from the model as it is")

    def refuse_contradictions(self) -> None:
        if not 0 < self.reply < self.context:
            came = f"replies of {self.reply} tokens in a context of {self.context} came"
            raise BadInput(f"{came}; expected fewer than the context's and at least 1; change one of them")


AskedAs: TypeAlias = Literal["auto", "barc", "plain"]


@dataclass(frozen=True)
class InductionSettings(Settings):
    """Whether and how programs are asked for."""

    model: str = setting(
        "",
        "folder of a Hugging Face checkpoint that writes programs, with its tokenizer; none: off",
        flag="--code-model DIR",
        read=absolute,
    )
    content: str = setting(
        "", "what its files' hash has to be, so that a run is not gone on with when another lies in its place"
    )
    samples: Positive = setting(
        64,
        "programs asked of the code model for each task",
        flag="--code-samples N",
        needs="--code-model",
        name="programs of the code model for a task",
        expected="at least 1; raise it, or give no code model",
    )
    form: AskedAs = setting(
        "auto",
        "how the code model is asked",
        flag="--code-form NAME",
        needs="--code-model",
        name="form of the code model's questions",
        choices={
            "auto": "barc where the model's folder, repository or `_name_or_path` is called so, else plain",
            "barc": "as BARC's models were trained: grids as colour words",
            "plain": "for any other model: arrays, the helpers there are, one solved puzzle",
        },
    )
    repairs: Count = setting(
        8,
        "programs, where none fits a task, that the code model is asked once to correct; 0, and in BARC's form: none",
        flag="--code-repairs N",
        needs="--code-model",
        name="programs to correct",
        expected="0 (none) or more",
    )
    share: Part = setting(
        0.25,
        "share of the run's seconds for the code model at most, its start included",
        name="share of the code model",
    )
    seconds: float = setting(5.0, "wall seconds a program may take for all grids of its task")
    memory: int = setting(512 << 20, "bytes a program may add")
    unsafe: bool = setting(
        False,
        "run the code model's programs even where nothing can contain them",
        flag="--unsafe-programs",
        needs="--code-model",
    )
    writer: WriterSettings = field(default_factory=WriterSettings)

    BASIS: ClassVar = {
        "samples": ("arXiv 2411.02272 (BARC)", "a_right_program_of_the_code_model_has_the_first_attempt"),
        "form": (OURS, "a_model_is_asked_in_barc_s_form_if_its_names_say_barc_and_plainly_otherwise"),
        "form=barc": ("arXiv 2411.02272 (BARC)", ""),
        "repairs": (OURS, "programs_that_fail_are_offered_for_one_repair_the_nearest_first"),
        "share": (OURS, "it_never_has_more_than_its_share_of_the_time"),
    }

    def line(self) -> str:
        """What is going to happen, in words."""
        if not self.model:  # none is shipped
            return "induction is off: no code model was given (--code-model)"
        return f"induction: {self.samples} programs a task from {self.model}"


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
    views: Positive = setting(
        16,
        "views sampled for each test input under an adapter, greedily; 1: the identity alone",
        flag="--views N",
        name="views",
    )
    orders: Positive = setting(
        1,
        "views of the same transformation, each with the demonstrations in another order, before the next colours",
        name="example orders",
    )
    quick_views: Count = setting(
        2,
        "views of the base model's answers before any adapter is trained; 0: none",
        name="quick views",
        expected="0 (no quick answers) or more",
    )
    refinement_stages: Count = setting(
        20,
        "stages with other adapters and views for tasks whose vote is split, at most, while there is time; 0: none",
        flag="--refinement-stages N",
        formerly=("further", "refinement_rounds"),
        name="refinement stages",
    )
    disagreement_threshold: float = setting(
        0.25,
        "share of the views that may be against the first attempt before a vote is split",
        formerly=("settled",),
        name="disagreement threshold",
        fits=lambda share: 0 <= share <= 1,
        expected="a share from 0 to 1",
    )
    rule: RuleName = setting(
        DEFAULT,
        "how candidates are voted on",
        flag="--rule NAME",
        name="voting rule",
        choices={
            "judge": "the most probably right by a calibrated probability for programs and model alike",
            "none": "the identity view's answer, then the likeliest",
            "flat": "the most views win",
            "hierarchical": "three answers of each transformation, then two of those",
            "logprob": "the largest summed probability wins",
            "product_of_experts": "the likeliest under all views that re-read the candidates; wants --reread",
            "count_minus_nll": "views that found it + mean nats under those that re-read it; wants --reread",
        },
    )
    format: registry.Name = setting("grid", "the weights' token format")
    group: int = setting(4, "tasks trained one after another and sampled in one batch")
    train_share: float = setting(0.65, "share of a batch's seconds for training")
    shared_share: Part = setting(
        0.25,
        "share of the time limit for shared adapters at most, one a device, where `train.scope` has them",
        name="share of shared adapters",
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

    BASIS: ClassVar = {
        "views": (SAMPLING, "the_first_view_is_the_identity_and_the_first_eight_turn_without_recolouring"),
        "orders": (SAMPLING, "each_transformation_is_shown_in_as_many_orders_as_asked_before_the_colours_change"),
        "quick_views": (OURS, "the_base_stage_trains_nothing_and_samples_the_quick_views"),
        "refinement_stages": (OURS, _REFINEMENT),
        "disagreement_threshold": (OURS, _REFINEMENT),
        **{f"rule={name}": (SAMPLING, _GOLDEN) for name in ("none", "flat", "hierarchical")},
        "rule=judge": (OURS, "the_judge_attempts_the_two_likeliest"),
        "rule=logprob": (OURS, _GOLDEN),
        "rule=product_of_experts": (PRODUCT, _REREAD),
        "rule=count_minus_nll": (NVARC, _REREAD),
        "shared_share": (OURS, "shared_adapters_are_a_stage_of_their_own_before_the_adapters_of_tasks"),
    }

    def refuse_contradictions(self) -> None:
        expected = f"at most the views, {self.views}; lower it, or raise the views to {self.orders}"
        require("example orders", self.orders, self.orders <= self.views, expected)
        expected = f"candidates re-read for it (search.views, --reread), or one of {', '.join(PLAIN)}"
        require("voting rule", self.rule, self.rule not in VOTE_WORTH or self.search.views > 0, expected)
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
        require("LoRA targets", self.train.targets, HEAD not in self.train.targets or not self.search.views, expected)
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
        require("adapter scope", scope, scope != "shared-then-task" or near.warm_start_threshold >= NEVER, expected)
