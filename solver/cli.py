"""The command line of `submission.py`: flags to a checked plan, before anything heavy is imported.

Knows nothing of models. Law: whatever is wrong with the input is said in one line, before an output file is touched.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from solver.config.presets import PRESETS
from solver.config.settings import (
    SCOPES,
    Config,
    InductionSettings,
    NearSettings,
    ProgramSettings,
    SearchSettings,
    TrainRecipe,
    require,
    seconds,
    unpack,
)
from solver.data import tasks
from solver.data.splits import SPLITS
from solver.data.tasks import TaskSet
from solver.hardware import devices, memory_plan
from solver.hardware.gpus import CARDS, named, shown
from solver.induction import code_model
from solver.induction.induce import sandbox_of
from solver.induction.sandbox.sandbox import readable
from solver.model import checkpoint
from solver.model.architecture import DESCRIBED, described, read
from solver.model.checkpoint import Checkpoint
from solver.runtime import record
from solver.runtime.plan import RunPlan, fingerprint
from solver.tokens import registry
from solver.training import backends, neighbours
from solver.types import BadInput, Grid
from solver.voting.rules import RULES

LARGEST_SEED = 2**32 - 1  # what every library's generator takes
OUTPUT = Path("runs/submission.json")  # where no --output is given
SAMPLES = InductionSettings().samples


class OneLine(argparse.ArgumentParser):
    """A parser whose errors are one line on standard error, exit status 2."""

    def error(self, message: str) -> NoReturn:
        """Say what came and what to do, without the usage text."""
        self.exit(2, f"error: {message}; see python {self.prog} --help\n")


def parser() -> OneLine:
    """All flags of `submission.py`."""
    made = OneLine(
        prog="submission.py",
        allow_abbrev=False,
        description="Answer ARC tasks by test-time training and vLLM sampling. With no arguments: a ten-minute dry run "
        "over 20 ARC-AGI-1 evaluation tasks with the shipped weights.",
    )
    source = made.add_mutually_exclusive_group()
    source.add_argument("--challenges", type=Path, metavar="PATH", help="Kaggle's JSON, or a folder of ARC task files")
    source.add_argument("--split", default="dry-run", metavar="NAME", help=f"an embedded set: {', '.join(SPLITS)}")
    made.add_argument("--solutions", type=Path, metavar="FILE", help="of --challenges; read for the score alone")
    made.add_argument("--task-ids", nargs="+", metavar="ID", help="only these tasks")
    made.add_argument("--limit", type=int, metavar="N", help="only the first N tasks")
    made.add_argument("--weights", type=Path, default=checkpoint.SHIPPED, metavar="DIR", help="the base model")
    made.add_argument("--format", metavar="NAME", help=f"its tokens, if not recognised: {', '.join(registry.NAMES)}")
    made.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE", help=f"default: {OUTPUT}")
    made.add_argument("--time-limit", metavar="TIME", help="such as 90s, 10m or 11h30m, start-up included")
    made.add_argument("--already-spent", default=None, metavar="TIME", help="used before this start, off the limit")
    made.add_argument("--seed", type=int, help="the same seed and no hurry give the same file, byte for byte")
    made.add_argument("--preset", default="cpu", metavar="NAME", help=f"settings to start from: {', '.join(PRESETS)}")
    made.add_argument("--devices", default="auto", metavar="NAME", help=f"one worker each: {devices.EXPECTED}")
    made.add_argument("--no-report", action="store_true", help="do not write the run's report when it ends")
    made.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in this directory (NAME.run)")
    made.add_argument("--views", type=int, metavar="N", help="views sampled for each test input")
    made.add_argument("--steps", type=int, metavar="N", help="training steps a task at most; 0: no test-time training")
    made.add_argument("--scope", metavar="NAME", help=f"whose an adapter is: {', '.join(SCOPES)}")
    made.add_argument(
        "--library", type=Path, metavar="DIR", help="tasks to learn from, made by python -m solver collect"
    )
    made.add_argument("--nearest", type=int, metavar="N", help="tasks of the library nearest to each, learnt from, too")
    made.add_argument(
        "--p-min", type=float, metavar="P", help="find every answer at least so probable; 0: the greedy one"
    )
    made.add_argument("--reread", type=int, metavar="N", help="views under which candidates are re-read for the vote")
    made.add_argument("--programs", metavar="TIME", help="of one core, a task, to search for programs; 0: none")
    made.add_argument("--code-model", type=Path, metavar="DIR", help="a Hugging Face checkpoint that writes programs")
    made.add_argument("--code-samples", type=int, metavar="N", help=f"programs asked for a task; default {SAMPLES}")
    made.add_argument("--unsafe-programs", action="store_true", help="run them even where nothing can contain them")
    made.add_argument(
        "--plan", nargs="?", const="", metavar="CARD", help=f"print the memory plan, run nothing: {', '.join(CARDS)}"
    )
    made.add_argument("--plan-model", metavar="NAME", help=f"plan for {', '.join(DESCRIBED)}, not for --weights")
    made.add_argument("--preflight", action="store_true", help="print what would keep the GPUs from working, no run")
    made.add_argument("--rule", metavar="NAME", help=f"how candidates are voted on: {', '.join(RULES)}")
    return made


def parse(argv: list[str]) -> argparse.Namespace:
    """`validated` for `submission.py`."""
    return validated(parser(), argv)


def validated(made: OneLine, argv: list[str]) -> argparse.Namespace:
    """The flags as given, times in seconds; exits with status 2 and one line where they make no sense."""
    options = made.parse_args(argv)
    try:
        options.already_spent = seconds(options.already_spent, "--already-spent") if options.already_spent else 0.0
        options.time_limit = seconds(options.time_limit, "--time-limit") if options.time_limit else None
        options.programs = _seconds_or_none_at_all(options.programs)
        require("--preset", options.preset, options.preset in PRESETS, f"one of {', '.join(PRESETS)}")
        formats = f"one of {', '.join(registry.NAMES)}"
        require("--format", options.format, options.format in (None, *registry.NAMES), formats)
        require("--limit", options.limit, options.limit is None or options.limit > 0, "at least 1 task")
        seeds = options.seed is None or 0 <= options.seed <= LARGEST_SEED
        require("--seed", options.seed, seeds, f"0 to {LARGEST_SEED}")
        alone = options.solutions is not None and options.challenges is None
        require("--solutions", str(options.solutions), not alone, "to come with --challenges; splits have their own")
        devices.check(options.devices)
        lone = options.plan_model is not None and options.plan is None
        require("--plan-model", options.plan_model, not lone, "to come with --plan")
        _alone_with_resume(made, options)
        _with_a_code_model(options)
    except BadInput as error:
        made.error(str(error))
    return options


def _seconds_or_none_at_all(text: str | None) -> float | None:
    """Of `--programs`: a time, 0 for none, None where the preset's stays. Raises `BadInput`."""
    return 0.0 if text == "0" else None if text is None else seconds(text, "--programs")


