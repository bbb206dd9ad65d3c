"""The inductive solver: its rules, its search, its ranking, its command. Tasks are made here, never read."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.analysis import programs as command
from solver.analysis import uses
from solver.clock import Deadline, now
from solver.programs import batch, bench
from solver.programs import search as enumerate_
from solver.programs.rules import (
    cell_features,
    cells,
    choice,
    cross_validation,
    decision_tree,
    final_steps,
    lookup,
    moves,
    rays,
    shoves,
    stamps,
    subtasks,
)
from solver.programs.search import Enumeration
from solver.programs.solve import ALONE, agreed, background, rank, solve, ways
from solver.programs.values import Proposal, State, mark
from solver.types import BadInput, Grid, Pair, Task, key, same, seed_for

ROOT = Path(__file__).resolve().parents[3]
NODES = 500


def always() -> bool:
    return True


def draw(rng: np.random.Generator, rows: int = 6, columns: int = 7, colours: int = 4) -> Grid:
    """A grid of about half background."""
    cells_ = rng.integers(1, colours, size=(rows, columns)) * (rng.random((rows, columns)) < 0.5)
    return cells_.astype(np.uint8)


def made(change, number: int = 3, **shape: int) -> tuple[Task, list[Grid]]:
    """A task whose outputs are `change` of random inputs, and the right answers."""
    rng = np.random.default_rng(seed_for(0, "made", "test"))
    inputs = [draw(rng, **shape) for _ in range(number + 1)]
    pairs = tuple(Pair(g, change(g)) for g in inputs[:-1])
    return Task("made", pairs, (inputs[-1],)), [change(inputs[-1])]


def answers(task: Task, nodes: int = NODES) -> list[Grid]:
    return [p.grids[0] for p in solve(task, Deadline.after(30), nodes)[:2]]


def recolour_tall(grid: Grid) -> Grid:
    """Cells with something above become 7."""
    above = np.vstack([np.zeros_like(grid[:1]), grid[:-1]])
    return np.where((grid != 0) & (above != 0), 7, grid).astype(np.uint8)


TRUTHS = {
    "two steps": lambda g: np.rot90(g)[::-1].copy(),
    "a step and a map": lambda g: np.array([0, 5, 6, 3, 4, 5, 6, 7, 8, 9], np.uint8)[g[:, ::-1]],
    "a rule of cells": recolour_tall,
    "pieces": lambda g: np.where(g != 0, g, g[::-1]),
    "scaled": lambda g: np.kron(g, np.ones((3, 1), np.uint8)),
    "both halves": lambda g: np.where((g[:, :3] != 0) & (g[:, -3:] == 0), 8, 0).astype(np.uint8),
}


@pytest.mark.parametrize("name", TRUTHS)
def test_a_program_is_found_for_a_task_made_by_one(name):
    task, right = made(TRUTHS[name])
    assert any(same(found, right[0]) for found in answers(task))


def test_every_proposal_comes_from_a_program_that_reproduces_every_demonstration():
    """Asked for the demonstrations' own inputs, the solver answers their outputs, whatever else it proposes."""
    task, _ = made(recolour_tall)
    again = Task("again", task.demonstrations, tuple(p.input for p in task.demonstrations))
    proposals = solve(again, Deadline.after(30), NODES)
    assert proposals
    for proposal in proposals:
        assert all(same(g, p.output) for g, p in zip(proposal.grids, task.demonstrations, strict=True))


def test_the_same_nodes_give_the_same_proposals():
    task, _ = made(TRUTHS["a step and a map"], rows=3, columns=4)
    runs = [solve(task, Deadline.after(60), NODES) for _ in range(2)]
    told = [[(p.program, p.cost, p.generalises, [key(g) for g in p.grids]) for p in run] for run in runs]
    assert told[0] == told[1]


def test_nothing_is_proposed_where_demonstrations_contradict_each_other():
    grid = draw(np.random.default_rng(1))
    pairs = (Pair(grid, grid[::-1].copy()), Pair(grid, grid[:, ::-1].copy()))
    assert solve(Task("no", pairs, (grid,)), Deadline.after(120), 500) == ()


