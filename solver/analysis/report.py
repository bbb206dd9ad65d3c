"""`python -m solver report RUN`: a run as one HTML file: scores, every task with its grids, what was tried."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from solver.analysis import diagnose, history, show
from solver.analysis import solutions as right
from solver.analysis.page import TEMPLATES, filled
from solver.analysis.report_data import data_of
from solver.analysis.scoring import scores_of
from solver.runtime import record
from solver.runtime.live import count, span
from solver.types import BadInput, Outputs, stage_name

STATUSES = ("solved", "agreed", "near miss", "split vote", "failed", "placeholder")  # of tasks, the best first
SETTLED = 0.5  # share of the votes from which a task without a solution counts as agreed on
NAME = "report.html"  # in the run directory, where no other place is asked for


def write(run_directory: Path, path: Path | None = None, solutions: Outputs | None = None) -> Path:
    """Write the report of a run, beside its record where no path is given, and say where it is.

    `solutions`: None: those the record names, if they can be read. `BadInput`: no run; `OSError`: it can't be written.
    """
    run = history.load(run_directory)
    if solutions is None:
        named = right.of_run(run)
        solutions = named.grids if named else {}
    target = path or run_directory / NAME
    part = target.with_name(target.name + ".part")
    part.write_text(render(run, solutions), encoding="utf-8")
    os.replace(part, target)
    return target


def render(run: history.History, solutions: Outputs) -> str:
    """The page. Only the run's own tasks count; one without a solution is shown without a verdict."""
    known = {i: solutions[i] for i, s in run.stories.items() if i in solutions and len(solutions[i]) == s.tests}
    every = diagnose.outputs(run, known)
    outputs = {task_id: [*of_task] for task_id, of_task in groupby(every, lambda o: o.task_id)}
    measures = diagnose.measure(run, known, every) if known else None
    rows = [_row(n, story, outputs.get(story.id, ())) for n, story in enumerate(run.stories.values())]
    statuses = {row["id"]: row["status"] for row in rows}
    log = [(at, "", text) for at, text in run.events]
    log += [(f.at, "failed", f"{stage_name(f.stage)}, {', '.join(f.task_ids)}: {f.why}") for f in run.failures]
    data = data_of(run, known, measures.reliability if measures else (), statuses)
    return filled(
        "report.html",
        name=str(run.start.get("name") or run.directory.name),
        facts=_facts(run),
        warnings=list(_warnings(run)),
        tiles=[*(_scores(measures, [*outputs.values()]) if measures else ()), *_tiles(run)],
        measures=measures,
        spent=list(diagnose.spent(run).items()),
        rows=rows,
        statuses=[(name, number) for name in STATUSES if (number := list(statuses.values()).count(name))],
        log=[{"at": duration(at), "kind": kind, "text": text} for at, kind, text in sorted(log, key=lambda x: x[0])],
        palette=show.PALETTE,
        scripts=[(TEMPLATES / name).read_text(encoding="utf-8") for name in ("chartist-1.5.0.js", "report.js")],
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),  # cannot end the element it stands in
    )


def duration(seconds: float) -> str:
    """Seconds as people read them: '4.2 s', '12 min 05 s', '3 h 07 min'."""
    return f"{seconds:.1f} s" if seconds < 60 else span(round(seconds))


def _facts(run: history.History) -> list[tuple[str, str]]:
    """What was run, as the record's first line says it."""
    start = run.start
    config = start["config"] if isinstance(start.get("config"), dict) else {}
    weights = start["weights"] if isinstance(start.get("weights"), dict) else {}
    given = {
        "run": start.get("fingerprint"),
        "data": str(start.get("data_sha256") or "")[: right.SHOWN],
        "weights": f"{weights.get('name') or ''} {str(weights.get('sha256') or '')[: right.SHOWN]}".strip(),
        "seed": config.get("seed"),
        "views": config.get("views"),
        "vote": run.rule,
        "limit": duration(config["time_limit"]) if isinstance(config.get("time_limit"), int | float) else None,
    }
    return [(name, str(value)) for name, value in given.items() if value not in (None, "")]


