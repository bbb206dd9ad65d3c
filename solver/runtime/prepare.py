"""From flags to a plan that is checked, before anything heavy is imported; the hashes that tell one run from another.

Invariant: whatever is wrong with the input is said in one line, before an output file is touched.
"""

import argparse
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias

from solver.config.learning_rates import learning_rate
from solver.config.presets import PRESETS
from solver.config.setting import canonical, changed, entries, require, unpack
from solver.config.settings import PROGRAMS_SHARE, Config, ProgramSettings
from solver.data import tasks
from solver.hardware.devices import Device
from solver.induction.induce import sandbox_of
from solver.induction.model_files import check_model
from solver.induction.sandbox.sandbox import readable
from solver.model import checkpoint
from solver.model.architecture import read
from solver.model.checkpoint import Checkpoint
from solver.runtime import record
from solver.runtime.machines import Machines, ThisMachine, machines_of
from solver.tokens import registry
from solver.training import adapter_kinds, neighbours
from solver.types import BadInput, Outputs

ReadSolutions: TypeAlias = Callable[[str | Path], Outputs]  # of an embedded set, by its name, or of a file

HERE = Path(__file__).resolve().parents[1]
LONGEST_SEARCH = 60.0  # seconds of one core for programs that a task has without being given more; not tuned


@dataclass(frozen=True)
class RunPlan:
    """A run, checked: what to answer, with which weights and settings, and where to write."""

    task_set: tasks.TaskSet
    checkpoint: Checkpoint
    config: Config
    output: Path
    solutions: Callable[[], Outputs] | None  # reads them; used by nobody before a task's answers are fixed
    devices: tuple[Device, ...]  # one worker each
    scored_by: Mapping[str, str | None]  # names the solutions: the split, or the file
    machines: Machines = ThisMachine()  # noqa: RUF009  it has no state
    resumed: record.RunRecord | None = None  # the record of the run to continue

    @property
    def here(self) -> bool:
        """Whether its workers are on this machine."""
        return isinstance(self.machines, ThisMachine)

    @property
    def directory(self) -> Path:
        return record.directory_of(self.output)


@cache
def program(folder: Path = HERE) -> str:
    """A short hash of the solver's own code and the judge's table, which a fingerprint says nothing of."""
    whole = hashlib.sha256()
    for path in sorted([*folder.rglob("*.py"), *folder.glob("voting/*.json")]):
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()[:12]


def fingerprint(plan: RunPlan) -> str:
    """A short hash of everything the answers depend on, time and the program aside."""
    return _hashed(plan.task_set.sha256, plan.task_set.tests, plan.checkpoint.sha256, plan.config)


def recorded_fingerprint(header: Mapping[str, Any]) -> str:
    """The same of the run that a record's first line begins, whose own hash may have been made in another way.

    Raises `KeyError` for what the line lacks, and `BadInput` for settings this version does not know.
    """
    weights = header["weights"]["sha256"]
    return _hashed(header["data_sha256"], header["tests"], weights, unpack(Config, header["config"]))


def _hashed(data: str, ids: Iterable[str], weights: str, config: Config) -> str:
    settings = canonical(replace(config, time_limit=Config().time_limit))
    return hashlib.sha256(json.dumps([data, list(ids), weights, settings]).encode()).hexdigest()[:12]


def configure(options: argparse.Namespace) -> Config:
    """The preset with what the flags change. Raises `BadInput` for settings that contradict each other."""
    flags = {entry.path: getattr(options, entry.path) for entry in entries(Config) if entry.about.flag}
    config = changed(PRESETS[options.preset], {path: value for path, value in flags.items() if value is not None})
    return replace(config, train_share=0.0) if config.train.steps == 0 else config


def prepare(options: argparse.Namespace, read_solutions: ReadSolutions) -> RunPlan:
    """Read and check all the flags point to; `read_solutions` is for the score alone. Raises `BadInput`."""
    if options.resume is not None:
        return _resumed(options, read_solutions)
    if options.challenges is not None:
        task_set, name = tasks.load_challenges(options.challenges), None
        solutions = _scored(options.solutions, task_set, read_solutions)
    else:
        task_set, name = tasks.load_split(options.split), options.split
        solutions = partial(read_solutions, name)
    if options.task_ids or options.limit:
        task_set = tasks.select(task_set, options.task_ids, options.limit)
    scored_by = {"split": name, "solutions": str(options.solutions.resolve()) if options.solutions else None}
    weights = checkpoint.check(options.weights, options.format)
    config = configure(options)
    if getattr(options, "train.rate") is None:
        config = replace(config, train=replace(config.train, rate=usual_rate(weights)))
    plan = _on(options, RunPlan(task_set, weights, config, options.output, solutions, (), scored_by))
    unasked = getattr(options, "programs.seconds") is None and config.programs == ProgramSettings()
    return with_longer_searches(plan) if unasked else plan


