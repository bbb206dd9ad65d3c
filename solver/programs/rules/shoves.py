"""Rules of things: which of them move, in which direction, until something is in the way, and which are taken away.

Knows nothing of how states were found. Each direction is looked at as if it were the same one, by turning the grid.
Law: what is returned reproduces every demonstration.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Region
from solver.programs.primitives.shapes import only
from solver.programs.rules import cells
from solver.programs.rules.cell_features import NONE, Plane, planes
from solver.programs.rules.cells import Learned, Sheet
from solver.programs.rules.decision_tree import Lesson, Rule, decide, learn
from solver.programs.search import aligned
from solver.programs.values import State
from solver.types import Grid, same

DEPTH = 2  # tests in a rule of things at most
TRIED = 6  # rules of moves for which a rule of what goes is looked for
THINGS = 20  # things in a grid beyond which there is no rule
KINDS: dict[str, Callable[[Grid], tuple[Region, ...]]] = {
    "things": regions.of_any_diagonal,
    "regions": regions.of_colour_diagonal,
}
STEPS = {"straight": ((0, 1),), "any way": ((0, 1), (1, 1))}
COSTS = np.array([0.4, 0.8], np.float32)  # to stay, to move or to go
Answer = tuple[np.ndarray, str, float]


@dataclass(frozen=True, eq=False)
class Case:
    """A thing in a grid turned `turns` times, and where it is once something is in its way, of the colour `way`.

    `number`: the same for the same thing in each turn.
    """

    number: int
    turns: int
    region: Region
    down: int
    right: int
    way: int

    @property
    def first(self) -> tuple[int, int]:
        """Its first cell in reading order."""
        return self.region.top, self.region.left + int(self.region.mask[0].argmax())

    def there(self, grid: Grid, moved: bool) -> Grid:
        """The box of the turned grid it is in, or would be in: a view."""
        top, left = self.region.top + moved * self.down, self.region.left + moved * self.right
        rows, columns = self.region.mask.shape
        return np.rot90(grid, self.turns)[top : top + rows, left : left + columns]

    def seen(self, grid: Grid, moved: bool) -> bool:
        """Whether it is there in another grid."""
        return bool((self.there(grid, moved) == self.region.cells)[self.region.mask].all())


def _slid(grid: Grid, region: Region, step: tuple[int, int]) -> tuple[int, int]:
    """How many steps the region goes until something is in its way, and its colour, `NONE` at the edge."""
    rows, columns = region.mask.shape
    rest = grid.copy()
    rest[region.top : region.top + rows, region.left : region.left + columns][region.mask] = 0
    for number in range(1, max(grid.shape) + 1):
        a, b = region.top + number * step[0], region.left + number * step[1]
        if a + rows > grid.shape[0] or b + columns > grid.shape[1]:
            return number - 1, NONE
        under = rest[a : a + rows, b : b + columns][region.mask]
        if under.any():
            return number - 1, int(under.max())
    return 0, NONE


def _cases(grid: Grid, kind: str, step: tuple[int, int], firm: bool) -> list[Case]:
    """Every thing in every direction; `firm`: things of a single cell are in no other's way."""
    numbers = np.arange(grid.size).reshape(grid.shape)
    found = []
    for turns in range(4):
        turned, places = np.ascontiguousarray(np.rot90(grid, turns)), np.rot90(numbers, turns)
        regions_ = KINDS[kind](turned)
        ground = only(turned, regions_, lambda r: r.size > 1) if firm else turned
        for r in regions_ if len(regions_) <= THINGS else ():
            rows, columns = r.mask.shape
            number = int(places[r.top : r.top + rows, r.left : r.left + columns][r.mask].min())
            far, way = _slid(ground, r, step)
            found.append(Case(number, turns, r, far * step[0], far * step[1], way))
    return found


def _done(grid: Grid, moving: Sequence[Case], going: Sequence[Case]) -> Grid:
    """The grid with some things moved, and some taken away."""
    made = grid.copy()
    for case in (*moving, *going):
        case.there(made, False)[case.region.mask] = 0
    for case in moving:
        case.there(made, True)[case.region.mask] = case.region.cells[case.region.mask]
    return made


def _described(grid: Grid, found: Sequence[Case]) -> list[Plane]:
    """What is known of the cases, as planes of one row: of the thing's first cell, and what is in its way."""
    every = [planes(np.ascontiguousarray(np.rot90(grid, turns))) for turns in range(4)]
    made = []
    for number, plane in enumerate(every[0]):
        values = np.array([[every[c.turns][number].values[c.first] for c in found]], np.int16)
        made.append(Plane(plane.name, plane.kind, values, plane.cost))
    way = np.array([[c.way for c in found]], np.int16)
    far = np.array([[min(max(c.down, c.right), 12) for c in found]], np.int16)
    turn = np.array([[c.turns for c in found]], np.int16)
    more = [Plane("way", "colour", way, 0.8), Plane("far", "number", far, 1.2), Plane("turn", "number", turn, 1.0)]
    return [*made, *more]