def _warnings(run: history.History) -> Iterable[str]:
    """What a reader must know before believing the rest."""
    if run.status is None:
        yield "This run has not ended: it is still being written, or was cut off. What is whole is shown."
    elif run.status:
        yield f"This run ended with exit status {run.status}."
    if run.dropped:
        yield f"Left out, as torn or not understood: {count(run.dropped, 'line')} of the record."
    if not run.start:
        yield "The record's first line is missing: settings and data are unknown."


def _tiles(run: history.History) -> Iterable[tuple[str, str, str]]:
    """Figures a reader wants first: what it is, its value, a note."""
    stories = list(run.stories.values())
    placeholders = sum(story.is_placeholder for story in stories)
    answered = sum(any(story.given(test)[0] for test in range(story.tests)) for story in stories)
    programs = len(stories) - answered - placeholders
    lost = (f"{programs} by programs alone, " if programs else "") + count(placeholders, "placeholder")
    lost += f", {count(len(run.failures), 'failure')}" if run.failures else ""
    yield "From the model", f"{answered} of {len(stories)}", lost
    place = count(len({result.device for story in stories for result in story.results}), "device")
    rough = duration(run.seconds) if run.seconds < 600 else duration(run.seconds).split(" min")[0] + " min"
    yield "Time", rough, f"{duration(diagnose.worked(run))} of work on {place}"


def _scores(measures: diagnose.Measures, tasks: Sequence[Sequence[diagnose.Output]]) -> Iterable[tuple[str, str, str]]:
    """How good the answers are, in such figures. `tasks`: the outputs of each."""
    s = scores_of([[o.solved for o in outputs] for outputs in tasks], [[o.first for o in outputs] for outputs in tasks])
    yield "Score (pass@2)", f"{100 * s.score:.1f} %", f"95 % interval {100 * s.low:.1f} to {100 * s.high:.1f} %"
    yield "Tasks solved", f"{s.tasks_solved} of {s.tasks}", f"{s.outputs_solved} of {s.outputs} outputs"
    yield "First attempt alone", f"{100 * s.pass_at_1:.1f} %", "pass@1"
    yield "Oracle", f"{100 * measures.oracle:.1f} %", "right answer among the candidates"


def _row(number: int, story: history.Story, outputs: Sequence[diagnose.Output]) -> dict[str, Any]:
    """A task's line. `outputs`: none where nobody knows its solution."""
    votes = story.last.votes if story.last else ()
    shares = [first / total for first, total in votes if total]
    vote = min(shares) if len(shares) == story.tests else 0.0
    unjudged = "placeholder" if story.is_placeholder else "agreed" if vote >= SETTLED else "split vote"
    return {
        "number": number,
        "id": story.id,
        "status": diagnose.status(outputs) if outputs else unjudged,
        "vote": f"{vote:.4f}",
        "cells": f"{sum(o.cells for o in outputs) / len(outputs):.4f}" if outputs else "",
        "seconds": f"{sum(story.seconds.values()):.2f}",
        "said": ", ".join(f"{first} of {total} votes" for first, total in votes) or "no votes",
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Exit status 0: the report is written, its path printed; 2: it could not be."""
    parser = argparse.ArgumentParser(prog="python -m solver report", description="Write a run's report, one HTML file.")
    parser.add_argument("run", type=Path, metavar="RUN", help="the run directory, or the answer file beside it")
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"where to write it (default: {NAME} in RUN)")
    right.add_arguments(parser)
    given = parser.parse_args(argv)
    directory = record.directory_of(given.run) if given.run.suffix == ".json" else given.run
    try:
        named = given.split or given.solutions
        known = right.chosen(given.split, given.solutions, history.load(directory)).grids if named else None
        print(write(directory, given.output, known))
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename} cannot be written ({error.strerror}): pass another --output", file=sys.stderr)
        return 2
    return 0
