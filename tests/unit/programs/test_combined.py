"""Both searches within one budget: who comes first, what is kept, and that nothing runs past its seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from solver.clock import Deadline, now
from solver.programs.combined import joined, ready, search_both
from solver.programs.lists import solve as lists
from solver.programs.values import Proposal
from solver.types import Pair, Task, key, same, worth
from tests.support.fakes import STACK, stack
from tests.support.made_tasks import draw

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    ready()


def proposal(number: int, cost: float, generalises: float = 1.0) -> Proposal:
    """The answer of one cell of this colour."""
    return Proposal((np.full((1, 1), number, np.uint8),), f"program of {number}", cost, generalises)


def order(proposals: tuple[Proposal, ...]) -> list[int]:
    return [int(p.grids[0][0, 0]) for p in proposals]


def test_what_both_give_comes_first_then_each_by_turns() -> None:
    first = [proposal(n, cost) for n, cost in ((1, 2.0), (2, 3.0), (3, 9.0), (4, 9.5))]
    second = [proposal(n, cost) for n, cost in ((5, 0.5), (3, 1.0), (6, 20.0))]
    assert order(joined(first, second)) == [3, 1, 5, 2, 6, 4]
    assert [p.support for p in joined(first, second)] == [2, 1, 1, 1, 1, 1]
    assert order(joined(first, [])) == [1, 2, 3, 4]
    assert order(joined([], second)) == [5, 3, 6]
    assert joined([], []) == ()


def test_costs_are_raised_just_so_far_that_they_keep_the_order() -> None:
    result = joined([proposal(1, 5.0), proposal(2, 6.0)], [proposal(3, 1.0, 0.5), proposal(4, 9.0)])
    values = [worth(p.cost, p.generalises) for p in result]
    assert values == sorted(values)
    assert [p.cost for p in result] == [5.0, 3.0, 6.0, 9.0]
    assert [p.generalises for p in result] == [1.0, 0.5, 1.0, 1.0]


def test_a_rule_that_both_know_has_one_answer_first() -> None:
    first, *others = search_both(STACK, Deadline.after(20), 400)
    assert same(first.grids[0], stack(STACK.tests[0]))
    assert first.support >= 2
    assert len({tuple(key(g) for g in p.grids) for p in (first, *others)}) == 1 + len(others)


def test_every_answer_comes_from_a_program_that_is_right_on_every_demonstration() -> None:
    again = Task("again", STACK.demonstrations, tuple(p.input for p in STACK.demonstrations))
    proposals = search_both(again, Deadline.after(20), 400)
    assert proposals
    for p in proposals:
        assert all(same(grid, shown.output) for grid, shown in zip(p.grids, STACK.demonstrations, strict=True))


def test_the_same_nodes_give_the_same_answers() -> None:
    runs = [search_both(STACK, Deadline.after(60), 300) for _ in range(2)]
    told = [[(p.program, p.cost, p.generalises, [key(g) for g in p.grids]) for p in run] for run in runs]
    assert told[0] == told[1]


def test_demonstrations_that_contradict_each_other_have_no_answer() -> None:
    grid = draw(np.random.default_rng(1))
    pairs = (Pair(grid, grid[::-1].copy()), Pair(grid, grid[:, ::-1].copy()))
    assert search_both(Task("no", pairs, (grid,)), Deadline.after(10), 300) == ()


@pytest.mark.slow
def test_both_end_at_the_deadline() -> None:
    noise = np.random.default_rng(2)
    pairs = tuple(Pair(draw(noise, 20, 20), draw(noise, 20, 20)) for _ in range(3))
    for seconds, most in ((0.0, 5.0), (2.0, 20.0)):
        start = now()
        search_both(Task("noise", pairs, (draw(noise, 20, 20),)), Deadline.after(seconds), 10**6)
        assert now() - start < most


def test_a_table_counts_as_right_on_what_the_other_demonstrations_tell() -> None:
    """Each demonstration's colours are exchanged for others; two of three have colours that no other one has."""
    inputs = [np.array(g, np.uint8) for g in ([[1, 2], [2, 1]], [[1, 3], [3, 3]], [[1, 1], [1, 4]])]
    table = np.array([0, 5, 6, 7, 8, 0, 0, 0, 0, 0], np.uint8)
    task = Task("table", tuple(Pair(g, table[g]) for g in inputs), (np.array([[1, 1], [2, 3]], np.uint8),))
    answers = {p.program: p for p in lists.search(task, Deadline.after(3), 4000).answers}
    assert answers["input | recoloured"].generalises == 0.0
    same_everywhere = Task("same", tuple(Pair(g, table[g]) for g in [inputs[0]] * 2), (inputs[0],))
    answers = {p.program: p for p in lists.search(same_everywhere, Deadline.after(3), 4000).answers}
    assert all(p.generalises == 1.0 for p in answers.values())


TOYS = """
from solver.programs.compiled import entry, numba

""" + "\n".join(f"@entry(numba.int64(numba.int64))\ndef toy_{n}(x): return x + {n}\n" for n in range(8))


@pytest.mark.slow
def test_processes_that_begin_together_share_what_is_to_be_compiled(tmp_path: Path) -> None:
    """Each compiles a part and reads the other's; no file is compiled twice."""
    (tmp_path / "toys.py").write_text(TOYS)
    code = "import toys; from solver.programs.compiled import ready; ready(); print(toys.toy_5(2))"
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept"), "PYTHONPATH": path}
    (tmp_path / "kept").mkdir()
    begun = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [p.communicate(timeout=100)[0] for p in begun] == ["7\n", "7\n"]
    [folder] = (tmp_path / "kept").iterdir()
    locks = {p.stem for p in folder.glob("*.lock")}
    stored = [p.name for p in folder.rglob("*.nbc")]
    assert locks == {f"toy_{n}" for n in range(8)}
    assert all(sum(name in file for file in stored) == 1 for name in locks)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "toys.py").rename(tmp_path / "elsewhere" / "toys.py")
    code += "; print(sum(sum(toys.__dict__[f'toy_{n}'].stats.cache_hits.values()) for n in range(8)))"
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path / "elsewhere"), str(ROOT)])
    again = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100)
    assert again.stdout == "7\n8\n", again.stderr  # another copy of the code compiles nothing
