"""Rules of cells: what each cell of the output is, from what is known of the same cell of a grid of its shape."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from solver.programs.rules.cell_features import features
from solver.programs.rules.decision_tree import Row, Rule, Table, TimeLeft, decide
from solver.programs.rules.feature import NONE, Feature, Values
from solver.programs.values import Grids
from solver.types import COLOURS, Grid

DEPTH = 4  # tests in a rule at most, if not said otherwise
VALUES = 14  # distinct values of a number beyond which none is a test of its own
PAIRS = ("ray_left", "ray_right", "ray_up", "ray_down", "left", "right", "up", "down", "grid_colour_0", "grid_rarest",
         "mirror_left_right", "mirror_up_down", "mirror_turned_180", "row_commonest", "column_commonest",
         "commonest_around", "first_of_line", "top_of_line")  # fmt: skip

ENTRIES = 9  # values of a feature that a table may have an entry for at most
LOW, WIDE = 16, 128  # the least value of a feature, below 0, and how many there may be
ENTRY = 0.6  # steps each entry costs
UNKNOWN = 1.0  # added to the cost of a table that says nothing of some value in a grid it is not learned from

Described = Sequence[Feature]


@dataclass(frozen=True, eq=False)
class FittedRule:
    """A rule with its text; `grids`: what it makes of every grid, demonstrations first."""

    grids: tuple[Grid, ...]
    text: str
    cost: float


def describe(grids: Grids, extra: Sequence[tuple[str, float, Grids]]) -> list[list[Feature]]:
    """Every grid's features, and the same cells of other grids of its shape as further colours: (name, cost, grids)."""
    return [
        [*features(grid), *(Feature("colour", name, others[n], cost) for name, cost, others in extra)]
        for n, grid in enumerate(grids)
    ]


def joined(described: Sequence[Described]) -> list[tuple[Feature, Values]]:
    """Each feature with its values in all cells of all grids, one after another."""
    return [(f, np.concatenate([d[n].values.ravel() for d in described])) for n, f in enumerate(described[0])]


def tests_of(known: Sequence[tuple[Feature, Values]], shown: int) -> Table:
    """Tests of the cells of all grids; the first `shown` cells say which values are worth a test."""
    return Table.of(t for t in _tests(known, shown) if t[0][:shown].any() and not t[0][:shown].all())


def _tests(known: Sequence[tuple[Feature, Values]], shown: int) -> Iterator[Row]:
    by_name = {f.name: values for f, values in known}
    for f, values in known:
        present = np.unique(values[:shown])
        equal = ((values == value, f"{f.name}={value}", f.cost) for value in present)
        if f.kind == "flag":
            yield values > 0, f.name, f.cost
        elif f.kind == "colour":
            yield from equal
            if f.name != "colour":
                yield values == by_name["colour"], f"{f.name}=colour", f.cost + 0.3
        else:
            if len(present) > 2:
                yield (values % 2 == 1) & (values >= 0), f"{f.name} odd", f.cost + 0.3
            if len(present) <= VALUES:
                yield from equal
                for value in present[2:-1]:
                    yield values >= value, f"{f.name}>={value}", f.cost + 0.2
    for one, other in combinations([name for name in PAIRS if name in by_name], 2):
        yield by_name[one] == by_name[other], f"{one}={other}", 1.8


