"""notebooks/kaggle.ipynb from top to bottom on a Kaggle machine in a folder: no network, read-only inputs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from solver.analysis.solutions import read_solutions
from solver.data import tasks
from solver.kaggle import kit
from solver.kaggle.notebook import TEST
from solver.model.checkpoint import SHIPPED
from solver.runtime import submission_file
from solver.tokens import grid
from solver.types import Task
from tests.support import fake_worker, kaggle_tree, runs
from tests.support.runs import lines_of

nbformat = pytest.importorskip("nbformat", reason="the notebook is NOT run: nbformat is not installed")
pytest.importorskip("nbclient", reason="the notebook is NOT run: nbclient is not installed")
pytest.importorskip("ipykernel", reason="the notebook is NOT run: ipykernel is not installed")

SMALL = ("3979b1a8", "60c09cac", "626c0bcc")  # evaluation tasks with little to read
PREFIXES = {"plain": ("arc-prize-2026", ""), "nested": ("competitions/arc-prize-2026", "datasets/somebody/")}
PAIR = "cpu:2" if len(os.sched_getaffinity(0)) > 1 else "cpu"


def evaluation(ids: tuple[str, ...] = SMALL) -> list[Task]:
    return [task for task in tasks.load_split("arc1-evaluation").tasks if task.id in ids]


def interactive(tree: kaggle_tree.Tree) -> kaggle_tree.Tree:
    training = list(tasks.load_split("arc1-training").tasks[:20])
    kaggle_tree.interactive(tree, training, evaluation(), read_solutions("arc1-evaluation"))
    return tree


def valid(tree: kaggle_tree.Tree) -> dict[str, list]:
    """The submission, which must be whole, in a working folder within Kaggle's limits."""
    task_set = tasks.load_challenges(tree.competition / TEST)
    written = json.loads((tree.working / "submission.json").read_text())
    assert submission_file.validate(written, task_set.tests) == []
    files = [path for path in tree.working.rglob("*") if path.is_file()]
    assert len(files) <= 500
    assert sum(path.stat().st_size for path in files) <= 20e9
    return written


