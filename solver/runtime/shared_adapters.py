"""The files of adapters that tasks share: moved to the run's folder, and believed only while they are what was trained.

Knows nothing of models or processes.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from solver.model.checkpoint import ADAPTER_FILE, sha256
from solver.runtime.messages import SharedAdapter
from solver.types import Adapter


def keep(adapter: Adapter | None, folder: Path) -> SharedAdapter | None:
    """Move a trained adapter to a folder that outlives the process which trained it; None where there is none."""
    if adapter is None:
        return None
    path = folder / adapter.name
    shutil.rmtree(path, ignore_errors=True)
    shutil.move(adapter.path, path)
    return SharedAdapter(adapter.name, path.resolve(), sha256(path / ADAPTER_FILE))


def intact(shared: Mapping[str, SharedAdapter]) -> dict[str, Adapter]:
    """The shared adapters by task id; one that is no longer what was trained is left out."""
    known = {adapter.path: sha256(adapter.path / ADAPTER_FILE) for adapter in shared.values()}
    whole = {i: adapter for i, adapter in shared.items() if known[adapter.path] == adapter.sha256}
    return {i: Adapter(adapter.name, adapter.path) for i, adapter in whole.items()}
