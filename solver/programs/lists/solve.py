"""From a task to ranked candidates: searched in its own colours, in colours by role, and with its mirror images."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from solver.interfaces import Stop
from solver.programs import compiled
from solver.programs.lists import roles
from solver.programs.lists.task_search import ListAnswer, ListSearch, Seen
from solver.programs.values import Until
from solver.types import Grid, Task, key

TURN = 20_000  # functions applied that each way has in turn
LOOKING = 0.06  # of the seconds: kept for what the states answer, once no more are made
STATES = 1_501  # that tell cells apart, for rules of cells: one is described, they look at the others
EVIDENCE = 1.0  # per step: how much less a program counts that is one step longer


@dataclass(frozen=True, eq=False)
class Way:
    """One way to look at a task.

    `begins`: how many functions other ways have applied before its first turn; those that seldom tell more come last.
    `penalty`: steps added to what it gives. `restore`: answers in the task's colours.
    """

    name: str
    task: Task
    begins: int
    penalty: float
    restore: Callable[[tuple[Grid, ...]], tuple[Grid, ...]]


def ways(task: Task) -> list[Way]:
    """The task in its own colours, by roles, and each with its mirror images, as far as they differ."""
    own = roles.with_background(task)
    result = [Way("", own.task, 0, 0.0, own.restore)]
    by_roles = roles.by_roles(own.task)
    if by_roles is not None:
        changed = by_roles
        result.append(Way("by roles: ", changed.task, 60_000, 0.5, lambda grids: own.restore(changed.restore(grids))))
    result.append(Way("flipped: ", roles.flipped(own.task), 600_000, 0.0, own.restore))
    return result


@dataclass(frozen=True, eq=False)
class Searched:
    """What was made of a task: distinct answers, the best first, and states that tell its cells apart, cheapest first.

    `own`: the task as the states show it, with its background as 0.
    """

    answers: tuple[ListAnswer, ...]
    own: roles.Recoloured
    states: list[Seen]


def search(task: Task, stop: Stop, nodes: int | None = None) -> Searched:
    """What is made of the task.

    Ways begin one after another; from then on each has as many functions in turn. The last of the seconds go to what
    the states made so far answer.
    `nodes`: once so many functions were handed out, nobody has another turn; the same number gives the same answers as
    long as the seconds last.
    """
    compiled.ready()
    waiting, searches = ways(task), list[tuple[Way, ListSearch]]()
    candidates: list[tuple[float, ListAnswer]] = []
    making = Until(stop, LOOKING * stop.remaining())

    def add(way: Way, more: Iterable[ListAnswer]) -> None:
        for c in more:
            restored = replace(c, grids=way.restore(c.grids), program=way.name + c.program)
            candidates.append((restored.cost + way.penalty, restored))

    spent = 0
    while making.remaining() > 0 and (nodes is None or spent < nodes):
        active = [(way, current) for way, current in searches if not current.over]
        while waiting and (spent >= waiting[0].begins or not active):
            way = waiting.pop(0)
            searches.append((way, ListSearch(way.task)))
            active.append(searches[-1])
        if not active:
            break
        for way, current in active:
            add(way, current.advance(making, TURN))
            spent += TURN
    for way, current in searches:
        cut_short = not current.over or making.remaining() <= 0  # one that was over then may have been, in its answers
        if cut_short and stop.remaining() > 0:
            add(way, current.answers(stop))
    return Searched(
        rank(candidates), roles.with_background(task), searches[0][1].distinct_states(STATES) if searches else []
    )


def rank(candidates: Iterable[tuple[float, ListAnswer]]) -> tuple[ListAnswer, ...]:
    """Each distinct answer once with its best program: by the programs that give it, short ones most."""
    groups: dict[object, list[tuple[float, ListAnswer]]] = {}
    for cost, c in candidates:
        groups.setdefault(tuple(key(g) for g in c.grids), []).append((cost, c))
    ranked = []
    for group in groups.values():
        best = min(group, key=lambda pair: pair[0])
        programs = {c.program: cost for cost, c in group}
        evidence = sum(math.exp(-EVIDENCE * (cost - best[0])) for cost in programs.values())
        cost = best[0] - math.log(evidence) / EVIDENCE
        ranked.append(replace(best[1], cost=cost))
    return tuple(sorted(ranked, key=lambda c: c.cost))
