"""The run directory: what a run writes down as it goes, enough to resume it, replay its votes and report on it.

The one place that spells the record and reads it. Laws: lines are only ever appended; one that was torn by a crash,
changed afterwards, or comes from another version and is not understood, is dropped and counted, never believed.

    submission.json        the answers
    submission.run/
      challenges.json      the run's tasks, in Kaggle's format, without any test output
      record.jsonl         one JSON object a line, its last member `crc` over the bytes before it
      worker.log           what the workers' libraries printed
      adapters/            those that tasks share
      lock                 held while a process works on the directory

Kinds of line: `run` (first: fingerprint, code, data, weights, settings), `result` (one task in one stage), `shared` (an
adapter of several tasks), `failure` (a batch that failed, and why), `started` (a device's model is ready), `event` (a
line for people), `end` (exit status). `at` is seconds since the process's start. A result's `batch` names the tasks of
its batch, and `engine` is what the engine did for all of them together (`counters`). The stages: -1
programs that a code model writes (since version 3), 0 ones that are searched for (since version 2), 1 the base model's
quick answers, 2 shared adapters, 3 an adapter a task, 4 and on another adapter and other views for tasks whose vote is
split. A program's candidate has its `program` in the place of a view and nats.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solver.data.tasks import parse_grid
from solver.runtime.messages import SharedAdapterTrained, TaskAnswered, report_from_json, report_to_json
from solver.types import Attempts, BadInput, Standing, TaskResult

RECORD, CHALLENGES, WORKER_LOG = "record.jsonl", "challenges.json", "worker.log"
ADAPTERS = "adapters"
VERSION = 3  # of the record; 1 had no programs, 2 none of a code model: read as runs without them
FORMERLY = {"round": "stage", "turn": "batch"}  # members of a line as older versions called them
BROKEN = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)  # what a strange line can raise


@dataclass(frozen=True, eq=False)
class StageResult(TaskResult):
    """One task in one stage, as the record has it, with what stood after it (`Standing`)."""

    at: float = 0.0  # seconds since the run began
    device: str = ""
    attempts: tuple[Attempts, ...] = ()
    from_model: tuple[int, ...] = ()
    votes: tuple[tuple[int, int], ...] = ()
    from_programs: tuple[int, ...] = ()
    engine: Mapping[str, float] = field(default_factory=dict)  # what it did (`counters`) for the whole batch
    batch: tuple[str, ...] = ()  # ids of the tasks that the device was given together


@dataclass(frozen=True, eq=False)
class SharedTraining:
    """An adapter that a device trained for several tasks."""

    device: str
    trained: SharedAdapterTrained
    task_ids: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Failure:
    """A batch that came to nothing, and why."""

    at: float
    stage: int
    task_ids: tuple[str, ...]
    why: str


@dataclass(eq=False)
class RunRecord:
    """A whole run as its record tells it, lines in the order written."""

    headers: list[Mapping[str, Any]] = field(default_factory=list)  # a `run` line for each start
    results: list[StageResult] = field(default_factory=list)
    shared: list[SharedTraining] = field(default_factory=list)
    starts: list[tuple[str, float]] = field(default_factory=list)  # (device, seconds) until its model was ready
    failures: list[Failure] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)  # (seconds, text)
    status: int | None = None  # the exit status, None while unfinished
    seconds: float = 0.0  # to the last line
    dropped: int = 0  # lines torn, changed or not understood


def directory_of(output: Path) -> Path:
    """The run directory that belongs to an answer file."""
    return output.with_suffix(".run")


def answers_of(directory: Path) -> Path:
    """The answer file that belongs to a run directory."""
    return directory.with_suffix(".json")


def to_line(message: Mapping[str, Any]) -> str:
    """The message as one line with its checksum, newline included."""
    body = json.dumps(message, separators=(",", ":"))[:-1]
    return f'{body},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'


def from_line(line: bytes) -> dict[str, Any] | None:
    """The message of a line; None where it is torn or was changed."""
    body, mark, rest = line.rpartition(b',"crc":"')
    if not mark or rest.rstrip(b"\n") != f'{zlib.crc32(body):08x}"}}'.encode():
        return None
    message = json.loads(body + b"}")
    if not isinstance(message, dict):
        return None
    return {FORMERLY.get(str(name), str(name)): value for name, value in message.items()}


def load(directory: Path, first_only: bool = False) -> RunRecord:
    """What a run directory's record says, even while it is written, or its first line. Raises `BadInput`."""
    path = directory / RECORD
    try:
        with path.open("rb") as file:
            lines = [file.readline()] if first_only else file.readlines()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}): expected the directory of a run") from None
    return interpreted(map(from_line, lines))


def interpreted(messages: Iterable[Mapping[str, Any] | None]) -> RunRecord:
    """What the messages of a record say; None stands for a torn line. A start's own seconds follow those before it."""
    run, before = RunRecord(), 0.0
    for message in messages:
        if message is None:
            run.dropped += 1
            continue
        if message.get("kind") == "run":
            before = run.seconds
        given = message.get("at")
        at = before + given if isinstance(given, int | float) and given >= 0 else run.seconds
        run.seconds = max(run.seconds, at)
        try:
            _take(run, message, at)
        except BROKEN:
            run.dropped += 1
    return run


def _take(run: RunRecord, message: Mapping[str, Any], at: float) -> None:
    match message.get("kind"):
        case "run":
            run.headers.append(message)
            run.status = None  # written again where a run was resumed
        case "result":
            run.results.append(_stage_result(message, at))
        case "shared":
            trained = report_from_json({"adapter": None, "steps": 0, "planned": 0, "losses": (), **message})
            assert isinstance(trained, SharedAdapterTrained)
            ids = tuple(map(str, message["task_ids"]))
            run.shared.append(SharedTraining(str(message.get("device", "")), trained, ids))
        case "started":
            run.starts.append((str(message["device"]), float(message["seconds"])))
        case "failure":
            ids, why = tuple(map(str, message["task_ids"])), str(message.get("why", ""))
            run.failures.append(Failure(at, int(message.get("stage", 0)), ids, why))
        case "event":
            run.events.append((at, str(message["text"])))
        case "end":
            run.status = int(message["status"])
        case _:
            run.dropped += 1


def _stage_result(message: Mapping[str, Any], at: float) -> StageResult:
    answered = report_from_json(message)
    assert isinstance(answered, TaskAnswered)
    attempts = tuple((parse_grid(a, ""), parse_grid(b, "")) for a, b in message.get("attempts", ()))
    return StageResult(
        **vars(answered.result),
        at=at,
        device=str(message.get("device", "")),
        attempts=attempts,
        from_model=tuple(map(int, message.get("from_model", (2,) * len(attempts)))),
        votes=tuple((int(first), int(total)) for first, total in message.get("votes", ())),
        from_programs=tuple(map(int, message.get("from_programs", ()))),
        engine={str(name): float(value) for name, value in (answered.engine or {}).items()},
        batch=tuple(map(str, message.get("batch", ()))),
    )


def result_line(answered: TaskAnswered, standing: Standing, device: str, batch: Sequence[str]) -> dict[str, Any]:
    """A `result` line: the worker's report, and what stands after it."""
    return {
        **report_to_json(answered),
        "batch": list(batch),
        "attempts": [[a.tolist(), b.tolist()] for a, b in standing.attempts],
        "from_model": standing.from_model,
        "votes": standing.votes,
        "from_programs": standing.from_programs,
        "device": device,
    }
