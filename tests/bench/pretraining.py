"""`python -m tests.bench.pretraining`: tokens a second of pretraining against a plain Hugging Face Trainer.

The same model, the same sequences and the same machine. Ours is `python -m solver pretrain` as it is run: a process a
core, sequences in rows of one length, fused where there is a C++ compiler. The plain one is transformers' Trainer as
its documentation has it: AdamW, the loss from the logits, as many sequences a step on average, in random order, padded
to the longest; once in float32 and once under bf16 autocast. Tokens are all of a sequence but its last, padding not
counted; the first half of the steps warms up and is not timed. Run it with nothing else on the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GOAL = 2.0
PAIRS_A_TASK = 20


def data(directory: Path) -> None:
    """The pool both draw from, as `solver.pretrain` makes it, only smaller."""
    from solver.pretrain.data import save
    from solver.pretrain.sources import Request, collect, training_pool
    from solver.pretrain.split import arc1_split

    parts = arc1_split()
    save(collect(parts.held_out, 4, 1), directory / "held.npz")
    save(training_pool(Request(PAIRS_A_TASK))[0], directory / "train.npz")


def drawn(directory: Path, steps: int) -> list[Any]:
    """The sequences of so many steps."""
    from solver.pretrain.batches import ROUND, one_round
    from solver.pretrain.data import load
    from solver.pretrain.recipe import Recipe

    recipe, pool = Recipe(), load(directory / "train.npz")
    rounds = -(-steps // ROUND)
    batches = [batch for n in range(rounds) for batch in one_round(pool, recipe, n)][:steps]
    return [example for batch in batches for row in batch for example in row]


def ours(directory: Path, steps: int) -> float:
    """Tokens a second of the second half of the steps."""
    run = directory / "ours"
    run.mkdir(exist_ok=True)
    for name in ("train.npz", "held.npz"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(directory / name)
    for name in ("checkpoint.safetensors", "curve.jsonl"):
        (run / name).unlink(missing_ok=True)
    command = ["-m", "solver", "pretrain", "--directory", str(run), "--steps", str(steps), "--every", str(steps // 2)]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    last = json.loads((run / "curve.jsonl").read_text().splitlines()[-1])
    return float(last["tokens_per_second"])


def plain(directory: Path, steps: int, half: bool) -> float:
    """Tokens a second of the second half of the Trainer's steps."""
    import numpy as np
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from solver.clock import now
    from solver.pretrain.recipe import Recipe
    from solver.pretrain.rows import places
    from solver.pretrain.train import build
    from tests.bench.baselines import collate, plain_loss, row

    torch.set_num_threads(2)
    examples = drawn(directory, steps)
    examples = [examples[i] for i in np.random.default_rng(0).permutation(len(examples))]
    size = len(examples) // steps

    class Plain(Trainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            return plain_loss(model, inputs)

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            times.append(now())

    times: list[float] = []
    arguments = TrainingArguments(
        output_dir=str(directory / "plain"),
        per_device_train_batch_size=size,
        max_steps=steps,
        bf16=half,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
        train_sampling_strategy="sequential",
        seed=0,
    )
    model = build(Recipe()).float()
    Plain(
        model=model, args=arguments, train_dataset=list(map(row, examples)), data_collator=collate, callbacks=[Clock()]
    ).train()
    timed = examples[size * (steps // 2) : size * steps]
    return sum(map(places, timed)) / (times[-1] - times[steps // 2 - 1])


WAYS = {
    "ours": ours,
    "float32": lambda directory, steps: plain(directory, steps, False),
    "bf16": lambda directory, steps: plain(directory, steps, True),
}


def main(argv: list[str]) -> int:
    """Run each way in a process of its own, turn by turn, and print the medians and the ratios."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.pretraining", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--pairs", type=int, default=5, help="times each way is run")
    parser.add_argument(
        "--steps", type=int, default=16, help="optimizer steps of about 8,192 tokens, half of them timed"
    )
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.only:
        print(json.dumps(WAYS[options.only](options.directory, options.steps)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        data(Path(folder))
        speeds: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(options.pairs):
            for name, found in speeds.items():
                found.append(apart(name, Path(folder), options.steps))
    for name in ("float32", "bf16"):
        ratios = [a / b for a, b in zip(speeds["ours"], speeds[name], strict=True)]
        print(
            f"pretraining, plain Trainer in {name}: {statistics.median(speeds[name]):.0f} tokens/s, ours "
            f"{statistics.median(speeds['ours']):.0f}: {statistics.median(ratios):.2f} times "
            f"({min(ratios):.2f} to {max(ratios):.2f}), goal {GOAL}"
        )
    return 0


def apart(name: str, directory: Path, steps: int) -> float:
    """One way's tokens a second, in a process of its own."""
    command = ["-m", "tests.bench.pretraining", "--only", name, "--directory", str(directory), "--steps", str(steps)]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
