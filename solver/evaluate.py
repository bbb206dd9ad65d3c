"""Scores a submission against solutions, by Kaggle's rule; runs after the answers are fixed.

Knows nothing of the solver, and nothing that answers tasks imports it. Law: every output of every solution counts in
the denominator; what is missing or malformed is unsolved, never skipped.

    python -m solver.evaluate submission.json --solutions FILE|--split NAME [--only-submitted] [--json]
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from solver.core import Grid, same
from solver.tasks import BadInput, Fault, describe, load_solutions, load_solutions_file, parse_grid, read_json

Z95 = 1.959964  # standard normal quantile of a two-sided 95 % interval


@dataclass(frozen=True)
class Scores:
    """What a submission is worth. Shares are 0 to 1; every denominator is the full set of solutions.

    `score`: Kaggle's rule with two attempts, each task's share of outputs solved, averaged over tasks. `pass_at_1`: the
    same with the first attempt alone. `low`, `high`: Wilson's 95 % interval for `score` over `tasks` tasks (a little
    too wide where tasks have several outputs, whose shares vary less than yes and no).
    """

    tasks: int
    outputs: int
    tasks_solved: int
    outputs_solved: int
    score: float
    pass_at_1: float
    low: float
    high: float


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval for a share observed over n ≥ 1 tasks."""
    centre = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return max(0.0, (centre - half) / (1 + Z95**2 / n)), min(1.0, (centre + half) / (1 + Z95**2 / n))


def score(submission: object, solutions: Mapping[str, Sequence[Grid]]) -> Scores:
    """Score a submission as parsed from JSON; `solutions`: id → one grid a test input. Ids without one are ignored.

    Raises `ValueError` where there are no solutions.
    """
    if not solutions or not all(solutions.values()):
        raise ValueError("no solutions came; at least one task with at least one output was expected")
    answers = submission if isinstance(submission, dict) else {}
    solved = {i: _solved(answers.get(i), outputs, ("attempt_1", "attempt_2")) for i, outputs in solutions.items()}
    first = {i: _solved(answers.get(i), outputs, ("attempt_1",)) for i, outputs in solutions.items()}
    total = _mean_share(solved)
    low, high = wilson(total, len(solutions))
    return Scores(
        tasks=len(solved),
        outputs=sum(map(len, solved.values())),
        tasks_solved=sum(map(all, solved.values())),
        outputs_solved=sum(map(sum, solved.values())),
        score=total,
        pass_at_1=_mean_share(first),
        low=low,
        high=high,
    )


def solved_outputs(submission: Mapping[str, object], solutions: Mapping[str, Sequence[Grid]]) -> tuple[bool, ...]:
    """Whether each output is solved by either attempt, in the order of the solutions: what paired tests compare."""
    names = ("attempt_1", "attempt_2")
    return tuple(hit for i, outputs in solutions.items() for hit in _solved(submission.get(i), outputs, names))


def _mean_share(solved: Mapping[str, Sequence[bool]]) -> float:
    return math.fsum(sum(outputs) / len(outputs) for outputs in solved.values()) / len(solved)


def _solved(entries: object, outputs: Sequence[Grid], names: Sequence[str]) -> list[bool]:
    """For each output, whether one of the named attempts equals it."""
    given = entries if isinstance(entries, list) else []
    padded = [*given, *[None] * len(outputs)][: len(outputs)]
    return [_hit(entry, output, names) for entry, output in zip(padded, outputs, strict=True)]


def _hit(entry: object, output: Grid, names: Sequence[str]) -> bool:
    attempts = [entry.get(name) for name in names] if isinstance(entry, dict) else []
    return any(_equal(attempt, output) for attempt in attempts)


def _equal(attempt: object, output: Grid) -> bool:
    try:
        return same(parse_grid(attempt, ""), output)
    except Fault:
        return False


def table(scores: Scores) -> str:
    """The scores as four short lines."""
    return "\n".join(
        (
            f"score (pass@2)   {scores.score:7.2%}   95 % interval {scores.low:.2%} to {scores.high:.2%}",
            f"pass@1           {scores.pass_at_1:7.2%}",
            f"outputs solved   {scores.outputs_solved:4d} of {scores.outputs}",
            f"tasks solved     {scores.tasks_solved:4d} of {scores.tasks}",
        )
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m solver.evaluate", description="Score a submission file.")
    parser.add_argument("submission", type=Path, metavar="SUBMISSION", help="the submission to score")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--solutions", type=Path, metavar="FILE", help="Kaggle's solutions JSON")
    source.add_argument("--split", metavar="NAME", help="an embedded set")
    parser.add_argument("--only-submitted", action="store_true", help="score over the submitted ids, not over all")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(argv)


def _read(given: argparse.Namespace) -> tuple[dict[str, object], dict[str, tuple[Grid, ...]]]:
    """The submission and the solutions to score it against."""
    solutions = load_solutions(given.split) if given.split else load_solutions_file(given.solutions)
    submission = read_json(given.submission)
    if not isinstance(submission, dict):
        raise BadInput(
            f"{given.submission} holds {describe(submission)}; expected an object {{id: [...]}}; pass a submission"
        )
    known = {task_id: outputs for task_id, outputs in solutions.items() if task_id in submission}
    if not known:
        raise BadInput(f"{given.submission} answers none of the {len(solutions)} tasks with a solution; check the set")
    return submission, known if given.only_submitted else solutions


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Exit status 0: scored; 2: a file could not be read."""
    given = _arguments(argv)
    try:
        submission, solutions = _read(given)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    scores = score(submission, solutions)
    print(json.dumps(asdict(scores)) if given.json else table(scores))
    unknown = sum(task_id not in solutions for task_id in submission)
    if unknown:
        print(f"{unknown} submitted tasks have no solution here and are ignored", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
