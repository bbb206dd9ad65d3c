"""Weights on a mount that is slow or across a network, copied to a local disk once before several workers read them.

Law: a copy is used only if its bytes are those that were asked for.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from solver.hardware.gpus import GIB
from solver.model.checkpoint import MANIFEST

WORTH = GIB // 4  # bytes of weights below which reading them from afar costs no more than copying them
LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "overlay"})  # kinds of a local disk
ROOM = 2 * GIB  # bytes to be left free where the copy goes
PIECE = 16 << 20  # bytes read at a time


@dataclass(frozen=True)
class Mount:
    """A line of the kernel's table of mounts: where, what kind of filesystem, and whether it is read-only."""

    point: str
    kind: str
    read_only: bool

    @property
    def far(self) -> bool:
        """Whether reading from it may mean a network: read-only, or of a kind that is no local disk's."""
        return self.read_only or self.kind not in LOCAL


def mounts() -> tuple[Mount, ...]:
    """This machine's mounts, in the kernel's order."""
    return tuple(Mount(m.mountpoint, m.fstype, "ro" in m.opts.split(",")) for m in psutil.disk_partitions(all=True))


def mount_of(path: Path, table: tuple[Mount, ...]) -> Mount | None:
    """The mount a path lies on: the last of those with the longest part of the path; None where the table has none."""
    whole = path.resolve()
    holding = [m for m in reversed(table) if whole.is_relative_to(m.point)]
    return max(holding, key=lambda m: len(Path(m.point).parts), default=None)


@contextlib.contextmanager
def local(
    weights: Path, size: int, scratch: Path | None = None, table: tuple[Mount, ...] = ()
) -> Iterator[tuple[Path, str]]:
    """(where to load the weights from, what was done): a copy that goes in the end, or the weights themselves.

    `size`: bytes of the tensors. `scratch`: the folder for the copy, the system's for temporary files by default.
    `table`: mounts, this machine's by default.
    """
    mount = mount_of(weights, table or mounts())
    if size < WORTH or mount is None or not mount.far:
        yield weights, ""
        return
    room = shutil.disk_usage(scratch or tempfile.gettempdir()).free
    if room < size + ROOM:
        yield weights, f"{weights} is read where it lies: {room / GIB:.1f} GiB are free for a copy of {size / GIB:.1f}"
        return
    with tempfile.TemporaryDirectory(prefix="arc-ttt-weights-", dir=scratch, ignore_cleanup_errors=True) as folder:
        yield _copied(weights, Path(folder) / weights.name)


def _copied(weights: Path, to: Path) -> tuple[Path, str]:
    """The whole copy and a word on it; where a file can't be copied or came out different, the weights themselves."""
    to.mkdir()
    expected: dict[str, str] = {}  # file → sha256 as the weights' manifest has them, where they have one
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        expected = dict(json.loads((weights / MANIFEST).read_text())["sha256"])
    try:
        for path in sorted(p for p in weights.iterdir() if p.is_file()):
            read, written = copy(path, to / path.name)
            if written != expected.get(path.name, read):
                return weights, f"warning: the copy of {path} is not what was expected: read where it lies"
    except OSError as error:
        return weights, f"warning: {weights} could not be copied ({error.strerror}): read where it lies"
    return to, f"{weights} was copied to {to}, its hashes compared: all workers read it there"


def copy(path: Path, to: Path) -> tuple[str, str]:
    """Copy a file in one pass; the sha256 of what was read, and of what the copy holds, read back."""
    read = hashlib.sha256()
    with path.open("rb") as source, to.open("wb") as target:
        while piece := source.read(PIECE):
            read.update(piece)
            target.write(piece)
    with to.open("rb") as written:
        return read.hexdigest(), hashlib.file_digest(written, "sha256").hexdigest()
