"""How an adapter is trained, and on what: the settings of test-time training."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, TypeAlias, get_args

from solver.config.flags import absolute
from solver.config.setting import Count, Fraction, Positive, Range, Settings, Share, require, setting
from solver.config.sources import COMMON, LORA, MEASURED, NEAREST, NVARC, OURS, PAPER, PRODUCT, TRAINING
from solver.data.transforms import VARIANTS

Form = Literal["leave-one-out", "end-to-end", "shuffled"]
Transformation = Literal[
    "dihedral", "translation", "reflection", "scaling", "repetition", "chains", "colours", "order"
]  # fmt: skip
Sides = Literal["both", "input", "output"]
Loss = Literal["after-first", "all", "test"]
Scope = Literal["task", "shared", "shared-then-task"]
Projection = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
Embedding = Literal["embed_tokens", "lm_head"]

TRANSFORMATIONS: tuple[Transformation, ...] = get_args(Transformation)
TARGETS: tuple[Projection, ...] = get_args(Projection)  # what the LoRA is put on
EMBEDDINGS: tuple[Embedding, ...] = get_args(Embedding)  # what it can be put on, too
EMBED, HEAD = EMBEDDINGS
MOVES = ("dihedral", *VARIANTS)  # transformations that move cells; `sides` says of which grids
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # LoRA ranks the engine can reserve room for

NEVER = 2.0  # a likeness no two tasks have

Likeness = Literal["states", "gradients"]
LIKENESSES: tuple[Likeness, ...] = get_args(Likeness)
Cosine: TypeAlias = Annotated[
    float, Range(f"a cosine from -1 to 1, or {NEVER:g} for never", lambda value: -1 <= value <= 1 or value == NEVER)
]


_BY_HAND = "a_step_does_to_a_grid_what_was_worked_out_by_hand"
_ONE_SIDE = "on_one_side_only_the_other_grids_stay_as_they_are"
_EACH = "each_target_can_be_trained_alone"
_EMBEDDED = "embedding_and_head_are_trained_and_saved_beside_the_projections"
_UNSHARED = "without_sharing_each_task_is_trained_on_its_own_examples_from_the_base_weights_and_asked_with_that"
_ALIGNED = "by_gradients_the_examples_most_aligned_with_the_task_are_chosen_whosever_they_are"
_LAST_PAIR = "the_last_pair_is_the_one_left_out_each_in_turn_and_the_others_come_before_it"
_DIHEDRALS = "every_demonstration_is_left_out_under_every_dihedral_before_one_comes_again"
_RATE = "the_rate_warms_up_and_falls_as_a_cosine_to_nearly_zero"
_SOME_TARGETS = "an_adapter_of_some_targets_without_rslora_says_so_and_holds_nothing_else"


@dataclass(frozen=True)
class DataRecipe(Settings):
    """What a task's training sequences are made of; `examples.build` makes them."""

    form: Form = setting(
        "leave-one-out",
        "how pairs become training sequences",
        name="form of the training data",
        choices={
            "leave-one-out": "each demonstration in turn is asked for last, after the others",
            "end-to-end": "each pair alone",
            "shuffled": "all demonstrations in random order in one sequence",
        },
    )
    leave_two_out: bool = setting(
        False,
        "repeated examples are left out, and ones that lack another demonstration fill their places up to the cap",
    )
    transformations: tuple[Transformation, ...] = setting(
        ("dihedral", "colours", "order"),
        "how the demonstrations are changed; none: they stay as they are",
        name="transformation",
        choices={
            "dihedral": "the eight symmetries of the square",
            "translation": "up to four cells down and right, around the edges",
            "reflection": "the grid beside its mirror image",
            "scaling": "rows, columns or both doubled in size",
            "repetition": "the grid twice, down, across or both",
            "chains": "two of the four kinds before it, one after another",
            "colours": "a permutation of the ten colours",
            "order": "the demonstrations' order",
        },
    )
    sides: Sides = setting(
        "both",
        "the grids whose cells the transformations move; colours change on both",
        choices={
            "both": "inputs and outputs are transformed alike",
            "input": "cells of inputs alone move",
            "output": "cells of outputs alone move",
        },
    )
    loss: Loss = setting(
        "after-first",
        "which outputs are learnt",
        choices={
            "after-first": "every output after the first demonstration's",
            "all": "every output",
            "test": "the output asked for last alone",
        },
    )

    BASIS: ClassVar = {
        "form=leave-one-out": (TRAINING, _LAST_PAIR),
        "form=end-to-end": (TRAINING, "end_to_end_examples_are_single_pairs_each_demonstration_in_turn"),
        "form=shuffled": (PRODUCT, "shuffled_examples_show_all_demonstrations_in_orders_that_differ"),
        "leave_two_out": (TRAINING, "leave_two_out_comes_in_once_leave_one_out_has_no_other_examples"),
        "transformations": (f"{TRAINING} and appendix", ""),
        "transformations=dihedral": ("", _DIHEDRALS),
        "transformations=translation": ("", "a_translation_can_be_taken_back_and_moves_a_few_cells_at_most"),
        **{f"transformations={kind}": ("", _BY_HAND) for kind in ("reflection", "scaling", "repetition")},
        "transformations=chains": ("", "a_chain_applies_its_steps_in_order"),
        "transformations=colours": ("", "all_pairs_of_an_example_are_seen_through_one_view"),
        "transformations=order": ("", "the_others_come_in_more_than_one_order"),
        "sides": (PAPER, ""),
        "sides=both": ("", "on_both_sides_all_grids_of_an_example_are_transformed_alike"),
        "sides=input": ("", _ONE_SIDE),
        "sides=output": ("", _ONE_SIDE),
        "loss": (TRAINING, "the_loss_is_on_the_outputs_the_recipe_names_with_their_ends"),
    }

    def refuse_contradictions(self) -> None:
        chosen = set(self.transformations)
        fills = self.form == "leave-one-out" or not self.leave_two_out
        require("form with leave_two_out", self.form, fills, "leave-one-out, which it fills up; or leave it out")
        expected = f"to come with one it can chain: {', '.join(VARIANTS)}"
        require("transformation", "chains", "chains" not in chosen or bool(chosen & set(VARIANTS)), expected)
        expected = f"both, as no transformation chosen moves cells; or choose one of {', '.join(MOVES)}"
        require("sides", self.sides, self.sides == "both" or bool(chosen & set(MOVES)), expected)


