"""Other tasks to learn from: a folder of tasks whose solutions are known, and which of them are most like a given one.

Whole tasks are compared by their states; by their gradients single examples are, each with one demonstration left out
and asked for, in the manner of LESS (arXiv 2402.04333). `example_vectors` makes the vectors.
Laws: a task is never its own neighbour, nor is one that shares a demonstration with it; the same folder, task and
vector give the same neighbours; a folder made for other weights is refused, and one made with another LoRA for what
depends on that.

The folder holds `challenges.json` (Kaggle's form), `vectors.npz` (`ids`; the sha256 of the `weights`; the `lora` whose
gradients are compared, as JSON; `states` float32 [tasks, numbers] in the ids' order; `gradients` float32 [examples,
numbers]; `examples` int64 [examples, 2]: each one's task, a place among the ids, and the demonstration left out) and,
where adapters were trained for it, `adapters/ID`, in which `made.json`, written last, says with what. An adapter
without it is unfinished, one of other weights or of another LoRA is somebody else's: neither counts.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from solver.config.settings import LIKENESSES, NEVER, TARGETS, NearSettings, TrainRecipe, require
from solver.data import codec
from solver.data.tasks import TaskSet, load_challenges
from solver.model.checkpoint import ADAPTER_FILE, sha256
from solver.types import Adapter, BadInput, Neighbour, Task, key

IDS, WEIGHTS, LORA, EXAMPLES = "ids", "weights", "lora", "examples"
CHALLENGES, VECTORS, ADAPTERS, MADE = "challenges.json", "vectors.npz", "adapters", "made.json"

Vector: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """A library as it is in memory.

    `vectors`: by kind, float32 [tasks or, of `gradients`, examples; numbers], each row of length 1 or 0. `lora`: what
    `lora` says of its recipe. `examples`: of each row of the gradients, the place of its task and what is left out.
    """

    tasks: tuple[Task, ...]
    vectors: Mapping[str, Vector]
    adapters: Mapping[str, Adapter]
    lora: Mapping[str, Any]
    examples: tuple[tuple[int, int], ...] = ()

    def nearest(self, task: Task, vector: Vector, kind: str, count: int) -> tuple[Neighbour, ...]:
        """At most `count` tasks or, by gradients, as many examples as so many tasks of the library have on average.

        The most alike first; those as much alike by id, and those of one task in its order. `vector`: float32
        [numbers], as `together` makes it. ValueError: another kind's. Source of the examples: arXiv 2402.04333.
        """
        known = self.vectors[kind]
        if vector.shape != known.shape[1:]:
            raise ValueError(f"a vector of {vector.shape} for {kind}: expected {known.shape[1:]}")
        alike = known @ unit(vector)
        rows: Sequence[tuple[int, int | None]] = [(n, None) for n in range(len(self.tasks))]
        if kind == "gradients":
            rows, count = self.examples, math.ceil(count * len(self.examples) / len(self.tasks))
        own = _shown(task)
        foreign = [other.id != task.id and not own & _shown(other) for other in self.tasks]
        near = [
            Neighbour(self.tasks[n], float(like), self.adapters.get(self.tasks[n].id), left_out)
            for (n, left_out), like in zip(rows, alike, strict=True)
            if foreign[n]
        ]
        return tuple(sorted(near, key=lambda n: (-n.similarity, n.task.id, n.left_out or 0))[:count])


def together(vectors: Vector, kind: str) -> Vector:
    """What a task is, float32 [numbers], by those of its examples, [examples, numbers]; of any length, 0 where none is.

    Of gradients, whose lengths fall as examples grow, each counts alike (arXiv 2402.04333).
    """
    whole: Vector = (unit(vectors) if kind == "gradients" else vectors).sum(0) / max(1, len(vectors))
    return whole


def unit(vector: Vector) -> Vector:
    """The vector or, row by row, the vectors, at length 1; zeros stay."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    scaled: Vector = (vector / np.where(length > 0, length, 1)).astype(np.float32)
    return scaled


def _shown(task: Task) -> set[tuple[object, object]]:
    return {(key(p.input), key(p.output)) for p in task.demonstrations}


def lora(recipe: TrainRecipe) -> dict[str, Any]:
    """What adapters and their gradients must have in common to be compared, or trained on from, as JSON has it."""
    given = {name: getattr(recipe, name) for name in ("rank", "alpha", "rslora", "whole")}
    return given | {"targets": sorted(recipe.targets)}


