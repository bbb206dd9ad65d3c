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
from typing import Any

from solver.analysis import history
from solver.analysis import solutions as right
from solver.analysis.diagnose import Measures, Overlap, measure
from solver.analysis.history import History
from solver.analysis.scoring import Paired, Scores, compare, score, solved, table
from solver.analysis.solutions import SHOWN, Solutions
from solver.data.json_files import describe, read_json
from solver.data.tasks import load_split, select
from solver.runtime import record, submission_file
from solver.runtime.tables import Section, print_sections
from solver.types import BadInput

ENGINE = ("said_tokens", "seconds", "prompt_tokens", "cached_tokens", "adapters", "adapter_seconds")  # of `Counters`
FAULTS = 20  # faults of a submission printed one a line; --json has them all


# ---- tables ----------------------------------------------------------------------------------------------------------


def run_sections(measures: Measures) -> list[Section]:
    """What a run's record tells beyond the score."""
    m = measures
    shares = (("oracle@all", m.oracle), ("shape right", m.shape_right), ("cell accuracy", m.cell_accuracy))
    made = [
        Section("The run", ("measure", "value"), tuple((name, f"{share:.2%}") for name, share in shares)),
        Section(
            "Rounds: the score if it had been the last",
            ("round", "tasks", "score", "solved", "gained", "lost", "work"),
            tuple(
                (
                    r.name,
                    f"{r.tasks}",
                    f"{r.score:.2%}",
                    f"{r.outputs_solved}",
                    f"+{r.gained}",
                    f"-{r.lost}",
                    f"{r.seconds:.1f} s",
                )
                for r in m.rounds
            ),
        ),
        *([overlap_section(m.overlap)] if m.overlap else []),
        Section(
            "Stages: how far outputs came",
            ("stage", "outputs", "share"),
            tuple((name, str(n), f"{n / m.outputs:.1%}") for name, n in m.stages.items()),
        ),
        Section(
            "Rank of the right answer in the vote", ("rank", "outputs"), tuple((k, str(n)) for k, n in m.ranks.items())
        ),
        Section(
            f"Reliability of the vote (calibration error {m.calibration_error:.3f})",
            ("first answer's votes", "outputs", "mean vote", "right"),
            tuple(
                (f"{b.low:.0%} to {b.high:.0%}", str(b.outputs), f"{b.vote:.1%}", f"{b.right:.1%}")
                for b in m.reliability
            ),
        ),
        spent_section(m),
        engine_section(m.engines),
    ]
    return [section for section in made if section.rows]


def spent_section(measures: Measures) -> Section:
    """Where each device's seconds went."""
    heads = ("device", *next(iter(measures.spent.values()), ()), "in all")
    rows = [
        (device, *(f"{used:.1f} s {_part(used, measures.wall)}" for used in by.values()), f"{measures.wall:.1f} s")
        for device, by in measures.spent.items()
    ]
    return Section("Where the seconds went", heads, tuple(rows))


def engine_section(engines: Mapping[str, Mapping[str, float]]) -> Section:
    """What each device's engine said and read, and how fast."""
    heads = ("device", "tokens said", "a second", "prompt tokens", "of them cached", "adapters", "loaded in")
    rows = []
    for device, did in engines.items():
        got = {name: did.get(name, 0.0) for name in ENGINE}
        rows.append(
            (
                device,
                f"{got['said_tokens']:.0f}",
                f"{got['said_tokens'] / max(1e-9, got['seconds']):.0f}",
                f"{got['prompt_tokens']:.0f}",
                f"{got['cached_tokens'] / max(1.0, got['prompt_tokens']):.1%}",
                f"{got['adapters']:.0f}",
                f"{got['adapter_seconds']:.2f} s",
            )
        )
    return Section("What the engines did", heads, tuple(rows))


def _part(part: float, whole: float) -> str:
    return f"({part / whole:.1%})" if whole else ""


def overlap_section(found: Overlap) -> Section:
    """What each mind solves by itself, and both together, of all tasks."""
    counts = {
        "solved by both": found.both,
        "only by programs": found.only_programs,
        "only by the model": found.only_model,
        "by neither": found.neither,
        "programs alone": found.both + found.only_programs,
        "the model alone": found.both + found.only_model,
        "the run's attempts": found.together,
    }
    rows = [(name, str(n), f"{n / found.tasks:.1%}") for name, n in counts.items()]
    if found.shared is not None:
        rows.append(("of the programs' tasks the model's, too", "", f"{found.shared:.1%}"))
    return Section("Two minds: tasks solved, each heard alone", ("by", "tasks", "share"), tuple(rows))


