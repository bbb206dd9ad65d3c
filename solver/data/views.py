"""Views: invertible augmentations of a task, applied to grids and taken back.

Law: `invert(view, apply(view, grid))` equals the grid, for every view and grid.
"""

import math

import numpy as np

from solver.types import COLOURS, Grid, Pair, Task, View, seed_for

DIHEDRALS = 8  # symmetries of the square: four rotations, and the same after a transposition
IDENTITY = View()


def dihedral(grid: Grid, element: int) -> Grid:
    """Element 0–7 of the square's symmetry group: transposed if element ≥ 4, then turned element % 4 quarter turns."""
    turned = np.rot90(grid.T if element >= 4 else grid, element % 4)
    return np.ascontiguousarray(turned)


def undo_dihedral(grid: Grid, element: int) -> Grid:
    """The inverse of `dihedral`."""
    turned = np.rot90(grid, -(element % 4))
    return np.ascontiguousarray(turned.T if element >= 4 else turned)


def recolour(grid: Grid, colours: tuple[int, ...]) -> Grid:
    """Replace each colour c by colours[c]."""
    return np.asarray(colours, dtype=np.uint8)[grid]


def apply(view: View, grid: Grid) -> Grid:
    """The grid as the view shows it."""
    return dihedral(recolour(grid, view.colours), view.dihedral)


def invert(view: View, grid: Grid) -> Grid:
    """The grid in the task's own frame, from the grid as the view shows it."""
    back = tuple(int(c) for c in np.argsort(view.colours))
    return recolour(undo_dihedral(grid, view.dihedral), back)


def apply_task(view: View, task: Task) -> Task:
    """The whole task as the view shows it, its demonstrations in the view's order."""
    order = view.order or tuple(range(len(task.demonstrations)))
    shown = tuple(task.demonstrations[i] for i in order)
    return Task(
        task.id,
        tuple(Pair(apply(view, p.input), apply(view, p.output)) for p in shown),
        tuple(apply(view, t) for t in task.tests),
    )


def draw_colours(rng: np.random.Generator, keep_black: bool) -> tuple[int, ...]:
    """A random permutation of the ten colours, colour 0 (the usual background) staying itself if `keep_black`."""
    if not keep_black:
        return tuple(int(c) for c in rng.permutation(COLOURS))
    return (0, *(int(c) + 1 for c in rng.permutation(COLOURS - 1)))


def views(task: Task, count: int, seed: int, purpose: str, orders: int = 1) -> list[View]:
    """`count` views of a task: the identity first, then the dihedrals in turn, each in an order of its own.

    The first eight are the eight dihedrals with the colours as they are, so that few views still cover the
    symmetries; later rounds permute the colours, black fixed in every other round. `orders`: rounds that show the same
    colours, with the demonstrations in other orders; fewer where there are not so many orders.
    """
    rng = np.random.default_rng(seed_for(seed, task.id, purpose))
    given = tuple(range(len(task.demonstrations)))
    orders = min(orders, math.factorial(len(given)))
    drawn: list[View] = []
    for i in range(count):
        again, rounds = i // DIHEDRALS % orders, i // DIHEDRALS // orders
        order = tuple(int(j) for j in rng.permutation(len(given)))
        colours = draw_colours(rng, keep_black=rounds % 2 == 1)
        alike = drawn[i - again * DIHEDRALS :: DIHEDRALS]
        while order in [view.order or given for view in alike]:
            order = tuple(int(j) for j in rng.permutation(len(given)))
        shown = alike[0].colours if alike else IDENTITY.colours if rounds == 0 else colours
        drawn.append(View(i % DIHEDRALS, shown, () if i == 0 else order))
    return drawn
