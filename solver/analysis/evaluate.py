"""`python -m solver evaluate` and `compare`: what submissions are worth by Kaggle's rule (`scoring`), and why."""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from solver.analysis import history
from solver.analysis import solutions as right
from solver.analysis.diagnose import Measures, Overlap, measure
from solver.analysis.scoring import BOTH, Paired, compare, score, solved, table, tally
from solver.analysis.solutions import Solutions
from solver.data.json_files import describe, read_json
from solver.data.tasks import load_split, select
from solver.runtime import record, submission_file
from solver.runtime.placeholders import placeholders_for
from solver.runtime.tables import Section, print_sections
from solver.types import BadInput

ENGINE = ("said_tokens", "seconds", "prompt_tokens", "cached_tokens", "adapters", "adapter_seconds")  # of `Counters`
STAGE = ("stage", "tasks", "score", "solved", "gained", "lost", "work")
FAULTS = 20  # faults of a submission printed one a line; --json has them all


def _parser(name: str, description: str | None, required: bool) -> argparse.ArgumentParser:
    """What scoring and comparing both take. `required`: solutions have to be named."""
    parser = argparse.ArgumentParser(prog=f"python -m solver {name}", description=description)
    right.add_arguments(parser, required)
    parser.add_argument("--only-submitted", action="store_true", help="score over the submitted ids, not over all")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _submission(path: Path, solutions: Solutions) -> dict[str, object]:
    """The submission as parsed. Raises `BadInput` where it is none, or answers nothing there is a solution for."""
    submission = read_json(path)
    if not isinstance(submission, dict):
        raise BadInput(f"{path} holds {describe(submission)}; expected an object {{id: [...]}}; pass a submission")
    if not submission.keys() & solutions.grids.keys():
        count = len(solutions.grids)
        raise BadInput(f"{path} answers none of the {count} tasks with a solution in {solutions}; check the set")
    return submission


def _placeholders(submission: Mapping[str, object], split: str | None) -> int | None:
    """Outputs answered with both placeholders; None where the challenges to tell it by are not at hand."""
    if split is None:
        return None
    task_set = load_split(split)
    task_set = select(task_set, [i for i in task_set.tests if i in submission], None)
    alike = 0
    for task_id, pairs in placeholders_for(task_set).items():
        first, second = zip(*pairs, strict=True)
        entries = submission[task_id]
        alike += tally(solved(entries, first, BOTH[:1]), solved(entries, second, BOTH[1:])).both
    return alike


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Exit status 0: scored; 2: a file could not be read, or the solutions are of other data."""
    parser = _parser("evaluate", "Score a submission file.", required=False)
    parser.add_argument("submission", type=Path, nargs="?", metavar="SUBMISSION", help="the submission to score")
    parser.add_argument("--run", type=Path, metavar="DIR", help="measure this run directory as well")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("A", "B"), help="two submissions, paired")
    given = parser.parse_args(argv)
    if given.compare and (given.run or given.submission):
        parser.error("--compare takes its two submissions and nothing else to score")
    if not given.compare and not given.run and not given.submission:
        parser.error("nothing to score: expected SUBMISSION, --run DIR or --compare A B")
    if not given.run and not given.solutions and not given.split:
        parser.error("nothing to score with: one of the arguments --solutions --split is required")
    return _told(_compare if given.compare else _score, given)


def main_of_compare(argv: Sequence[str]) -> int:
    """Two submissions, paired: who solved what, with McNemar's exact p. The same as evaluate --compare A B."""
    parser = _parser("compare", main_of_compare.__doc__, required=True)
    parser.add_argument("first", type=Path, metavar="A", help="a submission")
    parser.add_argument("second", type=Path, metavar="B", help="the one it is compared with")
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
    solutions = right.load(given.split, given.solutions)
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
    scores = zip(names, (paired.first, paired.second), strict=True)
    rows = [(str(name), f"{s.score:.2%}", f"{s.low:.2%} to {s.high:.2%}", f"{s.outputs_solved}") for name, s in scores]
    rows.append(("difference", f"{paired.difference:+.2%}", f"p = {paired.p:.4f} (McNemar, exact)", ""))
    counts = {"outputs solved by both": paired.both, "only by the first": paired.only_first}
    counts |= {"only by the second": paired.only_second, "by neither": paired.neither}
    rows += [(name, "", "", str(count)) for name, count in counts.items()]
    return Section("Paired comparison", ("submission", "score", "95 % interval", "outputs"), tuple(rows))


