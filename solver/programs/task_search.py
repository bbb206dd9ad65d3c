"""One task's search: enumeration, then rules and stacks, then more of both, within seconds and nodes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar

import numpy as np

from solver.interfaces import Stop
from solver.programs.rules import cells, choice, directions, feature, final_steps
from solver.programs.rules.cells import FittedRule
from solver.programs.rules.decision_tree import TimeLeft
from solver.programs.search import Enumeration, aligned, alike
from solver.programs.values import Grids, Proposal, State, inputs, mark
from solver.types import Grid, Task, same

T = TypeVar("T")
FIRST = 3_000  # nodes before rules are tried
LATER = 20_000  # nodes before rules are tried once more, on other states
AFTER = 6_000  # nodes spent on alternatives once something is found
IDLE = 3.0  # added to the cost of a program that changes every demonstration's input but not a test input
BASES = 4  # states whose cells are described for rules, each time
EXTRA = 40  # other states beside them
RULE = 1.5  # steps a rule costs beside its tests and actions
CHEAP = 2.5  # cost up to which a state is also resized
PARTED = 400  # states taken apart that rules of parts are tried on, each time
TRIED = 2  # what is fitted to the other demonstrations may answer so often for the one left out: there are two attempts
PIECES = 4_000  # states tried as pieces of a stack, each time

Rules = Callable[[Sequence[T], Grids, TimeLeft], Iterable[FittedRule]]
"""From something of each demonstration and test input, and the demonstrations' outputs: what is fitted to these."""
Fit = Callable[[Sequence[int], Grids], Iterable[Grid]]
"""From numbers of demonstrations, the one left out last, and the others' outputs: its outputs, the likeliest first."""


def share(outputs: Grids, fit: Fit, time_left: TimeLeft) -> float:
    """The share of demonstrations whose output is among the first two of what is fitted to the others; 0 of one.

    Where seconds end, of those that were tried until then; 0 of none.
    """
    right = tried = 0
    for n, left in enumerate(outputs):
        order = [*range(n), *range(n + 1, len(outputs)), n]
        others = [outputs[k] for k in order[:-1]]
        is_right = bool(others) and any(same(answer, left) for answer in islice(fit(order, others), TRIED))
        if not is_right and not time_left():
            break
        right, tried = right + is_right, tried + 1
    return right / tried if tried else 0.0


def idle(task: Task, answer: Grids) -> float:
    """What an answer costs that leaves a test input as it is where no demonstration's input stays, in steps; else 0."""
    changed = not any(same(p.input, p.output) for p in task.demonstrations)
    return IDLE if changed and any(map(same, answer, task.tests)) else 0.0


