"""`python -m tests.bench.timing`: what `--plan cpu` predicts of a model on this machine, and what is measured then.

    python -m tests.bench.timing --weights DIR --split dry-run
    python -m tests.bench.timing --processor-time            # where other work goes on beside it

A real training step and a real engine's replies, of the sizes that the plan has, in this process alone and with the
threads it was given (OMP_NUM_THREADS, VLLM_CPU_OMP_THREADS_BIND). Prints a line of JSON: seconds, predicted and
measured, of a training `step`, of the `prefill` of a prompt and of the `decoding` of a reply, and the rates that the
predictions are made of: the means of two, by rates measured just before and just after, as other work may come and go.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from solver.clock import Deadline, now
from solver.config.presets import PRESETS
from solver.config.settings import Config
from solver.data import tasks, views
from solver.hardware import devices, time_plan
from solver.hardware.engine import prepare
from solver.hardware.time_plan import TimePlan
from solver.model import architecture, checkpoint
from solver.runtime.prepare import suited
from solver.tokens import registry
from solver.tokens.grid import Format
from solver.training.examples import build
from solver.types import Adapter, Example, Prompt, Task, TrainJob

FOREVER = Deadline.after(3600.0)
ENDLESS = {"ignore_eos": True, "stop_token_ids": []}
WARM = 64  # tokens of the prompts that are read before the clock is looked at


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.timing", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--weights", type=Path, default=checkpoint.SHIPPED)
    parser.add_argument("--split", default="dry-run")
    parser.add_argument("--task-ids", nargs="+", help="only these tasks")
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=2048, help="of a training step")
    parser.add_argument("--steps", type=int, default=3, help="timed, after one that warms up; their median counts")
    parser.add_argument(
        "--processor-time", action="store_true", help="of this process, for rates and for what is measured"
    )
    return parser.parse_args(argv)


def planner(
    config: Config, chosen: Sequence[Task], spelled: Format, weights: Path, read: Any
) -> Callable[[], TimePlan]:
    """Makes the plan for one process with this one's threads, each time with rates measured then."""
    import torch

    from solver.training.machine_rates import measure

    model, threads = architecture.read(weights), torch.get_num_threads()
    sizes = time_plan.lengths(chosen, config.engine.context, spelled)
    rows = time_plan.at_once(model, config, sizes)

    def planned() -> TimePlan:
        rates = measure(model, config.train.rank, rows, 1, threads, read)
        machine = time_plan.CpuMachine(1, threads, devices.free_memory(), rates)
        return time_plan.plan(model, config, sizes, machine)

    return planned


def train(
    plan: TimePlan, weights: Path, examples: Sequence[Example], steps: int, scratch: Path, read: Callable[[], float]
) -> tuple[float, Adapter]:
    """Seconds of a training step on as many examples of the length as the plan has, and an adapter."""
    from solver.training.trainer import LoraTrainer

    length = plan.sizes.example
    cut = [Example(np.resize(e.tokens, length), np.resize(e.loss, length)) for e in examples[: plan.sequences]]
    trainer = LoraTrainer(weights, plan.config.train, scratch, plan.config.engine.context)
    step, ends = trainer.step, list[float]()

    def timed(*given: Any) -> list[float]:
        losses = step(*given)
        ends.append(read())
        return losses

    trainer.step = timed
    adapter = trainer.train(TrainJob("first", cut, 0), FOREVER, steps + 1).adapter
    assert adapter is not None
    return statistics.median(after - before for before, after in pairwise(ends)), adapter


def sample(
    plan: TimePlan, weights: Path, task: Task, adapter: Adapter, spelled: Format, read: Callable[[], float]
) -> list[float]:
    """Seconds of a prompt's prefill and a reply's decoding, as many side by side as the plan has; none ends early."""
    from solver.inference import vllm_sampler

    sampling = vllm_sampler._sampling
    vllm_sampler._sampling = lambda watched, **given: sampling(watched, **given | ENDLESS)
    config, sizes, rows = plan.config, plan.sizes, plan.rows
    sampler = vllm_sampler.VllmSampler(weights, config.engine, spelled.end)
    names = [f"copy {n}" for n in range(min(config.group, sizes.count))]  # which the engine takes for several
    adapters = [Adapter(name, Path(shutil.copytree(adapter.path, adapter.path.with_name(name)))) for name in names]
    asked = []
    for number, view in enumerate(views.views(task, rows, 0, "timing", 1)):
        seen = views.apply_task(view, task)
        tokens = np.resize(spelled.encode_prompt(seen.demonstrations, seen.tests[0]), sizes.prompt)
        prompt = Prompt(task.id, 0, view, tuple(tokens.tolist()), sizes.reply)
        asked.append((prompt, adapters[number * len(adapters) // rows]))
    warm = [(replace(prompt, tokens=prompt.tokens[-WARM:], max_reply=2), own) for prompt, own in asked]
    sampler.sample(warm, FOREVER)
    sampler.counters.take()
    stamps = [read()]
    for longest in (1, sizes.reply):  # the second time the prompts are in the cache
        replies = sampler.sample([(replace(prompt, max_reply=longest), own) for prompt, own in asked], FOREVER)
        assert all(reply is not None and len(reply.tokens) == longest for reply in replies)
        stamps.append(read())
        counted = sampler.counters.take()
        print(f"{counted['cached_tokens'] / counted['prompt_tokens']:.0%} of the prompts were cached", file=sys.stderr)
    return [(after - before) / rows for before, after in pairwise(stamps)]


def main(argv: list[str]) -> int:
    """Predict, measure, print."""
    options = parse(argv)
    read: Callable[[], float] = time.process_time if options.processor_time else now
    prepare(devices.cores_here())
    weights = checkpoint.check(options.weights)
    config = replace(suited(PRESETS["cpu"], weights), views=options.views)
    config = replace(config, train=replace(config.train, tokens=options.tokens))
    chosen = tasks.select(tasks.load_split(options.split), options.task_ids, None).tasks
    spelled = registry.load(config.format, options.weights)
    planned = planner(config, chosen, spelled, options.weights, read)
    plan = planned()
    middle = min(chosen, key=lambda task: abs(spelled.pairs_length(task.demonstrations) - plan.sizes.example))
    examples = build(middle, config.train, 0, config.engine.context, spelled)
    plans = [plan]
    with tempfile.TemporaryDirectory() as scratch:
        step, adapter = train(plan, options.weights, examples, options.steps, Path(scratch), read)
        plans.append(planned())
        prefill, decoding = sample(plan, options.weights, middle, adapter, spelled, read)
        plans.append(planned())
    measured = {"step": step, "prefill": prefill, "decoding": decoding}
    predicted = {
        name: statistics.mean(getattr(each, name) for each in (plans[:2] if name == "step" else plans[1:]))
        for name in measured
    }
    sizes = asdict(plan.sizes) | {"sequences": plan.sequences, "rows": plan.rows, "bytes": plan.process}
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    rates = {
        name: [float(f"{vars(each.machine.rates)[name]:.3g}") for each in plans] for name in vars(plan.machine.rates)
    }
    print(json.dumps({"predicted": predicted, "measured": measured, "most": most, "sizes": sizes, "rates": rates}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
