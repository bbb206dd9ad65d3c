"""The writer of programs asked with plain texts: a reply ends with its first whole generator."""

from collections.abc import Sequence
from dataclasses import dataclass

from solver.generators.prompts import SYSTEM, is_whole
from solver.induction.forms import Question
from solver.induction.writer import VllmWriter
from solver.interfaces import Stop


@dataclass(frozen=True, eq=False)
class AskedWithTexts:
    """A `write.GeneratorWriter`, by the one that asks for programs."""

    writer: VllmWriter

    def tokens(self, question: str) -> Sequence[int]:
        return self.writer.tokens(Question(SYSTEM, (question,)))

    def write(self, questions: Sequence[str], seed: int, stop: Stop) -> list[str | None]:
        asked = [Question(SYSTEM, (question,)) for question in questions]
        return [None if c is None else c.text for c in self.writer.write(asked, seed, stop, is_whole)]
