"""Which action settles a side of a test: the innermost loop of fitting a tree, compiled."""

import numpy as np
from numba import types
from numpy.typing import NDArray

from solver.programs.bits import lowest
from solver.programs.compiled import entry

WORDS = types.Array(types.uint64, 2, "C")
MASK = types.Array(types.uint64, 1, "C")
ACTIONS = types.Array(types.int16, 2, "C")


@entry(types.void(WORDS, WORDS, MASK, ACTIONS))
def actions_of_sides(
    tests: NDArray[np.uint64], right: NDArray[np.uint64], every: NDArray[np.uint64], action: NDArray[np.int16]
) -> None:
    """For each test and side the first action that is right on all cases of that side, -1: there is none.

    `tests`: which cases pass, [tests, words]; `right`: which actions are right on each case, [cases, words]; `every`:
    the cases that are looked at, [words]. `action`: [2, tests]: of those that fail, then of those that pass.

    Case by case the actions are kept that are right on it as well, mostly none after a few cases.
    """
    kept = np.empty(right.shape[1], np.uint64)
    for test in range(tests.shape[0]):
        for side in range(2):
            kept[:] = ~np.uint64(0)
            some = True
            for w in range(every.shape[0]):
                left = every[w] & (tests[test, w] if side == 1 else ~tests[test, w])
                while some and left != 0:
                    case = 64 * w + lowest(left)
                    left &= left - np.uint64(1)
                    some = False
                    for k in range(kept.shape[0]):
                        kept[k] &= right[case, k]
                        some = some or kept[k] != 0
                if not some:
                    break
            first = -1
            for k in range(kept.shape[0]):
                if some and first < 0 and kept[k] != 0:
                    first = 64 * k + lowest(kept[k])
            action[side, test] = first
