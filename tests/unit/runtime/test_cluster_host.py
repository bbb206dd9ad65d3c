"""The node's side of a cluster, without one: copies of folders, a worker spoken to in bytes, nodes that are refused."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from solver.config.settings import Config
from solver.model.checkpoint import sha256
from solver.runtime import child, cluster_host
from solver.runtime.cluster_host import Folder, NodeWorker, WorkerSpec
from solver.runtime.messages import Order, SharedAdapter, order_to_line
from solver.types import ADAPTER, SHARED, BadInput, Pair
from tests.support import fake_worker
from tests.support.fakes import MIRROR


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node's folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def folder(path: Path, **files: bytes) -> Folder:
    """A folder with these files, whose references are their bytes."""
    path.mkdir()
    for name, contents in files.items():
        (path / name).write_bytes(contents)
    return Folder({name: (sha256(path / name), np.frombuffer(files[name], np.uint8)) for name in files})


def test_a_folder_is_copied_once_and_mended_where_it_differs(tmp_path: Path) -> None:
    given, fetched = folder(tmp_path / "given", a=b"1", b=b"22"), []

    def fetch(reference: np.ndarray) -> np.ndarray:
        fetched.append(reference.tobytes())
        return reference

    copy = cluster_host.local_copy(given, fetch)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == {"a": b"1", "b": b"22"}
    assert cluster_host.local_copy(given, fetch) == copy
    assert sorted(fetched) == [b"1", b"22"]
    (copy / "b").write_bytes(b"23")
    cluster_host.local_copy(given, fetch)
    assert (copy / "b").read_bytes() == b"22"


def test_what_is_not_what_was_sent_is_refused(tmp_path: Path) -> None:
    given = folder(tmp_path / "given", a=b"1")
    with pytest.raises(OSError, match="another sha256"):
        cluster_host.local_copy(given, lambda _: np.frombuffer(b"2", np.uint8))


def test_a_function_is_given_the_copies_of_folders(tmp_path: Path) -> None:
    given = folder(tmp_path / "given", a=b"1")
    where = cluster_host.call(lambda path, n: (path, n), {"/far": given}, lambda r: r, Path("/far"), 3)
    assert where == (cluster_host.local_copy(given, lambda r: r), 3)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeWorker]:
    """A worker without models behind a host."""
    monkeypatch.setattr(child, "WORKER", fake_worker.command(tmp_path, chatter="noise"))
    weights = folder(tmp_path / "weights", **{"config.json": b"{}"})
    spec = WorkerSpec("model", "/far/weights", json.dumps(asdict(Config())), {}, {"/far/weights": weights})
    host = NodeWorker(spec, lambda r: r)
    yield host
    host.end()


def said(host: NodeWorker, kind: str) -> tuple[dict[str, object], dict[str, dict[str, bytes]], str]:
    """The worker's first report of a kind, and the adapters and the log that came until then."""
    adapters, log = {}, ""
    for _ in range(100):
        told = host.poll(0.2)
        adapters |= told.adapters
        log += told.log
        for line in map(json.loads, told.lines):
            if line["kind"] == kind:
                return line, adapters, log
    raise AssertionError(f"no {kind}")


def order(stage: int, **shared: SharedAdapter) -> bytes:
    """An order of a task."""
    return order_to_line(Order(stage, (replace(MIRROR, id="a"),), 60.0, {}, False, shared, Path("/far/run/adapters")))


def test_a_worker_is_spoken_to_in_bytes_and_ends_with_its_host(host: NodeWorker, tmp_path: Path) -> None:
    log = said(host, "ready")[2]
    host.order(order(ADAPTER), {})
    line, _, more = said(host, "result")
    assert line["task_id"] == "a"
    assert "noise" in log + more
    [process] = fake_worker.heard(tmp_path, "start")
    host.end()
    assert not Path(f"/proc/{process}").exists()


def test_a_shared_adapter_is_handed_on_and_one_that_comes_is_kept_here(host: NodeWorker, tmp_path: Path) -> None:
    said(host, "ready")
    host.order(order(SHARED), {})
    line, adapters, _ = said(host, "shared")
    assert set(adapters) == {line["adapter"]}
    there = SharedAdapter("other", Path("/far/run/adapters/other"), "0" * 64)
    host.order(order(ADAPTER, a=there), {"other": {"adapter_model.safetensors": b"numbers"}})
    said(host, "result")
    heard = fake_worker.heard(tmp_path, "order")
    assert "/far/" not in json.dumps(heard)
    path = Path(heard[-1]["shared"]["a"]["path"])
    assert (path / "adapter_model.safetensors").read_bytes() == b"numbers"


def test_an_order_larger_than_a_pipe_is_handed_over_though_nobody_polls(host: NodeWorker, tmp_path: Path) -> None:
    said(host, "ready")
    large = replace(MIRROR, demonstrations=60 * (Pair(*2 * (np.full((30, 30), 5, np.uint8),)),))
    host.order(order_to_line(Order(ADAPTER, (large,), 60.0, {}, False, {}, Path("/far"))), {})
    while not (heard := fake_worker.heard(tmp_path, "order")):
        time.sleep(0.02)  # nobody polls meanwhile
    assert len(json.dumps(heard[0])) > 300_000
    assert len(heard[0]["tasks"][0]["demonstrations"]) == 60


def test_a_worker_that_dies_is_told_of(host: NodeWorker, tmp_path: Path) -> None:
    said(host, "ready")
    [process] = fake_worker.heard(tmp_path, "start")
    os.kill(process, 9)
    for _ in range(100):
        told = host.poll(0.2)
        if told.over:
            break
        time.sleep(0.02)
    assert told.death == "the worker died (SIGKILL)"


def test_folders_that_settings_name_are_those_of_the_node(tmp_path: Path) -> None:
    config = Config()
    config = replace(config, near=replace(config.near, library="/far/library"))
    known = cluster_host.localised(config, {"/far/library": tmp_path})
    assert known == replace(config, near=replace(config.near, library=str(tmp_path)))


def test_a_node_of_other_versions_or_without_room_is_refused_by_name() -> None:
    here = cluster_host.describe()
    cluster_host.require_same_versions("n", here, here)
    with pytest.raises(BadInput, match=r"node n of the cluster has vllm 0\.1, this machine .*: expected the same"):
        cluster_host.require_same_versions("n", {**here, "vllm": "0.1"}, here)
    with pytest.raises(BadInput, match=r"node n of the cluster has python 3\.9\.1"):
        cluster_host.require_same_versions("n", {**here, "python": "3.9.1"}, here)
    cluster_host.require_room("n", here, 1)
    with pytest.raises(BadInput, match=r"has 1\.0 GiB for temporary files, the weights take 8\.0: expected room"):
        cluster_host.require_room("n", {**here, "room": str(2**30)}, 2**33)
