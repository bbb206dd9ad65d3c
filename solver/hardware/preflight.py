"""What would keep a run from using its GPUs, found out before any work: one line each.

    python -m solver preflight [--weights DIR] [--output FILE] [--preset NAME]     # exit status 1: it can't run here

Facts are gathered first, judged by pure functions then. No library is imported that is looked for: torch is asked in a
process of its own. Law: a check either was made or says that it could not be.
"""

import argparse
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from solver.config.presets import PRESETS
from solver.config.settings import Config
from solver.hardware import memory_plan
from solver.hardware.gpus import GIB, Shown, driver_version, shown
from solver.model import architecture, checkpoint
from solver.types import BadInput

OK, WARNING, FAULT = "ok", "warning", "fault"  # a fault makes the run impossible
OLDEST_DRIVER = {"13": (580, 65, 6), "12": (525, 60, 13)}  # by CUDA's major version, from NVIDIA's compatibility tables
REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"
NEEDED = ("vllm", "torch", "transformers", "peft", "safetensors", "numpy")  # without these nothing is answered
WANTED = ("unsloth", "bitsandbytes")  # without these peft trains, in 16 bits
OUTPUT_ROOM, SCRATCH_ROOM = GIB // 4, 2 * GIB  # bytes for the answers and their record; for adapters and caches
TORCH_SECONDS = 60.0  # importing torch from a cold disk may take so long
ASK_TORCH = "import json, torch; print(json.dumps([torch.__version__, torch.version.cuda, torch.cuda.get_arch_list()]))"


