"""A task's search for programs as a stage: what it gives the run, and that its process stays light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from solver.clock import Deadline
from solver.config.settings import ProgramSettings
from solver.programs import combined, solve
from solver.programs.values import Proposal
from solver.runtime import worker
from solver.runtime.messages import Order, order_to_line
from solver.types import PROGRAMS, same
from solver.voting.ensemble import ANSWERS_KEPT
from tests.support import fakes
from tests.support.fakes import MIRROR, STACK

ROOT = Path(__file__).resolve().parents[3]
QUICK = ProgramSettings(seconds=20.0, nodes=400)
ONE, TWO = fakes.grid([[1]]), fakes.grid([[2]])


@pytest.fixture
def asked(monkeypatch):
    """The budgets of searches that find many answers, of one cell, to two test inputs."""
    budgets = []

    def fake(task, stop, nodes):
        budgets.append((stop.remaining(), nodes))
        return tuple(Proposal((ONE, TWO), f"program {n}", 2.0 + n, 0.5, 3) for n in range(20))

    monkeypatch.setattr(combined, "search_both", fake)
    return budgets


def test_a_search_finds_the_rule_and_says_by_which_program():
    result = worker.search(STACK, QUICK, Deadline.after(60))
    assert (result.task_id, result.stage, result.steps, result.rejected) == ("stack", PROGRAMS, 0, 0)
    assert len(result.candidates) == 2
    for test, found in zip(STACK.tests, result.candidates, strict=True):
        assert same(found[0].grid, fakes.stack(test))
        assert found[0].program.text
    assert list(result.seconds) == ["programs"]


def test_a_search_gets_its_nodes_and_no_more_seconds_than_its_own_and_its_batch_s(asked):
    clock = fakes.FakeClock()
    for batch in (60.0, 2.0):
        worker.search(STACK, ProgramSettings(seconds=5.0, nodes=77), Deadline.after(batch, clock))
    assert asked == [(5.0, 77), (2.0, 77)]


def test_a_search_that_its_seconds_ended_says_so(monkeypatch):
    clock = fakes.FakeClock()

    def nothing(seconds):
        def fake(task, stop, nodes):
            clock.advance(seconds)
            return ()

        monkeypatch.setattr(combined, "search_both", fake)
        return worker.search(MIRROR, ProgramSettings(5.0), Deadline.after(60, clock))

    monkeypatch.setattr(worker, "now", clock)
    cut, whole = nothing(9.0), nothing(4.0)
    assert cut.notes == ("the search for programs was stopped after 9.0 s",)
    assert whole.notes == ()
    assert cut.candidates == whole.candidates == ((),)


def test_the_best_few_answers_are_kept_with_what_is_known_of_their_programs(asked):
    first, second = worker.search(STACK, QUICK, Deadline.after(60)).candidates
    assert len(first) == len(second) == ANSWERS_KEPT
    assert (first[0].grid.tolist(), second[0].grid.tolist()) == ([[1]], [[2]])
    program = first[1].program
    assert (program.text, program.cost, program.generalises, program.support) == ("program 1", 3.0, 0.5, 3)


def test_the_settings_search_as_far_as_the_search_does_by_itself():
    assert ProgramSettings().nodes == solve.NODES


CHILD = """
import os, sys
from solver.runtime.worker import main
status = main(sys.argv[1:])
print(status, *sorted({"torch", "vllm", "transformers", "peft"} & set(sys.modules)))
print(os.nice(0), open("/proc/self/oom_score_adj").read())
"""


@pytest.mark.slow
def test_a_process_that_searches_answers_orders_without_torch_and_gives_way_to_others(tmp_path):
    """The real command: its answer on the descriptor it is given, and what it said of itself before it ended."""
    order = order_to_line(Order(PROGRAMS, (STACK,), 30.0, {}, False, {}, tmp_path)).decode()
    config = json.dumps({"programs": {"seconds": 20.0, "nodes": 400}})
    reading, writing = os.pipe()
    flags = ["--weights", "none", "--reports", str(writing), "--scratch", str(tmp_path), "--config", config]
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, "--by", "programs", *flags],
        input=order,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        pass_fds=(writing,),
    )
    os.close(writing)
    with os.fdopen(reading) as reports:
        said = [json.loads(line) for line in reports]
    assert ran.returncode == 0, ran.stderr
    assert [report["kind"] for report in said] == ["ready", "result", "done"]
    assert said[1]["candidates"][0][0]["grid"] == fakes.stack(STACK.tests[0]).tolist()
    assert ran.stdout.split() == ["0", str(worker.NICENESS), str(worker.MOST_ADJUSTED)]
