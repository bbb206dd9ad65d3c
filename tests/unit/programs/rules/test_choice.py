"""Rules of parts."""

from __future__ import annotations

import numpy as np

from solver.programs.rules import choice
from solver.types import same
from tests.support.made_tasks import always


def test_a_part_is_chosen_by_what_sets_it_apart():
    parts = [tuple(np.full((1, n), n, np.uint8) for n in sizes) for sizes in ((1, 3, 2), (4, 2), (1, 2, 5))]
    [first, *_] = choice.chosen(parts, [parts[0][1], parts[1][0]], always)
    assert same(first.grids[2], parts[2][2])
