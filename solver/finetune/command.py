"""`python -m solver finetune`: train a language model on the pool of pretraining before test time. See `--help`.

Its weights are trained, or a LoRA that is merged into them at the end, on RE-ARC's pairs, ARC's training tasks or your
own (arXiv 2411.07279, section 5). The same command again goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solver.config import flags
from solver.config.setting import entries
from solver.finetune.recipe import CUT, FULL_SHARE, FineTuning
from solver.hardware import devices, engine
from solver.model.checkpoint import Checkpoint, check
from solver.runtime.prepare import usual_rate
from solver.tokens import registry
from solver.training import backends
from solver.types import BadInput

if TYPE_CHECKING:
    from solver.pretrain.data import Pool
    from solver.tokens.grid import Format
    from solver.training.trainer import LoraTrainer

PAIRS = 200  # RE-ARC pairs drawn from each generator


def parser() -> argparse.ArgumentParser:
    """The command line, the recipe's flags made of its settings."""
    parser = argparse.ArgumentParser(prog="python -m solver finetune", description=__doc__, allow_abbrev=False)
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR", help="safetensors to start from")
    parser.add_argument(
        "--export", type=Path, required=True, metavar="DIR", help="where the trained weights are written, whole"
    )
    flags.add(parser, entries(FineTuning), defaults=True)
    parser.add_argument(
        "--pool",
        type=Path,
        metavar="FILE",
        help="what to train on, instead of drawing it: a file that `pretrain pool` made, or tasks of yours (Kaggle's "
        "challenges JSON, or a folder of ARC task files)",
    )
    parser.add_argument("--pairs", type=int, metavar="N", help=f"drawn from each RE-ARC generator; default {PAIRS}")
    parser.add_argument("--held-out", type=Path, metavar="FILE", help="pool to measure by, instead of drawing it")
    parser.add_argument(
        "--minutes", type=float, help="the plan is shortened to so many, and the rate falls to zero in time"
    )
    parser.add_argument("--every", type=int, default=100, metavar="N", help="steps between checkpoints; default 100")
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="pools, checkpoint and curve; default runs/finetune-EXPORT"
    )
    return parser


def main(argv: list[str]) -> int:
    """Fine-tune from the directory's last checkpoint, or from the weights where there is none, and export."""
    options = parser().parse_args(argv)
    engine.prepare(devices.cores_here())  # threads that do not spin while they wait for one another
    try:
        settings = read(options)
        options.directory = options.directory or Path("runs") / f"finetune-{options.export.resolve().name}"
        source, cuts = checked(options, settings)
        settings = replace(settings, format=CUT if cuts else source.format)
        if settings.steps == 0:
            return untrained(options, settings, source, cuts)
        return tuned(options, settings, source, cuts)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def read(options: argparse.Namespace) -> FineTuning:
    """The settings that the flags say. Raises `BadInput` for what is out of range."""
    flags.read(options, entries(FineTuning))
    for name, fits in (("pairs", options.pairs is None or options.pairs > 0), ("every", options.every > 0)):
        if not fits:
            raise BadInput(f"--{name} is {getattr(options, name)}: expected at least 1")
    if options.minutes is not None and not options.minutes > 0:
        raise BadInput(f"--minutes is {options.minutes:g}: expected more than 0")
    return FineTuning(**{entry.path: getattr(options, entry.path) for entry in entries(FineTuning)})


def checked(options: argparse.Namespace, settings: FineTuning) -> tuple[Checkpoint, bool]:
    """The weights to start from, and whether their vocabulary is to be cut.

    Raises `BadInput` for weights that cannot be trained, and for a folder that is not to be written to.
    """
    from solver.finetune import vocabulary, weight_files

    require_apart(options)
    weight_files.refuse_other_content(options.export, "--export")
    cuts = settings.format == CUT and (options.weights / "config.json").is_file()
    cuts = cuts and vocabulary.is_larger(options.weights)
    source = check(options.weights, None if cuts else settings.format)
    if registry.settings(source.path).get("quantization_config"):
        raise BadInput(
            f"{source.path} is quantized, and what is trained cannot be merged into that: expected weights in 16 or 32 "
            "bits; take the model's original ones"
        )
    return source, cuts


def require_apart(options: argparse.Namespace) -> None:
    """Raises `BadInput` where one of export, run's directory and weights is the folder of another, or lies in it."""
    folders = {"--export": options.export, "--directory": options.directory, "--weights": options.weights}
    for (flag, folder), (other_flag, other) in combinations(folders.items(), 2):
        one, two = folder.resolve(), other.resolve()
        if one == two:
            relation = "is"
        elif two in one.parents:
            relation = "lies in"
        elif one in two.parents:
            relation = "has in it"
        else:
            continue
        raise BadInput(
            f"{flag} {folder} {relation} the folder of {other_flag}, {other}: expected each outside of the other; "
            f"give another {flag}"
        )


def provenance(options: argparse.Namespace, settings: FineTuning, source: Checkpoint, **more: object) -> dict[str, Any]:
    """What an export says of how it was made, and `more` of its training."""
    return {"weights": str(options.weights), "sha256": source.sha256, "settings": asdict(settings), **more}


