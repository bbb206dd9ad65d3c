"""One task's search for programs as a stage of the run: proposals to candidates, within seconds and nodes.

Knows nothing of models, processes or of who asks. Laws: no torch, one core; the same task and nodes give the same
candidates as long as the seconds last, and where they did not, a note says so.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from solver.clock import Deadline, now
from solver.config.settings import ProgramSettings
from solver.programs.solve import search_programs
from solver.programs.values import Proposal
from solver.types import PROGRAMS, Candidate, Program, Task, TaskResult, View

KEPT = 8  # distinct answers a task keeps: two are attempted, the others are for the record's readers
NICENESS = 19  # of a process that searches: whoever has something to do for the model goes first
FIRST_TO_GO = 1000  # the kernel's measure of whom to end when memory runs out: at most
PRIORITY = Path("/proc/self/oom_score_adj")


def search(task: Task, settings: ProgramSettings, stop: Deadline) -> TaskResult:
    """The task's best programs' answers, found before `stop` and within the settings' seconds."""
    started, own = now(), stop.within(settings.seconds)
    proposals = search_programs(task, own, settings.nodes)
    seconds = now() - started
    cut = own.remaining() <= 0
    return TaskResult(
        task_id=task.id,
        stage=PROGRAMS,
        candidates=candidates(proposals[:KEPT], len(task.tests)),
        seconds={"programs": seconds},
        notes=(f"the search for programs was stopped after {seconds:.1f} s",) if cut else (),
    )


def candidates(proposals: Sequence[Proposal], tests: int) -> tuple[tuple[Candidate, ...], ...]:
    """What the proposals answer, one entry a test input."""
    programs = [Program(p.program, round(p.cost, 3), round(p.generalises, 3), p.support) for p in proposals]
    pairs = list(zip(proposals, programs, strict=True))
    return tuple(
        tuple(Candidate(p.grids[n], View(), 0.0, program=program) for p, program in pairs) for n in range(tests)
    )


def give_way() -> None:
    """Have this process run only where nobody else wants the core, and end first where memory runs out."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # no such file on other systems; everything else works without
        PRIORITY.write_text(str(FIRST_TO_GO))
