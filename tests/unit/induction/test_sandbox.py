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
from solver.induction.sandbox.sandbox import LAYERS, ROOT, Limits, Sandbox, refused
from solver.types import BadInput
from tests.support.hostile import FILTERED, PROGRAMS

LIMITS = Limits(wall=0.6, seconds=1, memory=128 << 20, output=1 << 16)
WEAPONS = (  # what hostile programs may import beside what honest ones may
    *("socket", "subprocess", "ctypes", "threading", "multiprocessing", "multiprocessing.pool", "resource", "mmap"),
    *("multiprocessing.shared_memory", "multiprocessing.popen_fork", "multiprocessing.queues", "encodings.idna"),
    *("multiprocessing.synchronize", "pickle", "tempfile", "shutil", "importlib"),
)
HONEST = "import numpy as np\nfrom collections import Counter\ndef transform(grid):\n    return np.rot90(grid)\n"
GRIDS = (np.array([[1, 2], [3, 4]], dtype=np.uint8), np.array([[5, 6, 7]], dtype=np.uint8))
SOON = 15.0  # seconds for an honest program on a busy machine; undisturbed it takes about 0.01


class Host:
    """What the programs are kept from, and where the caller would notice that they were not."""

    def __init__(self, folder: Path):
        self.secret = folder / "solutions.json"
        self.secret.write_text('{"00000000": [[[7]]]}')
        (folder / "escape.py").touch()
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


def runs(process: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


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


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_hostile_program_is_contained_and_the_next_honest_one_served(sandboxes, host, name):
    contained(sandboxes(*LAYERS), host, name)


@pytest.mark.parametrize("layer", ["namespaces", "seccomp"])
def test_each_layer_by_itself_keeps_processes_files_network_and_rights_from_programs(sandboxes, host, layer):
    names = list(PROGRAMS)
    for name in names[names.index("fork bomb") : names.index("prctl") + 1]:
        if layer == "seccomp" or name not in FILTERED:
            contained(sandboxes("identity", layer), host, name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("endless loop", "ran longer than 0.6 s"),
        ("memory bomb, text", "MemoryError: "),
        ("giant answer", "MemoryError: Unable to allocate"),
        ("flood of the answer", "said more than 65536 bytes"),
        ("os._exit", "ended by itself with status 0"),
        ("segmentation fault", "killed by signal 11 (Segmentation fault)"),
        ("deep recursion", "RecursionError: maximum recursion depth exceeded"),
        ("reading the solutions", "Error: "),
        ("ragged rows", "ValueError: setting an array element with a sequence"),
    ],
)
def test_what_ended_a_program_is_named(sandboxes, host, name, reason):
    outcome = sandboxes(*LAYERS).run(host.fill(PROGRAMS[name]), GRIDS)[0]
    assert reason.strip() in outcome.reason


def test_memory_is_limited_beyond_what_the_interpreter_takes(sandboxes):
    source = "def transform(grid):\n    return [[len(bytearray(int(grid[0, 0]) << 20)) >> 20]]\n"
    few, many = (np.array([[mib]]) for mib in (9, 200))  # the limit is 128 MiB
    served, refused = sandboxes(*LAYERS).run(source, (few, many))
    assert served.grid.tolist() == [[9]]
    assert refused.reason == "MemoryError:"


def test_processor_time_is_limited_beside_wall_time():
    with Sandbox(Limits(wall=60.0, seconds=1), unsafe=True) as sandbox:
        [outcome] = sandbox.run("while True: pass", GRIDS[:1])
    assert outcome.reason == "used more processor time than allowed"


def test_a_stop_ends_a_program_before_its_own_time_is_over(sandboxes):
    [outcome] = sandboxes(*LAYERS).run("while True: pass", GRIDS[:1], clock.Deadline.after(0.05))
    assert outcome.reason.startswith("ran longer than 0.0")


def test_there_are_at_least_forty_hostile_programs():
    assert len(PROGRAMS) >= 40


