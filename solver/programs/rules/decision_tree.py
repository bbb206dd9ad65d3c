"""Fits the simplest exact rule: a short tree of tests whose leaves say what to do.

Each case (column) passes or fails every test and is right or wrong under every action; a rule is right on all cases.
Law: the simplest rules are found first, tried in order of cost; deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.programs.rules.action_of_side import actions_of_sides

TimeLeft = Callable[[], bool]
Bits = NDArray[np.bool_]
Floats = NDArray[np.float32]
Words = NDArray[np.uint64]
Row = tuple[NDArray[Any], str, float]  # values of all cases, name, cost
MOST = 24  # rules that are kept
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

    def text(self, tests: Sequence[str], actions: Sequence[str]) -> str:
        """The rule in words, from the names of tests and actions."""
        if self.passed is None or self.failed is None:
            return actions[self.action]
        return f"({tests[self.test]} ? {self.passed.text(tests, actions)} : {self.failed.text(tests, actions)})"


def decide(rule: Rule, tests: Bits) -> NDArray[np.int64]:
    """The action for every case, [cases]; tests: [tests, cases]."""
    if rule.passed is None or rule.failed is None:
        return np.full(tests.shape[1], rule.action)
    return np.where(tests[rule.test], decide(rule.passed, tests), decide(rule.failed, tests))


@dataclass(frozen=True, eq=False)
class Table:
    """Tests or actions, a row each: `values` over all cases, [rows, cases]; name and cost of each row."""

    values: NDArray[Any]
    names: list[str]
    costs: Floats

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Table:
        """These rows: values of each case, name, cost."""
        listed = list(rows)
        return cls(
            np.array([r[0] for r in listed]), [r[1] for r in listed], np.array([r[2] for r in listed], np.float32)
        )

    def fit(self, right: Bits, action_costs: Floats, depth: int, time_left: TimeLeft) -> list[Rule]:
        """Exact rules with the fewest tests there are, at most `depth`, the cheapest first; [] where there is none.

        `right`: on which cases each action is, [actions, cases], of the first cases alone, where that is known.
        Equal cases are looked at once, without tests and actions that cheaper ones equal or cover.
        """
        shown = self.values[:, : right.shape[1]]
        cases = _firsts(np.packbits(np.vstack([shown, right]), axis=0).T)
        cases = np.random.default_rng(0).permutation(cases)  # so that unlike ones come soon
        shown, right = shown[:, cases], right[:, cases]
        tests = _first_of_equals(shown, self.costs)
        actions = _first_of_equals(right, action_costs)
        actions = actions[_uncovered(right[actions])]
        right, action_costs = right[actions], action_costs[actions]
        training = _Cases.of(shown[tests], right, self.costs[tests], action_costs)
        rules = [Rule(float(action_costs[a]), int(a)) for a in np.flatnonzero(right.all(1))]
        for number in range(1, depth + 1):
            if rules or not time_left():
                break
            rules = _two(training, MOST) if number == 1 else _list_of(training, number, FEW, time_left)
            rules += _split(training, time_left) if number == 3 and time_left() else []
            rules = sorted(rules, key=lambda r: r.cost)[:MOST]
        return [_renumbered(rule, tests, actions) for rule in rules]

    def decided(self, rule: Rule, sizes: Sequence[int]) -> list[NDArray[np.int64]]:
        """The rule's action for every case, in groups of these sizes."""
        return np.split(decide(rule, self.values), np.cumsum(sizes)[:-1])


