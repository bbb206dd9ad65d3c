"""States and proposals: which primitives they name."""

from __future__ import annotations

import numpy as np

from solver.analysis import programs as command
from solver.clock import Deadline
from solver.programs.solve import search_programs
from solver.programs.values import State
from solver.types import same
from tests.support.made_tasks import NODES, made


def test_a_proposal_names_the_primitives_it_uses_and_no_others():
    task, right = made(lambda g: np.rot90(g)[::-1].copy())
    [first, *_] = [p for p in search_programs(task, Deadline.after(30), NODES) if same(p.grids[0], right[0])]
    assert first.primitives <= set(command.primitive_names())
    state = State((), 1.0, State((), 0.0), "halves.second(3)", 1)
    assert State((), 2.0, state, "crop_colour(2)", 2).primitives == {"halves", "second", "crop_colour"}
    assert State((), 0.0).primitives == frozenset()
