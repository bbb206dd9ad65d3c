"""The question that BARC's induction models were trained on, to the word (arXiv 2411.02272, and their published cards).

Grids are rows of colour words; a line asks for a function `transform`; one test input is shown, near the end.
"""

from solver.types import Grid, Task

WORDS = ("Black", "Blue", "Red", "Green", "Yellow", "Gray", "Pink", "Orange", "Purple", "Brown")  # the colours 0 to 9
SYSTEM = (
    "You are a world-class puzzle solver with exceptional pattern recognition skills and expertise in Python "
    "programming. Your task is to analyze puzzles and provide Python solutions."
)
START = (
    "Given input-output grid pairs as reference examples, carefully observe the patterns to predict the output grid "
    "for new test input. Each pair follows the same transformation rule. Grids are 2D arrays represented as strings, "
    "with cells (colors) separated by spaces and rows by newlines.\n"
    "Here are the input and output grids for the reference examples:\n"
)
CLOSING = (
    "Write a Python function `transform` that can convert any given input grid to its corresponding output grid based "
    "on the pattern observed in the reference examples."
)


def words(grid: Grid) -> str:
    """A grid as lines of colour words, each line ended."""
    return "".join(" ".join(WORDS[int(cell)] for cell in row) + "\n" for row in grid)


def text(task: Task, test: int) -> str:
    """What a model is asked, after `SYSTEM`: a program that solves the task, shown test input number `test`."""
    shown = [
        f"Example {number}\nInput:\n{words(pair.input)}\nOutput:\n{words(pair.output)}\n\n"
        for number, pair in enumerate(task.demonstrations, 1)
    ]
    ending = f"Here is the input grid for the test example:\nInput:\n{words(task.tests[test])}\n{CLOSING}"
    return START + "".join(shown) + ending
