"""Tables that also read what the answer shows beside a cell: lines that go on until something, patterns that repeat.

In a demonstration the output is known, so that its own cells on one side are a further thing that tells the colour of
a cell. In a test input they are filled one after another from that side on, each from those before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba import types
from numpy.typing import NDArray

from solver.programs.compiled import entry
from solver.programs.lists.match import LONGS
from solver.programs.lists.units import CELLS, ROWS
from solver.types import Grid

OUTSIDE = 10  # what lies beyond the rim
CODES = 1 << 16  # four colours together
MOST_ENTRIES = 40  # of a table
HITS = 16  # tables of one way, at most: the first found
STEPS = ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
NAMES = ("left", "right", "above", "below", "above left", "above right", "below left", "below right")


@dataclass(frozen=True)
class Beside:
    """Which cells of the answer are read: rows and columns away of the first and the second, (0, 0): no second."""

    name: str
    first: tuple[int, int]
    second: tuple[int, int] = (0, 0)


def _every_way() -> Iterator[Beside]:
    for name, (y, x) in zip(NAMES, STEPS, strict=True):
        yield Beside(name, (y, x))
        yield Beside(f"{name} in two", (y, x), (2 * y, 2 * x))
    for one, other in ((0, 2), (0, 3), (1, 2), (1, 3), (4, 5), (6, 7)):
        yield Beside(f"{NAMES[one]} and {NAMES[other]}", STEPS[one], STEPS[other])


EVERY_WAY = tuple(_every_way())


def shown_beside(outputs: Sequence[Grid], step: tuple[int, int]) -> NDArray[np.uint8]:
    """For each cell of the outputs, one grid after another, what stands `step` rows and columns away; 0 for no step."""
    if step == (0, 0):
        return np.zeros(sum(g.size for g in outputs), np.uint8)
    (y, x), parts = step, []
    for grid in outputs:
        h, w = grid.shape
        wide = np.pad(grid, 2, constant_values=OUTSIDE)
        parts.append(wide[2 + y : 2 + y + h, 2 + x : 2 + x + w].ravel())
    return np.concatenate(parts)


@entry(types.int64(CELLS, CELLS, types.int64, types.int64, CELLS, CELLS, ROWS))
def pairs_of_rows(
    outputs: NDArray[np.uint8], cells: NDArray[np.uint8], size: int, number: int, first: NDArray[np.uint8],
    second: NDArray[np.uint8], hits: NDArray[np.int32],
) -> int:  # fmt: skip
    """Pairs of rows of cells whose colours, with those of `first` and `second`, tell every output's cell; how many.

    All in one order of the outputs' cells. `cells`: `number` rows as `cell_rows` makes them, each of `size` cells after
    four bytes. `hits`: the two rows and how many different colours they show together; as many as have room.
    """
    total, found, mark = outputs.shape[0], 0, 0
    table, marks = np.zeros(CODES, np.uint8), np.zeros(CODES, np.int32)
    for one in range(number):
        for other in range(one + 1):
            a, b, entries, k = one * (size + 4) + 4, other * (size + 4) + 4, 0, 0
            mark += 1
            while k < total and entries <= MOST_ENTRIES:
                at = ((int(first[k]) * 16 + int(second[k])) * 16 + int(cells[a + k])) * 16 + int(cells[b + k])
                if marks[at] != mark:
                    marks[at], table[at] = mark, outputs[k]
                    entries += 1
                elif table[at] != outputs[k]:
                    break
                k += 1
            if k == total and entries <= MOST_ENTRIES:
                hits[found, 0], hits[found, 1], hits[found, 2] = one, other, entries
                found += 1
                if found == hits.shape[0]:
                    return found
    return found


@entry(types.boolean(CELLS, ROWS, CELLS, LONGS, LONGS))
def filled(
    table: NDArray[np.uint8], steps: NDArray[np.int32], answer: NDArray[np.uint8], known: NDArray[np.int64],
    shape: NDArray[np.int64],
) -> bool:  # fmt: skip
    """Fill `answer`, `shape` rows and columns, cell by cell from the table; False where it does not know what is shown.

    `table`: for each code of four colours the colour and 1 above it, 0: not known. `steps`: shape [2, 2], as in
    `Beside`. `known`: each cell's code without what the answer shows beside it.
    """
    h, w = shape[0], shape[1]
    up = steps[0, 0] > 0 or steps[1, 0] > 0
    back = steps[0, 1] > 0 or steps[1, 1] > 0
    for n in range(h):
        for m in range(w):
            y, x = h - 1 - n if up else n, w - 1 - m if back else m
            code = known[y * w + x]
            for s in range(2):
                dy, dx = steps[s, 0], steps[s, 1]
                if dy != 0 or dx != 0:
                    v, u = y + dy, x + dx
                    inside = 0 <= v < h and 0 <= u < w
                    code += (int(answer[v * w + u]) if inside else OUTSIDE) << (12 - 4 * s)
            if table[code] == 0:
                return False
            answer[y * w + x] = table[code] - 1
    return True


@dataclass(frozen=True, eq=False)
class CellRows:
    """What a task's states show. Shapes: T cells of all outputs, S with those of all test inputs after them.

    `outputs`: the demonstrations' outputs; `order`: shape [T], the order of cells in `cells`, in which each of `number`
    rows is four bytes and S cells, those of tests as they lie; `tests`: rows and columns of each answer.
    """

    outputs: Sequence[Grid]
    order: NDArray[np.int64]
    cells: NDArray[np.uint8]
    number: int
    tests: Sequence[tuple[int, int]]

    def row(self, number: int) -> NDArray[np.uint8]:
        """A row of cells, shape [S]."""
        size = len(self.order) + sum(h * w for h, w in self.tests)
        return self.cells[number * (size + 4) + 4 : (number + 1) * (size + 4)]


@dataclass(frozen=True, eq=False)
class NeighbourAnswer:
    """An answer. `rows`: the rows of cells it reads; `entries`: of its table; `generalises`: as in `ListAnswer`."""

    grids: tuple[Grid, ...]
    rows: tuple[int, int]
    way: Beside
    entries: int
    generalises: float


def neighbour_answers(shown: CellRows, way: Beside) -> Iterator[NeighbourAnswer]:
    """What tables of one or two rows of cells and the answer's own cells beside a cell say, where they know all."""
    outputs = np.concatenate([g.ravel() for g in shown.outputs])[shown.order]
    first, second = (shown_beside(shown.outputs, step)[shown.order] for step in (way.first, way.second))
    hits = np.zeros((HITS, 3), np.int32)
    size = len(outputs) + sum(h * w for h, w in shown.tests)
    number = pairs_of_rows(outputs, shown.cells, size, shown.number, first, second, hits)
    pair = np.repeat(np.arange(len(shown.outputs)), [g.size for g in shown.outputs])[shown.order]
    beside = (first.astype(np.int64) << 12) + (second.astype(np.int64) << 8)
    for one, other, entries in hits[:number].tolist():
        known = (shown.row(one).astype(np.int64) << 4) + shown.row(other)
        codes = beside + known[: len(outputs)]
        table = np.zeros(CODES, np.uint8)
        table[codes] = outputs + 1
        grids = _grids(table, way, known[len(outputs) :], shown.tests)
        if grids is not None:
            seen = np.zeros((len(shown.outputs), CODES), bool)
            seen[pair, codes] = True
            alone = (seen & (seen.sum(axis=0) == 1)).any(axis=1)
            yield NeighbourAnswer(grids, (one, other), way, entries, float((~alone).mean()))


def _grids(
    table: NDArray[np.uint8], way: Beside, known: NDArray[np.int64], tests: Sequence[tuple[int, int]]
) -> tuple[Grid, ...] | None:
    """The answers filled from a table; None where it does not know a cell."""
    steps, grids, at = np.array([way.first, way.second], np.int32), [], 0
    for h, w in tests:
        answer = np.zeros(h * w, np.uint8)
        if not filled(table, steps, answer, known[at : at + h * w], np.array([h, w])):
            return None
        grids.append(answer.reshape(h, w))
        at += h * w
    return tuple(grids)
