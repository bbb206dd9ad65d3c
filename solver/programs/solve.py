"""From a task to ranked candidates: the inductive solver's one entry.

Knows nothing of files or models. Laws: every proposal reproduces all demonstrations; the same task and node budget
give the same proposals as long as the seconds last; nothing is begun once `stop` has no seconds left. A task is
searched as it is and transposed, within one budget: what both ways say is likelier than what one of them says alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from solver.data.views import apply_task, invert
from solver.interfaces import Stop
from solver.programs.primitives.registry import Parts
from solver.programs.rules import (
    cell_features,
    cells,
    choice,
    cross_validation,
    final_steps,
    lookup,
    moves,
    rays,
    shoves,
    stamps,
    subtasks,
)
from solver.programs.rules.cells import Learned
from solver.programs.search import Enumeration, aligned
from solver.programs.values import Proposal, State, mark
from solver.types import COLOURS, Grid, Pair, Task, View, same, worth

NODES = 200_000  # uses of a primitive, the default budget
FIRST = 3_000  # nodes before rules are tried
LATER = 20_000  # nodes before rules are tried once more, on other states
AFTER = 6_000  # nodes spent on alternatives once something is found
IDLE = 3.0  # added to the cost of a program that changes every demonstration's input but not a test input
BASES = 4  # states whose cells are described for rules, each time
EXTRA = 40  # other states beside them
DEPTH = 4  # tests in a rule of cells at most
CANVAS = 4  # tests in a rule of a canvas at most
RULE = 1.5  # steps a rule costs beside its tests and actions
CHEAP = 2.5  # cost up to which a state is also resized
PARTED = 400  # states taken apart that rules of parts are tried on, each time
WAYS = (View(), View(4))  # as it is, transposed
FIRST_WAY = 0.6  # of the nodes and seconds, at most, where the first way finds nothing
ALONE = 1.5  # added to the cost of an answer that only one of the two ways gives
SMALLER = 0.3  # of the seconds, at most, for the smaller tasks within a task, all together
SMALLER_NODES = 4_000  # nodes for each of them, and a tenth of a task's at most
LENS = 1.5  # added to the cost of a program of a smaller task

Ending = Callable[[State, Sequence[Grid]], Iterable[Proposal]]
Directed = Callable[[State, Sequence[Grid], Callable[[], bool]], Iterable[Learned]]


@dataclass(frozen=True)
class _Until:
    """A stop that comes so many seconds before another."""

    stop: Stop
    before: float

    def remaining(self) -> float:
        return max(0.0, self.stop.remaining() - self.before)


def solve(task: Task, stop: Stop, nodes: int = NODES) -> tuple[Proposal, ...]:
    """Distinct answers to the task, the best first; () where no program reproduces the demonstrations."""
    exchanged = background(task)
    known = with_background(task, exchanged)
    found = [*within(known, stop, nodes), *agreed(ways(known, stop, nodes))]
    lookup = _exchange(exchanged)
    return tuple(replace(p, grids=tuple(lookup[g] for g in p.grids)) for p in rank(found))


def within(task: Task, stop: Stop, nodes: int) -> list[Proposal]:
    """What is proposed for smaller tasks within the task, put back into its test inputs."""
    own = _Until(stop, (1 - SMALLER) * stop.remaining())
    found = []
    for lens in subtasks.lenses(task):
        if own.remaining() <= 0:
            break
        proposals = _Search(lens.task, own, min(SMALLER_NODES, nodes // 10)).run()
        found += [
            replace(p, grids=lens.restore(p.grids), program=f"{lens.name}: {p.program}", cost=p.cost + LENS)
            for p in proposals
            if [g.shape for g in p.grids] == [t.shape for t in lens.task.tests]
        ]
    return found


def ways(task: Task, stop: Stop, nodes: int) -> list[list[Proposal]]:
    """What each way of looking at the task proposes, in the task's own frame; a way that was cut off says nothing.

    Where the first finds something, the other gets no more nodes than it took; else all that are left.
    """
    found: list[list[Proposal]] = []
    first = math.ceil(FIRST_WAY * nodes)
    for view in WAYS:
        own = _Until(stop, (1 - FIRST_WAY) * stop.remaining()) if view == WAYS[0] else stop
        search = _Search(apply_task(view, task), own, first)
        proposals = search.run()
        if proposals or own.remaining() > 0:
            found.append([_back(p, view) for p in proposals])
        first = min(nodes - search.spent, search.spent if proposals else nodes)
        if stop.remaining() <= 0 or first <= 0:
            break
    return found


def _back(proposal: Proposal, view: View) -> Proposal:
    if view == WAYS[0]:
        return proposal
    grids = tuple(invert(view, g) for g in proposal.grids)
    return replace(proposal, grids=grids, program=f"transposed: {proposal.program}")


def agreed(found: Sequence[Sequence[Proposal]]) -> list[Proposal]:
    """All proposals; what one way gives and the other, which looked as well, does not, costs more."""
    given = [{mark(p.grids) for p in proposals} for proposals in found]
    both = set[bytes]().union(*given).intersection(*given)
    every = [p for proposals in found for p in proposals]
    return [p if mark(p.grids) in both else replace(p, cost=p.cost + ALONE) for p in every]


def background(task: Task) -> int:
    """The colour that is to be background: 0, or the one most frequent in every input where 0 is rare."""
    inputs = [p.input for p in task.demonstrations] + list(task.tests)
    most = {int(np.bincount(g.ravel(), minlength=COLOURS).argmax()) for g in inputs}
    zero = np.mean([(g == 0).mean() for g in inputs])
    return most.pop() if len(most) == 1 and zero < 0.1 else 0


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
    """Each distinct answer once with its best program, the best first."""
    best: dict[bytes, Proposal] = {}
    for p in found:
        known = best.get(mark(p.grids))
        better = p if known is None or _worth(p) < _worth(known) else known
        best[mark(p.grids)] = replace(better, support=p.support + (known.support if known else 0))
    return tuple(sorted(best.values(), key=_worth))


def _worth(proposal: Proposal) -> float:
    return worth(proposal.cost, proposal.generalises)


class _Search:
    """One task's search: enumeration, then rules and stacks, then more of both."""

    def __init__(self, task: Task, stop: Stop, nodes: int) -> None:
        self._task, self._stop = task, stop
        self._outputs = tuple(p.output for p in task.demonstrations)
        self._shown = len(self._outputs)
        self._enumeration = Enumeration(task, stop, nodes)
        self._found: list[Proposal] = []
        self._aligned: list[State] = []
        self._described: set[bytes] = set()
        self._parted = 0
        start = self._enumeration.states[0].grids
        self._sizes = [g.shape for g in start]
        self._windows = moves.windows(start, self._outputs)
        self._near = [np.inf] * self._shown

    @property
    def spent(self) -> int:
        """Nodes used."""
        return self._enumeration.spent

    def run(self) -> list[Proposal]:
        """All proposals."""
        for nodes in (FIRST, LATER, 10**9):
            self._enumerate(min(nodes, AFTER) if self._found else nodes)
            self._stack()
            self._parts()
            if nodes == FIRST:
                self._directed()
            self._rules()
            if nodes == FIRST and self._more():
                self._canvas()
            if (self._found and nodes != FIRST) or self._enumeration.over or not self._more():
                break
        sure = [min(p.generalises, self._sure(p)) for p in self._found]
        return [replace(p, cost=p.cost + self._idle(p), generalises=s) for p, s in zip(self._found, sure, strict=True)]

    def _idle(self, proposal: Proposal) -> float:
        """What it costs a program to leave a test input as it is where no demonstration's input stayed so."""
        pairs = self._task.demonstrations
        changed = not any(same(p.input, p.output) for p in pairs)
        return IDLE if changed and any(map(same, proposal.grids, self._task.tests)) else 0.0

    def _sure(self, proposal: Proposal) -> float:
        """The share of demonstrations no cheaper program gets wrong while it gets all others right."""
        return float(np.mean([near >= proposal.cost for near in self._near]))

    def _more(self) -> bool:
        return self._stop.remaining() > 0

    def _enumerate(self, nodes: int) -> None:
        for state in self._enumeration.run(nodes):
            if not self._more():
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
        for ending in (stamps.stamped, moves.moved) if state.steps < 2 else ():
            self._end(ending, state)
        self._aligned.append(state)
        self._found += final_steps.exact(state, self._outputs)
        self._end(final_steps.recoloured, state)

    def _end(self, ending: Ending, state: State) -> None:
        """What the ending makes of the state, and how it fares on demonstrations left out."""

        def learn(order: Sequence[int], others: Sequence[Grid]) -> Iterator[Grid]:
            return (p.grids[0] for p in ending(cross_validation.turned(state, order), others))

        self._learned(ending(state, self._outputs), learn)

    def _window(self, state: State) -> None:
        start = self._enumeration.states[0]

        def learn(order: Sequence[int], others: Sequence[Grid]) -> Iterator[Grid]:
            found = moves.windows(cross_validation.turned(start, order).grids, others)
            return (p.grids[0] for p in moves.seen(cross_validation.turned(state, order), found, others))

        self._learned(moves.seen(state, self._windows, self._outputs), learn)

    def _learned(self, found: Iterable[Proposal], learn: cross_validation.Learn) -> None:
        """Keep what was learned, if anything, with its share of demonstrations that are right when left out."""
        if kept := list(found):
            share = cross_validation.share(self._outputs, learn)
            self._found += [replace(p, generalises=share) for p in kept]

    def _stack(self) -> None:
        if not self._more():
            return
        pieces = self._aligned[:4000]

        def learn(order: Sequence[int], others: Sequence[Grid]) -> Iterator[Grid]:
            return (
                p.grids[0] for p in final_steps.stacked([cross_validation.turned(s, order) for s in pieces], others)
            )

        self._learned(final_steps.stacked(pieces, self._outputs), learn)

    def _keep(self, rule: Learned, state: State, name: str, generalises: float, used: Iterable[str] = ()) -> None:
        text = f"{name}: {rule.text}" if state.parent is None else f"{state.text} | {name}: {rule.text}"
        cost = state.cost + RULE + rule.cost
        primitives = state.primitives.union(used)
        self._found.append(Proposal(rule.grids[self._shown :], text, cost, generalises, primitives=primitives))

    def _parts(self) -> None:
        for state, split, parts in self._enumeration.parted[self._parted : self._parted + PARTED]:
            if not self._more():
                return
            self._parted += 1
            for name, rules in (("choose from", choice.chosen), ("combine", choice.combined)):
                self._part(parts, rules, state, name, split)

    def _part(self, parts: Sequence[Parts], rules: choice.Rules, state: State, name: str, split: str) -> None:
        def learn(order: Sequence[int], others: Sequence[Grid]) -> Iterator[Grid]:
            return (rule.grids[-1] for rule in rules([parts[k] for k in order], others, self._more))

        found = rules(parts, self._outputs, self._more)
        share = cross_validation.share(self._outputs, learn) if found else 0.0
        for rule in found:
            self._keep(rule, state, f"{name} {split}", share, [split])

    def _directed(self) -> None:
        """Rules of what happens in some direction: lines that cells of the inputs send out, things that move."""
        start = self._enumeration.states[0]
        for name, rules in (("rays", rays.rays), ("shove", shoves.shoves)):
            found = list(rules(start, self._outputs, self._more)) if self._more() else []
            share = cross_validation.share(self._outputs, self._again(rules, start)) if found else 0.0
            for rule in found:
                self._keep(rule, start, name, share)

    def _again(self, rules: Directed, state: State) -> cross_validation.Learn:
        def learn(order: Sequence[int], others: Sequence[Grid]) -> Iterator[Grid]:
            return (rule.grids[-1] for rule in rules(cross_validation.turned(state, order), others, self._more))

        return learn

    def _rules(self) -> None:
        states = sorted(self._aligned, key=lambda s: s.cost)
        for base in self._bases(states):
            if not self._more():
                return
            self._described.add(mark(base.grids))
            beside = {f"[{s.text}]": s for s in self._beside(base, states)}
            extra = [(name, 0.7 + s.cost, s.grids) for name, s in beside.items()]
            described = cells.describe(base.grids, extra)
            if [g.shape for g in base.grids] != self._sizes:
                inputs = self._enumeration.states[0].grids
                more = [cell_features.whole(g, *b.shape) for g, b in zip(inputs, base.grids, strict=True)]
                described = [[*d, *m] for d, m in zip(described, more, strict=True)]
            learned = cells.rules(described, self._outputs, DEPTH, self._more)
            sure = cells.generalises(described, self._outputs, DEPTH, self._more) if learned else 0.0
            for rule in learned:
                named = [s.primitives for name, s in beside.items() if name in rule.text]
                self._keep(rule, base, "cells", sure, frozenset[str]().union(*named))

    def _canvas(self) -> None:
        """Rules that look at the whole input alone: tables, and rules of cells where all outputs have one shape."""
        start = self._enumeration.states[0]
        self._found += lookup.looked_up(start.grids, self._outputs)
        shapes = {o.shape for o in self._outputs}
        if len(shapes) > 1 or not self._more():
            return
        rows, columns = shapes.pop()
        described = [cell_features.canvas(g, rows, columns) for g in start.grids]
        learned = cells.rules(described, self._outputs, CANVAS, self._more)
        sure = cells.generalises(described, self._outputs, CANVAS, self._more) if learned else 0.0
        for rule in learned:
            self._keep(rule, start, f"canvas {rows}×{columns}", sure)

    def _bases(self, states: Sequence[State]) -> list[State]:
        def likeness(state: State) -> float:
            return float(np.mean([(g == o).mean() for g, o in zip(state.grids, self._outputs, strict=False)]))

        fresh = [s for s in states[:400] if mark(s.grids) not in self._described]
        first = [s for s in fresh[:1] if not self._described]
        rest = sorted(fresh[len(first) :], key=lambda s: s.cost * 0.15 - likeness(s))
        return [*first, *rest[: BASES - len(first)]]

    def _beside(self, base: State, states: Sequence[State]) -> list[State]:
        shapes = [g.shape for g in base.grids]
        return [s for s in states if s is not base and [g.shape for g in s.grids] == shapes][:EXTRA]
