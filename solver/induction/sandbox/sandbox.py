"""Runs model-written programs where they can do no harm: a process of their own, enclosed in layers.

A program turns grids into grids (`run`) or, as a generator, draws pairs of an input and an output grid (`draw`).

A small runner is started once; it forks for every program, which costs about 6 ms of processor time (measured on a busy
2-core machine: 120 small programs a second). What comes back is of limited length, read here as JSON and checked cell
by cell: nothing a program says is believed, evaluated or unpickled.

What holds on every Linux machine: limits of processor time, wall time, memory, output and files. What the layers of
`jail` add, each probed at the start (`Sandbox.layers` says which hold, and why not): no file can be opened, no socket
made, no process started, signalled or looked into. Without namespaces and filter both, programs are refused unless the
caller says `unsafe`: they may then do what the user may, and outlive their time where /proc does not name children.

What it does not protect against: faults of the kernel, of which namespaces without the filter leave far more in reach;
what can be learnt from timing; programs that lie about their outputs, which are compared with the demonstrations.

Law: whatever a program does, the next one meets the same world, and the caller gets one outcome a grid or a seed.
"""

import contextlib
import json
import math
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from solver.data.json_files import describe, parse_json
from solver.data.tasks import Fault, parse_grid
from solver.induction.sandbox import runner
from solver.induction.sandbox.jail import LAYERS, NAMESPACES, SECCOMP
from solver.induction.sandbox.runner import LONGEST_REASON
from solver.interfaces import Stop
from solver.types import BadInput, Grid, Pair

ROOT = Path(__file__).resolve().parents[3]
START = "import sys; sys.path.insert(0, sys.argv[1]); from solver.induction.sandbox.runner import main; main()"
ENVIRONMENT = {  # all a runner sees of the environment; programs see nothing
    "PYTHONHASHSEED": "0",  # sets of strings have one order on every run
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "LC_ALL": "C.UTF-8",
}
NEEDED = ("LD_LIBRARY_PATH",)  # without it some interpreters do not start
LOADING, CALLING, READING = runner.LOADING, runner.CALLING, runner.READING  # where a generator failed
START_SECONDS = 60.0  # for imports on a busy machine
GRACE = 5.0  # seconds beyond a program's own after which its runner counts as hung
LONGEST_SOURCE = 100_000  # characters