def files(folder: Path) -> dict[str, bytes]:
    """All below a folder but what Python compiled, by path."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def unfenced(ran: kaggle_tree.Ran) -> None:
    """Say, once all else has passed, what this machine kept from being tested."""
    if ran.fenced:
        pytest.skip(f"passed, but NOT TESTED without a network and with read-only inputs: {ran.fenced}")


def test_the_notebook_has_at_most_twenty_lines_of_code():
    cells = [c for c in nbformat.read(kaggle_tree.NOTEBOOK, as_version=4).cells if c.cell_type == "code"]
    lines = [line for cell in cells for line in cell.source.splitlines() if line.strip() and line.strip()[0] != "#"]
    assert len(lines) <= 20
    assert all(len(line) <= 120 for line in lines)


# ---- the shipped weights, on the CPU ---------------------------------------------------------------------------------

LIGHT = "--preset smoke --limit 1 --views 4 --steps 1 --time-limit 10m --devices cpu"
BARE = f"{LIGHT} --programs 0"


@pytest.mark.engine
def test_a_rehearsal_answers_evaluation_tasks_and_shows_their_score_and_report(tmp_path):
    tree = interactive(kaggle_tree.make(tmp_path, *PREFIXES["plain"]))
    kaggle_tree.lend_compiled(tree)
    ran = kaggle_tree.execute(tree, LIGHT)
    assert ran.status == 0, ran.text + ran.complaint
    assert "rehearsal: arc-agi_test_challenges.json holds training tasks alone" in ran.text
    assert "--preset kaggle-l4x4 --preset smoke" in ran.text
    assert re.search(r"^1 answer to 1 task: 1 from the model", ran.text, re.MULTILINE), ran.text
    assert ran.text.count("score (pass@2)") == 2  # the run's own, and the summary's
    assert re.search(r"^rehearsal: 1 task answered by the model", ran.text, re.MULTILINE)
    assert ran.shown["text/html"].startswith("<div><iframe ")
    assert "&lt;html" in ran.shown["text/html"]
    assert SMALL[0] in ran.shown["text/html"]
    assert set(json.loads((tree.working / "rehearsal.json").read_text())) <= set(SMALL)
    assert len(valid(tree)) == 20
    unfenced(ran)


def test_a_notebook_without_its_program_says_so_in_one_line(tmp_path):
    tree = kaggle_tree.make(tmp_path, *PREFIXES["plain"])
    shutil.rmtree(tree.root / "input" / "arc-ttt")
    ran = kaggle_tree.execute(tree, "")
    assert ran.status != 0
    said = "no program below .*/input: expected the data set of its code; attach it"
    assert re.search(said, ran.complaint), ran.complaint


# ---- a worker without models -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_kit_is_attached_and_a_rerun_answers_the_hidden_tasks_and_leaves_the_report_out(tmp_path, capsys):
    """With weights of its own and wheels for both drivers, of which the notebook takes those its driver serves."""
    weights, ready = tmp_path / "mine", tmp_path / "ready"
    shutil.copytree(SHIPPED, weights)
    for cuda in kit.SETS:
        kaggle_tree.lending_wheels(ready / f"cuda{cuda}")
    given = ["--user", "somebody", "--weights", str(weights), "--wheels", str(ready)]
    assert kit.main(["kit", str(tmp_path / "kit"), *given]) == 0, capsys.readouterr().err
    described = json.loads((tmp_path / "kit" / "notebook" / "kernel-metadata.json").read_text())
    tree = kaggle_tree.from_kit(tmp_path, tmp_path / "kit", f"competitions/{described['competition_sources'][0]}")
    for name in described["dataset_sources"]:
        assert (tree.root / "input" / "datasets" / name).is_dir()
    tree.put(TEST, runs.challenges(evaluation(SMALL[:1])))
    [package] = (runtime.parent for runtime in (tree.root / "input").rglob("solver/runtime"))
    assert files(package) == files(runs.ROOT / "solver")
    [attached] = (tree.root / "input").rglob("somebody/arc-ttt-weights/weights")
    assert files(attached) == files(SHIPPED)
    runs.replace_worker(package, worker(tmp_path))
    notebook = tmp_path / "kit" / "notebook" / described["code_file"]
    ran = kaggle_tree.finish(tree, *kaggle_tree.start(tree, BARE, notebook, KAGGLE_IS_COMPETITION_RERUN="1"))
    assert ran.status == 0, ran.text + ran.complaint
    assert "rerun: KAGGLE_IS_COMPETITION_RERUN is set" in ran.text
    assert "driver 570.172.08, wheels for 525.60.13 and newer" in ran.text
    assert re.search(r"^weights  .*/somebody/arc-ttt-weights/weights$", ran.text, re.MULTILINE), ran.text
    assert re.search(r"^1 answer to 1 task: 1 from the model", ran.text, re.MULTILINE), ran.text
    [argv] = [argv for argv in fake_worker.heard(tree.scratch / "script", "argv") if "programs" not in argv]
    assert argv[argv.index("--weights") + 1].endswith("/somebody/arc-ttt-weights/weights")
    assert "text/html" not in ran.shown
    assert not (tree.working / "submission.run" / "report.html").exists()
    assert list(valid(tree)) == [task.id for task in evaluation(SMALL[:1])]
    unfenced(ran)


@pytest.mark.slow
def test_a_rehearsal_under_the_other_prefix(tmp_path):
    script = kaggle_tree.make(tmp_path, *PREFIXES["nested"], worker=worker(tmp_path))
    ran = kaggle_tree.execute(interactive(script), "--time-limit 12m --devices cpu")
    assert ran.status == 0, ran.text + ran.complaint
    assert "3 answers to 3 tasks: 3 from the model" in ran.text
    assert "score (pass@2)" in ran.text
    assert "text/html" in ran.shown
    unfenced(ran)


def worker(folder: Path, **script) -> tuple[str, ...]:
    """A worker whose script and log lie where a fenced notebook may write."""
    place = folder / "tmp" / "script"
    place.mkdir(parents=True)
    return fake_worker.command(place, **script)


def hidden() -> list[Task]:
    """240 tasks: some with three or four test inputs, one with a prompt of 8,400 tokens."""
    chosen = list(tasks.load_split("arc1-evaluation").tasks[:240])
    for at, count in ((3, 3), (50, 4), (120, 3), (239, 4)):
        chosen[at] = kaggle_tree.more_tests(chosen[at], count)
    long = next(at for at, task in enumerate(chosen) if len(task.demonstrations) == 5 and at not in (3, 50, 120, 239))
    chosen[long] = kaggle_tree.enlarged(chosen[long], 4)
    return chosen


def prompt_tokens(task: Task) -> int:
    return sum(map(grid.pair_length, task.demonstrations)) + max(map(grid.encoded_length, task.tests))


def kill_one(folder: Path, notebook: subprocess.Popen[str]) -> None:
    """Kill the first worker with a model, once those of this notebook have got ten orders."""
    orders: list = []
    while len(orders) < 10 and notebook.poll() is None:
        time.sleep(0.05)
        with contextlib.suppress(ValueError):  # a line that is just being written
            orders = [order for order in fake_worker.heard(folder, "order") if order["stage"]]
    started = zip(fake_worker.heard(folder, "start"), fake_worker.heard(folder, "argv"), strict=True)
    os.kill(next(process for process, argv in started if "programs" not in argv), signal.SIGKILL)


@pytest.fixture(scope="module")
def reruns(tmp_path_factory) -> dict[str, tuple[kaggle_tree.Tree, dict[str, str], kaggle_tree.Ran]]:
    """240 tasks under each mount prefix, side by side: the tree, what was attached, how it ended.

    The clock is short: 690 s, of which the preset keeps 600 for the end.
    """
    started, content = {}, runs.challenges(hidden())
    for name, prefix in PREFIXES.items():
        folder = tmp_path_factory.mktemp(f"rerun-{name}")
        tree = kaggle_tree.make(folder, *prefix, worker=worker(folder, pause=0.005))
        tree.put(TEST, content)
        attached = tree.inputs
        flags = f"--time-limit 690s --devices {PAIR}"
        started[name] = tree, attached, kaggle_tree.start(tree, flags, KAGGLE_IS_COMPETITION_RERUN="1")
    for tree, _, (notebook, _) in started.values():
        kill_one(tree.scratch / "script", notebook)
    return {name: (tree, was, kaggle_tree.finish(tree, *way)) for name, (tree, was, way) in started.items()}


@pytest.mark.slow
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_rerun_of_240_tasks_ends_whole_though_a_worker_is_killed(reruns, prefix):
    """Without a network, from read-only inputs, within Kaggle's limits."""
    whole = hidden()
    assert len(whole) == len({task.id for task in whole}) == 240
    assert {3, 4} <= {len(task.tests) for task in whole}
    assert 8400 <= max(map(prompt_tokens, whole)) < 9000

    tree, attached, ran = reruns[prefix]
    assert ran.status == 0, ran.text + ran.complaint
    written = valid(tree)
    assert list(written) == [task.id for task in whole]
    assert [len(entries) for entries in written.values()] == [len(task.tests) for task in whole]
    outputs = sum(len(task.tests) for task in whole)
    assert "the worker died (SIGKILL)" in ran.text
    assert f"{outputs} answers to 240 tasks: {outputs} from the model, 0 placeholders." in ran.text
    assert f"valid: 240 tasks, {outputs} test inputs" in ran.text
    assert "5 of 500 files, " in ran.text

    kept = lines_of(tree.working / "submission.run")
    assert all("the worker died (SIGKILL)" in failure["why"] for failure in kept.of_kind("failure"))
    [end] = kept.of_kind("end")
    assert (end["status"], end["at"] < 690) == (0, True)
    files = sorted(path.name for path in tree.working.rglob("*") if path.is_file())
    assert files == ["challenges.json", "lock", "record.jsonl", "submission.json", "worker.log"]
    assert tree.inputs == attached
    unfenced(ran)
