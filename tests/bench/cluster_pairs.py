"""`python -m tests.bench.cluster_pairs`: one fixed piece of work on this machine's own workers, and on a Ray cluster's.

    python -m tests.bench.cluster_pairs --limit 12 --nodes 3 --share-cores        # are the files equal?
    python -m tests.bench.cluster_pairs --limit 60 --steps 32 --pairs 3           # what does the cluster cost?
    python -m tests.bench.cluster_pairs --limit 12 --nodes 2 --kill-after 60      # and when a node is lost?

The work: real weights and engine, programs limited by nodes, so many steps and views for each task, no refinement, and
no time limit that presses. The cluster's nodes have one core each and are started before; joining it, sending it code
and leaving it are part of the run; weights that a node has kept from an earlier one are not sent again. As many
workers of one thread are started here, on as many cores; with `--share-cores` there may be fewer, where files are to be
compared and seconds say nothing. Files must be equal, byte for byte. Prints each pair's wall seconds.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from solver.analysis.scoring import scored
from solver.analysis.solutions import read_solutions
from solver.hardware.devices import Device
from solver.runtime.record import directory_of
from tests.support import ray_cluster, runs

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 12 * 3600.0  # seconds: no run is ever in a hurry
HERE, THERE = "here", "on the cluster"


def answer(options: argparse.Namespace, output: Path, where: Sequence[str]) -> int:
    """One run of the work, in this process; its exit status."""
    from solver.cli import parse
    from solver.clock import Deadline
    from solver.runtime.cluster import CPU_WORKER
    from solver.runtime.prepare import prepare
    from solver.runtime.run import Run

    cores = sorted(os.sched_getaffinity(0))[: options.nodes]
    if (here := "--devices" in where) and not options.share_cores:  # a process has as many threads as a node's
        os.sched_setaffinity(0, set(cores))
    flags = ["--split", "held-out", "--limit", str(options.limit), "--steps", str(options.steps), "--no-report"]
    flags += ["--programs", "10m", "--refinement-stages", "0", "--time-limit", f"{LIMIT:.0f}s", "--output", str(output)]
    plan = prepare(parse([*flags, *where]), read_solutions)
    if here and options.share_cores:
        plan = replace(plan, devices=tuple(Device(f"cpu {n}", CPU_WORKER) for n in range(options.nodes)))
    programs = replace(plan.config.programs, nodes=options.program_nodes)
    return Run(replace(plan, config=replace(plan.config, programs=programs)), Deadline.after(LIMIT), scored).execute()


def begun(argv: Sequence[str], output: Path, where: Sequence[str]) -> subprocess.Popen[bytes]:
    """A run in a process of its own."""
    own = ["--output", str(output), "--where", " ".join(where)]
    command = [sys.executable, "-m", "tests.bench.cluster_pairs", *argv, *own]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def timed(argv: Sequence[str], output: Path, where: Sequence[str]) -> float:
    """Seconds of a run in a process of its own, which must end well."""
    before = time.perf_counter()
    status = begun(argv, output, where).wait()
    assert status == 0, f"the run {' '.join(where)} ended with status {status}"
    return time.perf_counter() - before


def lose_a_node(options: argparse.Namespace, argv: Sequence[str], workers_here: Sequence[str]) -> int:
    """A run that loses a node, and what its record says of it; 0 where its file is that of an undisturbed run here."""
    with tempfile.TemporaryDirectory() as folder, ray_cluster.nodes(options.nodes) as (cluster, known):
        output, undisturbed = Path(folder) / "s.json", Path(folder) / "undisturbed.json"
        running = begun(argv, output, ("--cluster", cluster.address))
        time.sleep(options.kill_after)
        assert running.poll() is None, "the run was over before: expected a smaller --kill-after"
        cluster.remove_node(known[0], allow_graceful=False)
        status = running.wait()
        failures = runs.lines_of(directory_of(output)).of_kind("failure")
        timed(argv, undisturbed, workers_here)
        equal = filecmp.cmp(output, undisturbed, shallow=False)
    for failure in failures:
        print(f"{len(failure['task_ids'])} tasks of stage {failure['stage']}: {failure['why']}")
    print(f"status {status}; the file {'equals' if equal else 'DIFFERS from'} that of an undisturbed run here")
    return status or int(not equal or not failures)


def main(argv: list[str]) -> int:
    """Time both in turn, `--pairs` times; with `--where`, be one of the two."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cluster_pairs", description=__doc__)
    parser.add_argument("--limit", type=int, default=12, help="held-out tasks")
    parser.add_argument("--steps", type=int, default=16, help="training steps a task")
    parser.add_argument("--program-nodes", type=int, default=2000, help="nodes of each search for programs")
    parser.add_argument("--nodes", type=int, default=2, help="of the cluster, and workers here")
    parser.add_argument("--share-cores", action="store_true", help="take more nodes than there are cores")
    parser.add_argument("--pairs", type=int, default=1, help="times each is run")
    parser.add_argument("--kill-after", type=float, metavar="S", help="kill one node after so long, once")
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--where", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.where:
        return answer(options, options.output, options.where.split())
    if options.nodes > (cores := len(os.sched_getaffinity(0))) and not options.share_cores:
        parser.error(f"--nodes {options.nodes}: expected at most the {cores} cores of this machine, or --share-cores")
    workers_here = ("--devices", "cpu" if options.share_cores else f"cpu:{options.nodes}")
    if options.kill_after:
        return lose_a_node(options, argv, workers_here)
    overheads, unequal = list[float](), 0
    with tempfile.TemporaryDirectory() as folder, ray_cluster.nodes(options.nodes) as (cluster, _):
        places = {HERE: workers_here, THERE: ("--cluster", cluster.address)}
        for pair in range(options.pairs):
            files = {name: Path(folder) / f"{at}-{pair}.json" for at, name in enumerate(places)}
            turns = (HERE, THERE) if pair % 2 == 0 else (THERE, HERE)
            spent = {name: timed(argv, files[name], places[name]) for name in turns}
            equal = filecmp.cmp(*files.values(), shallow=False)
            unequal += not equal
            overheads.append(spent[THERE] / spent[HERE] - 1)
            results = runs.lines_of(directory_of(files[THERE])).of_kind("result")
            by = Counter(result["device"] for result in results)
            told = ", ".join(f"{name} {spent[name]:.1f} s" for name in places)
            print(f"{told}, overhead {overheads[-1]:.1%}, files {'equal' if equal else 'DIFFER'}", flush=True)
            print(f"results there: {', '.join(f'{by[name]} from {name}' for name in sorted(by))}", flush=True)
    print(f"median overhead {median(overheads):.1%}")
    return 1 if unequal else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
