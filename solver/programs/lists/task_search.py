"""The search through one task in one set of colours: states by cost, and after each cost what they answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from solver.interfaces import Stop
from solver.programs.lists import match, neighbour_tables, roles, states
from solver.programs.lists.apply import APPLIED, COST, GRID, KIND, LABEL, LIST, STATES, TOTAL, Store
from solver.programs.lists.expand import expand
from solver.programs.lists.functions import functions
from solver.programs.lists.layout import H, W
from solver.programs.lists.match import FITTING, PIECES, RIGHT, Board
from solver.programs.lists.units import UNITS
from solver.programs.values import inputs
from solver.types import Grid, Task

AT_ONCE = 4_000  # functions applied between two looks at the clock
SIZES = (4, 8)  # costs after which the answer's size is looked for among the states, where no rule tells it
STACKS = 24  # pieces tried as the top of a stack, each time
MOST_PIECES = 6  # of a stack
CELL_ROWS = 16 << 20  # bytes
MOST_CELL_ROWS = 3_000
COMPARED = 200  # rows of cells compared with those before, between two looks at the clock
HITS = 64
NEIGHBOUR_ROWS = 300  # rows of cells that tables read together with the answer's own cells
LEAST_GENERALISES = 0.6  # of such a table
NEIGHBOUR = 1.0  # steps that reading the answer costs
GROWTH_BEFORE_RETRY = 1.5  # times as many pieces or states of the answers' sizes before stacks or tables are made again
DEAREST = 28  # cost of a state, at most
Kind = Literal["state", "stack", "table of one", "table of two", "table of three", "table beside"]
PER_STEP = 4.0  # cost of a usual function in the compiled search, where a program's cost is in steps


@dataclass(frozen=True, eq=False)
class ListAnswer:
    """What a program that is right on every demonstration answers: a grid for each test input.

    `cost`: description length, in steps. `program`: its text. `kind`: what it is made by. `entries`: of its table, or
    the pieces of its stack; 0 for a state. `generalises`: the share of demonstrations, 0 to 1, whose output is told by
    what is learned from the others; 1 where nothing is learned.
    """

    grids: tuple[Grid, ...]
    cost: float
    program: str
    kind: Kind = "state"
    entries: int = 0
    generalises: float = 1.0


def new_board(task: Task, sizes: Sequence[roles.Shape] | None) -> Board:
    """A board that has seen no state."""
    outputs = [p.output for p in task.demonstrations]
    at = np.cumsum([0, *(g.size for g in outputs)], dtype=np.int64)
    words = (int(at[-1]) + 63) // 64
    most = min(100_000, (32 << 20) // (16 * words))
    shape = [g.shape for g in outputs] + list(sizes or [(0, 0)] * len(task.tests))
    return Board(
        np.concatenate([g.ravel() for g in outputs]), at, np.array(shape, np.int32), np.zeros((20_000, 2), np.int32),
        np.zeros((200_000, 2), np.int32), np.zeros((most, 2), np.int32), np.empty((most, words), np.uint64),
        np.empty((most, words), np.uint64), np.zeros(1 << 18, np.uint64), np.zeros(4, np.int64),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Seen:
    """A state of the answers' sizes: a grid for each demonstration and test input. `cost`: of its program, in steps.

    `label`: whether its numbers only tell cells apart, and are no colours.
    """

    grids: tuple[Grid, ...]
    program: str
    cost: float
    label: bool


class ListSearch:
    """The search through one task, which goes on for as long as it is asked."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._shown = len(task.demonstrations)
        self._functions = functions(roles.colours(inputs(task)), roles.colours([p.output for p in task.demonstrations]))
        self._start(roles.simple_sizes(task))
        cells = sum(p.output.size for p in task.demonstrations)
        self._order = np.random.default_rng(cells).permutation(cells).astype(np.int64)

    def _start(self, sizes: Sequence[roles.Shape] | None) -> None:
        self.over = False
        self.store: Store = states.new_store(inputs(self._task), self._functions)
        self.board = new_board(self._task, sizes)
        self._sized = sizes is not None
        if sizes is not None:
            self.store.size[:] = self.board.shape
        self._total = self._right = self._compared = self._pieces = self._fitting = 0
        self._neighbours_tried = False

    @property
    def applied(self) -> int:
        """Functions applied to states, each on all pairs."""
        return int(self.store.heads[APPLIED])

    def advance(self, stop: Stop, most: int) -> list[ListAnswer]:
        """Apply up to `most` functions, or until all states of the next cost are made: what they answer then.

        `over` says whether there is nothing more to do.
        """
        total, end = self._total + 1, self.applied + most
        while stop.remaining() > 0 and self.applied < end:
            if not expand(self.store, UNITS, self.board, AT_ONCE, total):
                self._total = total
                self.over = bool(self.store.heads[TOTAL] <= total) or total >= DEAREST
                if not self._sized and total in SIZES and (sizes := self._sizes_of_states()) is not None:
                    self._start(sizes)
                    return []
                return self.answers(stop, self.over)
        return []

    def answers(self, stop: Stop, last: bool = True) -> list[ListAnswer]:
        """What exact states and tables answer that was not said before, and the best stacks; also within a cost.

        Unless it is the `last` time, stacks and tables wait until there are so many more pieces or states for them.
        """
        match.survey(self.store, self.board)
        answers = list(self._exact())
        if last or self.board.heads[PIECES] >= self._pieces * GROWTH_BEFORE_RETRY:
            self._pieces = max(1, int(self.board.heads[PIECES]))
            answers += self._stacks(stop)
        if last or self.board.heads[FITTING] >= self._fitting * GROWTH_BEFORE_RETRY:
            self._fitting = max(1, int(self.board.heads[FITTING]))
            answers += self._tables(stop, last)
        return answers

    def distinct_states(self, most: int) -> list[Seen]:
        """The cheapest states of the answers' sizes, of those that tell the same cells apart one: `most` at most."""
        match.survey(self.store, self.board)
        size = int(self.board.at[-1]) + sum(int(h) * int(w) for h, w in self.board.shape[self._shown :])
        cells = np.empty(most * (size + 4), np.uint8)
        hashes = np.zeros(1 << 14, np.uint64)
        number = match.cell_rows(self.store, self.board, np.arange(self.board.at[-1]), most, cells, hashes)
        return [self._seen(*one) for one in self._shown_in(cells, size, range(number))]

    def _seen(self, state: int, item: int) -> Seen:
        grids = tuple(states.item(self.store, int(src) + item) for src in self.store.first[state])
        label = bool(self.store.facts[state, KIND] == LABEL)
        return Seen(grids, self._text(state, item), self._steps(state, item), label)

    def _sizes_of_states(self) -> list[roles.Shape] | None:
        """The answers' sizes by the cheapest state that has the size of every output."""
        number = int(self.store.heads[STATES])
        first = self.store.first[:number]
        same = self.store.facts[:number, KIND] == GRID
        for pair in range(self._shown):
            shape = self.store.items[first[:, pair]][:, [H, W]]
            same &= (shape == self.board.shape[pair]).all(axis=1)
        if not same.any():
            return None
        state = int(same.argmax())
        return [(int(h), int(w)) for h, w in self.store.items[first[state, self._shown :]][:, [H, W]]]

    # ---- what states answer

    def _grids(self, state: int, item: int) -> tuple[Grid, ...]:
        firsts = self.store.first[state, self._shown :]
        return tuple(states.item(self.store, int(src) + item) for src in firsts)

    def _steps(self, state: int, item: int) -> float:
        return float(self.store.facts[state, COST]) / PER_STEP + item

    def _text(self, state: int, item: int) -> str:
        names = [self._functions[f].name for f in states.steps(self.store, state)] or ["input"]
        return " | ".join(names) + (f" | number {item + 1}" if self.store.facts[state, KIND] == LIST else "")

    def _exact(self) -> Iterator[ListAnswer]:
        rows = self.board.right[self._right : int(self.board.heads[RIGHT])]
        self._right = int(self.board.heads[RIGHT])
        for state, item in rows.tolist():
            yield ListAnswer(self._grids(state, item), self._steps(state, item), self._text(state, item))

    def _stacks(self, stop: Stop) -> Iterator[ListAnswer]:
        board, number = self.board, int(self.board.heads[PIECES])
        clean = np.flatnonzero(~board.wrong[:number].any(axis=1))
        shown = np.bitwise_count(board.shows[clean]).sum(axis=1, dtype=np.int64)
        chosen, covered = np.zeros(MOST_PIECES, np.int64), np.zeros(board.shows.shape[1], np.uint64)
        for first in clean[np.argsort(-shown, kind="stable")][:STACKS]:
            if stop.remaining() <= 0:
                return
            pieces = match.stack(board, int(first), MOST_PIECES, number, chosen, covered)
            if pieces > 1:
                yield self._stacked([(int(s), int(n)) for s, n in board.pieces[chosen[:pieces]]])

    def _stacked(self, pieces: Sequence[tuple[int, int]]) -> ListAnswer:
        laid = [self._grids(state, item) for state, item in pieces]
        grids = [g.copy() for g in laid[0]]
        for lower in laid[1:]:
            for grid, more in zip(grids, lower, strict=True):
                np.copyto(grid, more, where=grid == 0)
        steps = [self._steps(state, item) for state, item in pieces]
        cost = max(steps) + 0.5 * (sum(steps) - max(steps)) + 0.5 * len(pieces)
        text = "; under it ".join(self._text(state, item) for state, item in pieces)
        return ListAnswer(tuple(grids), cost, text, "stack", len(pieces))

    def _tables(self, stop: Stop, last: bool) -> Iterator[ListAnswer]:
        board = self.board
        if board.heads[FITTING] == 0 or stop.remaining() <= 0:
            return
        cells, seen = np.empty(CELL_ROWS, np.uint8), np.zeros(1 << 14, np.uint64)
        hits = np.zeros((HITS, 4), np.int32)
        number = match.cell_rows(self.store, board, self._order, MOST_CELL_ROWS, cells, seen)
        size = int(board.at[-1]) + sum(int(h) * int(w) for h, w in board.shape[self._shown :])
        if not self._neighbours_tried and (last or number >= NEIGHBOUR_ROWS):
            self._neighbours_tried = True
            yield from self._neighbour_tables(stop, cells, min(number, NEIGHBOUR_ROWS), size)
        while self._compared < number and stop.remaining() > 0:
            end = min(number, self._compared + COMPARED)
            for hit in hits[: match.tables(board, self._order, cells, size, self._compared, end, hits)].tolist():
                yield self._looked_up(self._shown_in(cells, size, hit[:3]), hit[3])
            self._compared = end

    def _shown_in(self, cells: NDArray[np.uint8], size: int, rows: Sequence[int]) -> list[tuple[int, int]]:
        """The states, with the item of each, that rows of cells show, each once."""
        numbers = [int(cells[p * (size + 4) : p * (size + 4) + 4].view("<u4")[0]) for p in sorted(set(rows))]
        return [(int(s), int(n)) for s, n in self.board.fitting[numbers]]

    def _neighbour_tables(self, stop: Stop, cells: NDArray[np.uint8], number: int, size: int) -> Iterator[ListAnswer]:
        tests = [(int(h), int(w)) for h, w in self.board.shape[self._shown :]]
        shown = neighbour_tables.CellRows(
            [p.output for p in self._task.demonstrations], self._order, cells, number, tests
        )
        for way in neighbour_tables.EVERY_WAY:
            if stop.remaining() <= 0:
                return
            for a in neighbour_tables.neighbour_answers(shown, way):
                if a.generalises >= LEAST_GENERALISES:
                    seen = self._shown_in(cells, size, a.rows)
                    steps = sum(self._steps(*one) for one in seen)
                    cost = steps + NEIGHBOUR + 0.5 * len(seen) + 0.15 * a.entries
                    text = " and ".join([*(self._text(*one) for one in seen), f"what stands {a.way.name}"])
                    program = f"by the colours of {text}"
                    yield ListAnswer(a.grids, cost, program, "table beside", a.entries, a.generalises)

    def _looked_up(self, seen: Sequence[tuple[int, int]], entries: int) -> ListAnswer:
        """What a table of the colours answers that one, two or three states show in a cell."""
        table: NDArray[np.uint8] = np.zeros(16 ** len(seen), np.uint8)
        shown = np.zeros((self._shown, len(table)), bool)  # whether a demonstration has these colours in one place
        for k, demonstration in enumerate(self._task.demonstrations):
            grids = (states.item(self.store, int(self.store.first[s, k]) + n) for s, n in seen)
            colours = self._together(list(grids))
            table[colours], shown[k, colours] = demonstration.output, True
        tests = zip(*(self._grids(*one) for one in seen), strict=True)
        answer = tuple(table[self._together(grids)] for grids in tests)
        generalises = float((~(shown & (shown.sum(axis=0) == 1)).any(axis=1)).mean())
        steps = sum(self._steps(*one) for one in seen)
        texts = [self._text(*one) for one in seen]
        if len(seen) == 1:
            cost = steps + 0.5 + 0.1 * entries
            return ListAnswer(answer, cost, f"{texts[0]} | recoloured", "table of one", entries, generalises)
        cost = steps + 0.5 * len(seen) + 0.15 * entries
        text = "by the colours of " + " and ".join(texts)
        kind: Kind = "table of two" if len(seen) == 2 else "table of three"
        return ListAnswer(answer, cost, text, kind, entries, generalises)

    @staticmethod
    def _together(grids: Sequence[Grid]) -> NDArray[np.int64]:
        """For each cell the colours that the grids show there as one number."""
        return sum((g.astype(np.int64) * 16**n for n, g in enumerate(grids)), start=np.zeros(grids[0].shape, np.int64))
