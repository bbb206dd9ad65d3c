"""The shape of the program: what may import what, what loads without torch, and what is never used at all."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LEVELS = (  # from the bottom up; a module imports from its own level and those before it
    {"core", "clock", "counters", "sets", "colours", "jail", "library", "symmetries"},
    {
        "tasks",
        "augment",
        "formats",
        "lines",
        "tokenizer",
        "families",
        "transformations",
        "vote",
        "scheduler",
        "live",
        "tables",
        "barc",
        "runner",
    },
    {"screen"},
    {"progress"},
    {
        "answers",
        "architecture",
        "cards",
        "checkpoint",
        "code_model",
        "devices",
        "footprint",
        "heap",
        "ledger",
        "minds",
        "programs",
        "record",
        "rounds",
        "sandbox",
        "wheelhouse",
    },
    {"history", "induce", "kaggle"},
    {"solutions", "diagnose"},
    {"evaluate", "show"},
    {"config", "examples"},
    {"base_model", "memory", "nearby", "neighbours", "preflight", "searcher", "turn"},
    {
        "adapters",
        "packed",
        "cpu_lora",
        "cpu_norm",
        "grid_qwen3",
        "grid_qwen3_vllm",
        "heads",
        "sampler",
        "trainer",
        "search",
        "score",
    },
    {"writer"},
    {"cli", "collect", "pipeline"},
    {"worker"},
    {"pool"},
    {"run"},
    {"replay"},
    {"compare", "switches"},
    {"chart"},
    {"submission", "report", "ablate"},
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
MODELS = {  # may import torch
    *{
        "adapters",
        "packed",
        "cpu_lora",
        "cpu_norm",
        "grid_qwen3",
        "grid_qwen3_vllm",
        "sampler",
        "trainer",
        "worker",
        "writer",
    },
    "collect",
}
AFTERWARDS = {"history", "solutions", "diagnose", "evaluate", "report", "show"}  # read what a run left, never answer
HEAVY = ("torch", "transformers", "peft", "vllm", "unsloth", "safetensors")
NETWORK = {"socket", "ssl", "requests", "urllib", "urllib3", "http", "httpx", "aiohttp", "ftplib", "huggingface_hub"}
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "copyreg"}
CLOCKS = {
    *(f"time.{name}{ns}" for name in ("time", "monotonic", "perf_counter", "process_time") for ns in ("", "_ns")),
    *(f"{owner}.{name}" for owner in ("datetime", "datetime.datetime") for name in ("now", "utcnow", "today")),
    *("date.today", "datetime.date.today", "time.localtime", "time.gmtime", "time.strftime", "time.ctime"),
}
SEEDED = {"Generator", "default_rng", "SeedSequence", "BitGenerator", "PCG64", "Philox"}  # of numpy.random

INDUCTION = ROOT / "solver" / "induction"
RUNNER = INDUCTION / "runner.py"  # where model-written programs run, in processes of their own
GENERATORS = ROOT / "solver" / "pretrain" / "arc_gen_runner.py"  # where ARC-GEN's generators run, likewise

SOURCES = sorted([*ROOT.glob("submission.py"), *(ROOT / "solver").rglob("*.py")])
PARTS = {ROOT / "solver" / "pretrain", ROOT / "solver" / "programs"}  # packages with an order of their own inside
TOP = [p for p in SOURCES if p.parent not in PARTS and p.name != "__init__.py"]

everywhere = pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
top = pytest.mark.parametrize("path", TOP, ids=lambda p: str(p.relative_to(ROOT)))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every dotted name that a file imports, wherever in it, with its line; `from a import b` is a and a.b."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: imports are written in full"
            assert node.module is not None
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def parts(path: Path) -> Iterator[tuple[str, int]]:
    """The modules of this program that a file imports, by name, with the line."""
    for name, line in imported(path):
        head, _, rest = name.partition(".")
        part = rest.removeprefix("induction.").split(".")[0]
        if head == "submission" or (head == "solver" and (part in LEVEL or part == "pretrain")):
            yield part or head, line


def meanings(path: Path) -> dict[str, str]:
    """What each imported name stands for: `from time import monotonic as m` makes m time.monotonic."""
    found = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {a.asname: a.name for a in node.names if a.asname}
            found |= {head: head for head in (a.name.split(".")[0] for a in node.names if not a.asname)}
        elif isinstance(node, ast.ImportFrom):
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found


def used(path: Path) -> Iterator[tuple[str, int]]:
    """Every name and attribute that a file uses, written in full (`np.random.rand` is numpy.random.rand)."""
    names = meanings(path)
    for node in ast.walk(tree(path)):
        chain, at = [], node
        while isinstance(at, ast.Attribute):
            chain.append(at.attr)
            at = at.value
        if isinstance(at, ast.Name):
            yield ".".join([names.get(at.id, at.id), *reversed(chain)]), node.lineno


def found(path: Path, what: str, lines: list[int]) -> None:
    assert not lines, f"{path.relative_to(ROOT)}:{','.join(map(str, lines))}: {what}"


@top
def test_every_module_has_its_place_in_the_order(path: Path) -> None:
    assert path.stem in LEVEL, f"{path.stem} is not in LEVELS: say there what may import it"


@top
def test_imports_point_down(path: Path) -> None:
    own = LEVEL.get(path.stem, len(LEVELS))
    up = [line for name, line in parts(path) if LEVEL.get(name, 0) > own]
    found(path, "imports a module of a level above its own", up)


def test_no_module_imports_itself_through_others() -> None:
    TopologicalSorter({p.stem: {n for n, _ in parts(p)} - {p.stem} for p in TOP}).prepare()


@top
def test_nothing_imports_pretraining(path: Path) -> None:
    found(path, "imports solver.pretrain", [line for name, line in parts(path) if name == "pretrain"])


@pytest.mark.parametrize("name", ["search", "score", "pipeline", "scheduler", "vote", "answers", "cli", "pool", "run"])
def test_the_algorithm_and_what_surrounds_it_know_their_models_by_protocol_alone(name: str) -> None:
    path = ROOT / "solver" / f"{name}.py"
    if not path.exists():
        pytest.skip(f"{name}.py is not there yet")
    found(
        path, "imports a part that loads a model", [line for part, line in parts(path) if part in MODELS - {"worker"}]
    )


def test_only_the_worker_brings_trainer_and_sampler_together() -> None:
    both = {p.stem for p in TOP if {"trainer", "sampler"} <= {name for name, _ in parts(p)}}
    assert both <= {"worker"}


def test_nothing_that_answers_tasks_imports_what_looks_at_them_afterwards() -> None:
    """`run` may score what it has written, `submission` report it, `ablate` and `compare` set runs side by side."""
    looking = {p.stem for p in TOP if AFTERWARDS & {name for name, _ in parts(p)}}
    assert looking <= AFTERWARDS | {"run", "submission", "ablate", "compare"}


def test_no_part_that_answers_tasks_can_read_their_solutions() -> None:
    """Whatever runs in the worker has no name for a solution; the command line hands a reader to the score alone."""
    readers = {p.stem for p in TOP if any("solution" in name.lower() for name, _ in used(p))}
    assert readers <= {"tasks", "cli", "run", "ablate", "compare"} | AFTERWARDS


def test_everything_but_the_models_loads_without_torch() -> None:
    """One process imports the modules one by one and names the first that pulled something heavy in."""
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in TOP if p.stem not in MODELS]
    names.sort(key=lambda name: LEVEL.get(name.rpartition(".")[2], len(LEVELS)))
    program = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "    if heavy:\n"
        "        sys.exit(f'importing {name} imports {heavy}')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@everywhere
def test_nothing_unpickles(path: Path) -> None:
    modules = [line for name, line in imported(path) if name.split(".")[0] in UNPICKLERS]
    loads = [line for name, line in used(path) if name in ("torch.load", "torch.save", "torch.hub", "numpy.fromstring")]
    allowed = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False"
    ]
    found(path, "may unpickle", modules + loads + allowed)


@everywhere
def test_nothing_opens_a_network_connection(path: Path) -> None:
    found(path, "imports a network module", [n for name, n in imported(path) if name.split(".")[0] in NETWORK])


@everywhere
def test_nothing_evaluates_text(path: Path) -> None:
    if path == RUNNER:
        return
    found(path, "evaluates text", [n for name, n in used(path) if name in ("eval", "exec", "compile", "__import__")])


def test_only_the_sandbox_knows_where_programs_run() -> None:
    """The process that does evaluate text is started by the sandbox alone, which gives it its layers."""
    users = {p.stem for p in SOURCES if p != RUNNER and "solver.induction.runner" in {name for name, _ in imported(p)}}
    assert users == {"sandbox"}


@everywhere
def test_no_seed_comes_from_the_salted_hash(path: Path) -> None:
    found(path, "calls hash(), which differs from run to run", [n for name, n in used(path) if name == "hash"])


@everywhere
def test_no_global_generator_is_drawn_from(path: Path) -> None:
    if path in (RUNNER, GENERATORS):  # they seed the generators that a program may draw from
        return
    lines = [
        line
        for name, line in used(path)
        if (name.startswith("numpy.random.") and name.split(".")[2] not in SEEDED)
        or (name.startswith("random.") and name.split(".")[1] != "Random")
    ]
    found(path, "draws from a generator shared by the whole process", lines)


@everywhere
def test_nothing_but_the_clock_module_reads_the_clock(path: Path) -> None:
    if path == ROOT / "solver" / "clock.py":
        return
    found(path, "reads the clock; take seconds from solver.clock", [n for name, n in used(path) if name in CLOCKS])


@everywhere
def test_nothing_is_imported_by_star_and_no_error_is_caught_without_a_name(path: Path) -> None:
    stars = [line for name, line in imported(path) if name.endswith(".*")]
    bare = [n.lineno for n in ast.walk(tree(path)) if isinstance(n, ast.ExceptHandler) and n.type is None]
    found(path, "import * or a bare except", stars + bare)


@everywhere
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree(path)), f"{path.relative_to(ROOT)} has no docstring"
