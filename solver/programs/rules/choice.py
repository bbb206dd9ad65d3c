"""Rules of parts: which part of a grid the output is, and outputs that depend on several parts cell by cell.

Knows nothing of the search. Law: a rule reproduces every demonstration, or it is not returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from solver.programs.primitives import regions
from solver.programs.primitives.joins import SCORES
from solver.programs.primitives.registry import Parts
from solver.programs.rules import cells
from solver.programs.rules.cell_features import Plane
from solver.programs.rules.cells import Learned
from solver.programs.rules.decision_tree import Lesson, Rule, decide, learn
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
Rules = Callable[[Sequence[Parts], Sequence[Grid], Callable[[], bool]], list[Learned]]
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


def _tests(every: Sequence[np.ndarray], shown: int) -> tuple[np.ndarray, list[str], list[float]]:
    """Tests of all parts of all grids: has the most, the least, a value no other has, this value."""
    tests, names, costs = [], [], []

    def add(found: list[np.ndarray], name: str, cost: float) -> None:
        tests.append(np.concatenate(found))
        names.append(name)
        costs.append(cost)

    for n, name in enumerate(NAMES):
        rows = [facts[n] for facts in every]
        add([r == r.max() for r in rows], f"most {name}", 1.0)
        add([r == r.min() for r in rows], f"least {name}", 1.0)
        add([(r[:, None] == r).sum(0) == 1 for r in rows], f"only {name}", 1.2)
        values = sorted({v for r in rows[:shown] for v in r})
        for value in values if len(values) <= DISTINCT else ():
            add([r == value for r in rows], f"{name}={value:g}", 1.4)
    places = [np.arange(f.shape[1]) for f in every]
    add([p == 0 for p in places], "first", 1.2)
    add([p == p.max() for p in places], "last", 1.2)
    return np.array(tests), names, costs


def chosen(every: Sequence[Parts], outputs: Sequence[Grid], more: Callable[[], bool]) -> list[Learned]:
    """Rules that choose from the parts of every grid the one that is the output, demonstrations first."""
    shown = len(outputs)
    labels = [np.array([same(p, o) for p in parts]) for parts, o in zip(every, outputs, strict=False)]
    if not all(found.any() for found in labels) or all(found.all() for found in labels):
        return []
    tests, names, costs = _tests([_facts(p) for p in every], shown)
    wanted = np.concatenate(labels)
    lesson = Lesson(
        tests[:, : len(wanted)], np.array([wanted, ~wanted]), np.array(costs, np.float32), np.zeros(2, np.float32)
    )
    found = []
    for rule in learn(lesson, DEPTH, more):
        picked = np.split(decide(rule, tests) == 0, np.cumsum([len(p) for p in every])[:-1])
        grids = [_one([p for p, take in zip(parts, takes, strict=True) if take]) for parts, takes in
                 zip(every, picked, strict=True)]  # fmt: skip
        if all(g is not None for g in grids):
            text = _told(rule, names)
            found.append(Learned(tuple(g for g in grids if g is not None), text, rule.cost))
    return found


def _told(rule: Rule, names: Sequence[str]) -> str:
    if rule.passed is None or rule.failed is None:
        return "it" if rule.action == 0 else "not"
    return f"({names[rule.test]} ? {_told(rule.passed, names)} : {_told(rule.failed, names)})"


def _one(parts: Sequence[Grid]) -> Grid | None:
    return parts[0] if parts and all(same(p, parts[0]) for p in parts) else None


def combined(every: Sequence[Parts], outputs: Sequence[Grid], more: Callable[[], bool]) -> list[Learned]:
    """Rules that make the output from the same cell of each of several parts of its shape."""
    number = len(every[0])
    if not 2 <= number <= 9 or any(len(p) != number for p in every):
        return []
    if any(p.shape != parts[0].shape for parts in every for p in parts):
        return []
    if any(parts[0].shape != o.shape for parts, o in zip(every, outputs, strict=False)):
        return []
    described = []
    for parts in every:
        counted = sum((p != 0).astype(np.int16) for p in parts)
        planes = [Plane("colour" if n == 0 else f"part_{n}", "colour", p.astype(np.int16), 0.5)
                  for n, p in enumerate(parts)]  # fmt: skip
        described.append([*planes, Plane("parts_filled", "number", np.asarray(counted), 0.6)])
    return cells.rules(described, outputs, 5, more)
