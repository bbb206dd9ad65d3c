"""What a run is told beside its settings: its tasks, its weights, where to write, and what to do in place of a run."""

from dataclasses import dataclass
from pathlib import Path

from solver.config.flags import seconds
from solver.config.presets import PRESETS
from solver.config.setting import Settings, setting
from solver.data.splits import SPLITS
from solver.hardware import devices
from solver.hardware.gpus import CARDS
from solver.model import checkpoint
from solver.model.architecture import DESCRIBED
from solver.tokens import registry

OUTPUT = Path("runs/submission.json")  # where no --output is given


@dataclass(frozen=True)
class RunOptions(Settings):
    """The flags of a run that are no settings of it: its fingerprint says nothing of them."""

    challenges: Path | None = setting(
        None,
        "Kaggle's JSON, or a folder of ARC task files, whose test outputs are not read",
        flag="--challenges PATH",
        instead_of="source",
    )
    split: str = setting(
        "dry-run",
        f"an embedded set: {', '.join(SPLITS)}; dry-run: 20 tasks of ARC-AGI-1 evaluation, comparison: 50 small ones "
        "of it, sample: 100 of every size, second-sample: 100 others, held-out: 100 of ARC-AGI-1 training that the "
        "weights have not seen, arc2-training-clean: those of ARC-AGI-2 training that are like no evaluation task",
        flag="--split NAME",
        instead_of="source",
    )
    solutions: Path | None = setting(
        None,
        "Kaggle's solutions of --challenges; read for the score alone, once the tasks are answered",
        flag="--solutions FILE",
        needs="--challenges; splits have their own",
    )
    task_ids: tuple[str, ...] | None = setting(None, "only these tasks", flag="--task-ids ID", nargs="+")
    limit: int | None = setting(
        None, "only the first N tasks", flag="--limit N", fits=lambda limit: limit > 0, expected="at least 1 task"
    )
    weights: Path = setting(
        checkpoint.SHIPPED,
        "the base model: a directory as weights/, or any Hugging Face checkpoint in safetensors",
        flag="--weights DIR",
    )
    format: registry.Name | None = setting(None, "its tokens, if not recognised", flag="--format NAME")
    output: Path = setting(
        OUTPUT,
        f"default: {OUTPUT}; the run's directory, {OUTPUT.with_suffix('.run')}, is made beside it",
        flag="--output FILE",
    )
    already_spent: float = setting(
        0.0, "used before this start, off the limit", flag="--already-spent TIME", read=seconds, resumes=True
    )
    preset: str = setting("cpu", "settings to start from", flag="--preset NAME", choices=dict.fromkeys(PRESETS, ""))
    devices: str = setting(
        "auto",
        f"one worker each: {devices.EXPECTED}; auto: every GPU or, without one, a process a core as far as memory goes"
        "; 0:4: four workers on one GPU, each with a quarter of its memory",
        flag="--devices NAME",
        resumes=True,
    )
    cluster: str | None = setting(
        None,
        "run the workers on a Ray cluster: host:port of its head, auto: this machine's, local: one just for this run",
        flag="--cluster ADDRESS",
        resumes=True,
    )
    no_report: bool = setting(
        False, "do not write the run's report when it ends; a Kaggle rerun never does", flag="--no-report", resumes=True
    )
    resume: Path | None = setting(
        None, "go on with the run in this directory (NAME.run)", flag="--resume DIR", resumes=True
    )
    plan: str | None = setting(
        None,
        f"print the memory plan for {', '.join(CARDS)}, or for the GPUs of this machine; for cpu, or where it has "
        "none, how many training steps and views fit the time limit on its CPU; run nothing",
        flag="--plan CARD",
        nargs="?",
    )
    plan_model: str | None = setting(
        None, f"plan for {', '.join(DESCRIBED)}, not for --weights", flag="--plan-model NAME", needs="--plan"
    )
    preflight: bool = setting(
        False, "print what would keep the GPUs from working, a line each; run nothing", flag="--preflight"
    )
