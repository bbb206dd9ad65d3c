"""A run directory as one story a task: what each round found, what failed, where the time went. Reads, never writes.

Knows nothing of solutions or models. Law: a run that is still being written, was torn by a crash, or comes from another
version opens with what is whole; what could not be read is counted, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from solver.data import codec
from solver.data.json_files import read_json
from solver.data.tasks import Fault, load_challenges, parse_grid
from solver.runtime import record
from solver.runtime.record import Recorded
from solver.types import ATTEMPTS, Attempts, BadInput, Candidate, Grid, Task
from solver.voting import rules
from solver.voting.candidates import MODEL_ALONE, from_source, ordered, sources_of
from solver.voting.rules import Ranked

BROKEN = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)  # what a strange line can raise
START, SHARED = "start-up", "shared"  # what a device does outside of tasks' turns


@dataclass(frozen=True, eq=False)
class Turn:
    """One task in one round.

    `at`: seconds since the run began. `attempts`, `from_model`, `votes`, `from_programs` (attempts that programs alone
    gave): what stood after it, one entry a test input.
    `candidates`: this round's, one entry a test input. `losses`: nats a token, one a step. `engine`: what the engine
    did (`counters`) for all tasks of the device's turn together, the same in each.
    """

    at: float
    round: int
    device: str
    attempts: tuple[Attempts, ...]
    from_model: tuple[int, ...]
    votes: tuple[tuple[int, int], ...]
    candidates: tuple[tuple[Candidate, ...], ...]
    rejected: int = 0
    steps: int = 0
    planned: int = 0
    losses: tuple[float, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    from_programs: tuple[int, ...] = ()
    engine: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Failure:
    """A turn that came to nothing, and why."""

    at: float
    round: int
    task_ids: tuple[str, ...]
    why: str


@dataclass(frozen=True, eq=False)
class Story:
    """One task of a run.

    `tests`: its test inputs. `task`: None where it was malformed. `turns`: in the order they came, a round that was
    done twice by its last. `answers`: two attempts a test input, None where none is known. `shared`: seconds, its part
    of training adapters that it shares with others.
    """

    id: str
    tests: int
    task: Task | None
    turns: tuple[Turn, ...] = ()
    failures: tuple[Failure, ...] = ()
    answers: tuple[Attempts | None, ...] = ()
    shared: float = 0.0

    @property
    def last(self) -> Turn | None:
        """The turn whose attempts stand."""
        return self.turns[-1] if self.turns else None

    def attempts(self, test: int) -> Attempts | None:
        """The attempts that stand for a test input."""
        return self.answers[test] if test < len(self.answers) else None

    def candidates(self, test: int) -> tuple[tuple[int, Candidate], ...]:
        """Every candidate of a test input with the round it came from."""
        return tuple((t.round, c) for t in self.turns if test < len(t.candidates) for c in t.candidates[test])

    def ranked(self, test: int, rule: str) -> list[Ranked]:
        """The distinct answers to a test input over all rounds, best first, by any rule, as `candidates` pools them."""
        return ordered(self.rounds(test), rule)

    def voted(self, test: int, rule: str) -> list[Ranked]:
        """The same of the model's vote alone, best first."""
        return ordered(from_source(self.rounds(test), MODEL_ALONE), rule)

    def alone(self, test: int, rule: str, whose: str) -> list[Grid]:
        """What the attempts would be if one source (of `candidates.SOURCES`) had been alone, without placeholders."""
        return [a.grid for a in ordered(from_source(self.rounds(test), whose), rule)[:ATTEMPTS]]

    def after(self, test: int, rule: str, number: int) -> list[Grid]:
        """What the attempts would be after the rounds up to this one, whenever they came, without placeholders."""
        rounds = {n: them for n, them in self.rounds(test).items() if n <= number}
        return [a.grid for a in ordered(rounds, rule)[:ATTEMPTS]]

    def sources(self, test: int, rule: str) -> tuple[str, ...]:
        """Which source gave each attempt that stands (`candidates.sources_of`); () where no attempts are known."""
        two = self.attempts(test)
        return () if two is None else sources_of(two, self.rounds(test), rule)

    def rounds(self, test: int) -> dict[int, list[Candidate]]:
        """A test input's candidates by round."""
        rounds: dict[int, list[Candidate]] = {}
        for number, candidate in self.candidates(test):
            rounds.setdefault(number, []).append(candidate)
        return rounds

    def from_model(self, test: int) -> int:
        """How many of a test input's two attempts the model gave."""
        return self.last.from_model[test] if self.last and test < len(self.last.from_model) else 0

    def from_programs(self, test: int) -> int:
        """How many of a test input's two attempts programs alone gave."""
        return self.last.from_programs[test] if self.last and test < len(self.last.from_programs) else 0

    @property
    def is_placeholder(self) -> bool:
        """Whether no attempt of the task came from the model or a program."""
        return not any(self.from_model(test) or self.from_programs(test) for test in range(self.tests))

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by stage, over all rounds."""
        stages = dict.fromkeys(stage for turn in self.turns for stage in turn.seconds)
        spent = {stage: sum(turn.seconds.get(stage, 0.0) for turn in self.turns) for stage in stages}
        return spent | ({SHARED: self.shared} if self.shared else {})


@dataclass(frozen=True, eq=False)
class History:
    """A whole run.

    `start`: its `run` line. `stories`: every task, in the run's order. `events`: (seconds, text). `status`: the exit
    status, None while unfinished. `seconds`: to its last line. `dropped`: lines torn, changed or not understood.
    `between`: what devices did outside of tasks' turns, (device, stage, seconds): starting, training shared adapters.
    """

    directory: Path
    start: Mapping[str, Any]
    stories: Mapping[str, Story]
    failures: tuple[Failure, ...]
    events: tuple[tuple[float, str], ...]
    status: int | None
    seconds: float
    dropped: int
    between: tuple[tuple[str, str, float], ...] = ()

    @property
    def rule(self) -> str:
        """The voting rule the run used; the default one where its record does not say."""
        config = self.start.get("config")
        given = config.get("rule") if isinstance(config, dict) else None
        return given if isinstance(given, str) and given in rules.RULES else rules.DEFAULT

    @cached_property
    def rounds(self) -> tuple[int, ...]:
        """The rounds there were, in order."""
        return tuple(sorted({turn.round for story in self.stories.values() for turn in story.turns}))


def answers_of(directory: Path) -> Path:
    """The answer file that belongs to a run directory."""
    return directory.with_suffix(".json")


def load(directory: Path, results: bool = True) -> History:
    """Open a run directory; without `results`, just what it set out to do. Raises `BadInput` where it is none."""
    recorded = record.read(directory) if results else _first_line(directory)
    tasks = _tasks(directory / record.CHALLENGES)
    start: Mapping[str, Any] = {}
    turns: list[tuple[str, Turn]] = []
    failures: list[Failure] = []
    shared: list[tuple[str, float]] = []
    between: list[tuple[str, str, float]] = []
    events: list[tuple[float, str]] = []
    status: int | None = None
    seconds, unread = 0.0, 0
    for message, at in _on_one_clock(recorded.messages):
        try:
            match message.get("kind"):
                case "run":
                    start, status = start or message, None  # written again where a run was resumed
                case "result":
                    turns.append((str(message["task_id"]), _turn(message, at)))
                case "shared":
                    ids = tuple(map(str, message["task_ids"]))
                    each = float(message["seconds"]) / len(ids)
                    shared += [(i, each) for i in ids]
                    between.append((str(message.get("device", "")), SHARED, each * len(ids)))
                case "started":
                    between.append((str(message["device"]), START, float(message["seconds"])))
                case "failure":
                    failures.append(_failure(message, at))
                case "event":
                    events.append((at, str(message["text"])))
                case "end":
                    status = int(message["status"])
                case _:
                    unread += 1
        except BROKEN:
            unread += 1
        seconds = max(seconds, at)
    counts = _counts(start, tasks, turns)
    stories = _stories(counts, tasks, turns, failures, _answers(answers_of(directory)))
    for task_id, spent in shared:
        if task_id in stories:
            stories[task_id] = replace(stories[task_id], shared=stories[task_id].shared + spent)
    dropped = recorded.dropped + unread
    return History(directory, start, stories, tuple(failures), tuple(events), status, seconds, dropped, tuple(between))


def _first_line(directory: Path) -> Recorded:
    """The record as if nothing stood behind its first line."""
    try:
        with (directory / record.RECORD).open("rb") as file:
            message = record.from_line(file.readline())
    except OSError as error:
        raise BadInput(f"{directory} cannot be read ({error.strerror}): expected the directory of a run") from None
    return Recorded((message,) if message else (), int(message is None))


def _on_one_clock(messages: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], float]]:
    """Each message with its seconds since the first start: a resumed run's own clock begins at 0 again."""
    before = latest = 0.0
    for message in messages:
        if message.get("kind") == "run":
            before = latest
        given = message.get("at")
        at = before + given if isinstance(given, int | float) and given >= 0 else latest
        latest = max(latest, at)
        yield message, at


