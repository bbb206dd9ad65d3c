"""On a node of a Ray cluster: the actor that keeps one worker's process there, and hands on what it says.

Adapters stay on the node that trained them; one that tasks share goes to the run's directory as well, and from there to
the nodes whose orders name it. What travels beside Ray's own calls is bytes, checked by their hashes.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
import select
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from solver.config.setting import unpack
from solver.config.settings import Config
from solver.model.checkpoint import sha256
from solver.runtime.child import SCRATCH, Child
from solver.runtime.messages import AnsweredBy, order_from_line, order_to_line
from solver.types import BadInput

PACKAGES = ("numpy", "torch", "transformers", "peft", "vllm", "safetensors", "numba")  # what answers depend on

Files = Mapping[str, bytes]
"""A small folder's files by name."""


@dataclass(frozen=True)
class Folder:
    """A folder to be copied to nodes: for each file's name its sha256 and the reference of its bytes, a uint8 array."""

    files: Mapping[str, tuple[str, Any]]

    @property
    def digest(self) -> str:
        """A hash of all of it."""
        return hashlib.sha256(json.dumps({n: h for n, (h, _) in self.files.items()}).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker is started with. `config`: as JSON; `folders`: by the path that the driver knows them by."""

    by: AnsweredBy
    weights: str
    config: str
    environment: Mapping[str, str]
    folders: Mapping[str, Folder]


@dataclass(frozen=True)
class WorkerOutput:
    """What a worker said: reports, a line each; shared adapters that they name; its log; whether there will be more."""

    lines: Sequence[bytes]
    adapters: Mapping[str, Files]
    log: str
    over: bool
    death: str = ""


class NodeWorker:
    """One worker's process on this node: one thread gives orders, another polls."""

    def __init__(self, start: WorkerSpec, fetch: Callable[[Any], Any]):
        """`fetch`: gets what a reference refers to."""
        paths = {given: local_copy(folder, fetch) for given, folder in start.folders.items()}
        config = localised(unpack(Config, json.loads(start.config)), paths)
        self._keep = Path(tempfile.mkdtemp(prefix=SCRATCH))
        self._log = (self._keep / "log").open("w")
        self._read = (self._keep / "log").open(errors="replace")
        self._child = Child(paths[start.weights], config, start.environment, self._log, start.by)

    def order(self, line: bytes, adapters: Mapping[str, Files]) -> None:
        """Hand on one order; `adapters`: those it names that this node may not have."""
        for name, files in adapters.items():
            write_files(self._keep / name, files)
        order = order_from_line(line)
        shared = {i: replace(adapter, path=self._keep / adapter.name) for i, adapter in order.shared.items()}
        with contextlib.suppress(OSError):  # a dead child is noticed where it is listened to
            self._child.send(order_to_line(replace(order, shared=shared, keep=self._keep)))
            while self._child.unsent:
                select.select([], [self._child.orders], [])
                self._child.push()

    def poll(self, timeout: float) -> WorkerOutput:
        """What the worker has said since the last call, as soon as there is something, or after `timeout` seconds."""
        select.select([self._child.reports], [], [], timeout)
        lines, over = self._child.lines()
        adapters = {}
        for line in lines:
            if b'"kind": "shared"' in line and (values := json.loads(line))["adapter"] is not None:
                adapters[values["adapter"]] = read_files(Path(values["path"]))
        return WorkerOutput(lines, adapters, self._read.read(), over, self._child.death() if over else "")

    def end(self) -> None:
        """End the worker, and take away what it wrote; at most once."""
        if self._log.closed:
            return
        self._child.kill()
        self._log.close()
        self._read.close()
        shutil.rmtree(self._keep, ignore_errors=True)


def read_files(folder: Path) -> Files:
    """A folder's files by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def write_files(folder: Path, files: Files) -> None:
    """Write them to a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, contents in files.items():
        (folder / name).write_bytes(contents)


def localised(config: Config, paths: Mapping[str, Path]) -> Config:
    """The settings with the folders that they name where this node has them."""
    library, model = config.near.library, config.induction.model
    near = replace(config.near, library=str(paths[library]) if library else library)
    induction = replace(config.induction, model=str(paths[model]) if model else model)
    return replace(config, near=near, induction=induction)


def local_copy(folder: Folder, fetch: Callable[[Any], Any]) -> Path:
    """The folder on this node, fetched unless it is there already; processes wait for whoever fetches it.

    Raises `OSError` where there is no room, or what came is not what was sent.
    """
    target = Path(tempfile.gettempdir()) / f"{SCRATCH}{os.getuid()}-{folder.digest}"
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, (expected, reference) in folder.files.items():
            path = target / name
            if sha256(path) == expected:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{path.name}.partial")
            partial.write_bytes(fetch(reference))
            if sha256(partial) != expected:
                raise OSError(f"{path} came with another sha256 than it was sent with")
            os.replace(partial, path)
    return target


def call(function: Callable[..., Any], folders: Mapping[str, Folder], fetch: Callable[[Any], Any], *given: Any) -> Any:
    """What the function returns here; a path among what it is given is that of the folder's copy on this node."""
    copies = {path: local_copy(folder, fetch) for path, folder in folders.items()}
    return function(*(copies.get(str(value), value) if isinstance(value, Path) else value for value in given))


def describe() -> dict[str, str]:
    """What a node has: Python, packages' versions ('none': missing), and bytes free for folders."""
    known = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            known[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            known[name] = "none"
    return known | {"room": str(shutil.disk_usage(tempfile.gettempdir()).free)}


def require_same_versions(name: str, known: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Raise `BadInput` where a node (`describe`) has other versions than this machine."""
    for what in ("python", *PACKAGES):
        if known[what] != here[what]:
            raise BadInput(
                f"node {name} of the cluster has {what} {known[what]}, this machine {here[what]}: expected the same; "
                "install the requirements there as here"
            )


def require_room(name: str, known: Mapping[str, str], needed: int) -> None:
    """Raise `BadInput` where a node (`describe`) has no room for so many bytes of weights."""
    if int(known["room"]) < needed:
        raise BadInput(
            f"node {name} of the cluster has {int(known['room']) / 2**30:.1f} GiB for temporary files, the weights "
            f"take {needed / 2**30:.1f}: expected room for them; delete copies of earlier runs ({SCRATCH}* there), or "
            "take the node out"
        )
