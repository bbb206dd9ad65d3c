"""The GPUs this is meant for, and those the driver shows: memory, arithmetic, number formats. Loads nothing of CUDA.

Law: of a card nothing is assumed that neither the table nor the driver says.
"""

import contextlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from solver.types import BadInput

GIB = 1 << 30
BFLOAT16_SINCE = (8, 0)  # compute capability from which a card multiplies in bfloat16 (Ampere)
ATTENTION_SINCE = (8, 0)  # FlashAttention 2 and FlashInfer; Triton's tensor cores (triton #5066, vLLM #36802)
FIELDS = "name,memory.total,memory.free,compute_cap,driver_version"  # what nvidia-smi is asked for, in this order
APART = 0.02  # of a card's memory that processes which share it leave to the driver
ASKED_SECONDS = 20.0  # nvidia-smi may take a few on a machine with many cards


@dataclass(frozen=True)
class Card:
    """A GPU, or the `share` of one that a process has beside others. `usable`: bytes a program may have.
    `capability`: its architecture's number. `flops`: peak of dense 16-bit matrix products, operations a second, and
    `bandwidth`: bytes a second, by the vendor's datasheet; 0 where not known."""

    name: str
    usable: int
    capability: tuple[int, int]
    flops: float = 0.0
    bandwidth: float = 0.0
    share: float = 1.0

    @property
    def dtype(self) -> str:
        """The 16-bit format it computes in: bfloat16 where it can, which needs no scaling of the loss."""
        return "bfloat16" if self.capability >= BFLOAT16_SINCE else "float16"

    @property
    def caveat(self) -> str:
        """What an engine lacks on it and what to use it for, in one line; empty where it lacks nothing."""
        if self.capability >= ATTENTION_SINCE:
            return ""
        return (
            "{} has compute capability {}.{}: FlashAttention 2 and FlashInfer want 8.0, and Triton has no tensor cores "
            "there: expected small weights, as the shipped ones, or an L4; 4 B parameters are likely too slow "
            "for 240 tasks on two"
        ).format(self.name, *self.capability)


CARDS: Mapping[str, Card] = {
    # 16 GB with 15,360 MiB behind the driver, of which CUDA shows 14.6 GiB; Turing has no bfloat16
    "t4": Card("t4", int(14.5 * GIB), (7, 5), 65e12, 320e9),
    # 24 GB with 23,034 MiB behind the driver; a contest's machine leaves 22 GiB; 121 of the 242 TFLOP/s are dense
    "l4": Card("l4", 22 * GIB, (8, 9), 121e12, 300e9),
    # the 80 GB SXM part: CUDA shows 79.2 GiB
    "h100": Card("h100", 79 * GIB, (9, 0), 989e12, 3350e9),
    # 141 GB, of which CUDA shows 139.8 GiB; the processor is the H100's
    "h200": Card("h200", 139 * GIB, (9, 0), 989e12, 4800e9),
}


def named(name: str) -> Card:
    """A card of the table; `BadInput` for any other name."""
    if name.lower() not in CARDS:
        known = ", ".join(CARDS)
        raise BadInput(f"--plan is {name!r}: expected one of {known}; or no name, for the GPUs found here; or cpu")
    return CARDS[name.lower()]


@dataclass(frozen=True)
class Shown:
    """What the driver says of a GPU: `total` and `free` bytes, compute capability, the driver's own version."""

    name: str
    total: int
    free: int
    capability: tuple[int, int]
    driver: str

    @property
    def card(self) -> Card:
        """The card as a plan takes it: what is free now, with the arithmetic of the one in the table that it is."""
        known = next((c for key, c in CARDS.items() if key in self.name.lower().split()), None)
        speeds = (known.flops, known.bandwidth) if known else (0.0, 0.0)
        return Card(self.name, self.free, self.capability, *speeds)

    def part(self, share: float) -> Card:
        """The card as it is for one of several processes: its own part of the whole memory, as far as it is free."""
        usable = self.free if share == 1 else min(self.free, int(share * (1 - APART) * self.total))
        return replace(self.card, usable=usable, share=share)


def driver_version(version: str) -> tuple[int, ...]:
    """A driver's version to be compared with others; empty where it is none."""
    return tuple(int(part) for part in version.strip().split(".") if part.isdecimal())


def parse(text: str) -> tuple[Shown, ...]:
    """What `nvidia-smi --query-gpu=FIELDS --format=csv,noheader,nounits` printed; lines it can't read are left out."""
    gpus = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # "[N/A]", or a message in place of a line
            name, total, free, capability, driver = map(str.strip, line.split(","))
            major, minor = map(int, capability.split("."))
            gpus.append(Shown(name, int(total) << 20, int(free) << 20, (major, minor), driver))
    return tuple(gpus)


def shown(devices: Sequence[str] = ()) -> tuple[Shown, ...]:
    """What the driver says of the GPUs with these numbers (none: of all); nothing where it cannot be asked."""
    which = ["-i", ",".join(devices)] if devices else []
    command = ["nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits", *which]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASKED_SECONDS, check=False)
        return parse(done.stdout)
    return ()
