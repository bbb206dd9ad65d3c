"""Programs that reproduce every demonstration beside the model's vote, over one test input: who gives what.

By every rule but the judge's, that is; which programs are trusted, and how much a task needs more work, are as by all.
The two solve different tasks (arXiv 2411.07279 has their union as its best figure), so where they disagree the best of
each gets an attempt; README.md has the order. Law: programs are ranked among programs alone, and add no vote to what
the model said.
"""

from collections.abc import Iterable, Sequence

from solver.types import Candidate, Grid, Program, key, same, worth

TRUSTED_COST = 12.0  # steps: a program so short is trusted although it is right on no demonstration left out; of those
# that are not trusted 4 of 18 were right on all ARC-AGI-1 training tasks, at 10 s each
ANSWERS_KEPT = 8  # of a task's programs, distinct ones: two are attempted, the others are for the record's readers
SURE = 0.75  # of the views are behind a vote that comes before the second program: `1 - Config.disagreement_threshold`
TRUSTED = 0.5  # of a task's need is left where a trusted program answers beside the vote; not tuned
AGREED = 0.0  # the same where the vote, which knows nothing of it, begins with the program's answer
QUICK = 0.4  # of what views agree on counts, as long as only the base model said it: it is seldom right; not tuned


def trusted(program: Program | None) -> bool:
    """Whether its answer gets the first attempt: it generalises to a demonstration left out, or it is short."""
    return program is not None and (program.generalises > 0 or program.cost <= TRUSTED_COST)


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Programs' distinct answers to a test input, each with its best program, by `types.worth`, then by support."""
    placed = [
        ((worth(p.cost, p.generalises), -p.support, p.text, key(candidate.grid)), candidate)
        for candidate in candidates
        if (p := candidate.program) is not None
    ]
    first: dict[tuple[int, int, bytes], Candidate] = {}
    for (*_, grid), candidate in sorted(placed, key=lambda one: one[0]):
        first.setdefault(grid, candidate)
    return list(first.values())


def order(
    programs: Sequence[Candidate], voted: Sequence[Grid], quick: Sequence[Grid], agreement: float = 1.0
) -> list[Grid]:
    """All distinct answers to a test input, those that are attempted first.

    `programs`: as `ranked` has them. `voted`: the vote's answers, best first, and `agreement` the share of the views
    behind the first. `quick`: the base model's.
    """
    others = [c.grid for c in programs]
    first = [*voted[:1], *others[:1]]
    if programs and trusted(programs[0].program):
        first = others[: 1 if agreement >= SURE else 2]
    grids: dict[tuple[int, int, bytes], Grid] = {}
    for grid in (*first, *voted, *others, *quick):
        grids.setdefault(key(grid), grid)
    return list(grids.values())


def need(programs: Sequence[Candidate], voted: Sequence[Grid], agreement: float, adapted: bool) -> float:
    """How much a test input needs more work: 0 where programs and vote agree, 1 where nothing is known.

    `programs`, `voted`, `agreement`: as in `order`. `adapted`: whether a stage of adapters answered, not the base
    model's quick views alone.
    """
    split = 1.0 - agreement * (1.0 if adapted else QUICK)
    if not programs or not trusted(programs[0].program):
        return split
    return split * (AGREED if voted and same(voted[0], programs[0].grid) else TRUSTED)
