"""Rules of parts: which part of a grid the output is, and outputs that depend on several parts cell by cell."""

from collections.abc import Callable, Iterator, Sequence
from itertools import compress

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.pieces import SCORES
from solver.programs.primitives.registry import Parts
from solver.programs.rules import cells
from solver.programs.rules.decision_tree import Row, Table, TimeLeft
from solver.programs.rules.feature import Feature
from solver.programs.values import Grids
from solver.types import Grid, key, same

FACTS: dict[str, Callable[[Grid], float]] = SCORES | {
    "wide": lambda p: float(p.shape[1] > p.shape[0]),
    "tall": lambda p: float(p.shape[0] > p.shape[1]),
    "symmetric_across": lambda p: float((p == p[:, ::-1]).all()),
    "symmetric_down": lambda p: float((p == p[::-1]).all()),
    "symmetric_diagonal": lambda p: float(p.shape[0] == p.shape[1] and bool((p == p.T).all())),
    "full": lambda p: float((p != 0).all()),
    "rarest": lambda p: float(regions.rarest(p)),
}
DISTINCT = 12  # values of a fact beyond which each is no test of its own
DEPTH = 2  # tests in a rule of parts at most


def _facts(parts: Parts) -> np.ndarray:
    """Facts of each part, [facts, parts]: the scores, how often it occurs, how often its shape does, its place."""
    rows: list[list[float]] = [[fact(p) for p in parts] for fact in FACTS.values()]
    for keys in ([key(p) for p in parts], [key((p != 0).astype(np.uint8)) for p in parts]):
        rows.append([keys.count(k) for k in keys])
    return np.array(rows, float)


def _tests(every: Sequence[np.ndarray], shown: int) -> Iterator[Row]:
    """Tests of all parts of all grids: has the most, the least, a value no other has, this value."""
    for n, name in enumerate((*FACTS, "copies", "same_shape")):
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


def chosen(every: Sequence[Parts], outputs: Grids, time_left: TimeLeft) -> list[cells.FittedRule]:
    """Rules that choose from the parts of every grid the one that is the output, demonstrations first."""
    labels = [np.array([same(p, o) for p in parts]) for parts, o in zip(every, outputs, strict=False)]
    if not all(label.any() for label in labels) or all(label.all() for label in labels):
        return []
    wanted = np.concatenate(labels)
    tests = Table.of(_tests([_facts(p) for p in every], len(outputs)))
    rules = []
    for rule in tests.fit(np.array([wanted, ~wanted]), np.zeros(2, np.float32), DEPTH, time_left):
        actions = tests.decided(rule, [len(parts) for parts in every])
        taken = [list(compress(parts, own == 0)) for parts, own in zip(every, actions, strict=True)]
        if all(some and all(same(p, some[0]) for p in some) for some in taken):
            grids = tuple(some[0] for some in taken)
            rules.append(cells.FittedRule(grids, rule.text(tests.names, ("it", "not")), rule.cost))
    return rules


def combined(every: Sequence[Parts], outputs: Grids, time_left: TimeLeft) -> list[cells.FittedRule]:
    """Rules that make the output from the same cell of each of several parts of its shape."""
    number = len(every[0])
    alike = all(len(parts) == number and len({p.shape for p in parts}) == 1 for parts in every)
    as_outputs = all(parts[0].shape == o.shape for parts, o in zip(every, outputs, strict=False))
    if not (2 <= number <= 9 and alike and as_outputs):
        return []
    described = [
        [
            *(Feature("colour", f"part_{n}" if n else "colour", p, 0.5) for n, p in enumerate(parts)),
            Feature("number", "parts_filled", np.sum([p != 0 for p in parts], 0), 0.6),
        ]
        for parts in every
    ]
    return cells.rules(described, outputs, time_left, 5)
