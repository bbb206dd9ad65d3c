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
import time
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
from solver.runtime.cluster_host import Folder, NodeWorker, WorkerOutput, WorkerSpec
from solver.runtime.messages import AnsweredBy
from solver.types import BadInput

CODE = Path(__file__).resolve().parents[1]
NOT_SENT = ["**/__pycache__/**"]
DESCRIBE_TIMEOUT = 60.0  # seconds a node may take to say what it has
RETRIES = 3  # more for a call whose node was lost
SETTLED = 0.5  # seconds after a worker's end for its actor to go, too; less than `DEATH`
POLL_TIMEOUT = 2.0  # seconds a call waits for a worker to say something
NICENESS = "RAY_worker_niceness"
CONNECT_TIMEOUT = 3.0  # seconds for a connection to the cluster's address
CPU_WORKER = NO_GPU | {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}  # Ray says who runs where


class Cluster:
    """The nodes of a running cluster (`Machines`)."""

    def __init__(self, address: str):
        """Connect. `address`: host:port, `auto`: of this machine's cluster, `local`: one that is started now, for as
        long as this process lives.

        Raises `BadInput` where no cluster answers, or a node has other versions of Python or of a package.
        """
        _connect(address)
        self.nodes = _able_nodes()
        self._described = self._describe()
        self._sent: dict[str, Folder] = {}
        self.memory = PROCESS  # bytes a worker on a CPU is given

    def _describe(self) -> dict[str, dict[str, str]]:
        """What each node says of itself, by its name; one lost meanwhile is left out. Raises `BadInput` where a node is
        not as here."""
        asked = ray.remote(cluster_host.describe)
        waiting = {
            node["NodeID"]: asked.options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote()
            for node in self.nodes
        }
        here, known = cluster_host.describe(), {}
        for node in list(self.nodes):
            name = node["NodeManagerAddress"] + " " + node["NodeID"][:8]
            try:
                known[name] = ray.get(waiting[node["NodeID"]], timeout=DESCRIBE_TIMEOUT)
            except ray.exceptions.RayError as error:
                if node["NodeID"] not in {able["NodeID"] for able in _able_nodes()}:
                    self.nodes.remove(node)  # gone before Ray knew it
                    continue
                raise BadInput(
                    f"node {name} of the cluster did not say what it has ({reason(error)}): expected all nodes to "
                    "answer; mend it, or take it out of the cluster"
                ) from None
            cluster_host.require_same_versions(name, known[name], here)
        return known

    def devices(self, text: str, weights: int) -> tuple[Device, ...]:
        """A worker for each GPU or, where there is none or `text` says cpu, for each core, as far as memory goes.

        `weights`: bytes. Raises `BadInput` where that is none, or fewer than `cpu:N` says.
        """
        kind, _, count = text.partition(":")
        if kind not in ("auto", "cpu"):
            raise BadInput(f"--devices is {text!r} beside --cluster: expected auto, cpu, or cpu:N")
        for name, known in self._described.items():
            cluster_host.require_room(name, known, weights)
        gpus = int(sum(node["Resources"].get("GPU", 0) for node in self.nodes))
        if gpus and kind == "auto":
            return tuple(Device(f"cluster gpu {n}", {}, gpu=True) for n in range(gpus))
        self.memory = PROCESS + COPIES * weights
        places = self._places(self.memory)
        wanted = int(count) if count else places
        if not places or wanted > places:
            raise BadInput(
                f"the cluster has room for {places} workers of one core and {self.memory / 2**30:.1f} GiB each, {text} "
                f"was asked for: expected {max(1, wanted)} or more; add nodes, or give cpu:N"
            )
        return tuple(Device(f"cluster {n}", CPU_WORKER) for n in range(wanted))

    def search_devices(self, workers: int) -> tuple[Device, ...]:
        """A place for each core that GPU workers leave, as far as memory goes."""
        cores = int(sum(node["Resources"].get("CPU", 0) for node in self.nodes))
        places = min(cores - workers, self._places(SEARCH))
        return tuple(Device(f"cluster programs {n}", ONE_CORE) for n in range(max(0, places)))

    def _places(self, memory: int) -> int:
        """How many workers of one core and so many bytes there is room for."""
        resources = [node["Resources"] for node in self.nodes]
        return sum(int(min(r.get("CPU", 0), r.get("memory", 0) // memory)) for r in resources)

    def start(self, device: Device, weights: Path, config: Config, log: TextIO, by: AnsweredBy) -> Connection:
        """A worker in an actor, as soon as a node has room. Raises `OSError` where its folders cannot be sent."""
        named = (str(weights), *filter(None, (config.near.library, config.induction.model)))
        try:
            folders = {given: self.folder(Path(given)) for given in named}
        except ray.exceptions.RayError as error:
            raise OSError(reason(error)) from None
        start = WorkerSpec(by, str(weights), json.dumps(asdict(config)), device.environment, folders)
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
        self._asked: set[Any] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:  # type: ignore[override]  # no keywords
        """Ask for `fn(*args)`."""
        call = ray.remote(cluster_host.call).options(num_cpus=1, max_retries=RETRIES)
        reference = call.remote(fn, self._folders, ray.get, *args)
        self._asked.add(reference)
        future: Future[Any] = reference.future()
        future.add_done_callback(lambda _: self._asked.discard(reference))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002  as others have
        """Call off what is not done, where asked to; waits for nothing."""
        for reference in list(self._asked) if cancel_futures else ():
            ray.cancel(reference, force=True)
        self._asked.clear()


class Actor(NodeWorker):
    """A `NodeWorker` that fetches by Ray."""

    def __init__(self, start: WorkerSpec):
        super().__init__(start, ray.get)


def _able_nodes() -> list[dict[str, Any]]:
    """The nodes that live and have cores or GPUs for workers."""
    return [node for node in ray.nodes() if node["Alive"] and {"CPU", "GPU"} & node["Resources"].keys()]


@cache
def connected(address: str) -> Cluster:
    """The cluster at the address, connected to once. Raises `BadInput` as `Cluster` does."""
    return Cluster(address)


def _connect(address: str) -> None:
    """Connect, and have workers run this code. Raises `BadInput`."""
    host, _, port = address.rpartition(":")
    if port.isdecimal() and host:
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT).close()
        except OSError as error:
            raise BadInput(
                f"--cluster {address}: no cluster answers there ({error.strerror or error}): expected host:port of its "
                "head; start one with ray start --head"
            ) from None
    if address == "local":  # as nice as workers of this machine: Ray's are 15 nicer
        os.environ.setdefault(NICENESS, "0")
    compiled = Path(tempfile.gettempdir()) / f"{SCRATCH}compiled-{os.getuid()}"  # on a node, too; made there
    sent = {
        "py_modules": [str(CODE)],
        "excludes": NOT_SENT,
        "env_vars": {"NUMBA_CACHE_DIR": str(compiled)},
    }
    try:
        ray.init(
            address=None if address == "local" else address, runtime_env=sent, log_to_driver=False,
            logging_level="ERROR", include_dashboard=False if address == "local" else None,
        )  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BadInput(
            f"--cluster {address}: {reason(error)}: expected a running cluster with the same Ray and Python, one of "
            "whose machines this is; start one with ray start --head"
        ) from None


def reason(error: BaseException) -> str:
    """What an error says in a line: the last one where it tells of what happened on a node, else the first."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    on_node = isinstance(error, ray.exceptions.RayTaskError) or getattr(error, "actor_init_failed", False)
    return lines[-1 if on_node else 0].strip().rstrip(".:")


class RemoteChild(Connection):
    """A worker in an actor: two threads hand on what goes through its pipes, so that the pool sees no difference."""

    def __init__(self, actor: Any, log: TextIO):
        reports, self._reported = os.pipe()
        self._ordered, orders = os.pipe()
        super().__init__(reports, orders)
        self._actor, self._log, self._keep = actor, log, Path()
        self._known: set[str] = set()  # shared adapters that the node has
        self._up, self._closed, self._why = threading.Event(), threading.Event(), ""
        for forward in (self._forward_orders, self._forward_reports):
            threading.Thread(target=forward, daemon=True).start()

    def _forward_orders(self) -> None:
        """From the pipe to the actor."""
        with open(self._ordered, "rb") as lines:
            try:
                for line in lines:
                    self._forward_order(line)
            except (ray.exceptions.RayError, OSError) as error:
                self._why = self._why or f"an order could not be forwarded: {reason(error)}"
                self._closed.set()

    def _forward_order(self, line: bytes) -> None:
        """Give the actor an order, with the shared adapters that it names."""
        values = json.loads(line)
        self._keep = Path(values["keep"])
        named = {shared["adapter"]: Path(shared["path"]) for shared in values["shared"].values()}
        missing = {name: path for name, path in named.items() if name not in self._known and path.is_dir()}
        adapters = {name: cluster_host.read_files(path) for name, path in missing.items()}
        self._known |= set(adapters)
        ray.get(self._actor.order.remote(line, adapters))

    def _forward_reports(self) -> None:
        """From the actor to the pipe, until the worker is gone."""
        timeout = 0.0  # at first: that it is up is known then
        with contextlib.suppress(OSError, ValueError), open(self._reported, "wb") as pipe:  # nobody listens any more
            try:
                while not (output := ray.get(self._actor.poll.remote(timeout))).over:
                    self._take(output, pipe)
                    timeout = POLL_TIMEOUT
                self._take(output, pipe)
                time.sleep(SETTLED)  # a node that is lost may take the worker with it before the actor
                ray.get(self._actor.poll.remote(0.0))
                self._why = self._why or output.death
            except ray.exceptions.RayError as error:
                said = reason(error) if getattr(error, "actor_init_failed", False) else type(error).__name__
                self._why = self._why or f"the worker's node or its actor is gone ({said})"
            finally:
                self._closed.set()

    def _take(self, output: WorkerOutput, pipe: Any) -> None:
        self._up.set()
        self._log.write(output.log)
        self._log.flush()
        for name, files in output.adapters.items():
            cluster_host.write_files(self._keep / name, files)
            self._known.add(name)
        for line in output.lines:
            if output.adapters and b'"kind": "shared"' in line:
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
        if self._up.is_set():  # a dead worker, too, may have left processes behind
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(self._actor.end.remote(), timeout=KILLED)
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._actor)
        for pipe in (self.reports, self.orders):
            with contextlib.suppress(OSError):
                os.close(pipe)