def _score(given: argparse.Namespace) -> int:
    path = given.submission or record.answers_of(given.run)
    run = beside = history.load(given.run) if given.run else None
    if run is None:  # the directory beside a submission says which data it belongs to
        with contextlib.suppress(BadInput):
            beside = history.load(record.directory_of(path), results=False)
    solutions = right.chosen(given.split, given.solutions, beside)
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


def sections(m: Measures) -> list[Section]:
    """All tables of a run that have a row."""
    shares = {"oracle@all": m.oracle, "shape right": m.shape_right, "cell accuracy": m.cell_accuracy}
    stages = []
    for r in m.stages:
        counts = (str(r.tasks), f"{r.score:.2%}", str(r.outputs_solved), f"+{r.gained}", f"-{r.lost}")
        stages.append((r.name, *counts, f"{r.seconds:.1f} s"))
    ranks = tuple((rank, str(n)) for rank, n in m.ranks.items())
    bins, judged = (
        [(f"{b.low:.0%} to {b.high:.0%}", str(b.outputs), f"{b.vote:.1%}", f"{b.right:.1%}") for b in kind]
        for kind in (m.reliability, m.judged)
    )
    vote = f"Reliability of the vote (calibration error {m.calibration_error:.3f})"
    tables = [
        Section("The run", ("measure", "value"), tuple((name, f"{share:.2%}") for name, share in shares.items())),
        Section("Stages: the score if it had been the last", STAGE, tuple(stages)),
        *([overlap_section(m.overlap)] if m.overlap else []),
        Section("How far outputs came", ("so far", "outputs", "share"), _counts(m.reached, m.outputs)),
        Section("Rank of the right answer in the vote", ("rank", "outputs"), ranks),
        Section(vote, ("first answer's votes", "outputs", "mean vote", "right"), tuple(bins)),
        Section("Reliability of the judge", ("chance of an attempt", "outputs", "mean", "right"), tuple(judged)),
        spent_section(m),
        engine_section(m.engines),
    ]
    return [section for section in tables if section.rows]


def _counts(counts: Mapping[str, int], whole: int) -> tuple[tuple[str, ...], ...]:
    return tuple((name, str(n), f"{n / whole:.1%}") for name, n in counts.items())


def spent_section(measures: Measures) -> Section:
    """Where each device's seconds went."""
    wall, rows = measures.wall, []
    heads = ("device", *next(iter(measures.spent.values()), ()), "in all")
    for device, by in measures.spent.items():
        cells = [f"{s:.1f} s ({s / wall:.1%})" if wall else f"{s:.1f} s " for s in by.values()]
        rows.append((device, *cells, f"{wall:.1f} s"))
    return Section("Where the seconds went", heads, tuple(rows))


def engine_section(engines: Mapping[str, Mapping[str, float]]) -> Section:
    """What each device's engine said and read, and how fast."""
    heads = ("device", "tokens said", "a second", "prompt tokens", "of them cached", "adapters", "loaded in")
    rows = []
    for device, did in engines.items():
        said, seconds, prompts, cached, adapters, loading = (did.get(name, 0.0) for name in ENGINE)
        speed, share = said / max(1e-9, seconds), cached / max(1.0, prompts)
        row = (f"{said:.0f}", f"{speed:.0f}", f"{prompts:.0f}", f"{share:.1%}", f"{adapters:.0f}", f"{loading:.2f} s")
        rows.append((device, *row))
    return Section("What the engines did", heads, tuple(rows))


def overlap_section(overlap: Overlap) -> Section:
    """What each mind solves by itself, and both together, of all tasks."""
    counts = {"solved by both": overlap.both, "only by programs": overlap.only_programs}
    counts |= {"only by the model": overlap.only_model, "by neither": overlap.neither}
    counts |= {"programs alone": overlap.both + overlap.only_programs}
    counts |= {"the model alone": overlap.both + overlap.only_model, "the run's attempts": overlap.together}
    rows = _counts(counts, overlap.tasks)
    if overlap.shared is not None:
        rows = (*rows, ("of the programs' tasks the model's, too", "", f"{overlap.shared:.1%}"))
    return Section("Model and programs: tasks solved, by each alone", ("by", "tasks", "share"), rows)
