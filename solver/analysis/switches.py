"""Every choice of the method there is a switch for, as one table: `python -m solver switches` prints it as Markdown.

Knows nothing of models. Laws: defaults are read from `Config()`, never written here; every field of the training
recipes, of the search and of what is learnt from others, every value they allow, and what else in `Config` is a choice
of the method has a row, and every row a test that exercises it (`tests/unit/analysis/test_switches.py`).
"""

from __future__ import annotations

import argparse
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from solver.config.settings import Config

PAPER = "arXiv 2411.07279"
PRODUCT = "arXiv 2505.07859"  # Product of Experts with LLMs


@dataclass(frozen=True)
class Switch:
    """One choice. `setting`: its path in `Config`. `value`: which of its values, None where any number fits.

    `meaning`: what it does. `source`: where the idea is from. `test`: file and name under `tests/`.
    """

    setting: str
    value: object
    meaning: str
    source: str
    test: str

    @property
    def default(self) -> str:
        """The setting's default for a number; for one value of several, `yes` where it is (among) the default."""
        found = operator.attrgetter(self.setting)(Config())
        if self.value is None:
            return str(found)
        return "yes" if found == self.value or (isinstance(found, tuple) and self.value in found) else ""


def _rows(setting: str, source: str, *rows: tuple[object, str, str]) -> tuple[Switch, ...]:
    return tuple(Switch(setting, value, meaning, source, test) for value, meaning, test in rows)


_EXAMPLES, _STEPS, _TRAINER = (
    "unit/training/test_examples.py::test_",
    "unit/data/test_transforms.py::test_",
    "unit/training/test_trainer.py::test_",
)
_HAND = f"{_STEPS}a_step_does_to_a_grid_what_was_worked_out_by_hand"
_LOSS = f"{_EXAMPLES}the_loss_is_on_the_outputs_the_recipe_names_with_their_ends"
_PIPELINE = "unit/test_pipeline.py::test_"
_NEAR = "unit/training/test_neighbours.py::test_"
_ALIKE = f"{_NEAR}tasks_are_alike_in_what_the_settings_say"
_FURTHER = (
    "system/test_submission.py::test_split_votes_get_as_many_further_rounds_as_the_settings_say_and_settled_ones_none"
)
_GOLDEN = "unit/voting/test_rules.py::test_golden_case_gives_the_attempts_written_by_hand"
_FEW = f"{_TRAINER}an_adapter_of_some_targets_without_rslora_says_so_and_holds_nothing_else"
_ALONE = f"{_TRAINER}each_target_can_be_trained_alone"
_EMBEDDED = f"{_TRAINER}embedding_and_head_are_trained_and_saved_beside_the_projections"
_RATE = f"{_TRAINER}the_rate_warms_up_and_falls_as_a_cosine_to_nearly_zero"

