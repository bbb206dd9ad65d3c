"""The process in which model-written programs run: started by `sandbox`, encloses itself, forks once a program.

Everything a program may import is loaded before the doors close, so that it needs no file at all. A forked child gets
the text and the input grids, never an output, or seeds to draw pairs with; what it says goes to the parent as it is,
unread here. Each child has memory of its own: what it does to numpy, json or the builtins ends with it.

Law: when a program's time is over, every process it started is dead before the next one begins.
"""

import contextlib
import gc
import importlib
import io
import json
import os
import random
import resource
import select
import signal
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from solver import clock
from solver.induction.sandbox import jail
from solver.types import COLOURS, MAX_SIDE

ENTRIES = ("transform", "main")  # the function a program must define: the first of these that is there
GENERATORS = ("generate",)  # and one that draws pairs
EASIEST, HARDEST = 0.02, 1.0  # what a generator is told of how large and full its grids may be: RE-ARC's range
CHANGED = 10  # places from the start, and from the end, at which a random number is exchanged, in turn
LOADING, CALLING, READING = "loading", "calling", "reading"  # where a generator failed; the last: what it returned
RESULT = 3  # the only file descriptor a program can write to
BROKEN = 70  # exit status where a program broke what would have told its outcome
RECURSION = 5000  # frames: a recursive flood fill of the largest grid needs 900
LONGEST_REASON = 300  # characters
LIBRARIES = tuple(f"solver.induction.{name}" for name in ("library", "symmetries"))  # `common`, for programs
MODULES = (  # importable by programs, where installed
    *("abc array bisect cmath collections collections.abc copy dataclasses datetime decimal enum fractions".split()),
    *("functools heapq inspect io itertools json math numbers operator queue random re statistics string".split()),
    *("struct sys textwrap time traceback types typing warnings __future__".split()),
    *("numpy numpy.core numpy.fft numpy.lib.stride_tricks numpy.linalg numpy.ma numpy.matlib".split()),
    *("numpy.polynomial numpy.random numpy.typing scipy scipy.ndimage scipy.signal scipy.spatial".split()),
)


class Nowhere(io.TextIOBase):
    """Where what a program prints goes."""

    def write(self, text: str) -> int:
        return len(text)


def plain(value: Any) -> list[list[int]]:
    """What a program returned as lists of integers. Raises `TypeError`, `ValueError`, or what the value raises."""
    array = np.asarray(value)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise TypeError(f"{type(value).__name__} of {array.ndim} dimensions of {array.dtype} came, a grid was expected")
    if not all(1 <= side <= MAX_SIDE for side in array.shape):
        raise ValueError(f"a grid of {array.shape[0]} × {array.shape[1]} came, 1 to {MAX_SIDE} each were expected")
    if not ((array >= 0) & (array < COLOURS) & (array == np.floor(array))).all():
        raise ValueError("a cell that is no colour came, integers 0 to 9 were expected")
    rows: list[list[int]] = array.astype(np.int64).tolist()
    return rows


def plain_pair(value: Any) -> list[list[list[int]]]:
    """What a generator returned as an input and an output grid: from {"input", "output"} or a sequence of the two."""
    shown, answer = (value["input"], value["output"]) if isinstance(value, dict) else value
    return [plain(shown), plain(answer)]


def _entry(source: str, entries: Sequence[str] = ENTRIES) -> Callable[..., Any]:
    module = types.ModuleType("program")
    sys.modules["program"] = module
    exec(compile(source, "program", "exec"), module.__dict__)
    for name in entries:
        if callable(function := module.__dict__.get(name)):
            return function  # type: ignore[no-any-return]
    raise NameError(f"the program defines no function {' or '.join(entries)}")


def _lines(source: str, grids: Sequence[list[list[int]]]) -> Iterator[dict[str, Any]]:
    """One answer a grid: the output, or why there is none."""
    try:
        function = _entry(source)
    except BaseException as error:
        yield from ({"reason": _said(error)} for _ in grids)
        return
    for grid in grids:
        try:
            yield {"grid": plain(function(np.array(grid)))}
        except BaseException as error:
            yield {"reason": _said(error)}


class CountedRandom(random.Random):
    """Python's random numbers, counted in `drawn`; that at `place`, from 0 on, is another than the seed's.

    Counted are fractions and whole numbers below others, by which Python chooses, samples and shuffles, too.
    """

    place, drawn = -1, 0

    def random(self) -> float:
        number = super().random()
        return (number + 0.5) % 1.0 if self._at_place() else number

    def _randbelow(self, n: int) -> int:
        number: int = super()._randbelow(n)  # type: ignore[misc]  # Python's own, made for being replaced
        return (number + 1) % n if self._at_place() else number

    def _at_place(self) -> bool:
        self.drawn += 1
        return self.drawn == self.place + 1


