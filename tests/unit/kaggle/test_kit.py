"""The kit for Kaggle's client: what is in it, that it is what Kaggle takes, and what it refuses, each in one line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from solver.hardware import gpus
from solver.hardware.gpus import GIB, Shown
from solver.kaggle import kit, notebook, wheelhouse
from tests.support.kaggle_tree import lending_wheels, wheel


@pytest.fixture
def wheels(tmp_path) -> Path:
    """Wheelhouses for both drivers."""
    for cuda in kit.SETS:
        lending_wheels(tmp_path / "ready" / f"cuda{cuda}")
    return tmp_path / "ready"


@pytest.fixture
def weights(tmp_path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("weights")
    return folder


def made(tmp_path: Path, wheels: Path, *flags: str) -> tuple[int, Path]:
    return kit.main(["kit", str(tmp_path / "kit"), "--wheels", str(wheels), "--user", "me", *flags]), tmp_path / "kit"


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_a_kit_holds_data_sets_the_notebook_and_three_commands(tmp_path, wheels, weights, capsys):
    status, out = made(tmp_path, wheels, "--weights", str(weights), "--competition", "arc-x")
    assert status == 0
    folders = ["code", "notebook", "weights", "wheels-cuda12", "wheels-cuda13"]
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == folders
    ids = {}
    for folder in {*folders} - {"notebook"}:
        described = read(out / folder / "dataset-metadata.json")
        assert re.fullmatch(r"me/[a-z0-9-]{3,50}", described["id"])
        assert 6 <= len(described["title"]) <= 50
        assert [*described["licenses"][0]] == ["name"]
        assert len(list((out / folder).iterdir())) == 2  # one folder beside it, which the client zips
        ids[folder] = described["id"]
    kernel = read(out / "notebook" / "kernel-metadata.json")
    assert sorted(kernel["dataset_sources"]) == sorted(ids.values())
    assert kernel["competition_sources"] == ["arc-x"]
    assert (kernel["enable_gpu"], kernel["enable_internet"], kernel["kernel_type"]) == (True, False, "notebook")
    assert kernel["id"] == "me/" + kernel["title"].lower().replace(" ", "-")
    assert (out / "notebook" / kernel["code_file"]).read_bytes() == kit.NOTEBOOK.read_bytes()
    assert not list(out.rglob("__pycache__"))
    block = (out / "README.md").read_text().split("```")[1]
    create, push, submit = block.splitlines()[1:]
    assert {*re.findall(r"[\w-]+(?=[ ;])", create.split(" in ")[1].split("do")[0])} == set(ids)
    assert "--dir-mode zip" in create
    assert push == "kaggle kernels push -p notebook"
    assert submit.startswith(f"kaggle competitions submit arc-x -k {kernel['id']} -v 1 -f submission.json ")
    said = capsys.readouterr().out
    assert "wheels-cuda13: 2 wheels for Python 3.12, verified offline" in said
    assert "4 data sets and a notebook" in said


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A kit."""
    folder = tmp_path_factory.mktemp("whole")
    for cuda in kit.SETS:
        lending_wheels(folder / "ready" / f"cuda{cuda}")
    assert made(folder, folder / "ready")[0] == 0
    return folder / "kit"


def test_each_wheelhouse_says_the_oldest_driver_it_works_with(whole):
    assert (whole / "wheels-cuda13" / "wheels" / notebook.DRIVER).read_text() == "580.65.6\n"
    assert (whole / "wheels-cuda12" / "wheels" / notebook.DRIVER).read_text() == "525.60.13\n"


def refused(tmp_path: Path, wheels: Path, capsys: pytest.CaptureFixture, *flags: str) -> str:
    assert made(tmp_path, wheels, *flags)[0] == 2
    return capsys.readouterr().err


@pytest.mark.slow
def test_a_kit_that_lacks_a_wheel_is_refused(tmp_path, wheels, capsys):
    next((wheels / "cuda12").glob("answered-*")).unlink()
    assert "No matching distribution found for answered==2.0" in refused(tmp_path, wheels, capsys)


def test_a_kit_whose_wheels_ask_for_one_that_is_missing_is_refused_in_one_line(tmp_path, wheels, capsys, monkeypatch):
    wheel(wheels / "cuda13", "lent", "1.0", ['absent; python_version > "3.11"'])
    monkeypatch.setattr(wheelhouse, "offline", lambda *_: REPORT)  # whatever Python pip runs on
    said = refused(tmp_path, wheels, capsys)
    assert re.fullmatch(r"error: .*/wheels is not complete: lent wants absent, has none; fetch it anew.*\n", said)


REPORT = {"install": [{"metadata": {"name": "lent", "version": "1.0", "requires_dist": ["absent"]}}]}


