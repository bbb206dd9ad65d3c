"""Where a run's workers are: the one seam between the pool and what starts processes, here or on other machines."""

from pathlib import Path
from typing import Protocol, TextIO

from solver.config.settings import Config
from solver.hardware import devices
from solver.hardware.devices import Device
from solver.runtime.child import Child, Connection
from solver.runtime.messages import AnsweredBy


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