def save(
    folder: Path,
    task_set: TaskSet,
    vectors: Mapping[str, Vector],
    weights: str,
    recipe: TrainRecipe,
    examples: Sequence[tuple[int, int]] = (),
) -> None:
    """Write a library without adapters.

    `vectors`, `examples`: as a `Neighbourhood` has them, but of any length; `weights`: the sha256 of those they were
    made with, `recipe`: whose gradients they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CHALLENGES).write_text(codec.challenges(task_set))
    arrays: dict[str, Any] = {kind: unit(np.asarray(rows, dtype=np.float32)) for kind, rows in vectors.items()}
    arrays |= {IDS: [task.id for task in task_set.tasks], WEIGHTS: weights, LORA: json.dumps(lora(recipe))}
    arrays[EXAMPLES] = np.array(examples, dtype=np.int64).reshape(-1, 2)
    np.savez(folder / VECTORS, **arrays)


def load(folder: Path, weights: str) -> Neighbourhood:
    """The library in a folder. Raises `BadInput`: there is none, or it was made with other weights."""
    path = folder / VECTORS
    if not path.is_file():
        raise BadInput(f"no library of tasks in {folder}: expected {VECTORS}; make one with python -m solver collect")
    try:
        with np.load(path, allow_pickle=False) as file:
            vectors = {kind: file[kind] for kind in file.files if kind in LIKENESSES}
            made_with, ids = str(file[WEIGHTS]), [str(i) for i in file[IDS]]
            of_recipe = json.loads(str(file[LORA]))
            examples = tuple((int(place), int(left_out)) for place, left_out in file[EXAMPLES])
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise BadInput(
            f"{path} cannot be read ({error}): expected what python -m solver collect wrote; run it again"
        ) from None
    if made_with != weights:
        raise BadInput(
            f"{folder} was made with the weights {made_with[:12]}: expected {weights[:12]}, those of this run; make it "
            "again with python -m solver collect"
        )
    known = {task.id: task for task in load_challenges(folder / CHALLENGES).tasks}
    if missing := [i for i in ids if i not in known]:
        raise BadInput(f"{folder / CHALLENGES} lacks {missing[0]}: expected the tasks of {VECTORS}; make it again")
    said = {WEIGHTS: weights, **of_recipe}
    whole = [i for i in ids if provenance(folder / ADAPTERS / i).items() >= said.items()]
    adapters = {i: Adapter(f"library-{i}", (folder / ADAPTERS / i).resolve()) for i in whole}
    return Neighbourhood(tuple(known[i] for i in ids), vectors, adapters, of_recipe, examples)


def require_use(library: Neighbourhood, near: NearSettings, recipe: TrainRecipe, most: int) -> None:
    """Raise `BadInput` where a library has not what a run wants of it. `most`: the highest rank the engine serves."""
    folder, never = near.library, f"near.reuse_threshold {NEVER:g} (never)"
    lowest, targets = min(near.warm_start_threshold, near.reuse_threshold), library.lora["targets"]
    reused, warm = near.reuse_threshold < NEVER, near.warm_start_threshold < NEVER
    expected = f"{NEVER:g} (never), as {folder} has no adapters; or python -m solver collect with --adapters STEPS"
    adapted = not near.adapters_asked or bool(library.adapters)
    require("near.warm_start_threshold or near.reuse_threshold", lowest, adapted, expected)
    rank = library.lora["rank"]
    expected = f"at most the engine's, {most}; or {never}"
    require(f"LoRA rank of {folder}", rank, not reused or rank <= most, expected)
    foreign = set(targets) - {*TARGETS, *recipe.embedding_targets}
    expected = f"none that this run's LoRA is not on: {', '.join(sorted(foreign))}; or {never}"
    require(f"LoRA targets of {folder}", targets, not reused or not foreign, expected)
    if near.asked and near.by == "gradients":
        why = "near.by compares gradients; or compare states"
    elif warm:
        why = "near.warm_start_threshold trains its adapters on; or leave it"
    else:
        return
    for name, wanted in lora(recipe).items():
        expected = f"{wanted}, this run's, as {why}; or python -m solver collect with --rank"
        require(f"LoRA {name} of {folder}", library.lora[name], library.lora[name] == wanted, expected)


def provenance(adapter: Path) -> dict[str, object]:
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
    content = hashlib.sha256()
    try:
        for path in (folder / CHALLENGES, folder / VECTORS, *sorted((folder / ADAPTERS).glob(f"*/{MADE}"))):
            content.update(path.read_bytes())
    except OSError as error:
        raise BadInput(
            f"{folder} cannot be read ({error}): expected a library made by python -m solver collect"
        ) from None
    return content.hexdigest()[:12]
