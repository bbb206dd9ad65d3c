"""`python -m solver judge`: fit the judge's coefficients to recorded runs, and show what they are worth.

A conditional logit by Newton's method with a ridge, every output of a task weighing the same in all. What is shown is
cross-validated by task: no task is judged by coefficients that were fitted to it.

Law: runs over evaluation tasks are refused, by their ids, as nothing is chosen on a set that is reported.
"""

import argparse
import json
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from solver.analysis import history, scoring
from solver.analysis import solutions as right_answers
from solver.runtime import record
from solver.runtime.tables import Section, print_sections
from solver.types import ATTEMPTS, BadInput, Grid, same
from solver.voting import judge
from solver.voting.candidates import ordered
from solver.voting.rules import PLAIN

EVALUATION = ("arc1-evaluation", "arc2-evaluation")  # what is reported
FOLDS = 10  # of the cross-validation
RIDGE = 1.0  # strength, in features of unit deviation; of 0.25 to 10, the cross-validated loss is least from 0.5 to 1
STEPS = 50  # of Newton's method at most
BINS = 5  # of the reliability table

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Case:
    """One test input of one run, with at least one answer."""

    task_id: str
    weight: float  # one over the number of runs that have the task
    worths: Array  # [answers, features], as `judge.features` has them
    right: int | None  # the row of the right answer; None: nobody gave it
    solved: Mapping[str, bool]  # whether either attempt is right, by each of the other rules

    @property
    def fold(self) -> int:
        return zlib.crc32(self.task_id.encode()) % FOLDS

    def solved_by(self, table: judge.Coefficients) -> tuple[bool, float]:
        """Whether one of the judge's two attempts is right, and the probability it gives that."""
        chances = judge.probabilities(self.worths, table)
        best = np.argsort(-chances, kind="stable")[:ATTEMPTS]
        return self.right in best, float(chances[best].sum())


def read_cases(directories: Sequence[Path], split: str | None = None) -> list[Case]:
    """The cases of these runs, held against the solutions that their records or `split` name. Raises `BadInput`."""
    raw: list[tuple[str, Array, int | None, dict[str, bool]]] = []
    runs: Counter[str] = Counter()
    reported = {i for name in EVALUATION for i in right_answers.read_solutions(name)}
    for directory in directories:
        run = history.load(directory)
        if forbidden := sorted(run.stories.keys() & reported):
            raise BadInput(
                f"{directory} has evaluation task {forbidden[0]}: expected training tasks alone, as what is reported "
                "on evaluation tasks must not be chosen by them"
            )
        grids = right_answers.chosen(split, None, run).grids
        told = [story for story in run.stories.values() if story.id in grids]
        if bare := [story.id for story in told if story.task is None]:
            raise BadInput(f"{directory / record.CHALLENGES} lacks {bare[0]}: expected the tasks of its run")
        runs.update(story.id for story in told)
        raw += [case for story in told for case in _of_story(story, grids[story.id])]
    return [Case(i, 1.0 / runs[i], worths, right, solved) for i, worths, right, solved in raw]


def _of_story(story: history.Story, right: Sequence[Grid]) -> Iterator[tuple[str, Array, int | None, dict[str, bool]]]:
    for test, output in enumerate(right):
        by_stage, proven = story.by_stage(test), story.limits(test)
        grids, worths = judge.features(by_stage, proven)
        if not grids:
            continue
        place = next((at for at, grid in enumerate(grids) if same(grid, output)), None)
        attempted = {rule: ordered(by_stage, rule, proven)[:ATTEMPTS] for rule in PLAIN[1:]}
        solved = {rule: any(same(a.grid, output) for a in two) for rule, two in attempted.items()}
        yield story.id, worths, place, solved


