"""A real Ray cluster of several nodes on this machine, and this program's code with a worker without models in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import fake_worker, runs

STORE = 100 << 20  # bytes of a node's object store; the least that Ray takes is 75 MiB
ROOM = 32 << 30  # bytes of memory a node says that it has


@contextmanager
def nodes(count: int, cores: int = 1) -> Iterator[tuple[Any, list[Any]]]:
    """A head without cores and so many nodes with some; all processes end with the block.

    Workers are as nice as this process: Ray's own, 15 more, would have them wait for whatever else the machine does.
    """
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False, "include_log_monitor": False}
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  its name
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster, [add(cluster, cores) for _ in range(count)]
    finally:
        cluster.shutdown()


def add(cluster: Any, cores: int = 1) -> Any:
    """One more node."""
    given = {"object_store_memory": STORE, "memory": ROOM, "include_log_monitor": False}
    return cluster.add_node(num_cpus=cores, **given)


def code(folder: Path, **script: Any) -> Path:
    """A folder with the program, whose workers do as the script says (`fake_worker`)."""
    tree = folder / "code"
    runs.copy_program(tree, fake_worker.command(folder, **script))
    return tree
