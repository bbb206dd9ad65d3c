"""Rules of what happens in a direction: which cells send out a line, which things move until something is in the way.

Each direction is looked at as if it were the same one, by turning the grid: a case is of the grid turned `turns` times.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product, zip_longest

import numpy as np
from numpy.typing import NDArray

from solver.programs.primitives import regions
from solver.programs.primitives.shapes import only, slid
from solver.programs.rules import cells
from solver.programs.rules.cell_features import features_at
from solver.programs.rules.cells import FittedRule
from solver.programs.rules.decision_tree import TimeLeft
from solver.programs.rules.feature import NONE, Feature
from solver.programs.search import reproduces
from solver.programs.values import Grids
from solver.types import Grid

TESTS_OF_RAYS, TESTS_OF_THINGS = 3, 2  # in a rule at most
CASES = 400  # cells that could send out a line, in a grid, beyond which there is no rule
TRIED = 6  # rules of moves for which a rule of what goes is looked for
THINGS = 20  # things in a grid beyond which there is no rule
KINDS = {"things": regions.of_any_diagonal, "regions": regions.of_colour_diagonal}
STRAIGHT, DIAGONAL = (0, 1), (1, 1)
COSTS = np.array([0.4, 0.8], np.float32)  # to stay, to move or to go
Line = tuple[NDArray[np.int64], NDArray[np.int64]]
Step = tuple[int, int]  # rows, columns
Answer = tuple[list[np.ndarray], str, float]  # of every grid's cases, the text, the cost


@dataclass(frozen=True, eq=False)
class Ray:
    """A cell that could send out a line: its place, and the line's cells."""

    turns: int
    place: tuple[int, int]
    line: Line

    def colour(self, output: Grid) -> int | None:
        """The colour of the line in the output, 0 where there is none; None where it cannot be told."""
        colours = np.rot90(output, self.turns)[self.line]
        return int(colours[0]) if colours[0] == 0 or (colours == colours[0]).all() else None


Rays = Sequence[list[Ray]]  # of every grid


def _line(grid: Grid, place: tuple[int, int], step: Step, through: bool) -> Line:
    """Background cells from the place on, in a direction, to the edge or to what is in the way."""
    length = max(grid.shape)
    i, j = place[0] + step[0] * np.arange(1, length), place[1] + step[1] * np.arange(1, length)
    inside = (i < grid.shape[0]) & (j < grid.shape[1])
    i, j = i[inside], j[inside]
    free = grid[i, j] == 0
    if not through and not free.all():
        free = np.arange(len(free)) < free.argmin()
    return i[free], j[free]


def _rays_of(grid: Grid, step: Step, through: bool) -> list[Ray]:
    """All cells with background next to them, in each of four directions."""
    cases = []
    for turns in range(4):
        turned = np.rot90(grid, turns)
        (rows, columns), (down, right) = turned.shape, step
        starts = turned[: rows - down, : columns - right] != 0
        for i, j in np.argwhere(starts & (turned[down:, right:] == 0)):
            place = int(i), int(j)
            cases.append(Ray(turns, place, _line(turned, place, step, through)))
    return cases


def _drawn(grid: Grid, cases: Sequence[Ray], colours: Sequence[int], last: int) -> Grid:
    """The grid with all lines; those of the directions `last` and its opposite on top."""
    drawn = grid.copy()
    for case, colour in sorted(zip(cases, colours, strict=True), key=lambda c: c[0].turns % 2 == last):
        if colour:
            np.rot90(drawn, case.turns)[case.line] = colour
    return drawn


def _rays_of_all(grids: Grids, outputs: Grids, step: Step, through: bool) -> list[list[Ray]]:
    """The rays of every grid; [] where lines cannot be all that changes."""
    every = []
    for grid, output in zip_longest(grids, outputs):
        cases = _rays_of(grid, step, through)
        if not 1 <= len(cases) <= CASES:
            return []
        if output is not None:
            drawn = _drawn(grid, cases, [c.colour(output) or 0 for c in cases], 0)
            if not np.array_equal(drawn != 0, output != 0):
                return []
        every.append(cases)
    return every