def fit(cases: Sequence[Case]) -> judge.Coefficients:
    """The coefficients of the least ridge loss, of which none has the wrong sign. `BadInput`: there are no cases."""
    if not cases:
        raise BadInput("no test input of these runs has an answer: expected runs that answered something")
    scale = np.concatenate([case.worths for case in cases]).std(axis=0)
    scale[scale == 0.0] = 1.0
    free = np.ones(len(judge.FEATURES) + 1, dtype=bool)
    signs = np.array([-1.0 if name == judge.AGAINST else 1.0 for name in judge.FEATURES] + [0.0])
    nats = _newton(cases, scale, free)
    while (signs * nats < 0.0).any():
        free[np.argmin(signs * nats)] = False  # of those that have the wrong sign the one that has it most
        nats = _newton(cases, scale, free)
    return judge.Coefficients(tuple(map(float, nats[:-1] / scale)), float(nats[-1]))


def _newton(cases: Sequence[Case], scale: Array, free: NDArray[np.bool_]) -> Array:
    """Nats of the scaled features and of no answer, float64 [features + 1]; 0 where not `free`."""
    ridge = np.append(np.full(len(scale), RIDGE), 1e-6)  # that none is right is no feature
    rows = [np.pad(case.worths / scale, ((0, 1), (0, 1))) for case in cases]
    for row in rows:
        row[-1, -1] = 1.0  # the last row is that none is right
    nats = np.zeros(len(ridge))
    for _ in range(STEPS):
        gradient, curvature = ridge * nats, np.diag(ridge)
        for case, row in zip(cases, rows, strict=True):
            odds = np.exp(row @ nats - (row @ nats).max())
            chances = odds / odds.sum()
            mean = chances @ row
            gradient += case.weight * (mean - row[-1 if case.right is None else case.right])
            curvature += case.weight * ((row.T * chances) @ row - np.outer(mean, mean))
        step = np.zeros_like(nats)
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        nats -= step / max(1.0, float(np.abs(step).max()))  # at most a nat at once
        if np.abs(step).max() < 1e-9:
            return nats
    raise BadInput(f"no coefficients after {STEPS} steps of Newton's method: expected runs with more answers")


def cross_validated(cases: Sequence[Case]) -> list[tuple[bool, float]]:
    """For each case what `Case.solved_by` says with the coefficients that the other folds' tasks give."""
    if len({case.fold for case in cases}) == 1:
        raise BadInput(f"{len({case.task_id for case in cases})} tasks came: expected more to cross-validate over them")
    tables = {fold: fit([case for case in cases if case.fold != fold]) for fold in {case.fold for case in cases}}
    return [case.solved_by(tables[case.fold]) for case in cases]


def sections(cases: Sequence[Case], table: judge.Coefficients) -> list[Section]:
    """The coefficients; the judge against the other rules; its reliability. Cross-validated but for the first."""
    worths = zip((*judge.FEATURES, "none"), (*table.coefficients, table.none), strict=True)
    meanings = {**judge.FEATURES, "none": "no answer is right"}
    judged = cross_validated(cases)
    weights = [case.weight for case in cases]
    return [
        Section("Coefficients, in nats", ("feature", "nats", "what it is"), tuple(
            (name, f"{worth:+.3f}", meanings[name]) for name, worth in worths
        )),
        Section(
            f"Outputs solved, by task cross-validated ({sum(weights):g} outputs in {len(cases)} cases)",
            ("rule", "solved", "judge gains", "judge loses", "p"),
            (("judge", f"{_weighed(weights, [hit for hit, _ in judged]):g}", "", "", ""), *_against(cases, judged)),
        ),
        _reliability(weights, judged),
    ]  # fmt: skip


def _weighed(weights: Sequence[float], hits: Sequence[bool]) -> float:
    return round(sum(weight for weight, hit in zip(weights, hits, strict=True) if hit), 3)