def _turn(message: Mapping[str, Any], at: float) -> Turn:
    candidates = tuple(tuple(map(codec.candidate_from_json, test)) for test in message.get("candidates", ()))
    attempts = tuple((_grid(a), _grid(b)) for a, b in message["attempts"])
    return Turn(
        at=at,
        round=int(message["round"]),
        device=str(message.get("device", "")),
        attempts=attempts,
        from_model=tuple(map(int, message.get("from_model", (2,) * len(attempts)))),
        votes=tuple((int(first), int(total)) for first, total in message.get("votes", ())),
        candidates=candidates,
        rejected=int(message.get("rejected", 0)),
        steps=int(message.get("steps", 0)),
        planned=int(message.get("planned", 0)),
        losses=tuple(map(float, message.get("losses", ()))),
        seconds={str(stage): float(spent) for stage, spent in message.get("seconds", {}).items()},
        notes=tuple(map(str, message.get("notes", ()))),
        from_programs=tuple(map(int, message.get("from_programs", ()))),
        engine={str(name): float(value) for name, value in message.get("engine", {}).items()},
    )


def _failure(message: Mapping[str, Any], at: float) -> Failure:
    return Failure(at, int(message.get("round", 0)), tuple(map(str, message["task_ids"])), str(message.get("why", "")))


