"""A worker process whose code model is a fake that says given texts; all else of it is the real one.

Started by its module's name, from the folder above `tests`. With `--by induction` the real worker serves, its writer
replaced; without, `fake_worker` does, so that a whole run needs no model. The script's `texts`: what is said to the
questions, over and over.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.support import fake_worker


def command(folder: Path, **script: Any) -> tuple[str, ...]:
    """What to start such a worker with."""
    return sys.executable, "-m", "tests.support.fake_writer", fake_worker.command(folder, **script)[-1]


def write(script: Path, argv: list[str]) -> int:
    """The real worker, its engine replaced."""
    from solver.induction import writer
    from solver.induction.replies import Completion
    from solver.runtime import worker

    texts = json.loads(script.read_text())["texts"]

    class Writer:
        def __init__(self, model: Path, settings: object, seed: int) -> None:
            assert (model / "config.json").exists()

        def room(self, question: Any) -> int:
            return 1 << 12

        def write(self, questions: Any, seed: int, stop: Any) -> list[Completion | None]:
            return [Completion(texts[at % len(texts)]) for at in range(len(questions))]

    writer.VllmWriter = Writer  # type: ignore[assignment, misc]
    return worker.main(argv)


if __name__ == "__main__":
    path, given = Path(sys.argv[1]), sys.argv[2:]
    if "induction" in given:
        fake_worker.Worker(path, given)  # notes the start
        sys.exit(write(path, given))
    fake_worker.Worker(path, given).run()