@dataclass(frozen=True)
class Torch:
    """What the torch build says of itself: `cuda`: version it was built with, None: a CPU build; `kernels`: such as
    sm_90 or compute_90."""

    version: str
    cuda: str | None
    kernels: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """What a machine shows. `packages`: name → version, None where it can't be imported. `pins`: name → version as
    required. `output_free`, `scratch_free`: bytes. `weights`: what is wrong with them, '' if nothing; `model`: theirs,
    None where it isn't known."""

    gpus: tuple[Shown, ...]
    torch: Torch | None
    packages: Mapping[str, str | None]
    pins: Mapping[str, str]
    output_free: int
    scratch_free: int
    weights: str = ""
    model: architecture.Model | None = None


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: `level` of `OK`, `WARNING`, `FAULT`."""

    level: str
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.text}"


def judge(facts: Facts, config: Config) -> tuple[Finding, ...]:
    """All findings on a machine that is to run these settings on its GPUs, in the order of the checks."""
    machine = (*_devices(facts), *_kernels(facts), *_driver(facts), *_disks(facts))
    return (*machine, *_packages(facts, config), *_weights(facts, config))


def possible(findings: Sequence[Finding]) -> bool:
    """Whether nothing was found that makes the run impossible."""
    return all(finding.level != FAULT for finding in findings)


def _devices(facts: Facts) -> Iterator[Finding]:
    if not facts.gpus:
        yield Finding(FAULT, "nvidia-smi names no GPU: expected a driver that is loaded; or run with --devices cpu")
    for number, gpu in enumerate(facts.gpus):
        major, minor = gpu.capability
        yield Finding(OK, f"GPU {number}: {gpu.name}, {gpu.total / GIB:.1f} GiB, capability {major}.{minor}")
        if gpu.free < gpu.total * 0.9:
            took = (gpu.total - gpu.free) / GIB
            yield Finding(WARNING, f"GPU {number}: {took:.1f} of {gpu.total / GIB:.1f} GiB are taken by something else")
    yield from (Finding(WARNING, gpu.card.caveat) for gpu in _distinct(facts.gpus) if gpu.card.caveat)


def _kernels(facts: Facts) -> Iterator[Finding]:
    built = facts.torch
    if built is None:
        yield Finding(FAULT, "torch could not be asked for its build: its import fails or takes over a minute")
    elif built.cuda is None:
        yield Finding(FAULT, f"torch {built.version} is a CPU build: expected the one requirements.txt installs")
    else:
        what = f"torch {built.version} (CUDA {built.cuda})"
        for gpu in _distinct(facts.gpus):
            wanted = "expected sm_{}{} among".format(*gpu.capability)
            if serves(built.kernels, gpu.capability):
                yield Finding(OK, f"{what} has kernels for {gpu.name}")
            else:
                yield Finding(FAULT, f"{what} has no kernels for {gpu.name}: {wanted} {' '.join(built.kernels)}")


def serves(kernels: Sequence[str], capability: tuple[int, int]) -> bool:
    """Whether a build with these kernels runs on a card: machine code of its major version and no newer minor one, or
    portable code (compute_) of no newer architecture."""
    known = [kernel for name in kernels if (kernel := re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", name))]
    built = [(kernel[1], (int(kernel[2]), int(kernel[3]))) for kernel in known]
    return any(at <= capability and (kind == "compute" or at[0] == capability[0]) for kind, at in built)


def _driver(facts: Facts) -> Iterator[Finding]:
    built = facts.torch.cuda if facts.torch is not None else None
    oldest = OLDEST_DRIVER.get(built.split(".")[0]) if built else None
    if not facts.gpus or oldest is None:
        return
    text = facts.gpus[0].driver
    wanted = ".".join(map(str, oldest))
    version = driver_version(text)
    if not version:
        yield Finding(WARNING, f"the driver's version is {text!r}: it could not be compared with {wanted}")
    elif version < oldest:
        yield Finding(FAULT, f"driver {text} is too old for CUDA {built}: expected {wanted} or newer, or a CUDA 12 set")
    else:
        yield Finding(OK, f"driver {text} serves CUDA {built}")


def _distinct(gpus: Sequence[Shown]) -> list[Shown]:
    """One GPU of each name, that with the least free memory."""
    return list({gpu.name: gpu for gpu in sorted(gpus, key=lambda g: -g.free)}.values())


def _disks(facts: Facts) -> Iterator[Finding]:
    places = (("the output", facts.output_free, OUTPUT_ROOM), ("temporary files", facts.scratch_free, SCRATCH_ROOM))
    for what, free, needed in places:
        level = OK if free >= needed else WARNING
        yield Finding(level, f"{free / GIB:.1f} GiB are free for {what}, {needed / GIB:.2f} are wanted")


def _packages(facts: Facts, config: Config) -> Iterator[Finding]:
    missing, lacking = ([n for n in names if facts.packages.get(n) is None] for names in (NEEDED, WANTED))
    if missing:
        yield Finding(FAULT, f"not importable: {', '.join(missing)}: install requirements.txt")
    if lacking:
        level = FAULT if config.train.bits == 4 and "bitsandbytes" in lacking else WARNING
        yield Finding(level, f"not importable: {', '.join(lacking)}: training goes through peft in 16 bits without")
    if not missing and not lacking:
        yield Finding(OK, f"importable: {', '.join((*NEEDED, *WANTED))}")
    for name, version in facts.packages.items():
        pin = facts.pins.get(name)
        if version is not None and pin is not None and version.split("+")[0] != pin:
            yield Finding(WARNING, f"{name} is of version {version}: requirements.txt pins {pin}")


def _weights(facts: Facts, config: Config) -> Iterator[Finding]:
    if facts.weights:
        yield Finding(FAULT, facts.weights)
    if (model := facts.model) is None:
        return
    if not facts.weights:
        size = (model.stored or 0) / GIB
        yield Finding(OK, f"weights {model.name}: {model.parameters:,} parameters, {size:.2f} GiB")
    for gpu in _distinct(facts.gpus):
        try:
            yield Finding(OK, memory_plan.plan(model, gpu.card, config).line)
        except BadInput as error:
            yield Finding(FAULT, str(error))


def gather(weights: Path, output: Path, devices: Sequence[str] = (), whole: bool = False) -> Facts:
    """This machine's facts for weights and an output file on these GPUs, by number (none: on all).

    `whole`: the weights are compared with their manifest, too.
    """
    model, wrong = None, ""
    try:
        model = architecture.read(weights)
        if whole:
            checkpoint.check(weights)
    except BadInput as error:
        wrong = str(error)
    return Facts(
        gpus=shown(devices),
        torch=ask_torch(),
        packages={name: installed(name) for name in (*NEEDED, *WANTED)},
        pins=pins(REQUIREMENTS.read_text() if REQUIREMENTS.is_file() else "", sys.version_info[:2]),
        output_free=_free(output.parent),
        scratch_free=_free(Path(tempfile.gettempdir())),
        weights=wrong,
        model=model,
    )


def _free(folder: Path) -> int:
    """Bytes free where a folder is or will be made."""
    existing = next((p for p in (folder.resolve(), *folder.resolve().parents) if p.is_dir()), Path("/"))
    return shutil.disk_usage(existing).free


def installed(name: str) -> str | None:
    """The version of a package that could be imported, found without importing it; None where it could not."""
    if importlib.util.find_spec(name) is None:
        return None
    from importlib import metadata  # only here: a run on a CPU need not wait for it

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def pins(text: str, python: tuple[int, int]) -> dict[str, str]:
    """Package → version of the lines `name==version` in a requirements file that hold for this Python version."""
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    read = [Requirement(line) for line in lines if line and not line.startswith("#")]
    where = {"python_version": "{}.{}".format(*python)}
    held = [one for one in read if one.marker is None or one.marker.evaluate(where)]
    return {canonicalize_name(one.name): next(iter(one.specifier)).version for one in held}


def ask_torch() -> Torch | None:
    """The torch build's own words, from a process of its own; None where it can't be imported."""
    try:
        command = [sys.executable, "-c", ASK_TORCH]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TORCH_SECONDS, check=True)
        version, cuda, kernels = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return Torch(version, cuda, tuple(kernels))


def main(argv: Sequence[str]) -> int:
    """`python -m solver preflight`: prints the findings; 1 where the run would be impossible."""
    parser = argparse.ArgumentParser(prog="python -m solver preflight", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--weights", type=Path, default=checkpoint.SHIPPED, metavar="DIR", help="the base model")
    parser.add_argument("--output", type=Path, default=Path("runs/submission.json"), metavar="FILE")
    parser.add_argument("--preset", default="kaggle-l4x4", choices=PRESETS, help="settings to plan the memory for")
    options = parser.parse_args(argv)
    findings = judge(gather(options.weights, options.output, whole=True), PRESETS[options.preset])
    print("\n".join(map(str, findings)))
    return 0 if possible(findings) else 1
