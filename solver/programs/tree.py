"""Learns the simplest exact rule: a short tree of tests whose leaves say what to do.

Knows nothing of grids. Each case (column) passes or fails every test and is right or wrong under every action; a rule
is right on all cases. Law: the simplest rules are found first, tried in order of cost; deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Floats = NDArray[np.float32]
FEW = 48  # splits tried in earnest at each level, the most promising first
NODE = 1.5  # what a test adds to a rule's cost beside its own


@dataclass(frozen=True)
class Rule:
    """A tree: an action where `test` is -1, else two rules for the cases that pass the test and those that fail."""

    cost: float
    action: int
    test: int = -1
    passed: Rule | None = None
    failed: Rule | None = None


def decide(rule: Rule, tests: Bits) -> NDArray[np.int64]:
    """The action for every case, [cases]; tests: [tests, cases]."""
    if rule.passed is None or rule.failed is None:
        return np.full(tests.shape[1], rule.action)
    return np.where(tests[rule.test], decide(rule.passed, tests), decide(rule.failed, tests))


@dataclass(frozen=True, eq=False)
class Lesson:
    """Cases to learn from. `tests`: [tests, cases]; `right`: [actions, cases]; costs of each test and action."""

    tests: Bits
    right: Bits
    test_costs: Floats
    action_costs: Floats

    def distinct(self) -> Lesson:
        """The same lesson with equal cases once."""
        both = np.packbits(np.vstack([self.tests, self.right]), axis=0).T
        rows = np.ascontiguousarray(both).view(np.dtype((np.void, both.shape[1]))).ravel()
        first = np.sort(np.unique(rows, return_index=True)[1])
        return Lesson(self.tests[:, first], self.right[:, first], self.test_costs, self.action_costs)

    def slim(self) -> tuple[Lesson, NDArray[np.int64], NDArray[np.int64]]:
        """Without tests and actions that cheaper ones equal or cover; with the numbers of those that stay."""
        tests = _first_of_equals(self.tests, self.test_costs)
        actions = _first_of_equals(self.right, self.action_costs)
        actions = actions[_uncovered(self.right[actions])]
        lesson = Lesson(self.tests[tests], self.right[actions], self.test_costs[tests], self.action_costs[actions])
        return lesson, tests, actions

    def only(self, cases: Bits) -> Lesson:
        """The lesson of some of the cases."""
        return Lesson(self.tests[:, cases], self.right[:, cases], self.test_costs, self.action_costs)


def _first_of_equals(rows: Bits, costs: Floats) -> NDArray[np.int64]:
    """The cheapest of rows that are equal, in order of cost."""
    order = np.argsort(costs, kind="stable")
    packed = np.ascontiguousarray(np.packbits(rows[order], axis=1))
    first = np.unique(packed.view(np.dtype((np.void, packed.shape[1]))).ravel(), return_index=True)[1]
    return order[np.sort(first)]


def _uncovered(right: Bits) -> NDArray[np.int64]:
    """Actions, cheapest first, that are right somewhere where no single cheaper one covers all they are right on."""
    packed = np.packbits(right, axis=1)
    kept: list[int] = []
    for n in range(len(right)):
        if right[n].any() and not any(not (packed[n] & ~packed[k]).any() for k in kept):
            kept.append(n)
    return np.array(kept, np.int64)


def _renumbered(rule: Rule, tests: NDArray[np.int64], actions: NDArray[np.int64]) -> Rule:
    if rule.passed is None or rule.failed is None:
        return Rule(rule.cost, int(actions[rule.action]))
    passed, failed = _renumbered(rule.passed, tests, actions), _renumbered(rule.failed, tests, actions)
    return Rule(rule.cost, -1, int(tests[rule.test]), passed, failed)


def _single(lesson: Lesson) -> list[Rule]:
    cost = np.where(lesson.right.all(1), lesson.action_costs, np.inf)
    return [Rule(float(cost[a]), int(a)) for a in np.argsort(cost, kind="stable")[:3] if np.isfinite(cost[a])]


def _sides(lesson: Lesson) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64], Floats]:
    """For every test the cheapest action that is right on all that pass, its cost (inf: none); the same for failing."""
    wrong = (~lesson.right).astype(np.float32)
    passing = wrong @ lesson.tests.T.astype(np.float32)
    failing = wrong.sum(1, keepdims=True) - passing
    found = []
    for bad in (passing, failing):
        cost = np.where(bad < 0.5, lesson.action_costs[:, None], np.inf)
        best = cost.argmin(0)
        found += [best, cost[best, np.arange(cost.shape[1])].astype(np.float32)]
    return found[0], found[1], found[2], found[3]


def _useful(lesson: Lesson) -> Bits:
    number = lesson.tests.sum(1)
    return np.asarray((number > 0) & (number < lesson.tests.shape[1]))


def _two(lesson: Lesson, limit: int) -> list[Rule]:
    """Rules of one test, the cheapest first."""
    yes, yes_cost, no, no_cost = _sides(lesson)
    cost = np.where(_useful(lesson), yes_cost + no_cost + lesson.test_costs + NODE, np.inf)
    best = [t for t in np.argsort(cost, kind="stable")[:limit] if np.isfinite(cost[t])]
    return [
        Rule(float(cost[t]), -1, int(t), Rule(float(yes_cost[t]), int(yes[t])), Rule(float(no_cost[t]), int(no[t])))
        for t in best
    ]


def _peeled(lesson: Lesson) -> Iterator[tuple[int, bool, int, float, Bits]]:
    """Tests one side of which one action settles: (test, side, action, its cost, the cases left), fewest left first."""
    yes, yes_cost, no, no_cost = _sides(lesson)
    useful = _useful(lesson)
    options = []
    for side, cost, action in ((True, yes_cost, yes), (False, no_cost, no)):
        for t in np.flatnonzero(np.isfinite(cost) & useful):
            left = int((lesson.tests[t] != side).sum())
            value = left * (1 + 0.15 * float(lesson.test_costs[t] + cost[t]))
            options.append((value, int(t), side, int(action[t]), float(cost[t])))
    seen: set[bytes] = set()
    for _, t, side, act, cost_ in sorted(options):
        left_cases = lesson.tests[t] != side
        mark = np.packbits(left_cases).tobytes()
        if mark not in seen:
            seen.add(mark)
            yield t, side, act, cost_, left_cases


def _joined(lesson: Lesson, t: int, side: bool, settled: Rule, rest: Rule) -> Rule:
    cost = float(lesson.test_costs[t]) + NODE + settled.cost + rest.cost
    return Rule(cost, -1, t, settled if side else rest, rest if side else settled)


def _list_of(lesson: Lesson, depth: int, width: int, more: Callable[[], bool]) -> list[Rule]:
    """Rules of `depth` tests, each of which settles one side."""
    if depth == 1:
        return _two(lesson, 4)
    found: list[Rule] = []
    for number, (t, side, act, cost, left) in enumerate(_peeled(lesson)):
        if number >= width or not more():
            break
        settled = Rule(cost, act)
        for rest in _list_of(lesson.only(left), depth - 1, max(3, width // 6), more):
            found.append(_joined(lesson, t, side, settled, rest))
    return sorted(found, key=lambda r: r.cost)


def _split(lesson: Lesson, more: Callable[[], bool]) -> list[Rule]:
    """Rules of three tests, of which the first settles no side: the tests that part the actions best."""
    right = lesson.right.astype(np.float32)
    passing = right @ lesson.tests.T.astype(np.float32)
    parted = passing.max(0) + (right.sum(1, keepdims=True) - passing).max(0)
    value = np.where(_useful(lesson), parted - 0.5 * lesson.test_costs, -np.inf)
    found = []
    for t in np.argsort(-value, kind="stable")[:FEW]:
        if not more() or not np.isfinite(value[t]):
            break
        passed = _two(lesson.only(lesson.tests[t]), 2)
        failed = _two(lesson.only(~lesson.tests[t]), 2) if passed else []
        found += [_joined(lesson, int(t), True, one, other) for one in passed for other in failed]
    return found


def learn(lesson: Lesson, depth: int, more: Callable[[], bool], limit: int = 24) -> list[Rule]:
    """Exact rules with the fewest tests there are, at most `depth`, the cheapest first; [] where none was found.

    `more`: whether there is time to go on.
    """
    lesson, tests, actions = lesson.distinct().slim()
    found = _single(lesson)
    for number in range(1, depth + 1):
        if found or not more():
            break
        found = _two(lesson, limit) if number == 1 else _list_of(lesson, number, FEW, more)
        found += _split(lesson, more) if number == 3 else []
        found = sorted(found, key=lambda r: r.cost)[:limit]
    return [_renumbered(rule, tests, actions) for rule in found]
