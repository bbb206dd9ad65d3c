"""`python -m solver.ablate`: the same tasks under several variants of the method, side by side.

Takes `submission.py`'s flags, `--variants` and `--tasks`; a variant is a whole run with its own file, record and time
limit, or a vote of another kind over what the run `full` has saved. Knows nothing of models. Laws: variants differ in
what their name says and in nothing else, the seed included; a variant that has finished is not run again, one that was
interrupted is gone on with.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from solver import history, ledger, record, replay, tasks
from solver.cli import Plan, fingerprint, parser, prepare, suited, validated
from solver.clock import Deadline
from solver.compare import ORACLE, Answered, Right, oracle, tables
from solver.config import TRANSFORMATIONS, Config, DataRecipe, require, require_machine
from solver.run import Run
from solver.tasks import BadInput
from solver.vote import RULES

LIKELY = 0.09  # probability from which on an answer is searched for (arXiv 2505.07859)
WHOLE = 256  # the rank at which an adapter of the shipped weights can be any change of a matrix
WHOLE_RATE = 0.1  # of an adapter's learning rate: a whole matrix moves by the rate itself, not by a product
HEAD_RATE = 1e-2  # of a head alone, which begins from a random one; not tuned
NEAREST = 4  # tasks of the library that are learnt from, too
SCORING_VIEWS = 8  # views under which its candidates are re-read (NVARC, 2025)
UNHURRIED = 12 * 3600.0  # seconds a variant may take where no --time-limit says otherwise: none is cut short


def _data(**changes: object) -> Callable[[Config], Config]:
    """The variant with another data recipe."""

    def change(config: Config) -> Config:
        data: DataRecipe = replace(config.train.data, **changes)  # type: ignore[arg-type]
        return replace(config, train=replace(config.train, data=data))

    return change


def searching(config: Config, views: int) -> Config:
    """Every likely answer, instead of the greedy one, re-read under so many views."""
    return replace(config, search=replace(config.search, p_min=LIKELY, views=views))


def nearing(**settings: Any) -> Callable[[Config], Config]:
    """A variant that learns from the tasks of `--library`."""
    return lambda config: replace(config, near=replace(config.near, **settings))


VARIANTS: Mapping[str, Callable[[Config], Config]] = {
    "full": lambda c: c,
    "no-ttt": lambda c: replace(c, train_share=0.0, train=replace(c.train, steps=0)),
    "end-to-end": _data(form="end-to-end", leave_two_out=False),
    "no-transformations": _data(transformations=(), sides="both"),
    "no-demonstration-loss": _data(loss="test"),
    "all-outputs-loss": _data(loss="all"),
    "shuffled": _data(form="shuffled", leave_two_out=False),
    "all-transformations": _data(transformations=TRANSFORMATIONS),
    "input-only": _data(sides="input"),
    "output-only": _data(sides="output"),
    "greedy-flat": lambda c: replace(c, rule="flat"),
    "search-flat": lambda c: replace(searching(c, 0), rule="flat"),
    "search-poe": lambda c: replace(searching(c, SCORING_VIEWS), rule="product_of_experts"),
    "search-count-nll": lambda c: replace(searching(c, SCORING_VIEWS), rule="count_minus_nll"),
    "shared": lambda c: replace(c, train=replace(c.train, scope="shared")),
    "shared-then-task": lambda c: replace(c, train=replace(c.train, scope="shared-then-task")),
    "whole": lambda c: replace(
        c,
        train=replace(c.train, whole=True, rank=WHOLE, alpha=round(WHOLE**0.5), rate=WHOLE_RATE * c.train.rate),
        engine=replace(c.engine, rank=WHOLE),
    ),
    "head": lambda c: replace(c, train=replace(c.train, head=True, side_by_side=1, rate=HEAD_RATE)),
    "nearest": nearing(count=NEAREST),
    "nearest-by-gradients": nearing(count=NEAREST, by="gradients"),
    "nearest-alone": nearing(count=NEAREST, share=1.0),
    "warm": nearing(warm=-1.0),
    "outright": nearing(outright=-1.0),
    "qlora": lambda c: replace(c, train=replace(c.train, bits=4)),
}
"""Whole runs. Leave-two-out is not among them, as under random colours leave-one-out has at least 217 distinct ones
among its 250 examples in each of 150 tasks looked at (`held-out` and `comparison`, seed 0), and all 250 in 117."""

REPLAYS: Mapping[str, str] = {**{f"vote-{rule}": rule for rule in RULES}, ORACLE: ORACLE}
"""Votes over the candidates of `full` → their rule."""

ALONE: Mapping[str, str] = {"programs-only": ledger.PROGRAMS_ALONE, "no-programs": ledger.MODEL_ALONE}
"""One mind's part of the candidates of `full`, by the run's rule → whose. What the other took of the time is not given
back: for that, run without programs, `--programs 0`."""

PAPER = (
    *("full", "no-ttt", "end-to-end", "no-transformations", "shared", "no-demonstration-loss"),
    *("vote-none", "vote-flat", "vote-hierarchical", ORACLE),
)  # arXiv 2411.07279, sections 3 and 4


def gather(options: argparse.Namespace) -> tuple[Plan, dict[str, list[str]]]:
    """The plan all variants share, over the tasks of all sources, and each source's ids. Raises `BadInput`."""
    resume = None if options.resume is None else str(options.resume)
    require("--resume", resume, resume is None, "to be left out: variants begun before are gone on with by themselves")
    if not options.tasks:
        options.split = options.split or "dry-run"
        plans = [prepare(options)]
    else:
        given = "--challenges" if options.challenges else "--split" if options.split else None
        require("--tasks", given, given is None, f"no {given} beside it: name that source with --tasks, too")
        plans = [prepare(_of_source(options, source)) for source in options.tasks]
    for plan in plans:
        if plan.solutions is None:
            name = plan.task_set.name
            raise BadInput(f"nothing to score {name} with: expected a split, or challenges with --solutions")
    merged = tasks.merge([plan.task_set for plan in plans])
    if options.tasks and options.task_ids:
        merged = tasks.select(merged, options.task_ids, None)
    sources = {plan.task_set.name: [i for i in plan.task_set.tests if i in merged.tests] for plan in plans}
    readers = [plan.solutions for plan in plans if plan.solutions is not None]

    def solutions() -> Right:
        known = {task_id: outputs for reader in readers for task_id, outputs in reader().items()}
        return {task_id: known[task_id] for task_id in merged.tests}

    known = plans[0].scored_by if len(plans) == 1 else dict.fromkeys(plans[0].scored_by)
    shared = replace(plans[0], task_set=merged, solutions=solutions, scored_by=known)
    return shared, {name: ids for name, ids in sources.items() if ids}


