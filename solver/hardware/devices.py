"""Which devices a run uses, from what the flag says and what the machine shows. Imports nothing of CUDA.

Law: a device that is not there is refused by name before any work.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from solver.types import BadInput

PROCESS, COPIES = 4 << 30, 3  # bytes a process may take beside its weights; times it may hold those
SEARCH = 2 << 30  # bytes a process that searches for programs may take
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}
ONE_CORE = NO_GPU | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""The environment of such a process: numpy reads it when it is loaded."""
EXPECTED = "auto, cpu, cpu:N for N processes, or GPU numbers such as 0 or 0,1, each with :N for N processes on it"
CARD_SHARE = "SOLVER_CARD_SHARE"  # variable: what part of its GPU's memory a worker may have
ONE = r"\d+(:[1-9]\d*)?"  # a GPU's number, and how many processes it has


@dataclass(frozen=True)
class Device:
    """Where a worker runs. `environment`: variables added to its own. `gpu`: whether the CPU would be a step down."""

    name: str
    environment: Mapping[str, str]
    gpu: bool = False


def gpus(root: Path = Path("/")) -> int:
    """How many NVIDIA GPUs the driver shows, found without asking a library."""
    nodes = [p for p in (root / "dev").glob("nvidia[0-9]*") if p.name[6:].isdecimal()]
    return max(len(list((root / "proc/driver/nvidia/gpus").glob("*"))), len(nodes))


def check(text: str) -> None:
    """Raise `BadInput` unless the flag's value is one `listed` can read."""
    numbers = [part.partition(":")[0] for part in text.split(",")]
    if not re.fullmatch(rf"auto|cpu(:[1-9]\d*)?|{ONE}(,{ONE})*", text) or len(set(numbers)) != len(numbers):
        raise BadInput(f"--devices is {text!r}: expected {EXPECTED}")


def listed(
    text: str, cores: int, shown: int, visible: str | None = None, memory: float = math.inf, weights: int = 0
) -> tuple[Device, ...]:
    """The devices a flag means on a machine of so many cores that shows so many GPUs.

    `auto` is every GPU or, where there is none, a process a core, as far as `memory` (bytes free) suffices for the
    `weights` (bytes): one thread a process gets more done than several threads in one. `visible`:
    CUDA_VISIBLE_DEVICES, if it is set: `auto` keeps to it. Raises `BadInput` for a GPU that is not there.
    """
    check(text)
    if text == "auto":
        ids = [i for i in visible.split(",") if i.strip()] if visible is not None else [str(i) for i in range(shown)]
        fitting = int(min(cores, max(1, memory / (PROCESS + COPIES * weights))))
        return tuple(device for number in ids for device in _gpu(number, 1)) if shown and ids else _cpu(fitting, cores)
    if text.startswith("cpu"):
        return _cpu(int(text[4:] or 1), cores)
    devices: list[Device] = []
    for part in text.split(","):
        number, _, count = part.partition(":")
        if int(number) >= shown:
            raise BadInput(f"--devices names GPU {number}: this machine shows {shown}; expected {EXPECTED}")
        devices += _gpu(number, int(count or 1))
    if len(devices) > max(cores, shown):
        raise BadInput(f"--devices is {text!r}: this machine has {cores} cores; expected at most one process a core")
    return tuple(devices)


def _gpu(number: str, count: int) -> list[Device]:
    """So many workers on a GPU, each with an equal part of its memory: one samples while another trains."""
    visible = {"CUDA_VISIBLE_DEVICES": number}
    if count == 1:
        return [Device(f"gpu {number}", visible, gpu=True)]
    part = visible | {CARD_SHARE: f"{1 / count:.4f}"}
    return [Device(f"gpu {number}.{n}", part, gpu=True) for n in range(count)]


def _cpu(count: int, cores: int) -> tuple[Device, ...]:
    """So many workers, each on cores of its own; more than there are cores is refused."""
    if count == 1:
        return (Device("cpu", NO_GPU),)
    if count > cores:
        raise BadInput(f"--devices is 'cpu:{count}': this machine has {cores} cores; expected at most one a core")
    each = cores // count
    threads = NO_GPU | {"OMP_NUM_THREADS": str(each)}
    bound = (threads | {"VLLM_CPU_OMP_THREADS_BIND": f"{n * each}-{(n + 1) * each - 1}"} for n in range(count))
    return tuple(Device(f"cpu {n}", environment) for n, environment in enumerate(bound))


def cpu_search_devices(workers: int, cores: int, memory: float = math.inf) -> tuple[Device, ...]:
    """Places to search for programs beside so many GPU workers: a core each, of those the workers leave.

    Each worker keeps a core for itself; `memory`: bytes free, which must suffice for all of them.
    """
    count = int(min(max(0, cores - workers), memory / SEARCH))
    return tuple(Device(f"programs {n}", ONE_CORE) for n in range(count))


def cores_here() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> float:
    """Bytes of memory that programs can still have."""
    return float(psutil.virtual_memory().available)


def here(text: str, weights: int) -> tuple[Device, ...]:
    """`listed` on this machine, for weights of so many bytes."""
    return listed(text, cores_here(), gpus(), os.environ.get("CUDA_VISIBLE_DEVICES"), free_memory(), weights)
