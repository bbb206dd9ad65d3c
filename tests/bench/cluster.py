"""`python -m tests.bench.cluster`: what a run on a Ray cluster costs its driver, with workers that only sleep.

    python -m tests.bench.cluster --nodes 1 2 4 8 16

Simulates so many nodes of one core on this machine, and runs tasks whose worker sleeps for a while and answers with the
test input. Efficiency: seconds slept, over nodes times the seconds from the first worker that is ready to the last
answer. The driver's seconds are of processor time, from its start to its end; bytes are of orders and of results. Calls
are the driver's of its actors: most ask what a worker said, every two seconds or as soon as there is something.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solver.model.checkpoint import SHIPPED
from solver.runtime import record
from tests.support import fake_worker, ray_cluster, runs

COUNT = "import sys; from tests.bench import cluster; cluster.drive(*sys.argv[1:])"


@dataclass(frozen=True)
class Measured:
    """A run. `slept`, `took`: seconds of all workers, and of the clock; `driver`: of processor time."""

    nodes: int
    tasks: int
    slept: float
    took: float
    driver: float
    ordered: int
    reported: int
    calls: int

    def row(self) -> str:
        """As a row of the table."""
        efficiency, each = self.slept / (self.nodes * self.took), self.driver / self.tasks
        spent = f"{self.took:.1f} | {efficiency:.1%} | {each * 1000:.1f}"
        sent = f"{self.ordered // self.tasks} | {self.reported // self.tasks} | {self.calls / self.tasks:.1f}"
        return f"| {self.nodes} | {self.tasks} | {spent} | {sent} |"


def drive(counts: str, *given: str) -> None:
    """Be the driver, the program in this folder, and write down how often it called which of its actors' methods."""
    from ray.actor import ActorMethod

    calls, call = Counter[str](), ActorMethod._remote

    def counted(method: Any, *args: Any, **options: Any) -> Any:
        calls[method._method_name] += 1
        return call(method, *args, **options)

    ActorMethod._remote = counted
    sys.argv = ["submission.py", *given]
    try:
        runpy.run_path("submission.py", run_name="__main__")
    finally:
        Path(counts).write_text(json.dumps(calls))


def measure(nodes: int, tasks: int, pause: float) -> Measured:
    """One run on so many nodes."""
    with tempfile.TemporaryDirectory() as name, ray_cluster.nodes(nodes) as (cluster, _):
        folder, output = Path(name), Path(name) / "s.json"
        code = ray_cluster.code(folder, pause=pause)
        given = ["--split", "arc1-training", "--limit", str(tasks), "--programs", "0", "--time-limit", "30m"]
        given += ["--refinement-stages", "0"]
        given += ["--weights", str(SHIPPED), "--output", str(output), "--no-report", "--cluster", cluster.address]
        path = os.pathsep.join(filter(None, (str(runs.ROOT), os.environ.get("PYTHONPATH"))))
        driver = subprocess.Popen(
            [sys.executable, "-c", COUNT, str(folder / "calls.json"), *given],
            cwd=code, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        _, status, used = os.wait4(driver.pid, 0)  # its own seconds: those of all children have the nodes' in them
        driver.returncode = os.waitstatus_to_exitcode(status)
        if driver.returncode:
            raise subprocess.CalledProcessError(driver.returncode, driver.args)
        lines = [json.loads(line) for line in (record.directory_of(output) / record.RECORD).read_text().splitlines()]
        orders = fake_worker.heard(folder, "order")
        results = [line for line in lines if line["kind"] == "result"]
        calls = json.loads((folder / "calls.json").read_text())
        took = max(line["at"] for line in results) - min(line["at"] for line in lines if line["kind"] == "started")
    return Measured(
        nodes, tasks, pause * sum(len(order["tasks"]) for order in orders), took,
        used.ru_utime + used.ru_stime,
        sum(len(json.dumps(order)) for order in orders), sum(len(json.dumps(line)) for line in results),
        sum(calls.values()),
    )  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Measure and print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cluster", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--tasks", type=int, default=25, help="for each node; 400 at most")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds a worker sleeps for each task and stage")
    options = parser.parse_args(argv)
    print(
        "| nodes | tasks | seconds | efficiency | driver's ms a task | bytes a task ordered | recorded | calls a task |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for nodes in options.nodes:
        print(measure(nodes, min(400, options.tasks * nodes), options.pause).row(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