def _tables(known: Sequence[tuple[Feature, Values]], wanted: NDArray[np.int16]) -> Iterator[Row]:
    """More actions: paint what a table says of one feature's value, as some of the cells have it.

    Tables are read off the cells that change, and off those of each colour that changes, where each value has one
    colour and there are at least three, or another two than the feature has itself.
    """
    shown = len(wanted)
    colour = next(values for f, values in known if f.name == "colour")
    changed = colour[:shown] != wanted
    sets = [("changed", changed, np.ones(len(colour), bool))]
    of = np.unique(colour[:shown][changed])
    sets += [(f"colour {c}", colour[:shown] == c, colour == c) for c in of if len(of) > 1 or (colour == c).any()]
    for name, here, every in sets:
        for f, values in known if len(np.unique(wanted[here])) > 1 else ():
            entries = _entries(f, values[:shown][here], wanted[here]) if f.kind != "flag" else None
            if entries is None:
                continue
            painted = entries[values.astype(np.int64) + LOW]
            texts = ", ".join(f"{v - LOW}→{entries[v]}" for v in np.flatnonzero(entries != NONE))
            unknown = UNKNOWN * bool((painted[shown:] == NONE)[every[shown:]].any())
            cost = float(f.cost + 0.5 + ENTRY * (entries != NONE).sum() + unknown)
            yield painted, f"{f.name}({texts} of {name})", cost


def _entries(f: Feature, values: Values, wanted: NDArray[np.int16]) -> NDArray[np.int16] | None:
    """The colour for each value from -`LOW` on, `NONE` where none was seen; None where that is no table."""
    seen = np.bincount((values.astype(np.int64) + LOW) * COLOURS + wanted, minlength=WIDE * COLOURS)
    of = seen.reshape(-1, COLOURS) > 0
    kinds = of.sum(1)
    some = np.flatnonzero(kinds)
    if len(kinds) > WIDE or kinds.max() > 1 or not 2 <= len(some) <= ENTRIES:
        return None
    colours = np.where(kinds > 0, of.argmax(1), NONE).astype(np.int16)
    own = f.kind == "colour" and bool((colours[some] != some - LOW).any())
    return colours if len(np.unique(colours[some])) > (1 if own else 2) else None


def rules(described: Sequence[Described], outputs: Grids, time_left: TimeLeft, depth: int = DEPTH) -> list[FittedRule]:
    """Rules that make the outputs of the first grids, the simplest first, with what they make of all grids."""
    if not time_left():
        return []
    wanted = np.concatenate([o.ravel() for o in outputs]).astype(np.int16)
    shown, known = len(wanted), joined(described)
    tests = tests_of(known, shown)
    if not tests.names or not time_left():
        return []
    plain = [(np.full(len(known[0][1]), c, np.int16), str(c), 0.6) for c in range(COLOURS) if (wanted == c).any()]
    plain += [(values, f.name, f.cost) for f, values in known if f.kind == "colour"]
    by_grids: dict[bytes, list[FittedRule]] = {}
    for rows in ([*plain, *_tables(known, wanted)], plain):
        actions = Table.of(rows)
        right = actions.values[:, :shown] == wanted
        if by_grids or not right.any(0).all():
            break  # tables come first; without them where they say nothing of some value
        fitted = tests.fit(right, actions.costs, depth, time_left)
        for rule in fitted:
            grids = _painted(rule, tests, actions, [d[0].values.shape for d in described])
            if grids is not None:
                alike = by_grids.setdefault(b"".join(g.tobytes() for g in grids), [])
                alike.append(FittedRule(grids, rule.text(tests.names, actions.names), rule.cost))
        if not fitted or len(rows) == len(plain):
            break
    return sorted(map(_together, by_grids.values()), key=lambda rule: rule.cost)


def _painted(rule: Rule, tests: Table, actions: Table, shapes: Sequence[tuple[int, ...]]) -> tuple[Grid, ...] | None:
    """What the rule makes of all grids, of these shapes; None where it is no colour somewhere."""
    numbers = decide(rule, tests.values)
    cells = actions.values[numbers, np.arange(len(numbers))]
    if (cells >= NONE).any() or (cells < 0).any():
        return None
    parts = np.split(cells, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
    return tuple(p.reshape(s).astype(np.uint8) for p, s in zip(parts, shapes, strict=True))


def _together(alike: Sequence[FittedRule]) -> FittedRule:
    """Of rules that make the same of everything the cheapest; its cost falls with what the others add to its odds."""
    odds = sum(math.exp(alike[0].cost - rule.cost) for rule in alike)
    return replace(alike[0], cost=alike[0].cost - math.log(odds))
