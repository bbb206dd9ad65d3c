"""Other tasks to learn from: a folder of tasks whose solutions are known, and which of them are most like a given one.

Knows nothing of torch; `trainer` makes the vectors. Laws: a task is never its own neighbour, nor is one that shares a
demonstration with it; the same folder, task and vector give the same neighbours; a folder made for other weights is
refused.

The folder holds `challenges.json` (Kaggle's form), `vectors.npz` (`ids`; the sha256 of the `weights`; for each likeness
float32 [tasks, numbers] in the ids' order) and, where adapters were trained for it, `adapters/ID`, in which
`made.json`, written last, says with what. An adapter without it is unfinished, one of other weights is somebody
else's: neither counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from solver import record
from solver.checkpoint import ADAPTER_FILE, sha256
from solver.core import Adapter, Task, key
from solver.tasks import BadInput, TaskSet, load_challenges

IDS, WEIGHTS = "ids", "weights"
CHALLENGES, VECTORS, ADAPTERS, MADE = "challenges.json", "vectors.npz", "adapters", "made.json"

Vector: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Near:
    """A task of the library, how like the given one it is (cosine, −1 to 1), and its adapter, if it has one."""

    task: Task
    similarity: float
    adapter: Adapter | None = None


Nearest: TypeAlias = Callable[[Task], tuple[Near, ...]]
"""The tasks most like a given one, the most alike first."""


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """A library as it is in memory. `vectors`: by kind, float32 [tasks, numbers], each row of length 1 or 0."""

    tasks: tuple[Task, ...]
    vectors: Mapping[str, Vector]
    adapters: Mapping[str, Adapter]

    def nearest(self, task: Task, vector: Vector, kind: str, count: int) -> tuple[Near, ...]:
        """At most `count` tasks, the most alike first; those as much alike by id. ValueError: another kind's vector."""
        known = self.vectors[kind]
        if vector.shape != known.shape[1:]:
            raise ValueError(f"a vector of {vector.shape} for {kind}: expected {known.shape[1:]}")
        alike = known @ unit(vector)
        own = _shown(task)
        places = sorted(range(len(self.tasks)), key=lambda n: (-float(alike[n]), self.tasks[n].id))
        others = [n for n in places if self.tasks[n].id != task.id and not own & _shown(self.tasks[n])]
        return tuple(Near(self.tasks[n], float(alike[n]), self.adapters.get(self.tasks[n].id)) for n in others[:count])


def unit(vector: Vector) -> Vector:
    """The vector or, row by row, the vectors, at length 1; zeros stay."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    made: Vector = (vector / np.where(length > 0, length, 1)).astype(np.float32)
    return made


def _shown(task: Task) -> set[tuple[object, object]]:
    return {(key(p.input), key(p.output)) for p in task.demonstrations}


def save(folder: Path, task_set: TaskSet, vectors: Mapping[str, Vector], weights: str) -> None:
    """Write a library without adapters. `vectors`: a row a task; `weights`: the sha256 of those they were made with."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CHALLENGES).write_text(record.challenges(task_set))
    arrays: dict[str, Any] = {kind: unit(np.asarray(made, dtype=np.float32)) for kind, made in vectors.items()}
    np.savez(folder / VECTORS, **arrays, ids=[task.id for task in task_set.tasks], weights=weights)


def load(folder: Path, weights: str) -> Neighbourhood:
    """The library in a folder. Raises `BadInput`: there is none, or it was made with other weights."""
    path = folder / VECTORS
    if not path.is_file():
        raise BadInput(f"no library of tasks in {folder}: expected {VECTORS}; make one with python -m solver.collect")
    try:
        with np.load(path, allow_pickle=False) as file:
            vectors = {kind: file[kind] for kind in file.files if kind not in (IDS, WEIGHTS)}
            made_with, ids = str(file[WEIGHTS]), [str(i) for i in file[IDS]]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise BadInput(
            f"{path} cannot be read ({error}): expected what python -m solver.collect wrote; run it again"
        ) from None
    if made_with != weights:
        raise BadInput(
            f"{folder} was made with the weights {made_with[:12]}: expected {weights[:12]}, those of this run; make it "
            "again with python -m solver.collect"
        )
    known = {task.id: task for task in load_challenges(folder / CHALLENGES).tasks}
    if missing := [i for i in ids if i not in known]:
        raise BadInput(f"{folder / CHALLENGES} lacks {missing[0]}: expected the tasks of {VECTORS}; make it again")
    paths = {i: folder / ADAPTERS / i for i in ids}
    whole = {i: path.resolve() for i, path in paths.items() if made(path).get(WEIGHTS) == weights}
    adapters = {i: Adapter(f"library-{i}", path) for i, path in whole.items()}
    return Neighbourhood(tuple(known[i] for i in ids), vectors, adapters)


def made(adapter: Path) -> dict[str, object]:
    """With what a library's adapter was made; {} where it is unfinished."""
    try:
        said = json.loads((adapter / MADE).read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def finish(adapter: Path, **said: object) -> None:
    """Say with what an adapter was made, and what it holds, now that it is whole."""
    (adapter / MADE).write_text(json.dumps({**said, "sha256": sha256(adapter / ADAPTER_FILE)}))


def digest(folder: Path) -> str:
    """A short hash of all a library holds. Raises `BadInput` where it can't be read."""
    found = hashlib.sha256()
    try:
        for path in (folder / CHALLENGES, folder / VECTORS, *sorted((folder / ADAPTERS).glob(f"*/{MADE}"))):
            found.update(path.read_bytes())
    except OSError as error:
        raise BadInput(
            f"{folder} cannot be read ({error}): expected a library made by python -m solver.collect"
        ) from None
    return found.hexdigest()[:12]
