"""`python -m solver ablate`: the same tasks under several variants of the method, side by side.

Takes `submission.py`'s flags, `--variants` and `--tasks`; a variant is a whole run with its own file, record and time
limit, or a vote of another kind over what a run has saved: `full`, or the one named behind an `@`. Writes the table and
a chart of it into the folder of `--output`. Laws: variants differ in what their name says and in nothing else, the seed
included; a variant that has finished is not run again, one that was interrupted is gone on with for the time it has
left, by the program that began it; the table says which were run by another.
"""

import argparse
import importlib.util
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from solver.analysis import history, replay
from solver.analysis.scoring import scored
from solver.analysis.solutions import read_solutions
from solver.analysis.variant_table import ORACLE, Answered, oracle, row, svg, tables
from solver.analysis.variants import ALONE, FULL, OVER, PAPER, REPLAYS, VARIANTS, parts, refuse_unknown, variant
from solver.cli import parser, validated
from solver.clock import Deadline
from solver.config.settings import NearSettings, require, require_machine
from solver.data import tasks
from solver.runtime import record
from solver.runtime.prepare import RunPlan, fingerprint, prepare, program, recorded_fingerprint, suited
from solver.runtime.run import Run
from solver.types import ADAPTER, BadInput, Outputs
from solver.voting import candidates
from solver.voting.rules import PAPERS, VOTE_WORTH

UNHURRIED = 12 * 3600.0  # seconds a variant may take where no --time-limit says otherwise: none is cut short
LEAST = 1.0  # seconds a variant gets to write what it has, where it was interrupted with none left


def gather(options: argparse.Namespace) -> tuple[RunPlan, dict[str, list[str]]]:
    """The plan all variants share, over the tasks of all sources, and each source's ids. Raises `BadInput`."""
    resume = None if options.resume is None else str(options.resume)
    require("--resume", resume, resume is None, "to be left out: variants begun before are gone on with by themselves")
    if not options.tasks:
        options.split = options.split or "dry-run"
        plans = [prepare(options, read_solutions)]
    else:
        given = "--challenges" if options.challenges else "--split" if options.split else None
        require("--tasks", given, given is None, f"no {given} beside it: name that source with --tasks, too")
        plans = [prepare(_of_source(options, source), read_solutions) for source in options.tasks]
    for plan in plans:
        if plan.solutions is None:
            name = plan.task_set.name
            raise BadInput(f"nothing to score {name} with: expected a split, or challenges with --solutions")
    merged = tasks.merge([plan.task_set for plan in plans])
    if options.tasks and options.task_ids:
        merged = tasks.select(merged, options.task_ids, None)
    sources = {plan.task_set.name: [i for i in plan.task_set.tests if i in merged.tests] for plan in plans}
    readers = [plan.solutions for plan in plans if plan.solutions is not None]

    def solutions() -> Outputs:
        known = {task_id: outputs for reader in readers for task_id, outputs in reader().items()}
        return {task_id: known[task_id] for task_id in merged.tests}

    scored_by = plans[0].scored_by if len(plans) == 1 else dict.fromkeys(plans[0].scored_by)
    shared = replace(plans[0], task_set=merged, solutions=solutions, scored_by=scored_by)
    return shared, {name: ids for name, ids in sources.items() if ids}


def _of_source(options: argparse.Namespace, source: Sequence[str]) -> argparse.Namespace:
    """The options with one source in the place of --challenges, --solutions and --split, and without --task-ids."""
    require("--tasks", " ".join(source), len(source) <= 2, "an embedded set, or a challenges file and its solutions")
    challenges, solutions = map(Path, source) if len(source) == 2 else (None, None)
    chosen = {"challenges": challenges, "solutions": solutions, "split": source[0], "task_ids": None}
    return argparse.Namespace(**{**vars(options), **chosen})


def taken_up(plan: RunPlan) -> RunPlan:
    """The plan, to be gone on with where its directory holds the same run, under the same limit, begun before."""
    try:
        kept = record.load(plan.directory)
    except BadInput:  # nothing there: start it
        return plan
    known = kept.headers and (recorded_fingerprint(kept.headers[0]), kept.headers[0]["config"]["time_limit"])
    return replace(plan, resumed=kept) if known == (fingerprint(plan), plan.config.time_limit) else plan


def finished(plan: RunPlan) -> bool:
    """Whether a plan that was taken up has nothing left to do."""
    return plan.resumed is not None and plan.resumed.status == 0 and plan.output.exists()


def run(plan: RunPlan) -> int:
    """Run a variant to its end, or not at all if it has been; its exit status."""
    plan, name = taken_up(plan), plan.output.stem
    if finished(plan):
        print(f"== {name}: finished before, not run again")
        return 0
    print(f"== {name}{', gone on with' if plan.resumed else ''}")
    left = max(LEAST, plan.config.time_limit - (plan.resumed.seconds if plan.resumed else 0.0))  # by earlier starts
    config = replace(plan.config, time_limit=left)
    return Run(replace(plan, config=config), Deadline.after(left), scored).execute()


def read(plan: RunPlan, history: history.History) -> Answered:
    """What a variant's run left."""
    seconds = {task_id: math.fsum(story.seconds.values()) for task_id, story in history.stories.items()}
    steps, written = trained(history, plan.config.train.scope), json.loads(plan.output.read_text())
    return Answered(plan.output.stem, written, replay.candidates_of(history), seconds, steps)