def _grid(rows: object) -> Grid:
    return parse_grid(rows, "")


def _tasks(path: Path) -> dict[str, Task]:
    """The run's own copy of its tasks; none where it was not written yet."""
    try:
        return {task.id: task for task in load_challenges(path).tasks}
    except BadInput:
        return {}


def _answers(path: Path) -> Mapping[str, Any]:
    try:
        content = read_json(path)
    except BadInput:
        return {}
    return content if isinstance(content, dict) else {}


def _counts(start: Mapping[str, Any], tasks: Mapping[str, Task], turns: Sequence[tuple[str, Turn]]) -> dict[str, int]:
    """Test inputs of every task anything is known of, in the run's order."""
    given = start.get("tests")
    said = {str(i): n for i, n in given.items() if isinstance(n, int)} if isinstance(given, dict) else {}
    seen = {task_id: len(turn.attempts) for task_id, turn in turns}
    return said | {i: n for i, n in ({i: len(t.tests) for i, t in tasks.items()} | seen).items() if i not in said}


def _stories(
    counts: Mapping[str, int],
    tasks: Mapping[str, Task],
    turns: Sequence[tuple[str, Turn]],
    failures: Sequence[Failure],
    answers: Mapping[str, Any],
) -> dict[str, Story]:
    rounds: dict[str, dict[int, Turn]] = {task_id: {} for task_id in counts}
    for task_id, turn in turns:
        rounds[task_id].pop(turn.round, None)
        rounds[task_id][turn.round] = turn
    failed: dict[str, list[Failure]] = {task_id: [] for task_id in counts}
    for failure in failures:
        for task_id in failure.task_ids:
            failed.get(task_id, []).append(failure)
    bare = (Story(i, n, tasks.get(i), tuple(rounds[i].values()), tuple(failed[i])) for i, n in counts.items())
    return {story.id: replace(story, answers=_standing(story, answers.get(story.id))) for story in bare}


def _standing(story: Story, written: object) -> tuple[Attempts | None, ...]:
    """The attempts that stand: the last turn's, or what the answer file holds."""
    if story.last is not None:
        return story.last.attempts
    entries = written if isinstance(written, list) else []
    return tuple(_pair(entries[n]) if n < len(entries) else None for n in range(story.tests))


def _pair(entry: object) -> Attempts | None:
    try:
        return (_grid(entry["attempt_1"]), _grid(entry["attempt_2"])) if isinstance(entry, dict) else None
    except (Fault, KeyError):
        return None