def _of_source(options: argparse.Namespace, source: Sequence[str]) -> argparse.Namespace:
    """The options with one source in the place of --challenges, --solutions and --split, and without --task-ids."""
    require("--tasks", " ".join(source), len(source) <= 2, "an embedded set, or a challenges file and its solutions")
    challenges, solutions = map(Path, source) if len(source) == 2 else (None, None)
    chosen = {"challenges": challenges, "solutions": solutions, "split": source[0], "task_ids": None}
    return argparse.Namespace(**{**vars(options), **chosen})


def taken_up(plan: Plan) -> Plan:
    """The plan, to be gone on with where its directory holds the same run, under the same limit, begun before."""
    try:
        kept = record.read(record.directory_of(plan.output))
    except BadInput:  # nothing there: start it
        return plan
    headers = kept.of_kind("run")
    known = headers and (headers[0]["fingerprint"], headers[0]["config"]["time_limit"])
    return replace(plan, resumed=kept) if known == (fingerprint(plan), plan.config.time_limit) else plan


def run(plan: Plan) -> int:
    """Run a variant to its end, or not at all if it has been; its exit status."""
    plan, name = taken_up(plan), plan.output.stem
    ends = plan.resumed.of_kind("end") if plan.resumed else []
    if ends and ends[-1]["status"] == 0 and plan.output.exists():
        print(f"== {name}: finished before, not run again")
        return 0
    print(f"== {name}{', gone on with' if plan.resumed else ''}")
    return Run(plan, Deadline.after(plan.config.time_limit)).execute()


