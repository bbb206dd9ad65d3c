"""The loop of fine-tuning: packed sequences of the pool into the trainer that trains adapters at test time.

Laws: the steps are a function of pool, weights, settings and step number, so that a run stopped anywhere and resumed
gives the same weights as one left alone, bit for bit on a CPU, unless its seconds shortened the plan; a checkpoint is
replaced atomically, and goes on with its own settings, weights and pool alone.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from solver.clock import Deadline, now
from solver.config.setting import differences
from solver.finetune.live_line import Figures, LiveLine
from solver.finetune.recipe import FineTuning
from solver.pretrain import checkpoint_file, gauge
from solver.pretrain.batches import ROUND, Augmentation, full_rows, sequence
from solver.pretrain.data import Pool
from solver.pretrain.rows import Row, places
from solver.pretrain.stop_signals import told_to_stop
from solver.tokens.grid import Format
from solver.training.pace import Pace
from solver.training.trainer import LoraTrainer
from solver.types import BadInput, Example, seed_for

CURVE = "curve.jsonl"
NOT_IN_RECIPE = ("steps",)  # settings that may differ between the starts of a run
GAUGE_STEPS, FEWEST = 8, 8
RECENT = 20  # steps whose mean loss the live line shows


@dataclass(frozen=True)
class FineTuneJob:
    """What a run is given, beside its trainer.

    `longest`: tokens of a sequence, at most those of a step. `directory`: checkpoint and curve. `origin`: sha256 of the
    weights and of the pool. `every`: steps between reports, each with a checkpoint. `seconds`: the plan is shortened to
    so many; None: all steps are done.
    """

    settings: FineTuning
    format: Format
    longest: int
    directory: Path
    origin: Mapping[str, str]
    every: int = 100
    seconds: float | None = None


def batch(pool: Pool, job: FineTuneJob, number: int) -> list[Row]:
    """Round `number`: `ROUND` steps, each a row of sequences that lie end to end."""
    settings = job.settings
    rng = np.random.default_rng(seed_for(settings.seed, str(number), "fine-tuning"))
    draw = partial(sequence, pool, rng, job.longest, job.format, Augmentation(transform=settings.transform))
    return full_rows(draw, ROUND, settings.tokens, rng)


def affordable(held_out: Sequence[Example], tokens: int) -> list[Example]:
    """The first of the sequences to measure by, as many as have together the tokens of `GAUGE_STEPS` steps, of `tokens`
    each, but at least `FEWEST`: a look at them then takes no longer than some three steps."""
    sizes = np.cumsum([example.tokens.size for example in held_out])
    return list(held_out[: max(FEWEST, int((sizes <= GAUGE_STEPS * tokens).sum()))])


class TuningRun:
    """A trainer with what it has done: `step` takes one row; `save` and `load` carry all of it through a directory."""

    def __init__(self, trainer: LoraTrainer, job: FineTuneJob):
        self.trainer, self.job, self.done, self.tokens = trainer, job, 0, 0
        self.figures: dict[str, float] = {}  # of held-out tasks, when they were last looked at
        trainer.begin()
        trainer.adapters.draw(0, seed_for(job.settings.seed, "fine-tuning", "adapter"))

    @property
    def identity(self) -> dict[str, str]:
        """What must be the same for a checkpoint to be gone on from: settings as canonical JSON, and the origin."""
        job, rate = self.job, self.trainer.recipe.rate
        chosen = {name: value for name, value in differences(job.settings).items() if name not in NOT_IN_RECIPE}
        settings = {**chosen, "rate": rate, "longest": job.longest, "format": job.format.name}
        return {"recipe": json.dumps(settings, sort_keys=True), **job.origin}

    def step(self, row: Row, rate: float) -> float:
        """One optimizer step; the loss in nats a token.

        FloatingPointError: it is not finite. Of what is trained nothing is to be kept then: the momentum of earlier
        steps has moved it.
        """
        [loss] = self.trainer.step([row], rate)
        if not math.isfinite(loss):
            peak = self.trainer.recipe.rate
            raise FloatingPointError(
                f"the loss of step {self.done + 1} is not finite: expected a learning rate below {peak:g}; "
                "lower --rate, and begin anew with another --directory"
            )
        self.done += 1
        self.tokens += sum(map(places, row))
        return loss

    def save(self) -> None:
        """Write a checkpoint. Raises `OSError` where it cannot be written."""
        adapters = self.trainer.adapters
        [state] = adapters.optimizer.state_dict()["state"].values() or [{}]
        tensors = {"masters": adapters.masters} | {f"adam.{k}": torch.as_tensor(v) for k, v in state.items()}
        scaler = json.dumps(self.trainer.scaler.state_dict())
        counters = {"done": self.done, "tokens": self.tokens, "scaler": scaler}
        checkpoint_file.write(self.job.directory, tensors, {**counters, **self.identity})

    def load(self) -> None:
        """Go on from the directory's checkpoint. Raises `BadInput` as `check` does."""
        counters, adapters = check(self.job.directory, self.identity), self.trainer.adapters
        tensors = load_file(self.job.directory / checkpoint_file.NAME)
        with torch.no_grad():
            adapters.masters.copy_(tensors.pop("masters"))
            adapters.served.copy_(adapters.masters)
        groups = adapters.optimizer.state_dict()["param_groups"]
        state = {name.removeprefix("adam."): tensor for name, tensor in tensors.items()}
        adapters.optimizer.load_state_dict({"state": {0: state} if state else {}, "param_groups": groups})
        if scaler := json.loads(counters.get("scaler", "{}")):
            self.trainer.scaler.load_state_dict(scaler)
        self.done, self.tokens = int(counters["done"]), int(counters["tokens"])

    def held_out(self, examples: Sequence[Example]) -> dict[str, float]:
        """Loss and exact match on held-out tasks, with what is trained as it stands."""
        return gauge.held_out_figures(self.trainer.logits, examples, self.trainer.device)

    def trained(self) -> dict[str, torch.Tensor]:
        """What is trained, float32 on the CPU, under the trainer's names."""
        masters = self.trainer.adapters.views(self.trainer.adapters.masters.detach().cpu(), 0)
        return dict(masters)


