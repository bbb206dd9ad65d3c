"""`python -m solver generators`: tasks to train on, whose generators a language model of yours writes. See `--help`.

The model is shown some of RE-ARC's generators with descriptions and asked for others (arXiv 2411.07279).
What it writes runs in a sandbox, and the pairs of those that pass every filter are kept in a file of tasks.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from solver.clock import Deadline
from solver.config.settings import Config, InductionSettings, WriterSettings
from solver.data.json_files import read_json
from solver.generators import examples, prompts
from solver.hardware import devices
from solver.induction.model_files import check_model
from solver.induction.sandbox.sandbox import Limits, Sandbox, readable
from solver.types import BadInput

if TYPE_CHECKING:
    from solver.generators.counts import FilterCounts
    from solver.generators.pool_file import PoolFile
    from solver.generators.write import GeneratorPlan, GeneratorSearch, GeneratorWriter, WrittenGenerator

BATCH = {True: 128, False: 16}  # asked for at once on a GPU, and on a CPU
LEAST = 10  # distinct pairs of a generator that is kept: a training sequence takes up to 7 of a task
PAIR_BYTES = 2 * 6000  # of a pair of the largest grids and its twin, as a generator's process says them
CACHE = 2 << 30  # bytes of the key-value cache on a CPU
FAILED, INTERRUPTED = 1, 130  # exit status
LIMITS = Limits(wall=10.0, seconds=8)  # of a generator, for all its calls


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m solver generators", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--code-model", type=Path, required=True, metavar="DIR", help="a Hugging Face checkpoint that writes Python"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="a new .json; a .jsonl beside it says of all replies"
    )
    parser.add_argument("--samples", type=int, default=256, metavar="N", help="generators asked for; default 256")
    parser.add_argument(
        "--seconds", type=float, default=3600.0, metavar="S", help="until it ends, loading included; default 3600"
    )
    parser.add_argument(
        "--way",
        choices=prompts.WAYS,
        default=prompts.JOINT,
        help="a description with its generator in one reply, or descriptions first; default joint",
    )
    parser.add_argument("--seed", type=int, default=0, help="of examples, replies and pairs")
    parser.add_argument("--pairs", type=int, default=50, metavar="N", help="drawn from each generator; default 50")
    parser.add_argument("--shots", type=int, default=4, metavar="N", help="examples shown with sources; default 4")
    parser.add_argument("--batch", type=int, metavar="N", help="asked for at once; default 16, on a GPU 128")
    parser.add_argument("--reply", type=int, default=1024, metavar="N", help="tokens of a reply at most; default 1024")
    parser.add_argument("--threads", type=int, metavar="N", help="of the engine on a CPU; default: all cores")
    parser.add_argument(
        "--unsafe-programs", action="store_true", help="run the model's programs even where nothing can contain them"
    )
    return parser


def main(argv: list[str]) -> int:
    """Ask, run, filter, keep; print the table.

    Exit status 2 and one line where the input is wrong, 1 and one line where engine or sandbox break down on the way.
    """
    options = parser().parse_args(argv)
    stop = Deadline.after(options.seconds)
    try:
        return run(options, stop)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace, stop: Deadline) -> int:
    """The whole run, and its exit status. Raises `BadInput`; what can be wrong is looked at in order of its cost."""
    check_numbers(options)
    check_model(options.code_model)
    package = examples.folder()
    shown = examples.read_examples(package)
    config = config_of(options)
    from solver.generators.counts import FilterCounts
    from solver.generators.filters import Filters
    from solver.generators.pool_file import PoolFile
    from solver.generators.write import GeneratorSearch
    from solver.pretrain.sources import training_index

    limits = replace(LIMITS, output=PAIR_BYTES * options.pairs)
    pool = PoolFile(options.output, options.seed)
    pool.open()
    with start_sandbox(limits, options.unsafe_programs, package) as sandbox:
        tell(sandbox.line())
        plan = plan_of(options, config.engine.threads)
        search = GeneratorSearch(plan, shown, sandbox, Filters(training_index(), LEAST))
        search.prepare()
        writer = load_writer(config)
        check_room(search, writer, config.induction.writer)
        counts, status = FilterCounts(options.way), 0
        try:
            collect(search.batches(writer, stop), counts, pool, stop)
        except KeyboardInterrupt:
            tell("interrupted: what was kept stays")
            status = INTERRUPTED
        except BadInput:
            raise
        except Exception as error:  # the engine's, which are of no common kind, and the sandbox's
            tell(f"error: ended early, as {in_a_line(error)}; what was kept stays")
            status = FAILED
    pool.close({"model": str(options.code_model), **vars(plan), "counts": counts.passed(), "pairs": counts.pairs})
    show(counts, pool)
    return status


def check_numbers(options: argparse.Namespace) -> None:
    """Raises `BadInput` for what is out of range."""
    least = {"samples": 1, "pairs": LEAST, "shots": 1, "batch": 1, "reply": 1, "threads": 1}
    for name, lowest in least.items():
        if (value := getattr(options, name)) is not None and value < lowest:
            raise BadInput(f"--{name} {value}: expected at least {lowest}; raise it")
    if options.shots > len(examples.DESCRIPTIONS):
        raise BadInput(
            f"--shots {options.shots}: expected at most the {len(examples.DESCRIPTIONS)} there are; lower it"
        )
    if not 0 < options.seconds < math.inf:
        raise BadInput(f"--seconds {options.seconds:g}: expected more than 0; raise it")


def config_of(options: argparse.Namespace) -> Config:
    """What the engine is built by: the context is the model's own, where that is shorter. Raises `BadInput`."""
    threads = options.threads or devices.cores_here()
    said = read_json(options.code_model / "config.json")
    longest = said.get("max_position_embeddings") if isinstance(said, dict) else None
    context = min(longest if isinstance(longest, int) else math.inf, WriterSettings.context)
    if context <= options.reply:
        came = f"{options.code_model} reads {context} tokens, of which --reply {options.reply} are kept for a reply"
        raise BadInput(f"{came}; expected some to be left for a question; lower --reply, or choose another model")
    writer = WriterSettings(context=int(context), reply=options.reply, cache_bytes=CACHE, threads=threads)
    induction = InductionSettings(model=str(options.code_model.resolve()), writer=writer)
    config = Config(seed=options.seed, induction=induction)
    return replace(config, engine=replace(config.engine, threads=threads))