@dataclass(frozen=True)
class Limits:
    """What one program may use for all its grids together.

    `wall`: seconds. `seconds`: whole seconds of processor time. `memory`: bytes of address space beyond what Python and
    numpy take. `output`: bytes said.
    """

    wall: float = 5.0
    seconds: int = 4
    memory: int = 512 << 20
    output: int = 1 << 18

    def __post_init__(self) -> None:
        if min(asdict(self).values()) <= 0:
            raise BadInput(f"limits of programs {self} came; expected numbers above 0; raise what is not")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a program made of one grid: the output grid, or None and the reason in a line of printable text."""

    grid: Grid | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class DrawnPair:
    """What a generator drew with one seed: a pair, or None, where it failed and the reason, a line of printable text.

    `failed`: `LOADING`, `CALLING` or `READING`, what it returned; "" with a pair.
    """

    pair: Pair | None
    failed: str = ""
    reason: str = ""


class Sandbox(contextlib.AbstractContextManager["Sandbox"]):
    """One runner, for one core and one thread at a time; a context manager.

    `layers`: layer → why it does not hold, empty: it does. `starts`: how often a runner was started.
    `wanted`: layers to enter where possible. `modules`: what programs may import beside `runner.MODULES`; `folders`:
    where these lie, if not where Python looks. Raises `BadInput` where neither namespaces nor a system-call filter can
    be had and `unsafe` was not said.
    """

    def __init__(
        self,
        limits: Limits = Limits(),
        unsafe: bool = False,
        wanted: Sequence[str] = LAYERS,
        modules: Sequence[str] = (),
        folders: Sequence[str] = (),
    ) -> None:
        self.limits, self.unsafe, self.starts = limits, unsafe, 0
        self._settings = asdict(limits) | {"layers": list(wanted), "modules": list(modules), "folders": list(folders)}
        self._start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the runner and everything in it."""
        with contextlib.suppress(BrokenPipeError), self._runner:
            self._runner.kill()

    def line(self) -> str:
        """By what programs are contained, in words."""
        holding = ", ".join(name for name in (NAMESPACES, SECCOMP) if not self.layers[name])
        return f"programs are contained by {holding}" if holding else "nothing but limits contains the programs"

    def run(self, source: str, grids: Sequence[Grid], stop: Stop | None = None) -> tuple[Outcome, ...]:
        """What the program `source` makes of each grid, in order; state it keeps between grids is its own affair.

        It has `limits.wall` seconds, or what is left before `stop`.
        """
        lines, reason = self._lines({"source": source, "grids": [grid.tolist() for grid in grids]}, stop)
        return tuple(_outcome(lines[i]) if i < len(lines) else Outcome(None, reason) for i in range(len(grids)))

    def draw(
        self, source: str, seeds: Sequence[int], stop: Stop | None = None
    ) -> tuple[tuple[DrawnPair, ...], tuple[DrawnPair, ...]]:
        """What the generator `source` draws with each seed, in order, and the twin of each.

        A twin is drawn with the same random numbers but for one, so that inputs come twice. The program defines
        `generate(rng, easiest, hardest)`, as RE-ARC's generators are called (arXiv 2404.07353): `rng` is a
        `random.Random`, and its grids are as large and full as a number between the other two says. All calls together
        have as many seconds as a program of `run`.
        """
        lines, reason = self._lines({"source": source, "seeds": list(seeds)}, stop)
        missing = DrawnPair(None, CALLING, reason)
        draws = tuple(_drawn_pair(lines[i]) if i < len(lines) else missing for i in range(2 * len(seeds)))
        return draws[::2], draws[1::2]

    def _lines(self, request: dict[str, Any], stop: Stop | None) -> tuple[list[bytes], str]:
        """The lines that the program of a request says, whole ones alone, and why it says no more."""
        if (length := len(request["source"])) > LONGEST_SOURCE:
            return [], f"the program has {length} characters, at most {LONGEST_SOURCE} are run"
        if self._runner.poll() is not None:
            self.close()
            self._start()
        wall = min(self.limits.wall, stop.remaining() if stop else math.inf)
        try:
            reason, said = self._exchange(request | {"wall": wall}, self.limits.wall + GRACE)
        except ConnectionError as error:
            self.close()
            reason, said = str(error), ""
        return said.encode("latin-1").split(b"\n")[:-1], reason  # what was cut off in mid-line is no line

    def _start(self) -> None:
        self._runner = subprocess.Popen(
            [sys.executable, "-P", "-s", "-B", "-c", START, str(ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=ENVIRONMENT | {name: os.environ[name] for name in NEEDED if name in os.environ},
            cwd="/",
            start_new_session=True,  # the terminal's signals are not for it
        )
        self.starts += 1
        try:
            self.layers: dict[str, str] = self._exchange(self._settings, START_SECONDS)
        except ConnectionError as error:
            self._runner.kill()
            trouble = self._runner.stderr.read()[-500:] if self._runner.stderr else ""
            self.close()
            raise RuntimeError(f"the runner of programs did not start ({error}): {trouble}") from None
        if self.layers[NAMESPACES] and self.layers[SECCOMP] and not self.unsafe:
            self.close()
            raise BadInput(refused(self.layers))

    def _exchange(self, message: object, seconds: float) -> Any:
        """The runner's answer to a message, each a line of JSON. Raises `ConnectionError`: none in so many seconds."""
        try:
            print(json.dumps(message), file=self._runner.stdin, flush=True)
        except OSError:
            raise ConnectionError("the runner ended before it was asked") from None
        assert self._runner.stdout is not None
        ready = select.poll()
        ready.register(self._runner.stdout, select.POLLIN | select.POLLHUP)
        if not ready.poll(1 + 1000 * seconds):
            raise ConnectionError("the runner hung while the program ran")
        line = self._runner.stdout.readline()
        if not line.endswith("\n"):
            raise ConnectionError("the runner ended while the program ran")
        return json.loads(line)


def refused(layers: dict[str, str]) -> str:
    """The line that says why programs are not run on this machine."""
    reasons = ", ".join(f"no {name} ({layers[name]})" for name in (NAMESPACES, SECCOMP))
    advice = "run on a machine that allows one, or accept the risk with --unsafe-programs"
    return f"model-written programs cannot be contained here: {reasons}; expected one of the two layers; {advice}"


def _outcome(line: bytes) -> Outcome:
    """A line of JSON from a program's process, checked: it may hold anything."""
    try:
        said = parse_json(line, "the program's answer")
        if isinstance(said, dict) and isinstance(said.get("reason"), str):
            return Outcome(None, readable(said["reason"]) or "no reason given")
        if not isinstance(said, dict) or "grid" not in said:
            raise Fault("", f"{describe(said)} came, a grid was expected")
        return Outcome(parse_grid(said["grid"], "output"))
    except (BadInput, Fault) as error:
        return Outcome(None, readable(str(error)))


def _drawn_pair(line: bytes) -> DrawnPair:
    """A line of JSON from a generator's process, checked: it may hold anything."""
    try:
        said = parse_json(line, "the generator's answer")
        if isinstance(said, dict) and isinstance(said.get("reason"), str):
            failed = said.get("failed")
            where = failed if failed in (LOADING, CALLING) else READING
            return DrawnPair(None, str(where), readable(said["reason"]) or "no reason given")
        grids = said.get("pair") if isinstance(said, dict) else None
        if not isinstance(grids, list) or len(grids) != 2:
            raise Fault("", f"{describe(said)} came, a pair of grids was expected")
        return DrawnPair(Pair(parse_grid(grids[0], "input"), parse_grid(grids[1], "output")))
    except (BadInput, Fault) as error:
        return DrawnPair(None, READING, readable(str(error)))


def readable(text: str) -> str:
    """Text a program had a hand in, as one printable line of limited length."""
    return "".join(c if c.isprintable() else " " for c in text[:LONGEST_REASON]).strip()