def untrained(options: argparse.Namespace, settings: FineTuning, source: Checkpoint, cuts: bool) -> int:
    """Export the weights as they are or, where that is asked for, cut; the exit status. Raises as `tuned`."""
    from solver.finetune import vocabulary, weight_files

    origin = provenance(options, settings, source)
    if cuts:
        vocabulary.cut(source.path, options.export, "--export", origin)
    else:
        weight_files.write(source.path, options.export, weight_files.unchanged, source.format, origin)
    print(f"wrote {options.export}")
    return 0


def cut_once(source: Checkpoint, directory: Path) -> Checkpoint:
    """The weights with their vocabulary cut, in the run's directory, where an earlier start may have put them."""
    from solver.finetune import vocabulary

    target = directory / CUT
    if not vocabulary.is_cut_of(target, source.sha256):
        origin: dict[str, object] = {"weights": str(source.path), "sha256": source.sha256}
        vocabulary.cut(source.path, target, "--directory", origin)
    return check(target, CUT)


def require_room(weights: Path, pool: Pool, longest: int, format: Format) -> None:
    """Raises `BadInput` where two of a task's pairs, one to show and one to ask for, fit the context in no task."""
    two = (sorted(map(format.longest_pair, pairs))[:2] for pairs in pool.pairs)
    shortest = min((sum(sizes) for sizes in two if len(sizes) == 2), default=None)
    if shortest is None or shortest > longest:
        came = f"{weights}: a sequence has {longest} tokens at most"
        needs = "no task of the pool has two pairs" if shortest is None else f"the shortest two pairs take {shortest}"
        raise BadInput(
            f"{came}, and {needs} in the {format.name} format: expected room for a demonstration and what is asked "
            "after it; take weights of a longer context (max_position_embeddings), a larger --tokens, or another --pool"
        )


def tuned(options: argparse.Namespace, settings: FineTuning, source: Checkpoint, cuts: bool) -> int:
    """Train, and export once that has come to its end; the exit status. Raises `BadInput` and `OSError`."""
    from solver.finetune import weight_files
    from solver.pretrain import data
    from solver.pretrain.provide import HELD_OUT, TRAIN, WantedPools, provide

    start = cut_once(source, options.directory) if cuts else source
    format = registry.load(start.format, start.path)
    wanted = WantedPools(options.pool, options.held_out, options.pairs, PAIRS)
    provide(options.directory, wanted, settings.seed)
    pool, held_pool = data.load(options.directory / TRAIN), data.load(options.directory / HELD_OUT)
    positions = registry.positions(start.path) or settings.longest
    longest = min(settings.longest, settings.tokens, positions)
    require_room(start.path, pool, longest, format)
    trainer = loaded(settings, start, longest, options.directory)

    from solver.finetune import train
    from solver.pretrain import gauge

    made_of = {"weights": start.sha256, "pool": data.sha256_of(options.directory / TRAIN)}
    seconds = None if options.minutes is None else 60.0 * options.minutes
    job = train.FineTuneJob(settings, format, longest, options.directory, made_of, options.every, seconds)
    sequences = gauge.held_out_sequences(held_pool, gauge.SEQUENCES, format)
    held_out = train.affordable([e for e in sequences if e.tokens.size <= positions], settings.tokens)
    run, status = train.run(trainer, job, pool, held_out)
    if status:
        return status
    trained = run.trained()
    change = weight_files.replacing(trained) if settings.full else weight_files.merging(trained, trainer.recipe)
    training = {"steps": run.done, "rate": trainer.recipe.rate, "tokens": run.tokens, "held_out": run.figures}
    origin = provenance(options, settings, source, **training, pool=made_of["pool"])
    weight_files.write(start.path, options.export, change, start.format, origin)
    print(f"wrote {options.export}")
    return 0


def loaded(settings: FineTuning, start: Checkpoint, longest: int, directory: Path) -> LoraTrainer:
    """The trainer, by Unsloth where a GPU and a LoRA allow it.

    Raises `BadInput` for weights without projections, and for those whose files have other names than the model.
    """
    from solver.finetune import weight_files
    from solver.runtime import load_models

    rate = settings.rate or usual_rate(start) * (FULL_SHARE if settings.full else 1.0)
    recipe, device = settings.train_recipe(rate), devices.here("auto", start.bytes)[0]
    if device.gpu:
        os.environ.update(device.environment)  # the first of the visible GPUs alone, as a run's worker has it
    cuda = load_models.on_gpu(devices.cores_here())
    how = backends.setup(start.path, recipe, longest, cuda, checkpointing=True)
    if settings.full:
        how = replace(how, library=backends.PEFT, why="all weights are trained, no LoRA")
    elif how.library == backends.UNSLOTH:
        backends.import_unsloth(directory)
    if cuda:
        how = replace(how, dtype=load_models.this_card().dtype)
    from transformers.utils import logging

    from solver.finetune.all_weights import AllWeightsTrainer
    from solver.training.trainer import LoraTrainer

    logging.disable_progress_bar()
    kind = AllWeightsTrainer if settings.full else LoraTrainer
    trainer = kind(start.path, recipe, directory, longest, how)
    weight_files.require_names(start.path, weight_files.changed_names(trainer.adapters.parameters, settings.full))
    library = "transformers" if settings.full else how.library
    print(f"{library} ({how.why}), {start.format} format, learning rate {rate:g}", file=sys.stderr, flush=True)
    return trainer
