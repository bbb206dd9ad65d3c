"""A child process with one device: loads what it answers with, then answers orders as they come, one after another.

By programs it searches for them, and loads neither models nor torch; by induction a code model writes them; by models
it trains and samples (`pipeline`). Orders come on standard input, reports go to the file descriptor it is given, both
as `messages` spells them; what libraries print goes elsewhere. Laws: an order that fails is reported, never swallowed,
and the next one is served; each adapter is reported as soon as it is trained; a search for programs uses one core, and
with the same nodes it gives the same candidates as long as its seconds last.
"""

import argparse
import contextlib
import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO, TypeAlias, get_args

from solver.batch import Batch, Models
from solver.clock import Deadline, now
from solver.config import settings
from solver.config.setting import unpack
from solver.pipeline import solve_batch
from solver.runtime import messages
from solver.tokens import registry
from solver.training import nearest_tasks, shared_adapter
from solver.types import PROGRAMS, SHARED, Candidate, Program, Task, TaskResult, TrainReport, View, out_of_memory
from solver.voting.ensemble import ANSWERS_KEPT

PARENT_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG
NICENESS = 19  # of a process that searches: whoever has something to do for the model goes first
OOM_SCORE_ADJUSTMENT = Path("/proc/self/oom_score_adj")  # the kernel ends whom it is highest for, out of memory
MOST_ADJUSTED = 1000

Load: TypeAlias = Callable[[messages.Send], contextlib.AbstractContextManager[messages.Loaded]]
"""Loads what answers, and says what there is to say of it; may report on its own while it answers."""


def serve(lines: Iterable[str], reports: TextIO, load: Load) -> None:
    """Load, say so, then serve orders until there are no more."""
    started = now()

    def send(report: messages.Report) -> None:
        print(json.dumps(messages.report_to_json(report)), file=reports, flush=True)

    with contextlib.ExitStack() as loaded:
        try:
            answer, notes = loaded.enter_context(load(send))
        except Exception as error:  # said before this process ends, so that a lighter one can be tried
            return send(_failure(error))
        send(messages.Ready(round(now() - started, 1), tuple(notes)))
        for order in map(messages.order_from_line, lines):
            try:
                for report in answer(order, Deadline.after(order.seconds)):
                    send(report)
                send(messages.BatchDone())
            except Exception as error:  # the order failed, not the worker: say why, and serve the next
                send(_failure(error))


def _failure(error: Exception) -> messages.BatchFailed:
    """What to report of an error that is being handled; the whole story goes to the log."""
    traceback.print_exc()
    return messages.BatchFailed(f"{type(error).__name__}: {error}"[:300], out_of_memory(error))


def one_by_one(answer: Callable[[Task, Deadline], TaskResult]) -> messages.Answerer:
    """Answers the tasks of an order each by itself, within the seconds of the order."""
    return lambda order, stop: (messages.TaskAnswered(answer(task, stop)) for task in order.tasks)


@contextlib.contextmanager
def searches(budget: settings.ProgramSettings, _: messages.Send) -> Iterator[messages.Loaded]:
    """Answers by searching for programs; what the search compiles is loaded, or compiled the first time."""
    from solver.programs.combined import ready

    give_way()
    ready()
    yield one_by_one(lambda task, stop: search(task, budget, stop)), ()


def search(task: Task, budget: settings.ProgramSettings, stop: Deadline) -> TaskResult:
    """The task's best programs' answers, found before `stop` and within the settings' seconds."""
    from solver.programs.combined import search_both  # with numba, which nobody else needs

    started, own = now(), stop.within(budget.seconds)
    best = search_both(task, own, budget.nodes)[:ANSWERS_KEPT]
    seconds, cut = now() - started, own.remaining() <= 0
    known = [(p, Program(p.program, round(p.cost, 3), round(p.generalises, 3), p.support)) for p in best]
    return TaskResult(
        task_id=task.id,
        stage=PROGRAMS,
        candidates=tuple(
            tuple(Candidate(p.grids[test], View(), 0.0, program=program) for p, program in known)
            for test in range(len(task.tests))
        ),
        seconds={"programs": seconds},
        notes=(f"the search for programs was stopped after {seconds:.1f} s",) if cut else (),
    )


