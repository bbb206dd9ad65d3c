"""The shape of the program: what loads without torch, what is never used at all, and that imports point down.

Which package may import which is said in pyproject.toml, where `lint-imports` reads it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.each import each

ROOT = Path(__file__).resolve().parents[2]

MODELS = {  # may import torch
    *(f"solver.finetune.{name}" for name in ("all_weights", "train", "vocabulary", "weight_files")),
    *(f"solver.inference.{name}" for name in ("cpu_operators", "vllm_sampler")),
    *(f"solver.model.{name}" for name in ("grid_qwen3", "grid_qwen3_vllm")),
    *(f"solver.training.{name}" for name in ("adapters", "base_model", "embedding_loras")),
    *(f"solver.training.{name}" for name in ("example_vectors", "machine_rates", "output_heads", "packed_attention")),
    *(f"solver.training.{name}" for name in ("trainer", "whole_matrices")),
    *("solver.induction.writer", "solver.runtime.collect", "solver.runtime.load_models"),
    "solver.runtime.cluster",  # where Ray is installed
}
HEAVY = ("torch", "transformers", "peft", "vllm", "unsloth", "safetensors")
NETWORK = {"socket", "ssl", "requests", "urllib", "urllib3", "http", "httpx", "aiohttp", "ftplib", "huggingface_hub"}
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "copyreg"}
CLOCKS = {
    *(f"time.{name}{ns}" for name in ("time", "monotonic", "perf_counter", "process_time") for ns in ("", "_ns")),
    *(f"{owner}.{name}" for owner in ("datetime", "datetime.datetime") for name in ("now", "utcnow", "today")),
    *("date.today", "datetime.date.today", "time.localtime", "time.gmtime", "time.strftime", "time.ctime"),
}
SEEDED = {"Generator", "default_rng", "SeedSequence", "BitGenerator", "PCG64", "Philox"}  # of numpy.random

CLUSTER = ROOT / "solver" / "runtime" / "cluster.py"  # workers on other machines, where --cluster asks for it
RUNNER = ROOT / "solver" / "induction" / "sandbox" / "runner.py"  # where model-written programs run, apart
GENERATORS = ROOT / "solver" / "pretrain" / "arc_gen_runner.py"  # where ARC-GEN's generators run, likewise

SOURCES = sorted([*ROOT.glob("submission.py"), *(ROOT / "solver").rglob("*.py")])
AT_THE_TOP = 9  # files beside the packages at most

everywhere = each("path", SOURCES, lambda p: str(p.relative_to(ROOT)))


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


def name_of(path: Path) -> str:
    """A file's dotted name; a package's is its folder's."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def within(name: str, package: str) -> bool:
    """Whether a dotted name is the package or something in it."""
    return f"{name}.".startswith(f"{package}.")


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


def test_imports_point_down() -> None:
    """The contracts of pyproject.toml, as `lint-imports` checks them."""
    command = Path(sys.executable).with_name("lint-imports")
    if not command.exists():
        pytest.fail("lint-imports is not installed: expected import-linter, as requirements-dev.txt pins it")
    done = subprocess.run([command, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_few_files_lie_beside_the_packages() -> None:
    assert len(list((ROOT / "solver").glob("*.py"))) <= AT_THE_TOP


def test_no_module_imports_itself_through_others() -> None:
    modules = {name_of(p): {name for name, _ in imported(p)} for p in SOURCES}
    TopologicalSorter({own: (names & set(modules)) - {own} for own, names in modules.items()}).prepare()


def test_only_what_loads_the_models_brings_trainer_and_sampler_together() -> None:
    halves = {"solver.training.trainer", "solver.inference.vllm_sampler"}
    assert {name_of(p) for p in SOURCES if halves <= {name for name, _ in imported(p)}} <= {
        "solver.runtime.load_models"
    }


def test_nothing_that_answers_tasks_imports_what_looks_at_them_afterwards() -> None:
    """`submission` has a run scored and reported; the commands are named, not imported."""
    looking = {name_of(p) for p in SOURCES if any(within(name, "solver.analysis") for name, _ in imported(p))}
    assert {name for name in looking if not within(name, "solver.analysis")} <= {"submission"}


def test_no_part_that_answers_tasks_can_read_their_solutions() -> None:
    """Whatever runs in the worker has no name for a solution; the command line hands a reader to the score alone."""
    readers = {name_of(p) for p in SOURCES if any("solution" in name.lower() for name, _ in used(p))}
    outside = {name for name in readers if not within(name, "solver.analysis") and not within(name, "solver.pretrain")}
    assert outside <= {
        "submission",
        *(f"solver.runtime.{name}" for name in ("answer_book", "options", "prepare")),
    }


def test_the_time_limit_counts_from_before_anything_but_the_clock_is_loaded() -> None:
    body = tree(ROOT / "submission.py").body
    [start] = [n for n, node in enumerate(body) if isinstance(node, ast.If) and "STARTED =" in ast.unparse(node)]
    before = {node.module for node in body[:start] if isinstance(node, ast.ImportFrom)}
    assert {name for name in before if name and within(name, "solver")} == {"solver.clock"}


def test_everything_but_the_models_loads_without_torch() -> None:
    """One process imports the modules one by one and names the first that pulled something heavy in."""
    names = [name_of(p) for p in SOURCES if name_of(p) not in MODELS and not within(name_of(p), "solver.pretrain")]
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
    if path == CLUSTER:
        return
    found(path, "imports a network module", [n for name, n in imported(path) if name.split(".")[0] in NETWORK])


@everywhere
def test_nothing_evaluates_text(path: Path) -> None:
    if path == RUNNER:
        return
    found(path, "evaluates text", [n for name, n in used(path) if name in ("eval", "exec", "compile", "__import__")])


def test_only_the_sandbox_knows_where_programs_run() -> None:
    """The process that does evaluate text is started by the sandbox alone, which gives it its layers."""
    users = {
        p.stem
        for p in SOURCES
        if p != RUNNER and "solver.induction.sandbox.runner" in {name for name, _ in imported(p)}
    }
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


LONGEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS = 400, 60, 7  # lines, lines, parameters without self


@everywhere
def test_files_functions_and_lists_of_parameters_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION, (
                f"{node.name} is {node.lineno} to {node.end_lineno}"
            )
            taken = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            assert len([name for name in taken if name not in ("self", "cls")]) <= MOST_PARAMETERS, node.name
