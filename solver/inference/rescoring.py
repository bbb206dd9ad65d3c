"""How likely every candidate is under the same views: what the models' votes alone can't tell.

A view that did not find an answer may still hold it for likely. So every distinct candidate grid of a test input is
re-read under one set of views, the same for all, and the views' log-probabilities are added up: a product of experts
(arXiv 2505.07859). A view's log-probability is at most 0, so an answer whose sum so far is below the complete sum of
the best ones can't come back, and is not read any further.

Knows nothing of models or engines. Law: the best `winners` answers, and their order, are those that reading every
candidate under every view would give; where the seconds run out, all that could still win keep equally many views.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from solver.data.views import apply
from solver.interfaces import Scorer, ScoringRequest, Stop
from solver.tokens.grid import Format
from solver.types import ATTEMPTS, Adapter, Candidate, Grid, Prompt, key

FIRST = 2  # views under which every candidate is read before any is given up
STRIDE = 2  # views more between two looks at who is beaten


@dataclass(frozen=True, eq=False)
class CandidatesToScore:
    """One test input: its prompts under the scoring views, the adapter to read with, and the candidates."""

    prompts: tuple[Prompt, ...]
    adapter: Adapter | None
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, eq=False)
class Rescored:
    """The candidates with their scores, in the order they came; readings made; whether the seconds ran out."""

    candidates: tuple[Candidate, ...]
    scored: int
    cut: bool


def rescore(
    tests: Sequence[CandidatesToScore],
    scorer: Scorer,
    stop: Stop,
    context: int,
    format: Format,
    worth: float = 0.0,
    winners: int = ATTEMPTS,
) -> list[Rescored]:
    """Re-read each question's candidates, those of all questions together, round after round.

    `context`: tokens that prompt and reply may have together; a view in which some candidate does not fit is left out
    for all. `worth`: nats a vote counts beside the mean over views, see `rules.VOTE_WORTH`.
    """
    rescorings = [Rescoring(test, context, worth, winners, format) for test in tests]
    while wanted := [(rescoring, *step) for rescoring in rescorings for step in rescoring.wanted()]:
        wanted.sort(key=lambda step: step[2])  # view by view: the seconds may end between two
        nats = scorer.score([rescoring.request(answer, view) for rescoring, answer, view in wanted], stop)
        for (rescoring, answer, view), value in zip(wanted, nats, strict=True):
            rescoring.take(answer, view, value)
    return [rescoring.result() for rescoring in rescorings]


@dataclass
class DistinctGrid:
    """One distinct grid in a contest: how many candidates gave it, and its nats under the views read so far."""

    grid: Grid
    votes: int
    scores: list[float]


class Rescoring:
    """The distinct candidates of one test input, who of them is to be read next, and who is beaten."""

    def __init__(self, test: CandidatesToScore, context: int, worth: float, winners: int, format: Format):
        self.test, self.worth, self.winners, self.format = test, worth, winners, format
        votes = Counter(key(c.grid) for c in test.candidates)
        grids = {key(c.grid): c.grid for c in test.candidates}
        self.answers = {k: DistinctGrid(grids[k], count, []) for k, count in votes.items()}
        longest = max((_turned(grid) for grid in grids.values()), default=0)
        self.prompts = [p for p in test.prompts if len(p.tokens) + longest <= context]
        self.scored, self.cut = 0, False

    def bound(self, answer: DistinctGrid) -> float:
        """The most an answer can still come to; its final value once it was read under every view."""
        return self.worth * answer.votes + math.fsum(answer.scores) / len(self.prompts)

    def estimate(self, answer: DistinctGrid) -> float:
        """What an answer seems to come to."""
        return self.worth * answer.votes + math.fsum(answer.scores) / len(answer.scores)

    def complete(self, answer: DistinctGrid) -> bool:
        """Whether it was read under every view."""
        return len(answer.scores) == len(self.prompts)

    def beaten(self, answer: DistinctGrid) -> bool:
        """Whether enough others have come, for certain, to more than it can."""
        above = (a for a in self.answers.values() if self.complete(a) and self.bound(a) > self.bound(answer))
        return sum(1 for _ in above) >= self.winners

    def wanted(self) -> list[tuple[DistinctGrid, int]]:
        """(answer, view) to be read next: first everyone a little, then those that lead in full, then the unbeaten."""
        if self.cut or len(self.answers) < 2 or not self.prompts:
            return []
        views = len(self.prompts)
        fresh = [a for a in self.answers.values() if not a.scores]
        if fresh:
            return [(a, view) for a in fresh for view in range(min(FIRST, views))]
        leaders = sorted(self.answers.values(), key=lambda a: (-self.estimate(a), key(a.grid)))[: self.winners]
        leading = [(a, view) for a in leaders for view in range(len(a.scores), views)]
        behind = [a for a in self.answers.values() if not self.complete(a) and not self.beaten(a)]
        return leading or [(a, v) for a in behind for v in range(len(a.scores), min(views, len(a.scores) + STRIDE))]

    def request(self, answer: DistinctGrid, view: int) -> ScoringRequest:
        """What to ask the scorer for an answer under a view."""
        prompt = self.prompts[view]
        reply = self.format.encode_reply(apply(prompt.view, answer.grid))
        return prompt.tokens, reply, self.test.adapter

    def take(self, answer: DistinctGrid, view: int, nats: float | None) -> None:
        """An answer's nats under a view; None where the seconds ran out, and then none of its later views count."""
        if nats is None:
            self.cut = True
        elif view == len(answer.scores):
            answer.scores.append(nats)
            self.scored += 1

    def result(self) -> Rescored:
        """The candidates with their scores, cut to as many views as all that could still win have."""
        views = len(self.prompts)
        if self.cut:
            views = min(len(a.scores) for a in self.answers.values() if not self.beaten(a))
        scored = tuple(replace(c, scores=tuple(self.answers[key(c.grid)].scores[:views])) for c in self.test.candidates)
        return Rescored(scored, self.scored, self.cut)


def _turned(grid: Grid) -> int:
    """Tokens at most of a reply that spells the grid, whichever way a view turns it."""
    return int(grid.size + max(grid.shape)) + 1
