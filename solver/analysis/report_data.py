"""What the script of a run's report draws: curves over time, and every task with its grids, candidates and stages."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from solver.analysis.diagnose import Bin
from solver.analysis.history import History, Story
from solver.runtime.record import StageResult
from solver.types import ATTEMPTS, INDUCTION, Candidate, Grid, Outputs, key, same, solves, stage_name
from solver.voting.candidates import BOTH, MODEL_ALONE, PROGRAMS_ALONE
from solver.voting.rules import Ranked

TOP = 8  # distinct answers shown for each test input; how many more there were is said
SOURCES = {BOTH: "model and programs", MODEL_ALONE: "model", PROGRAMS_ALONE: "programs", "": "placeholder"}
POINTS = 400  # of a line over time: more would not be seen


def data_of(run: History, known: Outputs, reliability: Sequence[Bin], statuses: Mapping[str, str]) -> dict[str, Any]:
    """Everything the script draws. `known`: solutions. `reliability`: of the vote. `statuses`: in words, by task."""
    return {
        "curves": list(_curves(run, known)),
        "judged": bool(known),
        "strokes": [stroke(n) for n in range(len(run.stages))],
        "reliability": [[b.vote, b.right] for b in reliability],
        "tasks": {i: _task(story, run.rule, known.get(i), statuses[i]) for i, story in run.stories.items()},
    }


def stroke(n: int) -> str:
    """How the n-th line of a chart, from 0, is dashed (SVG's `stroke-dasharray`), each in a way of its own."""
    return ("none", "7 4", "2 3")[n] if n < 3 else "10 3" + " 2 3" * (n - 2)


def _curves(run: History, known: Outputs) -> Iterable[dict[str, Any]]:
    """For every stage a line over time: what the run was worth with the stages up to it and none after.

    A line begins where its stage does; before that it is the line of the stage before. Programs that are found while
    the model works count with what stood then. Of very many changes an even choice is shown.
    """
    for last in run.stages:
        worth: dict[str, float] = {}
        points = [(0.0, 0.0)]
        results = [(t.at, i, t) for i, story in run.stories.items() for t in story.results if t.stage <= last]
        begins = 0.0 if last == run.stages[0] else min(at for at, _, result in results if result.stage == last)
        for at, task_id, result in sorted(results, key=lambda x: x[0]):
            worth[task_id] = _worth(result, known, task_id)
            now = (round(at, 2), round(math.fsum(worth.values()) / (len(known) or len(run.stories)), 5))
            points = [*points, now] if at >= begins else [now]
        changes = [p for n, p in enumerate(points) if n == 0 or p[1] != points[n - 1][1]]
        step = max(1, math.ceil(len(changes) / POINTS))
        points = [*changes[::step], (round(run.seconds, 2), points[-1][1])]
        yield {"stage": last, "name": stage_name(last), "points": points}


def _worth(result: StageResult, known: Outputs, task_id: str) -> float:
    """The share of a task's outputs that are solved after a stage; without any solution, that the model answered."""
    if not known:
        given = [sum(two) for two in zip_longest(result.from_model, result.from_programs, fillvalue=0)]
        return sum(n > 0 for n in given) / max(1, len(given))
    outputs = known.get(task_id, ())
    hits = sum(solves(a, grid) for a, grid in zip(result.attempts, outputs, strict=False))
    return hits / len(outputs) if outputs else 0.0


def _digits(grid: Grid) -> str:
    """A grid in few bytes: rows of digits with slashes between them."""
    return "/".join("".join(map(str, row)) for row in grid.tolist())


def _task(story: Story, rule: str, known: Sequence[Grid] | None, status: str) -> dict[str, Any]:
    pairs = story.task.demonstrations if story.task else ()
    return {
        "status": status,
        "pairs": [[_digits(pair.input), _digits(pair.output)] for pair in pairs],
        "tests": [_test(story, test, rule, known[test] if known else None) for test in range(story.tests)],
        "results": [_result(result) for result in story.results],
        "failures": [[round(f.at, 2), stage_name(f.stage), f.why] for f in story.failures],
    }


def _test(story: Story, test: int, rule: str, known: Grid | None) -> dict[str, Any]:
    ranked, attempts = story.ranked(test, rule), story.attempts(test)
    return {
        "input": _digits(story.task.tests[test]) if story.task and test < len(story.task.tests) else None,
        "right": None if known is None else _digits(known),
        "attempts": None if attempts is None else [_digits(grid) for grid in attempts],
        "sources": [SOURCES[source] for source in story.sources(test, rule) or ("",) * ATTEMPTS],
        "votes": sum(answer.votes for answer in ranked),
        "distinct": len(ranked),
        "top": list(_candidates(story, test, ranked[:TOP], known)),
    }


def _candidates(story: Story, test: int, ranked: Sequence[Ranked], known: Grid | None) -> Iterable[dict[str, Any]]:
    """The best answers with the views that found each: stage, dihedral, colours, order, probability.

    And the programs that computed it: text, cost, share of demonstrations right when left out (None: a code model wrote
    it, and saw them all), programs alike.
    """
    behind: defaultdict[tuple[int, int, bytes], list[tuple[int, Candidate]]] = defaultdict(list)
    for number, candidate in story.candidates(test):
        behind[key(candidate.grid)].append((number, candidate))
    for answer in ranked:
        own = behind[key(answer.grid)]
        views = [_view(number, candidate) for number, candidate in own if candidate.program is None]
        programs = [(number, candidate.program) for number, candidate in own if candidate.program is not None]
        yield {
            "grid": _digits(answer.grid),
            "votes": answer.votes,
            "chance": math.fsum(view[-1] for view in views) / len(views) if views else None,
            "right": None if known is None else same(answer.grid, known),
            "views": views,
            "programs": [[p.text, p.cost, None if n == INDUCTION else p.generalises, p.support] for n, p in programs],
        }


def _view(number: int, candidate: Candidate) -> list[Any]:
    view, chance = candidate.view, float(f"{math.exp(min(0.0, candidate.logprob)):.3g}")
    return [number, view.dihedral, "".join(map(str, view.colours)), " ".join(map(str, view.order)), chance]


def _result(result: StageResult) -> dict[str, Any]:
    return {
        "stage": result.stage,
        "name": stage_name(result.stage),
        "at": round(result.at, 2),
        "device": result.device,
        "steps": result.steps,
        "planned": result.planned,
        "losses": [round(loss, 4) if math.isfinite(loss) else None for loss in result.losses],
        "seconds": {stage: round(spent, 2) for stage, spent in result.seconds.items()},
        "rejected": result.rejected,
        "notes": result.notes,
    }
