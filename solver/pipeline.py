"""The algorithm: tasks to candidate answers by test-time training and augmented views (arXiv 2411.07279).

Takes its `Trainer` and `Sampler` as they come and knows nothing of torch, vLLM, files or processes; `candidates` votes.
Law: whatever fails for one task, the others are answered; a candidate is always a valid grid in the task's own frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from solver.clock import Deadline, now
from solver.config.settings import Config, SearchSettings
from solver.data import views as task_views
from solver.inference import rescoring, threshold_search
from solver.interfaces import Format, GroupTrainer, Sampler, Scorer, Trainer
from solver.tokens.grid import fit, longest_reply
from solver.training.examples import build, fallback, in_turns, joint
from solver.training.neighbours import Near, Nearest
from solver.types import (
    ADAPTER,
    BASE,
    Adapter,
    Candidate,
    Example,
    Grid,
    Pair,
    Prompt,
    Reply,
    Task,
    TaskResult,
    TrainJob,
    TrainReport,
    out_of_memory,
    seed_for,
)
from solver.voting import rules

SLACK = 1.25  # a reply may be so many times the length expected of it before it is cut off
NONE_FIT = "no example of the nearest tasks fits the context: trained on its own"
GREEDY = SearchSettings()  # how quick answers are asked for


@dataclass
class TaskState:
    """What becomes of one task in one round. `seed`: of everything random in it. `format`: how the model reads."""

    task: Task
    seed: int
    format: Format
    start: Adapter | None = None
    near: tuple[Near, ...] = ()
    reuses_adapter: bool = False  # the adapter is another task's, as it is
    adapter: Adapter | None = None
    steps: int = 0
    planned: int = 0
    losses: tuple[float, ...] = ()
    rejected: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    candidates: list[list[Candidate]] = field(default_factory=list)
    prompts: list[tuple[int, Prompt]] = field(default_factory=list)  # (number of the view, prompt)


def solve_batch(
    tasks: Sequence[Task],
    number: int,
    trainer: Trainer,
    sampler: Sampler,
    config: Config,
    train_seconds: Mapping[str, float],
    stop: Deadline,
    shared: Mapping[str, Adapter],
    format: Format,
    hurried: bool = False,
    near: Nearest | None = None,
) -> list[TaskResult]:
    """One round of these tasks: an adapter for each, then all their views in one batch, read back into candidates.

    `number`: of the round; `BASE` trains nothing, and rounds after `ADAPTER` draw other examples, adapters and views.
    `train_seconds`: how long each task may train. What the sampler does not finish before `stop` has no vote.
    `shared`: by task, the adapter it shares with others; its own starts from that or, as `train.scope` has it, is that.
    `hurried`: the seconds may not do, so a quarter of the views is sampled after the other, not all at once.
    `near`: the other tasks that `config.near` has a task learn from.
    """
    states = [TaskState(task, round_seed(config.seed, task.id, number), format) for task in tasks]
    for state in states if number != BASE and config.train.scope != "task" else ():
        attach_shared_adapter(state, shared.get(state.task.id), config)
    if number != BASE and config.train.steps and config.train.scope != "shared":
        if near is not None:
            retrieve_neighbours(states, near, config, stop)
        train_adapters(
            [state for state in states if not state.reuses_adapter], number, trainer, config, train_seconds, stop
        )
    if number == BASE:
        sample_views(states, config.quick_views, sampler, config, stop, hurried, GREEDY)
    elif config.search.p_min:
        search_views(states, config.views, sampler, config, stop, hurried)
    else:
        sample_views(states, config.views, sampler, config, stop, hurried, config.search)
    if number != BASE and config.search.views and isinstance(sampler, Scorer):
        rescore(states, sampler, config, stop)
    own = [state for state in states if not state.reuses_adapter and state.adapter != shared.get(state.task.id)]
    sampler.forget([state.adapter for state in own if state.adapter])
    return [to_result(state, number) for state in states]


def round_seed(seed: int, task_id: str, number: int) -> int:
    """The run's own seed up to `ADAPTER`; rounds after it have each their own."""
    return seed if number <= ADAPTER else seed_for(seed, task_id, f"round {number}")


def train_shared_adapter(
    tasks: Sequence[Task], trainer: Trainer, config: Config, stop: Deadline, format: Format
) -> TrainReport:
    """One adapter for these tasks, trained on the examples of all of them (arXiv 2411.07279's shared adapter)."""
    ids = " ".join(task.id for task in tasks)
    name = f"shared-{seed_for(config.seed, ids, 'shared adapter'):08x}"
    examples = joint(tasks, config.train, config.seed, config.engine.context, format)
    return trainer.train(name, examples, config.seed, stop, steps=config.train.shared_steps * len(tasks))


