"""From a task to ranked answers: what is proposed, within which budget, and how it is ranked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from solver.clock import Deadline, now
from solver.programs.solve import ALONE, agreed, rank, search_programs, ways
from solver.programs.values import Proposal, background
from solver.types import Pair, Task, key, same
from tests.support.made_tasks import NODES, TRUTHS, answers, draw, made, recolour_tall

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", TRUTHS)
def test_a_program_is_found_for_a_task_made_by_one(name):
    task, right = made(TRUTHS[name])
    assert any(same(found, right[0]) for found in answers(task))


def test_every_proposal_comes_from_a_program_that_reproduces_every_demonstration():
    """Asked for the demonstrations' own inputs, the solver answers their outputs, whatever else it proposes."""
    task, _ = made(recolour_tall)
    again = Task("again", task.demonstrations, tuple(p.input for p in task.demonstrations))
    proposals = search_programs(again, Deadline.after(30), NODES)
    assert proposals
    for proposal in proposals:
        assert all(same(g, p.output) for g, p in zip(proposal.grids, task.demonstrations, strict=True))


def test_the_same_nodes_give_the_same_proposals():
    task, _ = made(TRUTHS["a step and a map"], rows=3, columns=4)
    runs = [search_programs(task, Deadline.after(60), NODES) for _ in range(2)]
    told = [[(p.program, p.cost, p.generalises, [key(g) for g in p.grids]) for p in run] for run in runs]
    assert told[0] == told[1]


def test_nothing_is_proposed_where_demonstrations_contradict_each_other():
    grid = draw(np.random.default_rng(1))
    pairs = (Pair(grid, grid[::-1].copy()), Pair(grid, grid[:, ::-1].copy()))
    assert search_programs(Task("no", pairs, (grid,)), Deadline.after(120), 500) == ()


def test_the_search_stops_at_its_deadline_and_at_once_when_there_is_no_time():
    noise = np.random.default_rng(2)
    pairs = tuple(Pair(draw(noise, 15, 15), draw(noise, 15, 15)) for _ in range(3))
    task = Task("noise", pairs, (draw(noise, 15, 15),))
    for seconds, most in ((0.0, 5.0), (1.0, 20.0)):
        start = now()
        search_programs(task, Deadline.after(seconds), 10**6)
        assert now() - start < most


def test_a_background_that_is_not_black_is_exchanged_with_it_and_back():
    task, right = made(lambda g: g[::-1].copy())
    lookup = np.array([7, 1, 2, 3, 4, 5, 6, 0, 8, 9], np.uint8)
    pairs = tuple(Pair(lookup[p.input], lookup[p.output]) for p in task.demonstrations)
    other = Task("other", pairs, tuple(lookup[t] for t in task.tests))
    assert background(other) == 7
    assert background(task) == 0
    assert same(answers(other)[0], lookup[right[0]])


def test_an_answer_of_one_way_alone_costs_more_where_the_other_looked_as_well():
    a, b = (Proposal((np.full((1, 1), c, np.uint8),), "", 2.0) for c in (1, 2))
    assert [p.cost for p in agreed([[a, b]])] == [2.0, 2.0]
    assert [p.cost for p in agreed([[a, b], [a]])] == [2.0, 2.0 + ALONE, 2.0]
    assert [p.cost for p in agreed([[a], []])] == [2.0 + ALONE]
    assert agreed([]) == []


def test_a_task_is_searched_transposed_as_well_and_answered_in_its_own_frame():
    task, right = made(lambda g: g[:, ::-1].copy())
    first, other = ways(task, Deadline.after(60), 2000)
    assert any(same(p.grids[0], right[0]) for p in first)
    [same_, *_] = [p for p in other if same(p.grids[0], right[0])]
    assert same_.program.startswith("transposed: ")


def test_an_answer_is_ranked_by_cost_and_by_how_it_generalises_and_comes_once():
    a, b = np.array([[1]], np.uint8), np.array([[2]], np.uint8)
    found = rank([Proposal((a,), "long", 5.0), Proposal((b,), "lucky", 3.0, 0.0), Proposal((a,), "short", 4.0)])
    assert [(p.program, p.support) for p in found] == [("short", 2), ("lucky", 1)]


def test_loading_the_solver_loads_no_model_library():
    program = (
        "import sys, solver.programs.solve\n"
        "sys.exit(str(sorted({'torch', 'transformers', 'vllm', 'peft'} & set(sys.modules)) or ''))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == ""
