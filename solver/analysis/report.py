"""`python -m solver report RUN`: a run as one HTML file to look at: scores, every task with its grids, what was tried.

Knows nothing of models, and nothing that answers tasks imports it. Laws: the page is whole by itself and opens from
disk with no network; a run that is unfinished or torn is shown as far as it goes, and said to be so.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from solver.analysis import diagnose, history, show
from solver.analysis import solutions as right
from solver.analysis.diagnose import Output
from solver.analysis.history import History, Story, Turn
from solver.analysis.scoring import wilson
from solver.runtime import record
from solver.types import ATTEMPTS, INDUCTION, Attempts, BadInput, Grid, by_programs, key, round_name, same, solves
from solver.voting.candidates import BOTH, MODEL_ALONE, PROGRAMS_ALONE
from solver.voting.rules import Ranked

TOP = 8  # distinct answers shown for each test input; how many more there were is said
SOURCES = {BOTH: "model and programs", MODEL_ALONE: "model", PROGRAMS_ALONE: "programs", "": "placeholder"}
SETTLED = 0.5  # share of the votes from which a task without a solution counts as agreed on
POINTS = 400  # of a line over time: more would not be seen
TEMPLATES = Path(__file__).with_name("templates")
NAME = "report.html"  # in the run directory, where no other place is asked for

Solved = Mapping[str, Sequence[Grid]]


def write(run_directory: Path, path: Path | None = None, solutions: Solved | None = None) -> Path:
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


def render(run: History, solutions: Solved) -> str:
    """The page. Only the run's own tasks count; one without a solution is shown without a verdict."""
    known = {i: solutions[i] for i, s in run.stories.items() if i in solutions and len(solutions[i]) == s.tests}
    found: dict[str, list[Output]] = {i: [] for i in run.stories}
    for output in diagnose.outputs(run, known):
        found[output.task_id].append(output)
    measures = diagnose.measure(run, known) if known else None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    rows = [_row(n, story, found[story.id], known.get(story.id)) for n, story in enumerate(run.stories.values())]
    return environment.get_template("report.html").render(
        name=str(run.start.get("name") or run.directory.name),
        facts=_facts(run),
        warnings=_warnings(run),
        tiles=_tiles(run, known, found),
        measures=measures,
        spent=list(diagnose.spent(run).items()),
        shares=list(_stages(measures)) if measures else [],
        rows=rows,
        statuses=_statuses(rows),
        log=_log(run),
        palette=show.PALETTE,
        scripts=[(TEMPLATES / name).read_text(encoding="utf-8") for name in ("chartist-1.5.0.js", "report.js")],
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        data=_embedded(_data(run, known, found, {row["id"]: row["status"] for row in rows})),
    )


def _embedded(data: object) -> str:
    """JSON that may stand inside a script element, whatever the texts in it hold."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


# ---- the head of the page --------------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """Seconds as people read them: '4.2 s', '12 min 05 s', '3 h 07 min'."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {rest:02} s"


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
        said.append(f"Left out, as torn or not understood: {_count(run.dropped, 'line')} of the record.")
    if not run.start:
        said.append("The record's first line is missing: settings and data are unknown.")
    return said


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _tiles(run: History, known: Solved, found: Mapping[str, Sequence[Output]]) -> list[dict[str, str]]:
    """The figures a reader wants first."""
    stories = list(run.stories.values())
    placeholders = sum(story.is_placeholder for story in stories)
    answered = sum(any(map(story.from_model, range(story.tests))) for story in stories)
    tiles = [*_scores(known, [found[i] for i in known])] if known else []
    programs = len(stories) - answered - placeholders
    lost = f"{programs} by programs alone, " if programs else ""
    lost += _count(placeholders, "placeholder")
    lost += f", {_count(len(run.failures), 'failed turn')}" if run.failures else ""
    tiles.append(_tile("From the model", f"{answered} of {len(stories)}", lost))
    devices = {turn.device for story in stories for turn in story.turns}
    work = diagnose.worked(run)
    place = _count(len(devices), "device")
    rough = duration(run.seconds) if run.seconds < 600 else duration(run.seconds).split(" min")[0] + " min"
    tiles.append(_tile("Time", rough, f"{duration(work)} of work on {place}"))
    return tiles