def attach_shared_adapter(state: TaskState, adapter: Adapter | None, config: Config) -> None:
    """Have a task start from the adapter it shares with others or, as the scope has it, be answered with that one."""
    state.start = adapter
    if adapter is None:
        state.notes.append("no shared adapter: the base weights in its place")
    elif config.train.scope == "shared":
        state.adapter = adapter
        if why := fallback(state.task, config.train, config.engine.context, state.format):
            state.notes.append(why)


def retrieve_neighbours(states: Sequence[TaskState], near: Nearest, config: Config, stop: Deadline) -> None:
    """Find each task's nearest others, and whether the nearest one's adapter is a start, or will do as it is.

    The notes name those it learns from. Where that fails, or there is no time for it, the task learns from itself
    alone, and the notes say so.
    """
    for state in states:
        started = now()
        try:
            if stop.remaining() <= 0:
                raise TimeoutError("no time to compare it with others")
            state.near = near(state.task)
        except Exception as error:  # one task's failure is its own
            if out_of_memory(error):
                raise
            state.notes.append(f"nothing learnt from other tasks: {type(error).__name__}: {error}")
        state.seconds["compare"] = now() - started
        if state.near and state.near[0].similarity >= min(
            config.near.warm_start_threshold, config.near.reuse_threshold
        ):
            reuse_neighbour_adapter(state, state.near[0], config)
        if state.near and config.near.count and not state.reuses_adapter:
            named = ", ".join(f"{other.name} {other.similarity:.3f}" for other in state.near)
            state.notes.append(f"nearest, with likeness: {named}")


def reuse_neighbour_adapter(state: TaskState, first: Near, config: Config) -> None:
    """Have a task start from the adapter of another that is alike enough, or be answered with it."""
    if first.adapter is None:
        state.notes.append(f"{first.task.id} is alike enough (likeness {first.similarity:.3f}), but has no adapter")
    elif first.similarity >= config.near.reuse_threshold:
        state.adapter, state.reuses_adapter = first.adapter, True
        state.notes.append(f"the adapter of {first.task.id} as it is: likeness {first.similarity:.3f}")
    else:
        state.start = first.adapter
        state.notes.append(f"trained from the adapter of {first.task.id} on: likeness {first.similarity:.3f}")


def train_adapters(
    states: Sequence[TaskState],
    number: int,
    trainer: Trainer,
    config: Config,
    train_seconds: Mapping[str, float],
    stop: Deadline,
) -> None:
    """An adapter for each task: one after another, or so many side by side as the recipe says and the trainer can."""
    room = config.train.adapters_per_batch if isinstance(trainer, GroupTrainer) else 1
    for first in range(0, len(states), room):
        group = states[first : first + room]
        seconds = [train_seconds[state.task.id] for state in group]
        if len(group) > 1 and train_adapters_together(group, number, trainer, config, stop.within(sum(seconds))):
            continue
        for state in group:
            train_adapter(state, number, trainer, config, stop.within(train_seconds[state.task.id]))


def train_adapter(state: TaskState, number: int, trainer: Trainer, config: Config, stop: Deadline) -> None:
    """Train the task's adapter; where that fails the base model answers, and the notes say so.

    Running out of memory is no fault of the task's: it is passed on to whoever can give more of it.
    """
    started = now()
    try:
        task = train_job(state, number, config)
        if why := fallback(state.task, config.train, config.engine.context, state.format):
            state.notes.append(why)
        record_training(state, trainer.train(task.name, task.examples, task.seed, stop, start_from=task.start_from))
    except Exception as error:  # one task's failure is its own: the base model still answers it
        if out_of_memory(error):
            raise
        state.notes.append(f"no adapter: {type(error).__name__}: {error}")
    state.seconds["train"] = state.seconds.get("train", 0.0) + now() - started


def train_adapters_together(
    group: Sequence[TaskState], number: int, trainer: Any, config: Config, stop: Deadline
) -> bool:
    """Train the tasks' adapters in one batch, the seconds shared; False, with a note, where that failed."""
    started = now()
    try:
        made = trainer.train_together([train_job(state, number, config) for state in group], stop)
    except Exception as error:  # which of them it was is not known: each gets its own chance
        if out_of_memory(error):
            raise
        for state in group:
            state.notes.append(f"trained alone, as training side by side failed: {type(error).__name__}: {error}")
            state.seconds["train"] = (now() - started) / len(group)
        return False
    for state, report in zip(group, made, strict=True):
        if why := fallback(state.task, config.train, config.engine.context, state.format):
            state.notes.append(why)
        record_training(state, report)
        state.seconds["train"] = (now() - started) / len(group)
    return True


