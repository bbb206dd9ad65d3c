"""Rules of parts: which part of a grid the output is, and outputs that depend on several parts cell by cell."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.joins import SCORES
from solver.programs.primitives.registry import Parts
from solver.programs.rules import cells
from solver.programs.rules.cells import FittedRule
from solver.programs.rules.decision_tree import Row, Table, TimeLeft
from solver.programs.rules.feature import feature
from solver.types import Grid, key, same

MORE_SCORES = {
    "wide": lambda p: float(p.shape[1] > p.shape[0]),
    "tall": lambda p: float(p.shape[0] > p.shape[1]),
    "symmetric_across": lambda p: float((p == p[:, ::-1]).all()),
    "symmetric_down": lambda p: float((p == p[::-1]).all()),
    "symmetric_diagonal": lambda p: float(p.shape[0] == p.shape[1] and bool((p == p.T).all())),
    "full": lambda p: float((p != 0).all()),
    "rarest": lambda p: float(regions.rarest(p)),
}
FACTS: dict[str, Callable[[Grid], float]] = SCORES | MORE_SCORES
DISTINCT = 12  # values of a fact beyond which each is no test of its own
DEPTH = 2  # tests in a rule of parts at most


def _facts(parts: Parts) -> np.ndarray:
    """Facts of each part, [facts, parts]: the scores, how often it occurs, how often its shape does, its place."""
    rows = [[fact(p) for p in parts] for fact in FACTS.values()]
    exact = [key(p) for p in parts]
    shapes = [key((p != 0).astype(np.uint8)) for p in parts]
    rows.append([exact.count(k) for k in exact])
    rows.append([shapes.count(k) for k in shapes])
    return np.array(rows, float)


NAMES = (*FACTS, "copies", "same_shape")


def _tests(every: Sequence[np.ndarray], shown: int) -> Iterator[Row]:
    """Tests of all parts of all grids: has the most, the least, a value no other has, this value."""
    for n, name in enumerate(NAMES):
        rows = [facts[n] for facts in every]
        yield np.concatenate([r == r.max() for r in rows]), f"most {name}", 1.0
        yield np.concatenate([r == r.min() for r in rows]), f"least {name}", 1.0
        yield np.concatenate([(r[:, None] == r).sum(0) == 1 for r in rows]), f"only {name}", 1.2
        values = sorted({v for r in rows[:shown] for v in r})
        for value in values if len(values) <= DISTINCT else ():
            yield np.concatenate([r == value for r in rows]), f"{name}={value:g}", 1.4
    places = [np.arange(f.shape[1]) for f in every]
    yield np.concatenate([p == 0 for p in places]), "first", 1.2
    yield np.concatenate([p == p.max() for p in places]), "last", 1.2


def chosen(every: Sequence[Parts], outputs: Sequence[Grid], time_left: TimeLeft) -> list[FittedRule]:
    """Rules that choose from the parts of every grid the one that is the output, demonstrations first."""
    labels = [np.array([same(p, o) for p in parts]) for parts, o in zip(every, outputs, strict=False)]
    if not all(label.any() for label in labels) or all(label.all() for label in labels):
        return []
    wanted = np.concatenate(labels)
    tests = Table.of(_tests([_facts(p) for p in every], len(outputs)))
    rules = []
    for rule in tests.fit(np.array([wanted, ~wanted]), np.zeros(2, np.float32), DEPTH, time_left):
        actions = tests.decided(rule, [len(parts) for parts in every])
        taken = [
            [p for p, a in zip(parts, own, strict=True) if a == 0] for parts, own in zip(every, actions, strict=True)
        ]
        if all(some and all(same(p, some[0]) for p in some) for some in taken):
            grids = tuple(some[0] for some in taken)
            rules.append(FittedRule(grids, rule.text(tests.names, ("it", "not")), rule.cost))
    return rules


def combined(every: Sequence[Parts], outputs: Sequence[Grid], time_left: TimeLeft) -> list[FittedRule]:
    """Rules that make the output from the same cell of each of several parts of its shape."""
    number = len(every[0])
    if not 2 <= number <= 9 or any(len(p) != number for p in every):
        return []
    if any(p.shape != parts[0].shape for parts in every for p in parts):
        return []
    if any(parts[0].shape != o.shape for parts, o in zip(every, outputs, strict=False)):
        return []
    described = [
        [
            *(feature("colour", f"part_{n}" if n else "colour", p, 0.5) for n, p in enumerate(parts)),
            feature("number", "parts_filled", np.sum([p != 0 for p in parts], 0), 0.6),
        ]
        for parts in every
    ]
    return cells.rules(described, outputs, time_left, 5)
