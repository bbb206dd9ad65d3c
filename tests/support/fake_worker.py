"""A worker process without models: speaks `solver.runtime.messages`' protocol and misbehaves as a script says.

Started as `python fake_worker.py SCRIPT.json --weights … --reports FD …`. It needs nothing but the standard library,
so it starts at once. The script is an object:

- `start`: what each start in turn does instead of getting ready: `""`, `kill`, `exit`, `hang` or `deaf` (gets ready,
  never reads an order); the last entry holds for all later starts.
- `batches`: task id → what each order with that task does in turn: `""`, `kill`, `exit`, `hang`, `fail`, `memory`
  (fails for want of it), `late` (answers the order's first task, then dies) or `orphan` (dies and leaves a process
  that holds its reports open).
- `search_start`, `search_batches`: the same for those that search for programs, started `--by programs`;
  `write_start`, `write_batches`: for those of a code model, started `--by induction`.
- `programs`: task id → what its search for programs finds: `cost` and, unless it is to answer with the test inputs
  themselves, `cell`, which every cell of an answer then is; nothing where nothing is said.
- `written`: the same of the code model's programs.
- `search_pause`, `write_pause`: seconds such a task takes.
- `votes`: task id → the share of the views that agree, by which `need` is told; nine of ten where nothing is said.
- `start_pause`: seconds until it is ready.
- `pause`: seconds a batch takes for each of its tasks.
- `chatter`: noise for standard output, before and between the reports.

What it was started with and every order it got are appended to `SCRIPT.json.log`, a JSON line each. It answers every
test input with itself, under as many views as agree, and with its first cell changed under the others.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LONG = 600.0  # seconds a hanging worker sleeps, if it is not killed before


def command(folder: Path, **script: Any) -> tuple[str, ...]:
    """What to start such a worker with."""
    path = folder / "script.json"
    path.write_text(json.dumps(script))
    return sys.executable, "-S", str(Path(__file__).resolve()), str(path)


def heard(folder: Path, kind: str) -> list[Any]:
    """What the workers of `command(folder)` got: `order`: orders; `argv`, `gpus`; process ids of those that
    started (`start`), that hang (`stuck`) and, for each order, of who got it (`ordered`)."""
    log = folder / "script.json.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [entry[kind] for entry in map(json.loads, lines) if kind in entry]


INDUCTION, PROGRAMS, BASE = -1, 0, 1  # the stages of programs, written and searched for; the one that trains nothing
VIEWS = 10  # candidates for every test input


def candidate(grid: list[list[int]], view: int) -> dict[str, Any]:
    """A candidate as `solver.data.codec.candidate_to_json` writes it."""
    colours = list(range(10)) if view < 8 else list(range(9, -1, -1))
    return {"grid": grid, "dihedral": view % 8, "colours": colours, "order": [], "logprob": -1.0}


def result(task: dict[str, Any], number: int, share: float) -> dict[str, Any]:
    """An answer with all that `solver.data.codec.result_to_json` writes."""
    candidates = []
    for grid in task["tests"]:
        other = [list(row) for row in grid]
        other[0][0] = (other[0][0] + 1) % 10
        agree = max(1, round(share * VIEWS))
        candidates.append([candidate(grid if view < agree else other, view) for view in range(VIEWS)])
    return {
        "kind": "result",
        "task_id": task["id"],
        "stage": number,
        "rejected": 0,
        "steps": 2,
        "planned": 2,
        "losses": [1.0, 0.5],
        "seconds": {"train": 0.01, "sample": 0.01},
        "notes": [],
        "candidates": candidates,
    }


def searched(task: dict[str, Any], number: int, found: dict[str, Any] | None) -> dict[str, Any]:
    """The answer of programs in their stage, with all that `solver.data.codec.result_to_json` writes."""
    program = {"text": "a program", "cost": (found or {}).get("cost"), "generalises": 0.0, "support": 1}
    grids = [[[(found or {}).get("cell", cell) for cell in row] for row in grid] for grid in task["tests"]]
    return {
        "kind": "result",
        "task_id": task["id"],
        "stage": number,
        "rejected": 0,
        "steps": 0,
        "planned": 0,
        "losses": [],
        "seconds": {"programs" if number == PROGRAMS else "induction": 0.01},
        "notes": [],
        "candidates": [[{"grid": grid, "program": program}] if found else [] for grid in grids],
    }


def kind_of(argv: list[str]) -> str:
    """What the script's entries for a worker started with these flags begin with."""
    return {"programs": "search_", "induction": "write_"}.get(argv[argv.index("--by") + 1], "")


