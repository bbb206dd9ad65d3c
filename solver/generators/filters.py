"""Which written generators are kept, decided by the pairs they draw: a row of filters, each passed or the end.

The filters are this project's. arXiv 2411.07279 names none for the generators that its language models wrote, found
that training on their tasks lowered its score by 5 %, and says that such tasks may need filters (version 1, section
5.2). Law: a decision depends on the draws, the index and the generators kept before alone.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from solver.induction.sandbox.sandbox import CALLING, LOADING, DrawnPair
from solver.pretrain.content import Index
from solver.types import Pair, key, same

Grids: TypeAlias = tuple[tuple[int, int, bytes], tuple[int, int, bytes]]
"""A pair as something that can be counted: the keys of its two grids."""

DESCRIBED, REPLIED, HOLDING = "described", "replied", "holding"  # what a reply fails at before anything is run
PARSED, RAN, GRIDS, DISTINCT = "parsed", "ran", "grids", "distinct"
FUNCTION, IDENTITY, CONSTANT, EVALUATION, NEW = "function", "identity", "constant", "evaluation", "new"
FILTERS = {  # in order: name → what is true of a generator that passed it
    DESCRIBED: "a description was written",
    REPLIED: "a reply was written",
    HOLDING: "it holds a function generate",
    PARSED: "it is Python that can be loaded",
    RAN: "at least half of its calls returned",
    GRIDS: "at least half of its calls gave two grids",
    DISTINCT: "enough distinct pairs",
    FUNCTION: "the same input never with two outputs",
    IDENTITY: "at most half of the outputs are their inputs",
    CONSTANT: "not always the same output",
    EVALUATION: "nothing of an evaluation set",
    NEW: "other pairs than any shown or kept one draws",
}
HALF = 0.5
TOUCHING = 0.1  # share of a generator's pairs that may hold something of an evaluation set by chance; they are left out


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the filters say of a generator: kept with these pairs, or at which filter it `failed` and the reason."""

    failed: str = ""
    reason: str = ""
    pairs: tuple[Pair, ...] = ()


@dataclass(eq=False)
class Filters:
    """All of them. `index`: what no pair may hold. `least`: distinct pairs of a generator that is kept.

    `known`: pairs that generators shown and kept have drawn, all with the same seeds, so that two generators that do
    the same have their pairs in common.
    """

    index: Index
    least: int
    known: set[Grids] = field(default_factory=set)

    def add(self, pairs: Iterable[Pair]) -> None:
        """Count these pairs' generator among those that are there already."""
        self.known.update(map(_grids, pairs))

    def judge(self, draws: Sequence[DrawnPair], twins: Sequence[DrawnPair]) -> Verdict:
        """Say what becomes of the generator that drew these, at least one.

        `twins`: pairs drawn with nearly the same random numbers, so that inputs come twice; none of them is kept.
        """
        if draws[0].failed == LOADING:
            return Verdict(PARSED, draws[0].reason)
        failures = Counter(draw.reason for draw in draws if draw.failed)
        commonest = failures.most_common(1)[0][0] if failures else ""
        if sum(draw.failed == CALLING for draw in draws) > HALF * len(draws):
            return Verdict(RAN, commonest)
        pairs = [draw.pair for draw in draws if draw.pair is not None]
        if len(pairs) < HALF * len(draws):
            return Verdict(GRIDS, commonest)
        return self._judge_pairs(pairs, [twin.pair for twin in twins if twin.pair is not None])

    def _judge_pairs(self, drawn: Sequence[Pair], twins: Sequence[Pair]) -> Verdict:
        pairs = list({_grids(pair): pair for pair in drawn}.values())
        if len(pairs) < self.least:
            return Verdict(DISTINCT, f"{len(pairs)} distinct pairs, at least {self.least} were expected")
        every = {_grids(pair) for pair in (*pairs, *twins)}
        if len({shown for shown, _ in every}) < len(every):
            return Verdict(FUNCTION, "an input came with two outputs")
        if (copies := sum(same(pair.input, pair.output) for pair in pairs)) > HALF * len(pairs):
            return Verdict(IDENTITY, f"{copies} of {len(pairs)} outputs are their inputs")
        if len({key(pair.output) for pair in pairs}) == 1:
            return Verdict(CONSTANT, "all outputs are the same")
        held = self.index.holds(pairs)
        clean = [pair for pair, bad in zip(pairs, held, strict=True) if not bad]
        if held.sum() > TOUCHING * len(pairs) or len(clean) < self.least:
            return Verdict(EVALUATION, f"{int(held.sum())} of {len(pairs)} pairs hold something of one")
        if np.mean([_grids(pair) in self.known for pair in clean]) > HALF:
            return Verdict(NEW, "it draws the pairs of another one")
        return Verdict(pairs=tuple(clean))


def _grids(pair: Pair) -> Grids:
    return key(pair.input), key(pair.output)
