"""How likely every candidate is under the same views: what the models' votes alone can't tell.

A view that did not find an answer may still hold it for likely. So every distinct candidate grid of a test input is
re-read under one set of views, the same for all, and the views' log-probabilities are added up: a product of experts
(arXiv 2505.07859). A view's log-probability is at most 0, so an answer whose sum so far is below the complete sum of
the best ones can't come back, and is not read any further.

Law: the best `winners` answers, and their order, are those that reading every
candidate under every view would give; where the seconds run out, all that could still win keep equally many views.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from solver.batch import TaskState
from solver.clock import now
from solver.config.settings import Config
from solver.data.views import apply
from solver.interfaces import Scorer, ScoringRequest, Stop
from solver.tokens.grid import Format
from solver.types import ATTEMPTS, Adapter, Candidate, Grid, Prompt, key
from solver.voting import rules

FIRST = 2  # views under which every candidate is read before any is given up
STRIDE = 2  # views more between two looks at who is beaten


def rescore_candidates(states: Sequence[TaskState], scorer: Scorer, config: Config, stop: Stop) -> None:
    """Score all candidates of a test input under its first views, those of all tasks in one batch."""
    started = now()
    tests = [(state, test) for state in states for test in range(len(state.task.tests))]
    to_score = [
        CandidatesToScore(
            tuple(p for number, p in state.prompts if p.test == test and number < config.search.views),
            state.adapter,
            tuple(state.candidates[test]),
        )
        for state, test in tests
    ]
    worth = rules.VOTE_WORTH.get(config.rule, 0.0)
    scored = rescore(to_score, scorer, stop, config.engine.context - 1, states[0].format, worth)
    for (state, test), result in zip(tests, scored, strict=True):
        state.candidates[test] = list(result.candidates)
        if result.cut:
            state.notes.append(f"test {test}: out of time after {result.scored} readings of its candidates")
    for state in states:
        state.seconds["score"] = (now() - started) / len(states)


@dataclass(frozen=True, eq=False)
class CandidatesToScore:
    """One test input: its prompts under the scoring views, the adapter to read with, and the candidates."""

    prompts: tuple[Prompt, ...]
    adapter: Adapter | None
    candidates: tuple[Candidate, ...]


def rescore(
    tests: Sequence[CandidatesToScore],
    scorer: Scorer,
    stop: Stop,
    context: int,
    format: Format,
    worth: float = 0.0,
    winners: int = ATTEMPTS,
) -> list[Rescoring]:
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
    return rescorings


@dataclass(eq=False)
class DistinctGrid:
    """One distinct grid of a test input: how many candidates gave it, and its nats under the views read so far."""

    grid: Grid
    votes: int
    scores: list[float]


class Rescoring:
    """The distinct candidates of one test input, who of them is to be read next, and who is beaten.

    `scored`: readings made. `cut`: whether the seconds ran out.
    """

    def __init__(self, test: CandidatesToScore, context: int, worth: float, winners: int, format: Format):
        self.test, self.worth, self.winners, self.format = test, worth, winners, format
        votes = Counter(key(c.grid) for c in test.candidates)
        self.answers = {key(c.grid): DistinctGrid(c.grid, votes[key(c.grid)], []) for c in test.candidates}
        longest = max((_turned(answer.grid) for answer in self.answers.values()), default=0)
        self.prompts = [p for p in test.prompts if len(p.tokens) + longest <= context]
        self.scored, self.cut = 0, False

    def value(self, answer: DistinctGrid, views: int) -> float:
        """What an answer comes to, had it under so many `views` no more nats than it has: under all the most it can."""
        return self.worth * answer.votes + math.fsum(answer.scores) / views

    def beaten(self, answer: DistinctGrid) -> bool:
        """Whether enough others, read under every view, have come to more than it can."""
        views = len(self.prompts)
        complete = (self.value(a, views) for a in self.answers.values() if len(a.scores) == views)
        return sum(value > self.value(answer, views) for value in complete) >= self.winners

    def wanted(self) -> list[tuple[DistinctGrid, int]]:
        """(answer, view) to be read next: first everyone a little, then those that lead in full, then the unbeaten."""
        answers, views = list(self.answers.values()), len(self.prompts)
        if self.cut or len(answers) < 2 or not views:
            return []
        if fresh := [a for a in answers if not a.scores]:
            return [(a, view) for a in fresh for view in range(min(FIRST, views))]
        answers.sort(key=lambda a: (-self.value(a, len(a.scores)), key(a.grid)))
        leading = [(a, view) for a in answers[: self.winners] for view in range(len(a.scores), views)]
        behind = [a for a in self.answers.values() if len(a.scores) < views and not self.beaten(a)]
        return leading or [(a, v) for a in behind for v in range(len(a.scores), min(views, len(a.scores) + STRIDE))]

    def request(self, answer: DistinctGrid, view: int) -> ScoringRequest:
        prompt = self.prompts[view]
        return prompt.tokens, self.format.encode_reply(apply(prompt.view, answer.grid)), self.test.adapter

    def take(self, answer: DistinctGrid, view: int, nats: float | None) -> None:
        """An answer's nats under a view; None where the seconds ran out, and then none of its later views count."""
        if nats is None:
            self.cut = True
        elif view == len(answer.scores):
            answer.scores.append(nats)
            self.scored += 1

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """As they came, with their scores, cut to as many views as all that could still win have."""
        views = len(self.prompts)
        if self.cut:
            views = min(len(a.scores) for a in self.answers.values() if not self.beaten(a))
        return tuple(replace(c, scores=tuple(self.answers[key(c.grid)].scores[:views])) for c in self.test.candidates)


def _turned(grid: Grid) -> int:
    """Tokens at most of a reply that spells the grid, whichever way a view turns it."""
    return int(grid.size + max(grid.shape)) + 1