def train_job(state: TaskState, number: int, config: Config) -> TrainJob:
    """What the task's adapter is trained on. Building it takes less than a hundredth of what training on it does.

    Each of the nearest has an equal part in as many examples as the recipe has.
    """
    name = state.task.id if number == ADAPTER else f"{state.task.id}-{number}"
    examples = build(state.task, config.train, state.seed, config.engine.context, state.format)
    if state.near and config.near.count:
        some = replace(config.train, examples=math.ceil(config.train.examples / len(state.near)))
        theirs = in_turns(
            build(near.task, some, state.seed, config.engine.context, state.format, near.left_out)
            for near in state.near
        )
        if not theirs and NONE_FIT not in state.notes:
            state.notes.append(NONE_FIT)
        examples = mixed(examples, theirs, config.near.share, config.train.examples)
    return TrainJob(name, examples, state.seed, state.start)


def mixed(own: Sequence[Example], others: Sequence[Example], share: float, cap: int) -> list[Example]:
    """At most `cap` examples in turns, `share` of them the others', until the task's own have run out.

    Where the others' run out first, or there are none, its own go on, but not if it was to learn from others alone.
    """
    if not own or not others:
        return list(own or others)[:cap]
    taken: list[Example] = []
    first, second = iter(own), iter(others)
    for at in range(cap):
        theirs = int((at + 1) * share) > int(at * share)
        example = next(second, None) if theirs else None
        example = next(first, None) if example is None and share < 1 else example
        if example is None:
            break
        taken.append(example)
    return taken


def record_training(state: TaskState, made: TrainReport) -> None:
    """What became of a training."""
    state.adapter, state.steps, state.planned, state.losses = made.adapter, made.steps, made.planned, made.losses
    if made.steps < made.planned:
        state.notes.append(f"training stopped after {made.steps} of {made.planned} steps")


def sample_views(
    states: Sequence[TaskState],
    views: int,
    sampler: Sampler,
    config: Config,
    stop: Deadline,
    hurried: bool,
    how: SearchSettings,
) -> None:
    """Sample every view of every test input in one batch, or, `hurried`, in quarters; read the replies."""
    started = now()
    replies: list[Reply | None] = []
    requests, batches = batched(states, views, config, hurried, how)
    for batch in batches:
        replies += sampler.sample(batch, stop)
    unfinished = dict.fromkeys((state.task.id for state in states), 0)
    for (state, (_, prompt)), reply in zip(requests, replies, strict=True):
        unfinished[state.task.id] += reply is None
        decode_reply(state, prompt, reply)
    for state in states:
        state.seconds["sample"] = (now() - started) / len(states)
        if unfinished[state.task.id]:
            state.notes.append(
                f"out of time for {unfinished[state.task.id]} {'views' if how.samples == 1 else 'replies'}"
            )


def drawn(state: TaskState, numbered: tuple[int, Prompt], how: SearchSettings) -> list[tuple[int, Prompt]]:
    """A view's prompt as often as it is asked: once greedily, or for so many replies drawn by seeds of their own."""
    number, prompt = numbered
    if not how.temperature:
        return [numbered]
    names = [f"reply {sample} to view {number} of test {prompt.test}" for sample in range(how.samples)]
    seeds = [seed_for(state.seed, state.task.id, name) for name in names]
    return [(number, replace(prompt, temperature=how.temperature, seed=seed)) for seed in seeds]


