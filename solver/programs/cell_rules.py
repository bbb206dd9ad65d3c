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
from solver.programs.task_search import RULE, share
from solver.programs.values import Grids, Proposal, inputs
from solver.types import Grid

FEW, MANY = 150, 1_500  # states that rules may look at beside the one that is described in full
TURNS = (
    *((base, number) for base in (0,) for number in (0, FEW)),
    *((base, FEW) for base in (1, 2, 3)),
    (0, MANY),
    *((base, FEW) for base in (4, 5, 6, 7)),
    *((base, MANY) for base in (1, 2, 3)),
)
"""Which base, and how many states beside it, one after another as long as the seconds last."""
STATE = 0.7  # steps that a look at a state costs beside its own
STEP = 0.075  # how much more of its cells must be right in a base that is one step longer
Described = list[Feature]


class OverStates:
    """Rules of cells of one task, over states made of it: the first is the first base, then those most like outputs."""

    def __init__(self, own: Recoloured, states: Sequence[Seen], stop: Stop) -> None:
        self._own, self._states, self._stop = own, states, stop
        self._inputs = inputs(own.task)
        self._outputs = tuple(p.output for p in own.task.demonstrations)

    def proposals(self) -> list[Proposal]:
        """What the rules answer; [] where none fits."""
        every: list[Proposal] = []
        for base, number in TURNS:
            if self._stop.remaining() <= 0:
                break
            if base < len(self._bases) and (number in (0, FEW) or len(self._states) > FEW):
                every += self._fitted(self._bases[base], number)
        return [_restored(p, self._own) for p in every]

    @cached_property
    def _bases(self) -> list[Seen]:
        first, rest = self._states[:1], [s for s in self._states[1:] if not s.label]
        return [*first, *sorted(rest, key=lambda s: STEP * s.cost - self._alike(s))]

    def _alike(self, state: Seen) -> float:
        right = [np.count_nonzero(g == o) for g, o in zip(state.grids, self._outputs, strict=False)]
        return sum(right) / sum(o.size for o in self._outputs)

    def _described(self, base: Seen, number: int) -> list[Described]:
        beside = [s for s in self._states[: number + 1] if s is not base][:number]
        described = [[*features(grid), *looks(beside, n)] for n, grid in enumerate(base.grids)]
        if any(g.shape != i.shape for g, i in zip(base.grids, self._inputs, strict=True)):
            for known, grid, i in zip(described, base.grids, self._inputs, strict=True):
                known += feature.spread(i, *grid.shape)
        return described

    def _fitted(self, base: Seen, number: int) -> list[Proposal]:
        """What rules answer, each with the share of demonstrations that are right when left out."""
        described = self._described(base, number)

        def left_out(order: Sequence[int], others: Grids) -> Iterator[Grid]:
            return (r.grids[-1] for r in cells.rules([described[k] for k in order], others, self._time_left))

        rules = cells.rules(described, self._outputs, self._time_left)
        generalises = share(self._outputs, left_out) if rules else 0.0
        shown = len(self._outputs)
        text = f"{base.program} | cells: "
        return [Proposal(r.grids[shown:], text + r.text, base.cost + RULE + r.cost, generalises) for r in rules]

    def _time_left(self) -> bool:
        return self._stop.remaining() > 0


def looks(states: Sequence[Seen], pair: int) -> Iterator[Feature]:
    """What states show in one demonstration or test input."""
    for s in states:
        yield Feature("number" if s.label else "colour", f"[{s.program}]", s.grids[pair], STATE + s.cost)


def _restored(proposal: Proposal, own: Recoloured) -> Proposal:
    return Proposal(own.restore(proposal.grids), proposal.program, proposal.cost, proposal.generalises)
