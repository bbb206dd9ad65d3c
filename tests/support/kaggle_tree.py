"""A Kaggle machine in a folder: what is attached, read-only and without a network, and a notebook run inside it.

The wheelhouse holds hand-made wheels: one of them lends the new environment the packages of this one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from solver.data import tasks
from solver.model.checkpoint import SHIPPED
from solver.types import Grid, Pair, Task
from tests.support import runs

NOTEBOOK = runs.ROOT / "notebooks" / "kaggle.ipynb"
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
try:
    nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": sys.argv[2]}}).execute()
finally:
    nbformat.write(notebook, sys.argv[3])
"""
# Loopback alone, everything read-only but the working folder, the folder for temporary files and memory (/dev, /proc).
FENCE = """
set -e
if command -v ip >/dev/null; then ip link set lo up; fi
for folder in "$WORKING" "$TMPDIR"; do mount --bind "$folder" "$folder"; done
for above in / /tmp "$TREE"; do if mountpoint -q "$above"; then mount -o remount,bind,ro "$above"; fi; done
cd "$WORKING"
for folder in "$TREE/input" "$TREE" "$HOME" /; do
    if touch "$folder/probe" 2>/dev/null; then echo "$folder can still be written" >&2; exit 97; fi
done
touch "$WORKING/probe" "$TMPDIR/probe"; rm "$WORKING/probe" "$TMPDIR/probe"
exec "$@"
"""
UNSHARE = ["unshare", "-nm"] if os.geteuid() == 0 else ["unshare", "-rnm"]


def wheel(
    folder: Path,
    name: str,
    version: str,
    requires: Iterable[str] = (),
    files: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
    python: str = "",
) -> Path:
    """A wheel made by hand; `python`: the versions it asks for."""
    info = f"{name}-{version}.dist-info"
    wanted = "".join(f"Requires-Dist: {one}\n" for one in requires)
    wanted += f"Requires-Python: {python}\n" if python else ""
    content = dict(files or {f"{name}.py": f"version = {version!r}\n"}) | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{wanted}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for where, text in content.items():
            archive.writestr(where, text)
        hashes = {where: hashlib.sha256(text.encode()).digest() for where, text in content.items()}
        listed = [
            f"{w},sha256={base64.urlsafe_b64encode(h).rstrip(b'=').decode()},{len(content[w].encode())}"
            for w, h in hashes.items()
        ]
        archive.writestr(f"{info}/RECORD", "\n".join([*listed, f"{info}/RECORD,,", ""]))
    return path


def lending_wheels(folder: Path) -> Path:
    """A wheelhouse that, once installed, shows the packages of this very environment."""
    wheel(folder, "lent", "1.0", ["answered==2.0"], {"lent.pth": sysconfig.get_paths()["purelib"] + "\n"})
    wheel(folder, "answered", "2.0")
    (folder / "requirements.txt").write_text("# by hand\nlent==1.0\nanswered==2.0\n")
    return folder


def enlarged(task: Task, pairs: int) -> Task:
    """The task with the grids of its first pairs, and its test input, repeated up to 30 by 30."""

    def large(grid: Grid) -> Grid:
        return np.tile(grid, (30, 30))[:30, :30]

    shown = task.demonstrations
    first = tuple(Pair(large(pair.input), large(pair.output)) for pair in shown[:pairs])
    return Task(task.id, (*first, *shown[pairs:]), tuple(map(large, task.tests)))


def more_tests(task: Task, count: int) -> Task:
    """The task with so many test inputs: its own, and turned ones."""
    turned = [np.rot90(grid, n).copy() for n in range(4) for grid in task.tests]
    return Task(task.id, task.demonstrations, tuple(turned[:count]))


@dataclass(frozen=True)
class Tree:
    """A Kaggle machine: `root` is its /kaggle, `scratch` its /tmp."""

    root: Path
    scratch: Path
    competition: Path

    @property
    def working(self) -> Path:
        return self.root / "working"

    @property
    def inputs(self) -> dict[str, str]:
        """Every file attached, with its hash; not what Python compiled, where nothing kept it from writing."""
        files = [path for path in self.root.joinpath("input").rglob("*") if path.is_file()]
        files = [path for path in files if "__pycache__" not in path.parts]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def put(self, name: str, content: Any) -> None:
        """A file of the competition."""
        (self.competition / name).write_text(json.dumps(content))


def make(folder: Path, competition: str, data: str, worker: tuple[str, ...] | None = None) -> Tree:
    """A tree with this program and its wheels attached as `input/<data>…`, the competition as `input/<competition>`.

    `worker`: what to start in place of the real worker.
    """
    tree = Tree(folder / "kaggle", folder / "tmp", folder / "kaggle" / "input" / competition)
    for made in (tree.competition, tree.working, tree.scratch):
        made.mkdir(parents=True, exist_ok=True)
    code = tree.root / "input" / f"{data}arc-ttt" / "arc-ttt"
    runs.copy_program(code, worker)
    shutil.copytree(SHIPPED, code / "weights" / SHIPPED.name)
    lending_wheels(tree.root / "input" / f"{data}wheels")
    return tree


