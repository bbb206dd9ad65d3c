"""`python -m solver programs`: solve a set of tasks by programs alone.

`programs bench` measures the search, `programs uses FILE ...` says which tasks each primitive helped to solve.
"""

import argparse
import inspect
import math
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from solver.analysis.scoring import wilson
from solver.analysis.solutions import read_solutions
from solver.clock import Deadline, now
from solver.data import tasks, views
from solver.programs import batch, bench
from solver.programs.primitives.registry import INPUT_COLOURED, JOINS, OUTPUT_COLOURED, SPLITS, UNARY, Primitive
from solver.programs.search import operators
from solver.runtime.machines import executor
from solver.types import BadInput, Task, View

BENCH_TASKS = ("1cf80156", "3c9b0459", "ce22a75a", "67a3c6ac")  # of ARC-AGI-1 training, small to middling
SHOWN = 3  # tasks named for each primitive
TABLES: Mapping[str, Mapping[str, Primitive[Any]]] = {
    "grid → grid": UNARY,
    "grid, colour of the input → grid": INPUT_COLOURED,
    "grid, colour of the output → grid": OUTPUT_COLOURED,
    "grid → parts": SPLITS,
    "parts → grid": JOINS,
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line. Raises `BadInput` for a number that is none here, and where `uses` has no file to read."""
    parser = argparse.ArgumentParser(prog="python -m solver programs", description="Solve tasks by programs alone.")
    parser.add_argument("what", nargs="?", help="an embedded set, such as arc1-training; or: bench, uses")
    parser.add_argument("files", nargs="*", type=Path, help="uses: files that --output wrote")
    parser.add_argument("--challenges", type=Path, help="Kaggle's challenges JSON or a folder of ARC task files")
    parser.add_argument("--solutions", type=Path, help="Kaggle's solutions JSON, read once all tasks are answered")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each task (bench: and each way), on one core")
    parser.add_argument("--nodes", type=int, default=200_000, help="uses of a primitive for each task")
    parser.add_argument("--workers", type=int, default=2, help="processes, one core each")
    parser.add_argument("--cluster", metavar="ADDRESS", help="search on the cores of a Ray cluster, as in a run")
    parser.add_argument("--limit", type=int, help="only the first N tasks")
    parser.add_argument("--task-ids", nargs="*", help="only these tasks")
    parser.add_argument("--view", type=int, default=0, metavar="0-7", help="tasks turned or mirrored; 0: as they are")
    parser.add_argument("--output", type=Path, help="JSON lines, one a task; an unfinished file is gone on with")
    parser.add_argument("--shorter", type=Path, metavar="FILE", help="a run with fewer seconds: what it ended, stays")
    options = parser.parse_args(argv)
    for name in ("workers", "nodes", "limit"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise BadInput(f"--{name} {value}: expected at least 1")
    if not 0 <= options.view < views.DIHEDRALS:
        raise BadInput(f"--view {options.view}: expected 0 to {views.DIHEDRALS - 1}")
    if not 0 < options.seconds < math.inf:
        raise BadInput(f"--seconds {options.seconds:g}: expected a number above 0")
    if options.what == "uses" and not options.files:
        raise BadInput("uses: expected files that --output wrote; name at least one")
    if options.what != "uses" and options.files:
        raise BadInput(f"{options.files[0]} came after {options.what}: only uses takes files; leave it out")
    return options


def main(argv: Sequence[str]) -> int:
    """Run the command; exit status 2 and one line where the input is wrong."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process has one core: each worker's numpy reads it when it is loaded
    try:
        options = parse(argv)
        if options.what == "bench":
            return _bench(options.seconds)
        if options.what == "uses":
            print(uses_table(used(options.files)))
            return 0
        return _solve(options)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def main_of_bench(argv: Sequence[str]) -> int:
    """Measure the search for programs against a naive enumerator. The same as programs bench."""
    parser = argparse.ArgumentParser(prog="python -m solver bench", description=main_of_bench.__doc__)
    parser.add_argument("--seconds", default="10", metavar="S", help="for each task and each way, on one core")
    return main(["bench", "--seconds", parser.parse_args(argv).seconds])


def _solve(options: argparse.Namespace) -> int:
    if (options.what is None) == (options.challenges is None):
        raise BadInput("expected an embedded set or --challenges FILE, and not both; name one of them")
    given = tasks.load_split(options.what) if options.what else tasks.load_challenges(options.challenges)
    chosen = tasks.select(given, options.task_ids, options.limit)
    settings = batch.BatchSettings(chosen.name, options.seconds, options.nodes, given.sha256, options.view)
    view = View(options.view)
    seen = [views.apply_task(view, task) for task in chosen.tasks]
    start = now()
    failed: list[str] = []

    def tell(line: batch.Line) -> None:
        print(f"{line.task} {line.seconds:6.1f} s  {line.programs[0][:90] if line.programs else '–'}", flush=True)

    def lost(task_id: str, error: Exception) -> None:
        failed.append(task_id)
        print(f"error: the search for {task_id} failed ({type(error).__name__}: {error})", file=sys.stderr)

    known = batch.ended(options.shorter, settings) if options.shorter else {}
    pool = executor(options.cluster) if options.cluster else batch.processes(options.workers)
    lines = batch.run(seen, settings, pool, options.output, tell, known, lost)
    source = options.what or options.solutions
    right = read_solutions(source) if source else {}
    outputs = {name: [views.apply(view, g) for g in grids] for name, grids in right.items()}
    lines = {name: batch.score(line, outputs.get(name, ())) for name, line in lines.items()}
    if options.output:
        answered = {task_id: line for task_id, line in lines.items() if task_id not in failed}
        batch.write(options.output, settings, {**batch.read(options.output, settings), **answered}.values())
    _total(lines, len(chosen.tests), now() - start)
    return 1 if failed else 0


def _total(lines: Mapping[str, batch.Line], count: int, seconds: float) -> None:
    answered = sum(line.found > 0 for line in lines.values())
    spent = sum(line.seconds for line in lines.values())
    print(f"{answered} of {count} tasks answered, {spent:.0f} s of one core in all, {seconds:.0f} s in this run")
    known = [line.solved for line in lines.values() if line.solved is not None]
    if known:
        share = sum(known) / count
        low, high = wilson(share, count)
        interval = f"95 % interval {100 * low:.1f} to {100 * high:.1f} %"
        print(f"{sum(known)} of {count} solved (pass@2 {100 * share:.1f} %, {interval})")


def _bench(seconds: float) -> int:
    chosen = tasks.select(tasks.load_split("arc1-training"), BENCH_TASKS, None).tasks
    print(f"programs of up to {bench.STEPS} steps, on all demonstrations and test inputs")
    mean = geometric_mean(_compared(task, seconds) for task in chosen)
    print(f"geometric mean: {mean:.0f} times the naive enumerator's programs a second")
    return 0


def _compared(task: Task, seconds: float) -> float:
    """Print one task's two rates; the ratio of the second to the first."""
    slow, _ = bench.naive(task, bench.drawn(task, 1_000_000 // 10, 0), Deadline.after(seconds), now)
    fast, _ = bench.shared(task, bench.STEPS, Deadline.after(seconds), now)
    agree = "the same outcomes" if bench.same_outcomes(task, Deadline.after(60), now) else "OUTCOMES DIFFER"
    ratio = fast.per_second / slow.per_second
    print(
        f"{task.id}: {len(operators(task).unary)} primitives; naive {slow.programs} programs in {slow.seconds:.1f} s "
        f"({slow.per_second:.0f}/s), shared {fast.programs} in {fast.seconds:.1f} s ({fast.per_second:.0f}/s, "
        f"{fast.outcomes} outcomes), {ratio:.0f} times; {agree}"
    )
    return ratio


def primitive_names() -> list[str]:
    """Every primitive, by type and name."""
    return [name for table in TABLES.values() for name in sorted(table)]


def used(files: Sequence[Path]) -> dict[str, list[str]]:
    """The tasks each primitive helped to solve, from files of results: those an attempt that solved them uses it in.

    A task that was seen turned or mirrored has its view after an @; those that were not come first.
    """
    helped: defaultdict[str, set[str]] = defaultdict(set)
    for path in files:
        view, lines = batch.every(path)
        for line in lines:
            for primitives, right in zip(line.primitives, line.right, strict=False):
                for name in primitives if line.solved and right else ():
                    helped[name].add(f"{line.task}@{view}" if view else line.task)
    return {name: sorted(helped[name], key=lambda task: ("@" in task, task)) for name in primitive_names()}


def uses_table(helped: Mapping[str, Sequence[str]]) -> str:
    """As Markdown, a line a primitive: name, type, what it does, how many tasks (none: it is dead), some of them."""
    lines = ["| primitive | type | what it gives | tasks | such as |", "|---|---|---|---|---|"]
    for kind, table in TABLES.items():
        for name, primitive in sorted(table.items()):
            ids = helped.get(name, ())
            doc = " ".join((inspect.getdoc(primitive.run) or "").split())
            lines.append(f"| `{name}` | {kind} | {doc} | {len(ids)} | {' '.join(ids[:SHOWN]) or '–'} |")
    return "\n".join(lines)
