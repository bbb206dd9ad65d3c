"""The units of functions: each is compiled by itself, so that what calls it does not compile it once more.

Every unit has one form: it reads the `count` items from `start`, writes items from `dst` on, whose place in the arena
is set, and gives their number, 0 where it does not apply; `which` is 256 times the number of a function (as in
`functions.py`) and the variant of it.
"""

from numba import types

from solver.programs.compiled import entry
from solver.programs.lists import (
    drawing,
    geometry,
    joins,
    labels,
    labels_of_objects,
    labels_of_panels,
    moves,
    objects,
    patterns,
    picks,
    shapes,
    splits,
    symmetry,
)  # fmt: skip
from solver.programs.lists.layout import SIZE, Cells, Items, Scratch, follow

CELLS = types.Array(types.uint8, 1, "C")
ROWS = types.Array(types.int32, 2, "C")
SCRATCH = types.Array(types.int32, 1, "C")
FORM = types.int64(CELLS, ROWS, types.int64, types.int64, types.int64, types.int64, SCRATCH)


@entry(FORM)
def each_by_geometry(cells: Cells, items: Items, start: int, count: int, dst: int, which: int, tmp: Scratch) -> int:
    """From grid to grid, each item in turn: functions of `geometry.py`."""
    number, arg = which >> 8, which & 255
    for n in range(count):
        src, new, applies = start + n, dst + n, False
        if number == 0:
            applies = geometry.rigid(cells, items, src, new, arg)
        elif number == 1:
            applies = geometry.crop(cells, items, src, new)
        elif number == 2:
            applies = geometry.section(cells, items, src, new, arg)
        elif number == 3:
            applies = geometry.composite(cells, items, src, new, arg)
        elif number == 4:
            applies = geometry.scale(cells, items, src, new, arg, tmp)
        elif number == 5:
            applies = geometry.shrink(cells, items, src, new)
        elif number == 6:
            applies = geometry.shift(cells, items, src, new, arg)
        elif number == 7:
            applies = geometry.widen(cells, items, src, new, arg)
        elif number == 8:
            applies = geometry.squeeze(cells, items, src, new, arg, tmp)
        else:
            applies = geometry.line_order(cells, items, src, new, arg, tmp)
        if not applies:
            return 0
        follow(items, new)
    return count


@entry(FORM)
def each_by_shapes(cells: Cells, items: Items, start: int, count: int, dst: int, which: int, tmp: Scratch) -> int:
    """From grid to grid, each item in turn: functions of `shapes.py`."""
    number, arg = which >> 8, which & 255
    for n in range(count):
        src, new, applies = start + n, dst + n, False
        if number == 0:
            applies = shapes.paint(cells, items, src, new, arg, tmp)
        elif number == 1:
            applies = shapes.frame(cells, items, src, new, arg, tmp)
        elif number == 2:
            applies = shapes.fill(cells, items, src, new, arg, tmp)
        elif number == 3:
            applies = shapes.grow(cells, items, src, new, arg)
        elif number == 4:
            applies = shapes.peel(cells, items, src, new, arg)
        elif number == 5:
            applies = shapes.fall(cells, items, src, new, arg)
        else:
            applies = shapes.tally(cells, items, src, new, arg, tmp)
        if not applies:
            return 0
        follow(items, new)
    return count


@entry(FORM)
def each_by_patterns(cells: Cells, items: Items, start: int, count: int, dst: int, which: int, tmp: Scratch) -> int:
    """From grid to grid, each item in turn: functions of `patterns.py`."""
    number, arg = which >> 8, which & 255
    for n in range(count):
        src, new, applies = start + n, dst + n, False
        if number == 0:
            applies = patterns.connect(cells, items, src, new, arg)
        elif number == 1:
            applies = patterns.rays(cells, items, src, new, arg)
        elif number == 2:
            applies = patterns.spread(cells, items, src, new, arg, tmp)
        elif number == 3:
            applies = patterns.overlaid(cells, items, src, new, arg)
        elif number == 4:
            applies = patterns.symmetric(cells, items, src, new)
        elif number == 5:
            applies = patterns.tile(cells, items, src, new, arg, tmp)
        elif number == 6:
            applies = patterns.fractal(cells, items, src, new, arg, tmp)
        elif number == 8:
            applies = objects.equal_ends(cells, items, src, new, arg)
        else:
            applies = patterns.embed(cells, items, src, new, arg, tmp)
        if not applies:
            return 0
        follow(items, new)
    return count


@entry(FORM, optimise=1)
def each_by_moves(cells: Cells, items: Items, start: int, count: int, dst: int, which: int, tmp: Scratch) -> int:
    """From grid to grid, each item in turn: functions of `moves.py`."""
    number, arg = which >> 8, which & 255
    for n in range(count):
        src, new, applies = start + n, dst + n, False
        if number == 0:
            applies = moves.kept(cells, items, src, new, arg, tmp)
        elif number == 1:
            applies = moves.slid(cells, items, src, new, arg, tmp)
        elif number == 2:
            applies = moves.toward(cells, items, src, new, arg, tmp)
        else:
            applies = moves.stamped(cells, items, src, new, arg, tmp)
        if not applies:
            return 0
        follow(items, new)
    return count


