"""The entry point: parse → load → placeholder answers → run → final answers. `python submission.py --help`."""

from __future__ import annotations

import sys

from solver.clock import Deadline

if __name__ == "__main__":
    STARTED = Deadline.after(0)  # the moment the time limit counts from

from solver.cli import parse, prepare
from solver.run import Run
from solver.tasks import BadInput


def main(argv: list[str], started: Deadline) -> int:
    """Run a submission; returns the exit status: 0 done, 2 bad input (one line says what to do)."""
    options = parse(argv)
    try:
        plan = prepare(options)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return Run(plan, Deadline(started.at + plan.config.time_limit - options.already_spent)).execute()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], STARTED))
