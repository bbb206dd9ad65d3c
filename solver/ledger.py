"""What is known of every task over all rounds: its candidates, and the best answers they vote for.

Knows nothing of models, files or time. Laws: answers come from the pooled candidates of all rounds, so a later round
replaces an answer only on better evidence; a round recorded twice counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from solver import vote
from solver.core import Attempts, Candidate, Standing, Task


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
        ranked = [vote.rank(list(self._pooled(task_id, test)), self._rule) for test in range(self._tests[task_id])]
        pairs = zip(ranked, self._fallbacks[task_id], strict=True)
        return Standing(
            attempts=tuple(vote.two_attempts(r, f) for r, f in pairs),
            from_model=tuple(min(2, len(r)) for r in ranked),
            votes=tuple(vote.agreement(r) for r in ranked),
        )

    def rounds(self, task_id: str) -> tuple[int, ...]:
        """The rounds that found something for the task, or tried to."""
        return tuple(sorted(self._rounds[task_id]))

    def _pooled(self, task_id: str, test: int) -> Iterator[Candidate]:
        for number in self.rounds(task_id):
            yield from self._rounds[task_id][number][test]