SWITCHES: tuple[Switch, ...] = (
    *_rows(
        "train.data.form",
        f"{PAPER}, section 3",
        (
            "leave-one-out",
            "each demonstration in turn is asked for last, after the others",
            f"{_EXAMPLES}the_last_pair_is_the_one_left_out_each_in_turn_and_the_others_come_before_it",
        ),
        (
            "end-to-end",
            "each pair alone",
            f"{_EXAMPLES}end_to_end_examples_are_single_pairs_each_demonstration_in_turn",
        ),
    ),
    Switch(
        "train.data.form",
        "shuffled",
        "all demonstrations in random order in one sequence",
        PRODUCT,
        f"{_EXAMPLES}shuffled_examples_show_all_demonstrations_in_orders_that_differ",
    ),
    Switch(
        "train.data.leave_two_out",
        True,
        "fills up to the cap once leave-one-out has no other examples",
        f"{PAPER}, section 3",
        f"{_EXAMPLES}leave_two_out_comes_in_once_leave_one_out_has_no_other_examples",
    ),
    *_rows(
        "train.data.transformations",
        f"{PAPER}, section 3 and appendix",
        (
            "dihedral",
            "the eight symmetries of the square",
            f"{_EXAMPLES}every_demonstration_is_left_out_under_every_dihedral_before_one_comes_again",
        ),
        (
            "colours",
            "a permutation of the ten colours",
            f"{_EXAMPLES}all_pairs_of_an_example_are_seen_through_one_view",
        ),
        ("order", "the demonstrations' order", f"{_EXAMPLES}the_others_come_in_more_than_one_order"),
        (
            "translation",
            "up to four cells down and right, around the edges",
            f"{_STEPS}a_translation_can_be_taken_back_and_moves_a_few_cells_at_most",
        ),
        ("reflection", "the grid beside its mirror image", _HAND),
        ("scaling", "rows, columns or both doubled in size", _HAND),
        ("repetition", "the grid twice, down, across or both", _HAND),
        ("chains", "two of the last four one after another", f"{_STEPS}a_chain_applies_its_steps_in_order"),
    ),
    *_rows(
        "train.data.sides",
        PAPER,
        (
            "both",
            "inputs and outputs are transformed alike",
            f"{_EXAMPLES}on_both_sides_all_grids_of_an_example_are_transformed_alike",
        ),
        ("input", "cells of inputs alone move", f"{_EXAMPLES}on_one_side_only_the_other_grids_stay_as_they_are"),
        ("output", "cells of outputs alone move", f"{_EXAMPLES}on_one_side_only_the_other_grids_stay_as_they_are"),
    ),
    *_rows(
        "train.data.loss",
        f"{PAPER}, section 3",
        ("after-first", "on every output after the first demonstration's", _LOSS),
        ("all", "on every output", _LOSS),
        ("test", "on the output asked for last alone", _LOSS),
    ),
    Switch(
        "train.examples",
        None,
        "examples a task at most",
        f"{PAPER}, section 3",
        f"{_EXAMPLES}every_recipe_makes_250_examples_of_a_large_task_in_half_a_second",
    ),
    *_rows(
        "train.scope",
        f"{PAPER}, section 3",
        (
            "task",
            "an adapter for each task",
            f"{_PIPELINE}without_sharing_each_task_is_trained_on_its_own_examples_from_the_base_weights_and_asked_with_that",
        ),
        (
            "shared",
            "one adapter for all tasks of a device",
            f"{_PIPELINE}tasks_that_share_an_adapter_are_all_sampled_with_it",
        ),
        (
            "shared-then-task",
            "an adapter for each task that starts from the shared one",
            f"{_PIPELINE}adapters_of_tasks_start_from_the_shared_one_which_is_kept",
        ),
    ),
    Switch(
        "train.shared_steps",
        None,
        "training steps of a shared adapter at most, for each of its tasks",
        "this project",
        f"{_PIPELINE}a_shared_adapter_is_trained_on_the_examples_of_all_tasks_in_turn",
    ),
    Switch(
        "shared_share",
        None,
        "of the time limit at most for shared adapters, where `train.scope` has them",
        "this project",
        "unit/config/test_settings.py::test_shared_adapters_are_a_round_of_their_own_before_the_adapters_of_tasks",
    ),
    Switch(
        "train.whole",
        True,
        "no low rank: every matrix of the targets is trained itself, and served as an adapter of full rank",
        "this project",
        f"{_TRAINER}whole_matrices_are_trained_as_if_they_were_the_model_s_own",
    ),
    Switch(
        "train.head",
        True,
        "the layers are frozen, and an output head of the task's own is trained from a fresh draw",
        "arXiv 1411.1792",
        f"{_TRAINER}a_head_is_trained_alone_and_saved_alone",
    ),
    Switch(
        "train.rank",
        None,
        "LoRA rank, at most the engine's",
        "arXiv 2106.09685, section 4",
        f"{_TRAINER}an_adapter_has_the_rank_of_its_recipe",
    ),
    Switch("train.alpha", None, "LoRA scale", "arXiv 2106.09685, section 4", _FEW),
    Switch("train.rslora", True, "scaled by alpha / √rank, not alpha / rank", "arXiv 2312.03732", _FEW),
    *(
        Switch("train.targets", target, "a LoRA on this projection", source, _ALONE)
        for source, targets in (
            (f"{PAPER}, section 3", ("q_proj", "v_proj", "gate_proj", "up_proj", "down_proj")),
            (PRODUCT, ("k_proj", "o_proj")),
        )
        for target in targets
    ),
    *_rows(
        "train.targets",
        f"{PRODUCT}; NVARC, 2025",
        ("embed_tokens", "a LoRA on the embedding; not for the shipped weights", _EMBEDDED),
        ("lm_head", "a LoRA on the head; not for the shipped weights, nor with re-reading", _EMBEDDED),
    ),
    Switch(
        "train.bits",
        16,
        "base weights in bfloat16 while adapters are trained",
        "arXiv 2106.09685",
        f"{_TRAINER}the_base_weights_never_change",
    ),
    Switch(
        "train.bits",
        4,
        "base weights in 4 bits (QLoRA); refused without a CUDA GPU",
        "arXiv 2305.14314, section 3",
        "unit/training/test_backends.py::test_four_bits_are_asked_of_both_libraries_where_the_recipe_has_them",
    ),
    Switch(
        "train.side_by_side",
        None,
        "tasks whose adapters are trained in one batch; no faster on a CPU, so 1 there",
        "measured (`notebooks/log.md`)",
        f"{_TRAINER}adapters_trained_side_by_side_are_those_trained_one_after_another",
    ),
    Switch("train.rate", None, "peak learning rate", "measured (`notebooks/log.md`)", _RATE),
    Switch(
        "train.embedding_rate",
        None,
        "share of the learning rate for the embedding's LoRA",
        PRODUCT,
        "unit/training/test_adapters.py::test_an_embedding_is_moved_by_its_share_of_the_rate_and_all_else_by_the_rate",
    ),
    Switch("train.warmup", None, "share of the steps the rate warms up over", f"{PAPER}, section 3", _RATE),
    Switch(
        "train.steps",
        None,
        "training steps a task at most; 0 is no test-time training",
        "this project (`notebooks/log.md`)",
        "unit/test_pipeline.py::test_without_training_steps_the_trainer_is_never_asked",
    ),
    Switch(
        "train.tokens",
        None,
        "tokens a step, padding included",
        "this project",
        f"{_TRAINER}a_batch_never_exceeds_the_tokens_of_a_step_unless_it_is_a_single_example",
    ),
    Switch(
        "train.clip",
        None,
        "largest gradient norm",
        "common practice",
        f"{_TRAINER}no_step_follows_a_gradient_longer_than_the_recipe_allows",
    ),
    *_rows(
        "near.by",
        "arXiv 2305.18466; arXiv 2402.04333 (LESS)",
        (
            "states",
            "tasks of `--library` are alike in the base model's states",
            _ALIKE,
        ),
        (
            "gradients",
            "single examples of them are, in how they change an adapter, and are chosen one by one",
            f"{_NEAR}by_gradients_the_examples_most_aligned_with_the_task_are_chosen_whosever_they_are",
        ),
    ),
    Switch(
        "near.count",
        None,
        "nearest tasks of `--library` whose demonstrations are trained on, too; by gradients, so many tasks' worth",
        "arXiv 2305.18466, test-time training on nearest neighbours",
        f"{_NEAR}examples_of_the_nearest_tasks_come_in_turns_with_the_task_s_own",
    ),
    Switch(
        "near.share",
        None,
        "of the examples that are theirs; 1: theirs alone",
        "arXiv 2305.18466, test-time training on nearest neighbours",
        f"{_NEAR}a_share_of_the_examples_is_the_nearest_tasks",
    ),
    Switch(
        "near.warm",
        None,
        "likeness (cosine) from which training starts from the nearest task's adapter; 2: never",
        "this project",
        f"{_NEAR}training_starts_from_the_nearest_task_s_adapter_where_it_is_alike_enough",
    ),
    Switch(
        "near.outright",
        None,
        "likeness from which that adapter is used as it is, and nothing is trained; 2: never",
        "this project",
        f"{_NEAR}an_adapter_alike_enough_is_used_as_it_is_and_stays_where_it_is",
    ),
    Switch(
        "views",
        None,
        "views sampled for each test input, greedily; 1 is the identity alone",
        f"{PAPER}, section 4",
        "unit/data/test_views.py::test_the_first_view_is_the_identity_and_the_first_eight_turn_without_recolouring",
    ),
    Switch(
        "orders",
        None,
        "views of the same transformation, each with the demonstrations in another order, before the next colours",
        f"{PAPER}, section 4",
        "unit/data/test_views.py::test_each_transformation_is_shown_in_as_many_orders_as_asked_before_the_colours_change",
    ),
    Switch(
        "search.temperature",
        None,
        "0: the greedy reply to each view; above it replies are drawn",
        "common practice",
        f"{_PIPELINE}replies_are_drawn_as_often_as_asked_each_by_a_seed_of_its_own",
    ),
    Switch(
        "search.samples",
        None,
        "replies drawn under each view",
        "this project",
        f"{_PIPELINE}replies_are_drawn_as_often_as_asked_each_by_a_seed_of_its_own",
    ),
    Switch(
        "quick_views",
        None,
        "views of the base model's answers before any adapter is trained; 0: none",
        "this project",
        f"{_PIPELINE}the_base_round_trains_nothing_and_samples_the_quick_views",
    ),
    Switch(
        "further",
        None,
        "rounds with other adapters and views for tasks whose vote is split, at most",
        "this project",
        _FURTHER,
    ),
    Switch(
        "settled",
        None,
        "share of the views that may be against the first attempt before a vote is split",
        "this project",
        _FURTHER,
    ),
    *_rows(
        "rule",
        f"{PAPER}, section 4",
        ("none", "the identity view's answer, then the likeliest", _GOLDEN),
        ("flat", "the most views win", _GOLDEN),
        ("hierarchical", "three answers of each transformation, then two of those", _GOLDEN),
    ),
    Switch("rule", "logprob", "the largest summed probability wins", "this project", _GOLDEN),
    Switch(
        "rule",
        "product_of_experts",
        "the likeliest under all views that re-read the candidates",
        "arXiv 2505.07859",
        "unit/inference/test_rescoring.py::test_the_likeliest_under_all_views_together_wins",
    ),
    Switch(
        "rule",
        "count_minus_nll",
        "views that found it + mean nats under those that re-read it",
        "NVARC, 2025",
        "unit/inference/test_rescoring.py::test_the_likeliest_under_all_views_together_wins",
    ),
    Switch(
        "programs.seconds",
        None,
        "seconds of one core for each task's search for programs, whose best answer may take an attempt; 0: none",
        f"{PAPER}, which joins BARC's programs; this project's search",
        "system/test_submission.py::test_a_trusted_program_has_the_first_attempt_and_the_vote_the_second",
    ),
    Switch(
        "programs.nodes",
        None,
        "uses of a primitive in each task's search for programs at most",
        "this project",
        "unit/runtime/test_program_search.py::test_a_search_gets_its_nodes_and_no_more_seconds_than_its_own_and_its_turn_s",
    ),
    Switch(
        "induction.samples",
        None,
        "programs asked for each task of the model that `--code-model` names; without one none",
        "arXiv 2411.02272 (BARC)",
        "unit/induction/test_code_model.py::test_a_right_program_of_the_code_model_has_the_first_attempt",
    ),
    Switch(
        "induction.share",
        None,
        "of the seconds there are, at most, for that model, its start included",
        "this project",
        "unit/induction/test_code_model.py::test_it_never_has_more_than_its_share_of_the_time",
    ),
    Switch(
        "search.p_min",
        None,
        "every answer at least so probable under a view is found; 0: the greedy one alone",
        "arXiv 2505.07859",
        "unit/inference/test_threshold_search.py::test_what_is_found_is_what_brute_force_finds",
    ),
    Switch(
        "search.nodes",
        None,
        "requests that the search under one view may cost",
        "this project",
        "unit/inference/test_threshold_search.py::test_a_limit_on_requests_is_kept_and_what_it_cost_is_bounded_by_what_is_said",
    ),
    Switch(
        "search.views",
        None,
        "views under which candidates are re-read before the vote; 0: none",
        "NVARC, 2025",
        "unit/inference/test_rescoring.py::test_the_two_best_and_their_values_are_those_of_reading_everything",
    ),
    Switch(
        "search.share",
        None,
        "of a turn's sampling seconds for the search, where candidates are re-read after it",
        "this project",
        f"{_PIPELINE}a_search_gets_its_share_of_the_seconds_and_all_where_nothing_is_re_read",
    ),
)


def table() -> str:
    """All switches as a Markdown table."""
    lines = ["| switch | choice | default | what it does | source | test |", "|---|---|---|---|---|---|"]
    lines += [
        f"| `{s.setting}` | {'' if s.value is None else f'`{s.value}`'} | {s.default} | {s.meaning} | {s.source} "
        f"| `{s.test.partition('::')[2]}` |"
        for s in SWITCHES
    ]
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Print the table."""
    argparse.ArgumentParser(prog="python -m solver switches", description=main.__doc__).parse_args(argv)
    print(table())
    return 0
