"""From a task to ranked candidates: the entry to the search for programs.

Laws: every proposal reproduces all demonstrations; the same task and node budget give the same proposals as long as the
seconds last; nothing is begun once `stop` has no seconds left. A task is searched as it is and transposed, within one
budget: what both ways say is likelier than what one of them says alone.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from solver.data.views import apply_task, invert
from solver.interfaces import Stop
from solver.programs.compiled import ready
from solver.programs.rules.subtasks import subtasks
from solver.programs.task_search import TaskSearch
from solver.programs.values import Proposal, Until, background, mark
from solver.types import COLOURS, Task, View, worth

NODES = 200_000  # uses of a primitive, the default budget
WAYS = {"": View(), "transposed: ": View(4)}
FIRST_WAY = 0.6  # of the nodes and seconds, at most, where the first way finds nothing
ALONE = 1.5  # added to the cost of an answer that only one of the two ways gives
SMALLER = 0.3  # of the seconds, at most, for the subtasks of the task, all together
SMALLER_NODES = 4_000  # nodes for each of them, and a tenth of a task's at most
SUBTASK = 1.5  # added to the cost of a program of a subtask


def search_programs(task: Task, stop: Stop, nodes: int = NODES) -> tuple[Proposal, ...]:
    """Distinct answers to the task, the best first; () where no program reproduces the demonstrations."""
    ready()
    colour = background(task)
    exchange = View(colours=tuple({0: colour, colour: 0}.get(c, c) for c in range(COLOURS)))
    seen = apply_task(exchange, task)
    proposals = rank([*of_subtasks(seen, stop, nodes), *agreed(ways(seen, stop, nodes))])
    return tuple(replace(p, grids=tuple(invert(exchange, g) for g in p.grids)) for p in proposals)


def of_subtasks(task: Task, stop: Stop, nodes: int) -> list[Proposal]:
    """What is proposed for subtasks of the task, put back into its test inputs."""
    own = Until(stop, (1 - SMALLER) * stop.remaining())
    proposals = []
    for subtask in subtasks(task):
        if own.remaining() <= 0:
            break
        smaller = TaskSearch(subtask.task, own, min(SMALLER_NODES, nodes // 10)).run()
        proposals += [
            replace(p, grids=subtask.restore(p.grids), program=f"{subtask.name}: {p.program}", cost=p.cost + SUBTASK)
            for p in smaller
            if [g.shape for g in p.grids] == [t.shape for t in subtask.task.tests]
        ]
    return proposals


def ways(task: Task, stop: Stop, nodes: int) -> list[list[Proposal]]:
    """What each way of looking at the task proposes, in the task's own frame; a way that was cut off says nothing.

    Where the first finds something, the other gets no more nodes than it took; else all that are left.
    """
    by_way: list[list[Proposal]] = []
    own_nodes = math.ceil(FIRST_WAY * nodes)
    for name, view in WAYS.items():
        own = Until(stop, (1 - FIRST_WAY) * stop.remaining()) if not name else stop
        search = TaskSearch(apply_task(view, task), own, own_nodes)
        proposals = search.run()
        if proposals or own.remaining() > 0:
            by_way.append(
                [replace(p, grids=tuple(invert(view, g) for g in p.grids), program=name + p.program) for p in proposals]
            )
        own_nodes = min(nodes - search.enumeration.spent, search.enumeration.spent if proposals else nodes)
        if stop.remaining() <= 0 or own_nodes <= 0:
            break
    return by_way


def agreed(by_way: Sequence[Sequence[Proposal]]) -> list[Proposal]:
    """All proposals; what one way gives and the other, which looked as well, does not, costs more."""
    given = [{mark(p.grids) for p in proposals} for proposals in by_way]
    both = set[bytes]().union(*given).intersection(*given)
    every = [p for proposals in by_way for p in proposals]
    return [p if mark(p.grids) in both else replace(p, cost=p.cost + ALONE) for p in every]


def rank(proposals: Iterable[Proposal]) -> tuple[Proposal, ...]:
    """Each distinct answer once with its best program, the best first."""
    best: dict[bytes, Proposal] = {}
    for p in proposals:
        known = best.get(mark(p.grids))
        better = p if known is None or _worth(p) < _worth(known) else known
        best[mark(p.grids)] = replace(better, support=p.support + (known.support if known else 0))
    return tuple(sorted(best.values(), key=_worth))


def _worth(proposal: Proposal) -> float:
    return worth(proposal.cost, proposal.generalises)
