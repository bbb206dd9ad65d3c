"""arc-ttt: test-time training and vLLM sampling for the Abstraction and Reasoning Corpus."""

import sys

__version__ = "0.1.0"

_COMMANDS = {  # modules that were commands once → what to say after `python -m solver`
    **{name: name for name in ("ablate", "collect", "evaluate", "preflight", "pretrain", "programs", "replay")},
    **{name: name for name in ("report", "show", "switches", "wheelhouse")},
    **{"answers": "validate", "memory": "plan", "pretrain.curve": "curve", "pretrain.samples": "samples"},
}


def _refuse_old_command(words: list[str]) -> None:
    """End with one line where this package was started as `python -m solver.COMMAND`."""
    name = words[words.index("-m") + 1].removeprefix("solver.") if "-m" in words[:-1] else ""
    if name in _COMMANDS:
        print(f"error: python -m solver.{name} is now: python -m solver {_COMMANDS[name]}", file=sys.stderr)
        sys.exit(2)


if sys.argv[:1] == ["-m"]:  # so it is only while Python looks for the module that it was told to run
    _refuse_old_command(sys.orig_argv)