def _against(cases: Sequence[Case], judged: Sequence[tuple[bool, float]]) -> Iterator[tuple[str, ...]]:
    """A row for each other rule, and for the oracle; p is of a permutation test over tasks."""
    weights = [case.weight for case in cases]
    for rule in PLAIN[1:]:
        gains = [hit and not case.solved[rule] for case, (hit, _) in zip(cases, judged, strict=True)]
        loses = [case.solved[rule] and not hit for case, (hit, _) in zip(cases, judged, strict=True)]
        by_task: dict[str, list[Fraction]] = {}
        for case, (hit, _) in zip(cases, judged, strict=True):
            pair = by_task.setdefault(case.task_id, [Fraction(0), Fraction(0)])
            pair[0] += case.solved[rule] * Fraction(case.weight).limit_denominator(1000)
            pair[1] += hit * Fraction(case.weight).limit_denominator(1000)
        p = scoring.sign_flip(*zip(*by_task.values(), strict=True))
        solved = _weighed(weights, [case.solved[rule] for case in cases])
        gained, lost = _weighed(weights, gains), _weighed(weights, loses)
        yield rule, f"{solved:g}", f"+{gained:g}", f"-{lost:g}", f"{p:.3f}"
    yield "oracle", f"{_weighed(weights, [case.right is not None for case in cases]):g}", "", "", ""


def _reliability(weights: Sequence[float], judged: Sequence[tuple[bool, float]]) -> Section:
    """How often one of the two attempts is right, by the probability the judge gives that; and the Brier scores."""
    mean = sum(w * hit for w, (hit, _) in zip(weights, judged, strict=True)) / sum(weights)
    brier, constant = (
        sum(w * (hit - said) ** 2 for w, (hit, said) in zip(weights, pairs, strict=True)) / sum(weights)
        for pairs in (judged, [(hit, mean) for hit, _ in judged])
    )
    rows = []
    for low in range(BINS):
        inside = [(hit, said) for hit, said in judged if min(int(said * BINS), BINS - 1) == low]
        if inside:
            said, hits = fmean(said for _, said in inside), fmean(hit for hit, _ in inside)
            name = f"{low / BINS:.0%} to {(low + 1) / BINS:.0%}"
            rows.append((name, str(len(inside)), f"{said:.1%}", f"{hits:.1%}"))
    title = f"Reliability: Brier score {brier:.3f}, of the mean alone {constant:.3f}"
    return Section(title, ("probability of a right attempt", "cases", "mean", "right"), tuple(rows))


def content(cases: Sequence[Case], table: judge.Coefficients, directories: Sequence[Path]) -> str:
    """The JSON that `judge.read_table` reads, with what it was fitted to."""
    worths = zip((*judge.FEATURES, "none"), (*table.coefficients, table.none), strict=True)
    runs = [history.load(directory, results=False).start for directory in directories]
    fitted = {
        "tasks": len({case.task_id for case in cases}),
        "cases": len(cases),
        "runs": [{name: run.get(name) for name in ("fingerprint", "code", "name")} for run in runs],
        "weights": sorted({str(run.get("weights", {}).get("sha256"))[:12] for run in runs}),
        "ridge": RIDGE,
    }
    coefficients = {name: round(worth, 3) for name, worth in worths}
    return json.dumps({"coefficients": coefficients, "fitted to": fitted}, indent=2) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Exit status 0: fitted; 2: something could not be read or written, or is of evaluation tasks."""
    parser = argparse.ArgumentParser(prog="python -m solver judge", description="Fit the judge to recorded runs.")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR", help="runs over held-out training tasks")
    parser.add_argument("--split", metavar="NAME", help="the embedded set with the solutions (default: the runs')")
    parser.add_argument("--write", action="store_true", help=f"replace {judge.TABLE.name}, which runs read")
    given = parser.parse_args(argv)
    try:
        cases = read_cases(given.runs, given.split)
        table = fit(cases)
        print_sections(sections(cases, table), sys.stdout)
        if given.write:
            _replace(judge.TABLE, content(cases, table, given.runs))
            print(f"{judge.TABLE}: written")
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _replace(path: Path, text: str) -> None:
    """Write a file anew, whole or not at all. Raises `BadInput`."""
    beside = path.with_suffix(".new")
    try:
        beside.write_text(text)
        beside.replace(path)
    except OSError as error:
        raise BadInput(f"{path} could not be written: {error.strerror}; expected a folder with room") from None
