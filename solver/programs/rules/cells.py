"""Rules of cells: what each cell of the output is, from what is known of the same cell of a grid of its shape.

Knows nothing of the search. Law: a rule reproduces every demonstration, or it is not returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.programs.rules import cross_validation
from solver.programs.rules.cell_features import NONE, Plane, planes
from solver.programs.rules.decision_tree import Lesson, Rule, decide, learn
from solver.types import COLOURS, Grid

VALUES = 14  # distinct values of a number beyond which a plane is left out
PAIRS = ("ray_left", "ray_right", "ray_up", "ray_down", "left", "right", "up", "down", "grid_colour_0", "grid_rarest",
         "mirror_left_right", "mirror_up_down", "mirror_turned_180", "row_commonest", "column_commonest",
         "commonest_around", "first_of_line", "top_of_line")  # fmt: skip

ENTRIES = 9  # values of a plane that a table may have an entry for at most
LOW, WIDE = 16, 128  # the least value of a plane, below 0, and how many there may be
ENTRY = 0.6  # steps each entry costs
UNKNOWN = 1.0  # added to the cost of a table that says nothing of some value in a grid it is not learned from

Described = Sequence[Plane]


@dataclass(frozen=True, eq=False)
class Learned:
    """A rule with its text; `grids`: what it makes of every grid, demonstrations first."""

    grids: tuple[Grid, ...]
    text: str
    cost: float


@dataclass(frozen=True, eq=False)
class Sheet:
    """All cells of all grids as cases. `tests`: [tests, cells]; `colours`: [actions, cells], what actions paint."""

    tests: NDArray[np.bool_]
    test_names: list[str]
    test_costs: NDArray[np.float32]
    colours: NDArray[np.int16]
    action_names: list[str]
    action_costs: NDArray[np.float32]


def describe(grids: Sequence[Grid], extra: Sequence[tuple[str, float, Sequence[Grid]]]) -> list[list[Plane]]:
    """Every grid's planes, with the same cells of other grids of its shape as further colours: (name, cost, grids)."""
    found = []
    for n, grid in enumerate(grids):
        more = [Plane(name, "colour", others[n].astype(np.int16), cost) for name, cost, others in extra]
        found.append([*planes(grid), *more])
    return found


def sheet(described: Sequence[Described], shown: int, painted: Sequence[int]) -> Sheet:
    """Tests and actions over the cells of all grids; the first `shown` cells say which values are worth a test."""
    joined = [np.concatenate([d[n].values.ravel() for d in described]) for n in range(len(described[0]))]
    first = described[0]
    tests: list[NDArray[np.bool_]] = []
    names: list[str] = []
    costs: list[float] = []

    def add(test: NDArray[np.bool_], name: str, cost: float) -> None:
        if test[:shown].any() and not test[:shown].all():
            tests.append(test)
            names.append(name)
            costs.append(cost)

    by_name = {plane.name: values for plane, values in zip(first, joined, strict=True)}
    for plane, values in zip(first, joined, strict=True):
        if plane.kind == "flag":
            add(values > 0, plane.name, plane.cost)
            continue
        present = np.unique(values[:shown])
        if plane.kind == "colour":
            for value in present:
                add(values == value, f"{plane.name}={value}", plane.cost)
            if plane.name != "colour":
                add(values == by_name["colour"], f"{plane.name}=colour", plane.cost + 0.3)
            continue
        if len(present) > 2:
            add((values % 2 == 1) & (values >= 0), f"{plane.name} odd", plane.cost + 0.3)
        if len(present) <= VALUES:
            for value in present:
                add(values == value, f"{plane.name}={value}", plane.cost)
            for value in present[2:-1]:
                add(values >= value, f"{plane.name}>={value}", plane.cost + 0.2)
    pairs = [name for name in PAIRS if name in by_name]
    for n, one in enumerate(pairs):
        for other in pairs[n + 1 :]:
            add(by_name[one] == by_name[other], f"{one}={other}", 1.8)
    actions = [(np.full(joined[0].shape, c, np.int16), str(c), 0.6) for c in painted]
    actions += [(v, p.name, p.cost) for p, v in zip(first, joined, strict=True) if p.kind == "colour"]
    return Sheet(
        np.array(tests), names, np.array(costs, np.float32),
        np.array([a[0] for a in actions]), [a[1] for a in actions], np.array([a[2] for a in actions], np.float32),
    )  # fmt: skip