def rays(grids: Grids, outputs: Grids, time_left: TimeLeft) -> Iterator[FittedRule]:
    """The grids, of the outputs' shapes, with lines from some cells to the edge or to what is in the way."""
    changed = [g != o for g, o in zip(grids, outputs, strict=False)]
    if not all(c.any() for c in changed) or any((g[c] != 0).any() for g, c in zip(grids, changed, strict=False)):
        return
    for (kind, step), through in product((("straight", STRAIGHT), ("diagonal", DIAGONAL)), (False, True)):
        cases = _rays_of_all(grids, outputs, step, through)
        if cases and time_left():
            yield from _fitted_rays(grids, outputs, cases, kind + (" through" if through else ""), time_left)


def _fitted_rays(grids: Grids, outputs: Grids, cases: Rays, name: str, time_left: TimeLeft) -> Iterator[FittedRule]:
    clear = [[c for c in row if c.colour(o) is not None] for row, o in zip(cases, outputs, strict=False)]
    clear += cases[len(outputs) :]
    described = [features_at(grid, [(c.turns, c.place) for c in row]) for grid, row in zip(grids, clear, strict=True)]
    wanted = [np.array([[c.colour(o) for c in row]], np.uint8) for row, o in zip(clear, outputs, strict=False)]
    for rule in cells.rules(described, wanted, time_left, TESTS_OF_RAYS):
        for last in (0, 1):
            drawn = [_drawn(g, row, d[0].tolist(), last) for g, row, d in zip(grids, clear, rule.grids, strict=True)]
            if reproduces(drawn, outputs):
                yield FittedRule(tuple(drawn), f"{name} {rule.text}", rule.cost)
                break


@dataclass(frozen=True, eq=False)
class Shove:
    """A thing, the same `number` however turned: where it is, and where once something of the colour `way` stops it."""

    number: int
    turns: int
    region: regions.Region
    target: regions.Region
    way: int

    @property
    def far(self) -> int:
        """How many cells it moves."""
        return max(self.target.top - self.region.top, self.target.left - self.region.left)

    @property
    def place(self) -> tuple[int, int]:
        """Its first cell in reading order."""
        return self.region.top, self.region.left + int(self.region.mask[0].argmax())

    def box(self, grid: Grid, moved: bool) -> Grid:
        """The box of the turned grid it is in, or would be in: a view."""
        return np.rot90(grid, self.turns)[(self.target if moved else self.region).box]

    def seen(self, grid: Grid, moved: bool) -> bool:
        """Whether it is there in another grid."""
        return bool((self.box(grid, moved) == self.region.cells)[self.region.mask].all())


Shoves = Sequence[Sequence[Shove]]  # of every grid


def _slid(grid: Grid, region: regions.Region, step: Step) -> tuple[regions.Region, int]:
    """The region where something is in its way, and the colour of that, `NONE` at the edge."""
    rest = grid.copy()
    rest[region.box][region.mask] = 0
    target = slid(rest, region, step)
    rows, columns = replace(target, top=target.top + step[0], left=target.left + step[1]).box
    if rows.stop > grid.shape[0] or columns.stop > grid.shape[1]:
        return target, NONE
    return target, int(rest[rows, columns][region.mask].max())


def _shoves_of(grid: Grid, kind: str, step: Step, firm: bool) -> list[Shove]:
    """Every thing in every direction; `firm`: things of a single cell are in no other's way."""
    numbers = np.arange(grid.size).reshape(grid.shape)
    cases = []
    for turns in range(4):
        turned, places = np.ascontiguousarray(np.rot90(grid, turns)), np.rot90(numbers, turns)
        things = KINDS[kind](turned)
        ground = only(turned, things, lambda r: r.size > 1) if firm else turned
        for thing in things if len(things) <= THINGS else ():
            number = int(places[thing.box][thing.mask].min())
            cases.append(Shove(number, turns, thing, *_slid(ground, thing, step)))
    return cases


def _done(grid: Grid, moving: Sequence[Shove], going: Sequence[Shove]) -> Grid:
    """The grid with some things moved, and some taken away."""
    done = grid.copy()
    for case in (*moving, *going):
        case.box(done, False)[case.region.mask] = 0
    for case in moving:
        case.box(done, True)[case.region.mask] = case.region.cells[case.region.mask]
    return done


