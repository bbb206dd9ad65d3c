"""All searches for programs on one task, within one budget: over lists, by rules of cells, by primitives and rules.

They solve different tasks, so the best answers of each come first, by turns; what both give comes before all.
Law: the same task and nodes give the same answers as long as the seconds last.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from solver.interfaces import Stop
from solver.programs.cell_rules import CellRules
from solver.programs.compiled import ready as ready
from solver.programs.lists import solve as lists
from solver.programs.solve import NODES, rank, search_programs
from solver.programs.values import Proposal, Until, mark
from solver.types import Task, worth

LISTS = 0.25  # of the seconds, at most, for the search over lists: what it does not find soon it seldom finds
RULES = 0.25  # of the seconds then left, at most, for rules of cells that look at what lists made
FIRST_SECONDS = 0.25  # more for each of them, at most its share once more: the older search finds little in them
PER_NODE = 20  # functions that it applies for each node; in the same seconds it would apply more


def search_both(task: Task, stop: Stop, nodes: int = NODES) -> tuple[Proposal, ...]:
    """Distinct answers to the task, the best first; () where no program reproduces the demonstrations.

    `ready` first, so that nothing is compiled within the task's seconds.
    """
    seconds = stop.remaining()
    share = LISTS * seconds
    listed = lists.search(task, Until(stop, seconds - share - min(share, FIRST_SECONDS)), PER_NODE * nodes)
    by_lists = [Proposal(a.grids, a.program, a.cost, a.generalises) for a in listed.answers]
    left = stop.remaining()
    rules_until = Until(stop, left - RULES * left - min(RULES * left, FIRST_SECONDS))
    by_rules = CellRules(listed.own, listed.states, rules_until).proposals(nodes)
    return joined(rank([*search_programs(task, stop, nodes), *by_rules]), by_lists)


def joined(first: Sequence[Proposal], second: Sequence[Proposal]) -> tuple[Proposal, ...]:
    """Each distinct answer once: what both give, then the best of the first, of the second, and so on by turns.

    Programs are ordered by `worth` later on, so that costs are raised where they would change this order.
    """
    other = {mark(p.grids): p for p in second}
    both = [replace(p, support=p.support + other[mark(p.grids)].support) for p in first if mark(p.grids) in other]
    by_turns = (p for p in chain.from_iterable(zip_longest(first, second)) if p is not None)
    distinct: dict[bytes, Proposal] = {}
    for p in (*both, *by_turns):
        distinct.setdefault(mark(p.grids), p)
    ordered, least = list[Proposal](), float("-inf")
    for p in distinct.values():
        raised = max(0.0, least - worth(p.cost, p.generalises))
        ordered.append(replace(p, cost=p.cost + raised))
        least = max(least, worth(p.cost, p.generalises))
    return tuple(ordered)