def check(directory: Path, identity: Mapping[str, str]) -> dict[str, str]:
    """What the directory's checkpoint says of itself. Raises `BadInput`: it is none, or of another run's identity."""
    counters = checkpoint_file.counters(directory)
    for name, own in identity.items():
        if counters.get(name) != own:
            raise BadInput(
                f"the checkpoint in {directory} was made with {name} {counters.get(name)}, this run has {own}: "
                "resume with the same, or use another --directory"
            )
    return counters


@dataclass
class SpeedMeter:
    """Speed and mean loss since the last report."""

    run: TuningRun
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.started, self.tokens, self.steps = now(), self.run.tokens, self.run.done
        self.losses.clear()

    def figures(self, pace: Pace, recent: int, left: float, held_out: Mapping[str, float]) -> Figures:
        """How far the run is; the loss is the mean of the last `recent` steps; `left`: seconds until the deadline."""
        seconds, done = max(now() - self.started, 1e-9), self.run.done
        a_step = seconds / max(done - self.steps, 1)
        losses = self.losses[-recent:]
        speed = (self.run.tokens - self.tokens) / seconds
        left = min(left, (pace.planned - done) * a_step)
        return Figures(done, pace.planned, sum(losses) / max(len(losses), 1), speed, left, held_out)


def run(trainer: LoraTrainer, job: FineTuneJob, pool: Pool, held_out: Sequence[Example]) -> tuple[TuningRun, int]:
    """Train to the last step that fits, from the directory's checkpoint where there is one; (the run, exit status).

    SIGTERM and SIGINT end it after the step it is at, with a checkpoint, and status 128 and their number.
    """
    current = TuningRun(trainer, job)
    if (job.directory / checkpoint_file.NAME).exists():
        current.load()
    stop = Deadline.after(math.inf if job.seconds is None else job.seconds)
    pace, meter = Pace(trainer.recipe, stop, current.done), SpeedMeter(current)
    rows: list[Row] = []
    with LiveLine(sys.stderr) as line, told_to_stop() as signals:

        def report() -> None:
            current.save()
            now_at = meter.figures(pace, len(meter.losses), stop.remaining(), current.held_out(held_out))
            line.report(now_at)
            _add_to_curve(job.directory, current, now_at)
            current.figures = dict(now_at.held_out)
            meter.reset()

        while not signals and (share := pace.next_share()) is not None:
            place = current.done % ROUND
            rows = rows if rows and place else batch(pool, job, current.done // ROUND)
            meter.losses.append(current.step(rows[place], trainer.recipe.rate * share))
            line.update(meter.figures(pace, RECENT, stop.remaining(), current.figures))
            if current.done % job.every == 0:
                report()
        if meter.losses:
            report()
        elif not current.figures and not signals:  # an earlier start did all the steps
            current.figures = current.held_out(held_out)
    return current, 128 + signals[0] if signals else 0


def _add_to_curve(directory: Path, current: TuningRun, figures: Figures) -> None:
    """Add a line to the curve, under the names of pretraining's."""
    line = {"step": current.done, "tokens": current.tokens, "loss": round(figures.loss, 4)}
    line |= {"tokens_per_second": round(figures.speed), **figures.held_out}
    with (directory / CURVE).open("a") as file:
        file.write(json.dumps(line) + "\n")
