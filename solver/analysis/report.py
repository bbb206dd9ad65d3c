"""`python -m solver report RUN`: a run as one HTML file to look at: scores, every task with its grids, what was tried.

Knows nothing of models, and nothing that answers tasks imports it. Laws: the page is whole by itself and opens from
disk with no network; a run that is unfinished or torn is shown as far as it goes, and said to be so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from solver.analysis import diagnose, history, show
from solver.analysis import solutions as right
from solver.analysis.diagnose import Output
from solver.analysis.history import History, Story
from solver.analysis.page import TEMPLATES, filled
from solver.analysis.report_data import Solutions, data_of
from solver.analysis.scoring import wilson
from solver.runtime import record
from solver.runtime.live import span
from solver.runtime.summary import count
from solver.types import BadInput, Grid, stage_name

SETTLED = 0.5  # share of the votes from which a task without a solution counts as agreed on
Tile: TypeAlias = tuple[str, str, str]  # a figure: what it is, its value, a note
NAME = "report.html"  # in the run directory, where no other place is asked for


def write(run_directory: Path, path: Path | None = None, solutions: Solutions | None = None) -> Path:
    """Write the report of a run, beside its record where no path is given, and say where it is.

    `solutions`: id → one grid a test input; None: those the record names, if they can be read. Raises `BadInput` where
    there is no run, and `OSError` where the file cannot be written.
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


def render(run: History, solutions: Solutions) -> str:
    """The page. Only the run's own tasks count; one without a solution is shown without a verdict."""
    known = {i: solutions[i] for i, s in run.stories.items() if i in solutions and len(solutions[i]) == s.tests}
    outputs: dict[str, list[Output]] = {i: [] for i in run.stories}
    for output in diagnose.outputs(run, known):
        outputs[output.task_id].append(output)
    measures = diagnose.measure(run, known) if known else None
    rows = [_row(n, story, outputs[story.id], known.get(story.id)) for n, story in enumerate(run.stories.values())]
    return filled(
        "report.html",
        name=str(run.start.get("name") or run.directory.name),
        facts=_facts(run),
        warnings=_warnings(run),
        tiles=_tiles(run, known, outputs),
        measures=measures,
        spent=list(diagnose.spent(run).items()),
        shares=list(_stages(measures)) if measures else [],
        rows=rows,
        statuses=_statuses(rows),
        log=_log(run),
        palette=show.PALETTE,
        scripts=[(TEMPLATES / name).read_text(encoding="utf-8") for name in ("chartist-1.5.0.js", "report.js")],
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        data=_embedded(data_of(run, known, outputs, {row["id"]: row["status"] for row in rows})),
    )


def _embedded(data: object) -> str:
    """JSON that may stand inside a script element, whatever the texts in it hold."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


# ---- the head of the page --------------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """Seconds as people read them: '4.2 s', '12 min 05 s', '3 h 07 min'."""
    return f"{seconds:.1f} s" if seconds < 60 else span(round(seconds))


def _facts(run: History) -> list[tuple[str, str]]:
    """What was run, as the record's first line says it."""
    start = run.start
    config = start["config"] if isinstance(start.get("config"), dict) else {}
    weights = start["weights"] if isinstance(start.get("weights"), dict) else {}
    given = {
        "run": start.get("fingerprint"),
        "data": _short(start.get("data_sha256")),
        "weights": " ".join(filter(None, (str(weights.get("name") or ""), _short(weights.get("sha256"))))),
        "seed": config.get("seed"),
        "views": config.get("views"),
        "vote": run.rule,
        "limit": duration(config["time_limit"]) if isinstance(config.get("time_limit"), int | float) else None,
    }
    return [(name, str(value)) for name, value in given.items() if value not in (None, "")]


def _short(value: object) -> str:
    return str(value or "")[: right.SHOWN]


