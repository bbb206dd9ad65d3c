"""The comparisons: search, greedy views, scoring and training against the usual ways, and whether they agree."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from solver.clock import Deadline, now
from solver.data import views
from solver.inference import threshold_search
from solver.model import checkpoint
from solver.tokens.grid import END, GRID, OUTPUT, encode
from solver.types import Adapter, Prompt, TrainJob
from tests.bench.setting import FAR, Bench, Row, Seconds, views_of

EDGE = 1e-3  # nats around p_min within which two arithmetics may disagree on what is found


def parity(bench: Bench) -> list[Row]:
    """Whether search and recursion find the same replies, and scoring and a plain forward the same nats."""
    count, prompts = bench.options.adapters, bench.options.prompts
    requests = bench.requests(count, -(-prompts // count))[:prompts]
    rows, found_nats, readings = [], [], []
    for p_min in bench.options.p_min:
        started = now()
        founds = threshold_search.search(requests, bench.sampler, Deadline.after(FAR), p_min, GRID)
        ours, started = now() - started, now()
        usual = bench.elsewhere.recursion(requests, p_min)
        seconds = now() - started
        differ, gap = compare(founds, usual, p_min)
        replies = sum(map(len, usual))
        note = f"{len(requests)} prompts, {replies} replies, {differ} not in both, gap {gap:.1e} nats"
        rows.append(Row(f"parity: search at {p_min}", Seconds((seconds,)), Seconds((ours,)), 0, note))
        for (prompt, adapter), found in zip(requests, founds, strict=True):
            readings += [(prompt.tokens, reply.tokens, adapter) for reply in found.replies]
            found_nats += [reply.logprob for reply in found.replies]
    started = now()
    scored = bench.sampler.score(readings, Deadline.after(FAR))
    ours, started = now() - started, now()
    plain = bench.elsewhere.read(readings)
    seconds = now() - started
    gap = max([abs(a - b) for a, b in zip(scored, plain, strict=True) if a is not None] or [0.0])
    note = f"{len(readings)} readings, {scored.count(None)} missing, gap {gap:.1e} nats"
    return [*rows, Row("parity: scoring", Seconds((seconds,)), Seconds((ours,)), 0, note)]


def compare(
    founds: Sequence[threshold_search.SearchResult], usual: Sequence[dict[tuple[int, ...], float]], p_min: float
) -> Any:
    """(replies that only one found, but for those within `EDGE` of p_min; largest difference in nats)."""
    import math

    differ, gap = 0, 0.0
    for found, expected in zip(founds, usual, strict=True):
        mine = {r.tokens: r.logprob for r in found.replies}
        differ += sum(abs((mine | expected)[r] - math.log(p_min)) > EDGE for r in mine.keys() ^ expected.keys())
        gap = max([gap, *(abs(mine[r] - expected[r]) for r in mine.keys() & expected.keys())])
    return differ, gap


def searching(bench: Bench) -> Iterator[Row]:
    """Search against the recursion, (a) one prompt at a time and (b) four of one length at a time."""
    options = bench.options
    requests = bench.requests(options.tasks, options.views)
    fours = in_fours(requests)

    def recursively() -> list[Any]:
        found: list[Any] = bench.elsewhere.recursion(requests, p_min)
        return found

    def four_at_a_time() -> list[Any]:
        found: list[Any] = bench.elsewhere.by_fours(requests, fours, p_min)
        return found

    def ours() -> Any:
        return threshold_search.search(requests, bench.sampler, Deadline.after(FAR), p_min, GRID)

    for p_min in options.p_min:
        for name, usual, goal in (("(a) recursion", recursively, 5.0), ("(b) by fours", four_at_a_time, 2.5)):
            usual_seconds, own_seconds, expected, founds = bench.paired(usual, ours)
            differ, gap = compare(founds, expected, p_min)
            asked = sum(f.asked for f in founds)
            note = f"{len(requests)} prompts, {sum(map(len, expected))} replies, {asked} requests, {differ} not in both"
            note += f", gap {gap:.1e} nats"
            yield Row(f"search at {p_min} {name}", usual_seconds, own_seconds, goal, note)


def in_fours(requests: Sequence[tuple[Prompt, Adapter]]) -> list[list[int]]:
    """Places of requests of one adapter and one prompt length, four at most in a group."""
    groups: dict[tuple[str, int], list[int]] = {}
    for at, (prompt, adapter) in enumerate(requests):
        groups.setdefault((adapter.name, len(prompt.tokens)), []).append(at)
    return [members[i : i + 4] for members in groups.values() for i in range(0, len(members), 4)]


def greedy(bench: Bench) -> list[Row]:
    """One greedy reply a view, each task with its own adapter, against (c) generate and set_adapter."""
    requests = bench.requests(bench.options.tasks, bench.options.views)
    usual, ours, expected, replies = bench.paired(
        lambda: bench.elsewhere.generated(requests),
        lambda: bench.sampler.sample(requests, Deadline.after(FAR)),
    )
    equal = sum(reply is not None and reply.tokens == e for reply, e in zip(replies, expected, strict=True))
    tokens = sum(len(reply.tokens) for reply in replies if reply)
    note = f"{equal} of {len(requests)} replies equal, {tokens} tokens"
    return [Row("greedy views (c) generate + set_adapter", usual, ours, 2.0, note)]


def scoring(bench: Bench) -> list[Row]:
    """Candidates under views against one forward a pair; cold, and as it comes after sampling, the prompts cached."""
    options = bench.options
    readings = []
    for task in bench.tasks[: options.tasks]:
        shape = task.demonstrations[0].output
        grids = [(shape + number) % 10 for number in range(options.candidates)]
        for prompt in views_of(task, options.scoring_views):
            for grid in grids:
                shown = encode(views.apply(prompt.view, grid.astype("uint8")), OUTPUT).tolist()
                readings.append((prompt.tokens, (*shown, END), bench.adapters[task.id]))

    def ours() -> Any:
        return bench.sampler.score(readings, Deadline.after(FAR))

    usual, cold, expected, nats = bench.paired(lambda: bench.elsewhere.read(readings), ours)
    warm = []
    for _ in usual.wall:
        started = now()
        ours()
        warm.append(now() - started)
    gap = max(abs(a - b) for a, b in zip(expected, nats, strict=True))
    tokens = sum(len(p) + len(r) for p, r, _ in readings)
    note = f"{len(readings)} readings, {tokens} tokens one by one, gap {gap:.1e} nats"
    return [
        Row("scoring, one forward a pair", usual, cold, 2.5, note),
        Row(
            "scoring, the prompts cached",
            Seconds(usual.wall),
            Seconds(tuple(warm)),
            2.5,
            "as after sampling the same views",
        ),
    ]


def training(bench: Bench) -> Iterator[Row]:
    """Adapters one after another against (d) transformers' Trainer, also where that is given the factored loss.

    Same examples, batches, start and rates on both sides. The Trainer's base model is loaded once for all tasks of a
    run, within the measured time (a fifth of a second); ours before.
    """
    from tests.bench import baselines

    sets = [bench.examples(task) for task in bench.tasks[: bench.options.tasks]]
    batch = max(1, round(bench.recipe.tokens / statistics.mean(e.tokens.size for examples in sets for e in examples)))
    steps = min(bench.recipe.steps, min(map(len, sets)) // batch)
    recipe = replace(bench.recipe, steps=steps, tokens=10**9)
    grouped = [examples[: batch * steps] for examples in sets]
    for name, factored in (("", False), (" with the factored loss", True)):
        usual, ours, (tokens, theirs), losses = bench.paired(
            lambda factored=factored: baselines.hugging_face_trainer(  # type: ignore[misc]
                checkpoint.SHIPPED, recipe, grouped, batch, bench.directory, factored
            ),
            lambda: trained(bench, recipe, grouped, batch),
        )
        gaps = [abs(a - b) for one, other in zip(theirs, losses, strict=True) for a, b in zip(one, other, strict=True)]
        note = f"{len(sets)} tasks × {steps} steps of {batch} examples, {tokens / statistics.median(ours.wall):.0f} "
        note += f"tokens/s; losses differ by {statistics.mean(gaps):.4f} nats on average, {max(gaps):.4f} at most"
        yield Row(f"training (d) Hugging Face Trainer{name}", usual, ours, 2.0, note)


def trained(bench: Bench, recipe: Any, grouped: Sequence[Sequence[Any]], batch: int) -> list[tuple[float, ...]]:
    """The losses of our adapters, on batches of as many examples: the budget is lifted, the batches are given."""
    from solver.training import trainer as module

    kept, bench.trainer.recipe = module.batches, recipe

    def given(examples: Any, *_: Any, **__: Any) -> Any:
        return (examples[i : i + batch] for i in range(0, len(examples), batch))

    module.batches = given
    try:
        return [
            bench.trainer.train(TrainJob(f"bench-{n}", examples, 0), Deadline.after(FAR)).losses
            for n, examples in enumerate(grouped)
        ]
    finally:
        module.batches, bench.trainer.recipe = kept, bench.recipe


def side_by_side(bench: Bench) -> list[Row]:
    """The adapters of all tasks in one batch against one after another, on our trainer."""
    from solver.training.trainer import LoraTrainer
    from solver.types import TrainJob

    count = bench.options.tasks
    trainers = [
        LoraTrainer(checkpoint.SHIPPED, replace(bench.recipe, adapters_per_batch=n), bench.directory, 4096)
        for n in (1, count)
    ]
    jobs = [TrainJob(f"side-{task.id}", bench.examples(task), 0) for task in bench.tasks[:count]]

    def run(which: int) -> list[tuple[float, ...]]:
        return [report.losses for report in trainers[which].train_together(jobs, Deadline.after(FAR))]

    usual, ours, one_by_one, together = bench.paired(lambda: run(0), lambda: run(1))
    gaps = [abs(a - b) for x, y in zip(one_by_one, together, strict=True) for a, b in zip(x, y, strict=True)]
    note = f"{count} tasks × {bench.recipe.steps} steps, losses differ by {max(gaps):.4f} nats at most"
    return [Row("side by side, our trainer", usual, ours, 1.0, note)]