def stage_kind(number: int) -> str:
    """The same of the worker that serves a stage."""
    return {PROGRAMS: "search_", INDUCTION: "write_"}.get(number, "")


class Worker:
    def __init__(self, path: Path, argv: list[str]) -> None:
        self.script, self.log = json.loads(path.read_text()), path.with_name(path.name + ".log")
        self.reports = int(argv[argv.index("--reports") + 1])
        self.earlier = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        self.kind = kind_of(argv)
        threads = os.environ.get("OPENBLAS_NUM_THREADS")
        self.keep(start=os.getpid(), argv=argv, gpus=os.environ.get("CUDA_VISIBLE_DEVICES"), threads=threads)

    def keep(self, **entry: Any) -> None:
        self.earlier.append(entry)
        with self.log.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def report(self, **message: Any) -> None:
        print(self.script.get("chatter", ""), flush=True)
        os.write(self.reports, (json.dumps(message) + "\n").encode())

    def run(self) -> None:
        script = self.script.get(f"{self.kind}start") or [""]
        started = [entry for entry in map(json.loads, self.log.read_text().splitlines()) if "start" in entry]
        same = [entry["start"] for entry in started if kind_of(entry["argv"]) == self.kind]
        what = script[min(same.index(os.getpid()) + 1, len(script)) - 1]  # two may start at once: the file decides
        if what != "deaf":
            self.misbehave(what)
        time.sleep(self.script.get("start_pause", 0.0))
        self.report(kind="ready", seconds=0.1, notes=[] if self.kind else ["nobody is trained"])
        if what == "deaf":
            time.sleep(LONG)
        for line in sys.stdin:
            self.serve(json.loads(line))

    def shared(self, order: dict[str, Any]) -> None:
        """An adapter shared by the order's tasks: a folder with a file, as `shared_adapters.keep` leaves it."""
        name = "shared-" + "-".join(task["id"] for task in order["tasks"])
        path = Path(order["keep"]) / name
        path.mkdir(parents=True, exist_ok=True)
        (path / "adapter_model.safetensors").write_text(name)
        known = {"adapter": name, "path": str(path), "sha256": hashlib.sha256(name.encode()).hexdigest()}
        self.report(kind="shared", seconds=0.01, steps=2, planned=2, losses=[1.0, 0.5], **known)
        self.report(kind="done")

    def search(self, order: dict[str, Any]) -> None:
        """A batch of programs, whoever they are from."""
        for task in order["tasks"]:
            time.sleep(self.script.get(f"{self.kind}pause", 0.0))
            found = self.script.get("programs" if self.kind == "search_" else "written", {})
            self.report(**searched(task, order["stage"], found.get(task["id"])))
        self.report(kind="done")

    def serve(self, order: dict[str, Any]) -> None:
        self.keep(order=order, ordered=os.getpid())
        what = next(filter(None, (self.planned(task["id"]) for task in order["tasks"])), "")
        self.misbehave(what)
        if what in ("fail", "memory"):
            return self.report(kind="failed", why="RuntimeError: told to fail", memory=what == "memory")
        if order["stage"] == 2:
            return self.shared(order)
        if order["stage"] <= PROGRAMS:
            return self.search(order)
        for task in order["tasks"]:
            time.sleep(self.script.get("pause", 0.0))
            if order["stage"] != BASE:
                self.report(kind="trained", adapter=task["id"], steps=2, loss=0.5)
        for task in order["tasks"]:
            self.report(**result(task, order["stage"], self.script.get("votes", {}).get(task["id"], 0.9)))
            if what == "late":
                self.misbehave("kill")
        self.report(kind="done")

    def planned(self, task_id: str) -> str:
        batches = self.script.get(f"{self.kind}batches", {}).get(task_id, [])
        orders = [entry["order"] for entry in self.earlier if "order" in entry]
        orders = [order for order in orders if stage_kind(order["stage"]) == self.kind]
        batch = sum(any(task["id"] == task_id for task in order["tasks"]) for order in orders)
        return batches[batch - 1] if batch <= len(batches) else ""

    def misbehave(self, what: str) -> None:
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "exit":
            sys.exit(3)
        if what == "hang":
            self.keep(stuck=os.getpid())
            time.sleep(LONG)
        if what == "orphan":
            subprocess.Popen([sys.executable, "-S", "-c", f"import time; time.sleep({LONG})"], close_fds=False)
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Worker(Path(sys.argv[1]), sys.argv[2:]).run()
