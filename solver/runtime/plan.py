"""A run before it begins: what to answer, with what, where to; and the hashes that tell one run from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from solver.config.setting import canonical
from solver.config.settings import Config, unpack
from solver.data.tasks import TaskSet
from solver.hardware.devices import Device
from solver.model.checkpoint import Checkpoint
from solver.runtime.record import RunRecord, directory_of
from solver.types import Grid

HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class RunPlan:
    """A run, checked: what to answer, with which weights and settings, and where to write.

    `solutions`: reads the solutions where there are any; used by nobody before a task's answers are fixed; `scored_by`
    names them: the split, or the file. `devices`: one worker each. `resumed`: the record of the run to continue.
    """

    task_set: TaskSet
    checkpoint: Checkpoint
    config: Config
    output: Path
    solutions: Callable[[], Mapping[str, tuple[Grid, ...]]] | None
    devices: tuple[Device, ...]
    scored_by: Mapping[str, str | None]
    resumed: RunRecord | None = None

    @property
    def directory(self) -> Path:
        """The run's directory."""
        return directory_of(self.output)


@cache
def program(folder: Path = HERE) -> str:
    """A short hash of the solver's own code, which a fingerprint says nothing of."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()[:12]


def fingerprint(plan: RunPlan) -> str:
    """A short hash of everything the answers depend on, time and the program aside."""
    return _hashed(plan.task_set.sha256, plan.task_set.tests, plan.checkpoint.sha256, plan.config)


def recorded_fingerprint(header: Mapping[str, Any]) -> str:
    """The same of the run that a record's first line begins, whichever version of the program wrote it.

    It is worked out anew, as the hash that stands there may have been made in another way. Raises `KeyError` for what
    the line lacks, and `BadInput` for settings this version does not know.
    """
    weights = header["weights"]["sha256"]
    return _hashed(header["data_sha256"], header["tests"], weights, unpack(header["config"]))


def _hashed(data: str, ids: Iterable[str], weights: str, config: Config) -> str:
    settings = canonical(replace(config, time_limit=Config().time_limit))
    return hashlib.sha256(json.dumps([data, list(ids), weights, settings]).encode()).hexdigest()[:12]
