"""Runs the schedulers' turns in one child process a device, and outlives whatever becomes of the children.

Knows nothing of models. A seat serves one duty after another: a code model that writes programs has each device before
anything else; then, where GPUs work, seats of their own search for programs beside them; else each device does so
first, and makes place for the model. Laws: a child that dies, hangs or runs past its seconds costs at most its turn;
nothing waits past the deadline, for the code model past its share, or for programs once the model's turns are over; no
child outlives the run.
"""

from __future__ import annotations

import contextlib
import math
import selectors
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from solver.clock import Deadline, now
from solver.config import presets, settings
from solver.data.codec import task_to_json
from solver.hardware.devices import ONE_CORE, Device
from solver.runtime.scheduler import Grant, Scheduler
from solver.runtime.worker_process import Child
from solver.types import Task

SEARCH, WRITE = "--programs", "--induction"  # children that search for programs; that have a code model write them
GRACE = 10.0  # seconds past its grant before a child counts as stuck and is killed
STARTS = 4  # children in a row that may die while starting; more of the same would not help
APART = 4.0  # seconds between the starts of workers on GPUs: their first imports compile, and read the same files
START_MOST = 300.0  # seconds a child may take to start, however much time is left
START_SHARE = 0.5  # of the seconds left may go by while a child starts: a second one then still has time
LAST = 3.0  # seconds before the deadline at which a child is killed, whatever it does
TICK = 0.25  # seconds between two looks at the children at most
CPU_ONLY = {"CUDA_VISIBLE_DEVICES": ""}  # the environment of a child that must not use a GPU


@dataclass
class Hooks:
    """What the run wants to hear.

    `result`: a device's result as JSON values; gives back how much the task needs more work, 0 to 1. `shared`: an
    adapter that tasks share, as JSON values with their ids; `Pool.share` takes it up. `lost`: a task
    left without a turn it was due, and why. `failure`: round, tasks and cause of a turn that failed. `note`: a line
    for people; `warn`: one on what went wrong. `watch`: how the seats stand, every `TICK` seconds or sooner. `started`:
    a device's model is ready, and the seconds that took.
    """

    result: Callable[[str, dict[str, Any]], float]
    shared: Callable[[str, dict[str, Any]], None]
    lost: Callable[[str, str], None]
    failure: Callable[[int, Sequence[str], str], None]
    note: Callable[[str], None]
    warn: Callable[[str], None]
    watch: Callable[[Sequence[Seat]], None] = lambda _: None
    started: Callable[[str, float], None] = lambda *_: None


def undisturbed(result: Mapping[str, Any]) -> float:
    """Seconds the task of a result would have used, had its training not been stopped before its last step."""
    seconds, steps = result["seconds"], result.get("steps", 0)
    more = result["planned"] / steps - 1 if steps else 0.0
    return math.fsum((*seconds.values(), more * seconds.get("train", 0.0)))


@dataclass
class Duty:
    """What seats serve: the turns of a scheduler until the deadline, and no longer than `most` seconds from its start.

    `flag`: of the workers that serve it, `SEARCH` or `WRITE`, which answer by programs; "": of those with the model. A
    seat that gets no turn waits for the model's next one, and leaves any other duty for good.
    """

    scheduler: Scheduler
    deadline: Deadline
    flag: str = ""
    most: float = math.inf

    @property
    def programs(self) -> bool:
        """Whether programs answer."""
        return bool(self.flag)

    @property
    def remaining(self) -> float:
        """Seconds there are for it."""
        return min(self.most, self.deadline.remaining())

    @property
    def over(self) -> bool:
        """Whether nobody need be seated for it any more."""
        return self.programs and (not self.scheduler.pending or self.remaining <= 0)

    def begin(self) -> None:
        """Have its seconds count from now on, if they do not yet."""
        self.deadline, self.most = self.deadline.within(self.most), math.inf


