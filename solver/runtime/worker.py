"""A child process with one device: loads what it answers with, then answers orders as they come, one after another.

It trains and samples; with `--programs` it loads neither, nor torch, and searches for programs; with `--induction` a
code model writes them. Orders come on standard input, reports go to the file descriptor it is given, both as `messages`
spells them; what libraries print goes elsewhere. Law: an order that fails is reported, never swallowed, and the next
one is served.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO, TypeAlias

from solver.clock import Deadline, now
from solver.config import settings
from solver.runtime.messages import (
    BatchDone,
    BatchFailed,
    Order,
    Ready,
    Report,
    Send,
    TaskAnswered,
    order_from_line,
    sender,
)
from solver.types import Task, TaskResult, out_of_memory

PARENT_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG

Answerer: TypeAlias = Callable[[Order, Deadline], Iterable[Report]]
"""What there is to report on an order, as it becomes known."""

Load: TypeAlias = Callable[[Send], contextlib.AbstractContextManager[tuple[Answerer, Sequence[str]]]]
"""Loads what answers, and says what there is to say of it; may report on its own while it answers."""


def serve(lines: Iterable[str], reports: TextIO, load: Load) -> None:
    """Load, say so, then serve orders until there are no more."""
    send, started = sender(reports), now()
    with contextlib.ExitStack() as loaded:
        try:
            answer, notes = loaded.enter_context(load(send))
        except Exception as error:  # said before this process ends, so that a lighter one can be tried
            return send(_failure(error))
        send(Ready(round(now() - started, 1), tuple(notes)))
        for order in map(order_from_line, lines):
            try:
                for report in answer(order, Deadline.after(order.seconds)):
                    send(report)
                send(BatchDone())
            except Exception as error:  # the order failed, not the worker: say why, and serve the next
                send(_failure(error))


def _failure(error: Exception) -> BatchFailed:
    """What to report of an error that is being handled; the whole story goes to the log."""
    traceback.print_exc()
    return BatchFailed(f"{type(error).__name__}: {error}"[:300], out_of_memory(error))


def one_by_one(answer: Callable[[Task, Deadline], TaskResult]) -> Answerer:
    """Answers the tasks of an order each by itself, within the seconds of the order."""
    return lambda order, stop: (TaskAnswered(answer(task, stop)) for task in order.tasks)


@contextlib.contextmanager
def searches(budget: settings.ProgramSettings, _: Send) -> Iterator[tuple[Answerer, Sequence[str]]]:
    """Answers by searching for programs; there is nothing to load."""
    from solver.runtime.program_search import give_way, search

    give_way()
    yield one_by_one(lambda task, stop: search(task, budget, stop)), ()


@contextlib.contextmanager
def induction(config: settings.Config, _: Send) -> Iterator[tuple[Answerer, Sequence[str]]]:
    """Answers by programs that a code model writes, which are run in a sandbox."""
    from solver.induction.induce import induce, sandbox_of
    from solver.runtime.load_models import load_writer

    asked = config.induction
    writer = load_writer(config)
    with sandbox_of(asked) as sandbox:
        yield one_by_one(lambda task, stop: induce(task, writer, sandbox, asked, config.seed, stop)), [sandbox.line()]


@contextlib.contextmanager
def models(
    weights: Path, config: settings.Config, scratch: Path, send: Send
) -> Iterator[tuple[Answerer, Sequence[str]]]:
    """Answers by training and sampling."""
    from solver.runtime.model_answers import ModelAnswers

    answers = ModelAnswers(weights, config, scratch, send)
    yield answers, answers.notes


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, however that happens (on Linux; elsewhere not)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before it was asked for
            os.kill(os.getpid(), signal.SIGKILL)


def main(argv: list[str]) -> int:
    """`python -m solver worker --weights DIR --config JSON --reports FD --scratch DIR`, started by `pool`."""
    parser = argparse.ArgumentParser(prog="python -m solver worker", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--config", required=True, help="JSON as written by config.pack")
    parser.add_argument("--reports", type=int, required=True, help="file descriptor to report on")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for adapters; whoever made it removes it")
    parser.add_argument("--programs", action="store_true", help="search for programs alone: no model is loaded")
    parser.add_argument("--induction", action="store_true", help="have the code model write programs, nothing else")
    parser.add_argument("--parent", type=int, help="process id of whoever started this; it ends with that process")
    options = parser.parse_args(argv)
    if options.parent is not None:
        die_with(options.parent)
    config = settings.unpack(json.loads(options.config))

    def load(send: Send) -> contextlib.AbstractContextManager[tuple[Answerer, Sequence[str]]]:
        if options.programs:
            return searches(config.programs, send)
        return induction(config, send) if options.induction else models(options.weights, config, options.scratch, send)

    with os.fdopen(options.reports, "w") as reports:
        serve(sys.stdin, reports, load)
    return 0
