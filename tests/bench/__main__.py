"""`python -m tests.bench`: the engine's work against the usual ways, medians of paired runs; and the `gauges`.

    python -m tests.bench                                    # everything, as it is meant to be reported
    python -m tests.bench --runs 1 --tasks 2 --views 2 --prompts 2 --steps 2 --limit 400     # a quick look
    python -m tests.bench --only votes report                # the gauges alone: no model, half a minute
    python -m tests.bench --only parity --prompts 30         # the same replies as the recursion's, in float32

Run it with nothing else on the machine. Ours starts every run with an empty prefix cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from solver import augment, checkpoint, formats, pipeline, search, tasks
from solver.clock import Deadline, now
from solver.config import EngineSettings, TrainRecipe
from solver.core import Adapter, Prompt, Task
from solver.examples import leave_one_out
from tests.bench import gauges

WHAT = ("parity", "search", "greedy", "scoring", "training", *gauges.GAUGES)
FAR = 24 * 3600.0  # seconds: no deadline
EDGE = 1e-3  # nats around p_min within which two arithmetics may disagree on what is found


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of the usual way and of ours, run by run, and what was found to be equal or not."""

    name: str
    usual: tuple[float, ...]
    ours: tuple[float, ...]
    goal: float
    note: str = ""

    def line(self) -> str:
        """As a row of the table; the ratio is the median of the runs' ratios."""
        ratios = [a / b for a, b in zip(self.usual, self.ours, strict=True)]
        a, b, ratio = (statistics.median(values) for values in (self.usual, self.ours, ratios))
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        return f"| {self.name} | {a:.2f} | {b:.2f} | {ratio:.2f} ({spread}) | {self.goal} | {self.note} |"


class Bench:
    """The engine, the trainer, the tasks with their adapters, and transformers with the same adapters."""

    def __init__(self, options: argparse.Namespace, directory: Path):
        from solver.sampler import VllmSampler

        self.options, self.directory = options, directory
        only_parity = options.only == ["parity"]
        count = options.adapters if only_parity else max(options.tasks, options.adapters)
        dtype = "float32" if only_parity else options.dtype
        settings = EngineSettings(context=4096, dtype=dtype, adapters=max(4, count), threads=options.threads)
        self.sampler = VllmSampler(checkpoint.SHIPPED, settings, formats.END)
        import torch

        from solver.trainer import LoraTrainer
        from tests.bench.baselines import Peft

        torch.manual_seed(0)
        self.recipe = TrainRecipe(steps=options.steps)
        self.trainer = LoraTrainer(checkpoint.SHIPPED, self.recipe, directory, settings.context)
        self.tasks = chosen(options.split, count, options.limit)
        self.adapters: dict[str, Adapter] = {}
        for task in self.tasks:
            adapter = self.trainer.train(task.id, self.examples(task), 0, Deadline.after(FAR)).adapter
            assert adapter is not None
            self.adapters[task.id] = adapter
        self.peft = Peft(checkpoint.SHIPPED, list(self.adapters.values()), getattr(torch, dtype))

    def examples(self, task: Task) -> list[Any]:
        """A task's training examples."""
        return leave_one_out(task, 250, 0, 2048)

    def paired(self, usual: Callable[[], Any], ours: Callable[[], Any]) -> tuple[list[float], list[float], Any, Any]:
        """Seconds of both, run by run, now the one first and now the other; and what each gave last."""
        seconds: tuple[list[float], list[float]] = ([], [])
        results: list[Any] = [None, None]
        for run in range(-1, self.options.runs):  # the first, which warms both up, does not count
            for which in (0, 1) if run % 2 == 0 else (1, 0):
                self.sampler.llm.reset_prefix_cache()
                started = now()
                results[which] = (usual, ours)[which]()
                if run >= 0:
                    seconds[which].append(now() - started)
        return *seconds, *results

    def requests(self, count: int, views: int) -> list[tuple[Prompt, Adapter]]:
        """The first `count` tasks under so many views, each with its own adapter."""
        return [(prompt, self.adapters[t.id]) for t in self.tasks[:count] for prompt in views_of(t, views)]