class TaskSearch:
    """The search through one task."""

    def __init__(self, task: Task, stop: Stop, nodes: int) -> None:
        self._task, self._stop = task, stop
        self._outputs = tuple(p.output for p in task.demonstrations)
        self._shown = len(self._outputs)
        self._all = range(self._shown + len(task.tests))
        self.enumeration = Enumeration(task, stop, nodes)
        self._start = State(inputs(task), 0.0)
        self._sizes = [g.shape for g in self._start.grids]
        self._windows = final_steps.windows(self._start.grids, self._outputs)
        self._proposals: list[Proposal] = []
        self._aligned: list[State] = []
        self._described: set[bytes] = set()
        self._parted = 0  # states taken apart that rules of parts were tried on
        self._near = [np.inf] * self._shown  # cost of the cheapest program that gets this demonstration alone wrong

    def run(self) -> list[Proposal]:
        """All proposals."""
        for nodes in (FIRST, LATER, 10**9):
            self._enumerate(min(nodes, AFTER) if self._proposals else nodes)
            self._parts()
            if nodes == FIRST:
                self._directed()
            self._cells()
            if nodes == FIRST and self._time_left():
                self._canvas()
            if (self._proposals and nodes != FIRST) or self.enumeration.over or not self._time_left():
                break
        return list(map(self._judged, self._proposals))

    def _judged(self, proposal: Proposal) -> Proposal:
        """The proposal with what idling costs, and no surer than cheaper programs that miss one demonstration allow."""
        sure = float(np.mean([near >= proposal.cost for near in self._near]))
        return replace(
            proposal, cost=proposal.cost + idle(self._task, proposal.grids), generalises=min(proposal.generalises, sure)
        )

    def _time_left(self) -> bool:
        return self._stop.remaining() > 0

    def _enumerate(self, nodes: int) -> None:
        """Further states with what comes of each, then stacks of all."""
        for state in self.enumeration.run(nodes):
            if not self._time_left():
                return
            self._look(state)
            for other in final_steps.resized(state, self._outputs) if state.cost < CHEAP else ():
                self.enumeration.offer(other)
        if not self._time_left():
            return
        pieces = self._aligned[:PIECES]
        self._propose(lambda order, others: final_steps.stacked([s.reordered(order) for s in pieces], others))

    def _look(self, state: State) -> None:
        right = [same(g, o) for g, o in zip(state.grids, self._outputs, strict=False)]
        if sum(right) == self._shown - 1 > 0:
            missed = right.index(False)
            self._near[missed] = min(self._near[missed], state.cost)
        if self._windows and [g.shape for g in state.grids] == self._sizes:
            self._final_step(final_steps.windowed, self._start, state)
        if not aligned(state, self._outputs):
            return
        for step in (final_steps.stamped, final_steps.moved) if state.steps < 2 else ():
            self._final_step(step, state)
        self._aligned.append(state)
        if all(right):
            whole = Proposal(state.grids[self._shown :], state.text, state.cost, primitives=state.primitives)
            self._proposals.append(whole)
        self._final_step(final_steps.recoloured, state)

    def _final_step(self, step: Callable[..., Iterable[Proposal]], *states: State) -> None:
        self._propose(lambda order, others: step(*(s.reordered(order) for s in states), others))

    def _propose(self, propose: Callable[[Sequence[int], Grids], Iterable[Proposal]]) -> None:
        """Keep what is proposed, if anything, with the share of demonstrations that are right when left out."""
        if kept := list(propose(self._all, self._outputs)):

            def left_out(order: Sequence[int], others: Grids) -> Iterable[Grid]:
                return (p.grids[0] for p in propose(order, others))

            generalises = share(self._outputs, left_out, self._time_left)
            self._proposals += [replace(p, generalises=generalises) for p in kept]

    def _keep(
        self, rules: Rules[T], given: Sequence[T], state: State, name: str, used: Mapping[str, frozenset[str]] = {}
    ) -> None:
        """Keep what rules fitted to what is `given` by the state answer; `used`: primitives of names in their text."""

        def propose(order: Sequence[int], others: Grids) -> Iterable[Proposal]:
            for rule in rules([given[k] for k in order], others, self._time_left):
                text = f"{name}: {rule.text}"
                primitives = state.primitives.union(*(names for part, names in used.items() if part in text))
                cost = state.cost + RULE + rule.cost
                yield Proposal(rule.grids[len(others) :], state.followed_by(text), cost, primitives=primitives)

        self._propose(propose)

    def _parts(self) -> None:
        """Rules of parts, for the states taken apart since the last time."""
        for state, split, parts in self.enumeration.parted[self._parted : self._parted + PARTED]:
            if not self._time_left():
                return
            self._parted += 1
            for name, rules in (("choose from", choice.chosen), ("combine", choice.combined)):
                self._keep(rules, parts, state, f"{name} {split}", {split: frozenset([split])})

    def _directed(self) -> None:
        """Rules of what happens in some direction: lines that cells of the inputs send out, things that move."""
        for name, rules in (("rays", directions.rays), ("shove", directions.shoves)):
            if self._time_left() and aligned(self._start, self._outputs):
                self._keep(rules, self._start.grids, self._start, name)

    def _cells(self) -> None:
        """Rules of cells of the most promising states, with other states of their shape beside them."""
        states = sorted(self._aligned, key=lambda s: s.cost)
        for base in self._bases(states):
            if not self._time_left():
                return
            self._described.add(mark(base.grids))
            shapes = [g.shape for g in base.grids]
            others = [s for s in states if s is not base and [g.shape for g in s.grids] == shapes][:EXTRA]
            beside = {f"[{s.text}]": s for s in others}
            described = cells.describe(base.grids, [(name, 0.7 + s.cost, s.grids) for name, s in beside.items()])
            if shapes != self._sizes:
                for features, grid, shape in zip(described, self._start.grids, shapes, strict=True):
                    features += feature.spread(grid, *shape)
            self._keep(cells.rules, described, base, "cells", {name: s.primitives for name, s in beside.items()})

    def _canvas(self) -> None:
        """Rules that look at the whole input alone: tables, and rules of cells where all outputs have one shape."""
        self._proposals += final_steps.looked_up(self._start.grids, self._outputs)
        shapes = {o.shape for o in self._outputs}
        if len(shapes) > 1 or not self._time_left():
            return
        rows, columns = shapes.pop()
        empty = feature.Feature("colour", "colour", np.zeros((rows, columns)), 0.5)
        known = [empty, *feature.place_features(rows, columns)]
        described = [[*known, *feature.spread(g, rows, columns)] for g in self._start.grids]
        self._keep(cells.rules, described, self._start, f"canvas {rows}×{columns}")

    def _bases(self, states: Sequence[State]) -> list[State]:
        """The states to describe: the inputs first, then those most like the outputs for their cost."""
        fresh = [s for s in states[:400] if mark(s.grids) not in self._described]
        first = [s for s in fresh[:1] if not self._described]
        rest = sorted(fresh[len(first) :], key=lambda s: s.cost * 0.15 - float(np.mean(alike(s, self._outputs))))
        return [*first, *rest[: BASES - len(first)]]
