"""Scores a submission against solutions, by Kaggle's rule; runs after the answers are fixed.

Knows nothing of the solver, and nothing that answers tasks imports it. Law: every output of every solution counts in
the denominator; what is missing or malformed is unsolved, never skipped, and named.

    python -m solver evaluate submission.json --solutions FILE|--split NAME [--only-submitted] [--json]
    python -m solver evaluate --run runs/submission.run [SUBMISSION] [--solutions FILE|--split NAME]
    python -m solver evaluate --compare A B --solutions FILE|--split NAME
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from solver.analysis import history
from solver.analysis import solutions as right
from solver.analysis.compare import Paired, compare
from solver.analysis.diagnose import measure
from solver.analysis.history import History
from solver.analysis.run_tables import sections
from solver.analysis.scoring import score, solved, table
from solver.analysis.solutions import Solutions
from solver.data.json_files import describe, read_json
from solver.data.tasks import load_split, select
from solver.runtime import record, submission_file
from solver.runtime.tables import Section, print_sections
from solver.types import BadInput

FAULTS = 20  # faults of a submission printed one a line; --json has them all


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m solver evaluate", description="Score a submission file.")
    parser.add_argument("submission", type=Path, nargs="?", metavar="SUBMISSION", help="the submission to score")
    _add_shared(parser, required=False)
    parser.add_argument("--run", type=Path, metavar="DIR", help="measure this run directory as well")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("A", "B"), help="two submissions, paired")
    given = parser.parse_args(argv)
    if given.compare and (given.run or given.submission):
        parser.error("--compare takes its two submissions and nothing else to score")
    if not given.compare and not given.run and not given.submission:
        parser.error("nothing to score: expected SUBMISSION, --run DIR or --compare A B")
    if not given.run and not given.solutions and not given.split:
        parser.error("nothing to score with: one of the arguments --solutions --split is required")
    return given


def _add_shared(parser: argparse.ArgumentParser, required: bool) -> None:
    """What scoring and comparing both take. `required`: one of the sources has to be given."""
    source = parser.add_mutually_exclusive_group(required=required)
    source.add_argument("--solutions", type=Path, metavar="FILE", help="Kaggle's solutions JSON")
    source.add_argument("--split", metavar="NAME", help="an embedded set")
    parser.add_argument("--only-submitted", action="store_true", help="score over the submitted ids, not over all")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _submission(path: Path, solutions: Solutions) -> dict[str, object]:
    """The submission as parsed. Raises `BadInput` where it is none, or answers nothing there is a solution for."""
    submission = read_json(path)
    if not isinstance(submission, dict):
        raise BadInput(f"{path} holds {describe(submission)}; expected an object {{id: [...]}}; pass a submission")
    if not submission.keys() & solutions.grids.keys():
        raise BadInput(
            f"{path} answers none of the {len(solutions.grids)} tasks with a solution in {solutions}; check the set"
        )
    return submission


def _solutions(given: argparse.Namespace, run: History | None) -> Solutions:
    """The solutions asked for, or those the run names. Raises `BadInput`, also where they are not the run's."""
    split, file = given.split, given.solutions
    if run is not None and split is None and file is None:
        split, file = run.start.get("split"), run.start.get("solutions")
        file = Path(str(file)) if file and not split else None
    solutions = right.load(split, file)
    if run is not None:
        right.check(run, solutions)
    return solutions


def _run_beside(submission: Path) -> History | None:
    """The run a submission comes from, where its directory lies beside it: it says which data it belongs to."""
    try:
        return history.load(record.directory_of(submission), results=False)
    except BadInput:
        return None


