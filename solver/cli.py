"""The flags of `submission.py`, made of the settings. Those that make no sense end with one line and exit status 2.

What `--plan` prints in place of a run: memory on GPUs, memory and seconds on a CPU.
"""

import argparse
from typing import NoReturn

from solver.config import flags
from solver.config.setting import entries
from solver.config.settings import Config
from solver.hardware import devices, memory_plan, time_plan
from solver.hardware.gpus import named, shown
from solver.model.architecture import described, read
from solver.runtime.options import RunOptions
from solver.runtime.prepare import RunPlan, configure
from solver.tokens import registry
from solver.types import BadInput

CPU = "cpu"  # what `--plan` calls it
FLAGS = tuple(entry for tree in (Config, RunOptions) for entry in entries(tree) if entry.about.flag)


class OneLine(argparse.ArgumentParser):
    """A parser whose errors are one line on standard error, exit status 2."""

    def error(self, message: str) -> NoReturn:
        """Say what came and what to do, without the usage text."""
        self.exit(2, f"error: {message}; see python {self.prog} --help\n")


def parser() -> OneLine:
    """All flags of `submission.py`."""
    parser = OneLine(
        prog="submission.py",
        allow_abbrev=False,
        description="Answer ARC tasks by test-time training and vLLM sampling. With no arguments: a ten-minute dry run "
        "over 20 ARC-AGI-1 evaluation tasks with the shipped weights.",
    )
    flags.add(parser, entries(RunOptions), defaults=True)
    flags.add(parser, entries(Config), defaults=False)
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """`validated` for `submission.py`."""
    return validated(parser(), argv)


def validated(parser: OneLine, argv: list[str]) -> argparse.Namespace:
    """The flags as given, their texts read; exits with status 2 and one line where they make no sense."""
    options = parser.parse_args(argv)
    try:
        flags.refuse_lone(options, FLAGS)
        flags.read(options, FLAGS)
        devices.check(options.devices)
        _refuse_beside_resume(parser, options)
    except BadInput as error:
        parser.error(str(error))
    return options


def _refuse_beside_resume(parser: OneLine, options: argparse.Namespace) -> None:
    """Raise `BadInput` for flags that a resumed run takes from its directory."""
    if options.resume is None:
        return
    kept = {entry.path: entry.about.flag for entry in FLAGS if entry.about.resumes}
    *most, last = (flag for path, flag in kept.items() if path != "resume")
    for action in parser._actions:
        if action.dest not in (*kept, "help") and getattr(options, action.dest) != action.default:
            came = f"{action.option_strings[0]} came with --resume"
            raise BadInput(f"{came}: expected nothing beside it but {', '.join(most)} and {last}")


def planned(options: argparse.Namespace) -> str:
    """The memory plan that `--plan` asks for on GPUs, as text: for the named card, or for each GPU there is."""
    model = described(options.plan_model) if options.plan_model else read(options.weights)
    cards = [named(options.plan)] if options.plan else [gpu.card for gpu in shown()]
    if options.plan and options.preset == "cpu":  # the default: the card's own is meant
        options.preset = memory_plan.PRESET_OF[cards[0].name]
    plans = [memory_plan.plan(model, card, configure(options)) for card in cards]
    notes = [f"  note: {card.caveat}" for card in cards if card.caveat]
    return "\n".join([*(line for plan in plans for line in memory_plan.lines(plan)), *notes])


def cpu_is_meant(options: argparse.Namespace) -> bool:
    """Whether `--plan` is for this machine's CPU: it says so, or names no card and there is no GPU to plan for.

    Raises `BadInput` for flags beside it that are about no model in a directory, or no CPU of this machine.
    """
    if options.plan is None or options.plan.lower() not in ("", CPU) or (not options.plan and shown()):
        return False
    for came, flag, expected in (
        (options.plan_model, "--plan-model", "--weights with a directory"),
        (options.cluster, "--cluster", "none, as this machine is measured"),
        (options.devices[:1].isdecimal() and options.devices, "--devices", "auto, cpu, or cpu:N for N processes"),
    ):
        if came:
            raise BadInput(f"{flag} {came} came with --plan for a CPU: expected {expected}; or --plan with a card")
    return True


def time_planned(options: argparse.Namespace, run: RunPlan) -> str:
    """The time plan of a run on this machine's CPU, as text; what a process does a second is measured for it.

    Raises `BadInput` for weights that no CPU trains.
    """
    memory, cores, config = devices.free_memory(), devices.cores_here(), run.config
    used = devices.listed(options.devices, cores, 0, memory=memory, weights=run.checkpoint.bytes)
    threads = int(used[0].environment.get("OMP_NUM_THREADS", min(cores, config.engine.threads)))
    model, format = read(run.checkpoint.path), registry.load(config.format, run.checkpoint.path)
    sizes = time_plan.lengths(run.task_set.tasks, config.engine.context, format)
    rows = time_plan.at_once(model, config, sizes)
    from solver.training.machine_rates import measure  # only now: it loads torch

    rates = measure(model, config.train.rank, rows, len(used), threads)
    machine = time_plan.CpuMachine(len(used), threads, memory, rates)
    return "\n".join(time_plan.lines(time_plan.plan(model, config, sizes, machine)))