def test_an_input_that_was_shown_has_its_output_unless_it_was_shown_two():
    grid, other = draw(np.random.default_rng(1)), draw(np.random.default_rng(2))
    found = list(lookup.looked_up([grid, other, grid], [grid[::-1], other]))
    assert [(p.program, [key(g) for g in p.grids]) for p in found[:1]] == [("seen before", [key(grid[::-1])])]
    contradicting = lookup.looked_up([grid, grid, grid], [grid[::-1], grid[:, ::-1]])
    assert list(contradicting) == []


def test_the_search_stops_at_its_deadline_and_at_once_when_there_is_no_time():
    noise = np.random.default_rng(2)
    pairs = tuple(Pair(draw(noise, 15, 15), draw(noise, 15, 15)) for _ in range(3))
    task = Task("noise", pairs, (draw(noise, 15, 15),))
    for seconds, most in ((0.0, 5.0), (1.0, 20.0)):
        start = now()
        solve(task, Deadline.after(seconds), 10**6)
        assert now() - start < most


def test_a_background_that_is_not_black_is_exchanged_with_it_and_back():
    task, right = made(lambda g: g[::-1].copy())
    lookup = np.array([7, 1, 2, 3, 4, 5, 6, 0, 8, 9], np.uint8)
    pairs = tuple(Pair(lookup[p.input], lookup[p.output]) for p in task.demonstrations)
    other = Task("other", pairs, tuple(lookup[t] for t in task.tests))
    assert background(other) == 7
    assert background(task) == 0
    assert same(answers(other)[0], lookup[right[0]])


def test_equal_outcomes_are_extended_once():
    """On a grid that no flip changes, flips lead to no new state."""
    grid = np.full((2, 2), 3, np.uint8)
    enumeration = Enumeration(Task("flat", (Pair(grid, grid),), (grid,)), Deadline.after(30), 400)
    states = list(enumeration.run(400))
    marks = [tuple(key(g) for g in s.grids) for s in states]
    assert len(set(marks)) == len(marks)
    assert not any(s.step.startswith(("flip", "rotate", "transpose")) for s in states)


def test_a_search_that_is_cut_short_has_looked_at_all_it_reached():
    class Once:
        """Has time left until it was asked so often."""

        def __init__(self, asked: int) -> None:
            self.left = asked

        def remaining(self) -> float:
            self.left -= 1
            return float(max(self.left, 0))

    task, _ = made(recolour_tall)
    enumeration = Enumeration(task, Once(2), 10**4)
    assert len(list(enumeration.run(10**4))) == len(enumeration.states) > 10


def test_a_search_that_goes_on_yields_no_state_twice():
    task, _ = made(recolour_tall)
    enumeration = Enumeration(task, Deadline.after(30), 10**4)
    runs = [[mark(s.grids) for s in enumeration.run(400)] for _ in range(3)]
    assert all(runs)
    assert len({m for run in runs for m in run}) == sum(map(len, runs))


@pytest.mark.parametrize("nodes", [0, 1, 77, 1000])
def test_no_more_primitives_are_used_than_there_are_nodes(nodes, monkeypatch):
    used = []
    real = enumerate_.outcome
    monkeypatch.setattr(enumerate_, "outcome", lambda run, grids: used.append(1) or real(run, grids))
    task, _ = made(recolour_tall)
    enumeration = Enumeration(task, Deadline.after(30), nodes)
    assert [*enumeration.run(400), *enumeration.run(10**6)]
    assert len(used) <= enumeration.spent == nodes
    assert enumeration.over


def test_extensions_are_tried_cheapest_first_whatever_the_order_of_registration(monkeypatch):
    task, _ = made(recolour_tall)
    before = enumerate_.operators(task)
    for name in ("UNARY", "SPLITS", "JOINS"):
        monkeypatch.setattr(enumerate_, name, dict(reversed(getattr(enumerate_, name).items())))
    after = enumerate_.operators(task)
    for kind in ("unary", "splits", "joins"):
        assert [p.name for p in getattr(after, kind)] == [p.name for p in getattr(before, kind)]
    costs = [p.cost for p in before.unary]
    assert costs == sorted(costs)


