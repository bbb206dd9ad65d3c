"""What a run and its workers say to each other: frozen messages, and the one place that spells them, a JSON line each.

Laws: a message comes back from its line as it was, but for losses, seconds and nats, which are rounded; an adapter that
tasks share is believed only while its file is what was trained.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from solver.clock import Deadline
from solver.data.codec import result_from_json, result_to_json, task_from_json, task_to_json
from solver.model.checkpoint import ADAPTER_FILE, sha256
from solver.types import Adapter, Task, TaskResult


@dataclass(frozen=True)
class SharedAdapter:
    """An adapter that tasks share, as it was trained: its name, its folder, and the sha256 of its matrices' file."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True, eq=False)
class Order:
    """To a worker: a batch of tasks in one stage."""

    stage: int
    tasks: tuple[Task, ...]
    seconds: float  # for all of it
    train_seconds: Mapping[str, float]  # of these, by task id
    hurried: bool  # they may not do, so the most important comes first
    shared: Mapping[str, SharedAdapter]  # by task id, the adapter it shares
    keep: Path  # the folder for a shared adapter that is trained


@dataclass(frozen=True)
class Ready:
    """The worker has loaded what it answers with, in so many seconds; what there is to say of it."""

    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AdapterTrained:
    """One adapter of the batch is trained, in so many steps; the last one's loss in nats a token, if there was one."""

    adapter: str
    steps: int
    loss: float | None


@dataclass(frozen=True, eq=False)
class TaskAnswered:
    """A task's result. `engine`: what the engine did for the whole batch (the sampler's counters)."""

    result: TaskResult
    engine: Mapping[str, float] | None = None


@dataclass(frozen=True)
class SharedAdapterTrained:
    """The batch's shared adapter, None where nothing was learned; steps done of those planned, losses, wall seconds."""

    adapter: SharedAdapter | None
    steps: int
    planned: int
    losses: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class BatchDone:
    """All of the batch has been reported."""


@dataclass(frozen=True)
class BatchFailed:
    """The batch, or loading, came to nothing, and why; `memory`: whether less of it would do."""

    why: str
    memory: bool = False


AnsweredBy: TypeAlias = Literal["model", "programs", "induction"]
"""What a worker answers with: trainer and engine, a search for programs, or a code model that writes them."""

Report: TypeAlias = Ready | AdapterTrained | TaskAnswered | SharedAdapterTrained | BatchDone | BatchFailed
"""From a worker."""

Send: TypeAlias = Callable[[Report], None]

Answerer: TypeAlias = Callable[[Order, Deadline], Iterable[Report]]
"""What there is to report on an order, as it becomes known."""

Loaded: TypeAlias = tuple[Answerer, Sequence[str]]
"""What a worker has loaded to answer with, and what there is to say of it."""

_PLAIN = {"ready": Ready, "trained": AdapterTrained, "done": BatchDone, "failed": BatchFailed}
_KINDS = {kind: name for name, kind in _PLAIN.items()}


def order_to_line(order: Order) -> bytes:
    """An order as a line."""
    tasks = [task_to_json(task) for task in order.tasks]
    shared = {task_id: shared_to_json(adapter) for task_id, adapter in order.shared.items()}
    return json.dumps({**vars(order), "tasks": tasks, "shared": shared, "keep": str(order.keep)}).encode() + b"\n"


def order_from_line(line: str | bytes) -> Order:
    """The order that `order_to_line` wrote."""
    values = json.loads(line)
    tasks = tuple(map(task_from_json, values["tasks"]))
    shared = {task_id: shared_from_json(adapter) for task_id, adapter in values["shared"].items()}
    return Order(**{**values, "tasks": tasks, "shared": shared, "keep": Path(values["keep"])})


def report_to_json(report: Report) -> dict[str, Any]:
    """A report as plain values, its `kind` among them; those of results and shared adapters are the record's, too."""
    match report:
        case TaskAnswered():
            engine = {} if report.engine is None else {"engine": dict(report.engine)}
            return {"kind": "result", **engine, **result_to_json(report.result)}
        case SharedAdapterTrained():
            adapter: dict[str, Any] = {"adapter": None} if report.adapter is None else shared_to_json(report.adapter)
            losses = [round(loss, 4) for loss in report.losses]
            numbers = {"steps": report.steps, "planned": report.planned, "losses": losses}
            return {"kind": "shared", "seconds": round(report.seconds, 3), **adapter, **numbers}
    return {"kind": _KINDS[type(report)], **asdict(report)}


def report_from_json(values: Mapping[str, Any]) -> Report:
    """The report that `report_to_json` wrote."""
    kind = values["kind"]
    if kind == "result":
        return TaskAnswered(result_from_json(values), values.get("engine"))
    if kind == "shared":
        adapter = None if values["adapter"] is None else shared_from_json(values)
        losses = tuple(values["losses"])
        return SharedAdapterTrained(adapter, values["steps"], values["planned"], losses, values["seconds"])
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    del given["kind"]
    report: Report = _PLAIN[kind](**given)
    return report


def shared_to_json(shared: SharedAdapter) -> dict[str, Any]:
    """A shared adapter as plain values."""
    return {"adapter": shared.name, "path": str(shared.path), "sha256": shared.sha256}


def shared_from_json(values: Mapping[str, Any]) -> SharedAdapter:
    """The shared adapter that `shared_to_json` wrote."""
    return SharedAdapter(values["adapter"], Path(values["path"]), values["sha256"])


def keep(adapter: Adapter, folder: Path) -> SharedAdapter:
    """Move a trained adapter to a folder that outlives the process which trained it."""
    path = folder / adapter.name
    shutil.rmtree(path, ignore_errors=True)
    shutil.move(adapter.path, path)
    return SharedAdapter(adapter.name, path.resolve(), sha256(path / ADAPTER_FILE))


def intact(shared: Mapping[str, SharedAdapter]) -> dict[str, Adapter]:
    """The shared adapters by task id; one that is no longer what was trained is left out."""
    known = {adapter.path: sha256(adapter.path / ADAPTER_FILE) for adapter in shared.values()}
    whole = {i: adapter for i, adapter in shared.items() if known[adapter.path] == adapter.sha256}
    return {i: Adapter(adapter.name, adapter.path) for i, adapter in whole.items()}
