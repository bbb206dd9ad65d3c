"""What a model is shown: ten of RE-ARC's generators, each with a description written by hand from its source.

The sources are read from the installed package, RE-ARC's (Hodel, arXiv 2404.07353, MIT) within reasoning-gym. All ten
are of ARC-AGI-1 training tasks that may be trained on (`solver/pretrain/split.py`). That ten tasks are described by
hand is from arXiv 2411.07279 (version 1, section 5.1), which has descriptions of all others written from these.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from solver.types import BadInput

DESCRIPTIONS: Mapping[str, str] = {  # id of a training task → what its generator does
    "d037b0a7": "Some columns hold one coloured cell. From there its colour runs down to the bottom edge.",
    "4258a5f9": "Cells of one colour lie scattered. The eight neighbours of each turn to colour 1, but for those that "
    "are such cells themselves.",
    "eb281b96": "The grid is continued downwards as between two mirrors: its reflection, then itself, then its "
    "reflection, where each edge row is shared and not repeated. The output is about four times as high.",
    "9172f3a0": "Each cell of a small grid becomes a block of three by three cells of its colour.",
    "0d3d703e": "Every colour is exchanged for a fixed partner: 1 and 5, 2 and 6, 3 and 4, 8 and 9.",
    "25ff71a9": "A connected shape of one colour moves down by one row; what leaves the grid is lost.",
    "623ea044": "From every coloured cell, rays of its colour run along all four diagonals to the edges of the grid.",
    "2281f1f4": "Marks lie along two edges that meet in a corner. Wherever the row of one mark crosses the column of "
    "another, the cell turns to colour 2. The whole may be turned.",
    "a699fb00": "Rows hold dotted lines, every second cell of them coloured. The gaps between their dots turn to 2.",
    "b0c4d837": "A vessel with an open side is filled in part. The empty depth is counted in a grid of three by three: "
    "so many cells have the filling's colour, in lines that run to and fro.",
}
LIBRARY = ("rearc_utils.dsl", "rearc_utils.utils")  # what the generators are written in, as programs import it
HEADER = "import random\nfrom typing import *\n\n" + "".join(f"from {name} import *\n" for name in LIBRARY) + "\n"
ADVICE = "pip install --no-deps -r requirements-pretrain.txt"


@dataclass(frozen=True)
class ShownGenerator:
    """One of RE-ARC's generators as a model is shown it: the text of a function `generate`, without imports."""

    task_id: str
    description: str
    source: str


def folder() -> Path:
    """Where `rearc_utils` lies, RE-ARC's package within reasoning-gym. Raises `BadInput` where it is not installed."""
    spec = find_spec("reasoning_gym")  # found, not imported: that would load all of its data sets
    if spec is None or not spec.submodule_search_locations:
        came = "the generators that a model is shown come with the package reasoning-gym, which is not installed"
        raise BadInput(f"{came}; expected it; {ADVICE}")
    return Path(spec.submodule_search_locations[0], "arc")


def read_examples(package: Path) -> tuple[ShownGenerator, ...]:
    """The ten, from `folder()`. Raises `BadInput` where one is not there."""
    files = sorted((package / "rearc_utils" / "generators").glob("generators_*.py"))
    text = "\n".join(file.read_text() for file in files)
    return tuple(
        ShownGenerator(task_id, description, _source(text, task_id, package))
        for task_id, description in DESCRIPTIONS.items()
    )


def _source(text: str, task_id: str, package: Path) -> str:
    """The function that generates a task's pairs, from its first line to the next that is not indented, renamed."""
    function = re.search(rf"^def generate_{task_id}(\(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE)
    if function is None:
        came = f"{package} has no function generate_{task_id}"
        raise BadInput(f"{came}; expected RE-ARC's generators as reasoning-gym 0.1.25 has them; {ADVICE}")
    return f"def generate{function[1].rstrip()}\n"
