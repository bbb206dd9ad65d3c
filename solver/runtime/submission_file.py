"""The answer file: complete and valid from the first second on, replaced atomically after every task; its validator.

Law: whatever moment the process dies at, the file is either the one that was there before or a complete, valid
submission; two attempts are always two different grids.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from solver.data.json_files import Members, describe, read_json
from solver.data.tasks import Fault, load_challenges, load_split, parse_grid
from solver.types import (
    ATTEMPTS,
    COLOURS,
    MAX_SIDE,
    Attempts,
    BadInput,
    same,
)

ATTEMPT_NAMES = tuple(f"attempt_{i + 1}" for i in range(ATTEMPTS))


# ---- the file --------------------------------------------------------------------------------------------------------


class AnswerFile:
    """A submission file on disk: `start` writes it whole, `fill` replaces one task's answers and writes it again."""

    def __init__(self, path: Path, tests: Mapping[str, int]) -> None:
        """`path`: the file, its folder made if missing. `tests`: every id → test inputs, in the order to be written."""
        self.path = Path(os.path.realpath(path))  # replacing a link would cut it off from its file
        self._tests = dict(tests)
        self._lines: dict[str, str] = {}  # encoded once a task, so that a rewrite is one join

    def start(self, answers: Mapping[str, Sequence[Attempts]]) -> None:
        """Write a complete file; until this succeeds one that is there stays untouched. Raises as `fill`, `check`."""
        if set(answers) != set(self._tests):
            raise ValueError(f"placeholders for {len(answers)} tasks came, for these {len(self._tests)} were expected")
        lines = {task_id: self._line(task_id, answers[task_id]) for task_id in self._tests}
        with self._writable():
            self._prepare()
            self._write(lines)
        self._lines = lines

    def check(self) -> None:
        """Raise `BadInput` where the file could not be written, before anything else is done."""
        with self._writable():
            self._prepare()
            self.path.with_name(f".{self.path.name}.{os.getpid()}.partial").touch()
            self._prepare()

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise BadInput(f"{self.path} cannot be written ({reason}); expected a file in a writable folder") from None

    def fill(self, task_id: str, attempts: Sequence[Attempts]) -> None:
        """Replace one task's answers and the file on disk; a task may be filled again.

        `attempts`: one entry a test input. Raises `ValueError`, with nothing changed, where they are not two different
        grids for each; `OSError` where the disk refuses: the answers are then kept for the next write.
        """
        if not self._lines:
            raise ValueError(f"answers to {describe(task_id)} came before start() had written placeholders")
        self._lines[task_id] = self._line(task_id, attempts)
        self._write(self._lines)

    def flush(self) -> None:
        """Write once more what a refusing disk may have kept from being written. Raises `OSError`."""
        self._write(self._lines)

    def _line(self, task_id: str, answers: Sequence[Attempts]) -> str:
        if task_id not in self._tests:
            raise ValueError(f"answers to {describe(task_id)} came, which is not a task of {self.path.name}")
        if len(answers) != self._tests[task_id]:
            raise ValueError(f"{task_id}: {len(answers)} answers came, {self._tests[task_id]} were expected")
        entries = [_entry(attempts, f"{task_id}[{i}]") for i, attempts in enumerate(answers)]
        return f"{json.dumps(task_id)}: {json.dumps(entries, separators=(',', ':'))}"

    def _prepare(self) -> None:
        if self.path.exists() and not self.path.is_file():
            raise OSError(0, "it is not a regular file")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for file in self.path.parent.iterdir():  # left over by a run that was killed while writing
            middle = file.name.removeprefix(f".{self.path.name}.").removesuffix(".partial")
            if file.name == f".{self.path.name}.{middle}.partial" and middle.isdecimal():
                file.unlink(missing_ok=True)

    def _write(self, lines: Mapping[str, str]) -> None:
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        partial.unlink(missing_ok=True)
        try:
            with partial.open("x", encoding="ascii") as file:
                file.write("{\n" + ",\n".join(lines.values()) + "\n}\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.path)
        finally:
            partial.unlink(missing_ok=True)


def _entry(attempts: Attempts, where: str) -> dict[str, list[list[int]]]:
    if len(attempts) != ATTEMPTS:
        raise ValueError(f"{where}: {len(attempts)} attempts came, {ATTEMPTS} were expected")
    named = dict(zip(ATTEMPT_NAMES, attempts, strict=True))
    for name, grid in named.items():
        _check(grid, f"{where}.{name}")
    if same(*attempts):
        raise ValueError(f"{where}: two equal attempts came, two different grids were expected")
    return {name: grid.tolist() for name, grid in named.items()}


def _check(grid: object, where: str) -> None:
    if not isinstance(grid, np.ndarray) or grid.ndim != 2 or not np.issubdtype(grid.dtype, np.integer):
        raise ValueError(f"{where}: no grid came, a two-dimensional array of integers was expected")
    if not all(1 <= side <= MAX_SIDE for side in grid.shape):
        raise ValueError(f"{where}: shape {grid.shape} came, sides of 1 to {MAX_SIDE} were expected")
    if grid.min() < 0 or grid.max() >= COLOURS:
        raise ValueError(f"{where}: colours {grid.min()} to {grid.max()} came, 0 to {COLOURS - 1} were expected")


# ---- validation ------------------------------------------------------------------------------------------------------


def validate(submission: object, tests: Mapping[str, int]) -> list[str]:
    """Every fault of a submission as parsed from JSON; `tests`: id → test inputs, in file order. Empty if valid."""
    if not isinstance(submission, dict):
        return [f"{describe(submission)} came, an object of task ids was expected"]
    faults = _repeated(submission, "")
    faults += [f"{describe(task_id)}: is missing" for task_id in tests if task_id not in submission]
    faults += [f"{describe(task_id)}: is not in the challenges" for task_id in submission if task_id not in tests]
    if not faults and list(submission) != list(tests):
        faults.append("the ids come in another order than in the challenges")
    for task_id in filter(tests.__contains__, submission):
        entries, count, where = submission[task_id], tests[task_id], describe(task_id)
        if isinstance(entries, list) and len(entries) == count:
            faults += chain.from_iterable(_attempt_faults(entry, f"{where}[{i}]") for i, entry in enumerate(entries))
        else:
            faults.append(f"{where}: {describe(entries)} came, a list of {count} (one entry a test input) was expected")
    return faults


def _repeated(value: dict[str, object], where: str) -> list[str]:
    later = value.repeated if isinstance(value, Members) else ()
    return [f"{where}{describe(name)}: appears more than once" for name, _ in later]


def _attempt_faults(entry: object, where: str) -> list[str]:
    if not isinstance(entry, dict):
        return [f"{where}: {describe(entry)} came, an object of {' and '.join(ATTEMPT_NAMES)} was expected"]
    faults = _repeated(entry, f"{where}.")
    faults += [f"{where}.{describe(name)}: is not an attempt" for name in entry if name not in ATTEMPT_NAMES]
    for name in ATTEMPT_NAMES:
        try:
            if name not in entry:
                raise Fault(f"{where}.{name}", "is missing")
            parse_grid(entry[name], f"{where}.{name}")
        except Fault as fault:
            faults.append(str(fault))
    return faults


def main(argv: Sequence[str]) -> int:
    """The command line. Exit status 0: valid; 1: faults, one a line; 2: a file could not be read."""
    what = "Print each fault of a submission file."
    parser = argparse.ArgumentParser(prog="python -m solver validate", description=what)
    parser.add_argument("submission", type=Path, metavar="FILE", help="the submission to check")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--challenges", type=Path, metavar="FILE", help="Kaggle's challenges JSON or an ARC folder")
    source.add_argument("--split", metavar="NAME", help="an embedded set")
    given = parser.parse_args(argv)
    try:
        task_set = load_split(given.split) if given.split else load_challenges(given.challenges)
        faults = validate(read_json(given.submission), task_set.tests)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    for line in faults or [f"valid: {len(task_set.tests)} tasks, {sum(task_set.tests.values())} test inputs"]:
        print(line)
    return 1 if faults else 0
