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
    Lesson,
    Pair,
    Prompt,
    Reply,
    Task,
    TaskResult,
    TrainReport,
    out_of_memory,
    seed_for,
)
from solver.voting import rules

SLACK = 1.25  # a reply may be so many times the length expected of it before it is cut off
NONE_FIT = "no example of the nearest tasks fits the context: trained on its own"
GREEDY = SearchSettings()  # how quick answers are asked for


@dataclass
class Work:
    """What becomes of one task in one round. `seed`: of everything random in it. `format`: how the model reads."""

    task: Task
    seed: int
    format: Format
    start: Adapter | None = None
    near: tuple[Near, ...] = ()
    outright: bool = False  # the adapter is another task's, as it is
    adapter: Adapter | None = None
    steps: int = 0
    planned: int = 0
    losses: tuple[float, ...] = ()
    rejected: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    candidates: list[list[Candidate]] = field(default_factory=list)
    prompts: list[tuple[int, Prompt]] = field(default_factory=list)  # (number of the view, prompt)


def solve(
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
    work = [Work(task, round_seed(config.seed, task.id, number), format) for task in tasks]
    for item in work if number != BASE and config.train.scope != "task" else ():
        borrow(item, shared.get(item.task.id), config)
    if number != BASE and config.train.steps and config.train.scope != "shared":
        if near is not None:
            consult(work, near, config, stop)
        teach([item for item in work if not item.outright], number, trainer, config, train_seconds, stop)
    if number == BASE:
        ask(work, config.quick_views, sampler, config, stop, hurried, GREEDY)
    elif config.search.p_min:
        find(work, config.views, sampler, config, stop, hurried)
    else:
        ask(work, config.views, sampler, config, stop, hurried, config.search)
    if number != BASE and config.search.views and isinstance(sampler, Scorer):
        reread(work, sampler, config, stop)
    own = [item for item in work if not item.outright and item.adapter != shared.get(item.task.id)]
    sampler.forget([item.adapter for item in own if item.adapter])
    return [report(item, number) for item in work]


def round_seed(seed: int, task_id: str, number: int) -> int:
    """The run's own seed up to `ADAPTER`; rounds after it have each their own."""
    return seed if number <= ADAPTER else seed_for(seed, task_id, f"round {number}")


def share(tasks: Sequence[Task], trainer: Trainer, config: Config, stop: Deadline, format: Format) -> TrainReport:
    """One adapter for these tasks, trained on the examples of all of them (arXiv 2411.07279's shared adapter)."""
    ids = " ".join(task.id for task in tasks)
    name = f"shared-{seed_for(config.seed, ids, 'shared adapter'):08x}"
    examples = joint(tasks, config.train, config.seed, config.engine.context, format)
    return trainer.train(name, examples, config.seed, stop, steps=config.train.shared_steps * len(tasks))


def borrow(item: Work, adapter: Adapter | None, config: Config) -> None:
    """Have a task start from the adapter it shares with others or, as the scope has it, be answered with that one."""
    item.start = adapter
    if adapter is None:
        item.notes.append("no shared adapter: the base weights in its place")
    elif config.train.scope == "shared":
        item.adapter = adapter
        if why := fallback(item.task, config.train, config.engine.context, item.format):
            item.notes.append(why)


def consult(work: Sequence[Work], near: Nearest, config: Config, stop: Deadline) -> None:
    """Find each task's nearest others, and whether the nearest one's adapter is a start, or will do as it is.

    The notes name those it learns from. Where that fails, or there is no time for it, the task learns from itself
    alone, and the notes say so.
    """
    for item in work:
        started = now()
        try:
            if stop.remaining() <= 0:
                raise TimeoutError("no time to compare it with others")
            item.near = near(item.task)
        except Exception as error:  # one task's failure is its own
            if out_of_memory(error):
                raise
            item.notes.append(f"nothing learnt from other tasks: {type(error).__name__}: {error}")
        item.seconds["compare"] = now() - started
        if item.near and item.near[0].similarity >= min(config.near.warm, config.near.outright):
            reuse(item, item.near[0], config)
        if item.near and config.near.count and not item.outright:
            named = ", ".join(f"{other.name} {other.similarity:.3f}" for other in item.near)
            item.notes.append(f"nearest, with likeness: {named}")


def reuse(item: Work, first: Near, config: Config) -> None:
    """Have a task start from the adapter of another that is alike enough, or be answered with it."""
    if first.adapter is None:
        item.notes.append(f"{first.task.id} is alike enough (likeness {first.similarity:.3f}), but has no adapter")
    elif first.similarity >= config.near.outright:
        item.adapter, item.outright = first.adapter, True
        item.notes.append(f"the adapter of {first.task.id} as it is: likeness {first.similarity:.3f}")
    else:
        item.start = first.adapter
        item.notes.append(f"trained from the adapter of {first.task.id} on: likeness {first.similarity:.3f}")


def teach(
    work: Sequence[Work],
    number: int,
    trainer: Trainer,
    config: Config,
    train_seconds: Mapping[str, float],
    stop: Deadline,
) -> None:
    """An adapter for each task: one after another, or so many side by side as the recipe says and the trainer can."""
    room = config.train.side_by_side if isinstance(trainer, GroupTrainer) else 1
    for first in range(0, len(work), room):
        group = work[first : first + room]
        seconds = [train_seconds[item.task.id] for item in group]
        if len(group) > 1 and learn_together(group, number, trainer, config, stop.within(sum(seconds))):
            continue
        for item in group:
            learn(item, number, trainer, config, stop.within(train_seconds[item.task.id]))


def learn(item: Work, number: int, trainer: Trainer, config: Config, stop: Deadline) -> None:
    """Train the task's adapter; where that fails the base model answers, and the notes say so.

    Running out of memory is no fault of the task's: it is passed on to whoever can give more of it.
    """
    started = now()
    try:
        task = lesson(item, number, config)
        if why := fallback(item.task, config.train, config.engine.context, item.format):
            item.notes.append(why)
        keep(item, trainer.train(task.name, task.examples, task.seed, stop, start_from=task.start_from))
    except Exception as error:  # one task's failure is its own: the base model still answers it
        if out_of_memory(error):
            raise
        item.notes.append(f"no adapter: {type(error).__name__}: {error}")
    item.seconds["train"] = item.seconds.get("train", 0.0) + now() - started


def learn_together(group: Sequence[Work], number: int, trainer: Any, config: Config, stop: Deadline) -> bool:
    """Train the tasks' adapters in one batch, the seconds shared; False, with a note, where that failed."""
    started = now()
    try:
        made = trainer.train_together([lesson(item, number, config) for item in group], stop)
    except Exception as error:  # which of them it was is not known: each gets its own chance
        if out_of_memory(error):
            raise
        for item in group:
            item.notes.append(f"trained alone, as training side by side failed: {type(error).__name__}: {error}")
            item.seconds["train"] = (now() - started) / len(group)
        return False
    for item, report in zip(group, made, strict=True):
        if why := fallback(item.task, config.train, config.engine.context, item.format):
            item.notes.append(why)
        keep(item, report)
        item.seconds["train"] = (now() - started) / len(group)
    return True


def lesson(item: Work, number: int, config: Config) -> Lesson:
    """What the task's adapter is trained on. Building it takes less than a hundredth of what training on it does.

    Each of the nearest has an equal part in as many examples as the recipe has.
    """
    name = item.task.id if number == ADAPTER else f"{item.task.id}-{number}"
    examples = build(item.task, config.train, item.seed, config.engine.context, item.format)
    if item.near and config.near.count:
        some = replace(config.train, examples=math.ceil(config.train.examples / len(item.near)))
        theirs = in_turns(
            build(near.task, some, item.seed, config.engine.context, item.format, near.left_out) for near in item.near
        )
        if not theirs and NONE_FIT not in item.notes:
            item.notes.append(NONE_FIT)
        examples = mixed(examples, theirs, config.near.share, config.train.examples)
    return Lesson(name, examples, item.seed, item.start)


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


def keep(item: Work, made: TrainReport) -> None:
    """What became of a training."""
    item.adapter, item.steps, item.planned, item.losses = made.adapter, made.steps, made.planned, made.losses
    if made.steps < made.planned:
        item.notes.append(f"training stopped after {made.steps} of {made.planned} steps")


def ask(
    work: Sequence[Work],
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
    asked, batches = batched(work, views, config, hurried, how)
    for batch in batches:
        replies += sampler.sample(batch, stop)
    unfinished = dict.fromkeys((item.task.id for item in work), 0)
    for (item, (_, prompt)), reply in zip(asked, replies, strict=True):
        unfinished[item.task.id] += reply is None
        read(item, prompt, reply)
    for item in work:
        item.seconds["sample"] = (now() - started) / len(work)
        if unfinished[item.task.id]:
            item.notes.append(
                f"out of time for {unfinished[item.task.id]} {'views' if how.samples == 1 else 'replies'}"
            )


def drawn(item: Work, numbered: tuple[int, Prompt], how: SearchSettings) -> list[tuple[int, Prompt]]:
    """A view's prompt as often as it is asked: once greedily, or for so many replies drawn by seeds of their own."""
    number, prompt = numbered
    if not how.temperature:
        return [numbered]
    names = [f"reply {sample} to view {number} of test {prompt.test}" for sample in range(how.samples)]
    seeds = [seed_for(item.seed, item.task.id, name) for name in names]
    return [(number, replace(prompt, temperature=how.temperature, seed=seed)) for seed in seeds]


def batched(
    work: Sequence[Work], views: int, config: Config, hurried: bool, how: SearchSettings
) -> tuple[list[tuple[Work, tuple[int, Prompt]]], list[list[tuple[Prompt, Adapter | None]]]]:
    """All prompts, view by view, with whose they are; and the requests in one batch, or, `hurried`, in quarters."""
    asked = [(item, one) for item in work for view in prompts(item, views, config) for one in drawn(item, view, how)]
    asked.sort(key=lambda pair: pair[1][0])
    groups = groupby(asked, lambda pair: 4 * pair[1][0] // views if hurried else 0)
    return asked, [[(prompt, item.adapter) for item, (_, prompt) in group] for _, group in groups]


def find(
    work: Sequence[Work], views: int, sampler: Sampler, config: Config, stop: Deadline, hurried: bool = False
) -> None:
    """`ask`, but for every likely answer under each view instead of the greedy one."""
    started = now()
    share = config.search.share if config.search.views else 1.0
    own = stop.within(share * stop.remaining())
    answers: list[threshold_search.Answers] = []
    asked, batches = batched(work, views, config, hurried, config.search)
    for batch in batches:
        answers += threshold_search.candidates(
            batch, sampler, own, config.search.p_min, config.search.nodes, work[0].format
        )
    late = own.remaining() <= 0
    missed: dict[str, list[float]] = {}
    unfinished = dict.fromkeys((item.task.id for item in work), 0)
    for (item, (_, prompt)), found in zip(asked, answers, strict=True):
        item.candidates[prompt.test] += found.candidates
        said = bool(found.candidates) or found.found.greedy is not None
        item.rejected += not found.candidates and (said or not late)
        unfinished[item.task.id] += late and not said
        if not found.found.complete:
            missed.setdefault(item.task.id, []).append(found.found.missed)
    for item in work:
        item.seconds["sample"] = (now() - started) / len(work)
        if unfinished[item.task.id]:
            item.notes.append(f"out of time for {unfinished[item.task.id]} views")
        if cut := missed.get(item.task.id):
            item.notes.append(f"search cut short in {len(cut)} views: at most {sum(cut) / len(cut):.0%} of each missed")


def reread(work: Sequence[Work], scorer: Scorer, config: Config, stop: Deadline) -> None:
    """Read all candidates of a test input under its first views, those of all tasks in one batch."""
    started = now()
    asked = [(item, test) for item in work for test in range(len(item.task.tests))]
    questions = [
        rescoring.Question(
            tuple(p for number, p in item.prompts if p.test == test and number < config.search.views),
            item.adapter,
            tuple(item.candidates[test]),
        )
        for item, test in asked
    ]
    worth = rules.VOTE_WORTH.get(config.rule, 0.0)
    scored = rescoring.rescore(questions, scorer, stop, config.engine.context - 1, work[0].format, worth)
    for (item, test), result in zip(asked, scored, strict=True):
        item.candidates[test] = list(result.candidates)
        if result.cut:
            item.notes.append(f"test {test}: out of time after {result.readings} readings of its candidates")
    for item in work:
        item.seconds["score"] = (now() - started) / len(work)


def prompts(item: Work, views: int, config: Config) -> list[tuple[int, Prompt]]:
    """(number of the view, prompt) for every view of every test input that fits the context, in tokens."""
    task, context = item.task, config.engine.context
    item.candidates = [[] for _ in task.tests]
    made = []
    for test, grid in enumerate(task.tests):
        kept, dropped = fit(task.demonstrations, grid, context, item.format)
        if dropped:
            item.notes.append(
                f"test {test}: the prompt was too long for {context} tokens: "
                f"{dropped} of {len(task.demonstrations)} demonstrations dropped, longest first"
            )
        shown = Task(task.id, kept, (grid,))
        full = 0
        for number, view in enumerate(task_views.views(shown, views, item.seed, f"views {test}", config.orders)):
            seen = task_views.apply_task(view, shown)
            tokens = tuple(item.format.encode_prompt(seen.demonstrations, seen.tests[0]).tolist())
            room = min(expected_reply(kept, grid), context - len(tokens))
            if room > 0:
                made.append((number, Prompt(task.id, test, view, tokens, room)))
            else:
                full += 1
        if full:
            item.notes.append(f"test {test}: its input alone fills the context in {full} of {views} views")
    item.prompts = made
    return made


def expected_reply(demonstrations: Sequence[Pair], test: Grid) -> int:
    """Tokens a reply may have: the longest output shown, or the test input scaled as the demonstrations were, and more.

    Turning a grid changes its row markers, so both sides are counted as if they were the longer one.
    """
    seen = [(p.input.size, p.output.size, max(p.output.shape)) for p in demonstrations] or [(1, 1, 1)]
    cells = max(max(out for _, out, _ in seen), max(out / size for size, out, _ in seen) * test.size)
    rows = max(*(side for _, _, side in seen), *test.shape)
    return min(longest_reply(), int(SLACK * (cells + rows)) + 2)


def read(item: Work, prompt: Prompt, reply: Reply | None) -> None:
    """Decode a reply into a candidate in the task's own frame; count what is no grid."""
    if reply is None:
        return
    grid = item.format.decode(reply.tokens) if reply.finished else None
    if grid is None:
        item.rejected += 1
        return
    item.candidates[prompt.test].append(Candidate(task_views.invert(prompt.view, grid), prompt.view, reply.logprob))


def report(item: Work, number: int) -> TaskResult:
    """What the round found, for the vote over all rounds."""
    return TaskResult(
        task_id=item.task.id,
        round=number,
        candidates=tuple(tuple(c) for c in item.candidates),
        rejected=item.rejected,
        steps=item.steps,
        planned=item.planned,
        losses=item.losses,
        seconds=item.seconds,
        notes=tuple(item.notes),
    )