def test_without_a_layer_a_hostile_program_succeeds_so_that_programs_are_refused_there(host):
    """Shows that the programs' failures above are the layers' work, and what `unsafe` means."""
    with pytest.raises(BadInput, match=r"cannot be contained here.*no namespaces.*no seccomp.*--unsafe-programs"):
        Sandbox(LIMITS, wanted=())
    with Sandbox(LIMITS, unsafe=True, wanted=()) as sandbox:
        assert rotated(sandbox)
        [outcome] = sandbox.run(host.fill(PROGRAMS["chmod"]), GRIDS[:1])
    assert outcome.grid is not None
    assert host.secret.stat().st_mode & 0o777 == 0o777
    host.secret.chmod(0o600)


def test_even_without_a_layer_what_a_program_started_ends_with_it():
    source = "import subprocess, time\ntime.sleep(0.1)\ndef transform(grid):\n    while True: pass\n"
    fork = "import os\nfor _ in range(3): os.fork()\n" + source
    with Sandbox(LIMITS, unsafe=True, wanted=()) as sandbox:
        assert [o.grid for o in sandbox.run(fork, GRIDS)] == [None, None]
        assert children(sandbox._runner.pid) == []
        assert rotated(sandbox)


def test_which_layers_hold_is_said_with_the_reasons_of_those_that_do_not(sandboxes):
    assert set(sandboxes(*LAYERS).layers) == set(LAYERS)
    line = refused({"identity": "", "namespaces": "unshare: Operation not permitted", "seccomp": "this is aarch64"})
    assert "no namespaces (unshare: Operation not permitted), no seccomp (this is aarch64)" in line
    assert "\n" not in line


def test_what_contains_the_programs_is_said():
    with Sandbox(unsafe=True, wanted=()) as bare:
        assert bare.line() == "nothing but limits contains the programs"
        bare.layers = {"identity": "", "namespaces": "no", "seccomp": ""}
        assert bare.line() == "programs are contained by seccomp"


