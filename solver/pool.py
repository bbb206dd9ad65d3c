"""Runs the scheduler's turns in a child process, and outlives whatever becomes of the child.

Knows nothing of models. Laws: a child that dies, hangs or runs past its seconds costs at most its turn; nothing
waits past the deadline; no child outlives the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from solver import config as settings
from solver.clock import Deadline, now
from solver.core import Task
from solver.scheduler import Grant, Job, Scheduler
from solver.worker import task_to_json

WORKER: tuple[str, ...] = (sys.executable, "-m", "solver.worker")  # the command that starts a child
GRACE = 10.0  # seconds past its grant before a child counts as stuck and is killed
STARTS = 4  # children in a row that may die while starting; more of the same would not help
START_MOST = 300.0  # seconds a child may take to start, however much time is left
KILLED = 2.0  # seconds to wait for a killed child; less than LAST
MEMORY, ROOM = "/dev/shm", 1 << 30  # adapters go there if it has this many bytes free (containers may give 64 MiB)
START_SHARE = 0.5  # of the seconds left may go by while a child starts: a second one then still has time
LAST = 3.0  # seconds before the deadline at which a child is killed, whatever it does
DEATH = 1.0  # seconds to wait for the exit status of a child that closed its reports


class ChildLost(Exception):
    """The child died, hung or was cut off; the message says which."""


@dataclass
class Hooks:
    """What the run wants to hear: a task's result as JSON values, a task left without, a line for people."""

    result: Callable[[dict[str, Any]], None]
    lost: Callable[[str, str], None]
    note: Callable[[str], None]


