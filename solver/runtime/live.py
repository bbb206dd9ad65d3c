"""What there is to see of a run while it goes on: stages, workers, the latest answers, warnings.

`progress` tells it, `screen` draws it. Law: it keeps no more than a terminal can show, however long the run.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from solver.clock import Deadline
from solver.types import ADAPTER, BASE, SHARED, Standing, TaskResult, by_programs, stage_name

LATEST = 60  # answers kept: no terminal shows more
WARNINGS = 20  # warnings kept; how many there were in all is counted


@dataclass(frozen=True)
class About:
    """What the run set out to do."""

    name: str = ""
    weights: str = ""
    seed: int | None = None
    stages: tuple[int, ...] = (ADAPTER,)  # their numbers, in order
    done: frozenset[tuple[str, int]] = frozenset()  # (task, stage) pairs an earlier process had done
    answered: frozenset[str] = frozenset()  # tasks it had answers to
    split: frozenset[str] = frozenset()  # those whose vote it left split
    limit: float = math.inf  # seconds of the whole run
    deadline: Deadline = field(default_factory=lambda: Deadline(math.inf))


@dataclass(frozen=True)
class StageAnswer:
    """One task in one stage."""

    task_id: str
    stage: int
    text: str  # what it came to, such as `votes 5 of 8`
    seconds: float  # of work
    steps: int = 0  # of training
    loss: float | None = None  # nats a token in the last of them
    right: bool | None = None  # whether all its outputs are solved now; None: solutions are unknown
    split: bool = False  # whether its vote is, so that another stage is due
    whole: bool = False  # whether each of its test inputs has an answer


def answered(result: TaskResult, standing: Standing, split: bool, right: bool | None) -> StageAnswer:
    """The answer that a worker's result led to."""
    text = "votes " + " and ".join(f"{first} of {total}" for first, total in standing.votes)
    if by_programs(result.stage):
        most = max(map(len, result.candidates), default=0)
        text = f"{count(most, 'answer')} of programs" if most else "no program"
    seconds, loss = sum(result.seconds.values()), result.losses[-1] if result.losses else None
    return StageAnswer(
        result.task_id, result.stage, text, seconds, result.steps, loss, right=right, split=split, whole=standing.whole
    )


@dataclass(frozen=True)
class Worker:
    """What the worker on a device does now."""

    name: str
    state: str  # in a word or two
    busy: bool = True  # whether seconds of it count
    stage: int = 0  # of its batch, as is what follows
    task_ids: tuple[str, ...] = ()
    seconds: float = 0.0  # granted
    trained: int = 0  # adapters so far
    steps: int = 0  # of the latest one
    loss: float | None = None  # its last, nats a token


class Live:
    """The state of the view of `total` tasks. `expected`: gives the seconds to the expected end of the run."""

    def __init__(self, about: About, total: int, expected: Callable[[], float]):
        self.about, self.total, self.expected = about, total, expected
        self.solved: int | None = None
        self.latest: deque[StageAnswer] = deque(maxlen=LATEST)
        self.warnings: deque[str] = deque(maxlen=WARNINGS)
        self.warned = 0
        self.workers: tuple[Worker, ...] = ()
        self._began: dict[str, tuple[object, float]] = {}  # by worker: what it does, since when
        self._done, self._answered, self._split = set(about.done), set(about.answered), set(about.split)

    def answer(self, answer: StageAnswer) -> None:
        self.latest.append(answer)
        self._done.add((answer.task_id, answer.stage))
        if answer.whole:
            self._answered.add(answer.task_id)
        (self._split.add if answer.split else self._split.discard)(answer.task_id)

    def shared(self, task_ids: Sequence[str]) -> None:
        self._done |= {(task_id, SHARED) for task_id in task_ids}

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.warned += 1

    def watch(self, workers: Sequence[Worker]) -> bool:
        """Take in what every worker does now; whether anything of it is new."""
        before, self.workers = self.workers, tuple(workers)
        for worker in workers:
            doing = worker.state, worker.stage, worker.task_ids
            if self._began.get(worker.name, ("", 0.0))[0] != doing:
                self._began[worker.name] = doing, self.about.deadline.read()
        return before != self.workers

    def since(self, worker: Worker) -> float:
        """Seconds for which the worker has done what it does."""
        return self.about.deadline.read() - self._began[worker.name][1]

    @property
    def answered(self) -> int:
        """Tasks with an answer to each test input."""
        return len(self._answered)

    @property
    def stages(self) -> list[tuple[str, int, int]]:
        """(Name, tasks done, tasks due) of the stages all tasks get, and of the refinement begun last or due first."""
        numbers = [number for number in self.about.stages if number <= ADAPTER]
        refinement = [number for number in self.about.stages if number > ADAPTER]
        begun = [number for number in refinement if any(of == number for _, of in self._done)]
        rows = []
        settled = {i for i, of in self._done if of == BASE and i not in self._split and (i, ADAPTER) not in self._done}
        for number in (*numbers, *(begun[-1:] or refinement[:1])):
            done = {task_id for task_id, of in self._done if of == number}
            due = done | {i for i in self._split if (i, number - 1) in self._done}
            if number <= ADAPTER:
                rows.append((stage_name(number), len(done), self.total - len(settled) * (number == ADAPTER)))
            elif due:
                rows.append((stage_name(number), len(done), len(due)))
        return rows


def printable(text: str, encoding: str | None) -> str:
    """The text on one line, with what the stream's encoding lacks written as backslash escapes."""
    line = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in " ".join(text.split()))
    return line.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")


def count(number: int, noun: str) -> str:
    """A number of things: '1 task', '2 tasks'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def span(seconds: float) -> str:
    """Seconds as people read them: '45 s', '12 min 05 s', '3 h 07 min'."""
    minutes, rest = divmod(int(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
