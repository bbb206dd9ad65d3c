"""The lists' search as a whole: what it solves, that it keeps to its seconds, that both ways to run it agree."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from solver.clock import Deadline, now
from solver.programs import compiled
from solver.programs.lists import solve
from solver.programs.lists.expand import expand
from solver.programs.lists.task_search import ListSearch
from solver.programs.lists.units import UNITS
from solver.types import Grid, Pair, Task

SECONDS = 2.0


def made(rule, rng: np.random.Generator, number: int = 4, side: int = 9) -> tuple[Task, Grid]:
    """A task of random grids under a rule, and its answer."""
    inputs = [
        (rng.integers(0, 5, (side, side)) * (rng.random((side, side)) < 0.3)).astype(np.uint8) for _ in range(number)
    ]
    pairs = tuple(Pair(g, np.ascontiguousarray(rule(g))) for g in inputs[:-1])
    return Task("12345678", pairs, (inputs[-1],)), rule(inputs[-1])


RULES = {
    "flipped twice beside": lambda g: np.hstack([g, g[:, ::-1]]),
    "two colours left, mirrored": lambda g: np.where((g == 1) | (g == 2), g, 0)[::-1],
    "one colour on another's place": lambda g: np.where(g > 0, 7, 3),
    "stacked: rows of one colour, and what was there": lambda g: np.where(
        g > 0, g, np.where((g == 1).any(1)[:, None], 1, 0)
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    compiled.ready()


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_found(name: str) -> None:
    task, answer = made(RULES[name], np.random.default_rng(1))
    candidates = solve.search(task, Deadline.after(SECONDS)).answers
    assert any(np.array_equal(c.grids[0], answer) for c in candidates[:2])


def test_candidates_are_distinct_and_in_order() -> None:
    task, _ = made(RULES["two colours left, mirrored"], np.random.default_rng(2))
    candidates = solve.search(task, Deadline.after(SECONDS)).answers
    assert len({c.grids[0].tobytes() + bytes(c.grids[0].shape) for c in candidates}) == len(candidates)
    assert [c.cost for c in candidates] == sorted(c.cost for c in candidates)


@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    [
        Task("1", (Pair(np.ones((1, 1), np.uint8), np.ones((1, 1), np.uint8)),), (np.ones((1, 1), np.uint8),)),
        Task("2", tuple(Pair(np.zeros((3, 3), np.uint8), np.full((3, 3), c, np.uint8)) for c in (1, 2)),
             (np.zeros((3, 3), np.uint8),)),
        Task("3", (Pair(np.indices((30, 30)).sum(0).astype(np.uint8) % 2 * 3, np.zeros((30, 30), np.uint8)),),
             (np.indices((30, 30)).sum(0).astype(np.uint8) % 2 * 4,)),
    ],
    ids=["1×1, one demonstration", "contradicting", "450 objects"],
)  # fmt: skip
def test_what_is_hard_to_search_ends_within_its_seconds(task: Task) -> None:
    start = now()
    solve.search(task, Deadline.after(SECONDS))
    assert now() - start < SECONDS + 2.0


def test_the_same_nodes_give_the_same_answers() -> None:
    task, _ = made(RULES["two colours left, mirrored"], np.random.default_rng(5), side=5)
    runs = [solve.search(task, Deadline.after(60), nodes=100_000).answers for _ in range(2)]
    told = [[(c.program, c.cost, c.grids[0].tolist()) for c in run] for run in runs]
    assert told[0]
    assert told[0] == told[1]


def test_a_search_without_seconds_gives_nothing() -> None:
    task, _ = made(RULES["flipped twice beside"], np.random.default_rng(3))
    assert solve.search(task, Deadline.after(0.0)).answers == ()


def hashes() -> str:
    """The hashes of the first states of a task, as text."""
    task, _ = made(RULES["flipped twice beside"], np.random.default_rng(4), number=3, side=5)
    search = ListSearch(task)
    compiled.ready()
    with np.errstate(over="ignore"):
        expand(search.store, UNITS, search.board, 1_500, 3)
    known = np.sort(search.store.hashes[search.store.hashes != 0])
    return f"{search.store.heads.tolist()} {known[:50].tolist()} {len(known)}"


@pytest.mark.slow
def test_compiled_and_plain_python_make_the_same_states() -> None:
    script = "from tests.unit.programs.lists.test_solve import hashes; print(hashes())"
    plain = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True
    )
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.strip() == hashes()


def test_where_no_folder_can_be_written_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/proc/none")
    assert compiled.cache_folder() is None
