"""A Kaggle notebook's side of a run: what is attached, an offline install, a rehearsal or the rerun, and its checks.

Until its own environment is installed it needs the standard library and numpy alone, which Kaggle's image is expected
to have. Laws: nothing but answers and the run's record is ever written to the working folder; a complete,
valid submission.json is there before anything is installed.

    input/<slug>/…, input/competitions/<slug>/…    tasks, this program, wheelhouse, weights: found by name, at any depth
    working/submission.json, submission.run/       the answers
    working/rehearsal.json, rehearsal.run/         in an interactive run
"""

import hashlib
import html
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from solver.clock import now
from solver.hardware import gpus
from solver.types import BadInput

RERUN = "KAGGLE_IS_COMPETITION_RERUN"  # set by Kaggle where the hidden tasks are answered and nobody looks
FLAGS = "SUBMISSION_FLAGS"  # of submission.py, which the notebook takes from the environment
PLACEHOLDER = "0ae7b8aa16e2de7b2026de0ee0dd91b5"  # md5 of the test file in interactive runs of 2025/26
TEST = "arc-agi_test_challenges.json"
TRAINING = "arc-agi_training_challenges.json"  # the placeholder's tasks are among these
EVALUATION = ("arc-agi_evaluation_challenges.json", "arc-agi_evaluation_solutions.json")
SUBMISSION = "submission.json"
SAMPLE = "sample_submission.json"
PINS = "requirements.txt"  # in a wheelhouse: its pins, for its own Python alone
DRIVER = "driver.txt"  # in a wheelhouse: the oldest driver it works with; one without it is for any
DEPTH = 6  # folders below input/ that are looked into
MOST_FILES, MOST_BYTES = 500, 20 * 10**9  # what Kaggle keeps of the working folder
REHEARSAL = ("--limit", "8", "--time-limit", "30m")  # minutes include the install, and what the preset reserves
STALE = ("PYTHONPATH", "PYTHONHOME", "MPLBACKEND")  # the notebook's own, wrong in another environment
FRAME = '<div><iframe style="width:100%;height:80vh;border:0" srcdoc="{page}"></iframe></div>'


class NotebookError(RuntimeError):
    """Ends the notebook, in one line: what came, what was expected, what to do."""


@dataclass(frozen=True)
class Session:
    """What the notebook runs on.

    `working`: Kaggle's output folder. `code`: this program's. `test`: the challenges to answer. `wheels`: the
    wheelhouse. `weights`: an attached checkpoint, None: the shipped one. `rerun`: answer everything. `place`: where the
    environment goes, outside of `working`. `started`: monotonic seconds. `python`: that environment's own interpreter.
    `submission`: the file that Kaggle scores; `output`: the one that `run_submission` answers into, `run` beside it.
    """

    working: Path
    code: Path
    test: Path
    wheels: Path
    weights: Path | None
    rerun: bool
    place: Path
    started: float

    @property
    def python(self) -> Path:
        return self.place / "bin" / "python"

    @property
    def submission(self) -> Path:
        return self.working / SUBMISSION

    @property
    def output(self) -> Path:
        return self.submission if self.rerun else self.working / "rehearsal.json"

    @property
    def run(self) -> Path:
        return self.output.with_suffix(".run")


# ---- what is attached ------------------------------------------------------------------------------------------------


def files_below(root: Path, name: str) -> list[Path]:
    """Files of this name (or pattern) below `root`/input, competitions first, then those least deep."""
    paths = [path for depth in range(1, DEPTH + 1) for path in root.glob(f"input/{'*/' * depth}{name}")]
    return sorted(paths, key=lambda p: ("competitions" not in p.relative_to(root).parts, len(p.parts), str(p)))


def _one(folders: set[Path], what: str, todo: str) -> Path:
    if len(folders) != 1:
        came = ", ".join(map(str, sorted(folders))) or "none"
        raise NotebookError(f"{what}: {came} came, exactly one was expected; {todo}")
    return next(iter(folders))


def tests(root: Path) -> Path:
    """The competition's test file. Raises `NotebookError` where none is attached.

    Data sets may carry copies of it: one in the competitions' own folder is believed first, then one that has the
    sample submission beside it.
    """
    candidates = files_below(root, TEST)
    if not candidates:
        raise NotebookError(f"no {TEST} below {root}/input: expected the competition's data; attach the competition")
    own = [path for path in candidates if "competitions" in path.relative_to(root).parts]
    return (own or [path for path in candidates if (path.parent / SAMPLE).exists()] or candidates)[0]


