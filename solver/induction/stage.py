"""One task in the code model's stage of the run: what its programs answer becomes candidates.

Knows neither which model writes nor processes. Laws: only a program that reproduces every demonstration gives a
candidate; with the same replies, and time to run the programs in them, the candidates are the same.

What a candidate of such a program is worth was reasoned, not measured, as no code model has been tried: each costs as
much as the dearest searched program that is trusted without generalising, so that it is trusted, stands behind searched
programs that are surer and before the others, and among its like the answer of the most programs is first.
"""

from __future__ import annotations

from solver.clock import Deadline, now
from solver.config.settings import InductionSettings
from solver.induction.induce import InducedAnswer, Induction, Writer, induce
from solver.induction.sandbox.jail import NAMESPACES, SECCOMP
from solver.induction.sandbox.sandbox import Sandbox
from solver.types import INDUCTION, Candidate, Program, Task, TaskResult, View
from solver.voting.ensemble import TRUSTED_COST

COST = TRUSTED_COST  # steps
GENERALISES = 0.0  # nothing is known of it: the model saw every demonstration
KEPT = 8  # distinct answers a task keeps: two are attempted, the others are for the record's readers
LONGEST_TEXT = 4000  # characters of a program in the record
REASONS = 3  # why programs did not fit: so many are told, the commonest


def answer_task(
    task: Task, writer: Writer, sandbox: Sandbox, settings: InductionSettings, seed: int, stop: Deadline
) -> TaskResult:
    """The answers of the programs that the model wrote for the task, and that were run, before `stop`."""
    started = now()
    induction = induce(task, writer, sandbox, settings.samples, seed, stop)
    return TaskResult(
        task_id=task.id,
        stage=INDUCTION,
        candidates=candidates(induction),
        seconds={"induction": now() - started},
        notes=(induction.line(), *(f"{count} x {reason}" for reason, count in induction.failures[:REASONS])),
    )


def candidates(induction: Induction) -> tuple[tuple[Candidate, ...], ...]:
    """What the programs answer, one entry a test input."""
    return tuple(tuple(map(_candidate, answers[:KEPT])) for answers in induction.answers)


def _candidate(answer: InducedAnswer) -> Candidate:
    text = answer.shortest.strip()[:LONGEST_TEXT]
    return Candidate(answer.grid, View(), 0.0, program=Program(text, COST, GENERALISES, answer.programs))


def held(sandbox: Sandbox) -> str:
    """By what programs are contained, in words."""
    layers = [name for name in (NAMESPACES, SECCOMP) if not sandbox.layers[name]]
    return f"programs are contained by {', '.join(layers)}" if layers else "nothing but limits contains the programs"
