"""Where a run's workers are: the one seam between the pool and what starts processes, here or on other machines."""

import importlib
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from types import ModuleType
from typing import Protocol, TextIO

from solver.config.settings import Config
from solver.hardware import devices
from solver.hardware.devices import Device
from solver.runtime.child import Child, Connection
from solver.runtime.messages import AnsweredBy
from solver.types import BadInput


class Machines(Protocol):
    """What the run asks of the machines it has."""

    def devices(self, text: str, weights: int) -> tuple[Device, ...]:
        """A device for each worker that `--devices` means, for weights of so many bytes. Raises `BadInput`."""
        ...

    def search_devices(self, workers: int) -> tuple[Device, ...]:
        """Places to search for programs beside so many GPU workers."""
        ...

    def start(self, device: Device, weights: Path, config: Config, log: TextIO, by: AnsweredBy) -> Connection:
        """A new worker on the device, in its environment. Raises `OSError` where none can be started."""
        ...


class ThisMachine:
    """Worker processes beside this one."""

    def devices(self, text: str, weights: int) -> tuple[Device, ...]:
        """Those of this machine."""
        return devices.here(text, weights)

    def search_devices(self, workers: int) -> tuple[Device, ...]:
        """On the cores that the workers leave, as far as memory goes."""
        return devices.cpu_search_devices(workers, devices.cores_here(), devices.free_memory())

    def start(self, device: Device, weights: Path, config: Config, log: TextIO, by: AnsweredBy) -> Connection:
        """A child process; the device is where its environment says."""
        return Child(weights, config, device.environment, log, by)


def machines_of(cluster: str | None) -> Machines:
    """This machine, or the cluster at an address. Raises `BadInput` where there is none, or Ray is not installed."""
    return ThisMachine() if cluster is None else _with_ray().connected(cluster)


def executor(cluster: str, folders: Sequence[Path] = ()) -> Executor:
    """Runs functions on the cores of the cluster at an address (`cluster.ClusterExecutor`). Raises `BadInput`."""
    ray = _with_ray()
    pool: Executor = ray.ClusterExecutor(ray.connected(cluster), folders)
    return pool


def _with_ray() -> ModuleType:
    """The module that imports Ray, which nothing else needs."""
    try:
        return importlib.import_module("solver.runtime.cluster")
    except ImportError:
        raise BadInput(
            "--cluster needs Ray, which is not installed: expected pip install --no-deps -r requirements-cluster.txt"
        ) from None