def _alone_with_resume(made: OneLine, options: argparse.Namespace) -> None:
    """Raise `BadInput` for flags that a resumed run takes from its directory."""
    if options.resume is None:
        return
    ours = ("resume", "devices", "time_limit", "already_spent", "no_report")
    for action in made._actions:
        name = action.dest
        if name not in (*ours, "help") and getattr(options, name, action.default) != action.default:
            kept = "--time-limit, --already-spent, --devices and --no-report"
            raise BadInput(f"{action.option_strings[0]} came with --resume: expected nothing beside it but {kept}")


def _with_a_code_model(options: argparse.Namespace) -> None:
    """Raise `BadInput` for flags that say how a code model is used where there is none."""
    for name in ("code_samples", "unsafe_programs"):
        given = getattr(options, name)
        lone = options.code_model is None and given is not None and given is not False
        require(f"--{name.replace('_', '-')}", given, not lone, "to come with --code-model")


def prepare(options: argparse.Namespace) -> RunPlan:
    """Read and check all the flags point to. Raises `BadInput`."""
    if options.resume is not None:
        return _resumed(options)
    if options.challenges is not None:
        task_set, name = tasks.load_challenges(options.challenges), None
        solutions = _scored(options.solutions, task_set)
    else:
        task_set, name = tasks.load_split(options.split), options.split
        solutions = _of_split(name)
    if options.task_ids or options.limit:
        task_set = tasks.select(task_set, options.task_ids, options.limit)
    weights = checkpoint.check(options.weights, options.format)
    config = inducing(suited(configure(options), weights))
    return RunPlan(
        task_set=task_set,
        checkpoint=weights,
        config=config,
        output=options.output,
        solutions=solutions,
        devices=devices.here(options.devices, _largest(weights, config)),
        scored_by={"split": name, "solutions": str(options.solutions.resolve()) if options.solutions else None},
    )


def _of_split(name: str) -> Callable[[], Mapping[str, tuple[Grid, ...]]]:
    return lambda: tasks.load_solutions(name)


def _resumed(options: argparse.Namespace) -> RunPlan:
    """The plan of a run directory: its tasks, weights and settings. Raises `BadInput` where anything of it changed."""
    directory = options.resume
    kept = record.read(directory)
    headers = kept.of_kind("run")
    if not headers:
        raise BadInput(f"{directory} has no whole first line in its record: nothing to resume; start the run again")
    header = headers[0]
    task_set = tasks.load_challenges(directory / record.CHALLENGES)
    task_set = replace(task_set, name=header["name"], sha256=header["data_sha256"])
    config = unpack(header["config"])
    if options.time_limit is not None:
        config = replace(config, time_limit=options.time_limit)
    split, path = header["split"], header["solutions"]
    solutions = _of_split(split) if split else _scored(Path(path), task_set) if path and Path(path).exists() else None
    weights = checkpoint.check(Path(header["weights"]["path"]), config.format)
    config = inducing(suited(config, weights))
    plan = RunPlan(
        task_set=task_set,
        checkpoint=weights,
        config=config,
        output=Path(header["output"]),
        solutions=solutions,
        devices=devices.here(options.devices, _largest(weights, config)),
        scored_by={"split": split, "solutions": path},
        resumed=kept,
    )
    if fingerprint(plan) != header["fingerprint"]:
        raise BadInput(
            f"{directory} is the run {header['fingerprint']}, but with the weights, library and settings of today it "
            f"would be {fingerprint(plan)}: expected nothing changed since; put back what changed, or start the run "
            "again"
        )
    return plan


