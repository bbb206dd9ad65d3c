"""The command line: `python -m solver COMMAND …`. `--help` lists the commands, `COMMAND --help` says what one takes.

A command's module is imported once it was asked for, as what it needs may take seconds to load.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence

from solver.clock import Deadline

COMMANDS: Mapping[str, tuple[str, str]] = {  # name → where its function is, `main` if no other is named; what it does
    "run": ("submission", "answer tasks: the same as python submission.py"),
    "validate": ("solver.runtime.submission_file", "check a submission file"),
    "evaluate": ("solver.analysis.evaluate", "score a submission or a run, or compare two submissions"),
    "report": ("solver.analysis.report", "write a run's report, one HTML file"),
    "replay": ("solver.analysis.replay", "vote again on what a run recorded"),
    "judge": ("solver.analysis.judge_fit", "fit the probabilities that answers are right to recorded runs"),
    "show": ("solver.analysis.show", "draw tasks in the terminal or as a picture"),
    "ablate": ("solver.analysis.ablate", "run variants of the method over the same tasks, and compare them"),
    "compare": ("solver.analysis.evaluate:main_of_compare", "two submissions, paired"),
    "programs": ("solver.analysis.programs", "solve tasks by programs alone"),
    "bench": ("solver.analysis.programs:main_of_bench", "measure the search for programs"),
    "plan": ("solver.hardware.memory_plan", "memory plans of known models and GPUs, as a table"),
    "preflight": ("solver.hardware.preflight", "whether a run could begin on this machine"),
    "collect": ("solver.runtime.collect", "make a library of tasks and adapters to start from"),
    "pretrain": ("solver.pretrain.__main__", "make weights from nothing"),
    "finetune": ("solver.finetune.command", "train a language model further before test time"),
    "generators": ("solver.generators.command", "tasks to train on, by generators that a language model writes"),
    "samples": ("solver.pretrain.samples", "write made tasks in Kaggle's format"),
    "curve": ("solver.pretrain.curve", "draw the losses of pretraining"),
    "switches": ("solver.analysis.switches", "every setting and flag, as a Markdown page"),
    "kaggle": ("solver.kaggle.kit", "gather all that Kaggle's own client uploads"),
    "wheelhouse": ("solver.kaggle.wheelhouse", "gather the wheels a machine without network needs"),
}
INTERNAL: Mapping[str, str] = {"worker": "solver.runtime.worker"}  # started by the program itself, not by people


def main(argv: Sequence[str], started: Deadline) -> int:
    """Run a command. `started`: when this process did. Exit status 2 and one line where there is none of the name."""
    if argv and argv[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:{width}}  {what}" for name, (_, what) in COMMANDS.items()]
        print("usage: python -m solver COMMAND ...", "", *lines, sep="\n")
        print("\npython -m solver COMMAND --help says more")
        return 0
    name, rest = (argv[0], list(argv[1:])) if argv else ("", [])
    if name not in COMMANDS and name not in INTERNAL:
        came = f"command is {name!r}" if argv else "no command came"
        print(f"error: {came}: expected one of {', '.join(COMMANDS)}; see python -m solver --help", file=sys.stderr)
        return 2
    run = command(name)
    return int(run(rest, started) if name == "run" else run(rest))


def command(name: str) -> Callable[..., int]:
    """The function that a command is, whose module is imported now."""
    module, _, function = (INTERNAL.get(name) or COMMANDS[name][0]).partition(":")
    run: Callable[..., int] = getattr(importlib.import_module(module), function or "main")
    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Deadline.after(0)))