def trained(run: record.RunRecord, scope: str) -> dict[str, int]:
    """Tasks that were answered with an adapter trained in the run → its steps; of several, the one trained longest.

    A shared adapter serves all its tasks as it is, but is only a start where the scope has each train its own.
    """
    adapters = [s for s in run.shared if scope == "shared" and s.trained.adapter is not None]
    common = {task_id: shared.trained.steps for shared in adapters for task_id in shared.task_ids}
    steps: dict[str, int] = {}
    for result in run.results:
        own = common.get(result.task_id, result.steps)
        if result.stage >= ADAPTER and own:
            steps[result.task_id] = max(own, steps.get(result.task_id, 0))
    return steps


def programs(run: record.RunRecord) -> list[str]:
    """The programs that worked on a run, by their hash."""
    return sorted({str(header.get("code", "unknown")) for header in run.headers})


def strangers(runs: Mapping[str, history.History]) -> str:
    """Which variants were run by another program than this one, as a sentence; none: nothing."""
    others = [f"{name} ({', '.join(programs(run))})" for name, run in runs.items() if programs(run) != [program()]]
    return f" Run by other code than {program()}, which is here now: {', '.join(others)}." if others else ""


def voted(saved: Answered, plan: RunPlan, name: str, right: Outputs) -> Answered:
    """A run's candidates under another rule, from one source alone, or by a vote that knows what is right."""
    kind, _ = parts(name)
    if kind == ORACLE:
        return replace(oracle(saved, right), name=name)
    kept = replay.from_source(saved.candidates, ALONE.get(kind, candidates.BOTH))
    attempts = replay.revote(kept, plan.task_set, REPLAYS.get(kind, plan.config.rule))
    entries = {
        task_id: [{"attempt_1": first.tolist(), "attempt_2": second.tolist()} for first, second in pairs]
        for task_id, pairs in attempts.items()
    }
    return replace(saved, name=name, submission=entries, candidates=kept)


def _planned(options: argparse.Namespace) -> tuple[list[str], dict[str, RunPlan], dict[str, list[str]]]:
    """The variants, every run's plan, checked before the first starts, and each source's ids. Raises `BadInput`."""
    names = list(dict.fromkeys(options.variants or PAPER))
    for name in names:
        refuse_unknown(name)
    shared, sources = gather(options)
    if not options.variants and options.rule is None:  # the paper's variants are compared as the paper votes
        shared = replace(shared, config=replace(shared.config, rule=PAPERS))
    plans = {}
    for name in filter(VARIANTS.__contains__, names):
        config = variant(name, shared.config)
        if not config.near.asked:  # with a library it is the same as without
            config = replace(config, near=NearSettings())
        output = options.output.with_name(f"{name}.json")
        plans[name] = replace(shared, config=suited(config, shared.checkpoint), output=output)
    bitsandbytes = importlib.util.find_spec("bitsandbytes") is not None
    for name, plan in [*plans.items()]:
        try:
            require_machine(plan.config.train, all(device.gpu for device in plan.devices), bitsandbytes)
        except BadInput as why:
            if options.variants:
                raise
            print(f"== {name}: left out: {why}")
            names.remove(name)
            del plans[name]
    for plan in map(taken_up, plans.values()):
        begun_by = programs(plan.resumed) if plan.resumed and not finished(plan) else [program()]
        if begun_by != [program()]:
            raise BadInput(
                f"{plan.directory} was begun by the program {' and '.join(begun_by)}, and this is {program()}: "
                "expected the same to go on with it; put that back, or remove the directory"
            )
    for name in names:
        if name not in plans:  # a vote, which needs candidates, and what its rule goes by
            kind, source = parts(name)
            require("--variants", name, source in plans, f"{source} to be among them: it is a vote over that run")
            read_again = REPLAYS.get(kind) not in VOTE_WORTH or plans[source].config.search.views > 0
            expected = (
                f"{kind}{OVER}search-poe with search-poe, or --reread: the candidates of {source} are not re-read"
            )
            require("--variants", name, read_again, expected)
    return names, plans, sources


def main(argv: list[str]) -> int:
    """Run the variants one after another and print the tables, also written beside the runs."""
    flags = parser()
    flags.prog = "-m solver ablate"
    flags.description = "Variants of the method over the same tasks; only the folder of --output counts."
    flags.set_defaults(split=None)
    known = f"{', '.join((*VARIANTS, *REPLAYS, *ALONE))}; default: those of the paper"
    flags.add_argument("--variants", nargs="+", metavar="NAME", help=f"what to compare: {known}")
    flags.add_argument(
        "--tasks", nargs="+", action="append", metavar="SOURCE",
        help="an embedded set, or a challenges file and its solutions; given again, one more; --limit holds for each",
    )  # fmt: skip
    options = validated(flags, argv)
    options.time_limit = options.time_limit or UNHURRIED
    try:
        names, plans, sources = _planned(options)
        runs, answered = {}, {}
        for name, plan in plans.items():
            if status := run(plan):
                return status
            runs[name] = history.load(plan.directory)
            answered[name] = read(plan, runs[name])
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    plan = next(iter(plans.values()))
    assert plan.solutions is not None
    right = plan.solutions()
    for name in names:
        if name not in plans:
            source = parts(name)[1]
            answered[name] = voted(answered[source], plans[source], name, right)
    compared, reference = [answered[name] for name in names], FULL if FULL in plans else names[0]
    took = ", ".join(f"{name} {one.seconds / 60:.1f}" for name, one in runs.items())
    written = f"{tables(compared, right, sources, reference)}\n\nSeed {plan.config.seed}; minutes: {took}."
    written += strangers(runs)
    plan.output.with_name("table.md").write_text(written + "\n")
    plan.output.with_name("chart.svg").write_text(svg([row(one, right) for one in compared]))
    print(written)
    return 0
