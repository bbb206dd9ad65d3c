"""Tables that read the answer's own cells: against a plain reading of their definition, and on tasks made for them."""

import numpy as np
import pytest

from solver.programs.compiled import ready
from solver.programs.lists import neighbour_tables
from solver.programs.lists.neighbour_tables import EVERY_WAY, OUTSIDE, Beside, CellRows, neighbour_answers
from solver.types import Grid


def seen_from(answer: Grid, cell: tuple[int, int], step: tuple[int, int]) -> int:
    """What stands `step` away from a cell; 0 where there is no step."""
    y, x = cell[0] + step[0], cell[1] + step[1]
    if step == (0, 0):
        return 0
    inside = 0 <= y < answer.shape[0] and 0 <= x < answer.shape[1]
    return int(answer[y, x]) if inside else OUTSIDE


def shown_by(inputs: list[Grid], outputs: list[Grid], tests: list[Grid]) -> CellRows:
    """One row of cells: the inputs as they are."""
    cells = np.concatenate([np.zeros(4, np.uint8), *(g.ravel() for g in (*inputs, *tests))])
    order = np.arange(sum(g.size for g in outputs))
    return CellRows(outputs, order, cells, 1, [g.shape for g in tests])


def going_right(grid: Grid, stop: int) -> Grid:
    """Every cell of colour 2 goes on to the right until colour `stop`."""
    out = grid.copy()
    for y, x in np.argwhere(grid == 2):
        while x + 1 < grid.shape[1] and grid[y, x + 1] != stop:
            x += 1
            out[y, x] = 2
    return out


def random_grids(seed: int, number: int) -> list[Grid]:
    """Grids of 6 by 7 with colours 0, 2 and 5, mostly 0."""
    draws = np.random.default_rng(seed)
    return [draws.choice(np.array([0, 0, 0, 0, 2, 5], np.uint8), (6, 7)) for _ in range(number)]


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    ready()


def test_a_line_goes_on_until_it_meets_something() -> None:
    inputs, tests = random_grids(1, 8), random_grids(2, 2)
    shown = shown_by(inputs, [going_right(g, 5) for g in inputs], tests)
    answers = list(neighbour_answers(shown, Beside("left", (0, -1))))
    assert len(answers) == 1
    for grid, test in zip(answers[0].grids, tests, strict=True):
        assert np.array_equal(grid, going_right(test, 5))
    assert answers[0].generalises == 1.0


def test_a_pattern_of_two_repeats() -> None:
    starts = [np.array([[a, b, 0, 0, 0, 0, 0]], np.uint8) for a, b in ((1, 2), (2, 1), (1, 1))]
    outputs = [np.resize(g[0, :2], (1, 7)) for g in starts]
    test = np.array([[2, 2, 0, 0, 0, 0, 0]], np.uint8)
    way = next(w for w in EVERY_WAY if w.name == "left in two")
    # 2 2 was never shown: nothing is said rather than something guessed
    assert not list(neighbour_answers(shown_by(starts, outputs, [test]), way))
    answers = list(neighbour_answers(shown_by(starts, outputs, [starts[1]]), way))
    assert np.array_equal(answers[0].grids[0], outputs[1])


@pytest.mark.parametrize("way", EVERY_WAY, ids=lambda w: w.name)
def test_each_way_fills_cells_from_those_it_reads(way: Beside) -> None:
    """The answer read once more cell by cell shows in every cell what the table says, whatever the table is."""
    draws = np.random.default_rng(3)
    h, w = 5, 4
    known = draws.integers(0, 3, h * w)
    table = draws.integers(1, 11, neighbour_tables.CODES).astype(np.uint8)
    answer = np.zeros(h * w, np.uint8)
    steps = np.array([way.first, way.second], np.int32)
    assert neighbour_tables.filled(table, steps, answer, known, np.array([h, w]))
    grid = answer.reshape(h, w)
    for y in range(h):
        for x in range(w):
            first, second = (seen_from(grid, (y, x), step) for step in (way.first, way.second))
            code = int(known[y * w + x]) + (first << 12) + (second << 8)
            assert grid[y, x] == table[code] - 1


@pytest.mark.parametrize("way", EVERY_WAY, ids=lambda w: w.name)
def test_what_outputs_show_beside_a_cell(way: Beside) -> None:
    outputs = random_grids(4, 2)
    for step in (way.first, way.second):
        expected = [seen_from(g, (int(y), int(x)), step) for g in outputs for y, x in np.ndindex(*g.shape)]
        assert neighbour_tables.shown_beside(outputs, step).tolist() == expected


def test_an_entry_that_one_demonstration_alone_shows_counts_against_it() -> None:
    inputs = random_grids(5, 8)
    outputs = [going_right(g, 5) for g in inputs]
    inputs[0][0, 0] = outputs[0][0, 0] = 7  # no other shows a 7
    shown = shown_by(inputs, outputs, random_grids(6, 1))
    answers = list(neighbour_answers(shown, Beside("left", (0, -1))))
    assert [round(a.generalises, 3) for a in answers] == [0.875]


def test_two_rows_in_another_order_of_cells() -> None:
    """A line goes on to the right where a second row marks the cell; the outputs' cells come in any order."""
    draws = np.random.default_rng(7)
    inputs, tests = random_grids(8, 8), random_grids(9, 2)
    marks = [draws.integers(1, 3, g.shape).astype(np.uint8) for g in (*inputs, *tests)]

    def going(grid: Grid, mark: Grid) -> Grid:
        out = grid.copy()
        for y, x in np.ndindex(*grid.shape):
            if x and out[y, x - 1] == 2 and mark[y, x] == 2:
                out[y, x] = 2
        return out

    outputs = [going(g, m) for g, m in zip(inputs, marks, strict=False)]
    total = sum(g.size for g in outputs)
    order = draws.permutation(total)
    rows = []
    for grids in ((*inputs, *tests), marks):
        cells = np.concatenate([g.ravel() for g in grids])
        rows += [np.zeros(4, np.uint8), cells[:total][order], cells[total:]]
    shown = CellRows(outputs, order, np.concatenate(rows), 2, [g.shape for g in tests])
    [answer] = neighbour_answers(shown, Beside("left", (0, -1)))
    assert set(answer.rows) == {0, 1}
    for grid, test, mark in zip(answer.grids, tests, marks[len(inputs) :], strict=True):
        assert np.array_equal(grid, going(test, mark))
