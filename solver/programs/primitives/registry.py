"""The typed primitives by name: grid → grid, grid and colour → grid, grid → parts, parts → grid.

Laws: a primitive is a pure function; it returns None where it has nothing to say, and what it returns is checked here,
once for all: 1 to 30 rows and columns. Colour 0 is the background; a task with another is recoloured by `solve`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

from solver.data.views import dihedral, undo_dihedral
from solver.types import MAX_SIDE, Grid

F = TypeVar("F")
G = TypeVar("G")

Parts: TypeAlias = tuple[Grid, ...]
"""Pieces of a grid, in reading order; at least one."""
Unary: TypeAlias = Callable[[Grid], Grid | None]
Coloured: TypeAlias = Callable[[Grid, int], Grid | None]
Split: TypeAlias = Callable[[Grid], Parts | None]
Join: TypeAlias = Callable[[Parts], Grid | None]


@dataclass(frozen=True)
class Primitive(Generic[F]):
    """A named function and what a use of it adds to a program's cost (description length; 1 is usual)."""

    name: str
    run: F
    cost: float


UNARY: dict[str, Primitive[Unary]] = {}
INPUT_COLOURED: dict[str, Primitive[Coloured]] = {}  # the colour is one that is in every input
OUTPUT_COLOURED: dict[str, Primitive[Coloured]] = {}  # the colour is one that is in every output
SPLITS: dict[str, Primitive[Split]] = {}
JOINS: dict[str, Primitive[Join]] = {}


def register(table: dict[str, Primitive[F]], cost: float = 1.0) -> Callable[[F], F]:
    """Put the decorated function into the table under its own name."""

    def add(function: F) -> F:
        name = str(getattr(function, "__name__", ""))
        table[name] = Primitive(name, function, cost)
        return function

    return add


def define(table: dict[str, Primitive[F]], name: str, doc: str, function: F, cost: float = 1.0) -> None:
    """Put a function made elsewhere, which is not used otherwise, into the table: `doc` says what it gives."""
    function.__doc__ = doc
    table[name] = Primitive(name, function, cost)


def variants(table: dict[str, Any] = UNARY, cost: float = 1.0, **ways: Any) -> Callable[[G], G]:
    """Register the decorated function once for each choice of its last arguments, as name=(*these, what it gives)."""

    def add(function: G) -> G:
        for name, (*values, doc) in ways.items():
            define(table, name, doc, bound(function, *values), cost)
        return function

    return add


def bound(function: Any, *values: Any) -> Any:
    """The function with its last arguments given."""
    return lambda *arguments: function(*arguments, *values)


def in_directions(table: dict[str, Any] = UNARY, **ways: Any) -> Callable[[G], G]:
    """Register the decorated function once for each way of seeing a grid, as name=(dihedral, *more, what it gives).

    It works on the grid as `views.dihedral` shows it, and what it returns, a grid or parts, is turned back.
    """

    def add(function: Any) -> Any:
        def seen(grid: Grid, element: int, *values: Any) -> Grid | Parts | None:
            result = function(dihedral(grid, element), *values)
            if isinstance(result, tuple):
                return tuple(undo_dihedral(part, element) for part in result)
            return None if result is None else undo_dihedral(result, element)

        variants(table, **ways)(seen)
        return function

    return add


def to_each_side(name: str, doc: str) -> Callable[[G], G]:
    """Register what the decorated function does to the right in all four directions; `doc`: {} says where to."""
    sides = {"right": (0, "to the right"), "down": (1, "downwards"), "left": (2, "to the left"), "up": (3, "upwards")}
    ways: dict[str, Any] = {f"{name}_{side}": (turns, doc.format(to)) for side, (turns, to) in sides.items()}
    return in_directions(**ways)


def checked(grid: Grid | None) -> Grid | None:
    """The grid as contiguous uint8, or None where it is none: a side is 0 or too long."""
    if grid is None or grid.ndim != 2 or not (1 <= grid.shape[0] <= MAX_SIDE and 1 <= grid.shape[1] <= MAX_SIDE):
        return None
    return np.ascontiguousarray(grid, np.uint8)
