"""What is kept, as files: the tasks as Kaggle's challenges JSON, and every generator asked for as a line of JSON.

`python -m solver pretrain pool --tasks FILE` and `python -m solver finetune --pool FILE` read the first; the second
lies beside it, with the ending `.jsonl`. Laws: the first is whole at any time, and never larger than what is read.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from solver.data.json_files import LARGEST
from solver.generators.write import WrittenGenerator
from solver.types import BadInput, Grid, Pair


def task_id(source: str, seed: int) -> str:
    """What the task of a generator is called, whose pairs were drawn in a run with this seed."""
    return f"written-{hashlib.sha256(f'{seed}/{source}'.encode(errors='replace')).hexdigest()[:10]}"


def task_text(pairs: Sequence[Pair]) -> str:
    """A task of Kaggle's form, all of its pairs complete: the last one as the test pair."""
    rows = [{"input": _rows(pair.input), "output": _rows(pair.output)} for pair in pairs]
    return json.dumps({"train": rows[:-1], "test": rows[-1:]}, separators=(",", ":"))


def _rows(grid: Grid) -> list[list[int]]:
    rows: list[list[int]] = grid.tolist()
    return rows


@dataclass(eq=False)
class PoolFile:
    """The two files of a run, `path` being the first. `full`: it can hold no more tasks."""

    path: Path
    seed: int
    largest: int = LARGEST
    full: bool = False
    _tasks: dict[str, str] = field(default_factory=dict)
    _size: int = 4  # bytes

    @property
    def record(self) -> Path:
        """The second file."""
        return self.path.with_suffix(".jsonl")

    def open(self) -> None:
        """Begin the files. Raises `BadInput` where either is there, unless empty, or cannot be written."""
        if self.path.suffix != ".json":
            raise BadInput(f"{self.path} does not end in .json; expected so, as that is how a file of tasks is told")
        for path in (self.path, self.record):
            if path.exists() and path.stat().st_size:
                raise BadInput(f"{path} exists; expected a new file, as generators are slow to get; name another")
        with self._writing(self.record):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.record.touch()

    def add(self, generators: Sequence[WrittenGenerator]) -> None:
        """Put those that were kept among the tasks, and a line about each into the record. Raises `BadInput`."""
        self._record([self._line(generator) for generator in generators])
        if self._tasks:
            partial = self.path.with_name(f"partial-{self.path.name}")
            text = "{\n" + ",\n".join(f'"{name}":{text}' for name, text in self._tasks.items()) + "\n}\n"
            with self._writing(self.path):
                partial.write_text(text)
                os.replace(partial, self.path)

    def close(self, summary: Mapping[str, object]) -> None:
        """Write the record's last line: how the run was asked for, and its counts. Raises `BadInput`."""
        self._record([summary])

    def _record(self, lines: Sequence[Mapping[str, object]]) -> None:
        with self._writing(self.record), self.record.open("a") as file:
            file.writelines(f"{json.dumps(line)}\n" for line in lines)

    @staticmethod
    @contextlib.contextmanager
    def _writing(path: Path) -> Iterator[None]:
        """Raises `BadInput` where what is done within fails, such as on a full disk."""
        try:
            yield
        except OSError as error:
            came = f"{path} cannot be written ({error.strerror or error})"
            raise BadInput(f"{came}; expected a folder to write to; name another, or make room") from None

    def _line(self, generator: WrittenGenerator) -> dict[str, str]:
        """What the record says of a generator, whose task is put among the others where it was kept and has room."""
        verdict, name = generator.verdict, ""
        if not verdict.failed:
            name, text = task_id(generator.source, self.seed), task_text(verdict.pairs)
            size = self._size + len(name) + len(text) + 8
            if size <= self.largest:
                self._tasks[name], self._size = text, size
            else:
                name, self.full = "", True
        return {
            "task": name,
            "failed": verdict.failed,
            "reason": verdict.reason,
            "description": generator.description,
            "source": generator.source,
        }
