"""Solves many tasks on several cores, one process each, and keeps what was answered as JSON lines.

Law: a line is written when its task is answered; a run that was cut short goes on where it ended, with the same
settings or not at all.
"""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from solver.clock import Deadline, now
from solver.types import ATTEMPTS, BadInput, Grid, Task, same


@dataclass(frozen=True)
class BatchSettings:
    """What a run's answers depend on: a task's budget on one core, the tasks' sha256 and view (`views.dihedral`)."""

    tasks: str
    seconds: float
    nodes: int
    data: str = ""
    view: int = 0


@dataclass(frozen=True)
class Line:
    """One answered task. `attempts`: for each attempt the grids of all test inputs, as lists; `programs`: their texts.

    `found`: distinct answers there were. `primitives`: for each attempt those its program uses. Until it is scored, or
    where no solution is known, `solved` is None and `right` empty: else, for each attempt, whether it is right on a
    test input that the attempt before it is wrong on.
    """

    task: str
    seconds: float
    found: int
    attempts: list[list[list[list[int]]]]
    programs: list[str]
    costs: list[float]
    generalises: list[float]
    solved: bool | None = None
    primitives: list[list[str]] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)


def answer(task: Task, seconds: float, nodes: int) -> Line:
    """The task's best answers, at most two."""
    from solver.programs.combined import ready, search_both  # with numba, which only a search needs

    ready()
    start = now()
    proposals = search_both(task, Deadline.after(seconds), nodes)
    best = proposals[:ATTEMPTS]
    return Line(
        task.id, round(now() - start, 2), len(proposals), [[g.tolist() for g in p.grids] for p in best],
        [p.program for p in best], [round(p.cost, 2) for p in best], [round(p.generalises, 2) for p in best],
        primitives=[sorted(p.primitives) for p in best],
    )  # fmt: skip


def read(path: Path, settings: BatchSettings) -> dict[str, Line]:
    """What a file of an earlier run holds; a last line cut short is left out. Raises `BadInput`: other settings."""
    if not path.exists():
        return {}
    header, lines = _opened(path)
    if header != asdict(settings):
        expected = json.dumps(asdict(settings))
        raise BadInput(f"{path} is of another run ({json.dumps(header)}); expected {expected}; name another file")
    return {line.task: line for line in lines}


def every(path: Path) -> tuple[int, list[Line]]:
    """A file's view and all its lines, whatever its settings. Raises `BadInput`: no such file, or another kind."""
    if not path.is_file():
        raise BadInput(f"{path} is no file; expected one that --output wrote; name another")
    header, lines = _opened(path)
    view = header.get("view", 0)
    return view if isinstance(view, int) else 0, lines


def _opened(path: Path) -> tuple[dict[str, object], list[Line]]:
    """A file's settings and its lines, without those cut short. Raises `BadInput`: another kind of file."""
    first, *rest = path.read_text(errors="replace").splitlines() or ["{}"]
    header, lines = None, []
    with suppress(ValueError):
        header = json.loads(first)
    if not isinstance(header, dict):
        raise BadInput(f"{path} begins with {first[:60]!r}: expected a file that --output wrote; name another")
    for text in rest:
        with suppress(ValueError, TypeError):
            lines.append(Line(**json.loads(text)))
    return header, lines


def ended(path: Path, settings: BatchSettings) -> dict[str, Line]:
    """What a run with fewer seconds answered without using them up, as more would not change it. Raises `BadInput`."""
    header, lines = _opened(path) if path.is_file() else ({}, [])
    given = header.get("seconds")
    seconds = float(given) if isinstance(given, int | float) else settings.seconds
    if seconds >= settings.seconds or header != asdict(settings) | {"seconds": seconds}:
        expected = json.dumps(asdict(settings))
        raise BadInput(f"{path} is of another run ({json.dumps(header)}); expected {expected}, but with fewer seconds")
    return {line.task: replace(line, solved=None, right=[]) for line in lines if line.seconds < seconds}


def write(path: Path, settings: BatchSettings, lines: Iterable[Line]) -> None:
    """The whole file anew, in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [json.dumps(asdict(settings)), *(json.dumps(asdict(line)) for line in lines)]
    part = path.with_name(path.name + ".part")
    part.write_text("\n".join(texts) + "\n")
    os.replace(part, path)


def processes(count: int) -> ProcessPoolExecutor:
    """So many processes here to answer tasks in."""
    return ProcessPoolExecutor(max_workers=count, mp_context=multiprocessing.get_context("spawn"))


def run(
    tasks: Sequence[Task],
    settings: BatchSettings,
    pool: Executor,
    path: Path | None,
    on_answer: Callable[[Line], None],
    known: Mapping[str, Line] | None = None,
    on_failure: Callable[[str, Exception], None] = lambda *_: None,
) -> dict[str, Line]:
    """Answer the tasks that neither the file nor `known` holds, and add each to the file as it comes.

    `pool` answers them, and is closed at the end. A search that fails counts as no answer and is not in the file, so
    that it is tried again.
    """
    done = {**(known or {}), **(read(path, settings) if path else {})}
    if path:
        write(path, settings, done.values())
    left = [t for t in tasks if t.id not in done]
    with pool:
        asked = {pool.submit(answer, t, settings.seconds, settings.nodes): t.id for t in left}
        try:
            for future in as_completed(asked):
                try:
                    line = done[asked[future]] = future.result()
                except Exception as error:
                    on_failure(asked[future], error)
                    continue
                if path:
                    with path.open("a") as file:
                        file.write(json.dumps(asdict(line)) + "\n")
                on_answer(line)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {t.id: done.get(t.id, Line(t.id, 0.0, 0, [], [], [], [])) for t in tasks}


def score(line: Line, outputs: Sequence[Grid]) -> Line:
    """The line with what was solved: a task is where for every test input one of the attempts is right.

    Nothing is said where no output is known.
    """
    attempts = [[np.array(g, np.uint8) for g in attempt] for attempt in line.attempts]
    first = [next((k for k, a in enumerate(attempts) if same(a[n], o)), None) for n, o in enumerate(outputs)]
    solved = None not in first if outputs else None
    return replace(line, solved=solved, right=[k in first for k in range(len(attempts))] if outputs else [])