def is_rerun(test: Path, environment: Mapping[str, str]) -> tuple[bool, str]:
    """Whether everything is to be answered, and why that is believed.

    A file nobody knows counts as the hidden one: hours lost on a rehearsal cost less than a score.
    """
    if RERUN in environment:
        return True, f"{RERUN} is set"
    data = test.read_bytes()
    if hashlib.md5(data, usedforsecurity=False).hexdigest() == PLACEHOLDER:
        return False, f"{test.name} is the known placeholder"
    training = test.with_name(TRAINING)
    if training.exists() and set(json.loads(data)) <= set(json.loads(training.read_bytes())):
        return False, f"{test.name} holds training tasks alone"
    return True, f"{test.name} is neither the known placeholder nor made of training tasks"


def wheelhouse(root: Path) -> Path:
    """The folder of wheels with their pins; of several, that which is made for this machine's driver.

    Raises `NotebookError` where none is attached, or several for one driver, or none for this one.
    """
    folders = {path.parent for path in files_below(root, "*.whl") if (path.parent / PINS).exists()}
    by_driver: dict[tuple[int, ...], set[Path]] = {}
    for folder in folders:
        oldest = folder / DRIVER
        by_driver.setdefault(gpus.driver_version(oldest.read_text()) if oldest.exists() else (), set()).add(folder)
    todo = "attach what python -m solver kaggle kit made"
    if set(by_driver) <= {()}:
        return _one(folders, f"folders of wheels with a {PINS}", todo)
    text = next((gpu.driver for gpu in gpus.shown()), "")
    served = [oldest for oldest in by_driver if oldest <= gpus.driver_version(text)]
    if not served:
        came = f"the driver is {text}" if text else "nvidia-smi names no driver"
        wanted = ".".join(map(str, min(by_driver)))
        raise NotebookError(f"{came}: expected {wanted} or newer for the wheels attached; choose GPU L4 x4")
    print(f"driver {text or 'none'}, wheels for {'.'.join(map(str, max(served))) or 'any'} and newer")
    return _one(by_driver[max(served)], "folders of wheels for this driver", todo)


def checkpoint(root: Path, code: Path, flags: Sequence[str] = ()) -> Path | None:
    """Attached weights beside the shipped ones, if there are any. Raises `NotebookError` where there are several.

    A code model that `flags` name is none.
    """
    others = {Path(value).resolve() for flag, value in pairwise(flags) if flag == "--code-model"}
    folders = {path.parent for path in files_below(root, "*.safetensors") if code not in path.resolve().parents}
    folders = {folder for folder in folders if (folder / "config.json").exists() and folder.resolve() not in others}
    return _one(folders, "folders of weights", "detach the others, or name one with --weights") if folders else None


def begin(root: Path, environment: Mapping[str, str] | None = None) -> Session:
    """Write a valid submission of placeholders, find everything, and say what was found. Raises `NotebookError`.

    Whatever else is missing, the placeholders are there.

    `root`: /kaggle, or a tree like it.
    """
    started, code = now(), Path(__file__).resolve().parents[2]
    environment = os.environ if environment is None else environment
    test = tests(root)
    _placeholders(root / "working", test)
    rerun, why = is_rerun(test, environment)
    weights = checkpoint(root, code, shlex.split(environment.get(FLAGS, "")))
    place = Path(tempfile.mkdtemp(prefix="arc-ttt-"))
    session = Session(root / "working", code, test, wheelhouse(root), weights, rerun, place, started)
    print(f"{'rerun' if rerun else 'rehearsal'}: {why}")
    for name, path in (("tasks", test), ("wheels", session.wheels), ("weights", weights or "shipped"), ("code", code)):
        print(f"{name:8} {path}")
    return session


def _placeholders(working: Path, test: Path) -> None:
    """Write a complete file of guesses first of all; where a package is missing the run itself is the first to."""
    try:
        from solver.data import tasks
        from solver.runtime import submission_file
        from solver.runtime.placeholders import placeholders_for
    except ImportError as error:
        print(f"warning: no placeholders yet: {error}")
        return
    task_set, path = tasks.load_challenges(test), working / SUBMISSION
    submission_file.AnswerFile(path, task_set.tests).start(placeholders_for(task_set))
    print(f"{path} holds placeholders for {len(task_set.tests)} tasks")


# ---- install and run -------------------------------------------------------------------------------------------------


def install(session: Session) -> None:
    """A virtual environment of the attached wheels alone, outside of the working folder. Raises `NotebookError`."""
    venv = [sys.executable, "-m", "venv", "--without-pip", str(session.place)]
    pip = [sys.executable, "-m", "pip", "--python", str(session.python), "install", "--quiet"]
    pip += ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--disable-pip-version-check"]
    pip += ["--find-links", str(session.wheels), "-r", str(session.wheels / PINS)]
    if any(_stream(command, {"PIP_CONFIG_FILE": os.devnull}) for command in (venv, pip)):
        raise NotebookError(
            f"the install from {session.wheels} failed: expected a wheelhouse for this Python; see above"
        )
    print(f"installed in {spent(session):.0f} s")


