"""Candidates from programs that a code model writes: sampled, run in the sandbox, kept if they fit every demonstration.

Laws: an answer comes only from a program whose outputs equal every demonstration's, cell by cell, compared here and not
in the program's process; with the same replies, and time to run the programs in them, the candidates are the same.
Programs never see an output of any kind.

The question is the one BARC's induction models were trained on (arXiv 2411.02272, and the models' published cards), to
the word: grids as rows of colour words, a line asking for a function `transform`, one test input shown. Other models
understand it too. Replies are searched, never parsed or evaluated here.

What a candidate is worth was reasoned, not measured: each costs as much as the dearest searched program that is trusted
without generalising, so that it is trusted, and stands behind searched programs that are surer and before the others.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from solver.clock import Deadline, now
from solver.config.settings import InductionSettings
from solver.data.json_files import read_json
from solver.induction.sandbox.sandbox import Limits, Outcome, Sandbox
from solver.interfaces import Stop
from solver.types import INDUCTION, BadInput, Candidate, Grid, Program, Task, TaskResult, View, key, same, seed_for
from solver.voting.ensemble import ANSWERS_KEPT, TRUSTED_COST

NEEDED = "expected a directory with config.json, tokenizer files and *.safetensors"
PURPOSE = "induction"
WRITING = 0.75  # of a task's seconds may go by while replies are written: the programs in them are yet to be run
COST = TRUSTED_COST  # steps
GENERALISES = 0.0  # nothing is known of it: the model saw every demonstration
LONGEST_TEXT = 4000  # characters of a program in the record
REASONS = 3  # why programs did not fit: so many are told, the commonest
WORDS = ("Black", "Blue", "Red", "Green", "Yellow", "Gray", "Pink", "Orange", "Purple", "Brown")  # the colours 0 to 9
SYSTEM = (
    "You are a world-class puzzle solver with exceptional pattern recognition skills and expertise in Python "
    "programming. Your task is to analyze puzzles and provide Python solutions."
)
OPENING = (
    "Given input-output grid pairs as reference examples, carefully observe the patterns to predict the output grid "
    "for new test input. Each pair follows the same transformation rule. Grids are 2D arrays represented as strings, "
    "with cells (colors) separated by spaces and rows by newlines.\n"
    "Here are the input and output grids for the reference examples:\n"
)
CLOSING = (
    "Write a Python function `transform` that can convert any given input grid to its corresponding output grid based "
    "on the pattern observed in the reference examples."
)
FENCED = re.compile(r"^[ \t]*```[^`\n]*\n(.*?)(?:```|\Z)", re.DOTALL | re.MULTILINE)
DEFINES = re.compile(r"^def (?:transform|main)\(", re.MULTILINE)


def check_model(model: Path) -> None:
    """Raise `BadInput` where a directory cannot be a model whose files are data alone: nothing of it is executed."""
    config = read_json(model / "config.json")
    if not list(model.glob("*.safetensors")) or not list(model.glob("tokenizer*")):
        raise BadInput(f"{model} holds no safetensors or no tokenizer; {NEEDED}; fetch the missing files")
    if not isinstance(config, dict) or "auto_map" in config:
        raise BadInput(f"{model} brings code of its own (auto_map in config.json); {NEEDED}; choose another model")


def sandbox_of(settings: InductionSettings) -> Sandbox:
    """The place to run programs in, with the limits asked for. Raises `BadInput` where there is none."""
    return Sandbox(Limits(wall=settings.seconds, memory=settings.memory), unsafe=settings.unsafe)


def words(grid: Grid) -> str:
    """A grid as lines of colour words, each line ended."""
    return "".join(" ".join(WORDS[int(cell)] for cell in row) + "\n" for row in grid)


def question(task: Task, test: int) -> str:
    """What a model is asked, after `SYSTEM`: a program that solves the task, shown test input number `test`."""
    shown = [
        f"Example {number}\nInput:\n{words(pair.input)}\nOutput:\n{words(pair.output)}\n\n"
        for number, pair in enumerate(task.demonstrations, 1)
    ]
    ending = f"Here is the input grid for the test example:\nInput:\n{words(task.tests[test])}\n{CLOSING}"
    return OPENING + "".join(shown) + ending


def program_in(text: str) -> str | None:
    """The program in a reply: the last fenced block that defines `transform` or `main`, None where there is none.

    A block whose end was cut off counts too; a reply that is nothing but a program needs no fence.
    """
    blocks = [block for block in FENCED.findall(text) if DEFINES.search(block)]
    if blocks:
        return str(blocks[-1])
    return text if DEFINES.search(text) and "```" not in text else None


class Writer(Protocol):
    """Answers questions with text; a `writer.VllmWriter` is one."""

    def write(self, questions: Sequence[str], seed: int, stop: Stop) -> list[str | None]:
        """One sampled reply a question, in order, also to equal questions; None where `stop` came first."""
        ...


def induce(
    task: Task, writer: Writer, sandbox: Sandbox, settings: InductionSettings, seed: int, stop: Deadline
) -> TaskResult:
    """Ask for programs, in turn for each test input; run them before `stop`; keep what the fitting ones answer.

    The notes say of how many replies a program was run and fitted, and why the others did not, the commonest reasons.
    """
    started = now()
    questions = [question(task, i % len(task.tests)) for i in range(settings.samples)]
    texts = writer.write(questions, seed_for(seed, task.id, PURPOSE), stop.within(WRITING * stop.remaining()))
    written = [text for text in texts if text is not None]
    programs = Counter(program for text in written if (program := program_in(text)) is not None)
    fitting, failures = dict[str, tuple[Outcome, ...]](), Counter[str]()
    for source, replies in programs.items():
        if stop.remaining() <= 0:
            break
        outcomes = sandbox.run(source, [*(pair.input for pair in task.demonstrations), *task.tests], stop)
        if reason := misfit(task, outcomes):
            failures[reason] += replies
        else:
            fitting[source] = outcomes[len(task.demonstrations) :]
    right = sum(programs[source] for source in fitting)
    counts = (
        f"programs: {settings.samples} asked for, {len(written)} written, {programs.total()} with a program, "
        f"{right + failures.total()} run, {right} reproduce every demonstration"
    )
    return TaskResult(
        task_id=task.id,
        stage=INDUCTION,
        candidates=tuple(
            _candidates((source, programs[source], outcomes[test]) for source, outcomes in fitting.items())
            for test in range(len(task.tests))
        ),
        seconds={"induction": now() - started},
        notes=(counts, *(f"{replies} x {reason}" for reason, replies in failures.most_common(REASONS))),
    )


def misfit(task: Task, outcomes: Sequence[Outcome]) -> str:
    """Why a program's outcomes do not reproduce the demonstrations, empty where they do."""
    for pair, outcome in zip(task.demonstrations, outcomes, strict=False):
        if outcome.grid is None:
            return outcome.reason
        if not same(outcome.grid, pair.output):
            return "another output than a demonstration's"
    return ""


def _candidates(outcomes: Iterable[tuple[str, int, Outcome]]) -> tuple[Candidate, ...]:
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
    programs = (Program(shortest[a].strip()[:LONGEST_TEXT], COST, GENERALISES, support[a]) for a in best)
    return tuple(Candidate(grids[a], View(), 0.0, program=program) for a, program in zip(best, programs, strict=True))
