"""How a task learns from others.

Does not import: models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from solver.config.flags import absolute
from solver.config.setting import Choice, Settings, require, setting
from solver.config.sources import NEAREST, OURS

Likeness = Literal["states", "gradients"]
LIKENESSES: tuple[Likeness, ...] = get_args(Likeness)
NEVER = 2.0  # a likeness no two tasks have


def _cosine(value: float) -> bool:
    return -1 <= value <= 1 or value == NEVER


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
        source="arXiv 2305.18466; arXiv 2402.04333 (LESS)",
        choices={
            "states": Choice(
                "tasks of the library are, in the base model's states",
                tested="tasks_are_alike_in_what_the_settings_say",
            ),
            "gradients": Choice(
                "single examples of them are, in how they change an adapter, and are chosen one by one: those most "
                "aligned with the mean of the task's own",
                tested="by_gradients_the_examples_most_aligned_with_the_task_are_chosen_whosever_they_are",
            ),
        },
    )
    count: int = setting(
        0,
        "tasks of the library nearest to each task, trained on beside its own demonstrations; by gradients, so many "
        "tasks' worth of examples; refused with --steps 0 and --scope shared",
        flag="--nearest N",
        name="nearest tasks",
        least=0,
        expected="0 (none) or more",
        basis=(NEAREST, "examples_of_the_nearest_tasks_come_in_turns_with_the_task_s_own"),
    )
    share: float = setting(
        0.5,
        "share of the examples that are theirs, taken in turns; 1: theirs alone",
        name="share of the nearest tasks",
        fits=lambda share: 0 < share <= 1,
        expected="a share above 0 and at most 1",
        basis=(NEAREST, "a_share_of_the_examples_is_the_nearest_tasks"),
    )
    warm_start_threshold: float = setting(
        NEVER,
        f"likeness (cosine) from which training starts from the nearest task's adapter; {NEVER:g}: never",
        formerly=("warm",),
        name="near.warm_start_threshold",
        fits=_cosine,
        expected=f"a cosine from -1 to 1, or {NEVER:g} for never",
        basis=(OURS, "training_starts_from_the_nearest_task_s_adapter_where_it_is_alike_enough"),
    )
    reuse_threshold: float = setting(
        NEVER,
        f"likeness (cosine) from which that adapter is used as it is, and nothing is trained; {NEVER:g}: never",
        formerly=("outright",),
        name="near.reuse_threshold",
        fits=_cosine,
        expected=f"a cosine from -1 to 1, or {NEVER:g} for never",
        basis=(OURS, "an_adapter_alike_enough_is_used_as_it_is_and_stays_where_it_is"),
    )
    content: str = setting(
        "", "what the library's hash has to be, so that a run is not gone on with when another lies in its place"
    )

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
