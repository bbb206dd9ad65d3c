"""`python -m tests.bench.overhead`: what scheduler, pool, record, clock and resumability cost against the plain loop.

The same tasks, examples, steps and views twice, on one worker without a time limit that presses: once through
`submission.py`'s whole machinery, once as a loop in one process over `pipeline.solve_batch` that writes the file last.
Both files must be equal, byte for byte. Prints the wall seconds of each pair of runs and the overhead's share.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from solver.analysis.scoring import scored
from solver.analysis.solutions import read_solutions

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 12 * 3600.0  # seconds: none of the two is ever in a hurry


def planned(limit: int, steps: int, output: Path):
    """The run both make: the dry run's first tasks, one worker, no refinement."""
    from solver.cli import parse
    from solver.runtime.prepare import prepare

    flags = ["--limit", str(limit), "--steps", str(steps), "--devices", "cpu:1", "--output", str(output)]
    plan = prepare(parse([*flags, "--time-limit", str(LIMIT)]), read_solutions)
    return replace(plan, config=replace(plan.config, refinement_stages=0))


def machinery(plan) -> None:
    """As `submission.py` runs it."""
    from solver.clock import Deadline
    from solver.runtime.run import Run

    assert Run(plan, Deadline.after(LIMIT), scored).execute() == 0


def plain(plan) -> None:
    """One process, one loop: every group of tasks, one after another; the vote and the file come at the end."""
    os.environ.update(plan.devices[0].environment)  # before torch is imported
    from solver.batch import Batch, Models
    from solver.clock import Deadline
    from solver.pipeline import solve_batch
    from solver.runtime import submission_file
    from solver.runtime.load_models import load_models
    from solver.runtime.phases import size_of
    from solver.runtime.placeholders import placeholders_for
    from solver.tokens.grid import GRID
    from solver.types import ADAPTER, BASE
    from solver.voting.candidates import Ledger

    config, tasks = plan.config, list(plan.task_set.tasks)
    tasks.sort(key=lambda task: (size_of(task, config.engine.context, GRID), task.id))
    groups = [tasks[at : at + config.group] for at in range(0, len(tasks), config.group)][::-1]
    placeholders = placeholders_for(plan.task_set)
    ledger = Ledger(tasks, placeholders, config.rule)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        trainer, sampler, config = load_models(plan.checkpoint.path, config, Path(scratch))
        for number in (BASE, ADAPTER):
            for group in groups:
                seconds = dict.fromkeys((task.id for task in group), LIMIT)
                batch, models = Batch(number, tuple(group), seconds), Models(trainer, sampler, GRID, config)
                for result in solve_batch(batch, models, Deadline.after(LIMIT)):
                    ledger.add(result.task_id, number, result.candidates)
    file = submission_file.AnswerFile(plan.output, plan.task_set.tests)
    file.start(placeholders | {task.id: ledger.standing(task.id).attempts for task in tasks})
    file.flush()


def main(argv: list[str]) -> int:
    """Time both in turn, `--pairs` times; with `--only`, be one of the two."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.overhead", description=__doc__)
    parser.add_argument("--limit", type=int, default=8, help="tasks of the dry run")
    parser.add_argument("--steps", type=int, default=24, help="training steps a task")
    parser.add_argument("--pairs", type=int, default=1, help="times each is run")
    parser.add_argument("--only", choices=("machinery", "plain"), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.only:
        plan = planned(options.limit, options.steps, options.output)
        {"machinery": machinery, "plain": plain}[options.only](plan)
        return 0
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(options.pairs):
            spent, files = {}, {}
            for kind in ("plain", "machinery") if pair % 2 else ("machinery", "plain"):
                files[kind] = Path(folder) / f"{kind}{pair}.json"
                given = ["--limit", str(options.limit), "--steps", str(options.steps), "--output", str(files[kind])]
                before = time.perf_counter()
                command = [sys.executable, "-m", "tests.bench.overhead", "--only", kind, *given]
                subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                spent[kind] = time.perf_counter() - before
            same = filecmp.cmp(files["plain"], files["machinery"], shallow=False)
            shares.append(spent["machinery"] / spent["plain"] - 1)
            print(
                f"machinery {spent['machinery']:.1f} s, plain loop {spent['plain']:.1f} s, overhead {shares[-1]:.1%}, "
                f"files {'equal' if same else 'DIFFER'}"
            )
            assert same
    print(f"median overhead {median(shares):.1%} of the plain loop's time")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
