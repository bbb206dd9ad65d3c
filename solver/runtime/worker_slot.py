"""A device's place in the pool: who works there now, at what, and what is to come; and the process that works there.

Law: nothing a process started outlives its `kill`.
"""

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from solver.clock import Deadline
from solver.config import presets
from solver.config.settings import Config
from solver.hardware.devices import Device
from solver.hardware.memory_plan import adapter_numbers
from solver.model.architecture import HALF, read
from solver.runtime.live import Worker
from solver.runtime.messages import AdapterTrained, AnsweredBy, Order, Report, order_to_line, report_from_json
from solver.runtime.scheduler import Scheduler
from solver.runtime.time_slices import TimeSlice
from solver.types import BadInput

WORKER: tuple[str, ...] = (sys.executable, "-m", "solver", "worker")  # the command that starts a child
KILLED = 2.0  # seconds to wait for a killed child; less than `pool.LAST`
MEMORY, ROOM = "/dev/shm", 1 << 30  # adapters go there if it has so many bytes beside them (containers may give 64 MiB)
SCRATCH = "arc-ttt-"  # how the names of workers' folders begin
DEATH = 1.0  # seconds to wait for the exit status of a child that closed its reports
STARTS = 4  # children in a row that may die while starting; more of the same would not help


class Child:
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
        self.reports, self._read, self.unsent = reading, b"", b""  # `unsent`: what is still on its way of an order
        os.set_blocking(reading, False)
        assert self.process.stdin is not None
        self.orders = self.process.stdin.fileno()
        os.set_blocking(self.orders, False)

    def order(self, order: Order) -> None:
        """Send one order; `push` sends what the pipe does not take at once. Raises `OSError` where nobody listens."""
        self.unsent += order_to_line(order)
        self.push()

    def push(self) -> None:
        """Send as much of the orders as the pipe takes. Raises `OSError` where nobody listens."""
        with contextlib.suppress(BlockingIOError):
            while self.unsent:
                self.unsent = self.unsent[os.write(self.orders, self.unsent) :]

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


@dataclass
class Phase:
    """What slots serve: a scheduler's batches until the deadline.

    A slot that gets no batch waits for the next one where the model answers; it leaves any other phase for good.
    """

    scheduler: Scheduler
    deadline: Deadline
    by: AnsweredBy = "model"  # what its workers answer with
    most: float = math.inf  # seconds from its start

    @property
    def remaining(self) -> float:
        """Seconds there are for it."""
        return min(self.most, self.deadline.remaining())

    @property
    def over(self) -> bool:
        """Whether no slot need serve it any more."""
        return self.by != "model" and (not self.scheduler.pending or self.remaining <= 0)

    def begin(self) -> None:
        """Start counting its seconds, unless they count already."""
        self.deadline, self.most = self.deadline.within(self.most), math.inf


@dataclass
class WorkerSlot:
    """A device, the child that works on it, and the phases it serves."""

    device: Device
    from_then: Deadline = field(default_factory=lambda: Deadline.after(0))  # the first child is not started before
    child: Child | None = None
    ready: bool = False
    starts: int = 0  # children since one was last ready
    level: int = 0  # steps down the ladder of memory
    until: Deadline = field(default_factory=lambda: Deadline.after(0))  # the child is ready by then, or its batch over
    time_slice: TimeSlice | None = None  # the running batch, whose tasks, as far as answered, have:
    measured: dict[str, float] = field(default_factory=dict)  # seconds
    need: dict[str, float] = field(default_factory=dict)  # of more work, 0 to 1
    trained: list[AdapterTrained] = field(default_factory=list)  # what the child said of each of its adapters
    phases: list[Phase] = field(default_factory=list)  # the present one first

    @property
    def given_up(self) -> bool:
        """Whether its workers died too often while starting."""
        return self.child is None and self.starts >= STARTS

    @property
    def done_with_phase(self) -> bool:
        """Whether its present phase is over: nothing is left to do in it, or nobody can be had for programs."""
        return self.phases[0].over or (self.given_up and self.phases[0].by != "model")

    def begin(self, time_slice: TimeSlice, until: Deadline) -> None:
        self.time_slice, self.until = time_slice, until
        self.measured, self.need, self.trained = {}, {}, []

    def next_phase(self) -> None:
        """Leave the present phase for good; its child goes."""
        self.end()
        self.phases.pop(0)
        self.starts, self.ready = 0, False

    def step_down(self) -> str:
        """Take the next step down the ladder of memory; says which, or '' where there is none left."""
        ladder = (*presets.LADDER, *(["the CPU"] if self.device.gpu else []))
        if self.level == len(ladder):
            return ""
        self.level += 1
        self.starts = 0
        return f"; out of memory: trying {ladder[self.level - 1]}"

    def shown(self) -> Worker:
        """As the live view shows it."""
        name, time_slice = self.device.name, self.time_slice
        if not self.phases:
            return Worker(name, "done", busy=False)
        if self.child is None:
            return Worker(name, "given up" if self.given_up else "to be started", busy=not self.given_up)
        if time_slice is None:
            return Worker(name, "waiting" if self.ready else "starting", busy=not self.ready)
        stage, ids, seconds = time_slice.stage.number, time_slice.task_ids, time_slice.seconds
        steps, loss = (self.trained[-1].steps, self.trained[-1].loss) if self.trained else (0, None)
        return Worker(name, "working", True, stage, ids, seconds, len(self.trained), steps, loss)

    def late(self) -> str:
        """What its child was late with, in words."""
        if self.child is not None and self.child.unsent:
            return "the worker did not take its order"
        what = "start-up" if self.time_slice is None else "it"
        return f"{what} took longer than it was given"

    def end(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child = None
