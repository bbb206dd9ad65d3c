"""What there is to see of a run while it goes on: rounds, workers, the latest answers, warnings.

Numbers and texts alone: `progress` tells it, `screen` draws it. Knows nothing of terminals, models or solutions.
Law: it keeps no more than a terminal can show, however long the run.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from solver.clock import Deadline
from solver.types import ADAPTER, SHARED, Standing, by_programs, round_name

LATEST = 60  # answers kept: no terminal shows more
WARNINGS = 20  # warnings kept; how many there were in all is counted


@dataclass(frozen=True)
class About:
    """What the run set out to do.

    `rounds`: their numbers, in order. `done`: the (task, round) pairs an earlier process had done; `answered`: those
    it had answers to; `split`: those whose vote it left split. `limit`: seconds of the whole run; `deadline`: its end.
    """

    name: str = ""
    weights: str = ""
    seed: int | None = None
    rounds: tuple[int, ...] = (ADAPTER,)
    done: frozenset[tuple[str, int]] = frozenset()
    answered: frozenset[str] = frozenset()
    split: frozenset[str] = frozenset()
    limit: float = math.inf
    deadline: Deadline = field(default_factory=lambda: Deadline(math.inf))


@dataclass(frozen=True)
class Answer:
    """One task in one round.

    `votes`: (for the first attempt, in all), one entry a test input. `seconds`: of work. `loss`: nats a token in the
    last of the training `steps`. `right`: whether all its outputs are solved now, None where solutions are unknown.
    `split`: whether its vote is, so that another round is due. `whole`: whether each of its test inputs has an answer,
    with or without a vote. `programs`: answers of programs to a test input, in their round.
    """

    task_id: str
    round: int
    votes: tuple[tuple[int, int], ...]
    seconds: float
    steps: int = 0
    loss: float | None = None
    right: bool | None = None
    split: bool = False
    whole: bool = False
    programs: int = 0


def answered(message: Mapping[str, Any], standing: Standing, split: bool, right: bool | None) -> Answer:
    """The answer that a worker's result, as JSON values, led to."""
    return Answer(
        task_id=message["task_id"],
        round=message["round"],
        votes=standing.votes,
        seconds=sum(message["seconds"].values()),
        steps=message["steps"],
        loss=message["losses"][-1] if message["losses"] else None,
        right=right,
        split=split,
        whole=standing.whole,
        programs=max(map(len, message["candidates"]), default=0) if by_programs(message["round"]) else 0,
    )


@dataclass(frozen=True)
class Worker:
    """What the worker on a device does now.

    `state`: in a word or two; `busy`: whether seconds of it count. With a turn: its round, its tasks and the `seconds`
    granted; of its adapters so many are `trained`, the latest in `steps` steps to `loss` nats a token.
    """

    name: str
    state: str
    busy: bool = True
    round: int = 0
    task_ids: tuple[str, ...] = ()
    seconds: float = 0.0
    trained: int = 0
    steps: int = 0
    loss: float | None = None


@dataclass(frozen=True)
class Row:
    """How far a round is: tasks `done` of those `due`; of a further round as far as votes are split by now."""

    name: str
    done: int
    due: int


class Live:
    """The state of the view of `total` tasks. `expected`: gives the seconds to the expected end of the run.

    `changes`: so often something other than the time was new.
    """

    def __init__(self, about: About, total: int, expected: Callable[[], float]):
        self.about, self.total, self.expected = about, total, expected
        self.changes, self.warned = 0, 0
        self.solved: int | None = None
        self.latest: deque[Answer] = deque(maxlen=LATEST)
        self.warnings: deque[str] = deque(maxlen=WARNINGS)
        self.workers: tuple[Worker, ...] = ()
        self._began: dict[str, tuple[Worker, float]] = {}
        self._done, self._answered, self._split = set(about.done), set(about.answered), set(about.split)

    def answer(self, answer: Answer) -> None:
        """A task has been through a round."""
        self.changes += 1
        self.latest.append(answer)
        self._done.add((answer.task_id, answer.round))
        if answer.whole or all(total for _, total in answer.votes):
            self._answered.add(answer.task_id)
        (self._split.add if answer.split else self._split.discard)(answer.task_id)

    def shared(self, task_ids: Sequence[str]) -> None:
        """Tasks have got an adapter that they share."""
        self.changes += 1
        self._done |= {(task_id, SHARED) for task_id in task_ids}

    def warn(self, text: str) -> None:
        """Something went wrong."""
        self.changes += 1
        self.warnings.append(text)
        self.warned += 1

    def watch(self, workers: Sequence[Worker]) -> None:
        """Take in what every worker does now."""
        now = self.about.deadline.read()
        for worker in workers:
            known = self._began.get(worker.name)
            if known is None or _occupation(known[0]) != _occupation(worker):
                self._began[worker.name] = worker, now
        self.changes += self.workers != tuple(workers)
        self.workers = tuple(workers)

    def since(self, worker: Worker) -> float:
        """Seconds for which the worker has done what it does."""
        return self.about.deadline.read() - self._began[worker.name][1]

    @property
    def answered(self) -> int:
        """Tasks with an answer to each test input, of the model or of a program."""
        return len(self._answered)

    @property
    def remaining(self) -> float:
        """Seconds to the limit."""
        return self.about.deadline.remaining()

    @property
    def rounds(self) -> list[Row]:
        """The rounds that every task gets, and the further one that was begun last, or is due as the first."""
        fixed = [number for number in self.about.rounds if number <= ADAPTER]
        further = [number for number in self.about.rounds if number > ADAPTER]
        begun = [number for number in further if any(of == number for _, of in self._done)]
        latest = [row for row in map(self._row, begun[-1:] or further[:1]) if row.due]
        return [*map(self._row, fixed), *latest]

    def _row(self, number: int) -> Row:
        done = {task_id for task_id, of in self._done if of == number}
        waiting = {i for i in self._split - done if (i, number - 1) in self._done}
        return Row(round_name(number), len(done), self.total if number <= ADAPTER else len(done | waiting))


def _occupation(worker: Worker) -> tuple[object, ...]:
    return worker.state, worker.round, worker.task_ids


def span(seconds: float) -> str:
    """Seconds as people read them: '45 s', '12 min 05 s', '3 h 07 min'."""
    minutes, rest = divmod(int(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def programs_found(count: int) -> str:
    """What a search for programs came to: 'no program', '1 answer of programs', '3 answers of programs'."""
    return f"{count} {'answer' if count == 1 else 'answers'} of programs" if count else "no program"


def printable(text: str, encoding: str | None) -> str:
    """The text on one line, with what the stream's encoding lacks written as backslash escapes."""
    line = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in " ".join(text.split()))
    return line.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")
