"""Decision trees: exact, the simplest first."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.programs.rules import decision_tree
from tests.support.made_tasks import always


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_a_learned_tree_is_right_on_every_case(seed):
    rng = np.random.default_rng(seed)
    tests = rng.random((12, 60)) < 0.4
    truth = np.where(tests[2], np.where(tests[5], 1, 0), np.where(tests[7], 2, 0))
    table = decision_tree.Table(tests, [""] * 12, np.ones(12, np.float32))
    found = table.fit(truth == np.arange(3)[:, None], np.ones(3, np.float32), 4, always)
    assert found
    for rule in found:
        assert (decision_tree.decide(rule, tests) == truth).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_settles_a_side_is_what_counting_case_by_case_says(seed):
    rng = np.random.default_rng(seed)
    actions, cases = int(rng.integers(1, 7)), int(rng.integers(1, 200))
    tests = rng.random((9, cases)) < rng.random((9, 1))
    right = rng.random((actions, cases)) < rng.choice([0.3, 0.9, 1.0], (actions, 1))
    costs = np.arange(actions, dtype=np.float32)
    every = decision_tree._Cases.of(tests, right, np.ones(9, np.float32), costs)
    some = tests[0] if seed % 2 else ~tests[0]
    for looked_at, chosen in ((every, np.ones(cases, bool)), (every.only(every.left(0, seed % 2 == 0)), some)):
        assert (looked_at.number, list(looked_at.passing)) == (chosen.sum(), list((tests & chosen).sum(1)))
        for test, side in ((t, s) for t in range(9) for s in (False, True)):
            there = chosen & (tests[test] == side)
            settling = [a for a in range(actions) if right[a, there].all()]
            if there.any():
                found = looked_at.sides[side]
                assert found.cost[test] == (costs[settling[0]] if settling else np.inf)
                assert found.action[test] == (settling[0] if settling else -1)


def test_the_simplest_rule_comes_first():
    tests = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]], bool)
    right = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], bool)
    table = decision_tree.Table(tests, [""] * 3, np.array([2, 1, 1], np.float32))
    rule = table.fit(right, np.ones(2, np.float32), 3, always)[0]
    assert (rule.test, rule.cost) == (1, 1 + 1 + 1 + decision_tree.NODE)
