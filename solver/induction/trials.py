"""The programs of a task: run in the sandbox, those that fit every demonstration kept, and why the others do not."""

from collections import Counter
from collections.abc import Iterable, Sequence

from solver.induction.repair import NearMiss, near_miss
from solver.induction.replies import Completion, program_in
from solver.induction.sandbox.sandbox import Outcome, Sandbox
from solver.interfaces import Stop
from solver.types import Candidate, Grid, Program, Task, View, key
from solver.voting.ensemble import ANSWERS_KEPT, TRUSTED_COST

COST = TRUSTED_COST  # steps
GENERALISES = 0.0  # nothing is known of it: the model saw every demonstration
LONGEST_PROGRAM = 4000  # characters of a program in the record


class ProgramTrials:
    """What came of a task's programs so far.

    `programs`: each with how many replies held it. `fitting`: those that reproduce every demonstration, each with its
    outcomes on the test inputs. `misses`: the others, as far as they were run.
    """

    def __init__(self, task: Task, sandbox: Sandbox):
        self.task, self.sandbox = task, sandbox
        self.programs = Counter[str]()
        self.fitting: dict[str, tuple[Outcome, ...]] = {}
        self.misses: dict[str, NearMiss] = {}

    def run(self, completions: Iterable[Completion], stop: Stop) -> Counter[str]:
        """Run the programs in these before `stop`, each once; how many replies held which."""
        held = Counter(program for c in completions if (program := program_in(c.text)) is not None)
        self.programs += held
        demonstrations = self.task.demonstrations
        for source in held:
            if stop.remaining() <= 0:
                break
            if source in self.fitting or source in self.misses:
                continue
            outcomes = self.sandbox.run(source, [*(pair.input for pair in demonstrations), *self.task.tests], stop)
            if miss := near_miss(self.task, source, held[source], outcomes):
                self.misses[source] = miss
            else:
                self.fitting[source] = outcomes[len(demonstrations) :]
        return held

    def reasons(self) -> Counter[str]:
        """Why programs do not fit, each reason with how many replies held such a program."""
        reasons = Counter[str]()
        for source, miss in self.misses.items():
            reasons[miss.reason] += self.programs[source]
        return reasons

    def candidates(self) -> tuple[tuple[Candidate, ...], ...]:
        """The answers of the fitting programs to each test input."""
        return tuple(
            _candidates([(source, self.programs[source], outcomes[test]) for source, outcomes in self.fitting.items()])
            for test in range(len(self.task.tests))
        )


def _candidates(outcomes: Sequence[tuple[str, int, Outcome]]) -> tuple[Candidate, ...]:
    """The distinct grids of (program, replies that held it, its outcome on one test input).

    Those of the most replies are first, then those of the shortest program, which stands for all that gave the grid.
    """
    grids, shortest = dict[tuple[int, int, bytes], Grid](), dict[tuple[int, int, bytes], str]()
    support = Counter[tuple[int, int, bytes]]()
    for source, replies, outcome in outcomes:
        if outcome.grid is not None:
            answer = key(outcome.grid)
            grids[answer] = outcome.grid
            support[answer] += replies
            shortest[answer] = min(shortest.get(answer, source), source, key=lambda text: (len(text), text))
    best = sorted(grids, key=lambda answer: (-support[answer], len(shortest[answer]), answer))[:ANSWERS_KEPT]
    programs = (Program(shortest[a].strip()[:LONGEST_PROGRAM], COST, GENERALISES, support[a]) for a in best)
    return tuple(Candidate(grids[a], View(), 0.0, program=program) for a, program in zip(best, programs, strict=True))
