"""One task's search: enumeration, then rules and stacks, then more of both, within seconds and nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from solver.interfaces import Stop
from solver.programs.primitives.registry import Parts
from solver.programs.rules import cells, choice, final_steps, grid_features, lookup, moves, rays, shoves, stamps
from solver.programs.rules.cells import Described, FittedRule
from solver.programs.rules.cross_validation import reordered, share
from solver.programs.rules.decision_tree import TimeLeft
from solver.programs.search import Enumeration, aligned
from solver.programs.values import Proposal, State, mark
from solver.types import Grid, Task, same

FIRST = 3_000  # nodes before rules are tried
LATER = 20_000  # nodes before rules are tried once more, on other states
AFTER = 6_000  # nodes spent on alternatives once something is found
IDLE = 3.0  # added to the cost of a program that changes every demonstration's input but not a test input
BASES = 4  # states whose cells are described for rules, each time
EXTRA = 40  # other states beside them
DEPTH = 4  # tests in a rule of cells, or of a canvas, at most
RULE = 1.5  # steps a rule costs beside its tests and actions
CHEAP = 2.5  # cost up to which a state is also resized
PARTED = 400  # states taken apart that rules of parts are tried on, each time
PIECES = 4_000  # states tried as pieces of a stack, each time

FinalStep = Callable[[State, Sequence[Grid]], Iterable[Proposal]]
Rules = Callable[[Sequence[int], Sequence[Grid]], Iterable[FittedRule]]
"""From numbers of demonstrations and test inputs, and the demonstrations' outputs: what is fitted to these."""
Directed = Callable[[State, Sequence[Grid], TimeLeft], Iterable[FittedRule]]