@entry(FORM, optimise=1)
def each_by_drawing(cells: Cells, items: Items, start: int, count: int, dst: int, which: int, tmp: Scratch) -> int:
    """From grid to grid, each item in turn: functions of `drawing.py`."""
    number, arg = which >> 8, which & 255
    for n in range(count):
        src, new, applies = start + n, dst + n, False
        if number == 0:
            applies = drawing.dotted(cells, items, src, new, arg)
        elif number == 1:
            applies = drawing.extended(cells, items, src, new, arg)
        elif number == 2:
            applies = drawing.leaked(cells, items, src, new, arg, tmp)
        elif number == 3:
            applies = drawing.boxed(cells, items, src, new, arg, tmp)
        elif number == 4:
            applies = drawing.flooded(cells, items, src, new, arg, tmp)
        elif number == 5:
            applies = symmetry.completed(cells, items, src, new, arg, tmp)
        elif number == 6:
            applies = drawing.palette(cells, items, src, new, arg, tmp)
        elif number == 7:
            applies = drawing.largest(cells, items, src, new, arg, tmp)
        else:
            applies = drawing.smoothed(cells, items, src, new, arg, tmp)
        if not applies:
            return 0
        follow(items, new)
    return count


@entry(FORM, optimise=1)
def labelled(cells: Cells, items: Items, start: int, count: int, dst: int, which: int, tmp: Scratch) -> int:
    """From grid to labels: functions of `labels.py` and of those with more of them, on a single grid."""
    number, arg = which >> 8, which & 255
    if count != 1:
        return 0
    if number == 0:
        applies = labels.of_cells(cells, items, start, dst, arg, tmp)
    elif number == 1:
        applies = labels.of_lines(cells, items, start, dst, arg, tmp)
    elif number < 7:
        applies = labels.of_regions(cells, items, start, dst, number - 2, arg, tmp)
    elif number == 7:
        applies = labels_of_objects.of_views(cells, items, start, dst, arg)
    elif number == 8:
        applies = labels_of_objects.of_distances(cells, items, start, dst, arg, tmp)
    elif number < 14:
        applies = labels_of_objects.of_boxes(cells, items, start, dst, number - 9, arg, tmp)
    elif number < 19:
        applies = labels_of_objects.of_region_lines(cells, items, start, dst, number - 14, arg, tmp)
    elif number < 24:
        applies = labels_of_objects.of_relations(cells, items, start, dst, number - 19, arg, tmp)
    else:
        applies = labels_of_panels.of_panels(cells, items, start, dst, number - 24, arg, tmp)
    if not applies:
        return 0
    follow(items, dst)
    return 1


@entry(FORM, optimise=1)
def taken_apart(cells: Cells, items: Items, start: int, count: int, dst: int, which: int, tmp: Scratch) -> int:
    """From grid to list: functions of `splits.py`, on a single grid."""
    number, arg = which >> 8, which & 255
    if count != 1:
        return 0
    if number == 0:
        return splits.regions(cells, items, start, dst, arg, tmp)
    if number == 1:
        return splits.boxes(cells, items, start, dst, arg, tmp)
    if number == 2:
        return splits.colours(cells, items, start, dst, tmp)
    if number == 3:
        return splits.panels(cells, items, start, dst, arg, tmp)
    if number == 4:
        return splits.lines(cells, items, start, dst, arg)
    if number == 5:
        return splits.sections(cells, items, start, dst, arg)
    if number == 6:
        return splits.framed(cells, items, start, dst, arg, tmp)
    if number == 8:
        return objects.colour_boxes(cells, items, start, dst, arg, tmp)
    return splits.windows(cells, items, start, dst, (int(tmp[SIZE]), int(tmp[SIZE + 1])))


@entry(FORM)
def picked(cells: Cells, items: Items, start: int, count: int, dst: int, which: int, tmp: Scratch) -> int:
    """From list to a part of it: functions of `picks.py`."""
    if which >> 8 == 0:
        return picks.pick(cells, items, start, count, dst, which & 255, tmp)
    return picks.at_place(items, start, count, dst, which & 255)


@entry(FORM)
def put_together(cells: Cells, items: Items, start: int, count: int, dst: int, which: int, tmp: Scratch) -> int:
    """From list to a grid or list made anew: functions of `joins.py`."""
    number, arg = which >> 8, which & 255
    if number == 0:
        return joins.overlay(cells, items, start, count, dst, arg, tmp)
    if number == 1:
        return joins.row_of(cells, items, start, count, dst, arg)
    if number == 2:
        return joins.logic(cells, items, start, count, dst, arg, tmp)
    if number == 3:
        return joins.arranged(cells, items, start, count, dst, tmp)
    if number == 4:
        return joins.length(cells, items, start, count, dst, arg, tmp)
    if number == 5:
        return joins.recoloured(cells, items, start, count, dst, arg, tmp)
    return joins.placed(cells, items, start, count, dst, arg, tmp)


UNITS = (
    each_by_geometry, each_by_shapes, each_by_patterns, each_by_moves, each_by_drawing, labelled, taken_apart, picked,
    put_together,
)  # fmt: skip
