"""How probable it is that an answer is right: one calibrated probability for whatever models and programs said.

A conditional logit (McFadden 1974): of a test input's distinct answers one is right, or none is; the odds are
exp(coefficients · features). Its coefficients, `judge.json`, were fitted by `python -m solver judge` on runs over
held-out training tasks. As only one answer can be right, the two likeliest are the pair that is right most often.

Law: what speaks for an answer is a feature of at least 0 with a coefficient of at least 0, and an answer that a source
does not give has 0 there; so no evidence for an answer lowers it. As in a vote, what the base model says counts only
where no adapter answered.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solver.types import BASE, PROVEN, BadInput, Candidate, Grid, Program, View, by_programs, key
from solver.voting import ensemble
from solver.voting.limits import OutputLimits

AGAINST = "breaks"  # the one feature that speaks against an answer
FEATURES: Mapping[str, str] = {  # each with its meaning; 0 where a source did not give the answer
    "best_program": "1 if the best of the programs computes it",
    "generalises": "share of demonstrations that its program finds where they are left out of the search",
    "shortness": "by how many tens of steps its program costs less than 16",
    "support": "logarithm of the number of programs that compute it",
    "proven": "1 if it is a placeholder that reproduces the demonstrations",
    "adapters": "logarithm of its mean probability over the adapters' views that answered, in nats above -12",
    "base": "the same over the base model's views, where no adapter answered",
    AGAINST: "1 if it breaks a limit that all demonstrations obey (`limits.py`)",
}
FLOOR = -12.0  # nats: what is less probable than this counts as this probable
DEAREST = 16.0  # steps: what costs more counts as this
TABLE = Path(__file__).with_name("judge.json")


@dataclass(frozen=True)
class Coefficients:
    """What each of `FEATURES` is worth, in nats, and the nats of no answer's being right."""

    coefficients: tuple[float, ...]
    none: float


@dataclass(frozen=True, eq=False)
class Judged:
    """A distinct answer to a test input, and the probability that it is right."""

    grid: Grid
    probability: float


def read_table(path: Path = TABLE) -> Coefficients:
    """A table of coefficients. Raises `BadInput`, in one line, where it is missing, torn or of other features."""
    expected = f"expected a table of {', '.join(FEATURES)} and none, as `python -m solver judge --write` makes it"
    try:
        content = json.loads(path.read_text())
        nats = {str(name): float(worth) for name, worth in content["coefficients"].items()}
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; {expected}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} is torn or no table ({type(error).__name__}); {expected}") from None
    if nats.keys() != {*FEATURES, "none"}:
        differing = ", ".join(sorted(nats.keys() ^ {*FEATURES, "none"}))
        raise BadInput(f"{path} is of other features ({differing}); {expected}")
    if not all(map(math.isfinite, nats.values())):
        raise BadInput(f"{path} has coefficients that are not finite; {expected}")
    return Coefficients(tuple(nats[name] for name in FEATURES), nats["none"])


@cache
def shipped() -> tuple[Coefficients | None, str]:
    """The table beside this file, read once; or None and why it can't be used: the paper's rule counts then."""
    try:
        return read_table(), ""
    except BadInput as error:
        return None, str(error)


def features(
    by_stage: Mapping[int, Sequence[Candidate]], limits: OutputLimits
) -> tuple[list[Grid], NDArray[np.float64]]:
    """A test input's distinct answers in an order of their own, and their features, float64 [answers, features]."""
    programs = ensemble.ranked(c for stage, them in by_stage.items() if by_programs(stage) for c in them)
    computed = {key(candidate.grid): (at, candidate) for at, candidate in enumerate(programs)}
    proven = {key(candidate.grid) for candidate in by_stage.get(PROVEN, ())}
    adapters = _nats_above([(stage, c) for stage, them in by_stage.items() if stage > BASE for c in them])
    base = {} if adapters else _nats_above([(BASE, c) for c in by_stage.get(BASE, ())])
    grids = {key(c.grid): c.grid for them in by_stage.values() for c in them}
    rows = []
    for answer in sorted(grids):
        at, candidate = computed.get(answer, (-1, None))
        rows.append(
            [
                *_of_program(candidate.program if candidate else None, at == 0),
                float(answer in proven),
                adapters.get(answer, 0.0),
                base.get(answer, 0.0),
                float(limits.broken_by(grids[answer])),
            ]
        )
    shape = (len(rows), len(FEATURES))
    return [grids[answer] for answer in sorted(grids)], np.array(rows, dtype=np.float64).reshape(shape)


def _of_program(program: Program | None, best: bool) -> tuple[float, float, float, float]:
    if program is None:
        return 0.0, 0.0, 0.0, 0.0
    shortness = max(0.0, DEAREST - program.cost) / 10.0
    return float(best), program.generalises, shortness, math.log(max(program.support, 1))


def _nats_above(said: Sequence[tuple[int, Candidate]]) -> dict[tuple[int, int, bytes], float]:
    """By answer the logarithm of its mean probability over the views that answered, above `FLOOR`, at least 0.

    `said`: candidates with their stages. What a view says twice counts once.
    """
    best: dict[tuple[int, View, tuple[int, int, bytes]], float] = {}
    for stage, candidate in said:
        place = stage, candidate.view, key(candidate.grid)
        best[place] = max(best.get(place, -math.inf), min(candidate.logprob, 0.0))
    views = len({(stage, view) for stage, view, _ in best})
    chances: dict[tuple[int, int, bytes], list[float]] = {}
    for (*_, answer), nats in best.items():
        chances.setdefault(answer, []).append(math.exp(nats))
    return {a: max(0.0, math.log(max(math.fsum(them) / views, 1e-300)) - FLOOR) for a, them in chances.items()}


def probabilities(worths: NDArray[np.float64], table: Coefficients) -> NDArray[np.float64]:
    """Features, float64 [answers, features], to the probabilities that each answer is right, float64 [answers]."""
    nats = np.append(worths @ np.array(table.coefficients), table.none)
    odds: NDArray[np.float64] = np.exp(nats - nats.max())
    return odds[:-1] / np.float64(math.fsum(odds))


def judged(by_stage: Mapping[int, Sequence[Candidate]], limits: OutputLimits, table: Coefficients) -> list[Judged]:
    """A test input's distinct answers, those that are most probably right first."""
    grids, worths = features(by_stage, limits)
    chances = probabilities(worths, table)
    answers = [Judged(grid, float(chance)) for grid, chance in zip(grids, chances, strict=True)]
    return sorted(answers, key=lambda answer: (-answer.probability, key(answer.grid)))
