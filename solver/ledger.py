"""What is known of every task over all rounds: its candidates, and the best answers they vote for.

Knows nothing of models, files or time. Laws: answers come from the pooled candidates of all rounds with adapters, so a
later one replaces an answer only on better evidence; what the base model said counts only where no adapter said
anything, and fills an attempt that is left (the paper votes over trained models' answers alone); a round recorded twice
counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from solver import vote
from solver.core import BASE, Attempts, Candidate, Standing, Task, key
from solver.vote import Ranked

Rounds: TypeAlias = Mapping[int, Sequence[Candidate]]
"""One test input's candidates by round."""


def ranked(rounds: Rounds, rule: str) -> list[Ranked]:
    """Distinct answers, best first: the adapters' or, where they gave none, the base model's."""
    adapted = [candidate for number in sorted(rounds) if number != BASE for candidate in rounds[number]]
    return vote.rank(adapted or rounds.get(BASE, ()), rule)


def ordered(rounds: Rounds, rule: str) -> list[Ranked]:
    """`ranked`, and after it what the base model alone said. Votes: candidates of all rounds that gave the answer."""
    first = ranked(rounds, rule)
    known = {key(answer.grid) for answer in first}
    every = first + [a for a in vote.rank(rounds.get(BASE, ()), rule) if key(a.grid) not in known]
    said = Counter(key(candidate.grid) for them in rounds.values() for candidate in them)
    return [replace(answer, votes=said[key(answer.grid)]) for answer in every]


def attempts(rounds: Rounds, rule: str, placeholders: Attempts) -> Attempts:
    """The two best answers; those of the base model, then placeholders, fill what is left."""
    quick = vote.two_attempts(vote.rank(rounds.get(BASE, ()), rule), placeholders)
    return vote.two_attempts(ranked(rounds, rule), quick)


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
        return Standing(
            attempts=tuple(attempts(rounds, self._rule, fallback) for rounds, fallback in pairs),
            from_model=tuple(min(2, len({key(c.grid) for them in t.values() for c in them})) for t in tests),
            votes=tuple(vote.agreement(ranked(rounds, self._rule)) for rounds in tests),
        )

    def rounds(self, task_id: str) -> tuple[int, ...]:
        """The rounds that found something for the task, or tried to."""
        return tuple(sorted(self._rounds[task_id]))

    def _of_test(self, task_id: str, test: int) -> Rounds:
        return {number: self._rounds[task_id][number][test] for number in self.rounds(task_id)}
