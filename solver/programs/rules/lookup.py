"""Outputs that depend on the input as a whole: a table from one fact of the input to the output.

Law: every test input's fact was seen in a demonstration, or there is no answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from solver.programs.rules.grid_features import facts_of_grid
from solver.programs.search import reproduces
from solver.programs.values import Proposal
from solver.types import Grid, key

COST = 4.0  # steps a table costs
ENTRY = 0.5  # steps each of its entries costs


def looked_up(inputs: Sequence[Grid], outputs: Sequence[Grid]) -> Iterator[Proposal]:
    """Tables by which the outputs follow from one fact, for facts that fewer values than demonstrations have."""
    shown = len(outputs)
    known = {key(g): o for g, o in zip(inputs, outputs, strict=False)}
    consistent = reproduces([known[key(g)] for g in inputs[:shown]], outputs)
    if consistent and all(key(g) in known for g in inputs[shown:]):
        yield Proposal(tuple(known[key(g)] for g in inputs[shown:]), "seen before", COST)
    every = [facts_of_grid(g) for g in inputs]
    for n, (_, name, _) in enumerate(every[0]):
        values = [facts[n][2] for facts in every]
        table = dict(zip(values, outputs, strict=False))
        fits = reproduces([table[v] for v in values[:shown]], outputs)
        if fits and 1 < len(table) < shown and all(v in table for v in values[shown:]):
            often = Counter(values[:shown])
            sure = sum(often[v] > 1 for v in values[:shown]) / shown
            cost = COST + ENTRY * len(table)
            yield Proposal(tuple(table[v] for v in values[shown:]), f"table of {name}", cost, sure)
