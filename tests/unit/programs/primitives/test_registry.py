"""Every primitive by its laws: pure, described, the same in every direction."""

from __future__ import annotations

import inspect
from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.data.views import DIHEDRALS, apply, invert
from solver.programs import search as _all  # noqa: F401  the primitives register themselves
from solver.programs.primitives.registry import INPUT_COLOURED, JOINS, OUTPUT_COLOURED, SPLITS, UNARY, checked
from solver.types import Grid, View, key
from tests.support.each import each

COLOURED = {**INPUT_COLOURED, **OUTPUT_COLOURED}


EVERY = [p for table in (UNARY, COLOURED, SPLITS, JOINS) for p in table.values()]


SHAPES = ((3, 3), (4, 6), (6, 4), (5, 9), (10, 7), (2, 2), (1, 5), (8, 8), (12, 10), (9, 3))


SIDES = st.sampled_from((1, 2, 3, 4, 6, 9))


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Small grids, mostly background, as tasks have them."""
    rows, columns = draw(SIDES), draw(SIDES)
    palette = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    cells = draw(st.lists(st.sampled_from([0, *palette]), min_size=rows * columns, max_size=rows * columns))
    return np.array(cells, np.uint8).reshape(rows, columns)


def lawful(run, given_grids):
    """What it returns is a grid or None, the same each time, and its arguments stay as they are."""
    before = [key(g) for g in given_grids]
    first, second = checked(run()), checked(run())
    assert [key(g) for g in given_grids] == before
    assert (first is None) == (second is None)
    if first is not None:
        assert first.dtype == np.uint8
        assert first.max() <= 9
        assert key(first) == key(second)


@each("primitive", UNARY.values(), lambda p: p.name)
@settings(max_examples=8)
@given(grid=grids())
def test_a_primitive_of_one_grid_keeps_the_laws(primitive, grid):
    lawful(partial(primitive.run, grid), [grid])


@each("primitive", COLOURED.values(), lambda p: p.name)
@settings(max_examples=8)
@given(grid=grids(), colour=st.integers(1, 9))
def test_a_primitive_with_a_colour_keeps_the_laws(primitive, grid, colour):
    lawful(partial(primitive.run, grid, colour), [grid])


@each("primitive", SPLITS.values(), lambda p: p.name)
@settings(max_examples=8)
@given(grid=grids())
def test_parts_are_grids_no_larger_than_the_whole(primitive, grid):
    before = key(grid)
    parts, again = primitive.run(grid), primitive.run(grid)
    assert key(grid) == before
    assert (parts is None) == (again is None)
    for part, same in zip(parts or (), again or (), strict=True):
        assert part.dtype == np.uint8
        assert key(part) == key(same)
        assert 1 <= part.shape[0] <= grid.shape[0]
        assert 1 <= part.shape[1] <= grid.shape[1]


@each("primitive", JOINS.values(), lambda p: p.name)
@settings(max_examples=8)
@given(parts=st.lists(grids(), min_size=1, max_size=4), alike=st.booleans())
def test_a_primitive_of_parts_keeps_the_laws(primitive, parts, alike):
    parts = tuple(np.resize(p, parts[0].shape) for p in parts) if alike else tuple(parts)
    lawful(partial(primitive.run, parts), parts)


SIBLINGS = (
    "column_colours_down row_colours_across",
    "each_flipped_left_right each_flipped_up_down",
    "rotate_90 rotate_270",
    "flip_left_right flip_up_down",
    "transpose transpose_other",
    "mirror_right mirror_left mirror_down mirror_up",
    "roll_right roll_left roll_down roll_up",
    "shift_right shift_left shift_down shift_up",
    "rays_right rays_left rays_down rays_up",
    "rays_down_right rays_down_left rays_up_right rays_up_left",
    "lines_across lines_down",
    "connect_across_with connect_down_with",
    "fall_right fall_left fall_down fall_up",
    "drop_left drop_up",
    "drop_colours_right drop_colours_down",
    "sort_rows sort_columns",
    "with_mirror_left_right with_mirror_up_down",
    "repeat_right_pattern repeat_down_pattern",
    "alternate_rows alternate_columns",
    "continue_rows continue_columns continue_columns_up",
    "fill_rows_periodically fill_columns_periodically",
)


@each("names", SIBLINGS)
def test_what_has_a_direction_is_the_same_in_every_other(names):
    """Each is the first of them, seen turned or mirrored."""
    random = np.random.default_rng(0)
    shown = [(random.integers(0, 4, (r, c)) * (random.random((r, c)) < 0.5)).astype(np.uint8) for r, c in SHAPES]
    first, *others = [
        UNARY[name].run if name in UNARY else lambda g, run=COLOURED[name].run: run(g, 3) for name in names.split()
    ]

    def seen(view: View) -> list[tuple[int, int, bytes] | None]:
        made = [checked(first(apply(view, g))) for g in shown]
        return [None if g is None else key(invert(view, g)) for g in made]

    ways = [seen(View(dihedral)) for dihedral in range(DIHEDRALS)]
    for run in others:
        made = [checked(run(g)) for g in shown]
        assert [None if g is None else key(g) for g in made] in ways


@each("primitive", EVERY, lambda p: p.name)
def test_every_primitive_says_what_it_does_and_has_a_cost(primitive):
    assert (inspect.getdoc(primitive.run) or "").endswith(".")
    assert primitive.cost > 0