def with_longer_searches(plan: RunPlan) -> RunPlan:
    """The plan with as many seconds for each search for programs as its share of the time has, where that is more.

    On a CPU, where programs and model take turns; at most `LONGEST_SEARCH`.
    """
    if not plan.devices or any(device.gpu for device in plan.devices):
        return plan
    programs, usable = plan.config.programs, max(0.0, plan.config.time_limit - plan.config.reserve)
    each = PROGRAMS_SHARE * usable * len(plan.devices) / max(1, len(plan.task_set.tasks))
    seconds = float(min(LONGEST_SEARCH, max(programs.seconds, math.floor(each))))
    return replace(plan, config=replace(plan.config, programs=replace(programs, seconds=seconds)))


def _on(options: argparse.Namespace, plan: RunPlan) -> RunPlan:
    """The plan with settings that suit its weights, on the devices that the flags name."""
    config = inducing(suited(plan.config, plan.checkpoint))
    model = config.induction.model
    largest = max(plan.checkpoint.bytes, checkpoint.size(Path(model)) if model else 0)  # one after another
    machines = machines_of(options.cluster)
    return replace(plan, config=config, devices=machines.devices(options.devices, largest), machines=machines)


def _resumed(options: argparse.Namespace, read_solutions: ReadSolutions) -> RunPlan:
    """The plan of a run directory: its tasks, weights and settings. Raises `BadInput` where anything of it changed."""
    directory = options.resume
    kept = record.load(directory)
    if not kept.headers:
        raise BadInput(f"{directory} has no whole first line in its record: nothing to resume; start the run again")
    header = kept.headers[0]
    try:
        begun, config = recorded_fingerprint(header), unpack(Config, header["config"])
        name, sha256, output = header["name"], header["data_sha256"], header["output"]
        split, path, kept_weights = header["split"], header["solutions"], header["weights"]["path"]
    except KeyError as missing:
        raise BadInput(
            f"{directory} says nothing of its {missing}: expected the record of a run that this program can go on "
            "with; start the run again"
        ) from None
    task_set = replace(tasks.load_challenges(directory / record.CHALLENGES), name=name, sha256=sha256)
    if options.time_limit is not None:
        config = replace(config, time_limit=options.time_limit)
    solutions: Callable[[], Outputs] | None = partial(read_solutions, split) if split else None
    if path and Path(path).exists():
        solutions = _scored(Path(path), task_set, read_solutions)
    weights = checkpoint.check(Path(kept_weights), config.format)
    scored_by = {"split": split, "solutions": path}
    plan = RunPlan(task_set, weights, config, Path(output), solutions, (), scored_by, resumed=kept)
    plan = _on(options, plan)
    if fingerprint(plan) != begun:
        raise BadInput(
            f"{directory} is the run {begun}, but with the weights, library and settings of today it would be "
            f"{fingerprint(plan)}: expected nothing changed since; put back what changed, or start the run again"
        )
    return plan


def _scored(path: Path | None, task_set: tasks.TaskSet, read: ReadSolutions) -> Callable[[], Outputs] | None:
    """A reader of the solutions file, which must be there and must name every task; what it holds is not kept."""
    if path is None:
        return None
    known = read(path)
    missing = [i for i in task_set.tests if i not in known]
    if missing:
        raise BadInput(f"{path} has no solution for {missing[0]}: expected the solutions of the same challenges")
    for task in task_set.tasks:
        if len(known[task.id]) != len(task.tests):
            raise BadInput(f"{path} has {len(known[task.id])} solutions for {task.id}: expected {len(task.tests)}")
    return partial(read, path)


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
    adapter_kinds.require_targets(weights.path, train)
    if train.whole:
        width = read(weights.path).hidden
        expected = f"at least {width}, the width of {weights.path.name}, as whole matrices are trained"
        require("LoRA rank", train.rank, train.rank >= width, expected)
    if train.head:
        expected = f"False, as the head of {weights.path.name} is its embedding; take weights where it is not, or LoRAs"
        require("head", train.head, not read(weights.path).tied, expected)
    return replace(config, format=weights.format, near=near, engine=replace(config.engine, context=context))


def usual_rate(weights: Checkpoint) -> float:
    """The learning rate for these weights; those whose parameters are not counted go by their files, of 16 bits."""
    try:
        parameters = read(weights.path).parameters
    except BadInput:
        parameters = weights.bytes // 2
    return learning_rate(json.loads((weights.path / "config.json").read_text()).get("model_type", ""), parameters)


def inducing(config: Config) -> Config:
    """The settings with the code model's hash and context. `BadInput`: none, or nothing contains what it writes."""
    asked = config.induction
    if not asked.model:
        return config
    model = Path(asked.model)
    check_model(model)
    context = min(asked.writer.context, registry.positions(model) or asked.writer.context)
    writer = replace(asked.writer, context=context)
    try:
        sandbox_of(asked).close()
    except RuntimeError as error:
        raise BadInput(f"{readable(str(error))}: expected a place for programs; leave --code-model out") from None
    return replace(config, induction=replace(asked, content=checkpoint.digest(model), writer=writer))
