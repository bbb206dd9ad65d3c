"""The workers of a run on the nodes of a Ray cluster; all else, scheduler, record, files, deadline, stays here.

A worker's place is an actor with a core, or a GPU and a core, of whatever node has them: where a node is lost, its
workers' successors go where there is room, also to a node that joins later. This module alone imports Ray, and is
imported with `--cluster` alone.
"""

import contextlib
import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from solver.config.settings import Config
from solver.hardware.devices import COPIES, NO_GPU, ONE_CORE, PROCESS, SEARCH, Device
from solver.model.checkpoint import sha256
from solver.runtime import cluster_host
from solver.runtime.child import DEATH, KILLED, SCRATCH, Connection
from solver.runtime.cluster_host import Folder, Host, Start, Told
from solver.runtime.messages import AnsweredBy
from solver.types import BadInput

ROOT = Path(__file__).resolve().parents[2]
NOT_SENT = ["**/__pycache__/**"]
ANSWER = 60.0  # seconds a node may take to say what it has
TRIES = 3  # more for a call whose node was lost
LISTEN = 2.0  # seconds a call waits for a worker to say something
ADDRESS = 3.0  # seconds for a connection to the cluster's address
CPU_WORKER = NO_GPU | {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}  # Ray says who runs where


class Cluster:
    """The nodes of a running cluster (`Machines`)."""

    def __init__(self, address: str, code: Path = ROOT):
        """Connect. `address`: host:port, `auto`: of this machine's cluster, `local`: one that is started now, for as
        long as this process lives. `code`: the folder with the package that workers run.

        Raises `BadInput` where no cluster answers, or a node has other versions of Python or of a package.
        """
        _connect(address, code)
        self.nodes = [node for node in ray.nodes() if node["Alive"]]
        self._described = self._describe()
        self._sent: dict[str, Folder] = {}
        self.memory = PROCESS  # bytes a worker on a CPU is given

    def _describe(self) -> dict[str, dict[str, str]]:
        """What each node says of itself, by its name. Raises `BadInput` where it is not as here."""
        asked = ray.remote(cluster_host.describe)
        waiting = {
            node["NodeManagerAddress"] + " " + node["NodeID"][:8]: asked.options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote()
            for node in self.nodes
        }
        here, known = cluster_host.describe(), {}
        for name, reference in waiting.items():
            try:
                known[name] = ray.get(reference, timeout=ANSWER)
            except ray.exceptions.RayError as error:
                raise BadInput(
                    f"node {name} of the cluster did not say what it has ({first_line(error)}): expected all nodes to "
                    "answer; mend it, or take it out of the cluster"
                ) from None
            cluster_host.refuse_others(name, known[name], here)
        return known

    def devices(self, text: str, weights: int) -> tuple[Device, ...]:
        """A worker for each GPU or, where there is none or `text` says cpu, for each core, as far as memory goes.

        `weights`: bytes. Raises `BadInput` where that is none, or fewer than `cpu:N` says.
        """
        kind, _, count = text.partition(":")
        if kind not in ("auto", "cpu"):
            raise BadInput(f"--devices is {text!r} beside --cluster: expected auto, cpu, or cpu:N")
        for name, known in self._described.items():
            cluster_host.refuse_full(name, known, weights)
        gpus = int(sum(node["Resources"].get("GPU", 0) for node in self.nodes))
        if gpus and kind == "auto":
            return tuple(Device(f"cluster gpu {n}", {}, gpu=True) for n in range(gpus))
        self.memory = PROCESS + COPIES * weights
        places = sum(
            int(min(node["Resources"].get("CPU", 0), node["Resources"].get("memory", 0) // self.memory))
            for node in self.nodes
        )
        wanted = int(count) if count else places
        if not places or wanted > places:
            raise BadInput(
                f"the cluster has room for {places} workers of one core and {self.memory / 2**30:.1f} GiB each, {text} "
                f"was asked for: expected {max(1, wanted)} or more; add nodes, or give cpu:N"
            )
        return tuple(Device(f"cluster {n}", CPU_WORKER) for n in range(wanted))

    def search_devices(self, workers: int) -> tuple[Device, ...]:
        """A place for each core that GPU workers leave."""
        cores = int(sum(node["Resources"].get("CPU", 0) for node in self.nodes))
        return tuple(Device(f"cluster programs {n}", ONE_CORE) for n in range(max(0, cores - workers)))

    def start(self, device: Device, weights: Path, config: Config, log: TextIO, by: AnsweredBy) -> Connection:
        """A worker in an actor, as soon as a node has room for it."""
        folders = {str(weights): self.folder(weights)}
        for given in filter(None, (config.near.library, config.induction.model)):
            folders[given] = self.folder(Path(given))
        start = Start(by, str(weights), json.dumps(asdict(config)), device.environment, folders)
        memory = {"memory": SEARCH if by == "programs" else self.memory} if not device.gpu else {}
        needs = {"num_cpus": 1, "num_gpus": int(device.gpu and by != "programs"), **memory}
        actor = ray.remote(Actor).options(max_concurrency=4, **needs).remote(start)
        return RemoteChild(actor, log)

    def folder(self, path: Path) -> Folder:
        """The folder in Ray's object store, where it is put once."""
        if str(path) not in self._sent:
            files = sorted(file for file in path.rglob("*") if file.is_file())
            self._sent[str(path)] = Folder(
                {str(file.relative_to(path)): (sha256(file), ray.put(np.fromfile(file, np.uint8))) for file in files}
            )
        return self._sent[str(path)]


class ClusterExecutor(Executor):
    """Runs functions on the cores of a cluster, each call tried again where its node is lost."""

    def __init__(self, cluster: Cluster, folders: Sequence[Path] = ()):
        """`folders`: those whose paths are among what functions are given; nodes get copies."""
        self._folders = {str(path): cluster.folder(path) for path in folders}
        self._asked: list[Any] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        """Ask for `fn(*args)`; keyword arguments are not passed on."""
        call = ray.remote(cluster_host.call).options(num_cpus=1, max_retries=TRIES)
        reference = call.remote(fn, self._folders, ray.get, *args)
        self._asked.append(reference)
        future: Future[Any] = reference.future()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002  as others have
        """Call off what is not done, where asked to; waits for nothing."""
        for reference in self._asked if cancel_futures else ():
            ray.cancel(reference, force=True)
        self._asked.clear()


class Actor(Host):
    """A `Host` that fetches by Ray."""

    def __init__(self, start: Start):
        super().__init__(start, ray.get)


@cache
def connected(address: str) -> Cluster:
    """The cluster at the address, connected to once. Raises `BadInput` as `Cluster` does."""
    return Cluster(address)


def _connect(address: str, code: Path) -> None:
    """Raises `BadInput`."""
    host, _, port = address.rpartition(":")
    if port.isdecimal() and host:
        try:
            socket.create_connection((host, int(port)), timeout=ADDRESS).close()
        except OSError as error:
            raise BadInput(
                f"--cluster {address}: no cluster answers there ({error.strerror or error}): expected host:port of its "
                "head; start one with ray start --head"
            ) from None
    compiled = Path(tempfile.gettempdir()) / f"{SCRATCH}compiled-{os.getuid()}"  # on a node, too; made there
    sent = {
        "py_modules": [str(code / "solver")],
        "excludes": NOT_SENT,
        "env_vars": {"NUMBA_CACHE_DIR": str(compiled)},
    }
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(
            address=None if address == "local" else address, runtime_env=sent, log_to_driver=False,
            logging_level="ERROR", include_dashboard=False if address == "local" else None,
        )  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BadInput(
            f"--cluster {address}: {first_line(error)}: expected a running cluster with the same Ray and Python; start "
            "one with ray start --head"
        ) from None


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".:")


class RemoteChild(Connection):
    """A worker in an actor: two threads hand on what goes through its pipes, so that the pool sees no difference."""

    def __init__(self, actor: Any, log: TextIO):
        reports, self._reported = os.pipe()
        self._ordered, orders = os.pipe()
        super().__init__(reports, orders)
        self._actor, self._log, self._keep = actor, log, Path()
        self._known: set[str] = set()  # shared adapters that the node has
        self._up, self._closed, self._why = threading.Event(), threading.Event(), ""
        for hand_on in (self._hand_on_orders, self._hand_on_reports):
            threading.Thread(target=hand_on, daemon=True).start()

    def _hand_on_orders(self) -> None:
        """From the pipe to the actor, with the shared adapters that an order names."""
        with open(self._ordered, "rb") as lines, contextlib.suppress(ray.exceptions.RayError):
            for line in lines:
                values = json.loads(line)
                self._keep = Path(values["keep"])
                named = {shared["adapter"]: Path(shared["path"]) for shared in values["shared"].values()}
                adapters = {n: cluster_host.read_files(p) for n, p in named.items() if n not in self._known}
                self._known |= set(adapters)
                ray.get(self._actor.order.remote(line, adapters))

    def _hand_on_reports(self) -> None:
        """From the actor to the pipe, until the worker is gone."""
        with open(self._reported, "wb") as pipe, contextlib.suppress(OSError):  # nobody listens any more
            try:
                while not (told := ray.get(self._actor.told.remote(LISTEN))).over:
                    self._take(told, pipe)
                self._take(told, pipe)
                self._why = told.death
            except ray.exceptions.RayError as error:
                self._why = f"the worker's node or its actor is gone ({type(error).__name__})"
            finally:
                self._closed.set()

    def _take(self, told: Told, pipe: Any) -> None:
        self._up.set()
        self._log.write(told.log)
        self._log.flush()
        for name, files in told.adapters.items():
            cluster_host.write_files(self._keep / name, files)
            self._known.add(name)
        for line in told.lines:
            if told.adapters and b'"kind": "shared"' in line:
                values = json.loads(line)
                line = json.dumps({**values, "path": str((self._keep / values["adapter"]).resolve())}).encode()
            pipe.write(line + b"\n")
        pipe.flush()

    def ended(self) -> bool:
        """Whether it is known to be gone."""
        return self._closed.is_set()

    def death(self) -> str:
        """How it ended, in words."""
        self._closed.wait(DEATH)
        return self._why or "the worker closed its reports"

    def kill(self) -> None:
        """End the worker and its actor."""
        if self._up.is_set() and not self._closed.is_set():
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(self._actor.end.remote(), timeout=KILLED)
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._actor)
        for pipe in (self.reports, self.orders):
            with contextlib.suppress(OSError):
                os.close(pipe)
