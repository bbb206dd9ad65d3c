"""Every primitive by its laws, and some of them by hand."""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.analysis import uses
from solver.data import tasks
from solver.data.views import DIHEDRALS, apply, invert
from solver.programs import batch
from solver.programs.primitives import regions
from solver.programs.primitives.registry import INPUT_COLOURED, JOINS, OUTPUT_COLOURED, SPLITS, UNARY, checked
from solver.programs.solve import NODES
from solver.types import Grid, View, key

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


@pytest.mark.parametrize("primitive", UNARY.values(), ids=lambda p: p.name)
@settings(max_examples=8)
@given(grid=grids())
def test_a_primitive_of_one_grid_keeps_the_laws(primitive, grid):
    lawful(partial(primitive.run, grid), [grid])


@pytest.mark.parametrize("primitive", COLOURED.values(), ids=lambda p: p.name)
@settings(max_examples=8)
@given(grid=grids(), colour=st.integers(1, 9))
def test_a_primitive_with_a_colour_keeps_the_laws(primitive, grid, colour):
    lawful(partial(primitive.run, grid, colour), [grid])


@pytest.mark.parametrize("primitive", SPLITS.values(), ids=lambda p: p.name)
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


@pytest.mark.parametrize("primitive", JOINS.values(), ids=lambda p: p.name)
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


TABLE = Path(__file__).parents[3] / "notebooks" / "primitives.md"


def helped() -> dict[str, tuple[str, list[str]]]:
    """Of the page that says which tasks each primitive helped to solve: name → (what it gives, tasks)."""
    rows = [row.strip("| ").split(" | ") for row in TABLE.read_text().splitlines() if row.startswith("| `")]
    return {name.strip("`"): (what, tasks_.split()) for name, _, what, _, tasks_ in rows}


def test_every_primitive_has_a_task_on_its_page_and_is_described_there():
    assert list(helped()) == uses.names()
    for primitive in EVERY:
        what, tasks_ = helped()[primitive.name]
        assert what == " ".join((inspect.getdoc(primitive.run) or "").split())
        assert tasks_ != ["–"], f"{primitive.name} helped to solve no task: remove it, or show one ({TABLE})"


@pytest.mark.parametrize(
    ("name", "task_id"),
    [("crop", "2013d3e2"), ("fractal", "cce03e0d"), ("halves_across", "0520fde7"), ("in_one", "99b1bc43")],
)
def test_a_task_on_the_page_is_solved_with_the_primitive(name, task_id):
    assert task_id in helped()[name][1]
    task = tasks.select(tasks.load_split("arc1-training"), [task_id], None).tasks[0]
    line = batch.score(batch.answer(task, 60.0, NODES), tasks.load_solutions("arc1-training")[task_id])
    assert line.solved
    assert any(name in used for used, right in zip(line.primitives, line.right, strict=True) if right)


@pytest.mark.parametrize("names", SIBLINGS)
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


@pytest.mark.parametrize("primitive", EVERY, ids=lambda p: p.name)
def test_every_primitive_says_what_it_does_and_has_a_cost(primitive):
    assert (inspect.getdoc(primitive.run) or "").endswith(".")
    assert primitive.cost > 0


def grid(*rows: str) -> Grid:
    """A grid from text: one string a row, `.` is background."""
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], np.uint8)


BY_HAND = {
    "flip_left_right": ((("12", "3."),), ("21", ".3")),
    "fractal": ((("1.", ".2"),), ("1...", ".2..", "..1.", "...2")),
    "crop": ((("...", ".12"),), ("12",)),
    "drop_repeats": ((("11", "11", "22"),), ("1", "2")),
    "smallest_tile": ((("121212", "343434"),), ("12", "34")),
    "reverse_rings": ((("1111", "1221", "1221", "1111"),), ("2222", "2112", "2112", "2222")),
    "fill_enclosed_as_around": ((("333", "3.3", "333"),), ("333", "333", "333")),
    "largest_only": ((("11.2", "1..2"),), ("11..", "1...")),
    "remove_single": ((("1.22",),), ("..22",)),
    "rays_right": ((("1..2.",),), ("11122",)),
    "rays_down_right": ((("1..", "...", "..."),), ("1..", ".1.", "..1")),
    "connect_across": ((("1..1", "1..2"),), ("1111", "1..2")),
    "fall_down": ((("12", "..", ".3"),), ("..", ".2", "13")),
    "with_mirror_left_right": ((("12..",),), ("1221",)),
    "complete_tiles_of_background": ((("1212", "1.12", "1212"),), ("1212", "1212", "1212")),
    "colours_of_lattice": ((("1.5.2", "..5..", "55555", "3.5.4"),), ("12", "34")),
    "histogram": ((("11.2",),), ("12", "1.")),
    "copies_completed": ((("121...", ".3....", "....21", "......"),), ("121...", ".3....", "...121", "....3.")),
    "copies_without_model": ((("121...", ".3....", "......", "....3."),), ("......", "......", "...121", "....3.")),
    "mirrors_around_symmetric": ((("2.....", "..11..", "..11..", ".3...."),), ("23..32", "..11..", "..11..", "23..32")),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_a_primitive_does_what_was_worked_out_by_hand(name):
    (given_rows,), wanted = BY_HAND[name]
    made = checked(UNARY[name].run(grid(*given_rows)))
    assert made is not None
    assert made.tolist() == grid(*wanted).tolist()


def test_a_copy_is_laid_as_what_there_is_of_it():
    made = UNARY["copies_completed"].run(grid("123....", "......3", "......2", "......."))
    assert made.tolist() == grid("123....", "......3", "......2", "......1").tolist()


def test_flooding_stops_at_walls():
    made = INPUT_COLOURED["flood"].run(grid("3.1.", "..1."), 3)
    assert made.tolist() == grid("331.", "331.").tolist()


def test_regions_come_in_reading_order_with_their_boxes():
    found = regions.of_colour(grid(".22.", ".2.1", "3..1"))
    assert [(r.colour, r.top, r.left, r.size) for r in found] == [(2, 0, 1, 3), (1, 1, 3, 2), (3, 2, 0, 1)]


def test_a_hole_is_enclosed_and_a_bay_is_not():
    assert regions.enclosed(grid("1111", "1.1.", "1111")).tolist()[1] == [False, True, False, False]
    assert regions.holes(grid("111", "1.1", "111") != 0) == 1


def test_the_odd_part_is_the_one_there_is_least_of():
    parts = (grid("1"), grid("2"), grid("1"))
    assert JOINS["odd_one_out"].run(parts).tolist() == [[2]]
