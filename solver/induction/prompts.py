"""How a code model is asked for a program, and how the program is found in what it says.

The question is the one BARC's induction models were trained on (arXiv 2411.02272, and the models' published cards), to
the word: grids as rows of colour words, a line asking for a function `transform`, one test input shown. Other models
understand it too. Text is searched, never parsed or evaluated here.
"""

import re

from solver.types import Grid, Task

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