def read(plan: Plan) -> Answered:
    """What a variant's run left. Raises `BadInput` where its record is missing."""
    recorded = record.read(record.directory_of(plan.output))
    spent = {(m["task_id"], m["round"]): math.fsum(m["seconds"].values()) for m in recorded.of_kind("result")}
    seconds = dict.fromkeys(plan.task_set.tests, 0.0)
    for message in recorded.of_kind("shared"):
        for task_id in message["task_ids"]:
            seconds[task_id] += message["seconds"] / len(message["task_ids"])
    for (task_id, _), of_round in spent.items():
        seconds[task_id] += of_round
    written = json.loads(plan.output.read_text())
    return Answered(plan.output.stem, written, replay.candidates_of(recorded), seconds)


def minutes(plan: Plan) -> float:
    """Wall minutes a variant has run, over all starts of it, as far as its record goes."""
    return history.load(record.directory_of(plan.output)).seconds / 60


def voted(full: Answered, plan: Plan, name: str) -> Answered:
    """`full` under another rule, or by one mind alone."""
    rule, whose = REPLAYS.get(name, plan.config.rule), ALONE.get(name, ledger.BOTH)
    kept = replay.heard(full.candidates, whose)
    attempts = replay.revote(kept, plan.task_set, rule)
    entries = {
        task_id: [{"attempt_1": first.tolist(), "attempt_2": second.tolist()} for first, second in pairs]
        for task_id, pairs in attempts.items()
    }
    return replace(full, name=name, submission=entries, candidates=kept)


def _planned(options: argparse.Namespace) -> tuple[dict[str, Plan], dict[str, list[str]]]:
    """Every run's plan, checked before the first starts, and each source's ids. Raises `BadInput`."""
    shared, sources = gather(options)
    runs = [name for name in options.variants if name in VARIANTS]
    votes = [name for name in options.variants if name in (*REPLAYS, *ALONE)]
    require("--variants", " ".join(votes), not votes or "full" in runs, "full to be among them: votes are over its run")
    outputs = {name: options.output.with_name(f"{name}.json") for name in runs}
    configs = {name: suited(VARIANTS[name](shared.config), shared.checkpoint) for name in runs}
    plans = {name: replace(shared, config=configs[name], output=output) for name, output in outputs.items()}
    cuda = all(device.gpu for device in shared.devices)
    for plan in plans.values():
        require_machine(plan.config.train, cuda, importlib.util.find_spec("bitsandbytes") is not None)
    return plans, sources


def main(argv: list[str]) -> int:
    """Run the variants one after another and print the tables, also written beside the runs."""
    made = parser()
    made.prog = "-m solver.ablate"
    made.description = "Variants of the method over the same tasks; only the folder of --output counts."
    made.set_defaults(split=None)
    known = [*VARIANTS, *REPLAYS, *ALONE]
    made.add_argument("--variants", nargs="+", choices=known, default=list(PAPER), help="what to compare")
    made.add_argument(
        "--tasks", nargs="+", action="append", metavar="SOURCE",
        help="an embedded set, or a challenges file and its solutions; given again, one more; --limit holds for each",
    )  # fmt: skip
    options = validated(made, argv)
    options.time_limit = options.time_limit or UNHURRIED
    try:
        plans, sources = _planned(options)
        answered = {}
        for name, plan in plans.items():
            if status := run(plan):
                return status
            answered[name] = read(plan)
        took = ", ".join(f"{name} {minutes(plan):.1f}" for name, plan in plans.items())
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    plan = next(iter(plans.values()))
    assert plan.solutions is not None
    right = plan.solutions()
    for name in options.variants:
        if name == ORACLE:
            answered[name] = oracle(answered["full"], right)
        elif name in (*REPLAYS, *ALONE):
            answered[name] = voted(answered["full"], plans["full"], name)
    written = f"{tables(list(answered.values()), right, sources)}\n\nSeed {plan.config.seed}; minutes: {took}."
    plan.output.with_name("table.md").write_text(written + "\n")
    print(written)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