def _firsts(rows: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Numbers of the first of rows that are equal."""
    values = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1]))).ravel()
    return np.sort(np.unique(values, return_index=True)[1])


def _first_of_equals(rows: Bits, costs: Floats) -> NDArray[np.int64]:
    """The cheapest of rows that are equal, in order of cost."""
    order = np.argsort(costs, kind="stable")
    return order[_firsts(np.packbits(rows[order], axis=1))]


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


@dataclass(frozen=True, eq=False)
class _Cases:
    """Some of the training cases.

    `tests`: which of all cases pass each, [tests, words], 64 cases to a word; `right`: which actions are right on each
    of all cases, [cases, words], 64 actions to a word, in order of cost; `every`: which cases these are, [words].
    `known`: the sides of all that were looked at, as they are come by in several ways.
    """

    tests: Words
    right: Words
    every: Words
    test_costs: Floats
    action_costs: Floats
    known: dict[bytes, tuple[_Side, _Side]]

    @classmethod
    def of(cls, tests: Bits, right: Bits, test_costs: Floats, action_costs: Floats) -> _Cases:
        """These: [tests, cases], [actions, cases]; the actions are in order of cost."""
        every = _words(np.ones((1, right.shape[1]), bool))[0]
        return cls(_words(tests), _words(right.T), every, test_costs, action_costs, {})

    def only(self, left: Words) -> _Cases:
        """Those of them that are `left`, [words]."""
        return replace(self, every=left)

    def left(self, test: int, side: bool) -> Words:
        """The cases on the test's other side, [words]."""
        passed: Words = self.tests[test]
        return self.every & (~passed if side else passed)

    @cached_property
    def number(self) -> int:
        """How many they are."""
        return int(_count(self.every))

    @cached_property
    def passing(self) -> NDArray[np.int64]:
        """How many pass each test."""
        return _count(self.tests & self.every)

    @property
    def sides(self) -> tuple[_Side, _Side]:
        """Of the cases that fail a test, and of those that pass."""
        mark = self.every.tobytes()
        if mark not in self.known:
            action = np.empty((2, len(self.tests)), np.int16)
            actions_of_sides(self.tests, self.right, self.every, action)
            costs = np.append(self.action_costs, np.float32(np.inf))
            self.known[mark] = _Side(action[0], costs[action[0]]), _Side(action[1], costs[action[1]])
        return self.known[mark]


def _words(rows: Bits) -> Words:
    """Rows of bits as rows of words, [rows, words], the first bit the lowest; bits that are missing are 0."""
    whole = np.packbits(np.pad(rows, ((0, 0), (0, -rows.shape[1] % 64))), axis=1, bitorder="little")
    return np.ascontiguousarray(whole).view(np.uint64)


def _count(words: Words) -> NDArray[np.int64]:
    return np.asarray(np.bitwise_count(words).sum(-1, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class _Side:
    """Of the cases on one side of every test: the cheapest action that is right on all, and its cost (inf: none)."""

    action: NDArray[np.int16]
    cost: Floats

    def rule(self, test: int) -> Rule:
        """That action as a rule."""
        return Rule(float(self.cost[test]), int(self.action[test]))


def _two(cases: _Cases, limit: int) -> list[Rule]:
    """Rules of one test, the cheapest first."""
    no, yes = cases.sides
    some = np.flatnonzero(np.isfinite(yes.cost + no.cost))
    if some.size:
        number = _count(cases.tests[some] & cases.every)
        some = some[(number > 0) & (number < cases.number)]
    cost = yes.cost[some] + no.cost[some] + cases.test_costs[some] + NODE
    order = np.argsort(cost, kind="stable")[:limit]
    return [Rule(float(cost[n]), -1, int(t), yes.rule(t), no.rule(t)) for n, t in zip(order, some[order], strict=True)]


def _peeled(cases: _Cases) -> Iterator[tuple[int, bool, Rule, Words]]:
    """Tests one side of which one action settles: (test, side, that action, the cases left), fewest left first."""
    sides, number = cases.sides, cases.passing
    costs = np.array([side.cost for side in sides])  # [side, test], as `left`
    left = np.array([number, cases.number - number], np.float64)
    tests, which = np.nonzero((np.isfinite(costs) & left.all(0)).T)
    value = left[which, tests] * (1 + 0.15 * (cases.test_costs[tests] + costs[which, tests]).astype(np.float64))
    seen: set[bytes] = set()
    for n in np.argsort(value, kind="stable"):
        t, side = int(tests[n]), int(which[n])
        rest = cases.left(t, bool(side))
        if rest.tobytes() not in seen:
            seen.add(rest.tobytes())
            yield t, bool(side), sides[side].rule(t), rest


def _joined(cases: _Cases, t: int, side: bool, leaf: Rule, subtree: Rule) -> Rule:
    cost = float(cases.test_costs[t]) + NODE + leaf.cost + subtree.cost
    return Rule(cost, -1, t, leaf if side else subtree, subtree if side else leaf)


def _list_of(cases: _Cases, depth: int, width: int, time_left: TimeLeft) -> list[Rule]:
    """Rules of `depth` tests, each of which settles one side."""
    if depth == 1:
        return _two(cases, 4)
    rules: list[Rule] = []
    for t, side, leaf, left in islice(_peeled(cases), width):
        if not time_left():
            break
        for subtree in _list_of(cases.only(left), depth - 1, max(3, width // 6), time_left):
            rules.append(_joined(cases, t, side, leaf, subtree))
    return sorted(rules, key=lambda r: r.cost)


def _split(cases: _Cases, time_left: TimeLeft) -> list[Rule]:
    """Rules of three tests, of which the first settles no side: the tests that part the actions best."""
    number = cases.passing
    bits = np.unpackbits(cases.right.view(np.uint8), axis=1, count=len(cases.action_costs), bitorder="little")
    right = _words(bits.T.astype(bool)) & cases.every
    passing = np.array([_count(cases.tests & one) for one in right])
    failing = _count(right)[:, None] - passing
    value = (passing.max(0) + failing.max(0)).astype(np.float32) - np.float32(0.5) * cases.test_costs
    value[(number == 0) | (number == cases.number)] = -np.inf
    rules = []
    for t in map(int, np.argsort(-value, kind="stable")[:FEW]):
        if not time_left() or not np.isfinite(value[t]):
            break
        passed = _two(cases.only(cases.left(t, False)), 2)
        failed = _two(cases.only(cases.left(t, True)), 2) if passed else []
        rules += [_joined(cases, t, True, one, other) for one in passed for other in failed]
    return rules
