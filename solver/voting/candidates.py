"""What is known of every task over all stages: its candidates, and the best answers they make.

Knows nothing of models, files or time. Laws: the vote is over the pooled candidates of all stages in which adapters are
trained (also those that the base model gave there because an adapter failed), so a later one replaces an answer only on
better evidence; what the base model said in its own stage counts only where these said nothing, and fills an attempt
that is left (the paper votes over trained models' answers alone); programs do not vote,
`ensemble` says which attempt is theirs; a stage recorded twice counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from solver.types import BASE, Attempts, Candidate, Grid, Standing, Task, by_programs, key
from solver.voting import ensemble, rules
from solver.voting.rules import Ranked

ByStage: TypeAlias = Mapping[int, Sequence[Candidate]]
"""One test input's candidates by stage."""


BOTH, MODEL_ALONE, PROGRAMS_ALONE = "both", "model", "programs"
SOURCES = (BOTH, MODEL_ALONE, PROGRAMS_ALONE)  # whose candidates count


def from_source(by_stage: ByStage, whose: str = BOTH) -> ByStage:
    """The stages of those sources alone, of `SOURCES`."""
    return {n: them for n, them in by_stage.items() if whose == BOTH or by_programs(n) == (whose == PROGRAMS_ALONE)}


def ranked(by_stage: ByStage, rule: str) -> list[Ranked]:
    """The vote's distinct answers, best first: the adapters' or, where they gave none, the base model's."""
    return rules.rank([candidate for _, candidate in _voters(by_stage)], rule)


def _voters(by_stage: ByStage) -> list[tuple[int, Candidate]]:
    """The candidates that are voted on, each with its stage."""
    adapted = [(number, candidate) for number in sorted(by_stage) if number > BASE for candidate in by_stage[number]]
    return adapted or [(BASE, candidate) for candidate in by_stage.get(BASE, ())]


def _computed(by_stage: ByStage) -> list[Candidate]:
    """What programs answer, whoever wrote them."""
    return [candidate for number in sorted(by_stage) if by_programs(number) for candidate in by_stage[number]]


def ordered(by_stage: ByStage, rule: str) -> list[Ranked]:
    """Every distinct answer, those that are attempted first: of programs, of the vote, of the base model alone.

    Votes: candidates of all the model's stages that gave the answer. Score: the vote's; 0 for what it does not rank.
    """
    voted, quick = ranked(by_stage, rule), rules.rank(by_stage.get(BASE, ()), rule)
    said = Counter(key(candidate.grid) for n, them in by_stage.items() if not by_programs(n) for candidate in them)
    scores = {key(answer.grid): answer.score for answer in (*quick, *voted)}
    programs = ensemble.ranked(_computed(by_stage))
    first, views = rules.agreement(voted, _voters(by_stage))
    every = ensemble.order(programs, _grids(voted), _grids(quick), first / views if views else 0.0)
    return [Ranked(grid, said[key(grid)], scores.get(key(grid), 0.0)) for grid in every]


def attempts(by_stage: ByStage, rule: str, placeholders: Attempts) -> Attempts:
    """The two best answers, placeholders where there are fewer."""
    return rules.two_attempts(ordered(by_stage, rule), placeholders)


def _grids(answers: Sequence[Ranked]) -> list[Grid]:
    return [answer.grid for answer in answers]


def sources_of(two: Attempts, by_stage: ByStage, rule: str) -> tuple[str, str]:
    """Which source gave each attempt, of `SOURCES`; "" for a placeholder."""
    votes = {key(answer.grid): answer.votes for answer in ordered(by_stage, rule)}
    programs = {key(candidate.grid) for candidate in _computed(by_stage)}
    first, second = (_source(votes.get(key(grid)), key(grid) in programs) for grid in two)
    return first, second


def _source(votes: int | None, program: bool) -> str:
    """`votes`: of the model's views for an answer, which may also be made up by the vote; None: nobody gave it."""
    if votes is None:
        return ""
    return (BOTH if votes else PROGRAMS_ALONE) if program else MODEL_ALONE


def residual_need(by_stage: ByStage, rule: str) -> float:
    """The share of a test's need for more work that programs leave (`ensemble.residual_need`)."""
    return ensemble.residual_need(ensemble.ranked(_computed(by_stage)), _grids(ranked(by_stage, rule)))


class Ledger:
    """Candidates by task and stage. `fallbacks`: two placeholders a test input, for where there is no candidate."""

    def __init__(self, tasks: Sequence[Task], fallbacks: Mapping[str, Sequence[Attempts]], rule: str):
        self._tests = {task.id: len(task.tests) for task in tasks}
        self._fallbacks, self._rule = fallbacks, rule
        self._by_stage: dict[str, dict[int, Sequence[Sequence[Candidate]]]] = {i: {} for i in self._tests}

    def add(self, task_id: str, number: int, candidates: Sequence[Sequence[Candidate]]) -> Standing:
        """Keep a stage's candidates, one entry a test input, and vote anew. ValueError: another number of entries."""
        if len(candidates) != self._tests[task_id]:
            expected = self._tests[task_id]
            raise ValueError(f"{task_id}: candidates for {len(candidates)} test inputs came, {expected} were expected")
        self._by_stage[task_id][number] = candidates
        return self.standing(task_id)

    def standing(self, task_id: str) -> Standing:
        """The best answers so far; placeholders where no candidate is."""
        tests = [self._of_test(task_id, test) for test in range(self._tests[task_id])]
        pairs = zip(tests, self._fallbacks[task_id], strict=True)
        given = tuple(attempts(by_stage, self._rule, fallback) for by_stage, fallback in pairs)
        sources = [sources_of(two, by_stage, self._rule) for two, by_stage in zip(given, tests, strict=True)]
        return Standing(
            attempts=given,
            from_model=tuple(sum(source in (MODEL_ALONE, BOTH) for source in two) for two in sources),
            votes=tuple(rules.agreement(ranked(by_stage, self._rule), _voters(by_stage)) for by_stage in tests),
            from_programs=tuple(two.count(PROGRAMS_ALONE) for two in sources),
            residual_needs=tuple(residual_need(by_stage, self._rule) for by_stage in tests),
        )

    def stages(self, task_id: str) -> tuple[int, ...]:
        """The stages that found something for the task, or tried to."""
        return tuple(sorted(self._by_stage[task_id]))

    def _of_test(self, task_id: str, test: int) -> ByStage:
        return {number: self._by_stage[task_id][number][test] for number in self.stages(task_id)}
