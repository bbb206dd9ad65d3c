"""Placeholders: two different valid grids for each test input, guessed from the shapes that the demonstrations show."""

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from solver.data.tasks import TaskSet
from solver.types import COLOURS, MAX_SIDE, Attempts, Candidate, Grid, Pair, Program, Task, View, same

PLACEHOLDER_COST = 1.0  # steps: of a placeholder that counts as a program
UNREADABLE_SIDE = 3  # cells: the side of the placeholder for a test input nobody can read; the commonest output side


def placeholders(inputs: Sequence[Grid | None], demonstrations: Sequence[Pair] = ()) -> tuple[Attempts, ...]:
    """Two different valid grids for each test input (None: unreadable), guessed from the demonstrations' shapes."""
    pairs = []
    for grid in inputs:
        unreadable = np.zeros((UNREADABLE_SIDE, UNREADABLE_SIDE), dtype=np.uint8)
        guesses = _guesses(unreadable if grid is None else grid, demonstrations)
        first = next(guesses)
        pairs.append((first, next(guess for guess in guesses if not same(first, guess))))
    return tuple(pairs)


def placeholders_for(task_set: TaskSet) -> dict[str, tuple[Attempts, ...]]:
    """Placeholders for every id of the set, malformed ones included: id → one entry a test input."""
    shown = {task.id: task.demonstrations for task in task_set.tasks}
    return {task_id: placeholders(inputs, shown.get(task_id, ())) for task_id, inputs in task_set.test_inputs.items()}


def proven_for(task_set: TaskSet) -> dict[str, tuple[tuple[Candidate, ...], ...]]:
    """What is `proven` of each task of the set of which anything is."""
    return {task.id: candidates for task in task_set.tasks if any(candidates := proven(task))}


def proven(task: Task) -> tuple[tuple[Candidate, ...], ...]:
    """For each test input the guesses by ways that reproduce every demonstration, and one that they were not told of.

    Simple programs, that is. What reproduces only what it was told is none: any single cell can be recoloured.
    """
    shown = task.demonstrations
    ways = set.intersection(*(_right_ways(pair, shown) for pair in shown)) if shown else set()
    if not ways:
        return tuple(() for _ in task.tests)
    untold = [_right_ways(pair, [other for other in shown if other is not pair]) for pair in shown]
    generalises = {way: sum(way in right for right in untold) / len(shown) for way in ways}
    programs = {
        way: Program(f"placeholder: {way}", PLACEHOLDER_COST, share) for way, share in generalises.items() if share
    }
    return tuple(
        tuple(
            Candidate(guess, View(), 0.0, program=programs[way])
            for way, guess in _guessed(grid, shown)
            if way in programs
        )
        for grid in task.tests
    )


def _right_ways(pair: Pair, demonstrations: Sequence[Pair]) -> set[str]:
    """The ways to guess by these demonstrations that give the pair's output; none where there are none of them."""
    if not demonstrations:
        return set()
    return {way for way, guess in _guessed(pair.input, demonstrations) if same(guess, pair.output)}


def _guesses(grid: Grid, demonstrations: Sequence[Pair]) -> Iterator[Grid]:
    return (guess for _, guess in _guessed(grid, demonstrations))


def _guessed(grid: Grid, demonstrations: Sequence[Pair]) -> Iterator[tuple[str, Grid]]:
    """Grids of the guessed shape by the way they come about, likeliest first; always at least two different ones."""
    rows, columns = output_shape(grid, demonstrations)
    if (rows, columns) == grid.shape:
        yield "recoloured", _recolour(demonstrations)[grid]
        yield "as it is", grid
    elif rows % grid.shape[0] == 0 and columns % grid.shape[1] == 0:
        yield "repeated", np.tile(grid, (rows // grid.shape[0], columns // grid.shape[1]))
    used = Counter(int(cell) for pair in demonstrations for cell in pair.output.flat)
    for colour in sorted(range(COLOURS), key=lambda colour: (-used[colour], colour)):
        yield f"filled with {colour}", np.full((rows, columns), colour, dtype=np.uint8)


def _recolour(demonstrations: Sequence[Pair]) -> NDArray[np.uint8]:
    """uint8 [10]: what each colour most often becomes where a demonstration keeps its shape; itself if never seen."""
    seen = np.eye(COLOURS, dtype=np.int64)  # a tie, or no sight at all, goes to the colour itself
    for pair in demonstrations:
        if pair.input.shape == pair.output.shape:
            np.add.at(seen, (pair.input, pair.output), 2)
    becomes: NDArray[np.uint8] = seen.argmax(axis=1).astype(np.uint8)
    return becomes


def output_shape(grid: Grid, demonstrations: Sequence[Pair]) -> tuple[int, int]:
    """The (rows, columns) to expect for a test input, each 1 to 30, each side guessed on its own."""
    rows, columns = (
        _side(grid.shape[axis], [(pair.input.shape[axis], pair.output.shape[axis]) for pair in demonstrations])
        for axis in (0, 1)
    )
    return rows, columns


def _side(side: int, shown: Sequence[tuple[int, int]]) -> int:
    """The output side that belongs to the input side: kept, else constant, else scaled, else as the input."""
    if all(before == after for before, after in shown):
        return side
    if len({after for _, after in shown}) == 1:
        return shown[0][1]
    scales = {Fraction(after, before) for before, after in shown}
    scaled = side * scales.pop()
    return int(scaled) if not scales and scaled.denominator == 1 and 1 <= scaled <= MAX_SIDE else side