def _tile(label: str, value: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def _scores(known: Solved, found: Sequence[Sequence[Output]]) -> Iterable[dict[str, str]]:
    every = [output for task in found for output in task]
    total = diagnose.by_task(every, [o.solved for o in every])
    low, high = wilson(total, len(known))
    whole = sum(all(o.solved for o in task) for task in found)
    yield _tile("Score (pass@2)", _percent(total), f"95 % interval {100 * low:.1f} to {100 * high:.1f} %")
    yield _tile("Tasks solved", f"{whole} of {len(known)}", f"{sum(o.solved for o in every)} of {len(every)} outputs")
    yield _tile("First attempt alone", _percent(diagnose.by_task(every, [o.first for o in every])), "pass@1")
    found_at_all = diagnose.by_task(every, [o.rank is not None for o in every])
    yield _tile("Oracle", _percent(found_at_all), "right answer among the candidates")


def _stages(measures: diagnose.Measures) -> Iterable[tuple[str, int, float]]:
    for name, outputs in measures.stages.items():
        yield name, outputs, 100 * outputs / measures.outputs


def _log(run: History) -> list[dict[str, str]]:
    """Events and failures in the order of time."""
    lines = [(at, "", text) for at, text in run.events]
    lines += [(f.at, "failed", f"{round_name(f.round)}, {', '.join(f.task_ids)}: {f.why}") for f in run.failures]
    return [{"at": duration(at), "kind": kind, "text": text} for at, kind, text in sorted(lines, key=lambda x: x[0])]


# ---- the list of tasks -----------------------------------------------------------------------------------------------


def _row(number: int, story: Story, found: Sequence[Output], known: Sequence[Grid] | None) -> dict[str, Any]:
    votes = story.last.votes if story.last else ()
    shares = [first / total for first, total in votes if total]
    vote = min(shares) if len(shares) == story.tests else 0.0
    status = diagnose.status(found) if known else _unjudged(story, vote)
    said = ", ".join(f"{first} of {total} votes" for first, total in votes) or "no votes"
    return {
        "number": number,
        "id": story.id,
        "status": status,
        "vote": f"{vote:.4f}",
        "cells": f"{sum(o.cells for o in found) / len(found):.4f}" if found else "",
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


# ---- what the page draws by itself -----------------------------------------------------------------------------------


def _data(
    run: History, known: Solved, found: Mapping[str, Sequence[Output]], statuses: Mapping[str, str]
) -> dict[str, Any]:
    """Everything the script draws, in few bytes: a grid is its rows of digits with slashes between them."""
    return {
        "curves": list(_curves(run, known)),
        "judged": bool(known),
        "strokes": [stroke(n) for n in range(len(run.rounds))],
        "reliability": [[b.vote, b.right] for b in diagnose.reliability([o for task in found.values() for o in task])],
        "tasks": {i: _task(story, run.rule, known.get(i), statuses[i]) for i, story in run.stories.items()},
    }


def stroke(n: int) -> str:
    """How the n-th line of a chart, from 0, is dashed (SVG's `stroke-dasharray`), each in a way of its own."""
    return ("none", "7 4", "2 3")[n] if n < 3 else "10 3" + " 2 3" * (n - 2)


def _curves(run: History, known: Solved) -> Iterable[dict[str, Any]]:
    """For every round a line over time: what the run was worth with the rounds up to it and none after.

    A line begins where its round does; before that it is the line of the round before. Programs that are found while
    the model works count with what stood then.
    """
    for last in run.rounds:
        worth: dict[str, float] = {}
        points = [(0.0, 0.0)]
        turns = [(t.at, i, t) for i, story in run.stories.items() for t in story.turns if t.round <= last]
        begins = 0.0 if last == run.rounds[0] else min(at for at, _, turn in turns if turn.round == last)
        for at, task_id, turn in sorted(turns, key=lambda x: x[0]):
            worth[task_id] = _worth(turn, known, task_id)
            now = (round(at, 2), round(math.fsum(worth.values()) / (len(known) or len(run.stories)), 5))
            points = [*points, now] if at >= begins else [now]
        points.append((round(run.seconds, 2), points[-1][1]))
        yield {"round": last, "name": round_name(last), "points": _thin(points)}


def _worth(turn: Turn, known: Solved, task_id: str) -> float:
    """The share of a task's outputs that are solved after a turn; without any solution, that the model answered."""
    if not known:
        programs = turn.from_programs or (0,) * len(turn.from_model)
        given = [model + program for model, program in zip(turn.from_model, programs, strict=True)]
        return sum(n > 0 for n in given) / max(1, len(given))
    outputs = known.get(task_id, ())
    hits = sum(solves(a, grid) for a, grid in zip(turn.attempts, outputs, strict=False))
    return hits / len(outputs) if outputs else 0.0


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points at which a step line changes, and the last; of very many an even choice."""
    changes = [p for n, p in enumerate(points) if n == 0 or p[1] != points[n - 1][1]]
    step = max(1, math.ceil(len(changes) / POINTS))
    return [*changes[::step], points[-1]]


def _digits(grid: Grid) -> str:
    return "/".join("".join(map(str, row)) for row in grid.tolist())


def _task(story: Story, rule: str, known: Sequence[Grid] | None, status: str) -> dict[str, Any]:
    pairs = story.task.demonstrations if story.task else ()
    return {
        "status": status,
        "pairs": [[_digits(pair.input), _digits(pair.output)] for pair in pairs],
        "tests": [_test(story, test, rule, known[test] if known else None) for test in range(story.tests)],
        "turns": [_turn(turn) for turn in story.turns],
        "failures": [[round(f.at, 2), round_name(f.round), f.why] for f in story.failures],
    }


def _test(story: Story, test: int, rule: str, known: Grid | None) -> dict[str, Any]:
    ranked = story.ranked(test, rule)
    return {
        "input": _digits(story.task.tests[test]) if story.task and test < len(story.task.tests) else None,
        "right": None if known is None else _digits(known),
        "attempts": _attempts(story.answers[test] if test < len(story.answers) else None),
        "minds": _sources(story, test, rule),
        "votes": sum(answer.votes for answer in ranked),
        "distinct": len(ranked),
        "top": list(_candidates(story, test, ranked[:TOP], known)),
    }


def _sources(story: Story, test: int, rule: str) -> list[str]:
    """Whose each attempt is, in words."""
    if not any(map(by_programs, story.rounds(test))):
        return ["model" if n < story.from_model(test) else "placeholder" for n in range(ATTEMPTS)]
    return [SOURCES[source] for source in story.sources(test, rule)]


def _attempts(pair: Attempts | None) -> list[str] | None:
    return None if pair is None else [_digits(grid) for grid in pair]


def _candidates(story: Story, test: int, ranked: Sequence[Ranked], known: Grid | None) -> Iterable[dict[str, Any]]:
    """The best answers with the views that found each: round, dihedral, colours, order, probability.

    And the programs that computed it: text, cost, share of demonstrations right when left out (None: a code model wrote
    it, and saw them all), programs alike.
    """
    behind: dict[tuple[int, int, bytes], list[list[Any]]] = {key(answer.grid): [] for answer in ranked}
    programs: dict[tuple[int, int, bytes], list[list[Any]]] = {key(answer.grid): [] for answer in ranked}
    for number, candidate in story.found(test):
        view, made = candidate.view, candidate.program
        if made is not None:
            unseen = None if number == INDUCTION else made.generalises
            programs.get(key(candidate.grid), []).append([made.text, made.cost, unseen, made.support])
            continue
        chance = float(f"{math.exp(min(0.0, candidate.logprob)):.3g}")
        told = [number, view.dihedral, "".join(map(str, view.colours)), " ".join(map(str, view.order)), chance]
        behind.get(key(candidate.grid), []).append(told)
    for answer in ranked:
        views = behind[key(answer.grid)]
        yield {
            "grid": _digits(answer.grid),
            "votes": answer.votes,
            "chance": math.fsum(view[4] for view in views) / len(views) if views else None,
            "right": None if known is None else same(answer.grid, known),
            "views": views,
            "programs": programs[key(answer.grid)],
        }


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "round": turn.round,
        "name": round_name(turn.round),
        "at": round(turn.at, 2),
        "device": turn.device,
        "steps": turn.steps,
        "planned": turn.planned,
        "losses": [round(loss, 4) if math.isfinite(loss) else None for loss in turn.losses],
        "seconds": {stage: round(spent, 2) for stage, spent in turn.seconds.items()},
        "rejected": turn.rejected,
        "notes": turn.notes,
    }


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
            found = right.load(given.split, given.solutions)
            right.check(history.load(directory), found)
            known = found.grids
        print(write(directory, given.output, known))
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename} cannot be written ({error.strerror}): pass another --output", file=sys.stderr)
        return 2
    return 0