class TaskSearch:
    """The search through one task."""

    def __init__(self, task: Task, stop: Stop, nodes: int) -> None:
        self._task, self._stop = task, stop
        self._outputs = tuple(p.output for p in task.demonstrations)
        self._shown = len(self._outputs)
        self._all = range(self._shown + len(task.tests))
        self._enumeration = Enumeration(task, stop, nodes)
        self._start = self._enumeration.states[0]
        self._sizes = [g.shape for g in self._start.grids]
        self._windows = moves.windows(self._start.grids, self._outputs)
        self._proposals: list[Proposal] = []
        self._aligned: list[State] = []
        self._described: set[bytes] = set()
        self._parted = 0  # states taken apart that rules of parts were tried on
        self._near = [np.inf] * self._shown  # cost of the cheapest program that gets this demonstration alone wrong

    @property
    def spent(self) -> int:
        """Nodes used."""
        return self._enumeration.spent

    def run(self) -> list[Proposal]:
        """All proposals."""
        for nodes in (FIRST, LATER, 10**9):
            self._enumerate(min(nodes, AFTER) if self._proposals else nodes)
            self._stack()
            self._parts()
            if nodes == FIRST:
                self._directed()
            self._cells()
            if nodes == FIRST and self._time_left():
                self._canvas()
            if (self._proposals and nodes != FIRST) or self._enumeration.over or not self._time_left():
                break
        return [
            replace(p, cost=p.cost + self._idle(p), generalises=min(p.generalises, self._sure(p)))
            for p in self._proposals
        ]

    def _idle(self, proposal: Proposal) -> float:
        """What it costs a program to leave a test input as it is where no demonstration's input stayed so."""
        pairs = self._task.demonstrations
        changed = not any(same(p.input, p.output) for p in pairs)
        return IDLE if changed and any(map(same, proposal.grids, self._task.tests)) else 0.0

    def _sure(self, proposal: Proposal) -> float:
        """The share of demonstrations no cheaper program gets wrong while it gets all others right."""
        return float(np.mean([near >= proposal.cost for near in self._near]))

    def _time_left(self) -> bool:
        return self._stop.remaining() > 0

    # ---- states and final steps

    def _enumerate(self, nodes: int) -> None:
        for state in self._enumeration.run(nodes):
            if not self._time_left():
                return
            self._look(state)
            for other in final_steps.resized(state, self._outputs) if state.cost < CHEAP else ():
                self._enumeration.offer(other)

    def _look(self, state: State) -> None:
        right = [same(g, o) for g, o in zip(state.grids, self._outputs, strict=False)]
        if sum(right) == self._shown - 1 > 0:
            missed = right.index(False)
            self._near[missed] = min(self._near[missed], state.cost)
        if self._windows and [g.shape for g in state.grids] == self._sizes:
            self._window(state)
        if not aligned(state, self._outputs):
            return
        for step in (stamps.stamped, moves.moved) if state.steps < 2 else ():
            self._final_step(step, state)
        self._aligned.append(state)
        self._proposals += final_steps.exact(state, self._outputs)
        self._final_step(final_steps.recoloured, state)

    def _final_step(self, step: FinalStep, state: State) -> None:
        self._propose(lambda order, others: step(reordered(state, order), others))

    def _window(self, state: State) -> None:
        def propose(order: Sequence[int], others: Sequence[Grid]) -> Iterator[Proposal]:
            windows = moves.windows(reordered(self._start, order).grids, others)
            return moves.seen(reordered(state, order), windows, others)

        self._propose(propose)

    def _stack(self) -> None:
        if self._time_left():
            pieces = self._aligned[:PIECES]
            self._propose(lambda order, others: final_steps.stacked([reordered(s, order) for s in pieces], others))

    def _propose(self, propose: Callable[[Sequence[int], Sequence[Grid]], Iterable[Proposal]]) -> None:
        """Keep what is proposed, if anything, with the share of demonstrations that are right when left out."""
        if kept := list(propose(self._all, self._outputs)):
            generalises = share(self._outputs, lambda order, others: (p.grids[0] for p in propose(order, others)))
            self._proposals += [replace(p, generalises=generalises) for p in kept]

    # ---- rules

    def _keep(self, rules: Rules, state: State, name: str, used: Callable[[str], Iterable[str]] = lambda _: ()) -> None:
        """Keep what the rules fitted to the state answer; `used`: the primitives that a rule's text names."""
        fitted = list(rules(self._all, self._outputs))
        if not fitted:
            return
        generalises = share(self._outputs, lambda order, others: (r.grids[-1] for r in rules(order, others)))
        for rule in fitted:
            text = f"{name}: {rule.text}" if state.parent is None else f"{state.text} | {name}: {rule.text}"
            cost, primitives = state.cost + RULE + rule.cost, state.primitives.union(used(rule.text))
            self._proposals.append(Proposal(rule.grids[self._shown :], text, cost, generalises, primitives=primitives))

    def _parts(self) -> None:
        """Rules of parts, for the states taken apart since the last time."""
        for state, split, parts in self._enumeration.parted[self._parted : self._parted + PARTED]:
            if not self._time_left():
                return
            self._parted += 1
            for name, rules in (("choose from", choice.chosen), ("combine", choice.combined)):
                self._part(parts, rules, state, name, split)

    def _part(self, parts: Sequence[Parts], rules: choice.Rules, state: State, name: str, split: str) -> None:
        def fitted(order: Sequence[int], others: Sequence[Grid]) -> list[FittedRule]:
            return rules([parts[k] for k in order], others, self._time_left)

        self._keep(fitted, state, f"{name} {split}", lambda _: [split])

    def _directed(self) -> None:
        """Rules of what happens in some direction: lines that cells of the inputs send out, things that move."""
        for name, rules in (("rays", rays.rays), ("shove", shoves.shoves)):
            if self._time_left():
                self._keep(self._rules_of_start(rules), self._start, name)

    def _rules_of_start(self, rules: Directed) -> Rules:
        return lambda order, others: rules(reordered(self._start, order), others, self._time_left)

    def _cells(self) -> None:
        """Rules of cells of the most promising states, with other states of their shape beside them."""
        states = sorted(self._aligned, key=lambda s: s.cost)
        for base in self._bases(states):
            if not self._time_left():
                return
            self._described.add(mark(base.grids))
            self._cells_of(base, states)

    def _cells_of(self, base: State, states: Sequence[State]) -> None:
        shapes = [g.shape for g in base.grids]
        alike = [s for s in states if s is not base and [g.shape for g in s.grids] == shapes][:EXTRA]
        beside = {f"[{s.text}]": s for s in alike}
        described = cells.describe(base.grids, [(name, 0.7 + s.cost, s.grids) for name, s in beside.items()])
        if shapes != self._sizes:
            for features, grid, shape in zip(described, self._start.grids, shapes, strict=True):
                features += grid_features.spread(grid, *shape)

        def used(text: str) -> frozenset[str]:
            return frozenset[str]().union(*(s.primitives for name, s in beside.items() if name in text))

        self._keep(self._rules_of(described), base, "cells", used)

    def _canvas(self) -> None:
        """Rules that look at the whole input alone: tables, and rules of cells where all outputs have one shape."""
        self._proposals += lookup.looked_up(self._start.grids, self._outputs)
        shapes = {o.shape for o in self._outputs}
        if len(shapes) > 1 or not self._time_left():
            return
        rows, columns = shapes.pop()
        described = [grid_features.canvas(g, rows, columns) for g in self._start.grids]
        self._keep(self._rules_of(described), self._start, f"canvas {rows}×{columns}")

    def _rules_of(self, described: Sequence[Described]) -> Rules:
        return lambda order, others: cells.rules([described[k] for k in order], others, DEPTH, self._time_left)

    def _bases(self, states: Sequence[State]) -> list[State]:
        """The states to describe: the inputs first, then those most like the outputs for their cost."""

        def likeness(state: State) -> float:
            return float(np.mean([(g == o).mean() for g, o in zip(state.grids, self._outputs, strict=False)]))

        fresh = [s for s in states[:400] if mark(s.grids) not in self._described]
        first = [s for s in fresh[:1] if not self._described]
        rest = sorted(fresh[len(first) :], key=lambda s: s.cost * 0.15 - likeness(s))
        return [*first, *rest[: BASES - len(first)]]