def _placeholders(submission: Mapping[str, object], split: str | None) -> int | None:
    """Outputs answered with both placeholders; None where the challenges to tell it by are not at hand."""
    if split is None:
        return None
    task_set = load_split(split)
    task_set = select(task_set, [i for i in task_set.tests if i in submission], None)
    return sum(
        solved(submission[i], [one], ["attempt_1"])[0] and solved(submission[i], [two], ["attempt_2"])[0]
        for i, pairs in submission_file.placeholders_for(task_set).items()
        for one, two in pairs
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Exit status 0: scored; 2: a file could not be read, or the solutions are of other data."""
    given = _arguments(argv)
    return _told(_compare if given.compare else _score, given)


def main_of_compare(argv: Sequence[str]) -> int:
    """Two submissions, paired: who solved what, with McNemar's exact p. The same as evaluate --compare A B."""
    parser = argparse.ArgumentParser(prog="python -m solver compare", description=main_of_compare.__doc__)
    parser.add_argument("first", type=Path, metavar="A", help="a submission")
    parser.add_argument("second", type=Path, metavar="B", help="the one it is compared with")
    _add_shared(parser, required=True)
    given = parser.parse_args(argv)
    given.compare = (given.first, given.second)
    return _told(_compare, given)


def _told(command: Callable[[argparse.Namespace], int], given: argparse.Namespace) -> int:
    """The command's exit status, or 2 after a line on what is wrong with its input."""
    try:
        return command(given)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2


def _compare(given: argparse.Namespace) -> int:
    solutions = _solutions(given, None)
    first, second = (_submission(path, solutions) for path in given.compare)
    common = {i: outputs for i, outputs in solutions.grids.items() if i in first and i in second}
    paired = compare(first, second, common if given.only_submitted else solutions.grids)
    if given.json:
        print(json.dumps({**asdict(paired), "data": solutions.data}))
    else:
        print(solutions.line)
        print_sections([_section(paired, given.compare)], sys.stdout)
    return 0


def _section(paired: Paired, names: Sequence[Path]) -> Section:
    """Two submissions side by side."""
    scores = zip(names, (paired.first, paired.second), strict=True)
    rows = [(str(name), f"{s.score:.2%}", f"{s.low:.2%} to {s.high:.2%}", f"{s.outputs_solved}") for name, s in scores]
    rows.append(("difference", f"{paired.difference:+.2%}", f"p = {paired.p:.4f} (McNemar, exact)", ""))
    counts = {"outputs solved by both": paired.both, "only by the first": paired.only_first}
    counts |= {"only by the second": paired.only_second, "by neither": paired.neither}
    rows += [(name, "", "", str(count)) for name, count in counts.items()]
    return Section("Paired comparison", ("submission", "score", "95 % interval", "outputs"), tuple(rows))


def _score(given: argparse.Namespace) -> int:
    path = given.submission or history.answers_of(given.run)
    run = history.load(given.run) if given.run else None
    solutions = _solutions(given, run or _run_beside(path))
    submission = _submission(path, solutions)
    known = {i: solutions.grids[i] for i in submission if i in solutions.grids}
    if given.only_submitted:
        solutions = replace(solutions, grids=known)
    tests = {i: len(grids) for i, grids in {**known, **solutions.grids}.items()}  # in the submission's order
    faults, scores = submission_file.validate(submission, tests), score(submission, solutions.grids)
    measures = measure(run, solutions.grids) if run else None
    placeholders = measures.placeholders if measures else _placeholders(submission, given.split)
    if given.json:
        told = {**asdict(scores), "placeholders": placeholders, "data": solutions.data, "faults": faults}
        print(json.dumps({**told, "run": asdict(measures) if measures else None}))
    else:
        print(solutions.line, table(scores), sep="\n")
        if placeholders is not None:
            print(f"placeholders     {placeholders:4d} of {scores.outputs}")
        for fault in faults[:FAULTS]:
            print(f"fault            {fault}")
        if len(faults) > FAULTS:
            print(f"fault            and {len(faults) - FAULTS} more: --json lists them all")
        if measures is not None:
            print_sections(sections(measures), sys.stdout)
    unknown = sum(task_id not in solutions.grids for task_id in submission)
    if unknown:
        print(f"{unknown} submitted tasks have no solution here and are ignored", file=sys.stderr)
    return 0
