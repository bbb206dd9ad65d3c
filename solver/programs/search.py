"""Enumerates programs by cost, each distinct outcome once.

Laws: of programs with the same outcome on all inputs only the first is kept, and a state's extensions are tried
cheapest first; no more primitives are used than the node budget has, and under it the same task gives the same states
in the same order.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from solver.interfaces import Stop
from solver.programs.primitives import colouring, geometry, lines, patterns, pieces, registry, shapes  # noqa: F401
from solver.programs.primitives.registry import F, Join, Parts, Primitive, Split, Unary, bound, checked
from solver.programs.values import Grids, Mark, State, inputs, mark
from solver.types import COLOURS, Grid, Task, same

G = TypeVar("G")
T = TypeVar("T")
LOOK = 64  # nodes between two looks at the clock


@dataclass(frozen=True, eq=False)
class Operators:
    """What may be done in one task: primitives with their colours bound."""

    unary: tuple[Primitive[Unary], ...]
    splits: tuple[Primitive[Split], ...]
    joins: tuple[Primitive[Join], ...]


def operators(task: Task) -> Operators:
    """All primitives, with colours of every input, or of every output, where they take one."""
    unary, outputs = list(registry.UNARY.values()), [p.output for p in task.demonstrations]
    for table, grids in ((registry.INPUT_COLOURED, inputs(task)), (registry.OUTPUT_COLOURED, outputs)):
        colours = [c for c in range(1, COLOURS) if all((g == c).any() for g in grids)]
        unary += [Primitive(f"{p.name}({c})", bound(p.run, c), p.cost + 0.2) for p in table.values() for c in colours]
    return Operators(_ordered(unary), _ordered(registry.SPLITS.values()), _ordered(registry.JOINS.values()))


def _ordered(primitives: Iterable[Primitive[F]]) -> tuple[Primitive[F], ...]:
    """The cheapest first; those of one cost by name, whatever the order they were registered in."""
    return tuple(sorted(primitives, key=lambda p: (p.cost, p.name)))


def _on_all(run: Callable[[T], G | None], given: Sequence[T]) -> tuple[G, ...] | None:
    results = []
    for one in given:
        result = run(one)
        if result is None:
            return None
        results.append(result)
    return tuple(results)


def outcome(run: Callable[[T], Grid | None], given: Sequence[T]) -> tuple[Grid, ...] | None:
    """The primitive on every grid, or all its parts; None where it has nothing to say on one of them."""
    return _on_all(lambda one: checked(run(one)), given)


class Enumeration:
    """All states reached so far, and the queue of those not extended yet."""

    def __init__(self, task: Task, stop: Stop, nodes: int) -> None:
        self._stop, self._nodes = stop, nodes
        self._operators = operators(task)
        self._outputs = tuple(p.output for p in task.demonstrations)
        self._seen, self._seen_parts = set[Mark](), set[Mark]()
        self._queue: list[tuple[float, int]] = []
        self._offered = deque([State(inputs(task), 0.0)])
        self.states: list[State] = []
        self.parted: list[tuple[State, str, tuple[Parts, ...]]] = []
        self.spent = 0

    def run(self, nodes: int) -> Iterator[State]:
        """Every state not yielded yet, until so many more nodes (uses of a primitive) are spent or none is to extend.

        A state that was begun is extended to its end, also beyond `nodes`, but not beyond the whole budget. What it is
        extended to comes at once, so that a search its seconds cut short has looked at all it reached.
        """
        until = min(self.spent + nodes, self._nodes)
        while True:
            while self._offered:
                yield from self._new(self._offered.popleft())
            if not self._queue or self.spent >= until:
                return
            _, number = heapq.heappop(self._queue)
            yield from self._extensions(self.states[number])
            if self._stop.remaining() <= 0:
                return

    @property
    def over(self) -> bool:
        """Whether there is nothing left to extend, or no node left to do it with."""
        return not self._queue or self.spent >= self._nodes

    def offer(self, state: State) -> None:
        """A state made elsewhere, to be yielded and extended like others, after all of the one being extended."""
        self._offered.append(state)

    def _extensions(self, state: State) -> Iterator[State]:
        """All that is new one step from the state."""
        for primitive in self._operators.unary:
            if self._over():
                return
            grids = outcome(primitive.run, state.grids)
            if grids is not None:
                yield from self._new(state.then(grids, state.cost + primitive.cost, primitive.name))
        for split in self._operators.splits:
            if self._over():
                return
            yield from self._joined(state, split)

    def _over(self) -> bool:
        """Whether the next use of a primitive is one too many; else it is counted."""
        if self.spent >= self._nodes:
            return True
        self.spent += 1
        return self.spent % LOOK == 0 and self._stop.remaining() <= 0

    def _joined(self, state: State, split: Primitive[Split]) -> Iterator[State]:
        """What is new of the state taken apart and put together again."""
        parts = _on_all(split.run, state.grids)
        if parts is None or (known := b"/".join(map(mark, parts))) in self._seen_parts:
            return
        self._seen_parts.add(known)
        self.parted.append((state, split.name, parts))
        for join in self._operators.joins:
            if self._over():
                return
            grids = outcome(join.run, parts)
            if grids is not None:
                cost = state.cost + split.cost + join.cost
                yield from self._new(state.then(grids, cost, f"{split.name}.{join.name}"))

    def _new(self, state: State) -> Iterator[State]:
        """The state, kept and queued, unless its outcome is known."""
        known = mark(state.grids)
        if known not in self._seen:
            self._seen.add(known)
            like_outputs = aligned(state, self._outputs)  # shapes, then cells: what looks like them is extended earlier
            promise = 0.4 + 0.6 * min(alike(state, self._outputs)) if like_outputs else 0.0
            heapq.heappush(self._queue, (state.cost - promise, len(self.states)))
            self.states.append(state)
            yield state


def aligned(state: State, outputs: Grids) -> bool:
    """Whether the state has the outputs' shapes in all demonstrations."""
    return all(g.shape == o.shape for g, o in zip(state.grids, outputs, strict=False))


def alike(state: State, outputs: Grids) -> list[float]:
    """For each demonstration the share of cells, 0 to 1, of a state of the outputs' shapes that are right."""
    return [float((g == o).mean()) for g, o in zip(state.grids, outputs, strict=False)]


def reproduces(grids: Grids, outputs: Grids) -> bool:
    """Whether what a program makes of the demonstrations, first in `grids`, are their outputs."""
    return all(map(same, grids, outputs))


def flat(grids: Grids) -> NDArray[np.uint8]:
    """All cells of all grids, one after another."""
    return np.concatenate([g.ravel() for g in grids])
