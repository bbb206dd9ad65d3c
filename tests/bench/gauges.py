"""What must be quick for people to like using it, measured without a model: votes, scores, the report.

    python -m tests.bench --only votes report

Seconds are processor seconds, so that other work on the machine does not count: of this process for votes, of a fresh
one on one core for commands, the start of Python included; the note says what that took by the clock.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from solver.analysis.solutions import read_solutions
from solver.clock import now
from solver.data import views as task_views
from solver.data.tasks import load_split
from solver.types import Candidate, Grid
from solver.voting import rules
from tests.support import browser, runs

SPLIT = "arc1-evaluation"  # 400 tasks
TASKS, CANDIDATES = 100, 64  # of the votes
SCORING_VIEWS = 8  # readings of each candidate
VIEWS = 16  # of the 400-task run, in each of its three stages


@dataclass(frozen=True)
class Gauge:
    """One measurement: its value, and what it must be below; None and why in `note` where it could not be taken."""

    name: str
    value: float | None
    most: float
    unit: str
    note: str = ""

    def line(self) -> str:
        """As a row of the table."""
        value = "not measured" if self.value is None else f"{self.value:.2f} {self.unit}"
        return f"| {self.name} | {value} | under {self.most:g} {self.unit} | {self.note} |"


def saved(tasks: int = TASKS, count: int = CANDIDATES, seed: int = 0) -> list[list[Candidate]]:
    """So many candidates of one test input a task, of the grid sizes of real tasks, re-read under scoring views.

    Every other task's views make the same few mistakes, the others' views each their own, which is as many distinct
    answers as there can be.
    """
    rng, solutions = np.random.default_rng(seed), read_solutions(SPLIT)
    made = []
    for at, task in enumerate(load_split(SPLIT).tasks[:tasks]):
        views = task_views.views(task, count, seed, "gauge")
        found = runs.guesses(rng, solutions[task.id][0], views, 0.5)
        if at % 2:
            found = [Candidate(runs.spoiled(rng, c.grid, 9), c.view, c.logprob) for c in found]
        made.append([Candidate(c.grid, c.view, c.logprob, _scores(c.grid)) for c in found])
    return made


def _scores(grid: Grid) -> tuple[float, ...]:
    """Nats that depend on the grid alone, as readings of it do."""
    rng = np.random.default_rng(int(grid.sum()))
    return tuple(map(float, -rng.exponential(1.0, SCORING_VIEWS)))


def votes() -> Iterator[Gauge]:
    """The same saved candidates through each rule."""
    candidates = saved()
    for rule in rules.RULES:
        started = process_time()
        for of_task in candidates:
            rules.rank(of_task, rule)
        spent = process_time() - started
        yield Gauge(f"vote by {rule}, {TASKS} tasks", spent, 1.0, "s", f"{CANDIDATES} candidates a task")


def report(directory: Path) -> Iterator[Gauge]:
    """A made-up run over 400 tasks: its scores, its report, and how soon that can be used in a browser."""
    run = runs.of_split(directory / "gauge.run", SPLIT, views=VIEWS)
    scored = "-m", "solver", "evaluate", str(run.with_suffix(".json")), "--split", SPLIT
    yield command("scores of 400 tasks", 2.0, *scored)
    yield command("report of 400 tasks", 20.0, "-m", "solver", "report", str(run))
    page = run / "report.html"
    yield Gauge("its size", page.stat().st_size / 1e6, 15.0, "MB", f"{3 * VIEWS} candidates a test input at most")
    yield interactive(page)


def command(name: str, most: float, *given: str) -> Gauge:
    """A command in a fresh Python on one core; RuntimeError where it fails."""
    core, started = {min(os.sched_getaffinity(0))}, now()
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(
            [sys.executable, *given], stdout=told, stderr=told, preexec_fn=lambda: os.sched_setaffinity(0, core)
        )
        _, status, used = os.wait4(process.pid, 0)  # its own seconds: those of all children have others' in them
        process.returncode, wall = os.waitstatus_to_exitcode(status), now() - started
        if process.returncode:
            told.seek(0)
            raise RuntimeError(f"{name}: exit status {process.returncode}: {told.read()[-2000:]}")
    return Gauge(name, used.ru_utime + used.ru_stime, most, "s", f"{wall:.2f} s by the clock")


def interactive(page: Path) -> Gauge:
    """Seconds from opening the page to its list of tasks answering, as the page itself measures them."""
    try:
        with browser.chromium(browser.DESKTOP) as driver:
            driver.get(page.as_uri())
            ready = int(driver.execute_script("return document.documentElement.dataset.ready")) / 1000
    except pytest.skip.Exception as missing:
        return Gauge("time to interactive", None, 2.0, "s", str(missing))
    return Gauge("time to interactive", ready, 2.0, "s", "chromium, from disk")


GAUGES: dict[str, Callable[[Path], Iterator[Gauge]]] = {"votes": lambda _: votes(), "report": report}