# ---- rules -----------------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_a_learned_tree_is_right_on_every_case(seed):
    rng = np.random.default_rng(seed)
    tests = rng.random((12, 60)) < 0.4
    truth = np.where(tests[2], np.where(tests[5], 1, 0), np.where(tests[7], 2, 0))
    lesson = decision_tree.Lesson(
        tests, truth == np.arange(3)[:, None], np.ones(12, np.float32), np.ones(3, np.float32)
    )
    found = decision_tree.learn(lesson, 4, always)
    assert found
    for rule in found:
        assert (decision_tree.decide(rule, tests) == truth).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_settles_a_side_is_what_counting_case_by_case_says(seed):
    rng = np.random.default_rng(seed)
    actions, cases = int(rng.integers(1, 7)), int(rng.integers(1, 200))
    tests = rng.random((9, cases)) < rng.random((9, 1))
    right = rng.random((actions, cases)) < rng.choice([0.3, 0.9, 1.0], (actions, 1))
    costs = np.arange(actions, dtype=np.float32)
    every = decision_tree._Cases.of(decision_tree.Lesson(tests, right, np.ones(9, np.float32), costs))
    some = tests[0] if seed % 2 else ~tests[0]
    for looked_at, chosen in ((every, np.ones(cases, bool)), (every.only(every.left(0, seed % 2 == 0)), some)):
        assert (looked_at.number, list(looked_at.passing)) == (chosen.sum(), list((tests & chosen).sum(1)))
        for test, side in ((t, s) for t in range(9) for s in (False, True)):
            there = chosen & (tests[test] == side)
            settling = [a for a in range(actions) if right[a, there].all()]
            if there.any():
                found = looked_at.sides[side]
                assert found.cost[test] == (costs[settling[0]] if settling else np.inf)
                assert found.action[test] == (settling[0] if settling else -1)


def test_the_simplest_rule_comes_first():
    tests = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]], bool)
    right = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], bool)
    lesson = decision_tree.Lesson(tests, right, np.array([2, 1, 1], np.float32), np.ones(2, np.float32))
    rule = decision_tree.learn(lesson, 3, always)[0]
    assert (rule.test, rule.cost) == (1, 1 + 1 + 1 + decision_tree.NODE)


def test_a_rule_of_cells_generalises_where_the_truth_is_one():
    task, _ = made(recolour_tall)
    described = cells.describe([p.input for p in task.demonstrations] + list(task.tests), ())
    outputs = [p.output for p in task.demonstrations]
    assert cells.generalises(described, outputs, 3, always) == 1.0


def test_planes_are_the_same_for_every_grid_and_have_its_shape():
    rng = np.random.default_rng(3)
    one, other = cell_features.planes(draw(rng, 1, 1)), cell_features.planes(draw(rng, 9, 4))
    assert [(p.name, p.kind) for p in one] == [(p.name, p.kind) for p in other]
    assert {p.values.shape for p in other} == {(9, 4)}
    assert len({p.name for p in one}) == len(one)


def test_a_part_is_chosen_by_what_sets_it_apart():
    parts = [tuple(np.full((1, n), n, np.uint8) for n in sizes) for sizes in ((1, 3, 2), (4, 2), (1, 2, 5))]
    [first, *_] = choice.chosen(parts, [parts[0][1], parts[1][0]], always)
    assert same(first.grids[2], parts[2][2])


def test_a_table_says_what_each_value_becomes():
    """Three lengths in three colours: one table, not a test for each."""
    grids = [np.kron(np.eye(5, dtype=np.uint8)[:, :1], np.zeros((1, 9), np.uint8)) for _ in range(3)]
    for n, lengths in enumerate(((1, 2, 3), (3, 1, 2), (2, 3, 1))):
        for row, length in enumerate(lengths):
            grids[n][2 * row, n : n + length] = 5
    lengths = [(g != 0).sum(1, keepdims=True) for g in grids]
    outputs = [
        np.where(g != 0, np.array([0, 2, 7, 4])[n], 0).astype(np.uint8) for g, n in zip(grids, lengths, strict=True)
    ]
    [first, *_] = cells.rules(cells.describe(grids, ()), outputs[:2], 3, always)
    assert "→" in first.text
    assert same(first.grids[2], outputs[2])


