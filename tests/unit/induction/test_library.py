"""What written programs may use: colours, objects, drawing and symmetries, each on a case worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from solver.induction import library, symmetries
from solver.induction.barc_form import WORDS
from solver.induction.library import Color

grids = arrays.arrays(np.int64, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(0, 3))

RING = np.array([[0, 2, 2, 2, 0], [0, 2, 0, 2, 0], [0, 2, 2, 2, 0], [0, 0, 0, 0, 5]])


def rows(array) -> list[list[int]]:
    return np.asarray(array).astype(int).tolist()


def test_the_words_of_a_prompt_name_the_colours_of_the_library():
    assert [getattr(Color, word.upper()) for word in WORDS] == list(range(10))
    assert (Color.GREY, Color.TEAL, Color.MAROON) == (5, 8, 9)
    assert [Color.BLACK, *Color.NOT_BLACK] == Color.ALL_COLORS


@pytest.mark.parametrize(("connectivity", "filled"), [(4, [[7, 7], [1, 0]]), (8, [[7, 7], [1, 0]])])
def test_a_flood_fill_recolours_one_region_of_one_colour(connectivity, filled):
    grid = np.array([[0, 0], [1, 0]])
    library.flood_fill(grid, 0, 0, 7, connectivity)
    assert rows(grid) == [[7, 7], [1, 7]]
    corners = np.array([[0, 1], [1, 0]])
    library.flood_fill(corners, 0, 0, 7, connectivity)
    assert rows(corners) == ([[7, 1], [1, 0]] if connectivity == 4 else [[7, 1], [1, 7]])


def test_a_line_goes_to_its_end_to_the_edge_or_for_a_length():
    grid = np.zeros((4, 4), dtype=int)
    assert library.draw_line(grid, 0, 0, end_x=2, end_y=2, color=1) == (2, 2)
    assert library.draw_line(grid, 3, 0, direction=(0, 1), color=2) == (3, 3)
    assert library.draw_line(grid, 0, 3, length=2, direction=(1, 0), color=3) == (1, 3)
    assert rows(grid) == [[1, 0, 0, 3], [0, 1, 0, 3], [0, 0, 1, 0], [2, 2, 2, 2]]


def test_a_line_stops_before_a_colour():
    grid = np.array([[0, 0, 5, 0]])
    assert library.draw_line(grid, 0, 0, direction=(0, 1), color=1, stop_at_color=[5]) == (0, 1)
    assert rows(grid) == [[1, 1, 5, 0]]


def test_components_lie_where_they_lay_and_split_by_colour_or_not():
    grid = np.array([[1, 2, 0], [0, 0, 3]])
    assert [rows(o) for o in library.find_connected_components(grid)] == [
        [[1, 0, 0], [0, 0, 0]],
        [[0, 2, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 3]],
    ]
    assert len(library.find_connected_components(grid, monochromatic=False)) == 2
    assert len(library.find_connected_components(grid, monochromatic=False, connectivity=8)) == 1


@given(grids, st.sampled_from([4, 8]), st.booleans())
def test_components_drawn_together_are_the_grid(grid, connectivity, monochromatic):
    canvas = np.zeros_like(grid)
    found = library.find_connected_components(grid, connectivity=connectivity, monochromatic=monochromatic)
    for obj in found:
        assert not library.collision(object1=canvas, object2=obj)
        assert library.is_contiguous(obj, connectivity=connectivity)
        library.blit_object(canvas, obj)
    assert np.array_equal(canvas, grid)


def test_a_sprite_is_cut_off_at_the_edges_and_its_background_is_transparent():
    grid = np.full((2, 3), 4)
    library.blit_sprite(grid, np.array([[1, 0], [0, 2]]), x=-1, y=2)
    assert rows(grid) == [[4, 4, 4], [4, 4, 4]]
    library.blit_sprite(grid, np.array([[1, 0], [0, 2]]), x=0, y=1)
    assert rows(grid) == [[4, 1, 4], [4, 4, 2]]
    library.blit(grid, np.array([[1, 0]]), x=1, y=0)
    assert rows(grid) == [[4, 1, 4], [1, 0, 2]]
    assert rows(library.blit(grid, np.array([[9]]), x=7, y=7)) == [[4, 1, 4], [1, 0, 2]]


def test_sprites_grow():
    assert rows(library.scale_sprite(np.array([[1, 2]]), 2)) == [[1, 1, 2, 2], [1, 1, 2, 2]]
    assert rows(library.scale_pattern(np.array([[1]]), scale_factor=3)) == [[1] * 3] * 3


def test_the_bounding_box_is_where_what_is_not_background_lies():
    assert library.bounding_box(RING) == (0, 1, 4, 4)
    assert library.bounding_box(np.zeros((2, 2))) == (0, 0, 0, 0)
    assert library.bounding_box_mask(np.array([[0, 1, 0]])).tolist() == [[False, True, False]]
    assert rows(library.crop(np.array([[0, 0], [0, 3]]))) == [[3]]


@given(grids)
def test_a_crop_put_back_where_it_was_is_the_grid(grid):
    x, y, width, height = library.bounding_box(grid)
    sprite = library.crop(grid)
    assert sprite.shape == (width, height)
    assert np.array_equal(library.blit_sprite(np.zeros_like(grid), sprite, x, y), grid)


@given(grids, st.integers(-9, 9), st.integers(-9, 9))
def test_a_translation_moves_what_stays_inside(grid, x, y):
    moved = library.translate(grid, x, y)
    for (i, j), colour in np.ndenumerate(moved):
        inside = 0 <= i - x < grid.shape[0] and 0 <= j - y < grid.shape[1]
        assert colour == (grid[i - x, j - y] if inside else 0)


def test_positions_are_named_by_anchors():
    obj = np.zeros((5, 6), dtype=int)
    obj[1:4, 2:4] = 1  # x from 1 to 3, y from 2 to 3
    assert library.object_position(obj) == (1, 2)
    assert library.object_position(obj, anchor="lower right") == (3, 3)
    assert library.object_position(obj, anchor="center") == (2, 2.5)
    assert library.object_position(obj, anchor="upper center") == (2, 2)
    assert library.object_position(obj, anchor="left center") == (1, 2.5)
    with pytest.raises(ValueError, match="anchor 'north'"):
        library.object_position(obj, anchor="north")


def test_the_colours_of_an_object_leave_the_background_out():
    assert library.object_colors(RING) == [2, 5]


def test_objects_collide_in_a_cell_and_touch_along_a_side_or_at_a_corner():
    dot = np.array([[1]])
    assert library.collision(object1=dot, object2=dot, x1=1, x2=1)
    assert not library.collision(object1=dot, object2=dot, x2=1)
    assert library.contact(object1=dot, object2=dot, x2=1)
    assert not library.contact(object1=dot, object2=dot, x2=1, y2=1)
    assert library.contact(object1=dot, object2=dot, x2=1, y2=1, connectivity=8)
    with pytest.raises(TypeError, match="both were expected"):
        library.contact(object1=dot)


def test_a_cell_is_between_objects_in_the_gap_they_face():
    first, second = np.zeros((7, 3), dtype=int), np.zeros((7, 3), dtype=int)
    first[0:2], second[5:7] = 1, 1
    assert library.check_between_objects(first, second, 3, 1)
    assert library.check_between_objects(second, first, 3, 0)
    assert not library.check_between_objects(first, second, 3, 0, padding=1)
    assert not library.check_between_objects(first, second, 1, 1)


def test_interior_boundary_and_neighbours_of_a_ring():
    ring = np.where(RING == 2, 2, 0)
    assert rows(library.object_interior(ring)) == [[0, 1, 1, 1, 0]] * 3 + [[0] * 5]
    assert rows(library.object_boundary(ring)) == [[0, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0, 1, 1, 1, 0], [0] * 5]
    assert rows(library.object_neighbors(ring)) == [[1, 0, 0, 0, 1], [1, 0, 1, 0, 1], [1, 0, 0, 0, 1], [0, 1, 1, 1, 0]]
    assert library.object_neighbors(ring, connectivity=8)[3, 0]


def test_objects_are_found_by_description():
    assert [library.object_colors(o) for o in library.detect_objects(RING)] == [[2, 5]]
    found = library.detect_objects(RING, monochromatic=True, allowed_dimensions=[(3, 3)])
    assert [library.object_colors(o) for o in found] == [[2]]
    assert len(library.detect_objects(grid=RING, colors=[5], connectivity=4)) == 1
    assert library.detect_objects(RING, predicate=lambda obj: (obj == 9).any()) == []
    assert len(library.detect_objects(RING, can_overlap=True)) == 3


def test_a_translation_that_repeats_the_grid_is_found_also_under_holes():
    grid = np.tile(np.array([[1, 2, 3]]), (1, 3))
    [symmetry] = symmetries.detect_translational_symmetry(grid)
    assert symmetry == symmetries.TranslationalSymmetry(0, 3)
    grid[0, 4] = 0
    places = symmetries.orbit(grid, 0, 1, symmetries.detect_translational_symmetry(grid))
    assert sorted(places) == [(0, 1), (0, 4), (0, 7)]


def test_a_tiled_plane_has_two_translations():
    grid = np.tile(np.array([[1, 2], [3, 4]]), (3, 3))
    found = symmetries.detect_translational_symmetry(grid)
    assert {(s.translate_x, s.translate_y) for s in found} == {(2, 0), (0, 2)}
    assert len(symmetries.orbit(grid, 0, 0, found)) == 9


def test_mirror_lines_are_found_between_cells_and_on_them():
    grid = np.array([[1, 2, 1], [3, 4, 3], [3, 4, 3], [1, 2, 1]])
    assert symmetries.detect_mirror_symmetry(grid) == [
        symmetries.MirrorSymmetry(mirror_x=1.5),
        symmetries.MirrorSymmetry(mirror_y=1.0),
    ]
    assert symmetries.MirrorSymmetry(mirror_x=1.5).apply(0, 2) == (3, 2)
    assert symmetries.MirrorSymmetry(mirror_x=1.5, mirror_y=1.0).apply(0, 2) == (3, 0)
    assert symmetries.MirrorSymmetry(mirror_x=1.5).apply(0, 2, iters=2) == (0, 2)
    assert symmetries.detect_mirror_symmetry(np.array([[1, 2, 3]]), ignore_colors=[]) == []
    assert symmetries.detect_mirror_symmetry(np.array([[1, 1, 2, 3, 4]])) == []  # two cells are no evidence


def test_a_covered_part_does_not_hide_a_mirror_line():
    grid = np.array([[1, 2, 3, 3, 2, 1], [4, 5, 6, 6, 5, 4]])
    covered = grid.copy()
    covered[:, 4:] = 9
    assert symmetries.MirrorSymmetry(mirror_y=2.5) in symmetries.detect_mirror_symmetry(covered, ignore_colors=[9])


def test_a_quarter_turn_is_found_with_its_centre():
    quarter = np.array([[1, 2], [3, 4]])
    whole = np.block([[quarter, np.rot90(quarter, -1)], [np.rot90(quarter, 1), np.rot90(quarter, 2)]])
    symmetry = symmetries.detect_rotational_symmetry(whole)
    assert (symmetry.center_x, symmetry.center_y) == (1.5, 1.5)
    for (x, y), colour in np.ndenumerate(whole):
        assert whole[symmetry.apply(x, y)] == colour
        assert symmetry.apply(*symmetry.apply(x, y), iters=-1) == (x, y)
    assert symmetries.detect_rotational_symmetry(np.array([[1, 2, 3]])) is None
