"""A worker process as the pool holds it: started with a device, given orders, listened to, and ended for certain.

Knows nothing of models or of who is to do what. Law: nothing it started outlives `kill`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from solver.config.settings import Config
from solver.runtime.messages import Order, Report, order_to_line, report_from_json

WORKER: tuple[str, ...] = (sys.executable, "-m", "solver", "worker")  # the command that starts a child
KILLED = 2.0  # seconds to wait for a killed child; less than LAST
MEMORY, ROOM = "/dev/shm", 1 << 30  # adapters go there if it has this many bytes free (containers may give 64 MiB)
DEATH = 1.0  # seconds to wait for the exit status of a child that closed its reports


class Child:
    """One worker process. `log` receives what its libraries print; its scratch folder goes when it is killed."""

    def __init__(
        self,
        weights: Path,
        config: Config,
        environment: Mapping[str, str],
        log: TextIO,
        flags: Sequence[str] = (),
    ):
        reading, writing = os.pipe()
        self.scratch = tempfile.TemporaryDirectory(prefix="arc-ttt-", dir=_memory(), ignore_cleanup_errors=True)
        given = ["--weights", str(weights.resolve()), "--reports", str(writing), "--scratch", self.scratch.name]
        self.process = subprocess.Popen(
            [*WORKER, *flags, *given, "--config", json.dumps(asdict(config)), "--parent", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, **environment},
            start_new_session=True,  # so that its own children are killed with it
        )
        os.close(writing)
        self.reports, self._read, self._unsent = reading, b"", b""
        os.set_blocking(reading, False)
        assert self.process.stdin is not None
        self.orders = self.process.stdin.fileno()
        os.set_blocking(self.orders, False)

    def order(self, order: Order) -> None:
        """Send one order; `push` sends what the pipe does not take at once. Raises `OSError` where nobody listens."""
        self._unsent += order_to_line(order)
        self.push()

    def push(self) -> None:
        """Send as much of the orders as the pipe takes. Raises `OSError` where nobody listens."""
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[os.write(self.orders, self._unsent) :]

    @property
    def unsent(self) -> bool:
        """Whether an order is still on its way."""
        return bool(self._unsent)

    def receive(self) -> tuple[list[Report], bool]:
        """The whole reports there are now, and whether there will be no more."""
        dead = self.process.poll() is not None  # asked first: what it said before is still read
        closed = False
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.reports, 1 << 20):
                self._read += chunk
            closed = True
        *lines, self._read = self._read.split(b"\n")
        return [report_from_json(json.loads(line)) for line in lines], closed or dead

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
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):  # an order it never took
                self.process.stdin.close()
        os.close(self.reports)
        self.scratch.cleanup()


def _memory() -> str | None:
    """The memory-backed folder for adapters, where there is one with room; else the default for temporary files."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM:
        return MEMORY
    return None
