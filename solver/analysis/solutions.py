"""The right answers, with the name and hash of the data they come from; and whether they belong to a run.

Read after the answers are fixed. Law: solutions of another dataset are refused with both hashes, never scored against.
"""

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from solver.analysis.history import History
from solver.data import tasks
from solver.data.json_files import Members, describe, read_bytes, read_json
from solver.data.splits import SPLITS, VERSIONS, EmbeddedSplit, Version
from solver.data.tasks import Fault, contents, parse_grid
from solver.types import BadInput, Grid, Task, key

SHOWN = 12  # hex digits of a hash that people are shown


@dataclass(frozen=True, eq=False)
class Solutions:
    """Test outputs and where they come from."""

    grids: Mapping[str, tuple[Grid, ...]]  # id → one a test input
    name: str  # split or file
    sha256: str  # of the data read
    version: str  # which published set this is, in words
    parts: tuple[EmbeddedSplit, ...]  # the data files whose challenges these outputs answer; (): nobody knows

    def __str__(self) -> str:
        return f"{self.name} (sha256 {self.sha256[:SHOWN]}, {self.version})"

    @property
    def data(self) -> dict[str, str]:
        """Which solutions these are, for JSON."""
        return {"name": self.name, "sha256": self.sha256, "version": self.version}

    @property
    def line(self) -> str:
        """The same, in one line above a score."""
        return f"data             {self.name}, sha256 {self.sha256[:SHOWN]}: {self.version}"


def digest(grids: Mapping[str, Sequence[Grid]]) -> str:
    """A sha256 (hex) of the outputs themselves, whatever file they were in and however it was written."""
    sha256 = hashlib.sha256()
    for task_id in sorted(grids):
        for rows, columns, cells in map(key, grids[task_id]):
            sha256.update(f"{task_id} {rows} {columns} ".encode() + cells)
    return sha256.hexdigest()


def read_solutions(source: str | Path) -> dict[str, tuple[Grid, ...]]:
    """The outputs of an embedded set, by its name, or of Kaggle's solutions JSON, by its path. Raises `BadInput`."""
    if isinstance(source, Path):
        return _of_file(source)
    split = tasks.split_named(source)
    published: Any = read_json(tasks.data_file(split, f"split {source}"))
    published = published[split.part]
    return {i: tuple(parse_grid(test["output"], i) for test in published[i]["test"]) for i in split.ids or published}


def _of_file(path: Path) -> dict[str, tuple[Grid, ...]]:
    expected = "expected Kaggle's solutions JSON {id: [grid, ...]}; pass such a file"
    content = read_json(path)
    if not isinstance(content, Members) or not content:
        raise BadInput(f"{path} holds {describe(content) if content else 'nothing'}; {expected}")
    try:
        if content.repeated:
            raise Fault(describe(content.repeated[0][0]), "appears more than once")
        return {task_id: _outputs(content, task_id) for task_id in content}
    except Fault as fault:
        raise BadInput(f"{path}: {fault}; {expected}") from None


def _outputs(content: Members, task_id: str) -> tuple[Grid, ...]:
    grids = content[task_id]
    if not isinstance(grids, list) or not grids:
        raise Fault(describe(task_id), f"{describe(grids)} came, a list of at least one grid was expected")
    return tuple(parse_grid(grid, f"{describe(task_id)}[{i}]") for i, grid in enumerate(grids))


def load(split: str | None, file: Path | None) -> Solutions:
    """The solutions of an embedded set or of Kaggle's solutions JSON. Raises `BadInput`."""
    if split is not None:
        grids, parts = read_solutions(split), (replace(SPLITS[split], ids=()),)
        name = next((v.name for v in VERSIONS.values() if set(parts) & set(v.parts)), SPLITS[split].file)
        return Solutions(grids, split, _sha256(tasks.data_file(SPLITS[split], split)), name, parts)
    if file is None:
        raise BadInput("no solutions were named; expected --solutions FILE or --split NAME; pass one of them")
    grids = read_solutions(file)
    version = VERSIONS.get(digest(grids)[:16], Version("no published set that is known here", ()))
    return Solutions(grids, str(file), _sha256(file), version.name, version.parts)


def _sha256(file: Path) -> str:
    return hashlib.sha256(read_bytes(file)).hexdigest()


def add_arguments(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """The flags that name solutions, `required` where no run is there to name them."""
    source = parser.add_mutually_exclusive_group(required=required)
    default = "" if required else " (default: the run's)"
    source.add_argument("--solutions", type=Path, metavar="FILE", help=f"Kaggle's solutions JSON{default}")
    source.add_argument("--split", metavar="NAME", help=f"the embedded set with the solutions{default}")


def chosen(split: str | None, file: Path | None, run: History | None) -> Solutions:
    """The solutions named, or else those the run's record names. Raises `BadInput`, also if they are not the run's."""
    if run is not None and split is None and file is None:
        split, named = run.start.get("split"), run.start.get("solutions")
        file = Path(str(named)) if named and not split else None
    solutions = load(split, file)
    if run is not None:
        check(run, solutions)
    return solutions


def of_run(run: History) -> Solutions | None:
    """The solutions a run's own record names, if they can be read and are its; None otherwise."""
    try:
        return chosen(None, None, run)
    except BadInput:
        return None


def check(history: History, solutions: Solutions) -> None:
    """Raise `BadInput` with both hashes where the solutions are of another dataset than the run's tasks.

    Sets may overlap in part; what both have must be the same task, as far as the data at hand can tell.
    """
    both = [story for story in history.stories.values() if story.id in solutions.grids]
    if history.stories and not both:
        raise _refused(history, solutions, f"none of its {len(history.stories)} tasks is there")
    for story in both:
        count = len(solutions.grids[story.id])
        if count != story.tests:
            why = f"task {story.id} has {count} outputs there, {story.tests} test inputs here"
            raise _refused(history, solutions, why)
    if solutions.sha256 == history.start.get("data_sha256"):
        return  # one and the same data file
    shown = {story.id: story.task for story in both if story.task is not None}
    others = [_other(replace(part, ids=tuple(shown)), shown) for part in solutions.parts] if shown else []
    if others and all(others):
        raise _refused(history, solutions, f"task {others[0]} has other demonstrations or test inputs there")


def _refused(history: History, solutions: Solutions, why: str) -> BadInput:
    own = str(history.start.get("data_sha256") or "unknown")
    return BadInput(
        f"{solutions} is of another dataset than the run {history.directory} (sha256 {own[:SHOWN]}): {why}; "
        "pass the solutions of the run's own data"
    )


def _other(split: EmbeddedSplit, shown: Mapping[str, Task]) -> str:
    """The first task whose challenge differs from the data file's; '' where all are the same or nobody can say."""
    try:
        published = {task.id: task for task in tasks.load_embedded(split).tasks}
    except (BadInput, KeyError):
        return ""
    return next((i for i, task in shown.items() if i in published and contents(task) != contents(published[i])), "")