def spent(session: Session) -> float:
    """Seconds since the notebook's first cell."""
    return now() - session.started


def _already(session: Session) -> list[str]:
    return ["--already-spent", f"{max(1, round(spent(session)))}s"]


def command(session: Session, *flags: str) -> list[str]:
    """How `submission.py` is called: its flags for this session, then those given, which win.

    A rehearsal has a few evaluation tasks with their solutions: the competition's, or the ones this program has.
    """
    evaluation = [session.test.with_name(name) for name in EVALUATION]
    if session.rerun:
        tasks = ["--challenges", str(session.test), "--no-report"]
    elif all(file.exists() for file in evaluation):
        tasks = [*REHEARSAL, "--challenges", str(evaluation[0]), "--solutions", str(evaluation[1])]
    else:
        tasks = [*REHEARSAL, "--split", "dry-run"]
    weights = ["--weights", str(session.weights)] if session.weights is not None else []
    program = [str(session.python), str(session.code / "submission.py")]
    return [*program, *_already(session), *weights, *tasks, "--output", str(session.output), *flags]


def run_submission(session: Session, *flags: str) -> int:
    """Run `submission.py` as a process of its own; its exit status. One that a signal ended is resumed, once."""
    whole = command(session, *flags)
    print(" ".join(whole))
    status = _stream(whole)
    if status < 0:
        print(f"the run was ended by signal {-status}: it is resumed")
        again = ["--resume", str(session.run), *_already(session), *(["--no-report"] if session.rerun else [])]
        status = _stream([*whole[:2], *again])
    return status


def _stream(command: Sequence[str], more: Mapping[str, str] | None = None) -> int:
    """Run a command, its output line by line in the notebook; its exit status."""
    variables = {name: value for name, value in os.environ.items() if name not in STALE} | dict(more or {})
    pipe, both = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(command, stdout=pipe, stderr=both, text=True, errors="replace", env=variables) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
        return process.wait()


# ---- afterwards ------------------------------------------------------------------------------------------------------


def answered(run: Path) -> int:
    """Tasks that the model answered, by the run's record; torn lines are left out."""
    from solver.runtime import record

    try:
        results = record.load(run).results
    except BadInput:
        return 0
    return len({result.task_id for result in results if any(result.from_model)})


def validate(session: Session, status: int) -> None:
    """Check the submission file and the working folder. Raises `NotebookError` where a rerun would come to nothing.

    That is an invalid file, or, in a rehearsal, a run that broke or a model that answered nothing: a rerun's answers
    so far are worth more than its exit status.
    """
    check = [str(session.python), "-m", "solver", "validate", str(session.submission)]
    if _stream([*check, "--challenges", str(session.test)], {"PYTHONPATH": str(session.code)}):
        raise NotebookError(
            f"{session.submission} is not a valid submission: expected every task of {session.test}; see above"
        )
    sizes = [path.stat().st_size for path in session.working.rglob("*") if path.is_file()]
    print(f"{session.working}: {len(sizes)} of {MOST_FILES} files, {sum(sizes) / 1e9:.3f} of {MOST_BYTES / 1e9:.0f} GB")
    if len(sizes) > MOST_FILES or sum(sizes) > MOST_BYTES:
        print(f"warning: Kaggle keeps {MOST_FILES} files and {MOST_BYTES / 1e9:.0f} GB: take the rest out")
    count, log = answered(session.run), session.run / "worker.log"
    if not session.rerun and (status or not count):
        raise NotebookError(f"the rehearsal failed: exit status {status}, {count} tasks answered; see {log}")


def summary(session: Session) -> None:
    """Print how the run ended; a rehearsal with its score."""
    what, count = "rerun" if session.rerun else "rehearsal", answered(session.run)
    tasks = f"{count} task{'' if count == 1 else 's'} answered by the model"
    print(f"{what}: {tasks}, {spent(session) / 60:.1f} minutes since the start")
    if not session.rerun:
        score = ["-m", "solver", "evaluate", "--run", str(session.run), "--only-submitted"]
        _stream([str(session.python), *score], {"PYTHONPATH": str(session.code)})


def page(session: Session) -> str:
    """The run's report as HTML to display in the notebook; empty where there is none, as in a rerun."""
    report = session.run / "report.html"
    return FRAME.format(page=html.escape(report.read_text(encoding="utf-8"))) if report.exists() else ""