def test_what_is_no_wheelhouse_no_checkpoint_or_no_empty_folder_is_refused_in_one_line(tmp_path, wheels, capsys):
    said = refused(tmp_path, wheels, capsys, "--weights", str(wheels))
    assert re.fullmatch(r"error: --weights is .*: expected a folder with config.json and safetensors\n", said)
    assert "is not empty: expected a folder to be made" in refused(tmp_path, wheels, capsys)
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    assert re.fullmatch(
        r"error: .*/none/cuda13 holds no requirements.txt: expected a folder that .*\n",
        refused(elsewhere, tmp_path / "none", capsys),
    )


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("MOST_BYTES", 1_000_000, "code: [0-9.]+ GB, expected 0 at most; leave files out"),
        ("MOST_FILES", 0, "code: 1 files at its top, expected 0 at most; put them into a folder"),
        ("MOST_SOURCE", 10, r"kaggle.ipynb: [0-9,]+ bytes, expected 10 at most; clear its outputs"),
    ],
)
def test_what_kaggle_would_refuse_is_said_in_one_line(whole, monkeypatch, limit, value, said):
    monkeypatch.setattr(kit, limit, value)
    sets = [kit.DataSet(whole / "code", "ARC TTT code")]
    assert re.search(said, next(kit.faults(sets, whole / "notebook" / "kaggle.ipynb")))


def test_a_kit_over_kaggles_limits_is_refused_in_one_line(tmp_path, wheels, capsys, monkeypatch):
    monkeypatch.setattr(kit, "MOST_SOURCE", 10)
    assert re.fullmatch(r"error: .*clear its outputs\n", refused(tmp_path, wheels, capsys))


@pytest.mark.parametrize("name", ["", "a name that is far too long for what Kaggle takes"])
def test_a_name_kaggle_would_refuse_is_refused_before_anything_is_fetched_or_written(tmp_path, name, capsys):
    assert kit.main(["kit", str(tmp_path / "kit"), "--name", name]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"error: .*: its title is '.*', expected 6 to 50 letters; choose another --name\n", said)
    assert not (tmp_path / "kit").exists()


@pytest.mark.slow
def test_without_a_name_one_to_be_replaced_stands_in_the_kit(tmp_path, wheels, capsys, monkeypatch):
    monkeypatch.delenv("KAGGLE_USERNAME", raising=False)
    assert kit.main(["kit", str(tmp_path / "kit"), "--wheels", str(wheels)]) == 0
    assert "put your name in place of YOUR-NAME" in capsys.readouterr().out
    assert read(tmp_path / "kit" / "code" / "dataset-metadata.json")["id"] == "YOUR-NAME/arc-ttt-code"


# ---- which wheelhouse a driver gets ----------------------------------------------------------------------------------


@pytest.fixture
def attached(tmp_path, whole) -> Path:
    """A tree with a kit's wheelhouses attached."""
    shutil.copytree(whole, tmp_path / "kaggle" / "input")
    return tmp_path / "kaggle"


def card(driver: str) -> tuple[Shown, ...]:
    return (Shown("NVIDIA L4", 24 * GIB, 24 * GIB, (8, 9), driver),)


@pytest.mark.parametrize(("driver", "cuda"), [("580.95.05", 13), ("580.65.06", 13), ("570.172.08", 12), ("535.1", 12)])
def test_the_wheels_are_chosen_by_the_driver(attached, monkeypatch, driver, cuda):
    monkeypatch.setattr(gpus, "shown", lambda: card(driver))
    assert notebook.wheelhouse(attached) == attached / "input" / f"wheels-cuda{cuda}" / "wheels"


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (
            card("470.82.01"),
            "the driver is 470.82.01: expected 525.60.13 or newer for the wheels attached; choose GPU L4 x4",
        ),
        ((), "nvidia-smi names no driver: expected 525.60.13 or newer for the wheels attached; choose GPU L4 x4"),
    ],
)
def test_a_driver_too_old_for_all_and_none_are_said_in_one_line(attached, monkeypatch, shown, said):
    monkeypatch.setattr(gpus, "shown", lambda: shown)
    with pytest.raises(notebook.NotebookError, match=f"^{re.escape(said)}$"):
        notebook.wheelhouse(attached)


def test_two_wheelhouses_for_one_driver_are_refused(attached, monkeypatch):
    monkeypatch.setattr(gpus, "shown", lambda: card("580.95.05"))
    (attached / "input" / "wheels-cuda13").rename(attached / "input" / "again")
    lending_wheels(attached / "input" / "wheels")
    (attached / "input" / "wheels" / notebook.DRIVER).write_text("580.65.6\n")
    with pytest.raises(notebook.NotebookError, match=r"folders of wheels for this driver: .* exactly one was expected"):
        notebook.wheelhouse(attached)
