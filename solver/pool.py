"""Runs the scheduler's turns in a child process, and outlives whatever becomes of the child.

Knows nothing of models. Laws: a child that dies, hangs or runs past its seconds costs at most its turn; nothing
waits past the deadline; no child outlives the run.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from solver import config as settings
from solver.clock import Deadline, now
from solver.core import Task
from solver.scheduler import Grant, Job, Scheduler
from solver.worker import task_to_json

GRACE = 10.0  # seconds past its grant before a child counts as stuck and is killed
STARTS = 4  # children started in a run at most; one that can't even start won't be helped by more
LAST = 3.0  # seconds before the deadline at which a child is killed, whatever it does


class ChildLost(Exception):
    """The child died, hung or was cut off; the message says which."""


@dataclass
class Hooks:
    """What the run wants to hear: a task's result as JSON values, a task left without, a line for people."""

    result: Callable[[dict[str, Any]], None]
    lost: Callable[[str, str], None]
    note: Callable[[str], None]


class Child:
    """One worker process. `log` receives what its libraries print."""

    def __init__(self, weights: Path, config: settings.Config, environment: Mapping[str, str], log: TextIO):
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "solver.worker", "--weights", str(weights), "--reports", str(writing)]
        self.process = subprocess.Popen(
            [*command, "--config", json.dumps(settings.pack(config))],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            cwd=Path(__file__).resolve().parent.parent,
            env={**os.environ, **environment},
            text=True,
            start_new_session=True,  # so that its own children are killed with it
        )
        os.close(writing)
        self.reports, self.buffer = reading, b""
        os.set_blocking(reading, False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(reading, selectors.EVENT_READ)

    def order(self, message: Mapping[str, Any]) -> None:
        """Send one order. Raises `ChildLost` where nobody listens any more."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
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
            if self.selector.select(min(1.0, until.remaining())):
                chunk = os.read(self.reports, 1 << 20)
                if not chunk:
                    raise ChildLost(self._death())
                self.buffer += chunk

    def _death(self) -> str:
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "the worker closed its reports"
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return f"the worker died ({name})"

    def kill(self) -> None:
        """End the child and everything it started, for certain."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        if self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except OSError:
                pass
        self.selector.close()
        os.close(self.reports)


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
        self.starts = 0

    def run(self, jobs: Sequence[Job], deadline: Deadline) -> None:
        """Serve turns until every task had its turns or the budget is spent."""
        config = self.config
        scheduler = Scheduler(jobs, config.group, config.train_share, config.reserve, config.minimum, config.cost)
        last = Deadline(deadline.at - LAST, deadline.read)
        try:
            while self._ready(last):
                grant = scheduler.next(deadline.remaining())
                if grant is None:
                    break
                measured, why = self._turn(grant, last)
                scheduler.returned(grant, measured, ok=not why)
                for task_id in scheduler.retired:
                    if task_id in grant.task_ids:
                        self.hooks.lost(task_id, why)
            spent = "the worker could not be started" if self.child is None else "the time limit came first"
            for task_id in scheduler.pending:
                self.hooks.lost(task_id, spent)
        finally:
            self._end()

    def _ready(self, last: Deadline) -> bool:
        """Whether a child is there to serve; starts one where there is none."""
        while self.child is None and self.starts < STARTS and last.remaining() > 0:
            self.starts += 1
            self.child = Child(self.weights, self.config, self.environment, self.log)
            try:
                ready = next(self.child.messages(last, "start-up"))
                self.hooks.note(f"engine and trainer ready in {ready['seconds']:.1f} s; {'; '.join(ready['notes'])}")
            except ChildLost as lost:
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
            self.child.order(order)
            for message in self.child.messages(until, f"the turn of {', '.join(grant.task_ids)}"):
                if message["kind"] == "done":
                    return measured, ""
                if message["kind"] == "failed":
                    self.hooks.note(f"the turn of {', '.join(grant.task_ids)} failed: {message['why']}")
                    return measured, message["why"]
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
