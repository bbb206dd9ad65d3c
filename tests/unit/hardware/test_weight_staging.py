"""Weights from afar: which are copied, what a copy must hold, and that the weights stay usable whatever goes wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from solver.hardware import weight_staging
from solver.hardware.weight_staging import WORTH, Mount, local, mount_of, mounts

TABLE = (
    Mount("/", "ext4", False),
    Mount("/kaggle/input", "fuse.gcsfuse", True),
    Mount("/kaggle/input/own", "tmpfs", False),
    Mount("/mnt/my share", "nfs4", False),
    Mount("/media", "ext4", True),
)


@pytest.mark.parametrize(
    ("path", "far"),
    [
        ("/home/me/weights", False),
        ("/kaggle/input/qwen", True),
        ("/kaggle/inputs", False),
        ("/kaggle/input/own/qwen", False),
        ("/mnt/my share/qwen", True),
        ("/media/qwen", True),
    ],
)
def test_what_is_read_only_or_no_local_disk_is_far(path, far):
    mount = mount_of(Path(path), TABLE)
    assert mount is not None
    assert mount.far == far


def test_of_two_mounts_on_one_point_the_later_one_holds():
    over = (Mount("/input", "ext4", False), Mount("/input", "nfs", True))
    assert mount_of(Path("/input/qwen"), over) == over[1]
    assert mount_of(Path("/elsewhere"), over) is None


@pytest.fixture
def weights(tmp_path):
    """Weights on a mount that is read-only, to the table at least, and the table."""
    folder = tmp_path / "input" / "qwen"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 10)
    (folder / "config.json").write_text("{}")
    (tmp_path / "scratch").mkdir()
    return folder, (Mount("/", "ext4", False), Mount(str(folder.parent), "ext4", True))


def test_far_weights_are_copied_whole_and_the_copy_goes_in_the_end(weights, tmp_path):
    folder, table = weights
    with local(folder, WORTH, tmp_path / "scratch", table) as (where, said):
        assert where.is_relative_to(tmp_path / "scratch")
        assert {p.name: p.read_bytes() for p in where.iterdir()} == {p.name: p.read_bytes() for p in folder.iterdir()}
        assert "was copied to" in said
    assert list((tmp_path / "scratch").iterdir()) == []


def test_near_or_small_weights_and_those_on_an_unknown_mount_stay_and_nothing_is_said(weights, tmp_path):
    folder, table = weights
    for size, known in ((WORTH - 1, table), (WORTH, table[:1]), (WORTH, (Mount("/nowhere", "nfs", True),))):
        with local(folder, size, tmp_path / "scratch", known) as (where, said):
            assert (where, said) == (folder, "")


def test_each_file_is_compared_with_the_manifest(weights, tmp_path):
    folder, table = weights
    right = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    for digest, copied in ((right, True), ("0" * 64, False)):
        (folder / "manifest.json").write_text(json.dumps({"sha256": {"model.safetensors": digest}}))
        with local(folder, WORTH, tmp_path / "scratch", table) as (where, said):
            assert (where != folder) == copied
            assert copied or "is not what was expected: read where it lies" in said


def test_a_copy_that_came_out_different_is_not_used(weights, tmp_path, monkeypatch):
    folder, table = weights
    monkeypatch.setattr(weight_staging, "copy", lambda path, to: ("read", "written"))
    with local(folder, WORTH, tmp_path / "scratch", table) as (where, said):
        assert where == folder
        assert said.startswith("warning: the copy of")


def test_where_there_is_no_room_or_the_disk_fills_up_the_weights_are_read_from_afar(weights, tmp_path, monkeypatch):
    folder, table = weights
    with local(folder, 1 << 60, tmp_path / "scratch", table) as (where, said):
        assert where == folder
        assert "GiB are free for a copy of" in said

    def full(path, to):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weight_staging, "copy", full)
    with local(folder, WORTH, tmp_path / "scratch", table) as (where, said):
        assert where == folder
        assert "could not be copied (No space left on device): read where it lies" in said


def test_this_machines_own_mounts_are_looked_at_by_default(tmp_path):
    assert mount_of(tmp_path, mounts()) is not None