def give_way() -> None:
    """Have this process run only where nobody else wants the core, and end first where memory runs out."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # no such file on other systems; everything else works without
        OOM_SCORE_ADJUSTMENT.write_text(str(MOST_ADJUSTED))


@contextlib.contextmanager
def induction(config: settings.Config, _: messages.Send) -> Iterator[messages.Loaded]:
    """Answers by programs that a code model writes, which are run in a sandbox."""
    from solver.induction.forms import form_of
    from solver.induction.induce import induce, sandbox_of
    from solver.runtime.load_models import load_writer

    asked = config.induction
    writer = load_writer(config)
    with sandbox_of(asked) as sandbox:
        notes = [sandbox.line(), f"the model is asked in the {form_of(asked).name} form (--code-form)"]
        yield one_by_one(lambda task, stop: induce(task, writer, sandbox, asked, config.seed, stop)), notes


@contextlib.contextmanager
def models(weights: Path, config: settings.Config, scratch: Path, send: messages.Send) -> Iterator[messages.Loaded]:
    """Answers by training and sampling: here alone models meet the algorithm."""
    from solver.runtime.load_models import load_models

    format = registry.load(config.format, weights)
    trainer, sampler, config = load_models(weights, config, scratch)
    nearest = nearest_tasks.finder(trainer, config, weights, format)

    def trained(name: str, report: TrainReport) -> None:
        loss = round(report.losses[-1], 4) if report.losses else None
        send(messages.AdapterTrained(name, report.steps, loss))

    answered_with = Models(trainer, sampler, format, config, nearest, trained)
    yield lambda order, stop: by_models(order, answered_with, stop), (*sampler.notes, *trainer.notes)


def by_models(order: messages.Order, models: Models, stop: Deadline) -> Iterator[messages.Report]:
    """The results of the order's tasks, or the adapter that they are to share."""
    if order.stage == SHARED:
        started = now()
        report = shared_adapter.train(order.tasks, models, stop)
        adapter = messages.keep(report.adapter, order.keep) if report.adapter else None
        yield messages.SharedAdapterTrained(adapter, report.steps, report.planned, report.losses, now() - started)
        return
    shared = messages.intact(order.shared)
    results = solve_batch(Batch(order.stage, order.tasks, order.train_seconds, shared, order.hurried), models, stop)
    counters = getattr(models.sampler, "counters", None)
    engine = counters.take() if counters else {}  # of the whole batch, whose tasks shared the engine
    yield from (messages.TaskAnswered(result, engine) for result in results)


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, however that happens (on Linux; elsewhere not)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before it was asked for
            os.kill(os.getpid(), signal.SIGKILL)


def main(argv: list[str]) -> int:
    """`python -m solver worker --by WHAT --weights DIR --config JSON --reports FD --scratch DIR`, for `child`."""
    parser = argparse.ArgumentParser(prog="python -m solver worker", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--config", required=True, help="the settings as JSON")
    parser.add_argument("--reports", type=int, required=True, help="file descriptor to report on")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for adapters; whoever made it removes it")
    parser.add_argument("--by", choices=get_args(messages.AnsweredBy), default="model", help="what it loads to answer")
    parser.add_argument("--parent", type=int, help="process id of whoever started this; it ends with that process")
    options = parser.parse_args(argv)
    if options.parent is not None:
        die_with(options.parent)
    config = unpack(settings.Config, json.loads(options.config))

    def load(send: messages.Send) -> contextlib.AbstractContextManager[messages.Loaded]:
        if options.by == "programs":
            return searches(config.programs, send)
        if options.by == "induction":
            return induction(config, send)
        return models(options.weights, config, options.scratch, send)

    with os.fdopen(options.reports, "w") as reports:
        serve(sys.stdin, reports, load)
    return 0
