"""The entry point: parse → load → placeholder answers → run → final answers. `python submission.py --help`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from solver.clock import Deadline

if __name__ == "__main__":
    STARTED = Deadline.after(0)  # the moment the time limit counts from: before what takes its time to load

from solver.analysis.scoring import scored
from solver.analysis.solutions import read_solutions
from solver.cli import cpu_is_meant, parse, planned, time_planned
from solver.hardware import preflight
from solver.kaggle.notebook import RERUN  # where nobody will look at a report
from solver.runtime.prepare import prepare
from solver.runtime.record import directory_of
from solver.runtime.run import Run, check_gpus
from solver.types import BadInput

REPORT_SECONDS = 3.0  # a report of 400 tasks takes about as long


def main(argv: list[str], started: Deadline) -> int:
    """Run a submission; returns the exit status: 0 done, 1 broken, 2 bad input (one line)."""
    options = parse(argv)
    try:
        if options.plan is not None and not cpu_is_meant(options):
            print(planned(options))
            return 0
        plan = prepare(options, read_solutions)
        if options.plan is not None:
            print(time_planned(options, plan))
            return 0
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.preflight:
        findings = check_gpus(plan)
        print("\n".join(map(str, findings)))
        return 0 if preflight.possible(findings) else 1
    deadline = Deadline(started.at + plan.config.time_limit - options.already_spent)
    status = Run(plan, deadline, scored).execute()
    if status == 0 and not options.no_report and RERUN not in os.environ:
        report(directory_of(plan.output), deadline)
    return status


def report(run: Path, deadline: Deadline) -> None:
    """Write the run's report where there is time for it, and say where; whatever fails, the answers are written."""
    if deadline.remaining() < REPORT_SECONDS:
        print(f"no time left for a report: python -m solver report {run} writes it")
        return
    try:
        from solver.analysis.report import write  # only now: it loads a template engine

        print(f"{write(run)}: open it in a browser")
    except (ImportError, OSError, ValueError) as error:
        print(f"warning: no report: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], STARTED))