def _warnings(run: History) -> list[str]:
    """What a reader must know before believing the rest."""
    said = []
    if run.status is None:
        said.append("This run has not ended: it is still being written, or was cut off. What is whole is shown.")
    elif run.status:
        said.append(f"This run ended with exit status {run.status}.")
    if run.dropped:
        said.append(f"Left out, as torn or not understood: {count(run.dropped, 'line')} of the record.")
    if not run.start:
        said.append("The record's first line is missing: settings and data are unknown.")
    return said


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _tiles(run: History, known: Solutions, outputs: Mapping[str, Sequence[Output]]) -> list[Tile]:
    """The figures a reader wants first."""
    stories = list(run.stories.values())
    placeholders = sum(story.is_placeholder for story in stories)
    answered = sum(any(map(story.from_model, range(story.tests))) for story in stories)
    tiles = [*_scores(known, [outputs[i] for i in known])] if known else []
    programs = len(stories) - answered - placeholders
    lost = f"{programs} by programs alone, " if programs else ""
    lost += count(placeholders, "placeholder")
    lost += f", {count(len(run.failures), 'failure')}" if run.failures else ""
    tiles.append(("From the model", f"{answered} of {len(stories)}", lost))
    devices = {result.device for story in stories for result in story.results}
    work = diagnose.worked(run)
    place = count(len(devices), "device")
    rough = duration(run.seconds) if run.seconds < 600 else duration(run.seconds).split(" min")[0] + " min"
    tiles.append(("Time", rough, f"{duration(work)} of work on {place}"))
    return tiles


def _scores(known: Solutions, outputs: Sequence[Sequence[Output]]) -> Iterable[Tile]:
    every = [output for task in outputs for output in task]
    total = diagnose.by_task(every, [o.solved for o in every])
    low, high = wilson(total, len(known))
    whole = sum(all(o.solved for o in task) for task in outputs)
    yield ("Score (pass@2)", _percent(total), f"95 % interval {100 * low:.1f} to {100 * high:.1f} %")
    yield ("Tasks solved", f"{whole} of {len(known)}", f"{sum(o.solved for o in every)} of {len(every)} outputs")
    yield ("First attempt alone", _percent(diagnose.by_task(every, [o.first for o in every])), "pass@1")
    oracle = diagnose.by_task(every, [o.rank is not None for o in every])
    yield ("Oracle", _percent(oracle), "right answer among the candidates")


def _stages(measures: diagnose.Measures) -> Iterable[tuple[str, int, float]]:
    for name, outputs in measures.reached.items():
        yield name, outputs, 100 * outputs / measures.outputs


def _log(run: History) -> list[dict[str, str]]:
    """Events and failures in the order of time."""
    lines = [(at, "", text) for at, text in run.events]
    lines += [(f.at, "failed", f"{stage_name(f.stage)}, {', '.join(f.task_ids)}: {f.why}") for f in run.failures]
    return [{"at": duration(at), "kind": kind, "text": text} for at, kind, text in sorted(lines, key=lambda x: x[0])]


# ---- the list of tasks -----------------------------------------------------------------------------------------------


def _row(number: int, story: Story, outputs: Sequence[Output], known: Sequence[Grid] | None) -> dict[str, Any]:
    votes = story.last.votes if story.last else ()
    shares = [first / total for first, total in votes if total]
    vote = min(shares) if len(shares) == story.tests else 0.0
    status = diagnose.status(outputs) if known else _unjudged(story, vote)
    said = ", ".join(f"{first} of {total} votes" for first, total in votes) or "no votes"
    return {
        "number": number,
        "id": story.id,
        "status": status,
        "vote": f"{vote:.4f}",
        "cells": f"{sum(o.cells for o in outputs) / len(outputs):.4f}" if outputs else "",
        "seconds": f"{sum(story.seconds.values()):.2f}",
        "said": said,
    }


def _unjudged(story: Story, vote: float) -> str:
    """What to call a task nobody knows the solution of."""
    if story.is_placeholder:
        return "placeholder"
    return "agreed" if vote >= SETTLED else "split vote"


def _statuses(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """The statuses there are, with their counts, the best first."""
    order = ("solved", "agreed", "near miss", "split vote", "failed", "placeholder")
    counts = {name: sum(row["status"] == name for row in rows) for name in order}
    return [(name, count) for name, count in counts.items() if count]


# ---- the command line ------------------------------------------------------------------------------------------------


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m solver report", description="Write a run's report, one HTML file.")
    parser.add_argument("run", type=Path, metavar="RUN", help="the run directory, or the answer file beside it")
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"where to write it (default: {NAME} in RUN)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--solutions", type=Path, metavar="FILE", help="Kaggle's solutions JSON (default: the run's)")
    source.add_argument("--split", metavar="NAME", help="the embedded set with the solutions (default: the run's)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Exit status 0: the report is written, its path printed; 2: it could not be."""
    given = _arguments(argv)
    directory = record.directory_of(given.run) if given.run.suffix == ".json" else given.run
    try:
        known = None
        if given.split or given.solutions:
            solutions = right.load(given.split, given.solutions)
            right.check(history.load(directory), solutions)
            known = solutions.grids
        print(write(directory, given.output, known))
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename} cannot be written ({error.strerror}): pass another --output", file=sys.stderr)
        return 2
    return 0