def with_tables(table: Sheet, described: Sequence[Described], wanted: NDArray[np.int16]) -> Sheet:
    """The sheet with more actions: paint what a table says of one plane's value, as some of the cells have it.

    Tables are read off the cells that change, and off those of each colour that changes, where each value has one
    colour and there are at least three, or another two than the plane has itself.
    """
    shown = len(wanted)
    joined = [np.concatenate([d[n].values.ravel() for d in described]) for n in range(len(described[0]))]
    colour = joined[[p.name for p in described[0]].index("colour")]
    changed = colour[:shown] != wanted
    sets = [("changed", changed, np.ones(len(colour), bool))]
    of = np.unique(colour[:shown][changed])
    sets += [(f"colour {c}", colour[:shown] == c, colour == c) for c in of if len(of) > 1 or (colour == c).any()]
    colours, names, costs = list(table.colours), list(table.action_names), list(table.action_costs)
    for name, here, every in sets:
        if len(np.unique(wanted[here])) < 2:
            continue
        for plane, values in zip(described[0], joined, strict=True):
            entries = _entries(plane, values[:shown][here], wanted[here]) if plane.kind != "flag" else None
            if entries is None:
                continue
            made = entries[values.astype(np.int64) + LOW]
            told = ", ".join(f"{v - LOW}→{entries[v]}" for v in np.flatnonzero(entries != NONE))
            unknown = UNKNOWN * bool((made[shown:] == NONE)[every[shown:]].any())
            colours.append(made)
            names.append(f"{plane.name}({told} of {name})")
            costs.append(np.float32(plane.cost + 0.5 + ENTRY * (entries != NONE).sum() + unknown))
    return replace(table, colours=np.array(colours), action_names=names, action_costs=np.array(costs, np.float32))


def _entries(plane: Plane, values: NDArray[np.int16], wanted: NDArray[np.int16]) -> NDArray[np.int16] | None:
    """The colour for each value from -`LOW` on, `NONE` where none was seen; None where that is no table."""
    seen = np.bincount((values.astype(np.int64) + LOW) * COLOURS + wanted, minlength=WIDE * COLOURS)
    of = seen.reshape(-1, COLOURS) > 0
    kinds = of.sum(1)
    some = np.flatnonzero(kinds)
    if len(kinds) > WIDE or kinds.max() > 1 or not 2 <= len(some) <= ENTRIES:
        return None
    made = np.where(kinds > 0, of.argmax(1), NONE).astype(np.int16)
    own = plane.kind == "colour" and bool((made[some] != some - LOW).any())
    return made if len(np.unique(made[some])) > (1 if own else 2) else None


def text_of(rule: Rule, table: Sheet) -> str:
    """The rule in words."""
    if rule.passed is None or rule.failed is None:
        return table.action_names[rule.action]
    return f"({table.test_names[rule.test]} ? {text_of(rule.passed, table)} : {text_of(rule.failed, table)})"


def _painted(rule: Rule, table: Sheet, shapes: Sequence[tuple[int, int]]) -> tuple[Grid, ...] | None:
    actions = decide(rule, table.tests)
    cells = table.colours[actions, np.arange(len(actions))]
    if (cells >= NONE).any() or (cells < 0).any():
        return None
    ends = np.cumsum([h * w for h, w in shapes])[:-1]
    return tuple(p.reshape(s).astype(np.uint8) for p, s in zip(np.split(cells, ends), shapes, strict=True))


def generalises(described: Sequence[Described], outputs: Sequence[Grid], depth: int, more: Callable[[], bool]) -> float:
    """The share of demonstrations that the first rules learned from the others get right."""

    def learn(order: Sequence[int], others: Sequence[Grid]) -> Iterator[Grid]:
        return (rule.grids[-1] for rule in rules([described[k] for k in order], others, depth, more))

    return cross_validation.share(outputs, learn)


def rules(
    described: Sequence[Described], outputs: Sequence[Grid], depth: int, more: Callable[[], bool]
) -> list[Learned]:
    """Rules that make the outputs of the first grids, the simplest first, told by what they make of the others."""
    shapes = [(int(d[0].values.shape[0]), int(d[0].values.shape[1])) for d in described]
    wanted = np.concatenate([o.ravel() for o in outputs]).astype(np.int16)
    shown = len(wanted)
    painted = [c for c in range(COLOURS) if (wanted == c).any()]
    table = sheet(described, shown, painted)
    if not len(table.tests):
        return []
    found: dict[bytes, list[Learned]] = {}
    for actions in (with_tables(table, described, wanted), table):
        right = actions.colours[:, :shown] == wanted
        if found or not right.any(0).all():
            break  # tables come first; without them where they say nothing of some value
        lesson = Lesson(table.tests[:, :shown], right, table.test_costs, actions.action_costs)
        learned = learn(lesson, depth, more)
        for rule in learned:
            grids = _painted(rule, actions, shapes)
            if grids is not None:
                alike = found.setdefault(b"".join(g.tobytes() for g in grids), [])
                alike.append(Learned(grids, text_of(rule, actions), rule.cost))
        if not learned or len(actions.colours) == len(table.colours):
            break
    return sorted(map(_together, found.values()), key=lambda rule: rule.cost)


def _together(alike: Sequence[Learned]) -> Learned:
    """Of rules that make the same of everything the cheapest; its cost falls with what the others add to its odds."""
    odds = sum(math.exp(alike[0].cost - rule.cost) for rule in alike)
    return replace(alike[0], cost=alike[0].cost - math.log(odds))