def plan_of(options: argparse.Namespace, threads: int) -> GeneratorPlan:
    """What is asked for, in batches as the device can take."""
    from solver.generators.write import GeneratorPlan
    from solver.runtime.load_models import on_gpu

    batch = options.batch or BATCH[on_gpu(threads)]
    return GeneratorPlan(options.samples, options.way, options.seed, batch, options.shots, options.pairs)


def start_sandbox(limits: Limits, unsafe: bool, package: Path) -> Sandbox:
    """The place to run generators in, RE-ARC's functions at hand. Raises `BadInput` where it does not start."""
    try:
        return Sandbox(limits, unsafe, modules=examples.LIBRARY, folders=[str(package)])
    except RuntimeError as error:
        came = readable(str(error))
        raise BadInput(f"{came}; expected it to start; check the memory left and the installation") from None


def load_writer(config: Config) -> GeneratorWriter:
    """The model in its engine. Raises `BadInput` where the engine refuses it."""
    from solver.generators.texts import AskedWithTexts
    from solver.runtime import load_models

    try:
        return AskedWithTexts(load_models.load_writer(config))
    except BadInput:
        raise
    except Exception as error:  # vLLM and transformers have no common one
        came = f"{config.induction.model} cannot be served ({in_a_line(error)})"
        raise BadInput(f"{came}; expected a causal language model that vLLM knows; choose another") from error


def check_room(search: GeneratorSearch, writer: GeneratorWriter, settings: WriterSettings) -> None:
    """Raises `BadInput` where no question with a whole reply fits the model's context."""
    longest = sorted(search.examples, key=lambda example: -len(example.source))[: search.plan.shots]
    tokens = len(writer.tokens(prompts.joint_question(longest)))
    if tokens + settings.reply > settings.context:
        came = f"a question has up to {tokens} tokens and a reply {settings.reply}, the model reads {settings.context}"
        raise BadInput(f"{came}; expected both to fit; lower --shots or --reply, or choose another model")


def collect(batches: Iterable[list[WrittenGenerator]], counts: FilterCounts, pool: PoolFile, stop: Deadline) -> None:
    """Take batches until all is asked for, time has ended, or the file is full; a line about each."""
    for batch in batches:
        for generator in batch:
            counts.add(generator)
        pool.add(batch)
        kept = counts.passed()["kept"]
        tell(f"{counts.asked} asked for, {kept} kept, {stop.remaining():.0f} s left")
        if pool.full:
            tell(f"{pool.path} can hold no more; ask for others with another --output and --seed")
            return


def show(counts: FilterCounts, pool: PoolFile) -> None:
    """Print the table, and where everything lies."""
    from solver.runtime.tables import print_sections

    print_sections([counts.section()], sys.stdout)
    print(f"wrote {pool.record}")
    if pool.path.exists():
        size = pool.path.stat().st_size / 1e6
        print(f"wrote {pool.path} ({size:.1f} MB), for pretrain pool --tasks and finetune --pool")
    else:
        print(f"no generator was kept, so {pool.path} was not written")


def in_a_line(error: Exception) -> str:
    """Its kind and the first line of what it says."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def tell(line: str) -> None:
    """Say how far it is."""
    print(line, file=sys.stderr, flush=True)
