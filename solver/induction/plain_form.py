"""The question for a model that was not trained on puzzles: what is wanted, the helpers there are, one solved puzzle.

What is the same for every task comes first, then the task's demonstrations, then one test input, so that the engine
reads each once however often it asks. The reply is begun for the model: its tokens go into a program, not into talk.
Invariant: the solved puzzle is of this project, of no data set, and its program solves it.
"""

import numpy as np

from solver.types import Grid, Pair, Task

SYSTEM = "You find the rule behind pairs of grids and write it as a Python function. You reply with code alone."
SIGNATURE = "def transform(grid: np.ndarray) -> np.ndarray"
HEAD = f"from common import *\n\n{SIGNATURE}:\n    # Rule:"  # every program begins so
OPENING = f"```python\n{HEAD}"  # of a reply; it ends as a token does, with what no tokenizer joins to the next word
HELPERS = """\
find_connected_components(grid, background=0, connectivity=4, monochromatic=True): list of objects
crop(grid, background=0): the part of an object's array that holds it
bounding_box(grid, background=0): (first row, first column, rows, columns) of an object's array
object_colors(obj, background=0): list of its colours
object_interior(grid, background=0): boolean mask of an object and what it encloses
translate(obj, x, y, background=0): the object moved down by x and right by y
blit_object(grid, obj, background=0): draws an object where it lies, in place
blit_sprite(grid, sprite, x, y, background=0): draws an array with its first cell at row x, column y, in place
flood_fill(grid, x, y, color, connectivity=4): recolours the region around row x, column y, in place
draw_line(grid, x, y, direction=(0, 1), color=1, stop_at_color=[]): draws to the edge, in place
scale_sprite(sprite, factor): each cell as a square of factor x factor cells
"""
START = f"""\
A puzzle shows pairs of an input grid and an output grid. One rule makes every output from its input. Write the rule as

{SIGNATURE}

`grid` is a 2D NumPy array of integers 0 to 9, not text: grid.shape is (rows, columns), grid[row, column] is a colour, \
0 is mostly the background. Return a new 2D array of integers. The rule must also hold for the test input, whose \
output nobody shows you, so compute the output and never copy the examples.

`from common import *` gives `np` and these helpers, where an object is an array of the grid's shape that holds the \
object where it lies and the background elsewhere:
{HELPERS}
Reply with one Python block. In it, a comment says the rule in a line, then the code follows.

"""
SOLVED = Task(
    "solved",
    (
        Pair(
            np.array([[0, 0, 0, 0, 0], [0, 2, 2, 0, 0], [0, 2, 0, 0, 5], [0, 0, 0, 0, 5]], dtype=np.uint8),
            np.array([[2, 2], [2, 0]], dtype=np.uint8),
        ),
        Pair(
            np.array([[8, 0, 0], [8, 0, 3], [8, 0, 0]], dtype=np.uint8),
            np.array([[8], [8], [8]], dtype=np.uint8),
        ),
    ),
    (np.array([[4, 0, 0, 0], [0, 0, 6, 6], [0, 0, 6, 6]], dtype=np.uint8),),
)
PROGRAM = f"""\
{HEAD} the largest object is cut out.
    objects = find_connected_components(grid, background=0, connectivity=8)
    largest = max(objects, key=np.count_nonzero)
    return crop(largest, background=0)
"""
CLOSING = "Write `transform` for this puzzle."


def array(grid: Grid) -> str:
    """A grid as the Python text of an array, a row a line, with no space that would be a token."""
    rows = ("[" + ",".join(str(int(cell)) for cell in row) + "]" for row in grid)
    return "np.array([" + ",\n".join(rows) + "])\n"


def puzzle(task: Task, test: int) -> str:
    """A task's demonstrations, then test input number `test`."""
    shown = [
        f"Example {number}, input of shape {pair.input.shape}:\n{array(pair.input)}"
        f"Example {number}, output of shape {pair.output.shape}:\n{array(pair.output)}\n"
        for number, pair in enumerate(task.demonstrations, 1)
    ]
    return "".join(shown) + f"Test input of shape {task.tests[test].shape}:\n{array(task.tests[test])}\n"


def text(task: Task, test: int) -> str:
    """What a model is asked, after `SYSTEM`: a program that solves the task, shown test input number `test`."""
    solved = f"A solved puzzle:\n\n{puzzle(SOLVED, 0)}{CLOSING}\n\n```python\n{PROGRAM}```\n\n"
    return f"{START}{solved}The puzzle to solve:\n\n{puzzle(task, test)}{CLOSING}"
