"""The prompts of a task: every test input under every view, as tokens that fit the context; a batch's requests.

Law: a prompt is a function of (task, seed, settings) alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeAlias

from solver.batch import TaskState
from solver.config.settings import Config, SearchSettings
from solver.data.views import apply_task, views
from solver.tokens.grid import LONGEST_REPLY, fit
from solver.types import Adapter, Grid, Pair, Prompt, Task, seed_for

SLACK = 1.25  # a reply may be so many times the length expected of it before it is cut off
PARTS = 4  # batches in which a hurried stage samples its views

Asked: TypeAlias = list[tuple[TaskState, Prompt]]
"""Prompts in the order they are sampled, each with the task it is of."""

Requests: TypeAlias = list[tuple[Prompt, Adapter | None]]
"""What a sampler is asked at once."""


def batches(
    states: Sequence[TaskState], count: int, config: Config, hurried: bool, how: SearchSettings
) -> tuple[Asked, list[Requests]]:
    """All prompts under `count` views a test input, view by view; as requests all at once or, `hurried`, in parts."""
    numbered = [
        (number, state, prompt)
        for state in states
        for number, view in prompts(state, count, config)
        for prompt in _drawn(state, number, view, how)
    ]
    numbered.sort(key=lambda one: one[0])
    parts = groupby(numbered, lambda one: PARTS * one[0] // count if hurried else 0)
    requests = [[(prompt, state.adapter) for _, state, prompt in part] for _, part in parts]
    return [(state, prompt) for _, state, prompt in numbered], requests


def _drawn(state: TaskState, number: int, prompt: Prompt, how: SearchSettings) -> list[Prompt]:
    """A view's prompt as often as it is asked: once greedily, or for so many replies drawn by seeds of their own."""
    if not how.temperature:
        return [prompt]
    names = [f"reply {sample} to view {number} of test {prompt.test}" for sample in range(how.samples)]
    seeds = [seed_for(state.seed, state.task.id, name) for name in names]
    return [replace(prompt, temperature=how.temperature, seed=seed) for seed in seeds]


def prompts(state: TaskState, count: int, config: Config) -> list[tuple[int, Prompt]]:
    """(number of the view, prompt) for every view of every test input that fits the context; kept in `state`.

    What had to be left out is said in the notes.
    """
    task, context = state.task, config.engine.context
    state.candidates, state.prompts = [[] for _ in task.tests], []
    for test, grid in enumerate(task.tests):
        kept, dropped = fit(task.demonstrations, grid, context, state.format)
        if dropped:
            state.notes.append(
                f"test {test}: the prompt was too long for {context} tokens: "
                f"{dropped} of {len(task.demonstrations)} demonstrations dropped, longest first"
            )
        shown, before = Task(task.id, kept, (grid,)), len(state.prompts)
        for number, view in enumerate(views(shown, count, state.seed, f"views {test}", config.orders)):
            seen = apply_task(view, shown)
            tokens = tuple(state.format.encode_prompt(seen.demonstrations, seen.tests[0]).tolist())
            room = min(expected_reply(kept, grid), context - len(tokens))
            if room > 0:
                state.prompts.append((number, Prompt(task.id, test, view, tokens, room)))
        if full := count - (len(state.prompts) - before):
            state.notes.append(f"test {test}: its input alone fills the context in {full} of {count} views")
    return state.prompts


def expected_reply(demonstrations: Sequence[Pair], test: Grid) -> int:
    """Tokens a reply may have: the longest output shown, or the test input scaled as the demonstrations were, and more.

    Turning a grid changes its row markers, so both sides are counted as if they were the longer one.
    """
    seen = [(p.input.size, p.output.size, max(p.output.shape)) for p in demonstrations] or [(1, 1, 1)]
    cells = max(max(out for _, out, _ in seen), max(out / size for size, out, _ in seen) * test.size)
    rows = max(*(side for _, _, side in seen), *test.shape)
    return min(LONGEST_REPLY, int(SLACK * (cells + rows)) + 2)