def paired_section(paired: Paired, names: tuple[str, str]) -> Section:
    """Two submissions side by side."""
    scores = ((names[0], paired.first), (names[1], paired.second))
    rows = [(name, f"{s.score:.2%}", f"{s.low:.2%} to {s.high:.2%}", f"{s.outputs_solved}") for name, s in scores]
    rows.append(("difference", f"{paired.difference:+.2%}", f"p = {paired.p:.4f} (McNemar, exact)", ""))
    rows.append(("outputs solved by both", "", "", str(paired.both)))
    rows.append(("only by the first", "", "", str(paired.only_first)))
    rows.append(("only by the second", "", "", str(paired.only_second)))
    rows.append(("by neither", "", "", str(paired.neither)))
    return Section("Paired comparison", ("submission", "score", "95 % interval", "outputs"), tuple(rows))


def _data(found: Solutions) -> dict[str, str]:
    return {"name": found.name, "sha256": found.sha256, "version": found.version}


def data_line(found: Solutions) -> str:
    """Which solutions were used, in one line."""
    return f"data             {found.name}, sha256 {found.sha256[:SHOWN]}: {found.version}"


# ---- the command line ------------------------------------------------------------------------------------------------


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


def _submission(path: Path, found: Solutions) -> dict[str, object]:
    """The submission as parsed. Raises `BadInput` where it is none, or answers nothing there is a solution for."""
    submission = read_json(path)
    if not isinstance(submission, dict):
        raise BadInput(f"{path} holds {describe(submission)}; expected an object {{id: [...]}}; pass a submission")
    if not submission.keys() & found.grids.keys():
        raise BadInput(
            f"{path} answers none of the {len(found.grids)} tasks with a solution in {found.name} "
            f"(sha256 {found.sha256[:SHOWN]}, {found.version}); check the set"
        )
    return submission


def _solutions(given: argparse.Namespace, run: History | None) -> Solutions:
    """The solutions asked for, or those the run names. Raises `BadInput`, also where they are not the run's."""
    split, file = given.split, given.solutions
    if run is not None and split is None and file is None:
        named = run.start.get("split"), run.start.get("solutions")
        split, file = named[0], Path(str(named[1])) if named[1] and not named[0] else None
    found = right.load(split, file)
    if run is not None:
        right.check(run, found)
    return found


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
    whole = load_split(split)
    task_set = select(whole, [i for i in whole.tests if i in submission], None)
    made = submission_file.placeholders_for(task_set)
    return sum(
        solved(submission[i], [one], ["attempt_1"])[0] and solved(submission[i], [two], ["attempt_2"])[0]
        for i, pairs in made.items()
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
    found = _solutions(given, None)
    first, second = (_submission(path, found) for path in given.compare)
    common = {i: outputs for i, outputs in found.grids.items() if i in first and i in second}
    paired = compare(first, second, common if given.only_submitted else found.grids)
    if given.json:
        print(json.dumps({**asdict(paired), "data": _data(found)}))
    else:
        print(data_line(found))
        print_sections([paired_section(paired, (str(given.compare[0]), str(given.compare[1])))], sys.stdout)
    return 0


def _score(given: argparse.Namespace) -> int:
    path = given.submission or history.answers_of(given.run)
    run = history.load(given.run) if given.run else None
    found = _solutions(given, run or _run_beside(path))
    submission = _submission(path, found)
    known = {i: found.grids[i] for i in submission if i in found.grids}
    if given.only_submitted:
        found = replace(found, grids=known)
    in_order = [*known, *(i for i in found.grids if i not in known)]  # no score depends on the order of the ids
    faults = submission_file.validate(submission, {i: len(found.grids[i]) for i in in_order if i in found.grids})
    measures = measure(run, found.grids) if run else None
    _print(given, score(submission, found.grids), found, faults, measures, _placeholders(submission, given.split))
    unknown = sum(task_id not in found.grids for task_id in submission)
    if unknown:
        print(f"{unknown} submitted tasks have no solution here and are ignored", file=sys.stderr)
    return 0


def _print(
    given: argparse.Namespace,
    scores: Scores,
    found: Solutions,
    faults: Sequence[str],
    measures: Measures | None,
    placeholders: int | None,
) -> None:
    if measures is not None:
        placeholders = measures.placeholders
    if given.json:
        whole: dict[str, Any] = {**asdict(scores), "placeholders": placeholders, "data": _data(found)}
        whole |= {"faults": list(faults), "run": asdict(measures) if measures else None}
        print(json.dumps(whole))
        return
    print(data_line(found))
    print(table(scores))
    if placeholders is not None:
        print(f"placeholders     {placeholders:4d} of {scores.outputs}")
    for fault in faults[:FAULTS]:
        print(f"fault            {fault}")
    if len(faults) > FAULTS:
        print(f"fault            and {len(faults) - FAULTS} more: --json lists them all")
    if measures is not None:
        print_sections(run_sections(measures), sys.stdout)
