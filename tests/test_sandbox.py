"""Hostile programs are contained, one by one, and the host keeps its answers and its speed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from solver import clock
from solver.programs.sandbox import LAYERS, ROOT, Limits, Sandbox, refused
from solver.tasks import BadInput
from tests.hostile import PROGRAMS, SLOW

LIMITS = Limits(wall=0.5, seconds=1, memory=256 << 20, output=1 << 16)
WEAPONS = (  # what hostile programs may import beside what honest ones may
    *("socket", "subprocess", "ctypes", "threading", "multiprocessing", "multiprocessing.pool", "resource", "mmap"),
    *("multiprocessing.shared_memory", "multiprocessing.popen_fork", "pickle", "tempfile", "shutil", "importlib"),
)
HONEST = "import numpy as np\nfrom collections import Counter\ndef transform(grid):\n    return np.rot90(grid)\n"
GRIDS = (np.array([[1, 2], [3, 4]], dtype=np.uint8), np.array([[5, 6, 7]], dtype=np.uint8))
SOON = 5.0  # seconds for an honest program on a busy machine; undisturbed it takes about 0.01


class Host:
    """What the programs are kept from, and where the caller would notice that they were not."""

    def __init__(self, folder: Path):
        self.secret = folder / "solutions.json"
        self.secret.write_text('{"00000000": [[[7]]]}')
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.name = f"arc-{os.getpid()}"
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(f"\0{self.name}")
        self.unix.listen()
        for listener in (self.tcp, self.unix):
            listener.setblocking(False)

    def fill(self, text: str) -> str:
        names = {"secret": str(self.secret), "folder": str(self.secret.parent), "host": os.getpid()}
        return text.format(**names, port=self.tcp.getsockname()[1], name=self.name)

    def unharmed(self) -> bool:
        for listener in (self.tcp, self.unix):
            with pytest.raises(BlockingIOError):
                listener.accept()
        left = [Path(folder, "arc-escape") for folder in ("/dev/shm", "/tmp", "/", ROOT, self.secret.parent)]
        kept = self.secret.read_text() == '{"00000000": [[[7]]]}' and self.secret.stat().st_mode & 0o777 != 0o777
        return kept and not any(path.exists() for path in left)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    os.environ["ARC_SECRET"] = "1"
    host = Host(tmp_path_factory.mktemp("secret"))
    yield host
    del os.environ["ARC_SECRET"]
    host.tcp.close()
    host.unix.close()


@pytest.fixture(scope="module")
def sandboxes():
    """The sandbox with these layers, started once; a layer this machine does not have is named in the skip."""
    made: dict[tuple[str, ...], Sandbox] = {}

    def sandbox(*wanted: str) -> Sandbox:
        if wanted not in made:
            try:
                made[wanted] = Sandbox(LIMITS, wanted=wanted, modules=WEAPONS)
            except BadInput as error:
                pytest.skip(f"NOT TESTED: {error}")
        return made[wanted]

    yield sandbox
    for one in made.values():
        one.close()


def children(process: int) -> list[int]:
    """The processes a process has started and that have not ended, and theirs."""
    direct = [int(n) for n in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return [*direct, *(n for child in direct for n in children(child))]


def rotated(sandbox: Sandbox) -> bool:
    """Whether an honest program is served with the right output."""
    outcomes = sandbox.run(HONEST, GRIDS)
    return [o.grid.tolist() for o in outcomes if o.grid is not None] == [np.rot90(g).tolist() for g in GRIDS]


def contained(sandbox: Sandbox, host: Host, name: str) -> None:
    processes = children(sandbox._runner.pid)
    started = clock.now()
    outcomes = sandbox.run(host.fill(PROGRAMS[name]), GRIDS)
    assert clock.now() - started < LIMITS.wall + SOON
    assert len(outcomes) == len(GRIDS)
    for outcome in outcomes:
        assert outcome.grid is None or outcome.grid.tolist() != [[7]], "it did what it tried"
        assert (outcome.grid is None) == bool(outcome.reason)
        assert outcome.reason.isprintable()
        assert "\n" not in outcome.reason
    assert host.unharmed()
    assert children(sandbox._runner.pid) == processes, "it left processes behind"
    started = clock.now()
    assert rotated(sandbox)
    assert clock.now() - started < SOON
    assert sandbox.starts == 1, "it ended the runner"


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_hostile_program_is_contained_and_the_next_honest_one_served(sandboxes, host, name):
    contained(sandboxes(*LAYERS), host, name)
