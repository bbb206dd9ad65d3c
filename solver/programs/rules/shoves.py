"""Rules of things: which of them move, in which direction, until something is in the way, and which are taken away.

Each direction is looked at as if it were the same one, by turning the grid.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.regions import Region
from solver.programs.primitives.shapes import only, slid
from solver.programs.rules import cells
from solver.programs.rules.cell_features import features_at
from solver.programs.rules.cells import FittedRule
from solver.programs.rules.decision_tree import TimeLeft
from solver.programs.rules.feature import NONE, Feature, feature
from solver.programs.search import reproduces
from solver.types import Grid

DEPTH = 2  # tests in a rule of things at most
TRIED = 6  # rules of moves for which a rule of what goes is looked for
THINGS = 20  # things in a grid beyond which there is no rule
KINDS: dict[str, Callable[[Grid], tuple[Region, ...]]] = {
    "things": regions.of_any_diagonal,
    "regions": regions.of_colour_diagonal,
}
STEPS = {"straight": ((0, 1),), "any way": ((0, 1), (1, 1))}
COSTS = np.array([0.4, 0.8], np.float32)  # to stay, to move or to go
Answer = tuple[list[np.ndarray], str, float]


@dataclass(frozen=True, eq=False)
class Shove:
    """A thing, the same `number` however turned: where it is, and where once something of the colour `way` stops it."""

    number: int
    turns: int
    region: Region
    target: Region
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


def _slid(grid: Grid, region: Region, step: tuple[int, int]) -> tuple[Region, int]:
    """The region where something is in its way, and the colour of that, `NONE` at the edge."""
    rest = grid.copy()
    rest[region.box][region.mask] = 0
    target = slid(rest, region, step)
    rows, columns = replace(target, top=target.top + step[0], left=target.left + step[1]).box
    if rows.stop > grid.shape[0] or columns.stop > grid.shape[1]:
        return target, NONE
    return target, int(rest[rows, columns][region.mask].max())


def _cases(grid: Grid, kind: str, step: tuple[int, int], firm: bool) -> list[Shove]:
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


def _described(grid: Grid, cases: Sequence[Shove]) -> list[Feature]:
    """What is known of the cases, as features of one row: of the thing's first cell, and what is in its way."""
    return [
        *features_at(grid, [(c.turns, c.place) for c in cases]),
        feature("colour", "way", np.array([[c.way for c in cases]]), 0.8),
        feature("number", "far", np.array([[min(c.far, 12) for c in cases]]), 1.2),
        feature("number", "turn", np.array([[c.turns for c in cases]]), 1.0),
    ]


def shoves(grids: Sequence[Grid], outputs: Sequence[Grid], time_left: TimeLeft) -> Iterator[FittedRule]:
    """The grids, of the outputs' shapes, with some things moved until something is in their way, others taken away."""
    changed = [g != o for g, o in zip(grids, outputs, strict=False)]
    if not all(c.any() and (g[c] != 0).any() for g, c in zip(grids, changed, strict=False)):
        return
    for kind, (name, steps), firm in product(KINDS, STEPS.items(), (False, True)):
        cases = [[c for step in steps for c in _cases(g, kind, step, firm)] for g in grids]
        if all(cases) and time_left():
            text = f"{name} {kind}" + (" through single cells" if firm else "")
            yield from _fitted(grids, outputs, cases, text, time_left)


def _fitted(
    grids: Sequence[Grid], outputs: Sequence[Grid], cases: Sequence[Sequence[Shove]], name: str, time_left: TimeLeft
) -> Iterator[FittedRule]:
    moved = [[not c.seen(o, False) and c.seen(o, True) for c in row] for row, o in zip(cases, outputs, strict=False)]
    if not all(map(any, moved)):
        return
    may, must = [], []
    for row, ways in zip(cases, moved, strict=False):
        often = Counter(c.number for c, way in zip(row, ways, strict=True) if way)
        may += [way or not c.far for c, way in zip(row, ways, strict=True)]
        must += [way and often[c.number] == 1 for c, way in zip(row, ways, strict=True)]
    for moves, text, cost in _answers(grids, cases, np.array([~np.array(must), may]), time_left):
        moving = [_moving(row, yes) for row, yes in zip(cases, moves, strict=True)]
        resting = [_resting(row, others) for row, others in zip(cases, moving, strict=True)]
        for going, going_text, going_cost in _going(grids, outputs, resting, time_left):
            done = [_done(g, move, go) for g, move, go in zip(grids, moving, going, strict=True)]
            if reproduces(done, outputs):
                yield FittedRule(tuple(done), f"{name} {text}{going_text}", cost + going_cost)


def _moving(cases: Sequence[Shove], moves: np.ndarray) -> list[Shove]:
    """One case of each thing that moves, in the first of its directions."""
    return list({c.number: c for c, yes in zip(reversed(cases), moves[::-1], strict=True) if yes}.values())


def _resting(cases: Sequence[Shove], moving: Sequence[Shove]) -> list[Shove]:
    """One case of each thing that does not move."""
    numbers = {c.number for c in moving}
    return list({c.number: c for c in cases if c.turns == 0 and c.number not in numbers}.values())


def _going(
    grids: Sequence[Grid], outputs: Sequence[Grid], resting: Sequence[Sequence[Shove]], time_left: TimeLeft
) -> Iterator[tuple[list[list[Shove]], str, float]]:
    """Which of the things that do not move are taken away, by rules: those of every grid, the text, the cost."""
    kept = [[c.seen(o, False) for c in row] for row, o in zip(resting, outputs, strict=False)]
    if all(map(all, kept)):
        yield [[] for _ in resting], "", 0.0
    elif all(resting):
        stay = np.array([yes for row in kept for yes in row])
        for goes, text, cost in _answers(grids, resting, np.array([stay, ~stay]), time_left):
            going = [[c for c, yes in zip(row, ys, strict=True) if yes] for row, ys in zip(resting, goes, strict=True)]
            yield going, f", go {text}", cost


def _answers(
    grids: Sequence[Grid], cases: Sequence[Sequence[Shove]], right: np.ndarray, time_left: TimeLeft
) -> Iterator[Answer]:
    """What rules say of all cases, their text, their cost; `right`: [no and yes, cases of the demonstrations]."""
    described = [_described(g, row) for g, row in zip(grids, cases, strict=True)]
    tests = cells.tests_of(cells.joined(described), right.shape[1])
    for rule in tests.fit(right, COSTS, DEPTH, time_left)[:TRIED] if tests.names else ():
        yield tests.decided(rule, [len(row) for row in cases]), rule.text(tests.names, ("no", "yes")), rule.cost
