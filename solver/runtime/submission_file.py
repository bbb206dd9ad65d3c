"""The answer file: complete and valid from the first second on, replaced atomically after every task; its validator.

Law: whatever moment the process dies at, the file is either the one that was there before or a complete, valid
submission; two attempts are always two different grids.
"""

import argparse
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solver.data.json_files import Members, describe, read_json
from solver.data.tasks import Fault, TaskSet, load_challenges, load_split, parse_grid
from solver.types import (
    ATTEMPTS,
    COLOURS,
    MAX_SIDE,
    Attempts,
    BadInput,
    Candidate,
    Grid,
    Pair,
    Program,
    Task,
    View,
    same,
)

ATTEMPT_NAMES = tuple(f"attempt_{i + 1}" for i in range(ATTEMPTS))
PLACEHOLDER_COST = 1.0  # steps: of a placeholder that counts as a program
UNREADABLE_SIDE = 3  # cells: the side of the placeholder for a test input nobody can read; the commonest output side


# ---- placeholders ----------------------------------------------------------------------------------------------------


def placeholders(inputs: Sequence[Grid | None], demonstrations: Sequence[Pair] = ()) -> tuple[Attempts, ...]:
    """Two different valid grids for each test input (None: unreadable), guessed from the demonstrations' shapes."""
    pairs = []
    for grid in inputs:
        unreadable = np.zeros((UNREADABLE_SIDE, UNREADABLE_SIDE), dtype=np.uint8)
        guesses = _guesses(unreadable if grid is None else grid, demonstrations)
        first = next(guesses)
        pairs.append((first, next(guess for guess in guesses if not same(first, guess))))
    return tuple(pairs)


def placeholders_for(task_set: TaskSet) -> dict[str, tuple[Attempts, ...]]:
    """Placeholders for every id of the set, malformed ones included: id → one entry a test input."""
    shown = {task.id: task.demonstrations for task in task_set.tasks}
    return {task_id: placeholders(inputs, shown.get(task_id, ())) for task_id, inputs in task_set.test_inputs.items()}


def proven_for(task_set: TaskSet) -> dict[str, tuple[tuple[Candidate, ...], ...]]:
    """What is `proven` of each task of the set of which anything is."""
    return {task.id: candidates for task in task_set.tasks if any(candidates := proven(task))}


def proven(task: Task) -> tuple[tuple[Candidate, ...], ...]:
    """For each test input the guesses by ways that reproduce every demonstration, and one that they were not told of.

    Simple programs, that is. What reproduces only what it was told is none: any single cell can be recoloured.
    """
    shown = task.demonstrations
    ways = set.intersection(*(_right_ways(pair, shown) for pair in shown)) if shown else set()
    if not ways:
        return tuple(() for _ in task.tests)
    untold = [_right_ways(pair, [other for other in shown if other is not pair]) for pair in shown]
    generalises = {way: sum(way in right for right in untold) / len(shown) for way in ways}
    programs = {
        way: Program(f"placeholder: {way}", PLACEHOLDER_COST, share) for way, share in generalises.items() if share
    }
    return tuple(
        tuple(
            Candidate(guess, View(), 0.0, program=programs[way])
            for way, guess in _guessed(grid, shown)
            if way in programs
        )
        for grid in task.tests
    )


def _right_ways(pair: Pair, demonstrations: Sequence[Pair]) -> set[str]:
    """The ways to guess by these demonstrations that give the pair's output; none where there are none of them."""
    if not demonstrations:
        return set()
    return {way for way, guess in _guessed(pair.input, demonstrations) if same(guess, pair.output)}


def _guesses(grid: Grid, demonstrations: Sequence[Pair]) -> Iterator[Grid]:
    return (guess for _, guess in _guessed(grid, demonstrations))


def _guessed(grid: Grid, demonstrations: Sequence[Pair]) -> Iterator[tuple[str, Grid]]:
    """Grids of the guessed shape by the way they come about, likeliest first; always at least two different ones."""
    rows, columns = output_shape(grid, demonstrations)
    if (rows, columns) == grid.shape:
        yield "recoloured", _recolour(demonstrations)[grid]
        yield "as it is", grid
    elif rows % grid.shape[0] == 0 and columns % grid.shape[1] == 0:
        yield "repeated", np.tile(grid, (rows // grid.shape[0], columns // grid.shape[1]))
    used = Counter(int(cell) for pair in demonstrations for cell in pair.output.flat)
    for colour in sorted(range(COLOURS), key=lambda colour: (-used[colour], colour)):
        yield f"filled with {colour}", np.full((rows, columns), colour, dtype=np.uint8)


def _recolour(demonstrations: Sequence[Pair]) -> NDArray[np.uint8]:
    """uint8 [10]: what each colour most often becomes where a demonstration keeps its shape; itself if never seen."""
    seen = np.eye(COLOURS, dtype=np.int64)  # a tie, or no sight at all, goes to the colour itself
    for pair in demonstrations:
        if pair.input.shape == pair.output.shape:
            np.add.at(seen, (pair.input, pair.output), 2)
    becomes: NDArray[np.uint8] = seen.argmax(axis=1).astype(np.uint8)
    return becomes


def output_shape(grid: Grid, demonstrations: Sequence[Pair]) -> tuple[int, int]:
    """The (rows, columns) to expect for a test input, each 1 to 30, each side guessed on its own."""
    rows, columns = (
        _side(grid.shape[axis], [(pair.input.shape[axis], pair.output.shape[axis]) for pair in demonstrations])
        for axis in (0, 1)
    )
    return rows, columns


def _side(side: int, shown: Sequence[tuple[int, int]]) -> int:
    """The output side that belongs to the input side: kept, else constant, else scaled, else as the input."""
    if all(before == after for before, after in shown):
        return side
    if len({after for _, after in shown}) == 1:
        return shown[0][1]
    scales = {Fraction(after, before) for before, after in shown}
    scaled = side * scales.pop()
    return int(scaled) if not scales and scaled.denominator == 1 and 1 <= scaled <= MAX_SIDE else side


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
