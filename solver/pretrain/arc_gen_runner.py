"""`python arc_gen_runner.py CHECKOUT ID SEED COUNT`: pairs of one of ARC-GEN's generators, a line of JSON each.

It runs by itself, in a process that may be ended: it imports nothing of this program. The generators draw from
Python's global generator, which is seeded anew before each pair.
"""

import importlib
import json
import random
import sys

TRIES = 20  # draws for one pair before it is given up


def main(argv: list[str]) -> int:
    """Print at most `COUNT` pairs as [input, output]; a draw that fails, or gives what is no grid, is drawn again."""
    directory, task_id, seed, count = argv[0], argv[1], int(argv[2]), int(argv[3])
    sys.path.insert(0, directory)
    generate = importlib.import_module(f"tasks.task_{task_id}").generate
    printed = 0
    for draw in range(count * TRIES):
        if printed == count:
            break
        random.seed(f"{seed}/{draw}")
        try:
            pair = generate()
        except (ArithmeticError, LookupError, ValueError, TypeError):
            continue
        grids = [pair["input"], pair["output"]]
        if all(map(sound, grids)):
            print(json.dumps(grids))
            printed += 1
    return 0


def sound(grid: list[list[int]]) -> bool:
    """Whether rows are a grid: 1 to 30 of 1 to 30 colours, all of one length."""
    widths = {len(row) for row in grid}
    cells_are_colours = all(cell in range(10) for row in grid for cell in row)
    return 1 <= len(grid) <= 30 and len(widths) == 1 and 1 <= min(widths) <= max(widths) <= 30 and cells_are_colours


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
