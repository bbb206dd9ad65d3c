"""Candidates of one test input → a ranking of distinct answers → two attempts.

Law: the result does not depend on the order of the candidates; every candidate's answer is in the ranking, so its
votes add up to the number of candidates; two attempts are always two different grids.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from solver.types import COLOURS, Attempts, Candidate, Grid, View, key, same

TOP_PER_TRANSFORMATION = 3  # answers: what each transformation sends to the global vote (arXiv 2411.07279, E.2)
IDENTITY = 0  # the dihedral element that leaves a grid as it is


@dataclass(frozen=True, eq=False)
class Ranked:
    """One distinct answer."""

    grid: Grid
    votes: int  # candidates that gave exactly this grid
    score: float  # the rule's own measure


RuleName: TypeAlias = Literal[
    "judge", "none", "flat", "hierarchical", "logprob", "product_of_experts", "count_minus_nll"
]

Rule: TypeAlias = Callable[[Sequence[Candidate]], list[Ranked]]
"""Candidates of one test input → distinct answers, best first."""


class _Tallied:
    """One distinct grid, what its candidates say, in nats, and what they say where it was read again."""

    def __init__(self, grid: Grid, behind: Sequence[Candidate] = ()):
        self.grid, self.key, self.votes = grid, key(grid), len(behind)
        logprobs = [c.logprob for c in behind]
        self.best, self.mean = max(logprobs, default=-math.inf), _mean(logprobs)
        self.pooled = self.best  # log of the summed probabilities
        if self.best > -math.inf:
            self.pooled += math.log(math.fsum(math.exp(logprob - self.best) for logprob in logprobs))
        self.identity = any(is_identity(c.view) for c in behind)  # whether the identity view gave it
        by_stage = {c.scores for c in behind}
        self.views_scored = max(map(len, by_stage), default=0)  # in the stage that read it most, or all of those
        self.mean_score = _mean([nats for scores in by_stage if len(scores) == self.views_scored for nats in scores])


def _mean(nats: Sequence[float]) -> float:
    """By fsum, whose result does not depend on the order; -inf of none."""
    return math.fsum(nats) / len(nats) if nats else -math.inf


def is_identity(view: View) -> bool:
    """Whether a view shows the task exactly as it was given."""
    unmoved = view.dihedral == IDENTITY and view.order == tuple(range(len(view.order)))
    return unmoved and view.colours == tuple(range(COLOURS))


def none(candidates: Sequence[Candidate]) -> list[Ranked]:
    """No voting: the identity view's likeliest answer first, then by log-probability. Score: the best one's nats."""
    of_identity = [(-c.logprob, key(c.grid)) for c in candidates if is_identity(c.view)]
    first = min(of_identity)[1] if of_identity else None
    answers = sorted(_tally(candidates), key=lambda a: (a.key != first, -a.best, a.key))
    return [Ranked(a.grid, a.votes, a.best) for a in answers]


def flat(candidates: Sequence[Candidate]) -> list[Ranked]:
    """The most views win, ties by mean log-probability. Score: views (arXiv 2411.07279, 'flattened voting')."""
    answers = sorted(_tally(candidates), key=lambda a: (-a.votes, -a.mean, a.key))
    return [Ranked(a.grid, a.votes, float(a.votes)) for a in answers]


def hierarchical(candidates: Sequence[Candidate]) -> list[Ranked]:
    """Vote within each transformation, then between them. Score: transformations that chose the answer.

    A transformation is a dihedral element; it chooses 3 answers (`_choices`), each worth one vote in the global
    count. Ties: first what the identity transformation chose, in its order; then views, then mean nats.
    An answer made up by a majority over rows or columns has 0 votes (arXiv 2411.07279, section 4.2 and appendix E.2).
    """
    groups: defaultdict[int, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.view.dihedral].append(candidate)
    everyone = [candidate.grid for candidate in candidates]
    choices = {dihedral: _choices(group, everyone) for dihedral, group in groups.items()}
    chosen = [_Tallied(grid) for grids in choices.values() for grid in grids]
    support = Counter(answer.key for answer in chosen)
    place = {key(grid): at for at, grid in enumerate(choices.get(IDENTITY, []))}
    answers = {answer.key: answer for answer in (*chosen, *_tally(candidates))}
    ordered = sorted(
        answers.values(),
        key=lambda a: (-support[a.key], place.get(a.key, TOP_PER_TRANSFORMATION), -a.votes, -a.mean, a.key),
    )
    return [Ranked(a.grid, a.votes, float(support[a.key])) for a in ordered]


def logprob(candidates: Sequence[Candidate]) -> list[Ranked]:
    """The largest pooled probability wins. Score: log-sum-exp over the answer's candidates, in nats."""
    answers = sorted(_tally(candidates), key=lambda a: (-a.pooled, -a.votes, a.key))
    return [Ranked(a.grid, a.votes, a.pooled) for a in answers]


def _by_rereading(candidates: Sequence[Candidate], worth: float) -> list[Ranked]:
    """By `worth` × votes + mean nats under the scoring views.

    Only answers re-read under equally many views compare: those with more come first, because `rescore` gives up
    only what is beaten already. An answer that was alone in its stage was not re-read: it comes before all others if
    none of them has more votes, else after them. Ties: by votes, then by mean nats.
    """
    answers = _tally(candidates)
    most = max((a.votes for a in answers if a.views_scored), default=0)

    def order(answer: _Tallied) -> tuple[object, ...]:
        alone = not answer.views_scored and answer.votes >= most
        return not alone, -answer.views_scored, -value(answer), -answer.votes, -answer.mean, answer.key

    def value(answer: _Tallied) -> float:
        return worth * answer.votes + answer.mean_score

    return [Ranked(a.grid, a.votes, value(a)) for a in sorted(answers, key=order)]


