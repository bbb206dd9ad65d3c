"""A writer that says given texts, and replies that hold generators: right ones, and one for each filter that stops it.

`REPLIES`: the filter (empty: kept) → the reply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from solver.generators import filters
from solver.induction.forms import Question
from solver.induction.replies import Completion
from solver.interfaces import Stop


def reply(source: str, description: str = "Something moves.") -> str:
    return f"Description: {description}\n```python\n{source}```\n"


TRANSPOSED = """def generate(rng, diff_lb, diff_ub):
    h, w = unifint(rng, diff_lb, diff_ub, (3, 9)), unifint(rng, diff_lb, diff_ub, (10, 19))
    gi = paint(canvas(0, (h, w)), {(rng.randint(1, 9), ij) for ij in asindices(canvas(0, (h, w)))})
    return {"input": gi, "output": dmirror(gi)}
"""
RECOLOURED = TRANSPOSED.replace("dmirror(gi)", "tuple(tuple((c + 1) % 10 for c in row) for row in gi)")
REPLIES = {
    "": reply(TRANSPOSED, "The grid is mirrored at its main diagonal."),
    filters.HOLDING: "Description: I would rather not.\n```python\nprint(1)\n```",
    filters.PARSED: reply("def generate(rng, diff_lb, diff_ub:\n"),
    filters.RAN: reply("def generate(rng, diff_lb, diff_ub):\n    return mirrored_twice(rng)\n"),
    filters.GRIDS: reply("def generate(rng, diff_lb, diff_ub):\n    return 'gi', 'go'\n"),
    filters.DISTINCT: reply("def generate(rng, diff_lb, diff_ub):\n    return [[rng.randint(0, 1)]], [[2]]\n"),
    filters.FUNCTION: reply(TRANSPOSED.replace("dmirror(gi)", "canvas(rng.randint(1, 9), (h, w))")),
    filters.IDENTITY: reply(TRANSPOSED.replace("dmirror(gi)", "gi")),
    filters.CONSTANT: reply(TRANSPOSED.replace("dmirror(gi)", "canvas(3, (3, 3))")),
    filters.EVALUATION: reply("""def generate(rng, diff_lb, diff_ub):
    gi = canvas(rng.randint(1, 9), (rng.randint(4, 20), rng.randint(4, 9)))
    return gi, fill(canvas(0, (4, 4)), gi[0][0], {(0, 0), (1, 2)})
"""),
    filters.NEW: reply(f"# the same once more\n{TRANSPOSED}"),
}


EVALUATED = np.zeros((4, 4), np.uint8)  # the grid that one of them gives, as if it were of an evaluation set
EVALUATED[0, 0] = EVALUATED[1, 2] = 5


@dataclass
class FakeWriter:
    """Says its texts to the questions, one after the other and over and over; `spend` is called before each batch."""

    texts: Sequence[str | None]
    questions: list[list[str]] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    spend: Callable[[], object] = lambda: None
    said: int = 0

    def write(self, questions: Sequence[str], seed: int, stop: Stop) -> list[str | None]:
        self.spend()
        self.questions.append(list(questions))
        self.seeds.append(seed)
        start, self.said = self.said, self.said + len(questions)
        return [self.texts[(start + place) % len(self.texts)] for place in range(len(questions))]

    def tokens(self, question: str) -> list[int]:
        return [0] * (len(question) // 3)


@dataclass
class FakeVllmWriter:
    """In the place of `induction.writer.VllmWriter`: says what `texts` does."""

    texts: FakeWriter

    def write(self, questions: Sequence[Question], seed: int, stop: Stop, whole: object) -> list[Completion | None]:
        replies = self.texts.write([question.turns[0] for question in questions], seed, stop)
        return [None if reply is None else Completion(reply) for reply in replies]

    def tokens(self, question: Question) -> list[int]:
        return self.texts.tokens(question.turns[0])
