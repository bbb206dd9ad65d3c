"""How long a training step and a reply will take on this machine's CPU, and how many of both fit each task's seconds.

    python submission.py --plan cpu --weights DIR --time-limit 2h

Counts are from `cpu_work`; rates are measured when the plan is asked for. Law: nothing is run but the measurement.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median

from solver.config.settings import PROGRAMS_SHARE, Config
from solver.hardware.cpu_work import KEPT, LOGIT, WANTED, CpuRates, decoding_step, prefill, training_step
from solver.hardware.engine import STEP_TOKENS
from solver.hardware.gpus import GIB
from solver.hardware.memory_plan import (
    ADAPTER_BYTES,
    LOSS_BYTES,
    LOSS_PIECE,
    SAVED_BYTES,
    adapter_numbers,
    engine_work,
    gib,
    trainer_work,
)
from solver.model.architecture import GRID, HALF, Model
from solver.tokens.grid import Format, fit
from solver.types import BadInput, Task

START = 15.0  # seconds until engine and trainer are loaded, most of them for imports: 12 to 18 on two cores
LONGEST_SEARCH = 60.0  # seconds of a task's programs where no flag asks for more (`prepare.LONGEST_SEARCH`)
LIBRARIES = int(1.2 * GIB)  # bytes of a process that has imported torch, transformers and vLLM


@dataclass(frozen=True)
class Lengths:
    """Tokens of a set of tasks in a model's format, as its context lets them in: medians, but for the last.

    `count`: tasks; `tests`: test inputs of a task, in the mean; `example`: of a training sequence; `reply`: with its
    end; `longest`: of the longest training sequence.
    """

    count: int
    tests: float
    example: int
    prompt: int
    reply: int
    longest: int


@dataclass(frozen=True)
class CpuMachine:
    """`processes` of so many `threads` each, `memory` bytes free for all of them, and the rates of each."""

    processes: int
    threads: int
    memory: float
    rates: CpuRates


def lengths(tasks: Sequence[Task], context: int, format: Format) -> Lengths:
    """What tasks come to. A sequence that is too long is counted as long as the context. `BadInput`: no tasks."""
    if not tasks:
        raise BadInput("there is no well-formed task to plan for: expected at least one")
    examples = [min(context, format.pairs_length(task.demonstrations)) for task in tasks]
    prompts = [
        min(context, format.prompt_length(fit(task.demonstrations, test, context, format)[0], test))
        for task in tasks
        for test in task.tests
    ]
    replies = [median(format.spelled_length(pair.output) + 1 for pair in task.demonstrations) for task in tasks]
    return Lengths(
        count=len(tasks),
        tests=mean(len(task.tests) for task in tasks),
        example=int(median(examples)),
        prompt=int(median(prompts)),
        reply=int(median(replies)),
        longest=max(examples),
    )


def at_once(model: Model, config: Config, sizes: Lengths) -> int:
    """Replies the engine decodes side by side: a batch's views, as far as its cache holds their prompts.

    `BadInput`: the weights are in 4 bits, which no CPU trains.
    """
    if model.bits != 16:
        raise BadInput(f"{model.name} is stored in {model.bits} bits: expected 16 for a CPU, or --plan with a card")
    tasks = min(config.group, sizes.count)
    asked = math.ceil(tasks * sizes.tests * config.views * config.search.samples)
    held = config.engine.cache_bytes // (model.cache_bytes * (sizes.prompt + sizes.reply))
    return max(1, min(asked, held, config.engine.sequences))


def process_bytes(model: Model, config: Config, sizes: Lengths) -> int:
    """Bytes of a process at its worst moment: a training step of the longest example beside the engine and its cache.

    On a CPU a plain head's logits are computed all at once, and attention is kept for the backward pass.
    """
    train, weights = config.train, model.weight_bytes(16)
    work = engine_work(model, STEP_TOKENS, at_once(model, config, sizes))
    if not train.steps:
        return LIBRARIES + weights + config.engine.cache_bytes + work
    tokens = max(train.tokens, sizes.longest)
    step = trainer_work(model, tokens, train.rank, False)
    if model.kind != GRID:
        logit = LOGIT + WANTED * LOSS_BYTES
        step += int(max(0, tokens * logit - LOSS_PIECE * LOSS_BYTES) * model.head_outputs)
    step += HALF * tokens * min(sizes.longest, KEPT) // 2 * model.heads * model.layers
    adapter = adapter_numbers(model, train) * (ADAPTER_BYTES + SAVED_BYTES)
    return LIBRARIES + 2 * weights + config.engine.cache_bytes + adapter + max(work, step)


@dataclass(frozen=True)
class TimePlan:
    """A model on a machine, and the seconds predicted.

    `step`: of a training step of `sequences` examples. `prefill`: of one prompt; `decoding`: of one reply, with `rows`
    of them side by side. `process`: bytes of one process.
    """

    model: Model
    config: Config
    machine: CpuMachine
    sizes: Lengths
    sequences: int
    rows: int
    step: float
    prefill: float
    decoding: float
    process: int

    @property
    def reply(self) -> float:
        """Seconds of one reply in all."""
        return self.prefill + self.decoding

    @property
    def view(self) -> float:
        """Seconds of one view of a task: a reply to each of its test inputs, or as many as are drawn."""
        return self.sizes.tests * self.config.search.samples * self.reply

    @property
    def quick(self) -> float:
        """Seconds of a task's quick answers by the base model."""
        return self.config.quick_views * self.sizes.tests * self.reply if self.config.train.steps else 0.0

    @property
    def turns(self) -> int:
        """Tasks that a process has one after another."""
        return math.ceil(self.sizes.count / self.machine.processes)

    @property
    def usable(self) -> float:
        """Seconds of the time limit between the start and what is kept for the end."""
        return max(0.0, self.config.time_limit - self.config.reserve - START)

    @property
    def programs(self) -> float:
        """Seconds of these that programs, searched for and written, may take."""
        searched = min(PROGRAMS_SHARE * self.usable, self.config.programs.seconds * self.turns)
        return searched + self.written * self.usable

    @property
    def written(self) -> float:
        """Share of the usable seconds for programs that a code model writes."""
        return self.config.induction.share if self.config.induction.model else 0.0

    @property
    def task(self) -> float:
        """Seconds that a task has for its adapter and its views."""
        return max(0.0, (self.usable - self.programs) / self.turns - self.quick)

    @property
    def steps(self) -> int:
        """Training steps of a task that fit their share of its seconds."""
        return min(self.config.train.affordable_steps, int(self.config.train_share * self.task / self.step))

    @property
    def views(self) -> int:
        """Views of a task that fit after its steps."""
        return min(self.config.views, int((self.task - self.steps * self.step) / self.view))

    @property
    def sufficient(self) -> float:
        """Seconds of a time limit that all steps and views fit into, and such searches for programs as it allows."""
        config = self.config
        training = config.train.affordable_steps * self.step
        task = training + config.views * self.view
        if training:
            task = max(task, training / config.train_share)
        needed, left = self.turns * (task + self.quick), 1 - self.written
        usable = needed / left
        if search := config.programs.seconds:
            longest = self.turns * max(search, LONGEST_SEARCH)
            usable = min(needed / (left - PROGRAMS_SHARE), (needed + longest) / left)
        return START + config.reserve + usable