def batched(
    states: Sequence[TaskState], views: int, config: Config, hurried: bool, how: SearchSettings
) -> tuple[list[tuple[TaskState, tuple[int, Prompt]]], list[list[tuple[Prompt, Adapter | None]]]]:
    """All prompts, view by view, with whose they are; and the requests in one batch, or, `hurried`, in quarters."""
    requests = [
        (state, one) for state in states for view in prompts(state, views, config) for one in drawn(state, view, how)
    ]
    requests.sort(key=lambda pair: pair[1][0])
    groups = groupby(requests, lambda pair: 4 * pair[1][0] // views if hurried else 0)
    return requests, [[(prompt, state.adapter) for state, (_, prompt) in group] for _, group in groups]


def search_views(
    states: Sequence[TaskState], views: int, sampler: Sampler, config: Config, stop: Deadline, hurried: bool = False
) -> None:
    """`sample_views`, but for every likely answer under each view instead of the greedy one."""
    started = now()
    share = config.search.share if config.search.views else 1.0
    own = stop.within(share * stop.remaining())
    answers: list[threshold_search.ViewCandidates] = []
    requests, batches = batched(states, views, config, hurried, config.search)
    for batch in batches:
        answers += threshold_search.candidates(
            batch, sampler, own, config.search.p_min, config.search.nodes, states[0].format
        )
    late = own.remaining() <= 0
    missed: dict[str, list[float]] = {}
    unfinished = dict.fromkeys((state.task.id for state in states), 0)
    for (state, (_, prompt)), found in zip(requests, answers, strict=True):
        state.candidates[prompt.test] += found.candidates
        said = bool(found.candidates) or found.found.greedy is not None
        state.rejected += not found.candidates and (said or not late)
        unfinished[state.task.id] += late and not said
        if not found.found.complete:
            missed.setdefault(state.task.id, []).append(found.found.missed)
    for state in states:
        state.seconds["sample"] = (now() - started) / len(states)
        if unfinished[state.task.id]:
            state.notes.append(f"out of time for {unfinished[state.task.id]} views")
        if cut := missed.get(state.task.id):
            state.notes.append(
                f"search cut short in {len(cut)} views: at most {sum(cut) / len(cut):.0%} of each missed"
            )


def rescore(states: Sequence[TaskState], scorer: Scorer, config: Config, stop: Deadline) -> None:
    """Read all candidates of a test input under its first views, those of all tasks in one batch."""
    started = now()
    requests = [(state, test) for state in states for test in range(len(state.task.tests))]
    questions = [
        rescoring.CandidatesToScore(
            tuple(p for number, p in state.prompts if p.test == test and number < config.search.views),
            state.adapter,
            tuple(state.candidates[test]),
        )
        for state, test in requests
    ]
    worth = rules.VOTE_WORTH.get(config.rule, 0.0)
    scored = rescoring.rescore(questions, scorer, stop, config.engine.context - 1, states[0].format, worth)
    for (state, test), result in zip(requests, scored, strict=True):
        state.candidates[test] = list(result.candidates)
        if result.cut:
            state.notes.append(f"test {test}: out of time after {result.scored} readings of its candidates")
    for state in states:
        state.seconds["score"] = (now() - started) / len(states)


def prompts(state: TaskState, views: int, config: Config) -> list[tuple[int, Prompt]]:
    """(number of the view, prompt) for every view of every test input that fits the context, in tokens."""
    task, context = state.task, config.engine.context
    state.candidates = [[] for _ in task.tests]
    made = []
    for test, grid in enumerate(task.tests):
        kept, dropped = fit(task.demonstrations, grid, context, state.format)
        if dropped:
            state.notes.append(
                f"test {test}: the prompt was too long for {context} tokens: "
                f"{dropped} of {len(task.demonstrations)} demonstrations dropped, longest first"
            )
        shown = Task(task.id, kept, (grid,))
        full = 0
        for number, view in enumerate(task_views.views(shown, views, state.seed, f"views {test}", config.orders)):
            seen = task_views.apply_task(view, shown)
            tokens = tuple(state.format.encode_prompt(seen.demonstrations, seen.tests[0]).tolist())
            room = min(expected_reply(kept, grid), context - len(tokens))
            if room > 0:
                made.append((number, Prompt(task.id, test, view, tokens, room)))
            else:
                full += 1
        if full:
            state.notes.append(f"test {test}: its input alone fills the context in {full} of {views} views")
    state.prompts = made
    return made


def expected_reply(demonstrations: Sequence[Pair], test: Grid) -> int:
    """Tokens a reply may have: the longest output shown, or the test input scaled as the demonstrations were, and more.

    Turning a grid changes its row markers, so both sides are counted as if they were the longer one.
    """
    seen = [(p.input.size, p.output.size, max(p.output.shape)) for p in demonstrations] or [(1, 1, 1)]
    cells = max(max(out for _, out, _ in seen), max(out / size for size, out, _ in seen) * test.size)
    rows = max(*(side for _, _, side in seen), *test.shape)
    return min(longest_reply(), int(SLACK * (cells + rows)) + 2)


def decode_reply(state: TaskState, prompt: Prompt, reply: Reply | None) -> None:
    """Decode a reply into a candidate in the task's own frame; count what is no grid."""
    if reply is None:
        return
    grid = state.format.decode(reply.tokens) if reply.finished else None
    if grid is None:
        state.rejected += 1
        return
    state.candidates[prompt.test].append(Candidate(task_views.invert(prompt.view, grid), prompt.view, reply.logprob))


def to_result(state: TaskState, number: int) -> TaskResult:
    """What the round found, for the vote over all rounds."""
    return TaskResult(
        task_id=state.task.id,
        round=number,
        candidates=tuple(tuple(c) for c in state.candidates),
        rejected=state.rejected,
        steps=state.steps,
        planned=state.planned,
        losses=state.losses,
        seconds=state.seconds,
        notes=tuple(state.notes),
    )
