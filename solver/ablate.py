"""`python -m solver.ablate`: the same tasks under several variants of the method, side by side.

Takes `submission.py`'s flags and `--variants`; every variant is a whole run with its own file, record and time limit.
Knows nothing of models. Law: variants differ in what their name says and in nothing else, the seed included.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from solver import evaluate
from solver.cli import parser, prepare, validated
from solver.clock import Deadline, now
from solver.config import Config
from solver.evaluate import mcnemar
from solver.run import Run
from solver.tasks import BadInput

UNHURRIED = 12 * 3600.0  # seconds a variant may take where no --time-limit says otherwise: none is cut short

VARIANTS: Mapping[str, Callable[[Config], Config]] = {
    "full": lambda c: c,
    "no-ttt": lambda c: replace(c, train_share=0.0, train=replace(c.train, steps=0)),
}


@dataclass(frozen=True)
class Row:
    """One variant's result: which outputs were solved, in order, and the minutes it took."""

    name: str
    scores: evaluate.Scores
    solved: tuple[bool, ...]
    minutes: float


def table(rows: list[Row]) -> str:
    """The rows as Markdown, each compared with the first."""
    lines = ["| variant | outputs solved | pass@2 | 95 % interval | pass@1 | minutes | p against the first |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in rows:
        s, p = row.scores, mcnemar(rows[0].solved, row.solved)
        lines.append(
            f"| {row.name} | {s.outputs_solved} of {s.outputs} | {s.score:.1%} | {s.low:.1%} to {s.high:.1%} "
            f"| {s.pass_at_1:.1%} | {row.minutes:.1f} | {'' if row is rows[0] else f'{p:.3f}'} |"
        )
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Run the variants one after another and print the table, also written beside the runs."""
    made = parser()
    made.prog = "-m solver.ablate"
    made.description = "Variants of the method over the same tasks; only the folder of --output counts."
    made.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="what to compare")
    options = validated(made, argv)
    options.time_limit = options.time_limit or UNHURRIED
    rows = []
    for name in options.variants:
        options.output = Path(options.output).with_name(f"{name}.json")
        try:
            plan = prepare(options)
            plan = replace(plan, config=VARIANTS[name](plan.config))
        except BadInput as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        if plan.solutions is None:
            print("error: nothing to score with: expected --split, or --challenges with --solutions", file=sys.stderr)
            return 2
        print(f"== {name}")
        started = now()
        if status := Run(plan, Deadline.after(plan.config.time_limit)).execute():
            return status
        minutes, known = (now() - started) / 60, plan.solutions()
        written = json.loads(plan.output.read_text())
        right = {i: known[i] for i in plan.task_set.tests}
        rows.append(Row(name, evaluate.score(written, right), evaluate.solved_outputs(written, right), minutes))
    made_table = table(rows)
    options.output.with_name("table.md").write_text(made_table + "\n")
    print(made_table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
