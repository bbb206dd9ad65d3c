"""What is known of every task over all rounds: its candidates, and the best answers they make.

Knows nothing of models, files or time. Laws: the vote is over the pooled candidates of all rounds with adapters, so a
later one replaces an answer only on better evidence; what the base model said counts only where no adapter said
anything, and fills an attempt that is left (the paper votes over trained models' answers alone); programs do not vote,
`ensemble` says which attempt is theirs; a round recorded twice counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from solver.types import BASE, Attempts, Candidate, Grid, Standing, Task, by_programs, key
from solver.voting import ensemble, rules
from solver.voting.rules import Ranked

Rounds: TypeAlias = Mapping[int, Sequence[Candidate]]
"""One test input's candidates by round."""


BOTH, MODEL_ALONE, PROGRAMS_ALONE = "both", "model", "programs"
SOURCES = (BOTH, MODEL_ALONE, PROGRAMS_ALONE)  # whose candidates count


def from_source(rounds: Rounds, whose: str = BOTH) -> Rounds:
    """The rounds of those minds alone, of `SOURCES`."""
    return {n: them for n, them in rounds.items() if whose == BOTH or by_programs(n) == (whose == PROGRAMS_ALONE)}


def ranked(rounds: Rounds, rule: str) -> list[Ranked]:
    """The vote's distinct answers, best first: the adapters' or, where they gave none, the base model's."""
    return rules.rank([candidate for _, candidate in _voters(rounds)], rule)


def _voters(rounds: Rounds) -> list[tuple[int, Candidate]]:
    """The candidates that are voted on, each with its round."""
    adapted = [(number, candidate) for number in sorted(rounds) if number > BASE for candidate in rounds[number]]
    return adapted or [(BASE, candidate) for candidate in rounds.get(BASE, ())]


def _computed(rounds: Rounds) -> list[Candidate]:
    """What programs answer, whoever wrote them."""
    return [candidate for number in sorted(rounds) if by_programs(number) for candidate in rounds[number]]


def ordered(rounds: Rounds, rule: str) -> list[Ranked]:
    """Every distinct answer, those that are attempted first: of programs, of the vote, of the base model alone.

    Votes: candidates of all the model's rounds that gave the answer. Score: the vote's; 0 for what it does not rank.
    """
    voted, quick = ranked(rounds, rule), rules.rank(rounds.get(BASE, ()), rule)
    said = Counter(key(candidate.grid) for n, them in rounds.items() if not by_programs(n) for candidate in them)
    scores = {key(answer.grid): answer.score for answer in (*quick, *voted)}
    programs = ensemble.ranked(_computed(rounds))
    first, views = rules.agreement(voted, _voters(rounds))
    every = ensemble.order(programs, _grids(voted), _grids(quick), first / views if views else 0.0)
    return [Ranked(grid, said[key(grid)], scores.get(key(grid), 0.0)) for grid in every]


def attempts(rounds: Rounds, rule: str, placeholders: Attempts) -> Attempts:
    """The two best answers, placeholders where there are fewer."""
    return rules.two_attempts(ordered(rounds, rule), placeholders)


def _grids(answers: Sequence[Ranked]) -> list[Grid]:
    return [answer.grid for answer in answers]


def sources_of(two: Attempts, rounds: Rounds, rule: str) -> tuple[str, str]:
    """Which mind gave each attempt, of `SOURCES`; "" for a placeholder."""
    votes = {key(answer.grid): answer.votes for answer in ordered(rounds, rule)}
    programs = {key(candidate.grid) for candidate in _computed(rounds)}
    first, second = (_source(votes.get(key(grid)), key(grid) in programs) for grid in two)
    return first, second


def _source(votes: int | None, program: bool) -> str:
    """`votes`: of the model's views for an answer, which may also be made up by the vote; None: nobody gave it."""
    if votes is None:
        return ""
    return (BOTH if votes else PROGRAMS_ALONE) if program else MODEL_ALONE


def residual_need(rounds: Rounds, rule: str) -> float:
    """The share of a test's need for more work that programs leave (`ensemble.residual_need`)."""
    return ensemble.residual_need(ensemble.ranked(_computed(rounds)), _grids(ranked(rounds, rule)))


class Ledger:
    """Candidates by task and round. `fallbacks`: two placeholders a test input, for where there is no candidate."""

    def __init__(self, tasks: Sequence[Task], fallbacks: Mapping[str, Sequence[Attempts]], rule: str):
        self._tests = {task.id: len(task.tests) for task in tasks}
        self._fallbacks, self._rule = fallbacks, rule
        self._rounds: dict[str, dict[int, Sequence[Sequence[Candidate]]]] = {i: {} for i in self._tests}

    def add(self, task_id: str, number: int, candidates: Sequence[Sequence[Candidate]]) -> Standing:
        """Keep a round's candidates, one entry a test input, and vote anew. ValueError: another number of entries."""
        if len(candidates) != self._tests[task_id]:
            expected = self._tests[task_id]
            raise ValueError(f"{task_id}: candidates for {len(candidates)} test inputs came, {expected} were expected")
        self._rounds[task_id][number] = candidates
        return self.standing(task_id)

    def standing(self, task_id: str) -> Standing:
        """The best answers so far; placeholders where no candidate is."""
        tests = [self._of_test(task_id, test) for test in range(self._tests[task_id])]
        pairs = zip(tests, self._fallbacks[task_id], strict=True)
        given = tuple(attempts(rounds, self._rule, fallback) for rounds, fallback in pairs)
        sources = [sources_of(two, rounds, self._rule) for two, rounds in zip(given, tests, strict=True)]
        return Standing(
            attempts=given,
            from_model=tuple(sum(source in (MODEL_ALONE, BOTH) for source in two) for two in sources),
            votes=tuple(rules.agreement(ranked(rounds, self._rule), _voters(rounds)) for rounds in tests),
            from_programs=tuple(two.count(PROGRAMS_ALONE) for two in sources),
            residual_needs=tuple(residual_need(rounds, self._rule) for rounds in tests),
        )

    def rounds(self, task_id: str) -> tuple[int, ...]:
        """The rounds that found something for the task, or tried to."""
        return tuple(sorted(self._rounds[task_id]))

    def _of_test(self, task_id: str, test: int) -> Rounds:
        return {number: self._rounds[task_id][number][test] for number in self.rounds(task_id)}
