"""Generators that try to do harm or give what is no pair of grids: name → (text, the filter that stops it).

One that succeeds draws [[7]] and [[7]]. `{secret}`: a solutions file.
"""

from __future__ import annotations

from solver.generators.filters import GRIDS, PARSED, RAN
from tests.support.hostile import PROGRAMS

WON = "    return [[7]], [[7]]\n"


def generator(program: str) -> str:
    """A hostile program, as what is called for a pair."""
    return PROGRAMS[program].replace("def transform(grid)", "def generate(rng, lower, upper)")


GENERATORS = {
    "never ends": (generator("endless loop"), RAN),
    "never ends while it is loaded": ("while True:\n    pass\ndef generate(rng, lower, upper):\n" + WON, RAN),
    "never ends and catches everything": (generator("endless loop that catches everything"), RAN),
    "forks": (
        """
import os
def generate(rng, lower, upper):
    pids = 0
    while True:
        pids += os.fork() == 0
        if pids > 50:
            return [[7]], [[7]]
""",
        RAN,
    ),
    "prints gigabytes": (
        "def generate(rng, lower, upper):\n    while True:\n        print('x' * 10000, flush=True)\n",
        RAN,
    ),
    "says gigabytes": (
        "import os\ndef generate(rng, lower, upper):\n    while True:\n        os.write(3, b'9' * 65536)\n",
        RAN,
    ),
    "reads the solutions": ("def generate(rng, lower, upper):\n    open({secret!r}).read()\n" + WON, RAN),
    "reads the solutions through the system": (
        """
import ctypes
def generate(rng, lower, upper):
    if ctypes.CDLL(None).open({secret!r}.encode(), 0) < 0:
        raise OSError('no such file')
    return [[7]], [[7]]
""",
        RAN,
    ),
    "takes all memory": (
        "import numpy as np\ndef generate(rng, lower, upper):\n    np.ones(1 << 37, dtype=np.uint8).sum()\n" + WON,
        RAN,
    ),
    "ends its process": ("import os\ndef generate(rng, lower, upper):\n    os._exit(0)\n", RAN),
    "ends everybody's": (
        "import os\ndef generate(rng, lower, upper):\n    os.kill(os.getppid() or 1, 9)\n    os.kill(-1, 9)\n",
        RAN,
    ),
    "breaks the interpreter": ("import ctypes\ndef generate(rng, lower, upper):\n    ctypes.string_at(0)\n", RAN),
    "has random numbers that never end": (
        """
import random
random.Random.uniform = lambda *a: sum(iter(int, 1))
def generate(rng, lower, upper):
    return [[7]], [[7]]
""",
        RAN,
    ),
    "is no Python": ("def generate(rng, lower, upper:\n", PARSED),
    "hides null bytes": ("def generate(rng, lower, upper):\n    return [[7]], [[7]]\n\0", PARSED),
    "returns text": ("def generate(rng, lower, upper):\n    return 'an input and an output'\n", GRIDS),
    "returns one grid": ("def generate(rng, lower, upper):\n    return [[7]]\n", GRIDS),
    "returns three grids": ("def generate(rng, lower, upper):\n    return [[7]], [[7]], [[7]]\n", GRIDS),
    "returns without end": ("def generate(rng, lower, upper):\n    return iter(int, 1)\n", GRIDS),
    "returns rows without end": (
        "def generate(rng, lower, upper):\n    return iter(int, 1), [[7]]\n",
        GRIDS,
    ),
    "returns ragged rows": ("def generate(rng, lower, upper):\n    return [[1, 2], [3]], [[7]]\n", GRIDS),
    "returns colours there are not": ("def generate(rng, lower, upper):\n    return [[10, -1]], [[7]]\n", GRIDS),
    "returns fractions": (
        "def generate(rng, lower, upper):\n    return [[0.5, float('nan')]], [[7]]\n",
        GRIDS,
    ),
    "returns a grid of 31 rows": ("def generate(rng, lower, upper):\n    return [[1]] * 31, [[7]]\n", GRIDS),
    "returns a dictionary that never answers": (
        """
class Pair(dict):
    def __getitem__(self, name):
        while True:
            pass
def generate(rng, lower, upper):
    return Pair()
""",
        RAN,
    ),
    "forges its answers": (
        """
import os
def generate(rng, lower, upper):
    os.write(3, b'{{"pair": [[[1, 2], [3]], [[7]]]}}\\n' + b'[' * 50000 + b'\\n{{"pair": [[[77]], 7]}}\\n')
    os.write(3, b'{{"pair": ' + b'9' * 5000 + b'}}\\n{{"failed": [7], "reason": "x"}}\\n\\xff\\n' * 200)
    os._exit(0)
""",
        GRIDS,
    ),
    "patches what its answers are written with": (
        """
import builtins, json, os
json.dumps = lambda *a, **k: '{{"pair": [[[7]], [[7]]]}}'
builtins.len = builtins.all = lambda *a: True
os.write = os._exit = lambda *a: 7
def generate(rng, lower, upper):
    return 'no pair'
""",
        GRIDS,
    ),
}
