"""From a task to ranked candidates: the inductive solver's one entry.

Knows nothing of files or models. Laws: every proposal reproduces all demonstrations; the same task and node budget
give the same proposals; nothing is begun once `stop` has no seconds left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from solver.core import COLOURS, Grid, Pair, Stop, Task
from solver.programs import cells, endings
from solver.programs.enumerate import Enumeration, aligned
from solver.programs.values import Proposal, State, mark

NODES = 200_000  # uses of a primitive, the default budget
FIRST = 6_000  # nodes before rules of cells are tried
BASES = 6  # states whose cells are described for rules
EXTRA = 40  # other states beside them
DEPTH = 4  # tests in a rule at most


def solve(task: Task, stop: Stop, nodes: int = NODES) -> tuple[Proposal, ...]:
    """Distinct answers to the task, the best first; () where no program reproduces the demonstrations."""
    exchanged = background(task)
    found = _Search(with_background(task, exchanged), stop, nodes).run()
    lookup = _exchange(exchanged)
    return tuple(replace(p, grids=tuple(lookup[g] for g in p.grids)) for p in rank(found))


def background(task: Task) -> int:
    """The colour that is to be background: 0 if it is in every input, else the most frequent one of every input."""
    inputs = [p.input for p in task.demonstrations] + list(task.tests)
    most = [np.bincount(g.ravel(), minlength=COLOURS).argmax() for g in inputs]
    zero = np.mean([(g == 0).mean() for g in inputs])
    return int(most[0]) if len(set(most)) == 1 and zero < 0.1 else 0


def _exchange(colour: int) -> Grid:
    lookup = np.arange(COLOURS, dtype=np.uint8)
    lookup[[0, colour]] = lookup[[colour, 0]]
    return lookup


def with_background(task: Task, colour: int) -> Task:
    """The task with this colour and 0 exchanged."""
    lookup = _exchange(colour)
    pairs = tuple(Pair(lookup[p.input], lookup[p.output]) for p in task.demonstrations)
    return Task(task.id, pairs, tuple(lookup[t] for t in task.tests))


def rank(found: Iterable[Proposal]) -> tuple[Proposal, ...]:
    """Each distinct answer once with its cheapest program, the best first."""
    best: dict[bytes, Proposal] = {}
    for p in found:
        known = best.get(mark(p.grids))
        support = p.support + (known.support if known else 0)
        cheaper = p if known is None or p.cost < known.cost else known
        best[mark(p.grids)] = replace(cheaper, support=support)
    return tuple(sorted(best.values(), key=lambda p: p.cost))


class _Search:
    """One task's search: enumeration first, then rules and stacks, then the rest of the enumeration."""

    def __init__(self, task: Task, stop: Stop, nodes: int) -> None:
        self._task, self._stop = task, stop
        self._outputs = tuple(p.output for p in task.demonstrations)
        self._shown = len(self._outputs)
        self._enumeration = Enumeration(task, stop, nodes)
        self._found: list[Proposal] = []
        self._aligned: list[State] = []

    def run(self) -> list[Proposal]:
        """All proposals."""
        self._enumerate(FIRST)
        self._stack()
        self._rules()
        self._enumerate(10**9)
        self._stack()
        return self._found

    def _enumerate(self, nodes: int) -> None:
        for state in self._enumeration.run(nodes):
            self._look(state)
            for other in endings.resized(state, self._outputs) if state.cost < 2.5 else ():
                self._look(other)

    def _look(self, state: State) -> None:
        if not aligned(state, self._outputs):
            return
        self._aligned.append(state)
        found = endings.recoloured(state, self._outputs)
        if found is not None:
            self._found.append(found)

    def _stack(self) -> None:
        if self._more():
            self._found += endings.stacked(self._aligned[:4000], self._outputs)

    def _more(self) -> bool:
        return self._stop.remaining() > 0

    def _rules(self) -> None:
        shapes = [o.shape for o in self._outputs]
        states = sorted(self._aligned, key=lambda s: s.cost)
        for base in self._bases(states):
            if not self._more():
                return
            extra = self._beside(base, states)
            described = cells.describe(base.grids, extra)
            for rule in cells.rules(described, self._outputs, DEPTH, self._more):
                text = f"{base.text} | cells {rule.text}"
                self._found.append(Proposal(rule.grids[self._shown :], text, base.cost + 1.5 + rule.cost))
        del shapes

    def _bases(self, states: Sequence[State]) -> list[State]:
        def likeness(state: State) -> float:
            return float(np.mean([(g == o).mean() for g, o in zip(state.grids, self._outputs, strict=False)]))

        first = states[:1]
        rest = sorted(states[1:300], key=lambda s: s.cost * 0.15 - likeness(s))
        return [*first, *rest[: BASES - 1]]

    def _beside(self, base: State, states: Sequence[State]) -> list[tuple[str, float, tuple[Grid, ...]]]:
        shapes = [g.shape for g in base.grids]
        fit = [s for s in states if s is not base and [g.shape for g in s.grids] == shapes]
        return [(s.text, 0.7 + s.cost, s.grids) for s in fit[:EXTRA]]
