"""`python -m solver finetune`: train a language model on the pool of pretraining before test time. See `--help`.

Its weights are trained, or a LoRA that is merged into them at the end, on RE-ARC's pairs, ARC's training tasks or your
own (arXiv 2411.07279, section 5). The same command again goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solver.config import flags
from solver.config.setting import entries
from solver.finetune.recipe import CUT, WHOLE_SHARE, FineTuning
from solver.hardware import devices, engine, gpus
from solver.model import checkpoint
from solver.runtime.prepare import usual_rate
from solver.tokens import registry
from solver.training import backends
from solver.types import BadInput

if TYPE_CHECKING:
    from solver.finetune.train import TuningRun
    from solver.pretrain.data import Pool
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
    engine.prepare(len(os.sched_getaffinity(0)))  # threads that do not spin while they wait for one another
    try:
        settings = read(options)
        options.directory = options.directory or Path("runs") / f"finetune-{options.export.resolve().name}"
        known, settings = prepared(options, settings)
        if settings.steps == 0:
            return exported(options, settings, known, {})
        return tuned(options, settings, known)
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


def prepared(options: argparse.Namespace, settings: FineTuning) -> tuple[checkpoint.Checkpoint, FineTuning]:
    """The weights to start from, checked, their vocabulary cut where that is asked for, and the settings with theirs.

    Raises `BadInput` for weights that cannot be trained, and for a folder that is not to be written to.
    """
    from solver.finetune import vocabulary, weight_files

    weight_files.refuse_other_content(options.export)
    if options.export.resolve() == options.weights.resolve():
        raise BadInput(f"--export {options.export} is the folder of --weights: expected another; give one")
    cuts = settings.format == CUT and options.weights.is_dir() and (options.weights / "config.json").is_file()
    cuts = cuts and vocabulary.is_larger(options.weights)
    known = checkpoint.check(options.weights, None if cuts else settings.format)
    if registry.settings(known.path).get("quantization_config"):
        raise BadInput(
            f"{known.path} is quantized, and what is trained cannot be merged into that: expected weights in 16 or 32 "
            "bits; take the model's original ones"
        )
    if cuts:
        target = options.directory / CUT
        vocabulary.cut(known.path, target, {"weights": str(options.weights), "sha256": known.sha256})
        known = checkpoint.check(target, CUT)
    return known, replace(settings, format=known.format)


def require_room(weights: Path, pool: Pool, longest: int, format: str) -> None:
    """Raises `BadInput` where two of a task's pairs, one to show and one to ask for, fit the context in no task."""
    spelled = registry.load(format, weights)
    two = (sorted(map(spelled.longest_pair, pairs))[:2] for pairs in pool.pairs)
    shortest = min((sum(sizes) for sizes in two if len(sizes) == 2), default=None)
    if shortest is None or shortest > longest:
        came = f"{weights}: a sequence has {longest} tokens at most"
        needs = "no task of the pool has two pairs" if shortest is None else f"the shortest two pairs take {shortest}"
        raise BadInput(
            f"{came}, and {needs} in the {format} format: expected room for a demonstration and what is asked after "
            "it; take weights of a longer context (max_position_embeddings), a larger --tokens, or another --pool"
        )


def tuned(options: argparse.Namespace, settings: FineTuning, known: checkpoint.Checkpoint) -> int:
    """Train, and export once that has come to its end; the exit status. Raises `BadInput`."""
    from solver.pretrain import data
    from solver.pretrain.provide import HELD_OUT, TRAIN, WantedPools, provide

    wanted = WantedPools(options.pool, options.held_out, options.pairs, PAIRS)
    provide(options.directory, wanted, settings.seed)
    pool, held_pool = data.load(options.directory / TRAIN), data.load(options.directory / HELD_OUT)
    positions = registry.positions(known.path) or settings.longest
    longest = min(settings.longest, settings.tokens, positions)
    require_room(known.path, pool, longest, known.format)
    trainer = loaded(settings, known, longest, options.directory)

    from solver.finetune import train
    from solver.pretrain import gauge

    spelled = registry.load(known.format, known.path)
    origin = {"weights": known.sha256, "pool": data.sha256_of(options.directory / TRAIN)}
    seconds = None if options.minutes is None else 60.0 * options.minutes
    rate = trainer.recipe.rate
    job = train.FineTuneJob(settings, spelled, longest, rate, options.directory, origin, options.every, seconds)
    fitting = [e for e in gauge.gauge(held_pool, gauge.SEQUENCES, spelled) if e.tokens.size <= positions]
    held_out = train.affordable(fitting, settings.tokens)
    run, status = train.run(trainer, job, pool, held_out)
    if status:
        return status
    made = {"steps": run.done, "rate": rate, "tokens": run.tokens, "held_out": run.figures, "pool": origin["pool"]}
    return exported(options, settings, known, made, run)


def loaded(settings: FineTuning, known: checkpoint.Checkpoint, longest: int, directory: Path) -> LoraTrainer:
    """The trainer, by Unsloth where a card and a LoRA allow it. Raises `BadInput` for weights without projections."""
    rate = settings.rate or usual_rate(known) * (WHOLE_SHARE if settings.whole else 1.0)
    recipe, cuda = settings.train_recipe(rate), devices.gpus() > 0
    dtype = gpus.shown()[0].card.dtype if cuda else "bfloat16"
    how = backends.setup(known.path, recipe, longest, cuda, dtype, checkpointing=True)
    if settings.whole:
        how = replace(how, library=backends.PEFT, why="all weights are trained, no LoRA")
    elif how.library == backends.UNSLOTH:
        backends.import_unsloth(directory)
    from transformers.utils import logging

    from solver.finetune.all_weights import AllWeightsTrainer
    from solver.training.trainer import LoraTrainer

    logging.disable_progress_bar()
    kind = AllWeightsTrainer if settings.whole else LoraTrainer
    trainer = kind(known.path, recipe, directory, longest, how)
    library = "transformers" if settings.whole else how.library
    print(f"{library} ({how.why}), {known.format} format, learning rate {rate:g}", file=sys.stderr, flush=True)
    return trainer


def exported(
    options: argparse.Namespace,
    settings: FineTuning,
    known: checkpoint.Checkpoint,
    made: dict[str, Any],
    run: TuningRun | None = None,
) -> int:
    """Write the weights, with what was trained in them, where they are wanted. Raises `BadInput` and `OSError`."""
    from solver.finetune import weight_files

    change: weight_files.Change = weight_files.unchanged
    if run is not None:
        trained = run.trained()
        if settings.whole:
            change = weight_files.replacing(trained)
        else:
            trained = weight_files.merged_lora(trained, run.trainer.recipe)
            change = weight_files.adding(trained)
        weight_files.require_names(known.path, set(trained))
    origin = {"weights": str(options.weights), "sha256": known.sha256, "settings": asdict(settings), **made}
    weight_files.write(known.path, options.export, change, known.format, origin)
    print(f"wrote {options.export}")
    return 0