# ---- rules of directions ---------------------------------------------------------------------------------------------


def text(*rows: str) -> Grid:
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], np.uint8)


def state(*grids: Grid) -> State:
    return State(grids, 0.0)


def test_lines_go_out_from_cells_that_are_alike_whatever_their_direction():
    """A 3 next to a 2 sends out a line away from it: shown to the right and down, asked for to the left."""
    one, other = text("........", "23......", "........", "...3....", "........"), text("..2.", "..3.", "....", "3...")
    asked = text("3.......", "........", "....32..", "........")
    outputs = [text("........", "23333333", "........", "...3....", "........"), text("..2.", "..3.", "..3.", "3.3.")]
    found = list(rays.rays(state(one, other, asked), outputs, always))
    assert any(same(rule.grids[2], text("3.......", "........", "333332..", "........")) for rule in found)


def test_no_line_is_drawn_where_something_is_taken_away():
    assert list(rays.rays(state(text("1.."), text("1..")), [text(".11")], always)) == []


def test_things_move_until_something_is_in_their_way_whatever_their_direction():
    one, other = text("1...8", ".....", "....."), text("..1..", ".....", "..8..", ".....")
    asked = text("8...1", ".....", ".....")
    outputs = [text("...18", ".....", "....."), text(".....", "..1..", "..8..", ".....")]
    found = list(shoves.shoves(state(one, other, asked), outputs, always))
    assert any(same(rule.grids[2], text("81...", ".....", ".....")) for rule in found)


def test_what_moves_nowhere_may_be_taken_away():
    inputs = [text("1..8.", ".....", "3...."), text("8...1", ".....", "...3."), text("..3..", ".....", "1...8")]
    outputs = [text("..18.", ".....", "....."), text("81...", ".....", ".....")]
    found = list(shoves.shoves(state(*inputs), outputs, always))
    assert any(same(rule.grids[2], text(".....", ".....", "...18")) for rule in found)


# ---- smaller tasks ---------------------------------------------------------------------------------------------------


def framed(*colours: int) -> Grid:
    """Rectangles in these colours between lines of 5."""
    line = [np.full((2, 2), c, np.uint8) for c in colours]
    parts = [np.full((2, 1), 5, np.uint8)] * len(line)
    one = np.hstack([part for pair in zip(line, parts, strict=True) for part in pair][:-1])
    return np.vstack([one, np.full((1, one.shape[1]), 5, np.uint8), np.zeros_like(one) + (one == 5) * np.uint8(5)])


def test_a_lattice_of_plain_rectangles_is_a_smaller_task():
    pairs = (Pair(framed(1, 0, 0), framed(1, 1, 0)), Pair(framed(0, 2, 0), framed(0, 2, 2)))
    task = Task("lattice", pairs, (framed(3, 0, 0),))
    [lens] = [lens for lens in subtasks.lenses(task) if lens.name == "lattice"]
    assert lens.task.demonstrations[0].input.tolist() == [[1, 0, 0], [0, 0, 0]]
    assert same(lens.restore([np.array([[3, 3, 0], [0, 0, 0]], np.uint8)])[0], framed(3, 3, 0))


def test_what_happens_to_each_thing_by_itself_is_a_smaller_task():
    task = Task(
        "each", (Pair(text("12....", "......", "...34."), text("21....", "......", "...43.")),), (text("..56.."),)
    )
    [lens] = [lens for lens in subtasks.lenses(task) if lens.name == "each thing"]
    assert [p.input.tolist() for p in lens.task.demonstrations] == [[[1, 2]], [[3, 4]]]
    assert same(lens.restore([text("65")])[0], text("..65.."))


