"""arc-ttt: test-time training and vLLM sampling for the Abstraction and Reasoning Corpus."""

import sys

__version__ = "0.1.0"

_COMMANDS = {  # modules that were commands once → what to say after `python -m solver`
    **{name: name for name in ("ablate", "collect", "evaluate", "preflight", "pretrain", "programs", "replay")},
    **{name: name for name in ("report", "show", "switches", "wheelhouse")},
    **{"answers": "validate", "memory": "plan", "pretrain.curve": "curve", "pretrain.samples": "samples"},
}


if sys.argv[:1] == ["-m"] and "-m" in sys.orig_argv:  # only while Python looks for the module it was told to run
    _name = sys.orig_argv[sys.orig_argv.index("-m") + 1].removeprefix("solver.")
    if _name in _COMMANDS:
        print(f"error: python -m solver.{_name} is now: python -m solver {_COMMANDS[_name]}", file=sys.stderr)
        sys.exit(2)