def shoves(grids: Grids, outputs: Grids, time_left: TimeLeft) -> Iterator[FittedRule]:
    """The grids, of the outputs' shapes, with some things moved until something is in their way, others taken away."""
    changed = [g != o for g, o in zip(grids, outputs, strict=False)]
    if not all(c.any() and (g[c] != 0).any() for g, c in zip(grids, changed, strict=False)):
        return
    steps_by_name = (("straight", (STRAIGHT,)), ("any way", (STRAIGHT, DIAGONAL)))
    for kind, (name, steps), firm in product(KINDS, steps_by_name, (False, True)):
        cases = [[c for step in steps for c in _shoves_of(g, kind, step, firm)] for g in grids]
        if all(cases) and time_left():
            text = f"{name} {kind}" + (" through single cells" if firm else "")
            yield from _fitted_shoves(grids, outputs, cases, text, time_left)


def _fitted_shoves(grids: Grids, outputs: Grids, cases: Shoves, name: str, time_left: TimeLeft) -> Iterator[FittedRule]:
    moved = [[not c.seen(o, False) and c.seen(o, True) for c in row] for row, o in zip(cases, outputs, strict=False)]
    if not all(map(any, moved)):
        return
    may, must = [], []
    for row, ways in zip(cases, moved, strict=False):
        often = Counter(c.number for c, way in zip(row, ways, strict=True) if way)
        may += [way or not c.far for c, way in zip(row, ways, strict=True)]
        must += [way and often[c.number] == 1 for c, way in zip(row, ways, strict=True)]
    for moves, text, cost in _answers(grids, cases, np.array([~np.array(must), may]), time_left):
        moving, resting = list[list[Shove]](), list[list[Shove]]()
        for row, yes in zip(cases, moves, strict=True):  # one case of each thing, in the first of its directions
            first = {c.number: c for c, move in zip(reversed(row), yes[::-1], strict=True) if move}
            moving.append(list(first.values()))
            resting.append(list({c.number: c for c in row if c.turns == 0 and c.number not in first}.values()))
        for going, going_text, going_cost in _going(grids, outputs, resting, time_left):
            done = [_done(g, move, go) for g, move, go in zip(grids, moving, going, strict=True)]
            if reproduces(done, outputs):
                yield FittedRule(tuple(done), f"{name} {text}{going_text}", cost + going_cost)


def _going(grids: Grids, outputs: Grids, resting: Shoves, time_left: TimeLeft) -> Iterator[tuple[Shoves, str, float]]:
    """Which of the things that do not move are taken away, by rules: those of every grid, the text, the cost."""
    kept = [[c.seen(o, False) for c in row] for row, o in zip(resting, outputs, strict=False)]
    if all(map(all, kept)):
        yield [[] for _ in resting], "", 0.0
    elif all(resting):
        stay = np.array([yes for row in kept for yes in row])
        for goes, text, cost in _answers(grids, resting, np.array([stay, ~stay]), time_left):
            going = [[c for c, yes in zip(row, ys, strict=True) if yes] for row, ys in zip(resting, goes, strict=True)]
            yield going, f", go {text}", cost


def _answers(grids: Grids, cases: Shoves, right: np.ndarray, time_left: TimeLeft) -> Iterator[Answer]:
    """What rules say of all cases, their text, their cost; `right`: [no and yes, cases of the demonstrations]."""
    described = [  # the cases as features of one row: of the thing's first cell, and what is in its way
        [
            *features_at(grid, [(c.turns, c.place) for c in row]),
            Feature("colour", "way", np.array([[c.way for c in row]]), 0.8),
            Feature("number", "far", np.array([[min(c.far, 12) for c in row]]), 1.2),
            Feature("number", "turn", np.array([[c.turns for c in row]]), 1.0),
        ]
        for grid, row in zip(grids, cases, strict=True)
    ]
    tests = cells.tests_of(cells.joined(described), right.shape[1])
    for rule in tests.fit(right, COSTS, TESTS_OF_THINGS, time_left)[:TRIED] if tests.names else ():
        yield tests.decided(rule, [len(row) for row in cases]), rule.text(tests.names, ("no", "yes")), rule.cost