def test_where_something_else_changes_there_is_no_smaller_task():
    pairs = (Pair(text("1..", "...", "..2"), text("1.3", "...", "..2")),)
    assert not [lens for lens in subtasks.lenses(Task("no", pairs, (text("1.."),))) if lens.name == "each thing"]


# ---- demonstrations left out -----------------------------------------------------------------------------------------


def test_what_is_counted_as_right_was_learned_without_it():
    grids = [np.full((1, 1), c, np.uint8) for c in (1, 2, 1, 3)]
    asked = []

    def seen(order, others):
        asked.append(([int(g[0, 0]) for g in others], order[-1]))
        return iter(others)

    assert cross_validation.share(grids, seen) == 0.5  # the two that are equal
    assert asked == [([2, 1, 3], 0), ([1, 1, 3], 1), ([1, 2, 3], 2), ([1, 2, 1], 3)]
    assert cross_validation.share(grids[:1], seen) == 0.0
    assert len(asked) == 4


def test_a_colour_map_that_one_demonstration_alone_shows_does_not_generalise_to_it():
    inputs = [np.array([[c, 1, 0, 0]], np.uint8) for c in (2, 2, 3)]
    changed = np.array([0, 5, 6, 7, 4, 5, 6, 7, 8, 9], np.uint8)
    task = Task("map", tuple(Pair(g, changed[g]) for g in inputs), (inputs[2],))
    found = {p.program: p for p in solve(task, Deadline.after(30), 300)}
    assert found["colours(1→5, 2→6, 3→7)"].generalises == pytest.approx(2 / 3)


def test_a_program_without_anything_learned_generalises_by_itself():
    task, right = made(lambda g: g[::-1].copy(), number=1)
    [first, *_] = solve(task, Deadline.after(30), 300)
    assert same(first.grids[0], right[0])
    assert first.generalises == 1.0


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


# ---- endings and ranking ---------------------------------------------------------------------------------------------


