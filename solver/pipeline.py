"""The algorithm: tasks to candidate answers by test-time training and augmented views (arXiv 2411.07279).

`solve_batch` is the outline; below it, in its order: an adapter for each task, its views as prompts, replies as
candidates. Laws: whatever fails for one task, the others are answered; running out of memory alone is passed on, to
whoever can give more of it. A prompt is a function of (task, seed, settings). A candidate is always a valid grid in the
task's own frame: what is no grid is rejected and counted, never repaired.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeAlias

from solver.batch import Batch, Models, Requests, TaskState
from solver.clock import Deadline, now
from solver.config.settings import Config, SearchSettings
from solver.data.views import apply_task, invert, views
from solver.inference.rescoring import rescore_candidates
from solver.inference.threshold_search import search_views
from solver.interfaces import GroupTrainer, Scorer
from solver.tokens.grid import LONGEST_REPLY, fit
from solver.training import examples, shared_adapter
from solver.training.nearest_tasks import retrieve_neighbours
from solver.types import ADAPTER, BASE, Candidate, Grid, Pair, Prompt, Reply, Task, TaskResult, out_of_memory, seed_for

GREEDY = SearchSettings()  # how quick answers are asked for
ALONE, NONE = "trained alone, as training side by side failed", "no adapter"  # what is done where a training failed
SLACK = 1.25  # a reply may be so many times the length expected of it before it is cut off
PARTS = 4  # batches in which a hurried stage samples its views

Asked: TypeAlias = list[tuple[TaskState, Prompt]]
"""Prompts in the order they are sampled, each with the task it is of."""


def solve_batch(batch: Batch, models: Models, stop: Deadline) -> list[TaskResult]:
    """One stage of these tasks: an adapter for each, then all their views in one batch, decoded into candidates.

    The stage `BASE` trains nothing and asks under few views; those after `ADAPTER` draw other examples, adapters and
    views. What the sampler does not finish before `stop` has no vote.
    """
    config, sampler = models.config, models.sampler
    states = [TaskState(task, _seed(task, batch.stage, config), models.format) for task in batch.tasks]
    count, how = config.quick_views, GREEDY
    if batch.stage != BASE:
        get_adapters(states, batch, models, stop)
        count, how = config.views, config.search
    ask_views(states, count, how, batch, models, stop)
    if how.views and isinstance(sampler, Scorer):
        rescore_candidates(states, sampler, config, stop)
    own = [state for state in states if not state.reuses_adapter and state.adapter != batch.shared.get(state.task.id)]
    if adapters := [state.adapter for state in own if state.adapter]:
        sampler.forget(adapters)
    return [_result(state, batch.stage) for state in states]


def _seed(task: Task, stage: int, config: Config) -> int:
    """The run's own seed up to `ADAPTER`, one of the task's own in later stages."""
    if stage <= ADAPTER:
        return config.seed
    return seed_for(config.seed, task.id, f"round {stage}")  # by another word the same seed would draw other views


def _result(state: TaskState, stage: int) -> TaskResult:
    """What the stage came to for a task, for the vote over all stages."""
    candidates, training = tuple(map(tuple, state.candidates)), (state.steps, state.planned, state.losses)
    return TaskResult(state.task.id, stage, candidates, state.rejected, *training, state.seconds, tuple(state.notes))


# ---- adapters --------------------------------------------------------------------------------------------------------


def get_adapters(states: Sequence[TaskState], batch: Batch, models: Models, stop: Deadline) -> None:
    """Each task's adapter: its own, or as the settings have it the one it shares with others, or another task's."""
    config = models.config
    if config.train.scope != "task":
        shared_adapter.attach(states, batch.shared, config)
    if not config.train.steps or config.train.scope == "shared":
        return
    if models.nearest is not None:
        retrieve_neighbours(states, models.nearest, config, stop)
    train_adapters([state for state in states if not state.reuses_adapter], batch, models, stop)


def train_adapters(states: Sequence[TaskState], batch: Batch, models: Models, stop: Deadline) -> None:
    """An adapter for each task: one after another, or as many in one batch as the recipe says and the trainer can."""
    room = models.config.train.adapters_per_batch if isinstance(models.trainer, GroupTrainer) else 1
    for first in range(0, len(states), room):
        group = states[first : first + room]
        seconds = [batch.train_seconds[state.task.id] for state in group]
        if len(group) > 1 and _train(group, batch.stage, models, stop.within(sum(seconds)), ALONE):
            continue  # else which of them it was is not known: each gets its own chance
        for state, its_seconds in zip(group, seconds, strict=True):
            _train([state], batch.stage, models, stop.within(its_seconds), NONE)


def _train(group: Sequence[TaskState], stage: int, models: Models, stop: Deadline, otherwise: str) -> bool:
    """Train these tasks' adapters, which share the seconds; False, with a note on what is done, where that failed."""
    started = now()
    try:
        reports = examples.train(group, stage, models, stop)
    except Exception as error:  # one task's failure is its own: the base model still answers it
        if out_of_memory(error):
            raise
        for state in group:
            state.notes.append(f"{otherwise}: {type(error).__name__}: {error}")
        return False
    finally:
        for state in group:
            state.seconds["train"] = state.seconds.get("train", 0.0) + (now() - started) / len(group)
    for state, report in zip(group, reports, strict=True):
        models.trained(examples.adapter_name(state.task, stage), report)
        state.adapter, state.losses = report.adapter, report.losses
        state.steps, state.planned = report.steps, report.planned
        if report.failure:
            state.notes.append(f"{NONE}: FloatingPointError: {report.failure}")
        elif report.steps < report.planned:
            state.notes.append(f"training stopped after {report.steps} of {report.planned} steps")
    return True


# ---- views -----------------------------------------------------------------------------------------------------------


def ask_views(
    states: Sequence[TaskState], count: int, how: SearchSettings, batch: Batch, models: Models, stop: Deadline
) -> None:
    """Ask every test input of all tasks under `count` views, at once or, `hurried`, in parts; keep the candidates."""
    started = now()
    asked, parts = batches(states, count, models.config, batch.hurried, how)
    if how.p_min:
        search_views(asked, parts, models, stop)
    else:
        sample_views(asked, parts, models, stop, "views" if how.samples == 1 else "replies")
    for state in states:
        state.seconds["sample"] = (now() - started) / len(states)


def sample_views(asked: Asked, parts: Sequence[Requests], models: Models, stop: Deadline, what: str) -> None:
    """Sample a reply to each prompt and decode it into a candidate; a note says of how many of `what` there is none."""
    replies: list[Reply | None] = []
    for requests in parts:
        replies += models.sampler.sample(requests, stop)
    unfinished: Counter[str] = Counter()
    for (state, prompt), reply in zip(asked, replies, strict=True):
        if reply is None:
            unfinished[state.task.id] += 1
            continue
        grid = state.format.decode(reply.tokens) if reply.finished else None
        if grid is None:
            state.rejected += 1
        else:
            state.candidates[prompt.test].append(Candidate(invert(prompt.view, grid), prompt.view, reply.logprob))
    for state in {state.task.id: state for state, _ in asked}.values():
        if late := unfinished[state.task.id]:
            state.notes.append(f"out of time for {late} {what}")


# ---- prompts ---------------------------------------------------------------------------------------------------------


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