@dataclass(frozen=True)
class TrainRecipe(Settings):
    """How an adapter is trained."""

    rank: int = setting(
        32, "LoRA rank, at most the engine's; with `whole` at least as large as the model is wide", name="LoRA rank"
    )
    alpha: Positive = setting(32, "LoRA scale", expected="more than 0", name="LoRA alpha")
    rslora: bool = setting(True, "scaled by alpha / √rank, not by alpha / rank")
    targets: tuple[Projection | Embedding, ...] = setting(
        TARGETS,
        "matrices that a LoRA is put on",
        name="LoRA targets",
        fits=bool,
        expected=f"at least one, and each one of {', '.join((*TARGETS, *EMBEDDINGS))}: the engine serves no others",
        choices={
            **dict.fromkeys(TARGETS, "a LoRA on this projection"),
            EMBED: "a LoRA on the embedding; not for the shipped weights",
            HEAD: "a LoRA on the head; not for the shipped weights, nor with re-reading",
        },
    )
    rate: float = setting(
        2e-3,
        "peak learning rate of AdamW; it warms up, and falls as a cosine; by default that of the model's family and "
        "size (a table in solver/config/settings.md)",
        flag="--rate R",
        name="learning rate",
        fits=lambda rate: 0 < rate < 1,
        expected="a number between 0 and 1",
    )
    embedding_rate: Share = setting(
        0.1, "share of the learning rate for the embedding's LoRA", name="share of the learning rate"
    )
    warmup: Fraction = setting(
        0.1,
        "share of the steps the rate warms up over",
        expected="a share of the steps from 0 to 1",
    )
    tokens: Positive = setting(
        2048,
        "tokens a step, but at least one example",
        name="tokens a step",
        expected="at least 1, which is one example a step",
    )
    steps: Count = setting(
        48,
        "training steps a task at most; 0: no test-time training",
        flag="--steps N",
        name="training steps",
        expected="0 (no test-time training) or more",
    )
    budget: Count = setting(
        0,
        "tokens a task's adapter is trained on at most, where its steps would take more; 0: no such limit",
        flag="--train-tokens N",
        name="tokens of a training",
        expected="0 (no limit) or more",
    )
    clip: float = setting(
        1.0, "largest gradient norm", name="largest gradient norm", fits=lambda norm: norm > 0, expected="more than 0"
    )
    examples: Positive = setting(250, "examples a task at most", name="examples a task")
    scope: Scope = setting(
        "task",
        "whose an adapter is",
        flag="--scope NAME",
        name="adapter scope",
        choices={
            "task": "an adapter for each task",
            "shared": "one adapter for all tasks of a device, trained on the examples of all",
            "shared-then-task": "an adapter for each task that starts from the shared one",
        },
        refusals={
            "all": "task, with `whole` set: every matrix of the seven projections is trained itself and served as an "
            "adapter of full rank; embeddings, norms and the head stay as they are",
        },
    )
    whole: bool = setting(
        False, "no low rank: every matrix of the targets is trained itself, and served as an adapter of full rank"
    )
    head: bool = setting(
        False,
        "the layers are frozen, and an output head of the task's own is trained from a fresh draw; what is said of "
        "LoRAs then plays no part",
    )
    shared_steps: Positive = setting(
        8,
        "training steps of a shared adapter at most, for each of its tasks",
        name="steps of a shared adapter",
        expected="at least 1 for each task",
    )
    bits: Literal[4, 16] = setting(
        16,
        "bits of a base weight while adapters are trained",
        expected="16, or 4 for QLoRA",
        choices={16: "bfloat16", 4: "4 bits (QLoRA); refused without a CUDA GPU"},
    )
    adapters_per_batch: Positive = setting(
        1,
        "tasks whose adapters are trained in one batch, each on its own `tokens` a step; no faster on a CPU",
        formerly=("side_by_side",),
        name="adapters in a training batch",
    )
    data: DataRecipe = field(default_factory=DataRecipe)

    BASIS: ClassVar = {
        "rank": (LORA, "an_adapter_has_the_rank_of_its_recipe"),
        "alpha": (LORA, _SOME_TARGETS),
        "rslora": ("arXiv 2312.03732", _SOME_TARGETS),
        **{f"targets={name}": (TRAINING, _EACH) for name in TARGETS},
        **{f"targets={name}": (PRODUCT, _EACH) for name in ("k_proj", "o_proj")},
        **{f"targets={name}": (f"{PRODUCT}; {NVARC}", _EMBEDDED) for name in EMBEDDINGS},
        "rate": (MEASURED, _RATE),
        "embedding_rate": (PRODUCT, "an_embedding_is_moved_by_its_share_of_the_rate_and_all_else_by_the_rate"),
        "warmup": (TRAINING, _RATE),
        "tokens": (OURS, "a_batch_never_exceeds_the_tokens_of_a_step_unless_it_is_a_single_example"),
        "steps": (MEASURED, "without_training_steps_the_trainer_is_never_asked"),
        "budget": (OURS, "a_budget_of_tokens_has_as_many_steps_as_it_pays_for_and_at_most_the_recipe_s"),
        "clip": (COMMON, "no_step_follows_a_gradient_longer_than_the_recipe_allows"),
        "examples": (TRAINING, "every_recipe_makes_250_examples_of_a_large_task_in_half_a_second"),
        "scope": (TRAINING, ""),
        "scope=task": ("", _UNSHARED),
        "scope=shared": ("", "tasks_that_share_an_adapter_are_all_sampled_with_it"),
        "scope=shared-then-task": ("", "adapters_of_tasks_start_from_the_shared_one_which_is_kept"),
        "whole": (OURS, "whole_matrices_are_trained_as_if_they_were_the_model_s_own"),
        "head": ("arXiv 1411.1792", "a_head_is_trained_alone_and_saved_alone"),
        "shared_steps": (OURS, "a_shared_adapter_is_trained_on_the_examples_of_all_tasks_in_turn"),
        "bits=16": ("arXiv 2106.09685", "the_base_weights_never_change"),
        "bits=4": ("arXiv 2305.14314, section 3", "four_bits_are_asked_of_both_libraries_where_the_recipe_has_them"),
        "adapters_per_batch": (MEASURED, "adapters_trained_side_by_side_are_those_trained_one_after_another"),
    }

    def refuse_contradictions(self) -> None:
        nearest = min(RANKS, key=lambda rank: abs(rank - self.rank))
        expected = f"one of {', '.join(map(str, RANKS))}; the nearest is {nearest}"
        require("LoRA rank", self.rank, self.rank in RANKS, expected)
        expected = "no `whole` beside it, which trains the layers that a head leaves frozen; choose one of them"
        require("head", self.head, not (self.head and self.whole), expected)
        for name, chosen in (("whole", self.whole), ("head", self.head)):
            expected = f"neither {EMBED} nor {HEAD} beside `{name}`, which trains no LoRA on them; leave out either"
            require("LoRA targets", self.targets, not (chosen and self.embedding_targets), expected)
        alone = not self.head or self.adapters_per_batch == 1
        expected = "1, as heads are trained one after another"
        require("adapters in a training batch", self.adapters_per_batch, alone, expected)
        expected = "16, as whole matrices and heads are trained in 16 bits; or neither `whole` nor `head`, for LoRAs"
        require("bits", self.bits, self.bits == 16 or not (self.whole or self.head), expected)

    @property
    def affordable_steps(self) -> int:
        """Whole steps that the budget of tokens pays for, but at least one; more where a step takes fewer tokens."""
        return min(self.steps, max(1, self.budget // self.tokens)) if self.budget else self.steps

    @property
    def embedding_targets(self) -> tuple[Embedding, ...]:
        """The targets that are no projections of the layers."""
        return tuple(target for target in EMBEDDINGS if target in self.targets)


@dataclass(frozen=True)
class NearSettings(Settings):
    """How a task learns from others."""

    library: str = setting(
        "",
        "folder of tasks to learn from, made by python -m solver collect; nothing is learnt from them without "
        "--nearest, or a variant of ablate that does; a run that uses its adapters or compares gradients has to have "
        "its LoRA rank",
        flag="--library DIR",
        read=absolute,
    )
    by: Likeness = setting(
        "states",
        "what makes tasks alike",
        name="likeness of tasks",
        choices={
            "states": "tasks of the library are, in the base model's states",
            "gradients": "single examples of them are, in how they change an adapter, and are chosen one by one: those "
            "most aligned with the mean of the task's own",
        },
    )
    count: Count = setting(
        0,
        "tasks of the library nearest to each task, trained on beside its own demonstrations; by gradients, so many "
        "tasks' worth of examples; refused with --steps 0 and --scope shared",
        flag="--nearest N",
        name="nearest tasks",
        expected="0 (none) or more",
    )
    share: Share = setting(
        0.5, "share of the examples that are theirs, taken in turns; 1: theirs alone", name="share of the nearest tasks"
    )
    warm_start_threshold: Cosine = setting(
        NEVER,
        f"likeness (cosine) from which training starts from the nearest task's adapter; {NEVER:g}: never",
        formerly=("warm",),
        name="near.warm_start_threshold",
    )
    reuse_threshold: Cosine = setting(
        NEVER,
        f"likeness (cosine) from which that adapter is used as it is, and nothing is trained; {NEVER:g}: never",
        formerly=("outright",),
        name="near.reuse_threshold",
    )
    content: str = setting(
        "", "what the library's hash has to be, so that a run is not gone on with when another lies in its place"
    )

    BASIS: ClassVar = {
        "by": ("arXiv 2305.18466; arXiv 2402.04333 (LESS)", ""),
        "by=states": ("", "tasks_are_alike_in_what_the_settings_say"),
        "by=gradients": ("", _ALIGNED),
        "count": (NEAREST, "examples_of_the_nearest_tasks_come_in_turns_with_the_task_s_own"),
        "share": (NEAREST, "a_share_of_the_examples_is_the_nearest_tasks"),
        "warm_start_threshold": (OURS, "training_starts_from_the_nearest_task_s_adapter_where_it_is_alike_enough"),
        "reuse_threshold": (OURS, "an_adapter_alike_enough_is_used_as_it_is_and_stays_where_it_is"),
    }

    def refuse_contradictions(self) -> None:
        start, reuse = self.warm_start_threshold, self.reuse_threshold
        expected = "a folder that python -m solver collect made, as other tasks are to be learnt from"
        require("library", self.library, bool(self.library) or not self.asked, expected)
        expected = (
            f"more than near.warm_start_threshold, {start:g}, as nothing would be trained from there on; or "
            f"near.warm_start_threshold {NEVER:g}"
        )
        require("near.reuse_threshold", reuse, start >= NEVER or reuse > start, expected)
        expected = (
            f"0, as with near.reuse_threshold {reuse:g} nothing is trained on them; or near.reuse_threshold above -1"
        )
        require("nearest tasks", self.count, self.count == 0 or reuse > -1, expected)

    @property
    def asked(self) -> bool:
        """Whether anything is learnt from other tasks."""
        return bool(self.count) or self.adapters_asked

    @property
    def adapters_asked(self) -> bool:
        """Whether other tasks' adapters are used."""
        return min(self.warm_start_threshold, self.reuse_threshold) < NEVER


def require_machine(recipe: TrainRecipe, cuda: bool, bitsandbytes: bool) -> None:
    """Raise `BadInput` where this machine cannot train as the recipe says."""
    reason = "16, as there is no CUDA GPU to hold 4-bit weights" if not cuda else "16, or bitsandbytes to be installed"
    require("bits", recipe.bits, recipe.bits == 16 or (cuda and bitsandbytes), reason)
