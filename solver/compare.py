"""Variants of the method compared output by output: the paired test, what their candidates hold, the tables.

Knows nothing of runs, files or models. Laws: every row of a table is over the same outputs; what a variant has no
answer for is unsolved, never left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from solver import evaluate
from solver.core import Grid, same
from solver.evaluate import mcnemar
from solver.replay import Candidates

ORACLE = "oracle"  # solved where any candidate is right: what a perfect vote would make of the same candidates
Right = Mapping[str, tuple[Grid, ...]]
"""Task id → the right outputs, one a test input."""


@dataclass(frozen=True, eq=False)
class Answered:
    """What a variant left: its submission, the candidates behind it, seconds of each task in the worker."""

    name: str
    submission: Mapping[str, object]
    candidates: Candidates
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """One variant's result: which outputs were solved, in order; outputs with a right candidate; seconds a task."""

    name: str
    scores: evaluate.Scores
    solved: tuple[bool, ...]
    found: int
    seconds: float


def difference(first: tuple[bool, ...], second: tuple[bool, ...]) -> str:
    """Outputs only the second solved and outputs only the first did, such as `+2 −5`."""
    gained = sum(b and not a for a, b in zip(first, second, strict=True))
    lost = sum(a and not b for a, b in zip(first, second, strict=True))
    return f"+{gained} −{lost}"


def hits(candidates: Candidates, right: Right) -> dict[str, list[bool]]:
    """Whether any candidate of each output is right."""
    return {
        task_id: [
            any(same(c.grid, output) for them in rounds.values() for c in them)
            for output, rounds in zip(outputs, candidates.get(task_id) or [{}] * len(outputs), strict=True)
        ]
        for task_id, outputs in right.items()
    }


def oracle(full: Answered, right: Right) -> Answered:
    """The answers a vote that knows the outputs would choose among the candidates. Never written to disk."""
    found = hits(full.candidates, right)
    chosen = {
        task_id: [{"attempt_1": grid.tolist()} if hit else {} for grid, hit in zip(grids, found[task_id], strict=True)]
        for task_id, grids in right.items()
    }
    return replace(full, name=ORACLE, submission=chosen)


def row(answered: Answered, right: Right) -> Row:
    """What a variant's answers to these tasks are worth."""
    return Row(
        name=answered.name,
        scores=evaluate.score(answered.submission, right),
        solved=evaluate.solved_outputs(answered.submission, right),
        found=sum(map(sum, hits(answered.candidates, right).values())),
        seconds=math.fsum(answered.seconds.get(task_id, 0.0) for task_id in right) / len(right),
    )


def table(rows: Sequence[Row], reference: str) -> str:
    """The rows as Markdown, each compared with the one of that name."""
    [base] = [one for one in rows if one.name == reference]
    lines = [f"| variant | outputs solved | pass@2 | 95 % interval | pass@1 | oracle | s a task | to {reference} | p |"]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for one in rows:
        s, first = one.scores, base.solved
        compared = "| |" if one is base else f"{difference(first, one.solved)} | {mcnemar(first, one.solved):.3f} |"
        lines.append(
            f"| {one.name} | {s.outputs_solved} of {s.outputs} | {s.score:.1%} | {s.low:.1%} to {s.high:.1%} "
            f"| {s.pass_at_1:.1%} | {one.found} of {s.outputs} | {one.seconds:.1f} | {compared}"
        )
    return "\n".join(lines)


def tables(answered: Sequence[Answered], right: Right, sources: Mapping[str, Sequence[str]], reference: str) -> str:
    """One table over all tasks and, where they come from several sources, one for each."""
    parts = [table([row(one, right) for one in answered], reference)]
    for name, ids in sources.items() if len(sources) > 1 else ():
        own = {task_id: right[task_id] for task_id in ids}
        parts.append(f"{name}, {len(own)} tasks:\n\n{table([row(one, own) for one in answered], reference)}")
    return "\n\n".join(parts)
