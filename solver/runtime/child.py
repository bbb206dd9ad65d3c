"""A worker's process on this machine, and the pipes to it.

Law: nothing a process started outlives its `kill`.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from solver.config.settings import Config
from solver.hardware.memory_plan import adapter_numbers
from solver.model.architecture import HALF, read
from solver.runtime.messages import AnsweredBy, Order, Report, order_to_line, report_from_json
from solver.types import BadInput

WORKER: tuple[str, ...] = (sys.executable, "-m", "solver", "worker")  # the command that starts a child
KILLED = 2.0  # seconds to wait for a killed child; less than `pool.LAST`
MEMORY, ROOM = "/dev/shm", 1 << 30  # adapters go there if it has so many bytes beside them (containers may give 64 MiB)
SCRATCH = "arc-ttt-"  # how the names of workers' folders begin
DEATH = 1.0  # seconds to wait for the exit status of a child that closed its reports


class Connection:
    """A worker's two pipes: file descriptors that never block. `unsent`: what is still on its way of an order."""

    def __init__(self, reports: int, orders: int):
        self.reports, self.orders, self._read, self.unsent = reports, orders, b"", b""
        os.set_blocking(reports, False)
        os.set_blocking(orders, False)

    def order(self, order: Order) -> None:
        """Send one order; `push` sends what the pipe does not take at once. Raises `OSError` where nobody listens."""
        self.send(order_to_line(order))

    def send(self, line: bytes) -> None:
        """`order`, spelled."""
        self.unsent += line
        self.push()

    def push(self) -> None:
        """Send as much of the orders as the pipe takes. Raises `OSError` where nobody listens."""
        with contextlib.suppress(BlockingIOError):
            while self.unsent:
                self.unsent = self.unsent[os.write(self.orders, self.unsent) :]

    def lines(self) -> tuple[list[bytes], bool]:
        """The whole lines there are now, and whether there will be no more."""
        over = self.ended()  # asked first: what it said before is still read
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.reports, 1 << 20):
                self._read += chunk
            over = True
        *lines, self._read = self._read.split(b"\n")
        return lines, over

    def receive(self) -> tuple[list[Report], bool]:
        """The whole reports there are now, and whether there will be no more."""
        lines, over = self.lines()
        return [report_from_json(json.loads(line)) for line in lines], over

    def ended(self) -> bool:
        """Whether the worker is known to be gone."""
        raise NotImplementedError

    def death(self) -> str:
        """How it ended, in words."""
        raise NotImplementedError

    def kill(self) -> None:
        """End the worker and everything it started, for certain."""
        raise NotImplementedError


class Child(Connection):
    """One worker process. `log` receives what its libraries print; its scratch folder goes when it is killed."""

    def __init__(self, weights: Path, config: Config, environment: Mapping[str, str], log: TextIO, by: AnsweredBy):
        reading, writing = os.pipe()
        self.scratch = tempfile.TemporaryDirectory(
            prefix=SCRATCH, dir=adapter_folder(weights, config), ignore_cleanup_errors=True
        )
        given = ["--weights", str(weights.resolve()), "--reports", str(writing), "--scratch", self.scratch.name]
        self.process = subprocess.Popen(
            [*WORKER, "--by", by, *given, "--config", json.dumps(asdict(config)), "--parent", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, **environment},
            start_new_session=True,  # so that its own children are killed with it
        )
        os.close(writing)
        assert self.process.stdin is not None
        super().__init__(reading, self.process.stdin.fileno())

    def ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def death(self) -> str:
        """How it ended, in words."""
        try:
            code = self.process.wait(timeout=DEATH)
        except subprocess.TimeoutExpired:
            return "the worker closed its reports"
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return f"the worker died ({name})"

    def kill(self) -> None:
        """End the child and everything it started, for certain."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in a driver, it can't hold up the run
            self.process.wait(timeout=KILLED)
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # an order it never took
            self.process.stdin.close()
        os.close(self.reports)
        self.scratch.cleanup()


def adapter_folder(weights: Path, config: Config) -> str | None:
    """The memory-backed folder, if it has room for a batch's adapters beside those of other workers; None: `TMPDIR`."""
    if not os.access(MEMORY, os.W_OK):
        return None
    try:
        adapter = HALF * adapter_numbers(read(weights), config.train)
    except BadInput:
        return None
    workers = 1 + sum(1 for _ in Path(MEMORY).glob(f"{SCRATCH}*"))
    return MEMORY if shutil.disk_usage(MEMORY).free >= ROOM + workers * config.group * adapter else None