VOTE_WORTH: Mapping[str, float] = {
    "product_of_experts": 0.0,  # the likeliest under all scoring views together wins (arXiv 2505.07859)
    "count_minus_nll": 1.0,  # each view that found the answer is worth a nat more (NVARC's selection, 2025)
}
"""The rules that want candidates re-read (`score`), and the nats a vote is worth to them."""

JUDGE = "judge"  # orders the answers of all sources at once (`judge.py`); how split the model is, the paper's rule says
PLAIN = (JUDGE, "none", "flat", "hierarchical", "logprob")  # rules that want nothing re-read
RULES: Mapping[str, Rule] = {
    **dict(zip(PLAIN, (hierarchical, none, flat, hierarchical, logprob), strict=True)),
    **{name: partial(_by_rereading, worth=worth) for name, worth in VOTE_WORTH.items()},
}
"""Every voting rule by the name it has in a config."""

DEFAULT = JUDGE  # the rule of a run that names none
PAPERS: RuleName = "hierarchical"  # the paper's


def vote_of(rule: str) -> str:
    """The rule that the model's own answers are counted by: the paper's where the judge orders those of all sources."""
    return PAPERS if rule == JUDGE else rule


def rank(candidates: Sequence[Candidate], rule: str) -> list[Ranked]:
    """Distinct answers of one test input, best first. ValueError: an unknown rule, or nats that are nan or +inf."""
    if rule not in RULES:
        raise ValueError(f"unknown voting rule {rule!r}: expected one of {', '.join(RULES)}")
    for candidate in candidates:
        for nats in (candidate.logprob, *candidate.scores):
            if math.isnan(nats) or nats == math.inf:
                raise ValueError(f"log-probability {nats} of a candidate: expected nats, finite or -inf")
    return RULES[rule](candidates)


def two_attempts(ranked: Sequence[Ranked], fallback: Attempts) -> Attempts:
    """The first two answers, filled from two placeholders where there are fewer. ValueError: these are equal."""
    if same(*fallback):
        raise ValueError("the two placeholder answers are the same grid: expected two different ones")
    chosen = [answer.grid for answer in ranked[:2]]
    chosen += [grid for grid in fallback if not _among(grid, chosen)]
    return chosen[0], chosen[1]


def agreement(ranked: Sequence[Ranked], candidates: Iterable[tuple[int, Candidate]]) -> tuple[int, int]:
    """(Views that gave the first answer, views that gave any); (0, 0) where there is no answer.

    `candidates`: the candidates, each with its stage. A view counts once in each stage, however many answers it gave.
    """
    first = key(ranked[0].grid) if ranked else None
    views = {((stage, candidate.view), key(candidate.grid) == first) for stage, candidate in candidates}
    return sum(gave_first for _, gave_first in views), len({view for view, _ in views})


def _tally(candidates: Iterable[Candidate]) -> list[_Tallied]:
    """The distinct grids, in no promised order, with what stands behind each."""
    behind: defaultdict[tuple[int, int, bytes], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        behind[key(candidate.grid)].append(candidate)
    return [_Tallied(them[0].grid, them) for them in behind.values()]


def _choices(group: Sequence[Candidate], everyone: Sequence[Grid]) -> list[Grid]:
    """One transformation's 3 most frequent answers, best first; fewer distinct ones are filled up by majorities.

    Ties go to the identity view, then to the mean log-probability. The majority over rows, then the one over columns,
    is taken among the candidates of the most frequent shape, and left out where it repeats an answer.
    """
    answers = sorted(_tally(group), key=lambda a: (-a.votes, not a.identity, -a.mean, a.key))
    chosen = [answer.grid for answer in answers]
    if len(answers) == TOP_PER_TRANSFORMATION - 1:  # of one alone any majority is a repetition
        grids = [answer.grid for answer in answers for _ in range(answer.votes)]
        shape = Counter(grid.shape for grid in grids).most_common(1)[0][0]
        alike = [grid for grid in grids if grid.shape == shape]
        for filler in (row_majority(alike, everyone), column_majority(alike, everyone)):
            if not _among(filler, chosen):
                chosen.append(filler)
    return chosen[:TOP_PER_TRANSFORMATION]


def row_majority(grids: Sequence[Grid], everyone: Sequence[Grid]) -> Grid:
    """Row by row, the most frequent whole row of `grids` (of one shape, at least one of them).

    The paper leaves ties open, and among two distinct grids only ties make anything new. Here they go to the row
    that more of `everyone` has in that place (grids of other shapes have no say), then to the earliest grid's.
    """
    alike = [grid for grid in everyone if grid.shape == grids[0].shape]
    rows = (
        _majority([g[at].tobytes() for g in grids], [g[at].tobytes() for g in alike]) for at in range(len(grids[0]))
    )
    return np.frombuffer(b"".join(rows), dtype=grids[0].dtype).reshape(grids[0].shape)


def column_majority(grids: Sequence[Grid], everyone: Sequence[Grid]) -> Grid:
    """`row_majority`, column by column."""
    return row_majority([grid.T for grid in grids], [grid.T for grid in everyone]).T


def _majority(rows: Sequence[bytes], everyone: Sequence[bytes]) -> bytes:
    """The most frequent of `rows`, ties by how frequent it is in `everyone`, then the earliest."""
    return max(dict.fromkeys(rows), key=lambda row: (rows.count(row), everyone.count(row)))


def _among(grid: Grid, grids: Iterable[Grid]) -> bool:
    return any(same(grid, other) for other in grids)