def _pair_lines(source: str, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Two answers a seed: the pair a generator draws with it, and its twin, or where it failed and why.

    The twin is drawn with the same random numbers but for one of the first or the last: where that leaves the input as
    it is and changes the output, the output depends on more than the input.
    """
    rng = CountedRandom()
    for name in set(random.__all__) - {"seed", "setstate"}:
        if callable(method := getattr(rng, name, None)):
            setattr(random, name, method)  # who draws from the module draws the same numbers
    try:
        generate = _entry(source, GENERATORS)
    except BaseException as error:
        yield from ({"failed": LOADING, "reason": _said(error)} for _ in (*seeds, *seeds))
        return
    for number, seed in enumerate(seeds):
        line, drawn = _pair_line(generate, rng, seed, -1)
        yield line
        place = number // 2 % CHANGED
        yield _pair_line(generate, rng, seed, drawn - 1 - place if number % 2 else place)[0]


def _pair_line(generate: Callable[..., Any], rng: CountedRandom, seed: int, place: int) -> tuple[dict[str, Any], int]:
    """What a generator draws, called as RE-ARC's are, with another number at `place`; how many it drew."""
    failed = CALLING
    try:
        rng.seed(seed)
        rng.place = -1
        hardest = rng.uniform(EASIEST, HARDEST)
        rng.place, rng.drawn = place, 0
        value = generate(rng, 0.0, hardest)
        failed = READING
        return {"pair": plain_pair(value)}, int(rng.drawn)
    except BaseException as error:
        return {"failed": failed, "reason": _said(error)}, 0


def _said(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException:
        text = "its message cannot be had"
    return f"{type(error).__name__}: {text}"[:LONGEST_REASON]


def _run_program(result: int, request: dict[str, Any], settings: dict[str, Any]) -> NoReturn:
    """Give up what the runner has, then run the program; what it makes of each grid or seed is a line to `result`."""
    leave, write, dumps = os._exit, os.write, json.dumps  # the modules are the program's then, to do with as it likes
    try:
        for stream in (0, 1, 2):
            os.dup2(settings["nowhere"], stream)
        os.dup2(result, RESULT)
        os.closerange(RESULT + 1, 1024)
        os.setsid()
        jail.tie_to_parent()
        jail.limit(settings["seconds"], settings["address_space"])
        sys.stderr = sys.stdout
        random.seed(0)  # which every fork seeds anew
        if settings["filtered"]:
            jail.install_filter(RESULT)
        lines = _pair_lines if "seeds" in request else _lines
        for line in lines(request["source"], request.get("seeds") or request["grids"]):
            write(RESULT, dumps(line).encode() + b"\n")
        leave(0)
    finally:
        leave(BROKEN)


def collect(source: int, seconds: float, most: int) -> tuple[bytes, str]:
    """What is said through a pipe until it is closed, and why it was cut off (empty: it was not)."""
    deadline, said = clock.Deadline.after(seconds), b""
    ready = select.poll()
    ready.register(source, select.POLLIN | select.POLLHUP)
    while deadline.remaining() > 0:
        if not ready.poll(1 + 1000 * deadline.remaining()):
            continue
        part = os.read(source, 1 << 16)
        if not part:
            return said, ""
        said += part
        if len(said) > most:
            return said[:most], f"said more than {most} bytes"
    return said, f"ran longer than {seconds:g} s"


def end(child: int) -> int:
    """Kill a program and everything it started; wait until all are gone. Its exit code, minus the signal if killed."""
    status = 0
    while True:
        # the first process of a namespace kills all others at once: nobody can slip away while forking
        processes = [-1 if os.getpid() == 1 else child]
        with contextlib.suppress(OSError), open(f"/proc/self/task/{os.getpid()}/children") as file:
            processes += map(int, file.read().split())  # adopted orphans among them, where the kernel says so
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        try:
            process, ended = os.waitpid(-1, 0)
        except ChildProcessError:
            return os.waitstatus_to_exitcode(status)
        status = ended if process == child else status


def describe(code: int) -> str:
    """Why a program that was not cut off said less than it should."""
    if code == -signal.SIGXCPU:
        return "used more processor time than allowed"
    if code < 0:
        return f"killed by signal {-code} ({signal.strsignal(-code) or 'unknown'})"
    return f"ended by itself with status {code}"


def run(request: dict[str, Any], settings: dict[str, Any]) -> tuple[str, bytes]:
    """Run one program in a child: why it said no more, and all it said."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        _run_program(write, request, settings)
    os.close(write)
    said, cut = collect(read, request["wall"], settings["output"])
    code = end(child)
    os.close(read)
    return cut or describe(code), said


def _load(modules: Sequence[str], folders: Sequence[str]) -> None:
    """Import what programs may import, also from `folders`, and what they call `common`."""
    sys.path.extend(folders)
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    common = types.ModuleType("common", "Colours, objects and symmetries, for programs.")
    vars(common).update({"np": np, "random": random} | {name: getattr(typing, name) for name in typing.__all__})
    for name in LIBRARIES:
        library = vars(importlib.import_module(name))
        own = (public for public, value in library.items() if getattr(value, "__module__", "") == name)
        vars(common).update({public: library[public] for public in own if not public.startswith("_")})
    sys.modules["common"] = common
    for name in [name for name in sys.modules if name.partition(".")[0] == "solver"]:
        del sys.modules[name]  # programs have no name for this program's own parts


def main() -> None:
    """Read the settings, load everything, close the doors, say which layers hold, serve until the input ends.

    Settings, layers, requests and answers are a line of JSON each; what a program said is a string, a character a byte.
    """
    requests, answers = sys.stdin, sys.stdout
    settings = json.loads(requests.readline())
    _load((*MODULES, *settings["modules"]), settings["folders"])
    settings["nowhere"] = os.open(os.devnull, os.O_RDWR)
    with open("/proc/self/statm") as file:
        settings["address_space"] = int(file.read().split()[0]) * resource.getpagesize() + settings["memory"]
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where memory runs out on the machine, this process and its children go first
    refusals = jail.enclose(tuple(settings["layers"]))
    jail.tie_to_parent()
    settings["filtered"] = not refusals[jail.SECCOMP]
    sys.stdin = sys.stdout = Nowhere()  # from here to `freeze`: what programs are to find, as they inherit it
    sys.path.clear()
    sys.path_importer_cache.clear()
    sys.setrecursionlimit(RECURSION)
    os.environ.clear()
    np.random.seed(0)
    gc.collect()
    gc.freeze()
    print(json.dumps(refusals), file=answers, flush=True)
    for request in requests:
        reason, said = run(json.loads(request), settings)
        print(json.dumps((reason, said.decode("latin-1"))), file=answers, flush=True)