def plan(model: Model, config: Config, sizes: Lengths, machine: CpuMachine) -> TimePlan:
    """The plan. `BadInput`: the weights are in 4 bits, which no CPU trains."""
    train, rows, rates = config.train, at_once(model, config, sizes), machine.rates
    sequences = max(1, train.tokens // sizes.example)
    adapters = min(config.group, sizes.count) if train.steps else 0
    token = decoding_step(model, train.rank, adapters, rows, sizes.prompt + sizes.reply // 2)
    return TimePlan(
        model=model,
        config=config,
        machine=machine,
        sizes=sizes,
        sequences=sequences,
        rows=rows,
        step=training_step(model, train.rank, sequences, sizes.example).seconds(rates),
        prefill=prefill(model, train.rank if train.steps else 0, sizes.prompt).seconds(rates),
        decoding=sizes.reply * token.seconds(rates) / rows,
        process=process_bytes(model, config, sizes),
    )


def lines(planned: TimePlan) -> Iterator[str]:
    """The plan as text."""
    config, machine, sizes, rates = planned.config, planned.machine, planned.sizes, planned.machine.rates
    asked = config.train.affordable_steps
    yield (
        f"{planned.model.name} on this machine's CPU: {machine.processes} × {machine.threads} (processes × threads), "
        f"at most {gib(planned.process)} GiB a process of {gib(machine.memory)} free"
    )
    yield (
        f"  measured of each: {rates.layers / 1e9:.0f} billion operations/s of a layer's products, "
        f"{rates.weights / 1e9:.1f} GB/s of weights read while {planned.rows} replies are decoded"
    )
    yield (
        f"  tasks: {sizes.count}, {sizes.tests:.1f} test inputs each; median tokens: {sizes.example:,} of an example, "
        f"{sizes.prompt:,} of a prompt, {sizes.reply:,} of a reply"
    )
    if asked:
        tokens = f"{planned.sequences} × {sizes.example:,} tokens"
        yield f"  a training step: {time(planned.step)} ({tokens})"
    yield (
        f"  a reply: {time(planned.reply)}, of which {time(planned.prefill)} to read its prompt and "
        f"{time(planned.decoding)} to decode it, {planned.rows} side by side"
    )
    yield (
        f"  a time limit of {time(config.time_limit)}: {time(START + config.reserve)} for start and end, up to "
        f"{time(planned.programs)} for programs, {time(planned.quick)} a task for quick answers"
    )
    training = f"{planned.steps} of {asked} training steps and " if asked else ""
    yield f"  then each task has {time(planned.task)}: {training}{planned.views} of {config.views} views fit"
    if planned.steps < asked or planned.views < config.views:
        yield f"  all of them fit --time-limit {math.ceil(planned.sufficient / 60)}m"
    if planned.process * machine.processes > machine.memory:
        fitting = max(1, int(machine.memory // planned.process))
        yield f"  note: memory may run out: expected --devices cpu:{fitting} and --plan again"
    if left_out := uncounted(config):
        yield f"  note: not counted: {', '.join(left_out)}"


def uncounted(config: Config) -> list[str]:
    """What these settings ask for and the plan says nothing of."""
    train, search = config.train, config.search
    asked = {
        f"the adapter scope {train.scope}": train.scope != "task",
        "LoRAs on embedding or head": bool(train.embedding_targets),
        "what is trained in place of LoRAs": train.whole or train.head,
        "the search for all likely replies": search.p_min > 0,
        "candidates that are read again": search.views > 0,
        "other tasks that are learnt from": config.near.asked,
    }
    return [what for what, there in asked.items() if there]


def time(seconds: float) -> str:
    """Seconds, or minutes from ten of them on, with two digits at least."""
    if seconds > 600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.{2 if seconds < 1 else 1 if seconds < 10 else 0}f} s"