def test_a_normal_user_gets_the_same_layers(tmp_path):
    """Run by a user who is not root, where this machine lets us become one without leaving the interpreter's files."""
    listing = "import os\ndef transform(grid):\n    os.listdir('/')\n    return [[7]]\n"
    program = f"""
import numpy as np, os
from solver.induction.sandbox.sandbox import Limits, Sandbox
assert os.geteuid() != 0
with Sandbox(Limits(wall=5.0)) as sandbox:
    print(sorted(name for name, reason in sandbox.layers.items() if not reason))
    for source in ({HONEST!r}, {listing!r}):
        print([o.grid is not None for o in sandbox.run(source, [np.ones((2, 2), dtype=np.uint8)])])
"""
    become = [] if os.geteuid() else ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if become and (not shutil.which("unshare") or subprocess.run([*become, "true"], capture_output=True).returncode):
        pytest.skip("NOT TESTED as a normal user: this is root, and user namespaces cannot be made")
    command = [*become, sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    layers, honest, hostile = done.stdout.splitlines()
    assert "seccomp" in layers or "namespaces" in layers
    assert (honest, hostile) == ("[True]", "[False]")


def test_the_host_is_as_fast_after_hostile_programs_as_before(sandboxes, host):
    sandbox = sandboxes(*LAYERS)

    def seconds() -> float:
        started = clock.now()
        assert all(rotated(sandbox) for _ in range(20))
        return clock.now() - started

    before = min(seconds() for _ in range(2))
    for name in ("fork bomb", "memory bomb, list", "flood of the answer", "daemon", "closing every file descriptor"):
        sandbox.run(host.fill(PROGRAMS[name]), GRIDS)
    assert min(seconds() for _ in range(2)) < 3 * before + 1


def test_a_runner_that_is_killed_is_replaced():
    with Sandbox(LIMITS, unsafe=True) as sandbox:
        sandbox._runner.kill()
        sandbox._runner.wait()
        assert rotated(sandbox)
        assert sandbox.starts == 2


def test_a_runner_that_hangs_is_replaced_and_its_program_has_no_outcome(monkeypatch):
    monkeypatch.setattr(
        "solver.induction.sandbox.sandbox.GRACE", -0.2
    )  # as if the runner had not ended the program in time
    with Sandbox(LIMITS, unsafe=True) as sandbox:
        outcomes = sandbox.run("while True: pass", GRIDS)
        assert [o.reason for o in outcomes] == ["the runner hung while the program ran"] * 2
        assert rotated(sandbox)
        assert sandbox.starts == 2


def test_the_runner_ends_with_its_host_however_that_ends():
    program = """
import os
from solver.induction.sandbox.sandbox import Sandbox
sandbox = Sandbox(unsafe=True)
print(sandbox._runner.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    deadline = clock.Deadline.after(SOON)
    while runs(int(done.stdout)):
        assert deadline.remaining() > 0


def test_outputs_are_grids_of_lists_arrays_booleans_and_whole_floats(sandboxes):
    for value in ("grid.tolist()", "grid.astype(float)", "np.array(grid, dtype=object).astype(np.int8)", "grid > 0"):
        [outcome] = sandboxes(*LAYERS).run(f"import numpy as np\ndef transform(grid):\n    return {value}\n", GRIDS[:1])
        assert outcome.grid is not None
        assert outcome.grid.dtype == np.uint8
        assert outcome.grid.tolist() == ([[1, 1], [1, 1]] if ">" in value else [[1, 2], [3, 4]])


def test_a_program_that_fails_on_one_grid_is_heard_on_the_others(sandboxes):
    source = "def main(grid):\n    if grid[0, 0] == 5:\n        raise ValueError('five')\n    return grid\n"
    first, second, third = sandboxes(*LAYERS).run(source, (*GRIDS, GRIDS[0]))
    assert first.grid is not None
    assert third.grid is not None
    assert (second.grid, second.reason) == (None, "ValueError: five")


def test_a_program_that_changes_its_input_does_not_change_the_caller_s(sandboxes):
    sandboxes(*LAYERS).run("def transform(grid):\n    grid[:] = 0\n    return grid\n", GRIDS)
    assert GRIDS[0].tolist() == [[1, 2], [3, 4]]


def test_programs_find_what_puzzles_need_although_no_file_can_be_opened(sandboxes):
    source = """
import bisect, collections, copy, dataclasses, enum, fractions, functools, heapq, itertools, json, math, operator, re
import numpy as np
from collections import Counter, defaultdict, deque
from numpy.lib.stride_tricks import sliding_window_view
from typing import Dict, List, Optional, Tuple

@dataclasses.dataclass
class Thing:
    cells: List[Tuple[int, int]]

def transform(grid):
    things = copy.deepcopy([Thing([(0, 0)])])
    windows = np.median(sliding_window_view(np.pad(grid, 1, mode="reflect"), (1, 1)))
    common = Counter(grid.ravel().tolist()).most_common(1), heapq.nsmallest(1, grid.ravel()), re.sub("a", "b", "a")
    print(things, windows, common, json.dumps([1]), "x".encode("ascii"), np.unique(grid, return_counts=True))
    return np.einsum("ij->ji", grid)
"""
    [outcome] = sandboxes(*LAYERS).run(source, GRIDS[:1])
    assert outcome.reason == ""
    assert outcome.grid.tolist() == [[1, 3], [2, 4]]


def test_random_programs_draw_the_same_numbers_every_time(sandboxes):
    source = """
import random, numpy as np
def transform(grid):
    return [[random.randrange(10), np.random.randint(10), int(np.random.default_rng(0).integers(10))]]
"""
    sandbox = sandboxes(*LAYERS)
    first, again = (sandbox.run(source, GRIDS[:1])[0].grid for _ in range(2))
    assert first.tolist() == again.tolist()


def test_a_program_longer_than_any_model_writes_is_not_run(sandboxes):
    [outcome] = sandboxes(*LAYERS).run("#" * 200_000, GRIDS[:1])
    assert outcome.reason == "the program has 200000 characters, at most 100000 are run"


def test_limits_that_make_no_sense_are_refused():
    with pytest.raises(BadInput, match="expected numbers above 0"):
        Limits(memory=0)
