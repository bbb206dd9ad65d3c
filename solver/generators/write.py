"""Generators from a language model, a batch of replies at a time: asked for, taken from the replies, run, filtered.

Laws: with the same replies, and time to run what is in them, the same generators are kept; what a written program does
concerns that program alone. Source: arXiv 2411.07279 (version 1, section 5.1).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from solver.clock import Deadline
from solver.generators import prompts
from solver.generators.examples import HEADER, ShownGenerator
from solver.generators.filters import DESCRIBED, HOLDING, RAN, REPLIED, Filters, Verdict
from solver.induction.sandbox.sandbox import DrawnPair, Sandbox
from solver.interfaces import Stop
from solver.types import BadInput, seed_for

PURPOSE = "generators"
WRITING = 0.9  # of the seconds may go by while replies are written: what is in the last ones is yet to be run


class GeneratorWriter(Protocol):
    """A language model in its engine; a `texts.AskedWithTexts` is one."""

    def write(self, questions: Sequence[str], seed: int, stop: Stop) -> list[str | None]:
        """One sampled reply a question, in order, also to equal questions; None where `stop` came first."""
        ...

    def tokens(self, question: str) -> Sequence[int]:
        """The question as the model reads it."""
        ...


@dataclass(frozen=True)
class GeneratorPlan:
    """What is asked for.

    `samples`: generators at most. `way`: one of `prompts.WAYS`. `batch`: so many are asked for at once. `shots`: so
    many of the examples are shown in full. `calls`: of each generator.
    """

    samples: int
    way: str
    seed: int
    batch: int
    shots: int
    calls: int


@dataclass(frozen=True, eq=False)
class WrittenGenerator:
    """One that was asked for: what came, as far as anything did, and what became of it."""

    description: str
    source: str
    verdict: Verdict


@dataclass(eq=False)
class GeneratorSearch:
    """One run: `prepare` it, then take its `batches`."""

    plan: GeneratorPlan
    examples: Sequence[ShownGenerator]
    sandbox: Sandbox
    filters: Filters

    def prepare(self) -> None:
        """Run what is shown, so that copies of it are known. Raises `BadInput` where one of it does not run here."""
        for example in self.examples:
            draws, _ = self._draw(example.source)
            pairs = [draw.pair for draw in draws if draw.pair is not None]
            if not pairs:
                came = f"RE-ARC's own generator of {example.task_id} does not run in the sandbox ({draws[0].reason})"
                raise BadInput(f"{came}; expected it to; check that reasoning-gym is 0.1.25, and the machine's memory")
            self.filters.add(pairs)

    def batches(self, writer: GeneratorWriter, stop: Deadline) -> Iterator[list[WrittenGenerator]]:
        """Batches of generators until so many as planned were asked for, or `stop` came."""
        writing = stop.within(WRITING * stop.remaining())
        for start in range(0, self.plan.samples, self.plan.batch):
            if writing.remaining() <= 0:
                return
            count = min(self.plan.batch, self.plan.samples - start)
            yield [self._examine(d, reply, stop) for d, reply in self._write(writer, start, count, writing)]

    def _write(self, writer: GeneratorWriter, start: int, count: int, stop: Stop) -> list[tuple[str, str | None]]:
        """(description, reply) of each generator from number `start` on; no reply where time ended or none was asked.

        The examples are the batch's own, in an order of its own.
        """
        rng = Random(seed_for(self.plan.seed, str(start), f"{PURPOSE}: examples"))
        order = rng.sample(list(self.examples), len(self.examples))
        shown = order[: self.plan.shots]
        seed = seed_for(self.plan.seed, str(start), PURPOSE)
        if self.plan.way == prompts.JOINT:
            replies = writer.write([prompts.joint_question(shown)] * count, seed, stop)
            return [(prompts.description_in(reply or ""), reply) for reply in replies]
        described = writer.write([prompts.description_question(order)] * count, seed, stop)
        descriptions = [prompts.description_alone(text or "") for text in described]
        questions = [prompts.generator_question(shown, description) for description in descriptions if description]
        second = seed_for(self.plan.seed, str(start), f"{PURPOSE}: second step")
        replies_in_order = iter(writer.write(questions, second, stop))
        return [(description, next(replies_in_order) if description else None) for description in descriptions]

    def _examine(self, description: str, reply: str | None, stop: Stop) -> WrittenGenerator:
        if self.plan.way == prompts.TWO_STEP and not description:
            return WrittenGenerator("", "", Verdict(DESCRIBED, "no line that begins with Description:, or no time"))
        if reply is None:
            return WrittenGenerator(description, "", Verdict(REPLIED, "its seconds ended, or the question is too long"))
        source = prompts.generator_in(reply)
        if not source:
            return WrittenGenerator(description, reply, Verdict(HOLDING, "the reply defines no function generate"))
        if stop.remaining() <= 0:
            return WrittenGenerator(description, source, Verdict(RAN, "the run's seconds ended before it was called"))
        verdict = self.filters.judge(*self._draw(source, stop))
        self.filters.add(verdict.pairs)
        return WrittenGenerator(description, source, verdict)

    def _draw(self, source: str, stop: Stop | None = None) -> tuple[tuple[DrawnPair, ...], tuple[DrawnPair, ...]]:
        """What a generator draws, and the twins, with the seeds that all of the run's are called with."""
        first = seed_for(self.plan.seed, "", f"{PURPOSE}: pairs")
        return self.sandbox.draw(HEADER + source, range(first, first + self.plan.calls), stop)
