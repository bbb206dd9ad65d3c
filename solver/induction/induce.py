"""Candidates from programs that a code model writes: sampled, run in the sandbox, kept if they fit every demonstration.

Laws: an answer comes only from a program whose outputs equal every demonstration's, cell by cell, compared here and not
in the program's process; with the same replies, and time to run the programs in them, the candidates are the same.
Programs never see an output of any kind.

Where no program fits, the nearest misses are asked for once more (`repair`), as far as the settings and the time allow.

What a candidate is worth was reasoned, not measured: each costs as much as the dearest searched program that is trusted
without generalising, so that it is trusted, and stands behind searched programs that are surer and before the others.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from solver.clock import Deadline, now
from solver.config.settings import InductionSettings
from solver.induction.forms import Question, form_of, questions
from solver.induction.repair import repair_question
from solver.induction.replies import Completion
from solver.induction.sandbox.sandbox import Limits, Sandbox
from solver.induction.trials import ProgramTrials
from solver.interfaces import Stop
from solver.types import INDUCTION, Task, TaskResult, seed_for

PURPOSE, REPAIR = "induction", "repair"  # of samples
WRITING = 0.75  # of a task's seconds may go by while replies are written: the programs in them are yet to be run
BEFORE_REPAIRS = 0.5  # the same where programs may be repaired afterwards
REPAIRING = 0.7  # the same of what is left then, for repairs to be written
REASONS = 3  # why programs did not fit: so many are told, the commonest


def sandbox_of(settings: InductionSettings) -> Sandbox:
    """The place to run programs in, with the limits asked for. Raises `BadInput` where there is none."""
    return Sandbox(Limits(wall=settings.seconds, memory=settings.memory), unsafe=settings.unsafe)


class Writer(Protocol):
    """Answers questions with text; a `writer.VllmWriter` is one."""

    def room(self, question: Question) -> int:
        """Tokens of the context that a question leaves for a reply, 0 or less where it fills it."""
        ...

    def write(self, questions: Sequence[Question], seed: int, stop: Stop) -> list[Completion | None]:
        """One sampled completion a question, in order, also to equal questions; None where there is no time for it."""
        ...


def induce(
    task: Task, writer: Writer, sandbox: Sandbox, settings: InductionSettings, seed: int, stop: Deadline
) -> TaskResult:
    """Ask for programs, in turn for each test input; run them before `stop`; keep what the fitting ones answer.

    The notes say of how many replies a program was run and fitted, why the others did not, the commonest reasons, and
    what was left out: replies that would not have ended in time, demonstrations that the context has no room for.
    """
    started, form = now(), form_of(settings)
    asked, left_out = questions(task, form, writer)
    if not asked:
        room = "programs: none asked for, as the model's context has no room for one demonstration and a reply"
        return TaskResult(task.id, INDUCTION, ((),) * len(task.tests), notes=(room,))
    repairs = settings.repairs if form.repairs else 0
    shown_first = sorted(task.demonstrations, key=lambda pair: pair in left_out)  # as the question numbers them
    trials = ProgramTrials(replace(task, demonstrations=tuple(shown_first)), sandbox)
    until = stop.within((BEFORE_REPAIRS if repairs else WRITING) * stop.remaining())
    wanted = [asked[i % len(asked)] for i in range(settings.samples)]
    replies = writer.write(wanted, seed_for(seed, task.id, PURPOSE), until)
    of_replies = _told_of_replies(replies, now() - started, len(left_out))
    held = trials.run([reply for reply in replies if reply is not None], stop)
    notes = [_counts("programs", replies, held, trials), *of_replies]
    notes += [f"{count} x {reason}" for reason, count in trials.reasons().most_common(REASONS)]
    if repairs and trials.misses and not trials.fitting:
        nearest = sorted(trials.misses.values(), key=lambda miss: miss.rank)[:repairs]
        again = [repair_question(asked[0], miss, len(task.demonstrations), len(left_out)) for miss in nearest]
        until = stop.within(REPAIRING * stop.remaining())
        replies = writer.write(again, seed_for(seed, task.id, REPAIR), until)
        held = trials.run([reply for reply in replies if reply is not None], stop)
        notes.append(_counts("repairs", replies, held, trials))
    seconds = {"induction": now() - started}
    return TaskResult(task.id, INDUCTION, trials.candidates(), seconds=seconds, notes=tuple(notes))


def _counts(name: str, replies: Sequence[Completion | None], held: Counter[str], trials: ProgramTrials) -> str:
    """What came of replies that hold these programs, in words."""
    right = sum(count for source, count in held.items() if source in trials.fitting)
    run = right + sum(count for source, count in held.items() if source in trials.misses)
    written = sum(reply is not None for reply in replies)
    return (
        f"{name}: {len(replies)} asked for, {written} written, {held.total()} with a program, {run} run, "
        f"{right} reproduce every demonstration"
    )


def _told_of_replies(replies: Sequence[Completion | None], seconds: float, without: int) -> list[str]:
    """What is missing of the replies and their questions, and how fast they were written, in words; often nothing."""
    written = [reply for reply in replies if reply is not None]
    cut, tokens = sum(not reply.ended for reply in written), sum(reply.tokens for reply in written)
    parts = {
        f"{len(replies) - len(written)} not begun, as they would not have ended in time": len(replies) > len(written),
        f"{cut} cut off": cut,
        f"{tokens} tokens in {seconds:.1f} s": tokens,
        f"{without} demonstrations left out of the question, as they do not fit the context": without,
    }
    told = [part for part, say in parts.items() if say]
    return [f"replies: {', '.join(told)}"] if told else []