class Child:
    """One worker process. `log` receives what its libraries print; its scratch folder goes when it is killed."""

    def __init__(self, weights: Path, config: settings.Config, environment: Mapping[str, str], log: TextIO):
        reading, writing = os.pipe()
        self.scratch = tempfile.TemporaryDirectory(prefix="arc-ttt-", dir=_memory(), ignore_cleanup_errors=True)
        given = ["--weights", str(weights.resolve()), "--reports", str(writing), "--scratch", self.scratch.name]
        self.process = subprocess.Popen(
            [*WORKER, *given, "--config", json.dumps(settings.pack(config))],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            cwd=Path(__file__).resolve().parent.parent,
            env={**os.environ, **environment},
            start_new_session=True,  # so that its own children are killed with it
        )
        os.close(writing)
        self.reports, self.buffer = reading, b""
        os.set_blocking(reading, False)
        assert self.process.stdin is not None
        self.orders = self.process.stdin.fileno()
        os.set_blocking(self.orders, False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(reading, selectors.EVENT_READ)

    def order(self, message: Mapping[str, Any], until: Deadline) -> None:
        """Send one order. Raises `ChildLost` where nobody listens any more, or not before `until`."""
        rest = json.dumps(message).encode() + b"\n"
        while rest:
            try:
                rest = rest[os.write(self.orders, rest) :]
            except BlockingIOError:  # more than the pipe holds: wait until the child has read some
                if until.remaining() <= 0:
                    raise ChildLost("stopped: the worker did not take its order") from None
                select.select([], [self.orders], [], min(1.0, until.remaining()))
            except OSError as error:
                raise ChildLost(self._death()) from error

    def messages(self, until: Deadline, what: str) -> Iterator[dict[str, Any]]:
        """Reports as they come. Raises `ChildLost` when the child is gone or `until` has passed."""
        while True:
            while b"\n" in self.buffer:
                line, _, self.buffer = self.buffer.partition(b"\n")
                yield json.loads(line)
            if until.remaining() <= 0:
                raise ChildLost(f"stopped: {what} took longer than it was given")
            dead = self.process.poll() is not None  # asked first: what it said before is still read
            if self.selector.select(0 if dead else min(1.0, until.remaining())):
                chunk = os.read(self.reports, 1 << 20)
                if not chunk:
                    raise ChildLost(self._death())
                self.buffer += chunk
            elif dead:  # something it started still holds its reports open
                raise ChildLost(self._death())

    def _death(self) -> str:
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
            self.process.stdin.close()
        self.selector.close()
        os.close(self.reports)
        self.scratch.cleanup()


def _memory() -> str | None:
    """The memory-backed folder for adapters, where there is one with room; else the default for temporary files."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM:
        return MEMORY
    return None


class Pool:
    """One device's run: `run` serves all turns. `environment` is added to the child's."""

    def __init__(
        self,
        tasks: Sequence[Task],
        weights: Path,
        config: settings.Config,
        hooks: Hooks,
        log: TextIO,
        environment: Mapping[str, str],
    ):
        self.tasks = {task.id: task for task in tasks}
        self.weights, self.config, self.hooks, self.log = weights, config, hooks, log
        self.environment = environment
        self.child: Child | None = None
        self.starts = 0  # since a child was last ready
        self.answered: set[str] = set()

    def run(self, jobs: Sequence[Job], deadline: Deadline) -> None:
        """Serve turns until every task had its turns or the budget is spent."""
        config = self.config
        scheduler = Scheduler(jobs, config.group, config.train_share, config.reserve, config.minimum, config.cost)
        last = Deadline(deadline.at - LAST, deadline.read)
        try:
            while not self.answered.issuperset(scheduler.pending) and self._ready(last):
                grant = scheduler.next(deadline.remaining())
                if grant is None:
                    break
                if self.answered.issuperset(grant.task_ids):  # its first turn failed after its answers had come
                    scheduler.returned(grant, {}, ok=True)
                    continue
                measured, why = self._turn(grant, last)
                scheduler.returned(grant, measured, ok=not why)
                self._lost([i for i in scheduler.retired if i in grant.task_ids], why)
            stuck = self.child is None and last.remaining() > 0
            self._lost(scheduler.pending, "the worker could not be started" if stuck else "the time limit came first")
        finally:
            self._end()

    def _lost(self, task_ids: Sequence[str], why: str) -> None:
        for task_id in task_ids:
            if task_id not in self.answered:
                self.hooks.lost(task_id, why)

    def _ready(self, last: Deadline) -> bool:
        """Whether a child is there to serve; starts one where there is none."""
        while self.child is None and self.starts < STARTS and last.remaining() > 0:
            self.starts += 1
            try:
                self.child = Child(self.weights, self.config, self.environment, self.log)
                until = last.within(min(START_MOST, START_SHARE * last.remaining()))
                ready = next(self.child.messages(until, "start-up"))
                self.hooks.note(f"engine and trainer ready in {ready['seconds']:.1f} s; {'; '.join(ready['notes'])}")
                self.starts = 0
            except (ChildLost, OSError) as lost:
                self.hooks.note(f"{lost} while starting; its log says more")
                self._end()
        return self.child is not None

    def _turn(self, grant: Grant, last: Deadline) -> tuple[dict[str, float], str]:
        """Serve one grant; (seconds by task, why it failed or '')."""
        assert self.child is not None
        until = Deadline(min(last.at, now() + grant.seconds + GRACE), last.read)
        tasks = [task_to_json(self.tasks[i]) for i in grant.task_ids]
        order = {"tasks": tasks, "seconds": grant.seconds, "train_seconds": dict(grant.train_seconds)}
        measured: dict[str, float] = {}
        try:
            self.child.order(order, until)
            for message in self.child.messages(until, f"the turn of {', '.join(grant.task_ids)}"):
                if message["kind"] == "done":
                    return measured, ""
                if message["kind"] == "failed":
                    self.hooks.note(f"the turn of {', '.join(grant.task_ids)} failed: {message['why']}")
                    self._end()  # an engine that raised is not trusted with the next turn
                    return measured, message["why"]
                self.answered.add(message["task_id"])
                measured[message["task_id"]] = sum(message["seconds"].values())
                self.hooks.result(message)
        except ChildLost as lost:
            self.hooks.note(f"{lost} in the turn of {', '.join(grant.task_ids)}")
            self._end()
            return measured, str(lost)
        raise AssertionError("messages ends by raising")

    def _end(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child = None
