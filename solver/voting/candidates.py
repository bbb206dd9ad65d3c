"""What is known of every task over all stages: its candidates, and the best answers they make.

Laws: a vote is over the pooled candidates of all stages in which adapters are trained (also those that the base model
gave there because an adapter failed), so a later one replaces an answer only on better evidence; what the base model
said in its own stage votes only where these said nothing (the paper votes over trained models' answers alone), and
fills an attempt that is left. The judge, where it is the rule, weighs all of it at once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from solver.types import BASE, PROVEN, Attempts, Candidate, Standing, Task, by_programs, key
from solver.voting import ensemble, judge, rules
from solver.voting.limits import UNLIMITED, OutputLimits, limits
from solver.voting.rules import Ranked

ByStage: TypeAlias = Mapping[int, Sequence[Candidate]]
"""One test input's candidates by stage."""

BOTH, MODEL_ALONE, PROGRAMS_ALONE = "both", "model", "programs"
SOURCES = (BOTH, MODEL_ALONE, PROGRAMS_ALONE)  # whose candidates count


def from_source(by_stage: ByStage, whose: str) -> ByStage:
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


def ordered(by_stage: ByStage, rule: str, proven: OutputLimits = UNLIMITED) -> list[Ranked]:
    """Every distinct answer, those that are attempted first: by the judge, or by who comes first (`ensemble.order`).

    `proven`: what the demonstrations prove of the output; the judge alone looks at it. Votes: candidates of all the
    model's stages that gave the answer. Score: the judge's probability; or the vote's, 0 for what it does not rank.
    """
    model = from_source(by_stage, MODEL_ALONE)
    votes = Counter(key(candidate.grid) for candidates in model.values() for candidate in candidates)
    table, _ = judge.shipped()
    if rule == rules.JUDGE and table is not None:
        answers = judge.judged(by_stage, proven, table)
        return [Ranked(answer.grid, votes[key(answer.grid)], answer.probability) for answer in answers]
    voted, quick = ranked(by_stage, rule), rules.rank(by_stage.get(BASE, ()), rule)
    scores = {key(answer.grid): answer.score for answer in (*quick, *voted)}
    every = ensemble.order(
        ensemble.ranked(_computed(by_stage)),
        [answer.grid for answer in voted],
        [answer.grid for answer in quick],
        _share(*rules.agreement(voted, _voters(by_stage))),
    )
    return [Ranked(grid, votes[key(grid)], scores.get(key(grid), 0.0)) for grid in every]


def _share(first: int, views: int) -> float:
    return first / views if views else 0.0


def attempts(by_stage: ByStage, rule: str, placeholders: Attempts, proven: OutputLimits = UNLIMITED) -> Attempts:
    """The two best answers, placeholders where there are fewer."""
    return rules.two_attempts(ordered(by_stage, rule, proven), placeholders)


def sources_of(two: Attempts, by_stage: ByStage, rule: str) -> tuple[str, str]:
    """Which source gave each attempt, of `SOURCES`; "" for a placeholder."""
    return _sources(two, by_stage, ordered(by_stage, rule))


def _sources(two: Attempts, by_stage: ByStage, answers: Sequence[Ranked]) -> tuple[str, str]:
    """The same where the `answers` to the test input are known."""
    votes = {key(answer.grid): answer.votes for answer in answers}
    programs = {key(candidate.grid) for candidate in _computed(by_stage)}

    def source(answer: tuple[int, int, bytes]) -> str:
        if answer not in votes:
            return ""
        if answer not in programs:
            return MODEL_ALONE  # also what the vote made up, for which there is no view
        return BOTH if votes[answer] else PROGRAMS_ALONE

    return source(key(two[0])), source(key(two[1]))


class Ledger:
    """Candidates by task and stage. `fallbacks`: two placeholders a test input, for where there is no candidate.

    `proven`: by task, the placeholders that count as programs: they are known before any stage is run.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        fallbacks: Mapping[str, Sequence[Attempts]],
        rule: str,
        proven: Mapping[str, Sequence[Sequence[Candidate]]] = MappingProxyType({}),
    ):
        self._tests = {task.id: len(task.tests) for task in tasks}
        self._fallbacks, self._rule = fallbacks, rule
        self._limits = {task.id: [limits(task.demonstrations, test) for test in task.tests] for task in tasks}
        self._by_stage: dict[str, dict[int, Sequence[Sequence[Candidate]]]] = {i: {} for i in self._tests}
        for task_id, candidates in proven.items():
            self._by_stage[task_id][PROVEN] = candidates

    def add(self, task_id: str, number: int, candidates: Sequence[Sequence[Candidate]]) -> Standing:
        """Keep a stage's candidates, one entry a test input, and vote anew. ValueError: another number of entries."""
        if len(candidates) != self._tests[task_id]:
            expected = self._tests[task_id]
            raise ValueError(f"{task_id}: candidates for {len(candidates)} test inputs came, {expected} were expected")
        self._by_stage[task_id][number] = candidates
        return self.standing(task_id)

    def standing(self, task_id: str) -> Standing:
        """The best answers so far; placeholders where no candidate is."""
        given, votes, sources, needs = [], [], [], []
        for test, fallback in enumerate(self._fallbacks[task_id]):
            by_stage = {number: of_tests[test] for number, of_tests in self._by_stage[task_id].items()}
            voted, voters = ranked(by_stage, self._rule), _voters(by_stage)
            votes.append(rules.agreement(voted, voters))
            programs, adapted = ensemble.ranked(_computed(by_stage)), any(number > BASE for number, _ in voters)
            needs.append(ensemble.need(programs, [answer.grid for answer in voted], _share(*votes[-1]), adapted))
            answers = ordered(by_stage, self._rule, self._limits[task_id][test])
            given.append(rules.two_attempts(answers, fallback))
            sources.append(_sources(given[-1], by_stage, answers))
        return Standing(
            attempts=tuple(given),
            from_model=tuple(two.count(MODEL_ALONE) + two.count(BOTH) for two in sources),
            votes=tuple(votes),
            from_programs=tuple(two.count(PROGRAMS_ALONE) for two in sources),
            needs=tuple(needs),
        )

    def stages(self, task_id: str) -> tuple[int, ...]:
        """The stages that found something for the task, or tried to."""
        return tuple(sorted(self._by_stage[task_id].keys() - {PROVEN}))
