"""Other tasks to learn from: a folder of tasks whose solutions are known, and which of them are most like a given one.

Knows nothing of torch; `trainer` makes the vectors. Laws: a task is never its own neighbour, nor is one that shares a
demonstration with it; the same folder, task and vector give the same neighbours; a folder made for other weights is
refused, and one made with another LoRA for what depends on that.

The folder holds `challenges.json` (Kaggle's form), `vectors.npz` (`ids`; the sha256 of the `weights`; the `lora` whose
gradients are compared, as JSON; for each likeness float32 [tasks, numbers] in the ids' order) and, where adapters were
trained for it, `adapters/ID`, in which `made.json`, written last, says with what. An adapter without it is unfinished,
one of other weights or of another LoRA is somebody else's: neither counts.
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
from solver.config import NEVER, TARGETS, NearSettings, TrainRecipe, require
from solver.core import Adapter, Task, key
from solver.tasks import BadInput, TaskSet, load_challenges

IDS, WEIGHTS, LORA = "ids", "weights", "lora"
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
    """A library as it is in memory.

    `vectors`: by kind, float32 [tasks, numbers], each row of length 1 or 0. `lora`: what `lora` says of its recipe.
    """

    tasks: tuple[Task, ...]
    vectors: Mapping[str, Vector]
    adapters: Mapping[str, Adapter]
    lora: Mapping[str, Any]

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


def lora(recipe: TrainRecipe) -> dict[str, Any]:
    """What adapters and their gradients must have in common to be compared, or trained on from, as JSON has it."""
    given = {name: getattr(recipe, name) for name in ("rank", "alpha", "rslora", "whole")}
    return given | {"targets": sorted(recipe.targets)}


def save(folder: Path, task_set: TaskSet, vectors: Mapping[str, Vector], weights: str, recipe: TrainRecipe) -> None:
    """Write a library without adapters.

    `vectors`: a row a task; `weights`: the sha256 of those they were made with, `recipe`: whose gradients they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CHALLENGES).write_text(record.challenges(task_set))
    arrays: dict[str, Any] = {kind: unit(np.asarray(made, dtype=np.float32)) for kind, made in vectors.items()}
    said: dict[str, Any] = {IDS: [task.id for task in task_set.tasks], WEIGHTS: weights, LORA: json.dumps(lora(recipe))}
    np.savez(folder / VECTORS, **arrays, **said)


def load(folder: Path, weights: str) -> Neighbourhood:
    """The library in a folder. Raises `BadInput`: there is none, or it was made with other weights."""
    path = folder / VECTORS
    if not path.is_file():
        raise BadInput(f"no library of tasks in {folder}: expected {VECTORS}; make one with python -m solver.collect")
    try:
        with np.load(path, allow_pickle=False) as file:
            vectors = {kind: file[kind] for kind in file.files if kind not in (IDS, WEIGHTS, LORA)}
            made_with, ids = str(file[WEIGHTS]), [str(i) for i in file[IDS]]
            of_recipe = json.loads(str(file[LORA]))
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
    said = {WEIGHTS: weights, **of_recipe}
    whole = {i: path.resolve() for i, path in paths.items() if made(path).items() >= said.items()}
    adapters = {i: Adapter(f"library-{i}", path) for i, path in whole.items()}
    return Neighbourhood(tuple(known[i] for i in ids), vectors, adapters, of_recipe)


def require_use(library: Neighbourhood, near: NearSettings, recipe: TrainRecipe, most: int) -> None:
    """Raise `BadInput` where a library has not what a run wants of it. `most`: the highest rank the engine serves."""
    borrowed = min(near.warm, near.outright)
    expected = (
        f"{NEVER:g} (never), as {near.library} has no adapters; or python -m solver.collect with --adapters STEPS"
    )
    require("near.warm or near.outright", borrowed, borrowed >= NEVER or bool(library.adapters), expected)
    rank = library.lora["rank"]
    expected = f"at most the engine's, {most}; or near.outright {NEVER:g} (never)"
    require(f"LoRA rank of {near.library}", rank, near.outright >= NEVER or rank <= most, expected)
    foreign = set(library.lora["targets"]) - {*TARGETS, *recipe.beyond}
    expected = f"none that this run's LoRA is not on: {', '.join(sorted(foreign))}; or near.outright {NEVER:g} (never)"
    require(f"LoRA targets of {near.library}", library.lora["targets"], near.outright >= NEVER or not foreign, expected)
    compared, warm = near.asked and near.by == "gradients", near.warm < NEVER
    why = (
        "near.by compares gradients; or compare states" if compared else "near.warm trains its adapters on; or leave it"
    )
    for name, wanted in lora(recipe).items() if compared or warm else ():
        expected = f"{wanted}, this run's, as {why}; or python -m solver.collect with --rank"
        require(f"LoRA {name} of {near.library}", library.lora[name], library.lora[name] == wanted, expected)


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