def shoves(state: State, outputs: Sequence[Grid], more: Callable[[], bool]) -> Iterator[Learned]:
    """The state with some of its things moved until something is in their way, others perhaps taken away."""
    if not aligned(state, outputs):
        return
    changed = [g != o for g, o in zip(state.grids, outputs, strict=False)]
    if not all(c.any() and (g[c] != 0).any() for g, c in zip(state.grids, changed, strict=False)):
        return
    for kind in KINDS:
        for (name, steps), firm in product(STEPS.items(), (False, True)):
            found = [[c for step in steps for c in _cases(g, kind, step, firm)] for g in state.grids]
            if all(found) and more():
                told = f"{name} {kind}" + (" through single cells" if firm else "")
                yield from _learned(state.grids, outputs, found, told, more)


def _learned(
    grids: Sequence[Grid], outputs: Sequence[Grid], found: Sequence[Sequence[Case]], name: str, more: Callable[[], bool]
) -> Iterator[Learned]:
    shown = len(outputs)
    moves = [[not c.seen(o, False) and c.seen(o, True) for c in f] for f, o in zip(found, outputs, strict=False)]
    if not all(any(m) for m in moves):
        return
    often = [Counter(c.number for c, m in zip(f, ms, strict=True) if m) for f, ms in zip(found, moves, strict=False)]
    still = [[not c.down and not c.right for c in f] for f in found[:shown]]
    may = np.array([m or s for ms, ss in zip(moves, still, strict=True) for m, s in zip(ms, ss, strict=True)])
    must = np.array([m and n[c.number] == 1 for ms, n, f in zip(moves, often, found, strict=False)
                     for m, c in zip(ms, f, strict=True)])  # fmt: skip
    described = [_described(g, f) for g, f in zip(grids, found, strict=True)]
    for move, text, cost in _answers(described, np.array([~must, may]), more):
        chosen = [_moving(f, m) for f, m in zip(found, np.split(move, _ends(found)), strict=True)]
        rest = [_still(f, c) for f, c in zip(found, chosen, strict=True)]
        stay = [[c.seen(o, False) for c in r] for r, o in zip(rest, outputs, strict=False)]
        going: list[tuple[list[list[Case]], str, float]] = []
        if all(all(s) for s in stay):
            going = [([[] for _ in rest], "", 0.0)]
        elif all(rest):
            kept = np.array([s for ss in stay for s in ss])
            narrow = [_described(g, r) for g, r in zip(grids, rest, strict=True)]
            for go, told, price in _answers(narrow, np.array([kept, ~kept]), more):
                parts = np.split(go, _ends(rest))
                gone = [[c for c, g in zip(r, p, strict=True) if g] for r, p in zip(rest, parts, strict=True)]
                going.append((gone, f", go {told}", price))
        for gone, told, price in going:
            made = [_done(g, c, o) for g, c, o in zip(grids, chosen, gone, strict=True)]
            if all(same(m, o) for m, o in zip(made, outputs, strict=False)):
                yield Learned(tuple(made), f"{name} {text}{told}", cost + price)


def _ends(found: Sequence[Sequence[Case]]) -> list[int]:
    return [int(n) for n in np.cumsum([len(f) for f in found])[:-1]]


def _moving(found: Sequence[Case], move: np.ndarray) -> list[Case]:
    """One case of each thing that moves, in the first of its directions."""
    return list({c.number: c for c, m in zip(reversed(found), move[::-1], strict=True) if m}.values())


def _still(found: Sequence[Case], moving: Sequence[Case]) -> list[Case]:
    numbers = {c.number for c in moving}
    return list({c.number: c for c in found if c.turns == 0 and c.number not in numbers}.values())


def _answers(described: Sequence[list[Plane]], right: np.ndarray, more: Callable[[], bool]) -> Iterator[Answer]:
    """Rules of yes and no: what they say of every case, their text, their cost."""
    shown = right.shape[1]
    table = cells.sheet(described, shown, [])
    if not len(table.tests):
        return
    lesson = Lesson(table.tests[:, :shown], right, table.test_costs, COSTS)
    for rule in learn(lesson, DEPTH, more)[:TRIED]:
        yield decide(rule, table.tests), _text(rule, table), rule.cost


def _text(rule: Rule, table: Sheet) -> str:
    if rule.passed is None or rule.failed is None:
        return ("no", "yes")[rule.action]
    return f"({table.test_names[rule.test]} ? {_text(rule.passed, table)} : {_text(rule.failed, table)})"
