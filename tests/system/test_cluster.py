"""A run on a real Ray cluster of simulated nodes: the same file as on one machine, whatever becomes of the nodes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from solver.model.checkpoint import SHIPPED
from solver.runtime import record
from tests.support import fake_worker, ray_cluster, runs

pytest.importorskip(
    "ray", reason="NOT TESTED on a cluster: ray is not installed (pip install --no-deps -r requirements-cluster.txt)"
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without cores, and three nodes of one."""
    with ray_cluster.nodes(3) as (cluster, _):
        yield cluster


def begin(code: Path, output: Path, *flags: str) -> subprocess.Popen[str]:
    """A submission of 12 held-out tasks by the program in a folder."""
    command = [sys.executable, "submission.py", "--split", "held-out", "--limit", "12", "--programs", "0"]
    given = [
        *command,
        "--weights",
        str(SHIPPED),
        "--output",
        str(output),
        "--no-report",
        "--refinement-stages",
        "2",
        *flags,
    ]
    return subprocess.Popen(given, cwd=code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(running: subprocess.Popen[str], status: int = 0) -> str:
    """What a submission printed, once it has ended with this status."""
    out, err = running.communicate(timeout=300)
    assert running.returncode == status, out + err
    return out + err


def test_the_file_is_that_of_one_machine(tmp_path: Path, cluster: Any) -> None:
    code = ray_cluster.code(tmp_path, pause=1.0)  # long enough that each node gets some of the tasks
    written = {}
    for name, flags in (("here", ["--devices", "cpu"]), ("there", ["--cluster", cluster.address])):
        output = tmp_path / f"{name}.json"
        text = ended(begin(code, output, "--time-limit", "2m", *flags))
        written[name] = output.read_bytes()
        assert "12 tasks" in text
        assert "warning" not in text
    assert written["here"] == written["there"]
    used = {r["device"] for r in lines(tmp_path / "there.json") if r["kind"] == "result"}
    assert used == {"cluster 0", "cluster 1", "cluster 2"}


def lines(output: Path) -> list[dict[str, Any]]:
    """The record of the run that wrote the file."""
    return [json.loads(line) for line in (record.directory_of(output) / record.RECORD).read_text().splitlines()]


def test_an_adapter_that_tasks_share_reaches_the_run_s_directory_and_other_nodes(tmp_path: Path, cluster: Any) -> None:
    code = ray_cluster.code(tmp_path)
    ended(begin(code, tmp_path / "s.json", "--time-limit", "2m", "--scope", "shared", "--cluster", cluster.address))
    known = {r["path"]: r["sha256"] for r in lines(tmp_path / "s.json") if r["kind"] == "shared"}
    assert known
    for path in map(Path, known):
        assert path.is_relative_to(record.directory_of(tmp_path / "s.json"))
        assert path.is_dir()
    orders = fake_worker.heard(tmp_path, "order")
    named = {shared["path"] for order in orders for shared in order["shared"].values()}
    assert named
    assert not named & set(known)  # each node has its own copy


@pytest.fixture(scope="module")
def shrinking() -> Iterator[tuple[Any, list[Any]]]:
    """A cluster, and its three nodes of one core, of which tests take some away."""
    with ray_cluster.nodes(3) as known:
        yield known


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ended(begin(ray_cluster.code(folder), folder / "s.json", "--time-limit", "10m", "--devices", "cpu"))
    return (folder / "s.json").read_bytes()


MOMENTS = 13  # starts of workers and orders that a run of 12 tasks on three nodes has at least
GONE = "the worker's node or its actor is gone"


@pytest.mark.parametrize("seed", range(10))
def test_a_node_that_is_lost_at_a_random_moment_costs_its_batch(
    tmp_path: Path, shrinking: tuple[Any, list[Any]], undisturbed: bytes, seed: int
) -> None:
    (cluster, nodes), rng, output = shrinking, random.Random(seed), tmp_path / "s.json"
    code, flags = ray_cluster.code(tmp_path, pause=1.0), ["--time-limit", "10m", "--cluster", cluster.address]
    running = begin(code, output, *flags)
    moment, pause, replaced_at_once = rng.randrange(MOMENTS), rng.uniform(0, 1), seed % 2 == 1
    while not output.exists() or sum(len(fake_worker.heard(tmp_path, kind)) for kind in ("start", "order")) < moment:
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    began = time.monotonic()
    time.sleep(pause)
    assert running.poll() is None, running.communicate()
    cluster.remove_node(nodes.pop(rng.randrange(3)), allow_graceful=False)
    if replaced_at_once:
        nodes.append(ray_cluster.add(cluster))
    text = ended(running)
    took = time.monotonic() - began
    if not replaced_at_once:
        nodes.append(ray_cluster.add(cluster))  # for the next test
    known = lines(output)
    failures = [(r["stage"], r["task_ids"], r["why"]) for r in known if r["kind"] == "failure"]
    events = [r["text"] for r in known if r["kind"] == "event" and GONE in r["text"]]
    orders = fake_worker.heard(tmp_path, "order")
    times = Counter((order["stage"], task["id"]) for order in orders for task in order["tasks"])
    repeated, starts = {key for key, count in times.items() if count > 1}, len(fake_worker.heard(tmp_path, "start"))
    row = (seed, moment, f"{pause:.1f}", replaced_at_once, starts, len(repeated), "; ".join(events), f"{took:.1f}")
    print("|", " | ".join(map(str, row)), "|")
    assert output.read_bytes() == undisturbed
    assert "12 tasks" in text
    assert "0 placeholders" in text
    assert took < 200
    assert all(why.startswith(GONE) for _, _, why in failures)
    assert repeated <= {(stage, task_id) for stage, ids, _ in failures for task_id in ids}
    assert events or starts <= 3  # a worker that is replaced is not passed over in silence


def test_an_interrupted_driver_leaves_no_worker(tmp_path: Path, cluster: Any) -> None:
    code = ray_cluster.code(tmp_path, pause=30.0)
    running = begin(code, tmp_path / "s.json", "--time-limit", "3m", "--cluster", cluster.address)
    while not fake_worker.heard(tmp_path, "order"):
        assert running.poll() is None, running.communicate()
        time.sleep(0.1)
    running.kill()
    running.communicate()
    deadline = time.monotonic() + 30
    while any(map(alive, fake_worker.heard(tmp_path, "start"))):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def alive(process: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


REFUSED = {
    "no cluster": (["--cluster", "127.0.0.1:9"], "no cluster answers there"),
    "GPU numbers": (["--cluster", "{address}", "--devices", "0,1"], "expected auto, cpu, or cpu:N"),
    "more than there are": (["--cluster", "{address}", "--devices", "cpu:9"], "has room for 3 workers of one core"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(name: str, tmp_path: Path, cluster: Any) -> None:
    flags, said = REFUSED[name]
    given = [flag.format(address=cluster.address) for flag in flags]
    running = begin(runs.ROOT, tmp_path / "s.json", "--time-limit", "1m", *given)
    out, err = running.communicate(timeout=100)
    assert running.returncode == 2, out + err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert not (tmp_path / "s.json").exists()


def solver_command(*given: str) -> str:
    """What a command of the program printed."""
    command = [sys.executable, "-m", "solver", *given]
    ran = subprocess.run(command, cwd=runs.ROOT, capture_output=True, text=True, timeout=280)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_programs_are_found_there_as_here(tmp_path: Path, cluster: Any) -> None:
    found = {}
    for name, flags in (("here", []), ("there", ["--cluster", cluster.address])):
        output = tmp_path / f"{name}.jsonl"
        given = ["arc1-training", "--limit", "3", "--nodes", "200", "--seconds", "60", "--output", str(output)]
        solver_command("programs", *given, *flags)
        lines = map(json.loads, output.read_text().splitlines()[1:])
        found[name] = {line["task"]: {**line, "seconds": 0} for line in lines}
    assert len(found["here"]) == 3
    assert found["there"] == found["here"]


def test_a_library_made_there_has_the_adapters_of_one_made_here(tmp_path: Path, cluster: Any) -> None:
    made = {}
    for name, flags in (("here", []), ("there", ["--cluster", cluster.address])):
        given = ["--tasks", "arc1-training", "--limit", "2", "--adapters", "1", "--output", str(tmp_path / name)]
        solver_command("collect", *given, *flags)
        files = sorted((tmp_path / name / "adapters").rglob("*.safetensors"))
        made[name] = {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files}
    assert len(made["here"]) == 2
    assert made["there"] == made["here"]