@dataclass
class Seat:
    """A device with whoever sits there, from the moment `from_then` on, for its `duties`, the present one first.

    `until`: when the child must be ready, or its turn over. `starts`: children since one was last ready. `level`:
    steps down the ladder of memory. `measured`, `need`: of the tasks the running turn has answered; `trained`: what
    its workers said of each of its adapters.
    """

    device: Device
    from_then: Deadline = field(default_factory=lambda: Deadline.after(0))
    child: Child | None = None
    ready: bool = False
    starts: int = 0
    level: int = 0
    until: Deadline = field(default_factory=lambda: Deadline.after(0))
    grant: Grant | None = None
    measured: dict[str, float] = field(default_factory=dict)
    need: dict[str, float] = field(default_factory=dict)
    trained: list[dict[str, Any]] = field(default_factory=list)
    duties: list[Duty] = field(default_factory=list)

    @property
    def given_up(self) -> bool:
        """Whether its workers died too often while starting."""
        return self.child is None and self.starts >= STARTS

    @property
    def serves_model(self) -> bool:
        """Whether the model's turns are among its duties."""
        return any(not duty.programs for duty in self.duties)


class Pool:
    """All devices' run: `run` serves all turns."""

    def __init__(
        self,
        tasks: Sequence[Task],
        weights: Path,
        config: settings.Config,
        devices: Sequence[Device],
        hooks: Hooks,
        log: TextIO,
        keep: Path,
        beside: Sequence[Device] = (),
    ):
        """`keep`: the folder for adapters that tasks share. `beside`: devices that search for programs alone; where
        there are none, `devices` do so before the model's turns.
        """
        self.keep, self.shared = keep, dict[str, Mapping[str, Any]]()
        self.tasks = {task.id: task for task in tasks}
        self.weights, self.config, self.hooks, self.log = weights, config, hooks, log
        self.seats = [Seat(device, Deadline.after(APART * n * device.gpu)) for n, device in enumerate(devices)]
        self.beside = [Seat(device) for device in beside]
        self.answered: set[str] = set()

    def share(self, message: Mapping[str, Any]) -> None:
        """Have the tasks a message names start from the adapter it names, if there is one."""
        if message["adapter"] is not None:
            known = {name: message[name] for name in ("adapter", "path", "sha256")}
            self.shared |= dict.fromkeys(message["task_ids"], known)

    def run(
        self, scheduler: Scheduler, deadline: Deadline, programs: Duty | None = None, induction: Duty | None = None
    ) -> None:
        """Serve the model's turns until every task had them or the budget is spent.

        `induction` comes before, `programs` then or beside.
        """
        self.model, self.deadline = Duty(scheduler, deadline), deadline
        self.last = Deadline(deadline.at - LAST, deadline.read)
        self._give_duties(programs, induction)
        try:
            while self.last.remaining() > 0 and not scheduler.finished:
                for seat in self.seats:
                    self._employ(seat)
                working = [seat for seat in self.seats if seat.child is not None and (seat.grant or not seat.ready)]
                due = [seat for seat in self.seats if seat.from_then.remaining() > 0]
                if not working and not due:
                    break
                self.hooks.watch(self.seats)
                self._wait(working, due)
                for seat in working:
                    self._listen(seat)
            able = [seat for seat in self.seats if seat.serves_model and not seat.given_up]
            started = any(seat.child for seat in able) or self.last.remaining() <= 0
            why = "the time limit came first" if started else "the worker could not be started"
            for task_id in scheduler.pending:
                self._lost(task_id, why)
        finally:
            for seat in self.seats:
                self._end(seat)

    def _give_duties(self, programs: Duty | None, induction: Duty | None) -> None:
        """Programs to the seats that are there for them; where there are none, to all, before the model's turns."""
        searches = [programs] if programs is not None else []
        first = [induction] if induction is not None else []
        for seat in self.seats:
            seat.duties = [*first, *(searches if not self.beside else ()), self.model]
        for seat in self.beside:
            seat.duties = list(searches)
        self.seats += self.beside

    def _lost(self, task_id: str, why: str) -> None:
        if task_id not in self.answered:
            self.hooks.lost(task_id, why)

    def _employ(self, seat: Seat) -> None:
        """Start a child where there is none and one may help; hand a turn to one that is idle."""
        while seat.duties and seat.grant is None and (seat.duties[0].over or self._useless(seat)):
            self._next_duty(seat)
        if not seat.duties:
            return
        if seat.child is None and seat.starts < STARTS and seat.from_then.remaining() <= 0:
            self._start(seat)
        if seat.child is not None and seat.ready and seat.grant is None:
            duty = seat.duties[0]
            seat.grant = duty.scheduler.next(seat.device.name, duty.deadline.remaining())
            if seat.grant is not None:
                self._hand_over(seat, seat.child, seat.grant)
            elif duty.programs:
                self._next_duty(seat)
                self._employ(seat)

    def _useless(self, seat: Seat) -> bool:
        """Whether nobody can be seated for programs."""
        return seat.given_up and seat.duties[0].programs

    def _next_duty(self, seat: Seat) -> None:
        """Leave the present duty for good; its child goes."""
        self._end(seat)
        seat.duties.pop(0)
        seat.starts, seat.ready = 0, False

    def _start(self, seat: Seat) -> None:
        """Start a child for the seat's duty."""
        duty = seat.duties[0]
        duty.begin()
        seat.starts, seat.ready = seat.starts + 1, False
        seat.until = self.last.within(min(START_MOST, START_SHARE * self.last.remaining(), duty.remaining))
        config = presets.lighter(self.config, seat.level)
        flags = [duty.flag] if duty.flag else []
        try:
            seat.child = Child(self.weights, config, self._environment(seat), self.log, flags)
        except OSError as error:
            self.hooks.warn(f"{error} while starting a worker on {seat.device.name}")

    def _environment(self, seat: Seat) -> Mapping[str, str]:
        if seat.duties[0].flag == SEARCH:
            return {**seat.device.environment, **ONE_CORE}
        on_cpu = seat.device.gpu and seat.level > len(presets.LADDER)
        return {**seat.device.environment, **(CPU_ONLY if on_cpu else {})}

    def _hand_over(self, seat: Seat, child: Child, grant: Grant) -> None:
        duty = seat.duties[0]
        last = duty.deadline.at if duty.flag == WRITE else math.inf  # the model waits for it
        seat.until = Deadline(min(self.last.at, last, now() + grant.seconds + GRACE), self.last.read)
        seat.measured, seat.need, seat.trained = {}, {}, []
        tasks = [task_to_json(self.tasks[i]) for i in grant.task_ids]
        shared = {i: self.shared[i] for i in grant.task_ids if i in self.shared}
        order = {"round": grant.stage.number, "tasks": tasks, "seconds": grant.seconds}
        order |= {"hurried": grant.hurried, "shared": shared, "keep": str(self.keep.resolve())}
        with contextlib.suppress(OSError):  # a dead child is noticed where it is listened to
            child.order(order | {"train_seconds": dict(grant.train_seconds)})

    def _wait(self, working: Sequence[Seat], due: Sequence[Seat]) -> None:
        """Sleep until a child says something, takes more of its order, is late, or is to start; `TICK` at most."""
        with selectors.DefaultSelector() as selector:
            for seat in working:
                assert seat.child is not None
                selector.register(seat.child.reports, selectors.EVENT_READ)
                if seat.child.unsent:
                    selector.register(seat.child.orders, selectors.EVENT_WRITE)
            selector.select(
                min(
                    [TICK, *(seat.from_then.remaining() for seat in due), *(seat.until.remaining() for seat in working)]
                )
            )

    def _listen(self, seat: Seat) -> None:
        """Take in what a child said; see whether it is gone or late."""
        child = seat.child
        assert child is not None
        with contextlib.suppress(OSError):
            child.push()
        messages, over = child.messages()
        for message in messages:
            if seat.child is child:  # until it failed
                self._take(seat, message)
        if seat.child is not child or (seat.ready and seat.grant is None and not over):
            return
        if over:
            self._failed(seat, child.death())
        elif seat.until.remaining() <= 0:
            self._failed(seat, "stopped: " + self._late(seat, child))

    def _late(self, seat: Seat, child: Child) -> str:
        if child.unsent:
            return "the worker did not take its order"
        return "start-up took longer than it was given" if seat.grant is None else "it took longer than it was given"

    def _take(self, seat: Seat, message: dict[str, Any]) -> None:
        """One report: ready, an adapter trained, a result, a shared adapter, done, or failed."""
        duty = seat.duties[0]
        if message["kind"] == "ready":
            seat.ready, seat.starts = True, 0
            name, notes = seat.device.name, "; ".join(message["notes"])
            if duty.flag != SEARCH:
                what = "code model" if duty.programs else "engine and trainer"
                self.hooks.note(f"{what} ready on {name} in {message['seconds']:.1f} s; {notes}")
                self.hooks.started(name, message["seconds"])
        elif message["kind"] == "trained":
            seat.trained.append(message)
        elif message["kind"] == "result":
            assert seat.grant is not None
            message["turn"] = seat.grant.task_ids
            seat.measured[message["task_id"]] = undisturbed(message)
            self._need(seat, message["task_id"], self.hooks.result(seat.device.name, message))
            if not duty.programs:
                self.answered.add(message["task_id"])
        elif message["kind"] == "shared":
            assert seat.grant is not None
            message["task_ids"] = seat.grant.task_ids
            seat.measured |= dict.fromkeys(seat.grant.task_ids, message["seconds"] / len(seat.grant.task_ids))
            self.share(message)
            self.hooks.shared(seat.device.name, message)
        elif message["kind"] == "failed":
            self._failed(seat, message["why"], message.get("memory", False) and not duty.programs)
        elif seat.grant is not None:
            grant, seat.grant = seat.grant, None
            duty.scheduler.returned(grant, seat.measured, True, seat.need)

    def _need(self, seat: Seat, task_id: str, need: float) -> None:
        """How much a task needs more work now. What programs change of it the model's scheduler is told as well."""
        seat.need[task_id] = need
        if seat.duties[0].programs:
            self.model.scheduler.needs({task_id: need})
            for other in self.seats:
                if task_id in other.need:
                    other.need[task_id] = need

    def _failed(self, seat: Seat, why: str, memory: bool = False) -> None:
        """A child that failed is not trusted with another turn. Out of memory, its successor is given less to do."""
        step = self._step_down(seat) if memory else ""
        self._end(seat)
        if seat.grant is None:
            where = "" if seat.ready else " while starting"
            self.hooks.warn(f"{seat.device.name}: {why}{where}; its log says more{step}")
            able = [s for s in self.seats if seat.duties[0] in s.duties and not s.given_up]
            seat.duties[0].scheduler.devices = max(1, len(able))  # those given up are not planned with
            return
        grant, seat.grant = seat.grant, None
        self.hooks.warn(f"{seat.device.name}: {why}, in the turn of {', '.join(grant.task_ids)}{step}")
        self.hooks.failure(grant.stage.number, grant.task_ids, why + step)
        scheduler = seat.duties[0].scheduler
        retired = set(scheduler.retired)
        scheduler.returned(grant, seat.measured, False, seat.need, excused=bool(step))
        for task_id in scheduler.retired if not seat.duties[0].programs else ():
            if task_id not in retired:
                self._lost(task_id, why)

    def _step_down(self, seat: Seat) -> str:
        """Take the next step of the ladder; what it is, or '' at its end."""
        ladder = (*presets.LADDER, *(["the CPU"] if seat.device.gpu else []))
        if seat.level == len(ladder):
            return ""
        seat.level += 1
        seat.starts = 0
        return f"; out of memory: trying {ladder[seat.level - 1]}"

    def _end(self, seat: Seat) -> None:
        if seat.child is not None:
            seat.child.kill()
            seat.child = None