def test_a_colour_that_becomes_two_is_no_colour_map():
    cells_ = np.array([1, 1, 2], np.uint8)
    assert final_steps.colour_map(cells_, np.array([3, 4, 2], np.uint8)) is None
    assert final_steps.colour_map(cells_, np.array([3, 3, 2], np.uint8)).tolist() == [0, 3, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_colour_moves_by_a_rule_of_its_own():
    inputs = [np.zeros((5, 5), np.uint8) for _ in range(3)]
    outputs = []
    for n, grid in enumerate(inputs):
        grid[0, n], grid[3, 3] = 4, 6
        output = np.zeros((5, 5), np.uint8)
        output[4, n], output[3, 2] = 4, 6
        outputs.append(output)
    [proposal] = moves.moved(State(tuple(inputs), 0.0), outputs[:2])
    assert same(proposal.grids[0], outputs[2])


def test_a_stamp_is_what_all_seeds_have_around_them():
    inputs, outputs = [], []
    for places in (((1, 1), (5, 6)), ((3, 3),), ((0, 4), (6, 2))):
        grid = np.zeros((8, 8), np.uint8)
        output = grid.copy()
        for i, j in places:
            grid[i, j] = output[i, j] = 2
            for a, b in ((i - 1, j - 1), (i + 1, j + 1), (i, j + 1)):
                if 0 <= a < 8 and 0 <= b < 8:
                    output[a, b] = 4
        inputs.append(grid)
        outputs.append(output)
    [proposal, *_] = stamps.stamped(State(tuple(inputs), 0.0), outputs[:2])
    assert same(proposal.grids[0], outputs[2])


def test_a_table_answers_what_it_has_seen_and_nothing_else():
    few, many, more_ = (np.array([[1, 1, 0][:n] + [0] * (3 - n)], np.uint8) for n in (1, 2, 0))
    outputs = [np.full((1, 1), c, np.uint8) for c in (5, 5, 6)]
    found = list(lookup.looked_up([few, few[:, ::-1], many, few], outputs))
    assert "table of whole_cells" in [p.program for p in found]
    assert all(same(p.grids[0], outputs[0]) for p in found)
    unseen = list(lookup.looked_up([few, few[:, ::-1], many, more_], outputs))
    assert "table of whole_cells" not in [p.program for p in unseen]


def test_an_answer_is_ranked_by_cost_and_by_how_it_generalises_and_comes_once():
    a, b = np.array([[1]], np.uint8), np.array([[2]], np.uint8)
    found = rank([Proposal((a,), "long", 5.0), Proposal((b,), "lucky", 3.0, 0.0), Proposal((a,), "short", 4.0)])
    assert [(p.program, p.support) for p in found] == [("short", 2), ("lucky", 1)]


# ---- the command -----------------------------------------------------------------------------------------------------


def challenges(folder: Path) -> tuple[Path, Path]:
    """Two tasks, one with a truth and one of noise, and their solutions, as Kaggle's files."""
    task, right = made(lambda g: g[::-1].copy())
    noise = np.random.default_rng(5)
    shown = [{"input": draw(noise).tolist(), "output": draw(noise).tolist()} for _ in range(3)]
    tasks_ = {
        "00000001": {
            "train": [{"input": p.input.tolist(), "output": p.output.tolist()} for p in task.demonstrations],
            "test": [{"input": task.tests[0].tolist()}],
        },
        "00000002": {"train": shown, "test": [{"input": draw(noise).tolist()}]},
    }
    (folder / "c.json").write_text(json.dumps(tasks_))
    solutions = {"00000001": [right[0].tolist()], "00000002": [draw(noise).tolist()]}
    (folder / "s.json").write_text(json.dumps(solutions))
    return folder / "c.json", folder / "s.json"


def test_the_command_scores_what_it_answered_and_goes_on_with_an_unfinished_file(tmp_path, capsys):
    asked, right = challenges(tmp_path)
    flags = ["--challenges", str(asked), "--solutions", str(right), "--output", str(tmp_path / "o.jsonl")]
    flags += ["--nodes", "300", "--seconds", "3", "--workers", "1"]
    assert command.main(flags) == 0
    assert "1 of 2 solved (pass@2 50.0 %" in capsys.readouterr().out
    lines = (tmp_path / "o.jsonl").read_text().splitlines()
    assert len(lines) == 3
    (tmp_path / "o.jsonl").write_text("\n".join(lines[:2]) + "\n" + lines[2][:20])
    assert command.main(flags) == 0
    out = capsys.readouterr().out
    assert "00000001" not in out  # answered before
    assert "1 of 2 solved" in out
    assert command.main([*flags, "--nodes", "301"]) == 2
    assert "another run" in capsys.readouterr().err


def test_a_part_of_the_tasks_leaves_the_others_in_the_file(tmp_path, capsys):
    asked, right = challenges(tmp_path)
    flags = ["--challenges", str(asked), "--solutions", str(right), "--output", str(tmp_path / "o.jsonl")]
    flags += ["--nodes", "300", "--seconds", "3", "--workers", "1"]
    assert command.main(flags) == 0
    before = (tmp_path / "o.jsonl").read_text()
    assert command.main([*flags, "--limit", "1"]) == 0
    assert sorted((tmp_path / "o.jsonl").read_text().splitlines()) == sorted(before.splitlines())
    assert not (tmp_path / "o.jsonl.part").exists()


def test_a_view_turns_the_tasks_and_what_they_are_scored_by(tmp_path, capsys):
    asked, right = challenges(tmp_path)
    flags = ["--challenges", str(asked), "--solutions", str(right), "--output", str(tmp_path / "o.jsonl")]
    flags += ["--nodes", "300", "--seconds", "3", "--workers", "1", "--task-ids", "00000001", "--view", "1"]
    assert command.main(flags) == 0
    assert "1 of 1 solved" in capsys.readouterr().out
    view, [line] = batch.every(tmp_path / "o.jsonl")
    assert view == 1
    assert "flip_left_right" in line.primitives[0]  # the task is flip_up_down, seen after a quarter turn
    assert command.main([*flags, "--view", "2"]) == 2
    assert "another run" in capsys.readouterr().err


def test_a_search_that_fails_is_told_and_tried_again_and_costs_no_other_answer(tmp_path):
    task, _ = made(lambda g: g[::-1].copy())
    broken = replace(task, id="broken", demonstrations=(1,))
    settings, path, lost = batch.Settings("made", 20.0, 300), tmp_path / "o.jsonl", []
    lines = batch.run([broken, task], settings, 1, path, lambda _: None, lost=lambda *told: lost.append(told))
    assert [task_id for task_id, _ in lost] == ["broken"]
    assert (lines["broken"].found, lines["made"].found > 0) == (0, True)
    assert list(batch.read(path, settings)) == ["made"]


@pytest.mark.parametrize("text", ["{\n}", "[1, 2]\n", "what\n"])
def test_a_file_of_another_kind_is_refused_in_one_line(text, tmp_path, capsys):
    asked, _ = challenges(tmp_path)
    (tmp_path / "o.json").write_text(text)
    for flag in ("--output", "--shorter"):
        assert command.main(["--challenges", str(asked), flag, str(tmp_path / "o.json")]) == 2
        assert "expected" in capsys.readouterr().err.splitlines()[0]
        assert (tmp_path / "o.json").read_text() == text


def test_the_command_wants_one_source_of_tasks(capsys):
    assert command.main([]) == 2
    assert "expected an embedded set or --challenges FILE" in capsys.readouterr().err


def test_lines_survive_being_written_and_read(tmp_path):
    task, _ = made(lambda g: g[::-1].copy())
    line, chosen = batch.answer(task, 20.0, 300), batch.Settings("made", 20.0, 300)
    batch.write(tmp_path / "o.jsonl", chosen, [line])
    assert batch.read(tmp_path / "o.jsonl", chosen) == {"made": line}
    with pytest.raises(BadInput, match="another run"):
        batch.read(tmp_path / "o.jsonl", batch.Settings("made", 21.0, 300))


def test_what_a_shorter_run_ended_by_itself_is_not_done_again(tmp_path):
    task, _ = made(lambda g: g[::-1].copy())
    other = replace(task, id="other")
    path, short, long = tmp_path / "o.jsonl", batch.Settings("made", 5.0, 300), batch.Settings("made", 60.0, 300)
    ended = replace(batch.answer(task, 5.0, 300), seconds=4.9, solved=True)
    batch.write(path, short, [ended, replace(ended, task="other", seconds=5.1)])
    known = batch.ended(path, long)
    assert known == {"made": replace(ended, solved=None)}
    heard = []
    lines = batch.run([task, other], long, 1, None, heard.append, known)
    assert [line.task for line in heard] == ["other"]
    assert lines["made"].seconds == 4.9
    for wrong in (short, batch.Settings("others", 60.0, 300), batch.Settings("made", 60.0, 301)):
        with pytest.raises(BadInput, match="but with fewer seconds"):
            batch.ended(path, wrong)
    with pytest.raises(BadInput, match="but with fewer seconds"):
        batch.ended(tmp_path / "none", long)


def test_uses_name_the_tasks_a_primitive_helped_to_solve(tmp_path):
    attempts = [[[[1]], [[2]]], [[[3]], [[4]]], [[[3]], [[9]]]]
    made_ = [["crop", "flip_left_right"], ["rotate_90"], ["rotate_180"]]
    line = batch.Line("aaaaaaaa", 1.0, 3, attempts, ["", "", ""], [2.0] * 3, [1.0] * 3, primitives=made_)
    outputs = [np.array([[3]], np.uint8), np.array([[2]], np.uint8)]
    right = batch.score(line, outputs)
    assert (right.solved, right.right) == (True, [True, True, False])
    wrong = batch.score(replace(line, task="bbbbbbbb"), [outputs[0], outputs[0]])
    assert (wrong.solved, wrong.right) == (False, [False, True, False])
    batch.write(tmp_path / "o.jsonl", batch.Settings("x", 1.0, 1), [right, wrong])
    found = uses.used([tmp_path / "o.jsonl"])
    assert found["crop"] == found["rotate_90"] == ["aaaaaaaa"]
    assert found["rotate_180"] == []
    batch.write(tmp_path / "turned.jsonl", batch.Settings("x", 1.0, 1, view=4), [right, wrong])
    found = uses.used([tmp_path / "turned.jsonl", tmp_path / "o.jsonl"])
    assert found["crop"] == ["aaaaaaaa", "aaaaaaaa@4"]
    row = next(r for r in uses.rendered(found).splitlines() if r.startswith("| `crop` | grid → grid | "))
    assert row.endswith(". | 2 | aaaaaaaa aaaaaaaa@4 |")


def test_a_proposal_names_the_primitives_it_uses_and_no_others():
    task, right = made(lambda g: np.rot90(g)[::-1].copy())
    [first, *_] = [p for p in solve(task, Deadline.after(30), NODES) if same(p.grids[0], right[0])]
    assert first.primitives <= set(uses.names())
    state = State((), 1.0, State((), 0.0), "halves.second(3)", 1)
    assert State((), 2.0, state, "crop_colour(2)", 2).primitives == {"halves", "second", "crop_colour"}
    assert State((), 0.0).primitives == frozenset()


def test_no_ending_has_a_primitives_name():
    """Else a task would count for the primitive."""
    state = State((np.zeros((2, 2), np.uint8),) * 2, 0.0)
    wider = [
        *final_steps.resized(state, [np.zeros((4, 4), np.uint8)]),
        *final_steps.resized(state, [np.zeros((1, 1), np.uint8)]),
    ]
    assert {s.step.partition("(")[0] for s in wider} == {"scale", "repeat", "pad", "top_left"}
    assert not {"scale", "repeat", "pad", "top_left"} & set(uses.names())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["arc1-training", "--workers", "0"], "--workers 0: expected at least 1"),
        (["arc1-training", "--seconds", "0"], "--seconds 0: expected a number above 0"),
        (["arc1-training", "--view", "8"], "--view 8: expected 0 to 7"),
        (["bench", "--seconds", "nan"], "--seconds nan: expected a number above 0"),
        (["uses"], "expected files that --output wrote"),
        (["uses", "none.jsonl"], "none.jsonl is no file"),
        (["arc1-training", "o.jsonl"], "only uses takes files"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(flags, message, capsys):
    assert command.main(flags) == 2
    assert message in capsys.readouterr().err


# ---- throughput and shape --------------------------------------------------------------------------------------------


def test_sharing_states_reaches_what_running_every_program_reaches():
    task, _ = made(lambda g: g[::-1].copy(), number=2, rows=3, columns=3)
    assert bench.same_outcomes(task, Deadline.after(60), now)


def test_the_search_reaches_what_running_every_program_reaches(monkeypatch):
    """All programs of two steps of every sixth primitive, against the states of the search itself."""
    task, _ = made(lambda g: g[::-1].copy(), number=2, rows=3, columns=3)
    chosen = bench.primitives(task)[::6]
    monkeypatch.setattr(enumerate_, "operators", lambda _: enumerate_.Operators(chosen, (), ()))
    states = Enumeration(task, Deadline.after(60), 60_000).run(60_000)
    programs = [[one.run, two.run] for one in chosen for two in chosen]
    _, reached = bench.naive(task, programs, Deadline.after(60), now)
    assert len(reached) > 20
    assert reached <= {mark(s.grids) for s in states}


def test_sharing_states_covers_more_programs_a_second():
    task, _ = made(lambda g: g[::-1].copy(), number=2, rows=3, columns=3)
    slow, _ = bench.naive(task, bench.drawn(task, 2000, 0), Deadline.after(0.5), now)
    fast, _ = bench.shared(task, bench.STEPS, Deadline.after(1.5), now)
    assert fast.per_second > 2 * slow.per_second


def test_loading_the_solver_loads_no_model_library():
    program = (
        "import sys, solver.programs.solve\n"
        "sys.exit(str(sorted({'torch', 'transformers', 'vllm', 'peft'} & set(sys.modules)) or ''))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == ""
