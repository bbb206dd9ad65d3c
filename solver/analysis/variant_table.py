"""What variants of the method are worth, side by side: a row each, compared with one of them, as tables and a picture.

Laws: every row of a table is over the same outputs; what a variant has no answer for is unsolved, never left out; a
variant has found whatever it solved.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain
from statistics import median

from solver.analysis import scoring
from solver.analysis.page import filled
from solver.analysis.replay import Candidates
from solver.types import Outputs, same

ORACLE = "oracle"  # solved where an attempt or any candidate is right: what a perfect vote would make of the same run
LETTER = 7.2  # pixels a letter of a name takes at most
SCALE = 420  # pixels from nothing solved to the end of the scale
STEP = 0.1  # of all outputs, between two lines of the scale
BAR, GAP = 14, 10  # pixels
AROUND = 24  # pixels


@dataclass(frozen=True, eq=False)
class Answered:
    """What a variant left."""

    name: str
    submission: Mapping[str, object]
    candidates: Candidates  # behind it
    seconds: Mapping[str, float]  # of each task in the worker
    steps: Mapping[str, int] = field(default_factory=dict)  # of training the adapter a task was answered with


@dataclass(frozen=True)
class ComparisonRow:
    """One variant's result."""

    name: str
    scores: scoring.Scores
    solved: tuple[bool, ...]  # which outputs were, in order
    found: int  # outputs with the right answer among the candidates
    seconds: float  # a task
    adapters: int = 0  # tasks that had one
    steps: float = 0.0  # the median of those adapters' training steps
    shares: tuple[Fraction, ...] = ()  # of each task's outputs, solved


def hits(answered: Answered, right: Outputs) -> dict[str, list[bool]]:
    """Whether each output was found: any candidate is right, or an attempt, which may be a placeholder."""
    among: dict[str, list[bool]] = {}
    for task_id, outputs in right.items():
        solved = scoring.solved(answered.submission.get(task_id), outputs)
        tests = answered.candidates.get(task_id, ({},) * len(outputs))
        among[task_id] = [
            hit or any(same(candidate.grid, output) for candidate in chain.from_iterable(by_stage.values()))
            for hit, output, by_stage in zip(solved, outputs, tests, strict=True)
        ]
    return among


def oracle(full: Answered, right: Outputs) -> Answered:
    """The answers a vote that knows the outputs would choose of what was found. Never written to disk."""
    among = hits(full, right)
    chosen = {
        task_id: [{"attempt_1": grid.tolist()} if hit else {} for grid, hit in zip(grids, among[task_id], strict=True)]
        for task_id, grids in right.items()
    }
    return replace(full, name=ORACLE, submission=chosen)


def row(answered: Answered, right: Outputs) -> ComparisonRow:
    """What a variant's answers to these tasks are worth."""
    steps = [answered.steps[task_id] for task_id in right if task_id in answered.steps]
    solved = [scoring.solved(answered.submission.get(task_id), outputs) for task_id, outputs in right.items()]
    return ComparisonRow(
        name=answered.name,
        scores=scoring.score(answered.submission, right),
        solved=tuple(chain.from_iterable(solved)),
        found=sum(map(sum, hits(answered, right).values())),
        seconds=math.fsum(answered.seconds.get(task_id, 0.0) for task_id in right) / len(right),
        adapters=len(steps),
        steps=median(steps) if steps else 0.0,
        shares=tuple(Fraction(sum(hit), len(hit)) for hit in solved),
    )


def table(rows: Sequence[ComparisonRow], reference: str) -> str:
    """The rows as Markdown, each compared with the one of that name.

    Per output: how many were gained and lost, and McNemar's exact p. Per task: points of pass@2 gained, and p by
    `sign_flip`. `adapters` and `steps`: tasks that had an adapter, and the median of its steps.
    """
    [base] = [one for one in rows if one.name == reference]
    heads = "variant|outputs solved|pass@2|95 % interval|pass@1|oracle|s a task|adapters|steps".split("|")
    heads += [f"outputs to {reference}", "p (per output)", f"pass@2 to {reference}"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in rows:
        s = one.scores
        cells = [one.name, f"{s.outputs_solved} of {s.outputs}", f"{s.score:.1%}", f"{s.low:.1%} to {s.high:.1%}"]
        cells += [f"{s.pass_at_1:.1%}", f"{one.found} of {s.outputs}", f"{one.seconds:.1f}"]
        cells += [f"{one.adapters}", f"{one.steps:g}" if one.adapters else ""]
        cells += ["", "", ""] if one is base else against(base, one)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def against(base: ComparisonRow, one: ComparisonRow) -> list[str]:
    """A row's cells beside another's: outputs gained and lost, their p, points of pass@2 gained with their own p."""
    gained = 100 * (one.scores.score - base.scores.score)
    points = f"{gained:+.1f} (p = {scoring.sign_flip(base.shares, one.shares):.3f})".replace("-", "−")
    return [scoring.difference(base.solved, one.solved), f"{scoring.mcnemar(base.solved, one.solved):.3f}", points]


def tables(answered: Sequence[Answered], right: Outputs, sources: Mapping[str, Sequence[str]], reference: str) -> str:
    """One table over all tasks and, where they come from several sources, one for each."""
    parts = [table([row(one, right) for one in answered], reference)]
    for name, ids in sources.items() if len(sources) > 1 else ():
        own = {task_id: right[task_id] for task_id in ids}
        parts.append(f"{name}, {len(own)} tasks:\n\n{table([row(one, own) for one in answered], reference)}")
    return "\n\n".join(parts)


def svg(rows: Sequence[ComparisonRow]) -> str:
    """pass@2 of the rows, one under the other, in their order; the scale ends behind the longest interval."""
    end = STEP * math.ceil(max(max(row.scores.high, STEP) for row in rows) / STEP - 1e-9)
    each = SCALE / end  # pixels
    tops = [2 * AROUND + n * (BAR + GAP) for n in range(len(rows))]
    left = AROUND + round(LETTER * max(len(row.name) for row in rows))
    return filled(
        "variants.svg",
        bars=list(zip(rows, tops, strict=True)),
        each=each,
        lines=[(round(each * STEP * n, 1), f"{STEP * n:.0%}") for n in range(round(end / STEP) + 1)],
        left=left,
        width=left + SCALE + 5 * AROUND,
        height=tops[-1] + BAR + 2 * AROUND,
        tasks=rows[0].scores.tasks,
        bar=BAR,
        around=AROUND,
    )
