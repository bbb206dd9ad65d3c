"""What a model is asked, and what is taken from its replies.

Of the three ways of arXiv 2411.07279 (version 1, section 5.1) those that have descriptions: `joint`, a description
and its generator in one reply; `two-step`, descriptions first, then a generator for each. The wording is this
project's. A reply is searched, never parsed or evaluated here.

Law: of the questions of one batch, all that comes before the description is the same text, which the engine reads once.
"""

import re
from collections.abc import Sequence

from solver.generators.examples import HEADER, ShownGenerator
from solver.induction import replies
from solver.induction.replies import FENCE, blocks
from solver.induction.sandbox.sandbox import readable

JOINT, TWO_STEP = WAYS = ("joint", "two-step")
SYSTEM = "You are an expert Python programmer, who designs puzzles that are new, clear and can be solved."
FORM = "(rng: random.Random, diff_lb: float, diff_ub: float) -> dict"
INTRODUCTION = (
    "Here are generators of grid puzzles. A puzzle is one rule that turns an input grid into an output grid. Grids "
    "have 1 to 30 rows and columns, and each cell is a colour from 0 to 9. A generator draws a new pair of an input "
    "and the output that the puzzle's rule gives for it. Each is a Python function "
    f"`generate{FORM}`, and before it stands\n```python\n{HEADER.strip()}\n```\n"
)
DESCRIPTIONS_INTRODUCTION = (
    "Here are grid puzzles. Each is one rule that turns an input grid of coloured cells into an output grid.\n\n"
)
RULES = (
    "Its rule is new, different from all above. The output follows from the input alone: whoever sees a few pairs can "
    "work it out. It draws all random numbers from `rng`, varies sizes and colours from pair to pair, and returns "
    '{{"input": gi, "output": go}}. It uses only functions that the generators above use, and plain Python.\n'
)
JOINT_TASK = (
    "Write puzzle {number}. " + RULES + "First a line that begins with `Description:`, then the function `generate` in "
    "one ```python block, and nothing after it."
)
DESCRIPTION_TASK = (
    "Write the description of puzzle {number}. Its rule is new, different from all above, and a program could carry it "
    "out. Answer with one line that begins with `Description:`."
)
GENERATOR_TASK = (
    "Write the function `generate` of puzzle {number} in one ```python block, and nothing after it. " + RULES + "\n"
    "Puzzle {number}\nDescription: {description}"
)
DEFINES = re.compile(r"^def generate\(", re.MULTILINE)
DESCRIBES = re.compile(r"^[ \t*#>`]*description[ \t*`]*:[ \t*`]*(\S.*)$", re.IGNORECASE | re.MULTILINE)


def joint_question(examples: Sequence[ShownGenerator]) -> str:
    """Asks for a description with its generator, shown examples of both."""
    return _shown(examples) + JOINT_TASK.format(number=len(examples) + 1)


def description_question(examples: Sequence[ShownGenerator]) -> str:
    """Asks for a description, shown those of the examples."""
    lines = [f"Puzzle {n}\nDescription: {example.description}\n\n" for n, example in enumerate(examples, 1)]
    return DESCRIPTIONS_INTRODUCTION + "".join(lines) + DESCRIPTION_TASK.format(number=len(examples) + 1)


def generator_question(examples: Sequence[ShownGenerator], description: str) -> str:
    """Asks for the generator of a description, shown examples of both."""
    return _shown(examples) + GENERATOR_TASK.format(number=len(examples) + 1, description=description)


def _shown(examples: Sequence[ShownGenerator]) -> str:
    parts = [
        f"Puzzle {n}\nDescription: {example.description}\n```python\n{example.source}```\n\n"
        for n, example in enumerate(examples, 1)
    ]
    return f"{INTRODUCTION}\n{''.join(parts)}"


def description_in(reply: str) -> str:
    """The first line of a reply that begins with `Description:`, as one printable line; empty where there is none."""
    described = DESCRIBES.search(reply)
    return readable(described[1]) if described else ""


def description_alone(reply: str) -> str:
    """The description in a reply that was to be nothing else: one line may lack its beginning."""
    return description_in(reply) or ("" if "\n" in reply.strip() else readable(reply.strip()))


def is_whole(reply: str) -> bool:
    """Whether a reply holds a whole generator: a fenced block that defines `generate`, and its end."""
    return replies.is_whole(reply, DEFINES)


def generator_in(reply: str) -> str:
    """The generator in a reply: the first fenced block that defines `generate`, empty where there is none.

    A block whose end was cut off counts too; a reply that is nothing but a program needs no fence.
    """
    if FENCE not in reply:
        return reply if DEFINES.search(reply) else ""
    return next((block for block, _ in blocks(reply) if DEFINES.search(block)), "")