def lend_compiled(tree: Tree) -> None:
    """What this program compiles for the search, ready in the user's cache of that machine."""
    from solver.programs import compiled
    from solver.programs.lists import solve  # noqa: F401 (its functions are what is compiled)

    compiled.ready()
    kept = compiled.cache_folder()
    if kept is not None:
        shutil.copytree(kept, tree.scratch / "xdg_cache_home" / "arc-ttt" / kept.name)


def from_kit(folder: Path, kit: Path, competition: str) -> Tree:
    """A tree with a kit's data sets attached, each as Kaggle unpacks it; its driver is one of CUDA 12."""
    tree = Tree(folder / "kaggle", folder / "tmp", folder / "kaggle" / "input" / competition)
    for made in (tree.competition, tree.working, tree.scratch / "bin"):
        made.mkdir(parents=True, exist_ok=True)
    for described in kit.glob("*/dataset-metadata.json"):
        name = json.loads(described.read_text())["id"]
        ignored = shutil.ignore_patterns(described.name)
        shutil.copytree(described.parent, tree.root / "input" / "datasets" / name, ignore=ignored)
    driver = tree.scratch / "bin" / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho NVIDIA L4, 23034, 22500, 8.9, 570.172.08\n")
    driver.chmod(0o755)
    return tree


def interactive(tree: Tree, test: list[Task], evaluation: list[Task], solutions: Mapping[str, Any]) -> None:
    """The competition's files as an interactive run sees them: training tasks play the test."""
    tree.put("arc-agi_test_challenges.json", runs.challenges(test))
    tree.put("arc-agi_training_challenges.json", runs.challenges(tasks.load_split("arc1-training").tasks))
    tree.put("arc-agi_evaluation_challenges.json", runs.challenges(evaluation))
    tree.put(
        "arc-agi_evaluation_solutions.json", {task.id: [g.tolist() for g in solutions[task.id]] for task in evaluation}
    )
    tree.put("sample_submission.json", {})


@dataclass(frozen=True)
class Ran:
    """A notebook that was run: its exit status, what its cells showed by media type, what the runner complained of.

    `fenced`: why nothing kept it from the network and the rest of the disk; empty where something did.
    """

    status: int
    shown: Mapping[str, str]
    complaint: str
    fenced: str

    @property
    def text(self) -> str:
        return self.shown["text"]


def fence(tree: Tree, environment: Mapping[str, str]) -> str:
    """Why commands can't be run in namespaces of their own here; empty if they can."""
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    command = [*UNSHARE, "sh", "-c", FENCE, "sh", "true"]
    tried = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return (tried.stderr.strip() or f"exit status {tried.returncode}") if tried.returncode else ""


def start(tree: Tree, flags: str, notebook: Path = NOTEBOOK, **more: str) -> tuple[subprocess.Popen[str], str]:
    """The notebook on its way in a tree, behind the fence if this machine lets us build one; and why not."""
    dropped = ("KAGGLE_IS_COMPETITION_RERUN", "PYTHONPATH", "TORCHINDUCTOR_CACHE_DIR")  # torch sets the last, outside
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {"KAGGLE_ROOT": str(tree.root), "TREE": str(tree.root), "WORKING": str(tree.working)}
    environment |= {"TMPDIR": str(tree.scratch), "SUBMISSION_FLAGS": flags, "MPLBACKEND": "module://of_the_notebook"}
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "XDG_CACHE_HOME", "VLLM_CACHE_ROOT"):
        environment[name] = str(tree.scratch / name.lower())
    environment["PATH"] = f"{tree.scratch / 'bin'}:{os.environ['PATH']}"
    environment |= more
    why = fence(tree, environment)
    if why:
        subprocess.run(["chmod", "-R", "a-w", tree.root / "input"], check=True)
    alone = [] if why else [*UNSHARE, "sh", "-c", FENCE, "sh"]
    command = [*alone, sys.executable, "-c", EXECUTE, notebook, tree.working, tree.scratch / "executed.ipynb"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True), why


def finish(tree: Tree, process: subprocess.Popen[str], why: str) -> Ran:
    """Wait for a notebook that `start` started."""
    import nbformat

    said, _ = process.communicate(timeout=900)
    executed = tree.scratch / "executed.ipynb"
    shown = {"text": ""}
    cells = nbformat.read(executed, as_version=4).cells if executed.exists() else []
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        shown["text"] += output.get("text", "")
        for kind, content in output.get("data", {}).items():
            shown[kind] = shown.get(kind, "") + content
    return Ran(process.returncode, shown, said, why)


def execute(tree: Tree, flags: str, **more: str) -> Ran:
    """Run the notebook in a tree."""
    return finish(tree, *start(tree, flags, **more))