def chosen(split: str, count: int, limit: int) -> list[Task]:
    """Tasks whose first test input makes a prompt of at most `limit` tokens, spread evenly over the split."""
    fitting = [t for t in tasks.load_split(split).tasks if len(views_of(t, 1)[0].tokens) <= limit]
    if len(fitting) < count:
        sys.exit(f"{len(fitting)} tasks of {split} have prompts of at most {limit} tokens: expected {count}")
    return [fitting[i * len(fitting) // count] for i in range(count)]


def views_of(task: Task, count: int) -> list[Prompt]:
    """Prompts for a task's first test input under its first views, as the pipeline makes them."""
    shown = Task(task.id, task.demonstrations, task.tests[:1])
    made = []
    for view in augment.views(shown, count, 0, "views 0"):
        seen = augment.apply_task(view, shown)
        tokens = tuple(formats.encode_prompt(seen.demonstrations, seen.tests[0]).tolist())
        made.append(Prompt(task.id, 0, view, tokens, pipeline.expected_reply(task.demonstrations, task.tests[0])))
    return made


def parity(bench: Bench) -> list[Row]:
    """Whether search and recursion find the same replies, and scoring and a plain forward the same nats."""
    from tests.bench import baselines

    count, prompts = bench.options.adapters, bench.options.prompts
    requests = bench.requests(count, -(-prompts // count))[:prompts]
    rows, found_nats, readings = [], [], []
    for p_min in bench.options.p_min:
        started = now()
        founds = search.search(requests, bench.sampler, Deadline.after(FAR), p_min)
        ours, started = now() - started, now()
        usual = [baselines.recursion(bench.peft.use(a), p, p_min) for p, a in requests]
        seconds = now() - started
        differ, gap = compare(founds, usual, p_min)
        replies = sum(map(len, usual))
        note = f"{len(requests)} prompts, {replies} replies, {differ} not in both, gap {gap:.1e} nats"
        rows.append(Row(f"parity: search at {p_min}", (seconds,), (ours,), 0, note))
        for (prompt, adapter), found in zip(requests, founds, strict=True):
            readings += [(prompt.tokens, reply.tokens, adapter) for reply in found.replies]
            found_nats += [reply.logprob for reply in found.replies]
    scored = bench.sampler.score(readings, Deadline.after(FAR))
    plain = baselines.read_one_by_one(bench.peft, readings)
    gap = max([abs(a - b) for a, b in zip(scored, plain, strict=True) if a is not None] or [0.0])
    note = f"{len(readings)} readings, {scored.count(None)} missing, gap {gap:.1e} nats"
    return [*rows, Row("parity: scoring", (1.0,), (1.0,), 0, note)]


def compare(founds: Sequence[search.Found], usual: Sequence[dict[tuple[int, ...], float]], p_min: float) -> Any:
    """(replies that only one found, but for those within `EDGE` of p_min; largest difference in nats)."""
    import math

    differ, gap = 0, 0.0
    for found, expected in zip(founds, usual, strict=True):
        mine = {r.tokens: r.logprob for r in found.replies}
        differ += sum(abs((mine | expected)[r] - math.log(p_min)) > EDGE for r in mine.keys() ^ expected.keys())
        gap = max([gap, *(abs(mine[r] - expected[r]) for r in mine.keys() & expected.keys())])
    return differ, gap


def searching(bench: Bench) -> list[Row]:
    """Search against the recursion, (a) one prompt at a time and (b) four of one length at a time."""
    from tests.bench import baselines

    options, rows = bench.options, []
    requests = bench.requests(options.tasks, options.views)
    fours = in_fours(requests)

    def recursively() -> list[Any]:
        return [baselines.recursion(bench.peft.use(adapter), prompt, p_min) for prompt, adapter in requests]

    def four_at_a_time() -> list[Any]:
        found: list[Any] = [None] * len(requests)
        for four in fours:
            model = bench.peft.use(requests[four[0]][1])
            for at, one in zip(four, baselines.batched(model, [requests[at][0] for at in four], p_min), strict=True):
                found[at] = one
        return found

    def ours() -> Any:
        return search.search(requests, bench.sampler, Deadline.after(FAR), p_min)

    for p_min in options.p_min:
        for name, usual, goal in (("(a) recursion", recursively, 5.0), ("(b) by fours", four_at_a_time, 2.5)):
            usual_seconds, own_seconds, expected, founds = bench.paired(usual, ours)
            differ, gap = compare(founds, expected, p_min)
            asked = sum(f.asked for f in founds)
            note = f"{len(requests)} prompts, {sum(map(len, expected))} replies, {asked} requests, {differ} not in both"
            note += f", gap {gap:.1e} nats"
            rows.append(Row(f"search at {p_min} {name}", tuple(usual_seconds), tuple(own_seconds), goal, note))
    return rows


def in_fours(requests: Sequence[tuple[Prompt, Adapter]]) -> list[list[int]]:
    """Places of requests of one adapter and one prompt length, four at most in a group."""
    groups: dict[tuple[str, int], list[int]] = {}
    for at, (prompt, adapter) in enumerate(requests):
        groups.setdefault((adapter.name, len(prompt.tokens)), []).append(at)
    return [members[i : i + 4] for members in groups.values() for i in range(0, len(members), 4)]


def greedy(bench: Bench) -> list[Row]:
    """One greedy reply a view, each task with its own adapter, against (c) generate and set_adapter."""
    from tests.bench import baselines

    requests = bench.requests(bench.options.tasks, bench.options.views)
    usual, ours, expected, replies = bench.paired(
        lambda: baselines.generated(bench.peft, requests),
        lambda: bench.sampler.sample(requests, Deadline.after(FAR)),
    )
    equal = sum(reply is not None and reply.tokens == e for reply, e in zip(replies, expected, strict=True))
    tokens = sum(len(reply.tokens) for reply in replies if reply)
    note = f"{equal} of {len(requests)} replies equal, {tokens} tokens"
    return [Row("greedy views (c) generate + set_adapter", tuple(usual), tuple(ours), 2.0, note)]


def scoring(bench: Bench) -> list[Row]:
    """Candidates under views against one forward a pair; cold, and as it comes after sampling, the prompts cached."""
    from tests.bench import baselines

    options = bench.options
    readings = []
    for task in bench.tasks[: options.tasks]:
        shape = task.demonstrations[0].output
        grids = [(shape + number) % 10 for number in range(options.candidates)]
        for prompt in views_of(task, options.scoring_views):
            for grid in grids:
                shown = formats.encode(augment.apply(prompt.view, grid.astype("uint8")), formats.OUTPUT).tolist()
                readings.append((prompt.tokens, (*shown, formats.END), bench.adapters[task.id]))

    def ours() -> Any:
        return bench.sampler.score(readings, Deadline.after(FAR))

    usual, cold, expected, nats = bench.paired(lambda: baselines.read_one_by_one(bench.peft, readings), ours)
    warm = []
    for _ in usual:
        started = now()
        ours()
        warm.append(now() - started)
    gap = max(abs(a - b) for a, b in zip(expected, nats, strict=True))
    tokens = sum(len(p) + len(r) for p, r, _ in readings)
    note = f"{len(readings)} readings, {tokens} tokens one by one, gap {gap:.1e} nats"
    return [
        Row("scoring, one forward a pair", tuple(usual), tuple(cold), 2.5, note),
        Row("scoring, the prompts cached", tuple(usual), tuple(warm), 2.5, "as after sampling the same views"),
    ]


def training(bench: Bench) -> list[Row]:
    """Adapters one after another against (d) transformers' Trainer; seconds are per 1,000 tokens trained on."""
    from tests.bench import baselines

    sets = [bench.examples(task) for task in bench.tasks[: bench.options.tasks]]
    mean = statistics.mean(e.tokens.size for examples in sets for e in examples)
    batch = max(1, round(bench.recipe.tokens / mean))
    steps = min(bench.recipe.steps, min(map(len, sets)) // batch)
    bench.trainer.recipe = recipe = replace(bench.recipe, steps=steps, tokens=10**9)
    grouped = [examples[: batch * steps] for examples in sets]

    def ours() -> Any:
        """As many steps on batches of as many examples: the recipe's token budget is lifted, the batches are given."""
        from solver import trainer as module

        kept = module.batches
        module.batches = lambda examples, _, __: (examples[i : i + batch] for i in range(0, len(examples), batch))
        try:
            return [
                bench.trainer.train(f"bench-{n}", examples, 0, Deadline.after(FAR)).losses
                for n, examples in enumerate(grouped)
            ]
        finally:
            module.batches = kept

    def usual() -> Any:
        return baselines.hugging_face_trainer(checkpoint.SHIPPED, recipe, grouped, batch, bench.directory)

    usual_seconds, own_seconds, (tokens, theirs), losses = bench.paired(usual, ours)
    last = [statistics.mean(curve[-1] for curve in curves) for curves in (theirs, losses)]
    note = (
        f"{len(sets)} tasks × {steps} steps of {batch} examples, {tokens / statistics.median(own_seconds):.0f} tokens/s"
    )
    note += f", mean last loss {last[0]:.3f} and {last[1]:.3f}"
    return [Row("training (d) Hugging Face Trainer", tuple(usual_seconds), tuple(own_seconds), 2.0, note)]


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "parity": parity,
    "search": searching,
    "greedy": greedy,
    "scoring": scoring,
    "training": training,
}


def main(argv: list[str]) -> int:
    """Run the comparisons and the gauges, and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=WHAT, default=list(WHAT[1:]), help="parity alone is in float32")
    parser.add_argument("--runs", type=int, default=5, help="paired runs a comparison")
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--views", type=int, default=16, help="views a task")
    parser.add_argument("--prompts", type=int, default=30, help="prompts of the parity check")
    parser.add_argument("--adapters", type=int, default=3, help="adapters of the parity check")
    parser.add_argument("--candidates", type=int, default=5, help="candidates a task that are scored")
    parser.add_argument("--scoring-views", type=int, default=8)
    parser.add_argument("--p-min", type=float, nargs="+", default=[0.2, 0.09, 0.02])
    parser.add_argument("--steps", type=int, default=12, help="training steps a task")
    parser.add_argument("--limit", type=int, default=1500, help="tokens of the longest prompt")
    parser.add_argument("--split", default="arc1-evaluation")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON instead")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as directory:
        compared = [PARTS[name] for name in options.only if name in PARTS]
        bench = Bench(options, Path(directory)) if compared else None
        rows = [row for part in compared for row in part(bench)]
        wanted = [gauges.GAUGES[name] for name in options.only if name in gauges.GAUGES]
        measured = [gauge for part in wanted for gauge in part(Path(directory))]
    if options.json:
        values = [{"name": r.name, "usual": r.usual, "ours": r.ours, "note": r.note} for r in rows]
        print(json.dumps(values + [asdict(gauge) for gauge in measured]))
    else:
        told(rows, measured)
    return 0


def told(rows: Sequence[Row], measured: Sequence[gauges.Gauge]) -> None:
    """Print a table of each kind that has rows."""
    if rows:
        print("| what | usual, s | ours, s | times faster (lowest to highest) | goal | |\n|---|---|---|---|---|---|")
        print("\n".join(row.line() for row in rows))
    if measured:
        print("| what | measured | goal | |\n|---|---|---|---|")
        print("\n".join(gauge.line() for gauge in measured))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