def _scored(path: Path | None, task_set: TaskSet) -> Callable[[], Mapping[str, tuple[Grid, ...]]] | None:
    """A reader of the solutions file, which must be there and must name every task; what it holds is not kept."""
    if path is None:
        return None
    known = tasks.load_solutions_file(path)
    missing = [i for i in task_set.tests if i not in known]
    if missing:
        raise BadInput(f"{path} has no solution for {missing[0]}: expected the solutions of the same challenges")
    for task in task_set.tasks:
        if len(known[task.id]) != len(task.tests):
            raise BadInput(f"{path} has {len(known[task.id])} solutions for {task.id}: expected {len(task.tests)}")
    return lambda: tasks.load_solutions_file(path)


def configure(options: argparse.Namespace) -> Config:
    """The preset with what the flags change. Raises `BadInput` for a setting out of its range."""
    config = PRESETS[options.preset]
    library = None if options.library is None else str(options.library.resolve())
    model = None if options.code_model is None else str(options.code_model.resolve())
    config = replace(
        config,
        train=_changed(config.train, steps=options.steps, scope=options.scope),
        search=_changed(config.search, p_min=options.p_min, views=options.reread),
        programs=_changed(config.programs, seconds=options.programs),
        near=_changed(config.near, library=library, count=options.nearest),
        induction=_changed(config.induction, model=model, samples=options.code_samples, unsafe=options.unsafe_programs),
    )
    whole = {"time_limit": options.time_limit, "seed": options.seed, "views": options.views, "rule": options.rule}
    return _changed(config, **whole, train_share=0.0 if config.train.steps == 0 else None)


T = TypeVar("T", Config, TrainRecipe, SearchSettings, ProgramSettings, NearSettings, InductionSettings)


def _changed(settings: T, **given: Any) -> T:
    """The settings with what was given, which is what is not None."""
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


def suited(config: Config, weights: Checkpoint) -> Config:
    """The settings for these weights: their token format, a context no longer than they know positions, their library.

    Raises `BadInput` where the library is none, or was made for others, or lacks what is wanted of it, where the rank
    is too low for `whole`, where a `head` would be the embedding, and where there is nothing to put the LoRA on.
    """
    context = min(config.engine.context, registry.positions(weights.path) or config.engine.context)
    near, train = config.near, config.train
    if near.library:
        library = neighbours.load(Path(near.library), weights.sha256)
        neighbours.require_use(library, near, train, config.engine.rank)
        near = replace(near, content=neighbours.digest(Path(near.library)))
    backends.require_targets(weights.path, train)
    if train.whole:
        width = read(weights.path).hidden
        expected = f"at least {width}, the width of {weights.path.name}, as whole matrices are trained"
        require("LoRA rank", train.rank, train.rank >= width, expected)
    if train.head:
        expected = f"False, as the head of {weights.path.name} is its embedding; take weights where it is not, or LoRAs"
        require("head", train.head, not read(weights.path).tied, expected)
    return replace(config, format=weights.format, near=near, engine=replace(config.engine, context=context))


def planned(options: argparse.Namespace) -> str:
    """The memory plan that `--plan` asks for, as text: for the named card, or for each GPU found. Raises `BadInput`.

    A named card is planned with the preset meant for it, unless `--preset` names another than the default.
    """
    model = described(options.plan_model) if options.plan_model else read(options.weights)
    if options.plan:
        card = named(options.plan)
        if options.preset == "cpu":
            options.preset = memory_plan.PRESET_OF[card.name]
        return "\n".join(memory_plan.lines(memory_plan.plan(model, card, configure(options))))
    found = [gpu.card for gpu in shown()]
    if not found:
        raise BadInput(f"--plan names no card and nvidia-smi shows none: expected one of {', '.join(CARDS)}")
    return "\n".join(
        line for card in found for line in memory_plan.lines(memory_plan.plan(model, card, configure(options)))
    )


def inducing(config: Config) -> Config:
    """The settings with the code model's hash, and a context no longer than it knows positions.

    Raises `BadInput` where the model is none, or nothing on this machine can contain what it writes.
    """
    asked = config.induction
    if not asked.model:
        return config
    model = Path(asked.model)
    code_model.check(model)
    context = min(asked.writer.context, registry.positions(model) or asked.writer.context)
    writer = replace(asked.writer, context=context)
    try:
        sandbox_of(asked).close()
    except RuntimeError as error:
        raise BadInput(f"{readable(str(error))}: expected a place for programs; leave --code-model out") from None
    return replace(config, induction=replace(asked, content=checkpoint.digest(model), writer=writer))


def _largest(weights: Checkpoint, config: Config) -> int:
    """Bytes of the largest model that a worker loads: they come one after another."""
    return max(weights.bytes, checkpoint.size(Path(config.induction.model)) if config.induction.model else 0)
