"""Rules of cells that also look at what the search over lists made: what each output cell is, told by exact trees.

Where a table of lists has an entry for all that two or three states show, a rule asks a few questions of many states
and of what is known of a cell, its region and its surroundings (`rules/cell_features.py`).
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from solver.interfaces import Stop
from solver.programs.lists.roles import Recoloured
from solver.programs.lists.task_search import Seen
from solver.programs.rules import cells, feature
from solver.programs.rules.cell_features import features
from solver.programs.rules.feature import Feature
from solver.programs.task_search import RULE, idle, share
from solver.programs.values import Grids, Proposal, inputs, mark
from solver.types import Grid

FEW, MANY = 150, 1_500  # states that rules may look at beside the one that is described in full
ATTEMPTS = (
    (0, 0), (0, FEW), (1, FEW), (2, FEW), (3, FEW), (0, MANY),
    (4, FEW), (5, FEW), (6, FEW), (7, FEW), (1, MANY), (2, MANY), (3, MANY),
)  # fmt: skip
"""Which base, and how many states beside it, one after another as long as the seconds last."""
NODES = 2_000  # of a task's budget, for each attempt
MOST_CELLS = 2_000_000  # of all states that are looked at: what is made of them takes some 50 bytes each for a while
STATE = 0.7  # steps that a look at a state costs beside its own
STEP = 0.075  # how much more of its cells must be right in a base that is one step longer
Described = list[Feature]


class CellRules:
    """Rules of cells of one task, over states made of it: the first is the first base, then those most like outputs.

    All outputs say which states are bases; rules alone are fitted without the demonstration that is left out.
    """

    def __init__(self, own: Recoloured, states: Sequence[Seen], stop: Stop) -> None:
        self._own, self._states, self._stop = own, states, stop
        self._inputs = inputs(own.task)
        self._outputs = tuple(p.output for p in own.task.demonstrations)
        self._known: dict[int, list[Described]] = {}

    def proposals(self, nodes: int) -> list[Proposal]:
        """What the rules answer, each answer once, with as many attempts as so many nodes allow; [] where none fits."""
        best: dict[bytes, Proposal] = {}
        for base, number in ATTEMPTS[: 1 + nodes // NODES]:
            if self._stop.remaining() <= 0:
                break
            for p in self._fitted(base, number) if base < len(self._bases) else ():
                known = best.setdefault(mark(p.grids), p)
                if p.cost < known.cost:
                    best[mark(p.grids)] = p
        return [
            Proposal(self._own.restore(p.grids), p.program, p.cost + idle(self._own.task, p.grids), p.generalises)
            for p in best.values()
        ]

    @cached_property
    def _bases(self) -> list[Seen]:
        first, rest = self._states[:1], [s for s in self._states[1:] if not s.label]
        return [*first, *sorted(rest, key=lambda s: STEP * s.cost - self._alike(s))]

    def _alike(self, state: Seen) -> float:
        right = [np.count_nonzero(g == o) for g, o in zip(state.grids, self._outputs, strict=False)]
        return sum(right) / sum(o.size for o in self._outputs)

    def _features(self, number_of_base: int) -> list[Described]:
        """What is known of the cells of a base, and of the whole input where that has another size; kept."""
        if number_of_base not in self._known:
            grids = self._bases[number_of_base].grids
            self._known[number_of_base] = [list(features(grid)) for grid in grids]
            if any(g.shape != i.shape for g, i in zip(grids, self._inputs, strict=True)):
                for known, grid, i in zip(self._known[number_of_base], grids, self._inputs, strict=True):
                    known += feature.spread(i, *grid.shape)
        return self._known[number_of_base]

    def _fitted(self, number_of_base: int, number: int) -> list[Proposal]:
        """What rules answer, each with the share of demonstrations that are right when left out."""
        base = self._bases[number_of_base]
        number = min(number, MOST_CELLS // sum(g.size for g in base.grids))
        if number > FEW and len(self._states) <= FEW + 1:
            return []
        beside = [s for s in self._states[: number + 1] if s is not base][:number]
        described = [[*known, *state_features(beside, n)] for n, known in enumerate(self._features(number_of_base))]

        def left_out(order: Sequence[int], others: Grids) -> Iterator[Grid]:
            return (r.grids[-1] for r in cells.rules([described[k] for k in order], others, self._time_left))

        rules = cells.rules(described, self._outputs, self._time_left)
        generalises = share(self._outputs, left_out, self._time_left) if rules else 0.0
        shown, text = len(self._outputs), f"{base.program} | cells: "
        return [Proposal(r.grids[shown:], text + r.text, base.cost + RULE + r.cost, generalises) for r in rules]

    def _time_left(self) -> bool:
        return self._stop.remaining() > 0


def state_features(states: Sequence[Seen], pair: int) -> Iterator[Feature]:
    """What states show in one demonstration or test input: a feature each, [rows, columns]."""
    for s in states:
        yield Feature("number" if s.label else "colour", f"[{s.program}]", s.grids[pair], STATE + s.cost)
